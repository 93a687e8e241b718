/* test_store.c - what store.h promises, said once and asked of both backends. */
#include <stdio.h>
#include <stdlib.h>

#include "store/fixture.h"

static struct fixture f;

static void start_memory(void)
{
    fixture_start(&f, false);
    fixture_open(&f);
}

static void start_redis(void)
{
    fixture_start(&f, true);
    fixture_open(&f);
}

static void stop(void)
{
    fixture_stop(&f);
}

#define BOTH(name)                                                                                 \
    static void name(void);                                                                        \
    Test(memory, name, .init = start_memory, .fini = stop)                                         \
    {                                                                                              \
        name();                                                                                    \
    }                                                                                              \
    Test(redis, name, .init = start_redis, .fini = stop)                                           \
    {                                                                                              \
        name();                                                                                    \
    }                                                                                              \
    static void name(void)

static const struct tg_pos begin = {0, 0};
static const struct tg_pos all = {0, 0};

/* Appends "0", "1", ... to a topic; returns the id of the last one. */
static struct tg_pos fill(const char *topic, int n)
{
    for (int i = 0; i < n; i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%d", i);
        cr_assert_eq(append(&f, topic, text), TG_OK);
    }
    return f.pos;
}

static void is_page(enum tg_verdict verdict, struct tg_pos resume, size_t n)
{
    cr_assert_eq(f.verdict, verdict, "it is '%s'", tg_verdict_word(f.verdict));
    POS_EQ(f.resume, resume);
    cr_assert_eq(f.n, n, "%zu entries", f.n);
}

/* ---- appending and reading ---- */

BOTH(an_event_comes_back_under_its_id)
{
    struct tg_pos first = f.last;

    cr_assert_eq(append(&f, "a", "{1}"), TG_OK);
    cr_assert(tg_pos_cmp(f.pos, first) > 0);
    cr_assert_eq(page(&f, "a", "", first, all, 10), TG_OK);
    is_page(TG_COMPLETE, first, 1);
    POS_EQ(f.seen[0].pos, f.pos);
    cr_assert_str_eq(f.seen[0].name, "a");
    cr_assert_str_eq(f.seen[0].payload, "{1}");
    cr_assert_not(f.has_more);
}

BOTH(a_topic_has_its_own_events_only)
{
    struct tg_pos first = f.last;

    (void)fill("a", 3);
    (void)fill("b", 2);
    cr_assert_eq(page(&f, "b", "", first, all, 10), TG_OK);
    is_page(TG_COMPLETE, first, 2);
}

BOTH(topics_and_feeds_may_have_any_bytes)
{
    struct tg_pos first = f.last;
    const char *topic = "t{a}:b |%{}*\\ \xc3\xa4\"\r\n";

    cr_assert_eq(take(&f, topic, TG_SEC(10)), TG_OK);
    cr_assert_eq(append_as(&f, topic, f.fence, topic, "1"), TG_OK);
    cr_assert_eq(page(&f, topic, topic, first, all, 10), TG_OK);
    is_page(TG_COMPLETE, first, 1);
    cr_assert_str_eq(f.seen[0].name, topic);
    cr_assert_eq(page(&f, "t{a}:b |%{}", topic, first, all, 10), TG_OK);
    is_page(TG_COMPLETE, first, 0);
}

BOTH(pages_follow_each_other_without_hole_or_overlap)
{
    struct tg_pos after = f.last;
    int expected = 0;

    (void)fill("a", 75);
    do {
        cr_assert_eq(page(&f, "a", "", after, all, 10), TG_OK);
        cr_assert_eq(f.verdict, TG_COMPLETE);
        for (size_t i = 0; i < f.n; i++) {
            cr_assert_eq(strtol(f.seen[i].payload, NULL, 10), expected++);
        }
        cr_assert_gt(f.n, 0);
        after = f.seen[f.n - 1].pos;
    } while (f.has_more);
    cr_assert_eq(expected, 75);
}

BOTH(nothing_above_the_horizon_is_read)
{
    struct tg_pos first = f.last;
    struct tg_pos horizon = fill("a", 5);

    (void)fill("a", 5);
    cr_assert_eq(page(&f, "a", "", first, horizon, 100), TG_OK);
    is_page(TG_COMPLETE, first, 5);
    cr_assert_not(f.has_more);
    POS_EQ(f.seen[4].pos, horizon);
}

BOTH(appends_of_one_handle_keep_their_order)
{
    tail(&f, f.last);
    cr_assert_eq(append_many(&f, "a", 300), 300);
    wait_tail(&f, 300);
    wait_many(&f);
    cr_assert_eq(f.n_by_rc[TG_OK], 300);
    for (int i = 0; i < 300; i++) {
        cr_assert_eq(strtol(f.seen[i].payload, NULL, 10), i);
    }
}

BOTH(what_cannot_be_stored_is_refused_before_it_starts)
{
    static char large[70000];

    memset(large, 'x', sizeof(large) - 1);
    cr_assert_eq(append(&f, "a", large), TG_ELIMIT);
    cr_assert_eq(append(&f, "", "x"), TG_EBADPARAM);
    large[TG_NAME_MAX + 1] = '\0';
    cr_assert_eq(append(&f, large, "x"), TG_EBADPARAM);
    cr_assert_eq(page(&f, "a", "", begin, all, 0), TG_EBADPARAM);
    cr_assert_eq(take(&f, "", TG_SEC(1)), TG_EBADPARAM);
    cr_assert_eq(page(&f, "a", "", f.last, all, 10), TG_OK);
    cr_assert_eq(f.n, 0);
}

BOTH(no_more_operations_are_under_way_than_allowed)
{
    f.opts.max_pending = 3;
    fixture_reopen(&f);
    cr_assert_eq(append_many(&f, "a", 10), 3);
    cr_assert_eq(append(&f, "a", "x"), TG_EBUSY);
    wait_many(&f);
    cr_assert_eq(f.n_by_rc[TG_OK], 3);
    cr_assert_eq(append(&f, "a", "x"), TG_OK);
}

BOTH(close_completes_what_is_under_way)
{
    cr_assert_eq(append_many(&f, "a", 20), 20);
    tg_store_close(f.store);
    f.store = NULL;
    cr_assert_eq(f.n_finished, 20);
    cr_assert_eq(f.n_by_rc[TG_ECANCELED], 20);
    pass_time(&f, TG_MS(30)); /* what comes late finds nobody */
    cr_assert_eq(f.n_finished, 20);
}

BOTH(counters_count)
{
    const struct tg_store_counts *c = tg_store_counts(f.store);

    (void)fill("a", 3);
    cr_assert_eq(append_as(&f, "feed", 1, "a", "x"), TG_EFENCED);
    cr_assert_eq(page(&f, "a", "", f.last, all, 10), TG_OK);
    cr_assert_eq(tg_count_get(&c->appends), 3);
    cr_assert_eq(tg_count_get(&c->fenced), 1);
    cr_assert_eq(tg_count_get(&c->pages), 1);
    cr_assert_eq(tg_count_get(&c->entries_read), 3);
}

/* ---- verdicts ---- */

BOTH(a_topic_never_written_is_complete_since_the_log_began)
{
    (void)fill("a", 2);
    cr_assert_eq(page(&f, "b", "", f.last, all, 10), TG_OK);
    is_page(TG_COMPLETE, f.last, 0);
    cr_assert_eq(page(&f, "b", "", begin, all, 10), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
}

BOTH(a_cursor_before_everything_reads_all_and_says_so)
{
    (void)fill("a", 3);
    cr_assert_eq(page(&f, "a", "", begin, all, 10), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
    cr_assert_eq(f.n, 3);
    cr_assert(tg_pos_cmp(f.resume, f.seen[0].pos) < 0);
}

BOTH(a_trimmed_topic_resets_below_its_floor_only)
{
    struct tg_pos first = {0};
    struct tg_pos floor = {0};
    size_t n = 0;

    f.opts.retain_events = 10;
    fixture_reopen(&f);
    first = fill("a", 1);
    (void)fill("a", 39);
    cr_assert_eq(page(&f, "a", "", first, all, 100), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
    cr_assert(f.n >= 10 && f.n <= 11, "%zu kept", f.n);
    cr_assert_str_eq(f.seen[f.n - 1].payload, "38");
    floor = f.resume;
    n = f.n;
    cr_assert_eq(page(&f, "a", "", floor, all, 100), TG_OK);
    is_page(TG_COMPLETE, floor, n);
    /* Another topic is not touched. */
    cr_assert_eq(page(&f, "b", "", first, all, 100), TG_OK);
    is_page(TG_COMPLETE, first, 0);
}

BOTH(a_cursor_of_another_log_is_reset)
{
    struct tg_epoch mine = f.epoch;
    struct tg_pos first = f.last;

    (void)fill("a", 2);
    f.epoch = (struct tg_epoch){.text = "another"};
    cr_assert_eq(page(&f, "a", "", first, f.pos, 10), TG_OK);
    is_page(TG_RESET_EPOCH, f.pos, 0);
    cr_assert_eq(append(&f, "a", "x"), TG_EEPOCH);
    f.epoch = mine;
    cr_assert_eq(page(&f, "a", "", first, all, 10), TG_OK);
    is_page(TG_COMPLETE, first, 2);
}

BOTH(a_cursor_beyond_the_log_is_reset)
{
    struct tg_pos last = fill("a", 2);
    struct tg_pos ahead = {last.ms, last.seq + 1};

    cr_assert_eq(page(&f, "a", "", ahead, last, 10), TG_OK);
    is_page(TG_RESET_AHEAD, last, 0);
    cr_assert_eq(page(&f, "a", "", last, last, 10), TG_OK);
    is_page(TG_COMPLETE, last, 0);
}

BOTH(a_cursor_older_than_the_retention_is_reset)
{
    struct tg_pos old = {0};

    f.opts.retain_for = TG_SEC(1);
    fixture_reopen(&f);
    old = fill("a", 1);
    pass_time(&f, TG_MS(1100));
    /* At the very end nothing can be missing, however old it is. */
    cr_assert_eq(page(&f, "a", "", old, all, 10), TG_OK);
    is_page(TG_COMPLETE, old, 0);
    (void)fill("a", 1);
    cr_assert_eq(page(&f, "a", "", old, all, 10), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
    cr_assert_eq(f.n, 1);
    cr_assert_eq(page(&f, "b", "", old, all, 10), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
}

BOTH(a_gap_resets_the_topics_of_its_feed)
{
    struct tg_pos first = f.last;
    struct tg_pos before = fill("a", 2);
    struct tg_pos hole = {0};

    cr_assert_eq(take(&f, "feed", TG_SEC(10)), TG_OK);
    cr_assert_eq(gap(&f, "feed", f.fence, "socket"), TG_OK);
    hole = f.pos;
    (void)fill("a", 1);
    cr_assert_eq(page(&f, "a", "feed", first, all, 10), TG_OK);
    is_page(TG_RESET_GAP, hole, 1);
    cr_assert_eq(page(&f, "a", "feed", hole, all, 10), TG_OK);
    is_page(TG_COMPLETE, hole, 1);
    /* Below the horizon there is none yet. */
    cr_assert_eq(page(&f, "a", "feed", first, before, 10), TG_OK);
    is_page(TG_COMPLETE, first, 2);
    cr_assert_eq(page(&f, "a", "other", first, all, 10), TG_OK);
    is_page(TG_COMPLETE, first, 3);
    cr_assert_eq(page(&f, "a", "", first, all, 10), TG_OK);
    is_page(TG_COMPLETE, first, 3);
}

BOTH(a_gap_of_all_feeds_resets_every_topic)
{
    struct tg_pos first = f.last;
    struct tg_pos hole = {0};

    (void)fill("a", 2);
    cr_assert_eq(gap(&f, "", 0, "restart"), TG_OK);
    hole = f.pos;
    cr_assert_eq(page(&f, "a", "", first, all, 10), TG_OK);
    is_page(TG_RESET_GAP, hole, 0);
    cr_assert_eq(page(&f, "b", "feed", first, all, 10), TG_OK);
    is_page(TG_RESET_GAP, hole, 0);
}

BOTH(gaps_that_were_forgotten_still_reset)
{
    struct tg_pos first = f.last;
    struct tg_pos second = {0};

    cr_assert_eq(gap(&f, "", 0, "one"), TG_OK);
    second = fill("a", 1);
    for (int i = 0; i < 700; i++) {
        cr_assert_eq(gap(&f, "", 0, "more"), TG_OK);
    }
    /* The first gap is not held any more, and the horizon lies before those that are. */
    cr_assert_eq(page(&f, "a", "", first, second, 10), TG_OK);
    is_page(TG_RESET_GAP, second, 0);
}

/* ---- lanes ---- */

static struct tg_lane seen_lane;

static bool is_done(struct fixture *fixture)
{
    return fixture->is_done;
}

static void on_lane(enum tg_rc rc, const struct tg_lane *lane, void *arg)
{
    (void)arg;
    cr_assert_eq(lane != NULL, rc == TG_OK);
    if (lane != NULL) {
        seen_lane = *lane;
    }
    f.rc = rc;
    f.is_done = true;
    tg_loop_stop(f.loop);
}

static enum tg_rc lane(const char *topic, struct tg_pos after)
{
    f.is_done = false;
    cr_assert_eq(tg_store_lane(f.store, tg_str_of(topic), after, on_lane, NULL), TG_OK);
    run_until(&f, is_done);
    return f.rc;
}

static void is_lane(uint64_t n, struct tg_pos oldest, struct tg_pos newest)
{
    cr_assert_eq(seen_lane.n, n);
    cr_assert_not(seen_lane.is_capped);
    POS_EQ(seen_lane.oldest, oldest);
    POS_EQ(seen_lane.newest, newest);
    cr_assert_str_eq(seen_lane.epoch.text, f.epoch.text);
}

BOTH(a_lane_tells_what_lies_behind_a_position)
{
    struct tg_pos none = {0};
    struct tg_pos first = fill("a", 1);
    struct tg_pos second = fill("a", 1);
    struct tg_pos other = fill("b", 1);
    struct tg_pos last = fill("a", 50);

    cr_assert_eq(lane("a", begin), TG_OK);
    is_lane(52, first, last);
    POS_EQ(seen_lane.last, last);
    cr_assert_eq(lane("a", first), TG_OK);
    is_lane(51, second, last);
    cr_assert_eq(lane("a", other), TG_OK);
    cr_assert_eq(seen_lane.n, 50);
    cr_assert_eq(lane("a", last), TG_OK);
    is_lane(0, none, none);
    cr_assert_eq(lane("b", first), TG_OK);
    is_lane(1, other, other);
    POS_EQ(seen_lane.last, last);
    cr_assert_eq(lane("b", other), TG_OK);
    is_lane(0, none, none);
    cr_assert_eq(lane("never written", begin), TG_OK);
    is_lane(0, none, none);
    cr_assert_eq(tg_store_lane(f.store, TG_STR(""), begin, on_lane, NULL), TG_EBADPARAM);
}

BOTH(a_lane_counts_no_further_than_its_cap)
{
    struct tg_pos first = fill("a", 1);

    (void)fill("a", TG_LANE_MAX);
    cr_assert_eq(lane("a", first), TG_OK);
    cr_assert_eq(seen_lane.n, TG_LANE_MAX);
    cr_assert_not(seen_lane.is_capped);
    cr_assert_eq(lane("a", begin), TG_OK);
    cr_assert_eq(seen_lane.n, TG_LANE_MAX);
    cr_assert(seen_lane.is_capped);
    POS_EQ(seen_lane.oldest, first);
    (void)fill("a", 1);
    cr_assert_eq(lane("a", first), TG_OK);
    cr_assert(seen_lane.is_capped);
    POS_EQ(seen_lane.newest, f.pos);
}

BOTH(a_lane_has_nothing_that_is_too_old)
{
    f.opts.retain_for = TG_SEC(1);
    fixture_reopen(&f);
    (void)fill("a", 3);
    cr_assert_eq(lane("a", begin), TG_OK);
    cr_assert_eq(seen_lane.n, 3);
    pass_time(&f, TG_MS(1100));
    cr_assert_eq(lane("a", begin), TG_OK);
    cr_assert_eq(seen_lane.n, 0);
}

Test(redis, a_lane_of_a_log_that_is_gone_is_no_lane, .init = start_redis, .fini = stop)
{
    struct tg_pos last = fill("a", 3);

    (void)server(&f, "DEL {test}:1:log {test}:1:epoch");
    cr_assert_eq(lane("a", begin), TG_EEPOCH);
    wait_up(&f, 2);
    cr_assert_eq(lane("a", begin), TG_OK);
    cr_assert_eq(seen_lane.n, 0, "what the old log left does not count");
    cr_assert_lt(tg_pos_cmp(last, seen_lane.last), 0);
}

/* ---- leases ---- */

BOTH(only_the_holder_of_the_lease_writes)
{
    uint64_t fence = 0;

    cr_assert_eq(append_as(&f, "feed", 1, "a", "x"), TG_EFENCED);
    cr_assert_eq(gap(&f, "feed", 1, "x"), TG_EFENCED);
    cr_assert_eq(take(&f, "feed", TG_SEC(10)), TG_OK);
    cr_assert_str_eq(f.holder, "gateway-1");
    fence = f.fence;
    cr_assert_eq(append_as(&f, "feed", fence, "a", "x"), TG_OK);
    cr_assert_eq(append_as(&f, "feed", fence + 1, "a", "x"), TG_EFENCED);
    cr_assert_eq(append_as(&f, "other", fence, "a", "x"), TG_EFENCED);
    cr_assert_eq(page(&f, "a", "", f.last, all, 10), TG_OK);
    cr_assert_eq(f.n, 1);
}

BOTH(a_lease_taken_again_has_a_larger_fence)
{
    uint64_t fence = 0;

    cr_assert_eq(take(&f, "feed", TG_SEC(10)), TG_OK);
    fence = f.fence;
    cr_assert_eq(take(&f, "feed", TG_SEC(10)), TG_OK);
    cr_assert_gt(f.fence, fence);
    cr_assert_eq(append_as(&f, "feed", fence, "a", "x"), TG_EFENCED);
    cr_assert_eq(renew(&f, "feed", fence, TG_SEC(10)), TG_EFENCED);
    cr_assert_eq(release(&f, "feed", fence), TG_EFENCED);
    cr_assert_eq(renew(&f, "feed", f.fence, TG_SEC(10)), TG_OK);
    cr_assert_eq(append_as(&f, "feed", f.fence, "a", "x"), TG_OK);
}

BOTH(a_released_or_expired_lease_lets_nobody_write)
{
    cr_assert_eq(take(&f, "feed", TG_SEC(10)), TG_OK);
    cr_assert_eq(release(&f, "feed", f.fence), TG_OK);
    cr_assert_eq(append_as(&f, "feed", f.fence, "a", "x"), TG_EFENCED);
    cr_assert_eq(take(&f, "feed", TG_MS(1)), TG_OK);
    pass_time(&f, TG_MS(20));
    cr_assert_eq(append_as(&f, "feed", f.fence, "a", "x"), TG_EFENCED);
    cr_assert_eq(renew(&f, "feed", f.fence, TG_SEC(1)), TG_EFENCED);
}

/* ---- the tail ---- */

BOTH(the_tail_tells_every_entry_in_order)
{
    tail(&f, f.last);
    for (int i = 0; i < 20; i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%d", i);
        cr_assert_eq(append(&f, i % 2 == 0 ? "even" : "odd", text), TG_OK);
    }
    cr_assert_eq(gap(&f, "", 0, "why"), TG_OK);
    wait_tail(&f, 21);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(f.seen[i].kind, TG_ENTRY_EVENT);
        cr_assert_str_eq(f.seen[i].name, i % 2 == 0 ? "even" : "odd");
        cr_assert_eq(strtol(f.seen[i].payload, NULL, 10), i);
        cr_assert(i == 0 || tg_pos_cmp(f.seen[i].pos, f.seen[i - 1].pos) > 0);
    }
    cr_assert_eq(f.seen[20].kind, TG_ENTRY_GAP);
    cr_assert_str_eq(f.seen[20].name, "");
    cr_assert_str_eq(f.seen[20].payload, "why");
    cr_assert_eq(f.n_cuts, 0);
    POS_EQ(f.tail_last, f.pos);
    cr_assert_eq(tg_store_tail(f.store, f.last, NULL, NULL), TG_ECONFLICT);
}

BOTH(the_tail_begins_behind_its_position)
{
    struct tg_pos middle = fill("a", 600);

    (void)fill("a", 600);
    tail(&f, middle);
    wait_tail(&f, 600);
    for (int i = 0; i < 600; i++) {
        cr_assert_eq(strtol(f.seen[i].payload, NULL, 10), i);
    }
    cr_assert_eq(f.n_cuts, 0);
}

BOTH(a_tail_behind_the_trimmed_log_is_cut)
{
    struct tg_pos first = {0};

    f.opts.log_events = 10;
    fixture_reopen(&f);
    first = fill("a", 1);
    (void)fill("a", 39);
    tail(&f, first);
    wait_tail(&f, 10);
    cr_assert_eq(f.n_cuts, 1);
    cr_assert_str_eq(f.seen[f.n - 1].payload, "38");
    for (size_t i = 1; i < f.n; i++) {
        cr_assert_eq(strtol(f.seen[i].payload, NULL, 10),
                     strtol(f.seen[i - 1].payload, NULL, 10) + 1);
    }
    /* The topic has its own retention. */
    cr_assert_eq(page(&f, "a", "", first, all, 100), TG_OK);
    is_page(TG_COMPLETE, first, 39);
}

BOTH(control_entries_pass_the_tail_and_belong_to_no_topic)
{
    struct tg_pos first = f.last;
    struct tg_epoch mine = f.epoch;

    tail(&f, f.last);
    cr_assert_eq(append(&f, "a", "0"), TG_OK);
    cr_assert_eq(control(&f, "{\"what\":1}"), TG_OK);
    cr_assert_eq(control(&f, "two"), TG_OK);
    cr_assert_eq(append(&f, "a", "1"), TG_OK);
    wait_tail(&f, 4);
    cr_assert_eq(f.seen[1].kind, TG_ENTRY_CONTROL);
    cr_assert_str_eq(f.seen[1].name, "");
    cr_assert_str_eq(f.seen[1].payload, "{\"what\":1}");
    cr_assert_str_eq(f.seen[2].payload, "two");
    cr_assert_eq(f.seen[3].kind, TG_ENTRY_EVENT);
    cr_assert_eq(f.n_cuts, 0);
    cr_assert_eq(page(&f, "a", "feed", first, all, 10), TG_OK);
    is_page(TG_COMPLETE, first, 2);
    f.epoch = (struct tg_epoch){.text = "another"};
    cr_assert_eq(control(&f, "x"), TG_EEPOCH);
    f.epoch = mine;
    cr_assert_eq(control(&f, "x"), TG_OK);
}

BOTH(control_entries_leave_with_the_log)
{
    struct tg_pos first = {0};

    f.opts.log_events = 10;
    fixture_reopen(&f);
    cr_assert_eq(control(&f, "first"), TG_OK);
    first = f.pos;
    for (int i = 0; i < 40; i++) {
        cr_assert_eq(control(&f, "more"), TG_OK);
    }
    tail(&f, first);
    wait_tail(&f, 10);
    cr_assert_eq(f.n_cuts, 1);
    cr_assert_eq(f.seen[0].kind, TG_ENTRY_CONTROL);
}

/* ---- opening ---- */

Test(store, options_that_make_no_sense_are_refused)
{
    struct tg_store_group *g = NULL;
    struct tg_store_opts o = {.prefix = "p",
                              .holder = "h",
                              .retain_for = TG_SEC(10),
                              .retain_events = 1,
                              .log_events = 1,
                              .max_event_bytes = 1,
                              .max_pending = 1,
                              .timeout = 1};

    cr_assert_eq(tg_store_group_create(&o, &g), TG_OK);
    tg_store_group_destroy(g);
    tg_store_group_destroy(NULL);
    tg_store_close(NULL);
    o.url = "http://x";
    cr_assert_eq(tg_store_group_create(&o, &g), TG_EBADPARAM);
    o.url = "rediss://x";
    cr_assert_eq(tg_store_group_create(&o, &g), TG_EUNSUPPORTED);
    o.url = NULL;
    o.prefix = "";
    cr_assert_eq(tg_store_group_create(&o, &g), TG_EBADPARAM);
}

Test(memory, a_handle_opened_first_is_told_when_the_group_serves)
{
    fixture_start(&f, false);
    fixture_open(&f); /* opens before it serves */
    cr_assert_eq(f.n_up, 1);
    tg_store_group_unserve(f.group);
    wait_down(&f, 1);
    cr_assert_eq(append(&f, "a", "x"), TG_ESTORE);
    fixture_stop(&f);
}

Test(memory, the_oldest_entries_leave_when_the_memory_is_full)
{
    struct tg_pos first = {0};
    static char text[1000];

    fixture_start(&f, false);
    f.opts.max_bytes = 100000;
    fixture_open(&f);
    memset(text, 'x', sizeof(text) - 1);
    cr_assert_eq(append(&f, "a", text), TG_OK);
    first = f.pos;
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(append(&f, "a", text), TG_OK);
    }
    cr_assert_eq(page(&f, "a", "", first, all, 1000), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
    cr_assert(f.n > 50 && f.n < 100, "%zu", f.n);
    fixture_stop(&f);
}
