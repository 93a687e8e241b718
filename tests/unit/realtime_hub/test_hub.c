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
    cr_assert_told("w0 t7 joining closed\nw0 cut\n");
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

static void changes(int from, int n, size_t size)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = {.max = size + 128};

    for (int i = from; i < from + n; i++) {
        tg_buf_clear(&text);
        (void)tg_buf_printf(
            &text, "{\"data\":{\"type\":\"INSERT\",\"record\":{\"id\":1,\"n\":%d,\"t\":\"", i);
        for (size_t k = 0; k < size; k += 8) {
            (void)tg_buf_str(&text, TG_STR("xxxxxxxx"));
        }
        (void)tg_buf_str(&text, TG_STR("\"}}}"));
        cr_assert_eq(tg_buf_rc(&text), TG_OK);
        world.link.on_change(1, tg_buf_view(&text), world.link_arg);
    }
}

static void take_mail(void)
{
    (void)tg_mailbox_drain(world.mailbox, world.owner);
}

Test(hub, lets_changes_wait_while_the_log_takes_those_before)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf expected = {.max = 4096};

    bring_up(A, 7);
    changes(0, 100, 8);
    take_mail();
    cr_assert_eq(world.n_ops, 8, "no more at once than it may");
    turn();
    for (int i = 0; i < 100; i++) {
        (void)tg_buf_printf(&expected, "w0 t7 event %d\n", i);
    }
    cr_assert_told(tg_buf_cstr(&expected));
    cr_assert_eq(tg_count_get(&tg_hub_counts(world.hub)->gaps), 1, "that of the join");
}

Test(hub, keeps_the_end_of_coverage_behind_the_changes_that_wait)
{
    bring_up(A, 7);
    changes(0, 9, 8);
    world.link.on_down(1, TG_UP_CLOSED, false, world.link_arg);
    take_mail();
    cr_assert_told(""); /* eight are on their way, one waits, and the end behind it */
    answer_first(TG_OK);
    cr_assert_told("");
    cr_assert_eq(world.n_ops, 8, "the ninth has begun");
    answer_first(TG_OK);
    cr_assert_told("w0 t7 joining closed\n");
}

Test(hub, puts_a_gap_where_changes_were_too_many_to_wait)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf expected = {.max = 4096};
    const int fit = 8 + 63;

    bring_up(A, 7);
    changes(0, 100, (size_t)1 << 20); /* 64 MiB may wait */
    take_mail();
    changes(100, 1, 8);
    turn();
    for (int i = 0; i < fit; i++) {
        (void)tg_buf_printf(&expected, "w0 t7 event %d\n", i);
    }
    cr_assert_told(tg_buf_cstr(&expected)); /* the last one is covered by the gap, too */
    pass(TG_SEC(1));
    (void)tg_buf_printf(&expected, "w0 t7 reset\n");
    cr_assert_told(tg_buf_cstr(&expected));
    cr_assert_eq(tg_count_get(&tg_hub_counts(world.hub)->lost), (uint64_t)(100 - fit));
}

Test(hub, lets_what_waits_go_when_it_ends)
{
    bring_up(A, 7);
    changes(0, 20, 8);
    take_mail();
    cr_assert_eq(world.n_ops, 8);
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
