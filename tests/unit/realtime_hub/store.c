/* store.c - the store of a hub under test: the log of the memory backend, and leases; what is asked
 * of it is answered when the world turns. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "realtime_hub/world.h"

static struct tg_memtime time_now(void)
{
    return (struct tg_memtime){.wall_ms = world.now / 1000, .mono = world.now};
}

void tg_epoch_make(struct tg_epoch *ret_epoch)
{
    static unsigned n_logs;

    (void)snprintf(ret_epoch->text, sizeof(ret_epoch->text), "log%u", ++n_logs);
}

void begin_log(void)
{
    const struct tg_store_opts opts = {.retain_for = TG_SEC(3600),
                                       .retain_events = 1000,
                                       .log_events = 1000,
                                       .max_event_bytes = 65536,
                                       .max_bytes = 256 << 20};

    tg_memlog_destroy(world.log);
    world.log = tg_memlog_create(&opts, time_now());
}

enum tg_rc tg_store_group_serve(struct tg_store_group *g, struct tg_loop *l)
{
    (void)g;
    (void)l;
    return TG_OK;
}

void tg_store_group_unserve(struct tg_store_group *g)
{
    (void)g;
}

enum tg_rc tg_store_open(struct tg_store_group *g, struct tg_loop *l,
                         const struct tg_store_event_handler *h, struct tg_store **ret_store)
{
    (void)g;
    (void)l;
    world.store = *h;
    *ret_store = NULL;
    return TG_OK;
}

void answer_op(struct op *op, enum tg_rc forced)
{
    struct tg_pos pos = {0};
    uint64_t fence = 0;
    tg_str holder = TG_STR_NONE;
    enum tg_rc rc = forced;

    if (rc == TG_OK && op->append != NULL) {
        rc = tg_memlog_append(world.log, &op->ask, time_now(), &pos);
    } else if (rc == TG_OK && !op->is_index) {
        rc = tg_memlog_lease(world.log, &op->ask, TG_STR("us"), time_now(), &fence, &holder);
    }
    if (op->load != NULL) {
        answer_load(op, rc);
    } else if (op->append != NULL) {
        if (rc == TG_OK && op->put.pk[0] != '\0') {
            keep_row(op->put.feed, op->put.pk, op->put.value);
        }
        op->append(rc, pos, op->arg);
    } else if (op->lease != NULL) {
        op->lease(rc, fence, holder, op->arg);
    } else {
        op->plain(rc, op->arg);
    }
    free(op->feed);
    free(op->topic);
    free(op->payload);
}

bool answer_ops(enum tg_rc forced)
{
    struct op ops[MAX_OPS];
    unsigned n = world.n_ops;

    memcpy(ops, world.ops, n * sizeof(ops[0]));
    world.n_ops = 0;
    for (unsigned i = 0; i < n; i++) {
        answer_op(&ops[i], forced);
    }
    return n > 0;
}

void tg_store_close(struct tg_store *s)
{
    (void)s;
    (void)answer_ops(TG_ECANCELED);
    world.tail = NULL;
}

static char *keep(tg_str *text)
{
    char *copy = text->n == 0 ? NULL : tg_str_dup(*text);

    *text = tg_str_of(copy);
    return copy;
}

enum tg_rc begin_op(struct op op)
{
    if (!world.is_up || world.refuse_rc != TG_OK) {
        return world.is_up ? world.refuse_rc : TG_ESTORE;
    }
    cr_assert_lt(world.n_ops, MAX_OPS);
    op.feed = keep(&op.ask.feed);
    op.topic = keep(&op.ask.topic);
    op.payload = keep(&op.ask.payload);
    world.ops[world.n_ops++] = op;
    return TG_OK;
}

enum tg_rc tg_store_lease_take(struct tg_store *s, tg_str feed, tg_usec ttl, tg_lease_fn *done,
                               void *arg)
{
    (void)s;
    return begin_op((struct op){
        .ask = {.verb = TG_VERB_TAKE, .feed = feed, .ttl = ttl}, .lease = done, .arg = arg});
}

enum tg_rc tg_store_lease_renew(struct tg_store *s, tg_str feed, uint64_t fence, tg_usec ttl,
                                tg_done_fn *done, void *arg)
{
    (void)s;
    return begin_op(
        (struct op){.ask = {.verb = TG_VERB_RENEW, .feed = feed, .fence = fence, .ttl = ttl},
                    .plain = done,
                    .arg = arg});
}

enum tg_rc tg_store_lease_release(struct tg_store *s, tg_str feed, uint64_t fence, tg_done_fn *done,
                                  void *arg)
{
    (void)s;
    return begin_op((struct op){
        .ask = {.verb = TG_VERB_RELEASE, .feed = feed, .fence = fence}, .plain = done, .arg = arg});
}

static enum tg_rc begin_write(enum tg_verb verb, const struct tg_write *w, tg_append_fn *done,
                              void *arg)
{
    return begin_op((struct op){.put = kept_of(w->feed, w->index_pk, w->index_put),
                                .ask = {.verb = verb,
                                        .epoch = *w->epoch,
                                        .feed = w->feed,
                                        .fence = w->fence,
                                        .topic = w->topic,
                                        .payload = w->payload},
                                .append = done,
                                .arg = arg});
}

enum tg_rc tg_store_append(struct tg_store *s, const struct tg_write *w, tg_append_fn *done,
                           void *arg)
{
    (void)s;
    return begin_write(TG_VERB_APPEND, w, done, arg);
}

enum tg_rc tg_store_control(struct tg_store *s, const struct tg_epoch *epoch, tg_str payload,
                            tg_append_fn *done, void *arg)
{
    const struct tg_write w = {.epoch = epoch, .payload = payload};

    (void)s;
    return begin_write(TG_VERB_CONTROL, &w, done, arg);
}

enum tg_rc tg_store_gap(struct tg_store *s, const struct tg_write *w, tg_append_fn *done, void *arg)
{
    (void)s;
    return begin_write(TG_VERB_GAP, w, done, arg);
}

enum tg_rc tg_store_tail(struct tg_store *s, struct tg_pos after, tg_tail_fn *on_batch, void *arg)
{
    (void)s;
    world.tail = on_batch;
    world.tail_arg = arg;
    world.tail_at = after;
    return TG_OK;
}

bool tail_log(void)
{
    struct tg_memblob *blobs[MAX_OPS];
    struct tg_entry entries[MAX_OPS];
    bool is_cut = false;
    size_t n = 0;

    if (world.tail == NULL || tg_pos_cmp(world.tail_at, tg_memlog_last(world.log)) >= 0) {
        return false;
    }
    n = tg_memlog_read(world.log, world.tail_at, MAX_OPS, blobs, &is_cut);
    for (size_t i = 0; i < n; i++) {
        entries[i] = blobs[i]->entry;
    }
    world.tail_at = n == 0 ? tg_memlog_last(world.log) : entries[n - 1].pos;
    world.tail(entries, n, world.tail_at, is_cut, world.tail_arg);
    for (size_t i = 0; i < n; i++) {
        tg_memblob_unref(blobs[i]);
    }
    return true;
}

void store_down(void)
{
    world.is_up = false;
    world.tail = NULL;
    (void)answer_ops(TG_ESTORE);
    world.store.on_state(TG_STORE_DOWN, tg_memlog_epoch(world.log), tg_memlog_last(world.log),
                         false, world.store.arg);
    turn();
}

void store_up(bool is_other)
{
    if (is_other) {
        begin_log();
    }
    world.is_up = true;
    world.store.on_state(TG_STORE_UP, tg_memlog_epoch(world.log), tg_memlog_last(world.log), false,
                         world.store.arg);
    turn();
}

static void other_asks(enum tg_verb verb, const char *feed)
{
    static uint64_t fence;
    const struct tg_ask ask = {
        .verb = verb, .feed = tg_str_of(feed), .fence = fence, .ttl = TG_SEC(3600)};
    tg_str holder = TG_STR_NONE;
    uint64_t given = 0;

    cr_assert_eq(tg_memlog_lease(world.log, &ask, TG_STR("them"), time_now(), &given, &holder),
                 TG_OK);
    fence = given;
}

void other_takes(const char *feed)
{
    other_asks(TG_VERB_TAKE, feed);
}

void other_drops(const char *feed)
{
    other_asks(TG_VERB_RELEASE, feed);
}
