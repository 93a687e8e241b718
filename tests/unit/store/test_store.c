/* test_store.c - what store.h promises, said once and asked of both backends. */
#include <stdio.h>
#include <stdlib.h>

#define SUITE log
#include "store/both.h"

/* ---- appending and reading ---- */

BOTH(an_event_comes_back_under_its_id)
{
    struct tg_pos first = f.last;

    cr_assert_eq(append(&f, "a", "{1}"), TG_OK);
    cr_assert(tg_pos_cmp(f.pos, first) > 0);
    cr_assert_eq(page(&f, "a", "", first, all, 10), TG_OK);
    is_page(&f, TG_COMPLETE, first, 1);
    POS_EQ(f.seen[0].pos, f.pos);
    cr_assert_str_eq(f.seen[0].name, "a");
    cr_assert_str_eq(f.seen[0].payload, "{1}");
    cr_assert_not(f.has_more);
}

BOTH(a_topic_has_its_own_events_only)
{
    struct tg_pos first = f.last;

    (void)fill(&f, "a", 3);
    (void)fill(&f, "b", 2);
    cr_assert_eq(page(&f, "b", "", first, all, 10), TG_OK);
    is_page(&f, TG_COMPLETE, first, 2);
}

BOTH(topics_and_feeds_may_have_any_bytes)
{
    struct tg_pos first = f.last;
    const char *topic = "t{a}:b |%{}*\\ \xc3\xa4\"\r\n";

    cr_assert_eq(take(&f, topic, TG_SEC(10)), TG_OK);
    cr_assert_eq(append_as(&f, topic, f.fence, topic, "1"), TG_OK);
    cr_assert_eq(page(&f, topic, topic, first, all, 10), TG_OK);
    is_page(&f, TG_COMPLETE, first, 1);
    cr_assert_str_eq(f.seen[0].name, topic);
    cr_assert_eq(page(&f, "t{a}:b |%{}", topic, first, all, 10), TG_OK);
    is_page(&f, TG_COMPLETE, first, 0);
}

BOTH(pages_follow_each_other_without_hole_or_overlap)
{
    struct tg_pos after = f.last;
    int expected = 0;

    (void)fill(&f, "a", 75);
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
    struct tg_pos horizon = fill(&f, "a", 5);

    (void)fill(&f, "a", 5);
    cr_assert_eq(page(&f, "a", "", first, horizon, 100), TG_OK);
    is_page(&f, TG_COMPLETE, first, 5);
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

    (void)fill(&f, "a", 3);
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
    (void)fill(&f, "a", 2);
    cr_assert_eq(page(&f, "b", "", f.last, all, 10), TG_OK);
    is_page(&f, TG_COMPLETE, f.last, 0);
    cr_assert_eq(page(&f, "b", "", begin, all, 10), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
}

BOTH(a_cursor_before_everything_reads_all_and_says_so)
{
    (void)fill(&f, "a", 3);
    cr_assert_eq(page(&f, "a", "", begin, all, 10), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
    cr_assert(!f.has_skipped);
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
    first = fill(&f, "a", 1);
    (void)fill(&f, "a", 39);
    cr_assert_eq(page(&f, "a", "", first, all, 100), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
    cr_assert(f.n >= 10 && f.n <= 11, "%zu kept", f.n);
    cr_assert_str_eq(f.seen[f.n - 1].payload, "38");
    floor = f.resume;
    n = f.n;
    cr_assert_eq(page(&f, "a", "", floor, all, 100), TG_OK);
    is_page(&f, TG_COMPLETE, floor, n);
    /* Another topic is not touched. */
    cr_assert_eq(page(&f, "b", "", first, all, 100), TG_OK);
    is_page(&f, TG_COMPLETE, first, 0);
}

BOTH(a_cursor_of_another_log_is_reset)
{
    struct tg_epoch mine = f.epoch;
    struct tg_pos first = f.last;

    (void)fill(&f, "a", 2);
    f.epoch = (struct tg_epoch){.text = "another"};
    cr_assert_eq(page(&f, "a", "", first, f.pos, 10), TG_OK);
    is_page(&f, TG_RESET_EPOCH, f.pos, 0);
    cr_assert_eq(append(&f, "a", "x"), TG_EEPOCH);
    f.epoch = mine;
    cr_assert_eq(page(&f, "a", "", first, all, 10), TG_OK);
    is_page(&f, TG_COMPLETE, first, 2);
}

BOTH(a_cursor_beyond_the_log_is_reset)
{
    struct tg_pos last = fill(&f, "a", 2);
    struct tg_pos ahead = {last.ms, last.seq + 1};

    cr_assert_eq(page(&f, "a", "", ahead, last, 10), TG_OK);
    is_page(&f, TG_RESET_AHEAD, last, 0);
    cr_assert_eq(page(&f, "a", "", last, last, 10), TG_OK);
    is_page(&f, TG_COMPLETE, last, 0);
}

BOTH(a_cursor_older_than_the_retention_is_reset)
{
    struct tg_pos old = {0};

    f.opts.retain_for = TG_SEC(1);
    fixture_reopen(&f);
    old = fill(&f, "a", 1);
    pass_time(&f, TG_MS(1100));
    /* At the very end nothing can be missing, however old it is. */
    cr_assert_eq(page(&f, "a", "", old, all, 10), TG_OK);
    is_page(&f, TG_COMPLETE, old, 0);
    (void)fill(&f, "a", 1);
    cr_assert_eq(page(&f, "a", "", old, all, 10), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
    cr_assert_eq(f.n, 1);
    cr_assert_eq(page(&f, "b", "", old, all, 10), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
}

BOTH(a_gap_resets_the_topics_of_its_feed)
{
    struct tg_pos first = f.last;
    struct tg_pos before = fill(&f, "a", 2);
    struct tg_pos hole = {0};

    cr_assert_eq(take(&f, "feed", TG_SEC(10)), TG_OK);
    cr_assert_eq(gap(&f, "feed", f.fence, "socket"), TG_OK);
    hole = f.pos;
    (void)fill(&f, "a", 1);
    cr_assert_eq(page(&f, "a", "feed", first, all, 10), TG_OK);
    is_page(&f, TG_RESET_GAP, hole, 1);
    cr_assert_eq(page(&f, "a", "feed", hole, all, 10), TG_OK);
    is_page(&f, TG_COMPLETE, hole, 1);
    /* Below the horizon there is none yet. */
    cr_assert_eq(page(&f, "a", "feed", first, before, 10), TG_OK);
    is_page(&f, TG_COMPLETE, first, 2);
    cr_assert_eq(page(&f, "a", "other", first, all, 10), TG_OK);
    is_page(&f, TG_COMPLETE, first, 3);
    cr_assert_eq(page(&f, "a", "", first, all, 10), TG_OK);
    is_page(&f, TG_COMPLETE, first, 3);
}

BOTH(a_gap_of_all_feeds_resets_every_topic)
{
    struct tg_pos first = f.last;
    struct tg_pos hole = {0};

    (void)fill(&f, "a", 2);
    cr_assert_eq(gap(&f, "", 0, "restart"), TG_OK);
    hole = f.pos;
    cr_assert_eq(page(&f, "a", "", first, all, 10), TG_OK);
    is_page(&f, TG_RESET_GAP, hole, 0);
    cr_assert_eq(page(&f, "b", "feed", first, all, 10), TG_OK);
    is_page(&f, TG_RESET_GAP, hole, 0);
}

BOTH(a_gap_in_what_is_held_is_told_to_a_cursor_before_everything)
{
    struct tg_pos hole = {0};

    cr_assert_eq(gap(&f, "", 0, "first"), TG_OK);
    (void)fill(&f, "a", 2);
    cr_assert_eq(page(&f, "a", "", begin, all, 10), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
    cr_assert(!f.has_skipped, "nothing is held before the gap");
    cr_assert_eq(gap(&f, "", 0, "restart"), TG_OK);
    hole = f.pos;
    (void)fill(&f, "a", 3);
    cr_assert_eq(page(&f, "a", "", begin, all, 10), TG_OK);
    is_page(&f, TG_RESET_EXPIRED, hole, 3);
    cr_assert(f.has_skipped);
    /* Only behind the gap does the other topic begin. */
    (void)fill(&f, "b", 1);
    cr_assert_eq(page(&f, "b", "", begin, all, 10), TG_OK);
    is_page(&f, TG_RESET_EXPIRED, hole, 1);
    cr_assert(!f.has_skipped);
}

BOTH(a_gap_before_all_that_retention_left_is_not_told_to_a_cursor_before_everything)
{
    f.opts.retain_events = 10;
    fixture_reopen(&f);
    (void)fill(&f, "a", 20);
    cr_assert_eq(gap(&f, "", 0, "restart"), TG_OK);
    (void)fill(&f, "a", 5);
    cr_assert_eq(page(&f, "a", "", begin, all, 100), TG_OK);
    cr_assert_eq(f.n, 5);
    cr_assert(f.has_skipped, "some before it are held");
    (void)fill(&f, "a", 20);
    cr_assert_eq(page(&f, "a", "", begin, all, 100), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
    cr_assert(!f.has_skipped, "retention took them");
}

BOTH(gaps_that_were_forgotten_still_reset)
{
    struct tg_pos first = f.last;
    struct tg_pos second = {0};

    cr_assert_eq(gap(&f, "", 0, "one"), TG_OK);
    second = fill(&f, "a", 1);
    for (int i = 0; i < 700; i++) {
        cr_assert_eq(gap(&f, "", 0, "more"), TG_OK);
    }
    /* The first gap is not held any more, and the horizon lies before those that are. */
    cr_assert_eq(page(&f, "a", "", first, second, 10), TG_OK);
    is_page(&f, TG_RESET_GAP, second, 0);
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

/* ---- what is told ---- */

Test(store, a_client_is_not_told_the_stores_own_affairs)
{
    cr_assert_eq(tg_store_tell(TG_OK), TG_OK);
    cr_assert_eq(tg_store_tell(TG_ENOTFOUND), TG_ENOTFOUND);
    cr_assert_eq(tg_store_tell(TG_ESTOREFULL), TG_ESTOREFULL);
    cr_assert_eq(tg_store_tell(TG_EBUSY), TG_EBUSY);
    cr_assert_eq(tg_store_tell(TG_ETIMEDOUT), TG_ESTORE);
    cr_assert_eq(tg_store_tell(TG_EEPOCH), TG_ESTORE);
    cr_assert_eq(tg_store_tell(TG_EFENCED), TG_ESTORE);
    cr_assert_eq(tg_store_tell(TG_ECANCELED), TG_ESTORE);
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
