/* store_index.c - the doors of a feed's index: checks, then as store.c. */
#include "store/backend.h"

static bool are_changes(const struct tg_index_change *changes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (changes[i].pk.n == 0 || changes[i].pk.n > TG_INDEX_FIELD_MAX ||
            changes[i].put.n > TG_INDEX_VALUE_MAX) {
            return false;
        }
    }
    return n <= TG_INDEX_BATCH_MAX;
}

enum tg_rc tg_store_index_write(struct tg_store *s, const struct tg_index_batch *batch,
                                tg_done_fn *done, void *arg)
{
    const struct tg_ask ask = {.verb = TG_VERB_INDEX_WRITE,
                               .epoch = *batch->epoch,
                               .feed = batch->feed,
                               .fence = batch->fence,
                               .changes = batch->changes,
                               .n_changes = batch->n,
                               .is_fresh = batch->is_fresh};
    const union tg_done end = {.plain = done};

    if (batch->feed.n == 0 || !are_changes(batch->changes, batch->n)) {
        return TG_EBADPARAM;
    }
    return tg_store_start(s, &ask, end, arg);
}

enum tg_rc tg_store_index_load(struct tg_store *s, tg_str feed, uint64_t from,
                               tg_index_load_fn *done, void *arg)
{
    const struct tg_ask ask = {
        .verb = TG_VERB_INDEX_LOAD, .epoch = s->epoch, .feed = feed, .from = from};
    const union tg_done end = {.index = done};

    return feed.n == 0 ? TG_EBADPARAM : tg_store_start(s, &ask, end, arg);
}
