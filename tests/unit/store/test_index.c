/* test_index.c - the index of a feed, and retention by topic, asked of both backends. */
#include <stdio.h>

#define SUITE index
#include "store/both.h"

enum { MAX_ROWS = 4000 };

/* What a load has told; pks are "[<n>]". */
static struct {
    char put[MAX_ROWS][16];
    bool is_there[MAX_ROWS];
    size_t n; /* different ones */
    uint64_t next;
} loaded;

static uint64_t fence;

static bool is_done(struct fixture *fixture)
{
    return fixture->is_done;
}

static void finish(enum tg_rc rc)
{
    f.rc = rc;
    f.is_done = true;
    tg_loop_stop(f.loop);
}

static enum tg_rc settle(enum tg_rc rc)
{
    if (rc != TG_OK) {
        return rc;
    }
    run_until(&f, is_done);
    return f.rc;
}

static void on_plain(enum tg_rc rc, void *arg)
{
    (void)arg;
    finish(rc);
}

static void on_append(enum tg_rc rc, struct tg_pos pos, void *arg)
{
    (void)arg;
    f.pos = pos;
    finish(rc);
}

static void on_load(enum tg_rc rc, const struct tg_index_change *rows, size_t n, uint64_t next,
                    void *arg)
{
    (void)arg;
    for (size_t i = 0; i < n; i++) {
        uint64_t at = 0;

        cr_assert_eq(tg_str_to_u64(tg_str_make(rows[i].pk.p + 1, rows[i].pk.n - 2), &at), TG_OK);
        cr_assert_lt(at, MAX_ROWS);
        loaded.n += !loaded.is_there[at];
        loaded.is_there[at] = true;
        (void)snprintf(loaded.put[at], sizeof(loaded.put[at]), "%.*s", TG_STR_ARG(rows[i].put));
    }
    loaded.next = next;
    finish(rc);
}

static void load_some(const char *feed, uint64_t from)
{
    f.is_done = false;
    cr_assert_eq(settle(tg_store_index_load(f.store, tg_str_of(feed), from, on_load, NULL)), TG_OK);
}

static size_t load(const char *feed)
{
    memset(&loaded, 0, sizeof(loaded));
    do {
        load_some(feed, loaded.next);
    } while (loaded.next != 0);
    return loaded.n;
}

static void has(size_t at, const char *put)
{
    cr_assert(loaded.is_there[at]);
    cr_assert_str_eq(loaded.put[at], put);
}

static struct tg_write event(const char *pk, const char *put)
{
    return (struct tg_write){.epoch = &f.epoch,
                             .feed = TG_STR("feed"),
                             .fence = fence,
                             .topic = TG_STR("t"),
                             .payload = TG_STR("{}"),
                             .index_pk = tg_str_of(pk),
                             .index_put = tg_str_of(put)};
}

static enum tg_rc write_event(const struct tg_write *w)
{
    f.is_done = false;
    return settle(tg_store_append(f.store, w, on_append, NULL));
}

static enum tg_rc change(const char *pk, const char *put)
{
    const struct tg_write w = event(pk, put);

    return write_event(&w);
}

static enum tg_rc write_batch(const struct tg_index_batch *batch)
{
    f.is_done = false;
    return settle(tg_store_index_write(f.store, batch, on_plain, NULL));
}

static struct tg_index_batch batch_of(const struct tg_index_change *changes, size_t n)
{
    return (struct tg_index_batch){
        .epoch = &f.epoch, .feed = TG_STR("feed"), .fence = fence, .changes = changes, .n = n};
}

/* Rows [from] to [to - 1], each with its number. */
static void put_rows(size_t from, size_t to)
{
    static char text[TG_INDEX_BATCH_MAX][16];
    static struct tg_index_change changes[TG_INDEX_BATCH_MAX];

    while (from < to) {
        size_t n = TG_MIN(to - from, (size_t)TG_INDEX_BATCH_MAX);
        const struct tg_index_batch batch = batch_of(changes, n);

        for (size_t i = 0; i < n; i++) {
            int len = snprintf(text[i], sizeof(text[i]), "[%zu]", from + i);

            changes[i].pk = tg_str_make(text[i], (size_t)len);
            changes[i].put = tg_str_make(text[i] + 1, (size_t)len - 2);
        }
        cr_assert_eq(write_batch(&batch), TG_OK);
        from += n;
    }
}

static void hold(void)
{
    cr_assert_eq(take(&f, "feed", TG_SEC(60)), TG_OK);
    fence = f.fence;
}

/* ---- with an event ---- */

BOTH(a_row_changes_with_its_event)
{
    hold();
    cr_assert_eq(load("feed"), 0);
    cr_assert_eq(change("[1]", "a"), TG_OK);
    cr_assert_eq(change("[2]", "b"), TG_OK);
    cr_assert_eq(change("[1]", "c"), TG_OK);
    cr_assert_eq(change("[1]", "longer"), TG_OK);
    cr_assert_eq(load("feed"), 2);
    has(1, "longer");
    has(2, "b");
    cr_assert_eq(change("[1]", ""), TG_OK);
    cr_assert_eq(change("[3]", ""), TG_OK);
    cr_assert_eq(load("feed"), 1);
    has(2, "b");
    cr_assert_eq(load("other"), 0);
}

BOTH(a_refused_event_changes_no_row)
{
    struct tg_write w = {0};
    struct tg_epoch other = {.text = "another"};

    hold();
    cr_assert_eq(change("[1]", "a"), TG_OK);
    w = event("[1]", "b");
    w.fence = fence + 1;
    cr_assert_eq(write_event(&w), TG_EFENCED);
    w = event("[1]", "b");
    w.epoch = &other;
    cr_assert_eq(write_event(&w), TG_EEPOCH);
    w = event("[1]", "a");
    w.once = TG_STR("key");
    w.once_ttl = TG_SEC(60);
    cr_assert_eq(write_event(&w), TG_OK);
    w.index_put = TG_STR("b");
    cr_assert_eq(write_event(&w), TG_ECONFLICT);
    cr_assert_eq(load("feed"), 1);
    has(1, "a");
}

BOTH(a_row_belongs_to_a_feed_and_has_a_length)
{
    static char text[TG_INDEX_VALUE_MAX + 2];
    struct tg_write w = {0};

    hold();
    memset(text, 'x', sizeof(text) - 1);
    cr_assert_eq(change("[1]", text), TG_EBADPARAM);
    text[TG_INDEX_FIELD_MAX + 1] = '\0';
    cr_assert_eq(change(text, "a"), TG_EBADPARAM);
    w = event("[1]", "a");
    w.feed = TG_STR("");
    cr_assert_eq(write_event(&w), TG_EBADPARAM);
}

/* ---- without ---- */

BOTH(many_rows_are_written_at_once)
{
    const struct tg_index_change changes[] = {
        {TG_STR("[1]"), TG_STR("a")}, {TG_STR("[2]"), TG_STR("")}, {TG_STR("[3]"), TG_STR("c")}};
    struct tg_index_batch batch = {0};

    hold();
    cr_assert_eq(change("[2]", "b"), TG_OK);
    cr_assert_eq(change("[4]", "d"), TG_OK);
    batch = batch_of(changes, 3);
    cr_assert_eq(write_batch(&batch), TG_OK);
    cr_assert_eq(load("feed"), 3);
    has(1, "a");
    has(3, "c");
    has(4, "d");
}

BOTH(an_index_is_written_anew)
{
    const struct tg_index_change changes[] = {{TG_STR("[9]"), TG_STR("z")}};
    struct tg_index_batch batch = {0};

    hold();
    put_rows(0, 8);
    batch = batch_of(changes, 1);
    batch.is_fresh = true;
    cr_assert_eq(write_batch(&batch), TG_OK);
    cr_assert_eq(load("feed"), 1);
    has(9, "z");
    batch.n = 0;
    cr_assert_eq(write_batch(&batch), TG_OK);
    cr_assert_eq(load("feed"), 0);
}

BOTH(only_the_holder_of_the_feed_writes_its_index)
{
    const struct tg_index_change changes[] = {{TG_STR("[1]"), TG_STR("a")}};
    struct tg_epoch other = {.text = "another"};
    struct tg_index_batch batch = {0};

    fence = 7;
    batch = batch_of(changes, 1);
    cr_assert_eq(write_batch(&batch), TG_EFENCED);
    hold();
    cr_assert_eq(write_batch(&batch), TG_EFENCED);
    batch.fence = fence;
    batch.epoch = &other;
    cr_assert_eq(write_batch(&batch), TG_EEPOCH);
    cr_assert_eq(load("feed"), 0);
}

BOTH(a_batch_has_its_limits)
{
    static struct tg_index_change many[TG_INDEX_BATCH_MAX + 1];
    struct tg_index_batch batch = {0};

    hold();
    for (size_t i = 0; i < TG_ARRAY_LEN(many); i++) {
        many[i] = (struct tg_index_change){TG_STR("[1]"), TG_STR("a")};
    }
    batch = batch_of(many, TG_INDEX_BATCH_MAX + 1);
    cr_assert_eq(write_batch(&batch), TG_EBADPARAM);
    batch.n = TG_INDEX_BATCH_MAX;
    cr_assert_eq(write_batch(&batch), TG_OK);
    batch.feed = TG_STR("");
    cr_assert_eq(write_batch(&batch), TG_EBADPARAM);
    batch.feed = TG_STR("feed");
    many[0].pk = TG_STR("");
    cr_assert_eq(write_batch(&batch), TG_EBADPARAM);
    f.is_done = false;
    cr_assert_eq(tg_store_index_load(f.store, TG_STR(""), 0, on_load, NULL), TG_EBADPARAM);
}

/* ---- loading ---- */

BOTH(a_large_index_is_loaded_in_parts)
{
    hold();
    put_rows(0, 3000);
    cr_assert_eq(load("feed"), 3000);
    has(0, "0");
    has(2999, "2999");
}

BOTH(rows_that_stay_are_all_loaded_whatever_else_changes)
{
    unsigned n_parts = 0;

    hold();
    put_rows(0, 3000);
    memset(&loaded, 0, sizeof(loaded));
    do {
        load_some("feed", loaded.next);
        for (unsigned i = 0; i < 20; i++) {
            char pk[16];

            (void)snprintf(pk, sizeof(pk), "[%u]", (n_parts * 20 + i) * 2 % 3000);
            cr_assert_eq(change(pk, ""), TG_OK);
            (void)snprintf(pk, sizeof(pk), "[%u]", 3000 + n_parts * 20 + i);
            cr_assert_eq(change(pk, "new"), TG_OK);
        }
        n_parts++;
    } while (loaded.next != 0);
    cr_assert_gt(n_parts, 2);
    for (size_t i = 1; i < 3000; i += 2) {
        cr_assert(loaded.is_there[i], "%zu", i);
    }
}

ON_REDIS(an_index_outlives_its_gateway_but_not_for_ever)
{
    long long ttl = 0;

    hold();
    cr_assert_eq(change("[1]", "a"), TG_OK);
    ttl = server(&f, "PTTL {test}:1:pk:feed");
    cr_assert(ttl > 29LL * 86400 * 1000 && ttl <= 30LL * 86400 * 1000, "%lld", ttl);
    fixture_reopen(&f);
    cr_assert_eq(load("feed"), 1);
    has(1, "a");
}

ON_MEMORY(an_index_over_the_memory_is_dropped_whole)
{
    const struct tg_index_change changes[] = {{TG_STR("[9]"), TG_STR("z")}};
    struct tg_index_batch batch = {0};

    f.opts.max_bytes = 40000;
    fixture_reopen(&f);
    hold();
    put_rows(0, 10);
    cr_assert_eq(load("feed"), 10);
    put_rows(0, 500);
    cr_assert_eq(load("feed"), 0);
    cr_assert_eq(change("[1]", "a"), TG_OK);
    cr_assert_eq(load("feed"), 0);
    batch = batch_of(changes, 1);
    batch.is_fresh = true;
    cr_assert_eq(write_batch(&batch), TG_OK);
    cr_assert_eq(load("feed"), 1);
}

/* ---- retention by topic ---- */

static enum tg_rc append_kept(const char *topic, tg_usec retain_for, uint64_t retain_events)
{
    const struct tg_write w = {.epoch = &f.epoch,
                               .topic = tg_str_of(topic),
                               .payload = TG_STR("{}"),
                               .retain_for = retain_for,
                               .retain_events = retain_events};

    return write_event(&w);
}

static void on_page(enum tg_rc rc, const struct tg_page *p, void *arg)
{
    (void)arg;
    if (rc == TG_OK) {
        f.verdict = p->verdict;
        f.n = p->n;
    }
    finish(rc);
}

static enum tg_rc page_kept(const char *topic, struct tg_pos after, tg_usec retain_for)
{
    const struct tg_page_request req = {.topic = tg_str_of(topic),
                                        .epoch = f.epoch,
                                        .after = after,
                                        .up_to = f.pos,
                                        .max_entries = 100,
                                        .retain_for = retain_for};

    f.is_done = false;
    return settle(tg_store_page(f.store, &req, on_page, NULL));
}

BOTH(a_topic_may_keep_fewer_events)
{
    struct tg_pos first = {0};

    cr_assert_eq(append_kept("t", 0, 20), TG_OK);
    first = f.pos;
    for (int i = 0; i < 99; i++) {
        cr_assert_eq(append_kept("t", 0, 20), TG_OK);
    }
    cr_assert_eq(page_kept("t", first, 0), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
    cr_assert_leq(f.n, 22);
    cr_assert_geq(f.n, 20);
}

BOTH(a_topic_may_keep_events_for_a_shorter_time)
{
    struct tg_pos first = {0};

    cr_assert_eq(append_kept("t", TG_SEC(1), 0), TG_OK);
    cr_assert_eq(append_kept("u", 0, 0), TG_OK);
    first = f.pos;
    cr_assert_eq(append_kept("t", TG_SEC(1), 0), TG_OK);
    cr_assert_eq(append_kept("u", 0, 0), TG_OK);
    pass_time(&f, TG_MS(1100));
    cr_assert_eq(append_kept("t", TG_SEC(1), 0), TG_OK);
    cr_assert_eq(page_kept("t", first, TG_SEC(1)), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
    cr_assert_eq(f.n, 1);
    cr_assert_eq(page_kept("t", first, 0), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED, "what went is gone, whoever asks");
    cr_assert_eq(page_kept("u", first, 0), TG_OK);
    cr_assert_eq(f.verdict, TG_COMPLETE);
    cr_assert_eq(f.n, 1);
}

BOTH(a_topic_may_keep_events_for_a_longer_time)
{
    struct tg_pos first = {0};

    f.opts.retain_for = TG_SEC(1);
    f.opts.max_retain_for = TG_SEC(60);
    fixture_reopen(&f);
    cr_assert_eq(append_kept("t", TG_SEC(60), 0), TG_OK);
    first = f.pos;
    cr_assert_eq(append_kept("t", TG_SEC(60), 0), TG_OK);
    pass_time(&f, TG_MS(1100));
    for (int i = 0; i < 40; i++) {
        cr_assert_eq(append_kept("u", 0, 0), TG_OK);
    }
    cr_assert_eq(page_kept("t", first, TG_SEC(60)), TG_OK);
    cr_assert_eq(f.verdict, TG_COMPLETE);
    cr_assert_eq(f.n, 1);
    cr_assert_eq(page_kept("u", first, 0), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
}

static void on_lane(enum tg_rc rc, const struct tg_lane *lane, void *arg)
{
    (void)arg;
    f.n = rc == TG_OK ? (size_t)lane->n : 0;
    finish(rc);
}

static size_t n_held(const char *topic, tg_usec retain_for)
{
    f.is_done = false;
    cr_assert_eq(settle(tg_store_lane(f.store, tg_str_of(topic), begin, retain_for, on_lane, NULL)),
                 TG_OK);
    return f.n;
}

BOTH(what_a_topic_holds_is_counted_by_its_retention)
{
    cr_assert_eq(append_kept("t", TG_SEC(1), 0), TG_OK);
    pass_time(&f, TG_MS(1100));
    cr_assert_eq(n_held("t", TG_SEC(1)), 0);
    cr_assert_eq(n_held("t", 0), 1);
}

BOTH(a_retention_has_its_limits)
{
    cr_assert_eq(append_kept("t", TG_SEC(3601), 0), TG_EBADPARAM);
    cr_assert_eq(append_kept("t", TG_MS(999), 0), TG_EBADPARAM);
    cr_assert_eq(append_kept("t", TG_SEC(3600), 1), TG_OK);
    cr_assert_eq(page_kept("t", begin, TG_SEC(3601)), TG_EBADPARAM);
}
