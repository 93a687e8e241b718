/* fuzz_snapshot.c - topics as PostgREST is asked for them: a target that is one on the wire, with
 * as many conditions as the topic has, whatever stands in its values. */
#include "handlers/snapshot_query.h"

static size_t count_conditions(tg_str filter)
{
    size_t n = 0;

    while (filter.n > 0) {
        TG_ASSERT(tg_topic_next_condition(&filter).n > 0);
        n++;
    }
    return n;
}

static void check(const struct tg_topic_name *t, tg_str target)
{
    size_t n = 0;
    size_t n_queries = 0;

    TG_ASSERT(tg_str_has_prefix(target, TG_STR("/rest/v1/")));
    for (size_t i = 0; i < target.n; i++) {
        char c = target.p[i];

        TG_ASSERT(c > 0x20 && c < 0x7F && c != '#' && c != '+' && c != '"');
        n += c == '&' ? 1 : 0;
        n_queries += c == '?' ? 1 : 0;
    }
    TG_ASSERT(n_queries == 1 && n == 1 + count_conditions(t->filter));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct tg_buf target = {.max = TG_SNAPSHOT_TARGET_MAX};
    struct tg_topic_name t = {0};
    const char *why = NULL;
    enum tg_rc rc = TG_OK;

    if (tg_topic_parse(NULL, tg_str_make((const char *)data, n), &t, &why) != TG_OK) {
        return 0;
    }
    rc = tg_snapshot_target(&t, &target, &why);
    TG_ASSERT(rc == TG_OK || (rc == TG_EBADTOPIC && why != NULL));
    if (rc == TG_OK) {
        check(&t, tg_buf_view(&target));
        TG_ASSERT(tg_snapshot_page(&target, TG_STR("id"), t.name, 10) == TG_OK);
    }
    tg_topic_fini(&t);
    tg_buf_fini(&target);
    return 0;
}
