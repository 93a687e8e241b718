/* test_fanout.c - topics, deliveries, heartbeats and the end of a worker. */
#include <string.h>

#include "realtime_stream/fixture.h"

Test(fanout, tells_every_reader_of_a_topic_and_nobody_else)
{
    struct world *w = world_create();
    struct client *a = NULL;
    struct client *b = NULL;
    struct client *ab = NULL;

    world_start(w);
    a = live_client(w, "a");
    b = live_client(w, "b");
    ab = live_client(w, "ab");
    cr_assert_eq(tg_count_get(&w->counts->topics), 2);
    (void)publish(w, 'a', "1");
    (void)publish(w, 'b', "2");
    wait_words(a, "1");
    wait_words(b, "2");
    wait_words(ab, "1 2");
    settle(w);
    cr_assert_str_eq(client_words(a), "1");
    world_end(w);
    client_destroy(a);
    client_destroy(b);
    client_destroy(ab);
}

Test(fanout, asks_the_hub_once_for_a_covered_topic)
{
    struct world *w = world_create();
    struct client *a = NULL;
    struct client *b = NULL;
    int64_t later = (int64_t)(tg_clock_wall_us() / TG_SEC(1)) + 9000;

    world_start(w);
    a = live_client(w, "a");
    cr_assert_eq(w->n_subscribes, 1);
    b = client_create(w);
    cr_assert_eq(client_open_until(b, "a", NULL, later - 8000), TG_OK);
    wait_started(b);
    cr_assert_eq(w->n_subscribes, 1);
    tg_stream_close(b->stream);
    client_destroy(b);
    /* A token that lives longer is worth telling. */
    b = client_create(w);
    cr_assert_eq(client_open_until(b, "a", NULL, later), TG_OK);
    wait_started(b);
    cr_assert_eq(w->n_subscribes, 2);
    world_end(w);
    client_destroy(a);
    client_destroy(b);
}

Test(fanout, walks_many_readers_in_slices)
{
    enum { N = 2000 };
    struct world *w = world_create();
    struct client *first = NULL;
    static struct client *c[N];
    uint64_t slices = 0;

    world_start(w);
    first = live_client(w, "a");
    for (int i = 0; i < N; i++) {
        c[i] = client_create(w);
        cr_assert_eq(client_open(c[i], "a", NULL), TG_OK);
    }
    for (int i = 0; i < N; i++) {
        wait_started(c[i]);
    }
    slices = tg_count_get(&w->counts->slices);
    (void)publish(w, 'a', "1");
    (void)publish(w, 'a', "2");
    for (int i = 0; i < N; i++) {
        wait_words(c[i], "1 2");
    }
    wait_words(first, "1 2");
    cr_assert_gt(tg_count_get(&w->counts->slices), slices + 1);
    world_end(w);
    for (int i = 0; i < N; i++) {
        client_destroy(c[i]);
    }
    client_destroy(first);
}

static bool has_unsubscribed(void *arg)
{
    const struct world *w = arg;

    return w->n_unsubscribes == 1;
}

Test(fanout, unsubscribes_an_unread_topic_after_the_linger)
{
    struct world *w = world_create();
    struct client *a = NULL;
    struct client *b = NULL;

    w->opts.heartbeat = TG_MS(60);
    w->opts.topic_linger = TG_MS(10);
    world_start(w);
    a = live_client(w, "a");
    b = live_client(w, "b");
    tg_stream_close(a->stream);
    run_until(w, has_unsubscribed, w);
    cr_assert_eq(w->topics[0], 0);
    cr_assert_neq(w->topics[1], 0);
    cr_assert_eq(tg_count_get(&w->counts->topics), 1);
    world_end(w);
    client_destroy(a);
    client_destroy(b);
}

static bool has_slow_consumer(void *arg)
{
    const struct world *w = arg;

    return tg_count_get(&w->counts->slow_consumers) == 1;
}

static bool has_beaten(void *arg)
{
    const struct world *w = arg;

    return tg_count_get(&w->counts->heartbeats) >= 2;
}

Test(fanout, ends_a_slow_consumer_at_the_heartbeat)
{
    struct world *w = world_create();
    struct client *slow = NULL;
    struct client *c = NULL;

    w->opts.heartbeat = TG_MS(60);
    w->opts.ring_frames = 2;
    world_start(w);
    slow = live_client(w, "a");
    c = live_client(w, "a");
    slow->room = 0;
    for (int i = 0; i < 5; i++) {
        (void)publish(w, 'a', "x");
    }
    run_until(w, has_slow_consumer, w);
    cr_assert(slow->is_ended);
    cr_assert_str_eq(slow->why, "slow_consumer");
    cr_assert(!c->is_ended);
    cr_assert_str_eq(client_words(slow), "");
    world_end(w);
    client_destroy(slow);
    client_destroy(c);
}

Test(fanout, a_blocked_consumer_within_the_ring_is_left_alone)
{
    struct world *w = world_create();
    struct client *blocked = NULL;
    struct client *c = NULL;

    w->opts.heartbeat = TG_MS(60);
    world_start(w);
    blocked = live_client(w, "a");
    blocked->room = 0;
    (void)publish(w, 'a', "1");
    c = live_client(w, "b");
    run_until(w, has_beaten, w);
    cr_assert(!blocked->is_ended);
    client_reads(blocked);
    cr_assert_str_eq(client_words(blocked), "1");
    world_end(w);
    client_destroy(blocked);
    client_destroy(c);
}

static bool has_position(void *arg)
{
    return strstr(client_words(arg), "id") != NULL;
}

Test(fanout, tells_an_idle_stream_how_far_the_log_has_come)
{
    struct world *w = world_create();
    char cursor[TG_CURSOR_MAX + 1];
    struct client *c = NULL;

    w->opts.heartbeat = TG_MS(60);
    world_start(w);
    c = live_client(w, "a");
    (void)publish(w, 'a', "mine");
    wait_words(c, "mine");
    (void)append(w, 'z', "somebody else's");
    deliver(w);
    run_until(w, has_position, c);
    cr_assert_str_eq(c->last_id, cursor_of(w, w->last, cursor));
    world_end(w);
    client_destroy(c);
}

Test(fanout, drains_with_a_bye_and_takes_nobody_any_more)
{
    struct world *w = world_create();
    struct client *live = NULL;
    struct client *waiting = NULL;
    struct client *late = NULL;

    world_start(w);
    live = live_client(w, "a");
    waiting = client_create(w);
    cr_assert_eq(client_open(waiting, "b", NULL), TG_OK);
    tg_fanout_drain(w->fanout, TG_SEC(5));
    cr_assert(live->is_ended);
    cr_assert_str_eq(client_words(live), "bye:drain");
    cr_assert(waiting->is_refused);
    cr_assert_eq(waiting->rc, TG_EDRAINING);
    late = client_create(w);
    cr_assert_eq(client_open(late, "a", NULL), TG_EDRAINING);
    world_end(w);
    client_destroy(live);
    client_destroy(waiting);
    client_destroy(late);
}

Test(fanout, says_no_bye_inside_a_cut_frame)
{
    struct world *w = world_create();
    struct client *c = NULL;

    world_start(w);
    c = live_client(w, "a");
    c->chunk = 10;
    (void)publish(w, 'a', "1");
    settle(w);
    cr_assert_eq(c->out.n, 10);
    tg_fanout_drain(w->fanout, 0);
    cr_assert(c->is_ended);
    /* The socket was full: half an event, which the client drops, and nothing behind it. */
    cr_assert_eq(c->out.n, 10);
    world_end(w);
    client_destroy(c);
}

Test(fanout, drops_what_is_delivered_for_a_topic_that_left)
{
    struct world *w = world_create();
    struct client *a = NULL;
    tg_id gone = 0;

    w->opts.heartbeat = TG_MS(60);
    w->opts.topic_linger = 1;
    world_start(w);
    a = live_client(w, "a");
    gone = w->topics[0];
    tg_stream_close(a->stream);
    run_until(w, has_unsubscribed, w);
    w->topics[0] = gone;
    (void)publish(w, 'a', "1");
    tell(w, 'a', TG_TOPIC_READY);
    settle(w);
    cr_assert_eq(tg_count_get(&w->counts->frames), 0);
    world_end(w);
    client_destroy(a);
}
