/* test_hub.c - who is interested in what, limits, and delivery to the workers. */
#include <criterion/criterion.h>

#include "realtime_hub/world.h"

TestSuite(hub, .init = start, .fini = stop);

#define A "table:public.a"
#define B "table:public.b"
#define C "table:public.c"

static uint64_t feeds(void)
{
    return tg_count_get(&tg_hub_counts(world.hub)->feeds);
}

/* ---- delivery ---- */

Test(hub, delivers_to_every_worker_under_its_own_number)
{
    bring_up(A, 7);
    subscribe_as("u", A, 1, 9, 3600);
    cr_assert_told("w1 t9 ready new\n");
    forget();
    link_changes(1, 1);
    cr_assert_told("w0 t7 event 1\nw1 t9 event 1\n");
}

Test(hub, delivers_a_change_only_to_its_topic)
{
    bring_up(A, 7);
    bring_up(B, 8);
    link_changes(2, 1);
    cr_assert_told("w0 t8 event 1\n");
}

Test(hub, keeps_the_topics_of_users_apart)
{
    bring_up(A, 7);
    subscribe_as("v", A, 0, 8, 3600);
    cr_assert_link("join 2 public.a jwt-3600\n");
    link_up(2);
    forget();
    link_changes(1, 1);
    link_changes(2, 2);
    cr_assert_told("w0 t7 event 1\nw0 t8 event 2\n");
}

Test(hub, keeps_the_topics_of_a_users_classes_apart)
{
    bring_up(A, 7);
    world.class_id = "another";
    subscribe(A, 8);
    cr_assert_told("w0 t8 joining new\n");
    cr_assert_link("join 2 public.a jwt-3600\n");
    link_up(2);
    forget();
    link_changes(2, 2);
    cr_assert_told("w0 t8 event 2\n");
}

Test(hub, tells_a_cut_when_a_worker_had_no_room)
{
    bring_up(A, 7);
    world.workers_are_full = true;
    link_changes(1, 1);
    world.workers_are_full = false;
    link_changes(1, 2);
    cr_assert_told("w0 cut\nw0 t7 event 2\n");
    link_changes(1, 3);
    cr_assert_told("w0 cut\nw0 t7 event 2\nw0 t7 event 3\n");
    cr_assert_eq(tg_count_get(&tg_hub_counts(world.hub)->mail_full), 1);
}

Test(hub, tells_a_cut_also_when_nothing_comes_any_more)
{
    bring_up(A, 7);
    world.workers_are_full = true;
    link_changes(1, 1);
    world.workers_are_full = false;
    pass(TG_SEC(1));
    cr_assert_told("w0 cut\n");
}

Test(hub, tells_the_state_of_topics_again_when_news_did_not_fit)
{
    bring_up(A, 7);
    pass(TG_SEC(1));
    world.workers_are_full = true;
    link_down(1, false);
    world.workers_are_full = false;
    pass(TG_SEC(1));
    cr_assert_told("w0 t7 joining\nw0 cut\n");
}

static void write_gap(const char *feed)
{
    const struct tg_ask ask = {
        .verb = TG_VERB_GAP, .epoch = *tg_memlog_epoch(world.log), .feed = tg_str_of(feed)};
    struct tg_pos pos = {0};

    cr_assert_eq(
        tg_memlog_append(world.log, &ask,
                         (struct tg_memtime){.wall_ms = world.now / 1000, .mono = world.now}, &pos),
        TG_OK);
    turn();
}

Test(hub, takes_a_gap_without_a_name_as_everybodys)
{
    bring_up(A, 7);
    bring_up(B, 8);
    write_gap("");
    cr_assert_told("w0 t7 reset\nw0 t8 reset\n");
}

Test(hub, writes_gaps_for_what_the_link_could_not_post)
{
    bring_up(A, 7);
    tg_count_add(&world.hub->lost, 1);
    pass(TG_SEC(1));
    cr_assert_told("w0 t7 reset\n");
    cr_assert_eq(tg_count_get(&tg_hub_counts(world.hub)->lost), 1);
}

Test(hub, forgets_what_the_link_says_of_channels_that_are_gone)
{
    bring_up(A, 7);
    link_up(99);
    link_down(99, true);
    link_refuses(99, "no");
    link_changes(99, 1);
    cr_assert_told("");
}

/* ---- interest ---- */

Test(hub, delivers_nothing_to_a_worker_that_unsubscribed)
{
    bring_up(A, 7);
    unsubscribe("u", A, 0, 7);
    link_changes(1, 1);
    cr_assert_told("");
    cr_assert_eq(feeds(), 1, "the feed stays for whoever comes next");
    subscribe(A, 8);
    cr_assert_told("w0 t8 ready new\n");
    cr_assert_link("");
}

Test(hub, ignores_the_end_of_a_subscription_that_was_replaced)
{
    bring_up(A, 7);
    subscribe(A, 8);
    forget();
    unsubscribe("u", A, 0, 7);
    unsubscribe("u", B, 0, 7);
    link_changes(1, 1);
    cr_assert_told("w0 t8 event 1\n");
    cr_assert_eq(tg_count_get(&tg_hub_counts(world.hub)->subscriptions), 1);
}

/* ---- limits ---- */

Test(hub, refuses_a_user_more_topics_than_allowed)
{
    bring_up(A, 1);
    bring_up(B, 2);
    subscribe(C, 3);
    cr_assert_told("w0 t3 refused TG_ERATE too many table topics at once\n");
    cr_assert_eq(feeds(), 2);
}

Test(hub, closes_the_feed_that_was_idle_longest_for_a_users_next)
{
    bring_up(A, 1);
    bring_up(B, 2);
    unsubscribe("u", B, 0, 2);
    pass(TG_SEC(1));
    unsubscribe("u", A, 0, 1);
    subscribe(C, 3);
    cr_assert_link("leave 2\njoin 3 public.c jwt-3600\n");
    cr_assert_eq(feeds(), 2);
}

Test(hub, refuses_more_feeds_than_allowed_in_all)
{
    bring_up(A, 1);
    bring_up(B, 2);
    subscribe_as("v", A, 0, 3, 3600);
    forget();
    subscribe_as("w", A, 0, 4, 3600);
    cr_assert_told("w0 t4 refused TG_ERATE too many table topics at once\n");
    cr_assert_eq(feeds(), 3);
    cr_assert_eq(world.hub->users.n, 2, "nothing is kept of who was refused");
}

Test(hub, closes_the_idle_feed_of_another_user_when_all_are_taken)
{
    bring_up(A, 1);
    bring_up(B, 2);
    subscribe_as("v", A, 0, 3, 3600);
    unsubscribe("u", A, 0, 1);
    forget();
    subscribe_as("w", A, 0, 4, 3600);
    cr_assert_link("leave 1\njoin 4 public.a jwt-3600\n");
    cr_assert_eq(feeds(), 3);
}
