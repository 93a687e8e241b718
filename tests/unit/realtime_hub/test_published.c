/* test_published.c - topics without a feed: the store alone makes them ready, and only what is
 * everybody's gap is theirs. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "realtime_hub/world.h"

TestSuite(published, .init = start, .fini = stop);

#define NOTES "notes:42"

static struct tg_memtime time_now(void)
{
    return (struct tg_memtime){.wall_ms = world.now / 1000, .mono = world.now};
}

/* As a worker of some gateway would. */
static void publish(const char *topic, int n)
{
    char payload[64];
    struct tg_ask ask = {
        .verb = TG_VERB_APPEND, .epoch = *tg_memlog_epoch(world.log), .topic = tg_str_of(topic)};
    struct tg_pos pos = {0};

    (void)snprintf(payload, sizeof(payload), "{\"payload\":{\"n\":%d}}", n);
    ask.payload = tg_str_of(payload);
    cr_assert_eq(tg_memlog_append(world.log, &ask, time_now(), &pos), TG_OK);
    turn();
}

static void write_gap(void)
{
    const struct tg_ask ask = {.verb = TG_VERB_GAP, .epoch = *tg_memlog_epoch(world.log)};
    struct tg_pos pos = {0};

    cr_assert_eq(tg_memlog_append(world.log, &ask, time_now(), &pos), TG_OK);
    turn();
}

Test(published, is_ready_at_once_without_upstream)
{
    subscribe(NOTES, 7);
    cr_assert_told("w0 t7 ready new\n");
    cr_assert_link("");
    cr_assert_eq(tg_count_get(&tg_hub_counts(world.hub)->feeds), 0);
    cr_assert_eq(tg_count_get(&tg_hub_counts(world.hub)->topics), 1);
    publish(NOTES, 1);
    cr_assert_told("w0 t7 ready new\nw0 t7 event 1\n");
}

Test(published, is_one_topic_for_users_and_those_without_a_name)
{
    subscribe(NOTES, 7);
    subscribe_as("", NOTES, 1, 9, 3600);
    cr_assert_eq(tg_count_get(&tg_hub_counts(world.hub)->topics), 1);
    forget();
    publish(NOTES, 1);
    cr_assert_told("w0 t7 event 1\nw1 t9 event 1\n");
}

Test(published, does_not_count_among_a_users_feeds)
{
    subscribe("notes:1", 1);
    subscribe("notes:2", 2);
    subscribe("notes:3", 3);
    subscribe("notes:4", 4);
    cr_assert_told("w0 t1 ready new\nw0 t2 ready new\nw0 t3 ready new\nw0 t4 ready new\n");
}

Test(published, is_forgotten_with_its_last_reader)
{
    subscribe(NOTES, 7);
    subscribe_as("v", NOTES, 1, 9, 3600);
    unsubscribe("u", NOTES, 0, 7);
    cr_assert_eq(tg_count_get(&tg_hub_counts(world.hub)->topics), 1);
    unsubscribe("v", NOTES, 1, 9);
    cr_assert_eq(tg_count_get(&tg_hub_counts(world.hub)->topics), 0);
}

Test(published, is_offline_without_the_store_and_ready_with_it)
{
    subscribe(NOTES, 7);
    forget();
    store_down();
    cr_assert_told("w0 t7 joining store-down\n");
    forget();
    store_up(false);
    cr_assert_told("w0 t7 ready\n");
    forget();
    publish(NOTES, 1);
    cr_assert_told("w0 t7 event 1\n");
}

Test(published, is_told_to_a_worker_again_that_had_no_room)
{
    subscribe(NOTES, 7);
    forget();
    store_down();
    world.workers_are_full = true;
    store_up(false);
    world.workers_are_full = false;
    forget();
    pass(TG_SEC(1));
    cr_assert_told("w0 t7 ready\nw0 cut\n");
}

Test(published, has_only_the_gaps_of_everybody)
{
    subscribe(NOTES, 7);
    bring_up("table:public.a", 8);
    link_up(1);
    pass(TG_SEC(1));
    cr_assert_told("w0 t8 ready\nw0 t8 reset\n");
    forget();
    write_gap();
    cr_assert_told("w0 t8 reset\nw0 t7 reset\n");
}
