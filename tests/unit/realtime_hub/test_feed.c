/* test_feed.c - coverage: leases, joins, gaps, tokens, ends. */
#include <criterion/criterion.h>

#include "realtime_hub/world.h"

TestSuite(feed, .init = start, .fini = stop);

#define A "table:public.a"
#define FEED_A "u|table:public.a"

static uint64_t counted(const tg_count *c)
{
    return tg_count_get(c);
}

/* ---- from join to ready ---- */

Test(feed, joins_with_its_lease_and_the_callers_token)
{
    subscribe("table:public.a:x=eq.1", 7);
    cr_assert_told("w0 t7 joining new\n");
    cr_assert_link("join 1 public.a:x=eq.1 jwt-3600\n");
}

Test(feed, writes_a_gap_at_subscribed_and_is_ready_behind_it)
{
    subscribe(A, 7);
    forget();
    link_up(1);
    cr_assert_told("w0 t7 ready\nw0 t7 reset\n");
    cr_assert_eq(counted(&tg_hub_counts(world.hub)->gaps), 1);
    cr_assert_eq(counted(&tg_hub_counts(world.hub)->feeds_live), 1);
}

Test(feed, covers_by_its_gap_what_came_before_it)
{
    subscribe(A, 7);
    forget();
    world.link.on_up(1, world.link_arg);
    world.link.on_change(1,
                         TG_STR("{\"data\":{\"type\":\"INSERT\",\"record\":{\"id\":1,\"n\":5}}}"),
                         world.link_arg);
    turn();
    cr_assert_told("w0 t7 ready\nw0 t7 reset\n");
}

Test(feed, delivers_changes_in_the_order_they_came)
{
    bring_up(A, 7);
    link_changes(1, 1);
    link_changes(1, 2);
    link_changes(1, 3);
    cr_assert_told("w0 t7 event 1\nw0 t7 event 2\nw0 t7 event 3\n");
    cr_assert_eq(counted(&tg_hub_counts(world.hub)->appended), 3);
}

Test(feed, is_not_ready_when_it_went_down_before_its_gap_was_written)
{
    subscribe(A, 7);
    forget();
    world.link.on_up(1, world.link_arg);
    world.link.on_down(1, TG_UP_CLOSED, false, world.link_arg);
    turn();
    cr_assert_told("");
    link_up(1);
    pass(TG_SEC(1));
    cr_assert_told("w0 t7 ready\nw0 t7 reset\n");
}

Test(feed, is_ready_behind_the_last_of_several_gaps)
{
    subscribe(A, 7);
    forget();
    world.link.on_up(1, world.link_arg);
    world.link.on_up(1, world.link_arg);
    (void)tg_mailbox_drain(world.mailbox, world.owner);
    cr_assert(end_read());
    feed_lost(TG_CONTAINER_OF(world.hub->feeds.next, struct feed, node), "test");
    feed_need_gap(TG_CONTAINER_OF(world.hub->feeds.next, struct feed, node), "test");
    answer_first(TG_OK);
    cr_assert_told("");
    turn();
    cr_assert_told("w0 t7 reset\nw0 t7 reset\n");
    pass(TG_SEC(1));
    cr_assert_told("w0 t7 reset\nw0 t7 reset\nw0 t7 ready\nw0 t7 reset\n");
}

Test(feed, tells_that_it_is_down_and_covers_anew_with_a_gap)
{
    bring_up(A, 7);
    link_down(1, false);
    cr_assert_told("w0 t7 joining closed\n");
    cr_assert_eq(counted(&tg_hub_counts(world.hub)->feeds_live), 0);
    link_up(1);
    cr_assert_told("w0 t7 joining closed\nw0 t7 ready\nw0 t7 reset\n");
    cr_assert_link("");
}

Test(feed, writes_a_gap_when_upstream_subscribed_anew)
{
    bring_up(A, 7);
    link_up(1);
    pass(TG_SEC(1));
    cr_assert_told("w0 t7 ready\nw0 t7 reset\n");
}

Test(feed, writes_a_gap_for_a_change_with_errors)
{
    bring_up(A, 7);
    world.link.on_change(1, TG_STR("{\"data\":{\"type\":\"INSERT\",\"errors\":[\"Error 413\"]}}"),
                         world.link_arg);
    world.link.on_change(1, TG_STR("nonsense"), world.link_arg);
    turn();
    cr_assert_told("");
    pass(TG_SEC(1));
    cr_assert_told("w0 t7 reset\n");
    cr_assert_eq(counted(&tg_hub_counts(world.hub)->appended), 0);
}

Test(feed, has_a_gap_when_the_projects_rate_was_near)
{
    bring_up(A, 7);
    link_changes(1, 1);
    world.link.on_rate(world.link_arg);
    turn();
    link_changes(1, 2);
    cr_assert_told("w0 t7 event 1\nw0 t7 reset\nw0 t7 event 2\n");
}

Test(feed, that_is_refused_says_why_and_is_closed)
{
    subscribe(A, 7);
    forget();
    link_refuses(1, "no such table");
    cr_assert_told("w0 t7 refused TG_EBADTOPIC no such table\n");
    cr_assert_eq(counted(&tg_hub_counts(world.hub)->feeds), 0);
    cr_assert_eq(counted(&tg_hub_counts(world.hub)->topics), 0);
    link_changes(1, 1);
    cr_assert_told("w0 t7 refused TG_EBADTOPIC no such table\n");
}

/* ---- leases ---- */

Test(feed, held_elsewhere_is_read_from_the_log_and_not_joined)
{
    other_takes(FEED_A);
    subscribe(A, 7);
    cr_assert_told("w0 t7 joining new\nw0 t7 ready\n");
    cr_assert_link("");
}

Test(feed, held_elsewhere_is_taken_over_when_its_holder_is_gone)
{
    other_takes(FEED_A);
    subscribe(A, 7);
    forget();
    pass(TG_SEC(5));
    cr_assert_link("");
    other_drops(FEED_A);
    pass(TG_SEC(3));
    cr_assert_link("join 1 public.a jwt-3600\n");
    cr_assert_told("w0 t7 joining\n");
    link_up(1);
    cr_assert_told("w0 t7 joining\nw0 t7 ready\nw0 t7 reset\n");
}

Test(feed, leaves_when_its_append_is_fenced)
{
    bring_up(A, 7);
    world.link.on_change(1,
                         TG_STR("{\"data\":{\"type\":\"INSERT\",\"record\":{\"id\":1,\"n\":5}}}"),
                         world.link_arg);
    answer_first(TG_EFENCED);
    cr_assert_link("leave 1\n");
    turn();
    cr_assert_link("leave 1\njoin 2 public.a jwt-3600\n");
}

Test(feed, writes_a_gap_when_nobody_knows_what_became_of_an_append)
{
    bring_up(A, 7);
    world.link.on_change(1,
                         TG_STR("{\"data\":{\"type\":\"INSERT\",\"record\":{\"id\":1,\"n\":5}}}"),
                         world.link_arg);
    answer_first(TG_ETIMEDOUT);
    turn();
    cr_assert_told("w0 t7 reset\n");
}

Test(feed, covers_with_one_gap_all_that_failed_before_it)
{
    bring_up(A, 7);
    for (int i = 0; i < 5; i++) {
        world.link.on_change(
            1, TG_STR("{\"data\":{\"type\":\"INSERT\",\"record\":{\"id\":1,\"n\":5}}}"),
            world.link_arg);
    }
    for (int i = 0; i < 5; i++) {
        answer_first(TG_ETIMEDOUT);
    }
    turn();
    cr_assert_told("w0 t7 reset\n");
    world.link.on_change(1,
                         TG_STR("{\"data\":{\"type\":\"INSERT\",\"record\":{\"id\":1,\"n\":6}}}"),
                         world.link_arg);
    answer_first(TG_ETIMEDOUT);
    turn();
    cr_assert_told("w0 t7 reset\nw0 t7 reset\n");
}

Test(feed, renews_its_lease_for_as_long_as_it_lives)
{
    bring_up(A, 7);
    pass(TG_SEC(100));
    link_changes(1, 1);
    cr_assert_told("w0 t7 event 1\n");
    cr_assert_link("");
}

Test(feed, takes_its_lease_again_when_the_store_was_busy)
{
    world.refuse_rc = TG_EBUSY;
    subscribe(A, 7);
    world.refuse_rc = TG_OK;
    cr_assert_link("");
    pass(TG_SEC(3));
    cr_assert_link("join 1 public.a jwt-3600\n");
}

Test(feed, takes_its_lease_again_after_an_answer_that_says_nothing)
{
    world.answer_rc = TG_ETIMEDOUT;
    subscribe(A, 7);
    world.answer_rc = TG_OK;
    cr_assert_link("");
    pass(TG_SEC(3));
    cr_assert_link("join 1 public.a jwt-3600\n");
}

/* ---- the store ---- */

Test(feed, waits_for_the_store_and_covers_anew_with_a_gap)
{
    bring_up(A, 7);
    store_down();
    cr_assert_told("w0 t7 joining store-down\n");
    link_changes(1, 1);
    forget();
    store_up(false);
    cr_assert_told("w0 t7 ready\nw0 t7 reset\n");
    cr_assert_link(""); /* it was joined all the time */
}

Test(feed, starts_when_the_store_comes)
{
    store_down();
    subscribe(A, 7);
    cr_assert_told("w0 t7 joining new store-down\n");
    cr_assert_link("");
    store_up(false);
    cr_assert_link("join 1 public.a jwt-3600\n");
}

Test(feed, is_cut_for_every_worker_when_the_log_is_another_one)
{
    bring_up(A, 7);
    store_down();
    forget();
    store_up(true);
    cr_assert_told("w0 cut\nw1 cut\nw0 t7 ready\nw0 t7 reset\n");
}

/* ---- tokens ---- */

Test(feed, goes_on_with_a_token_that_lasts_longer)
{
    bring_up(A, 7);
    subscribe_as("u", A, 0, 7, 1800);
    cr_assert_link("");
    subscribe_as("u", A, 0, 7, 7200);
    cr_assert_link("token 1 jwt-7200\n");
    pass(TG_SEC(3700));
    cr_assert_eq(counted(&tg_hub_counts(world.hub)->feeds), 1);
}

Test(feed, refuses_to_start_with_a_token_that_ends_in_a_minute)
{
    subscribe_as("u", A, 0, 7, 59);
    cr_assert_told("w0 t7 joining new\n"
                   "w0 t7 refused TG_EEXPIRED the token expires in less than a minute\n");
    cr_assert_link("");
    subscribe_as("u", A, 0, 7, 61);
    cr_assert_link("join 1 public.a jwt-61\n");
}

Test(feed, ends_with_its_last_token)
{
    bring_up(A, 7);
    pass(TG_SEC(3599));
    cr_assert_told("");
    pass(TG_SEC(2));
    cr_assert_told("w0 t7 joining\n");
    cr_assert_link("leave 1\n");
    cr_assert_eq(counted(&tg_hub_counts(world.hub)->feeds), 0);
    subscribe(A, 7);
    cr_assert_link("leave 1\njoin 2 public.a jwt-3600\n");
}

Test(feed, takes_any_good_token_when_upstream_wants_another)
{
    bring_up(A, 7);
    link_down(1, true);
    subscribe_as("u", A, 0, 7, 600);
    cr_assert_link("token 1 jwt-600\n");
}

Test(feed, gives_its_lease_back_at_the_end)
{
    bring_up(A, 7);
    tg_hub_stop(world.hub);
    turn();
    pass(TG_MS(10));
    other_takes(FEED_A);
}
