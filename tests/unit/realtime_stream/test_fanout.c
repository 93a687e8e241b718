/* test_fanout.c - topics, deliveries, heartbeats and the end of a worker. */
#include <string.h>

#include "realtime_stream/fixture.h"

Test(fanout, tells_every_reader_of_a_topic_and_nobody_else)
{
    struct world *w = world_started();
    struct client *a = live_client(w, "a");
    struct client *b = live_client(w, "b");
    struct client *ab = live_client(w, "ab");

    cr_assert_eq(tg_count_get(&w->counts->topics), 2);
    (void)publish(w, 'a', "1");
    (void)publish(w, 'b', "2");
    wait_words(a, "1");
    wait_words(b, "2");
    wait_words(ab, "1 2");
    settle(w);
    cr_assert_str_eq(client_words(a), "1");
    world_end(w);
}

Test(fanout, asks_the_hub_once_for_a_covered_topic)
{
    struct world *w = world_started();
    struct client *b = NULL;
    int64_t later = (int64_t)(tg_clock_wall_us() / TG_SEC(1)) + 9000;

    (void)live_client(w, "a");
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
}

Test(fanout, lends_its_store_while_there_is_one)
{
    struct world *w = world_started();
    struct tg_epoch epoch = {""};

    settle(w);
    cr_assert_not_null(tg_fanout_store(w->fanout, &epoch));
    cr_assert_str_eq(epoch.text, w->log_epoch.text);
    cr_assert_not_null(tg_fanout_store(w->fanout, NULL));
    tg_fanout_stop(w->fanout);
    cr_assert_null(tg_fanout_store(w->fanout, NULL));
    world_end(w);
}

enum { N_READERS = 96 };

/* Sixteen writes are more than a slice. */
static void open_slow_readers(struct world *w, struct client *c[static N_READERS])
{
    for (int i = 0; i < N_READERS; i++) {
        c[i] = live_client(w, "a");
        c[i]->takes = 100;
    }
    settle(w);
}

Test(fanout, walks_many_readers_in_slices)
{
    struct world *w = world_started();
    struct client *c[N_READERS];
    uint64_t slices = 0;

    open_slow_readers(w, c);
    slices = tg_count_get(&w->counts->slices);
    (void)publish(w, 'a', "1");
    for (int i = 0; i < N_READERS; i++) {
        wait_words(c[i], "1");
        cr_assert_eq(c[i]->n_writes, 1);
    }
    cr_assert_geq(tg_count_get(&w->counts->slices) - slices, N_READERS / 16);
    world_end(w);
}

Test(fanout, walks_again_for_what_comes_during_a_walk)
{
    struct world *w = world_started();
    struct client *c[N_READERS];
    struct tg_pos pos[2];

    open_slow_readers(w, c);
    pos[0] = append(w, 'a', "1");
    pos[1] = append(w, 'a', "2");
    w->last = pos[0];
    hand(w, 'a', pos[0], "1");
    deliver(w);
    wait_words(c[0], "1"); /* its slice; the walk is not over */
    w->last = pos[1];
    hand(w, 'a', pos[1], "2");
    deliver(w);
    for (int i = 0; i < N_READERS; i++) {
        wait_words(c[i], "1 2");
    }
    cr_assert_eq(c[0]->n_writes, 2);
    cr_assert_eq(c[N_READERS - 1]->n_writes, 1);
    world_end(w);
}

Test(fanout, writes_all_mail_of_one_turn_at_once)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");
    struct tg_pos pos[2];

    settle(w);
    pos[0] = append(w, 'a', "1");
    pos[1] = append(w, 'a', "2");
    for (int i = 0; i < 2; i++) {
        w->last = pos[i];
        hand(w, 'a', pos[i], i == 0 ? "1" : "2");
        deliver(w);
    }
    wait_words(c, "1 2");
    cr_assert_eq(c->n_writes, 1);
    world_end(w);
}

/* The sixteenth closes the next one, where the slice ends: it is freed before the walk goes on. */
Test(fanout, walks_on_behind_a_reader_that_left_between_slices)
{
    struct world *w = world_started();
    struct client *c[N_READERS];

    open_slow_readers(w, c);
    c[15]->closes = c[16];
    (void)publish(w, 'a', "1");
    for (int i = 0; i < N_READERS; i++) {
        if (i != 16) {
            wait_words(c[i], "1");
        }
    }
    cr_assert_str_eq(client_words(c[16]), "");
    cr_assert_eq(tg_count_get(&w->counts->streams), N_READERS - 1);
    world_end(w);
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

    w->opts.heartbeat = TG_MS(60);
    w->opts.topic_linger = TG_MS(10);
    world_start(w);
    a = live_client(w, "a");
    (void)live_client(w, "b");
    tg_stream_close(a->stream);
    run_until(w, has_unsubscribed, w);
    cr_assert_eq(w->topics[0], 0);
    cr_assert_neq(w->topics[1], 0);
    cr_assert_eq(tg_count_get(&w->counts->topics), 1);
    world_end(w);
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
}

/* Gives a reader room for one byte more a millisecond. */
static bool has_beaten_while_one_trickles(void *arg)
{
    static tg_usec last;
    struct client *slow = arg;
    tg_usec now = tg_clock_mono_us();

    if (slow->is_ended) {
        return true;
    }
    if (now - last >= TG_MS(1)) {
        last = now;
        slow->room = 1;
        tg_stream_writable(slow->stream);
    }
    return has_beaten(slow->world);
}

Test(fanout, leaves_a_slow_consumer_alone_that_still_takes_bytes)
{
    struct world *w = world_create();
    struct client *slow = NULL;

    /* Between two beats the machine may be busy elsewhere, and then the trickle stops, too. */
    w->opts.heartbeat = TG_MS(500);
    w->opts.ring_frames = 2;
    world_start(w);
    slow = live_client(w, "a");
    (void)live_client(w, "b");
    slow->room = 0;
    for (int i = 0; i < 50; i++) {
        (void)publish(w, 'a', "a long word, so that a trickle does not come to its end");
    }
    run_until(w, has_beaten_while_one_trickles, slow);
    cr_assert(!slow->is_ended);
    world_end(w);
}

Test(fanout, leaves_one_that_is_held_to_who_holds_it)
{
    struct world *w = world_create();
    struct client *held = NULL;

    w->opts.heartbeat = TG_MS(60);
    w->opts.ring_frames = 2;
    world_start(w);
    held = live_client(w, "a");
    tg_stream_hold(held->stream, TG_HOLD_ROWS);
    held->room = 0;
    cr_assert(tg_stream_tell(held->stream, tg_frame_named(TG_STR("status"), TG_STR("{}"))));
    settle(w);
    for (int i = 0; i < 5; i++) {
        (void)publish(w, 'a', "x");
    }
    (void)live_client(w, "b");
    run_until(w, has_beaten, w);
    cr_assert(!held->is_ended);
    world_end(w);
}

Test(fanout, a_blocked_consumer_within_the_ring_is_left_alone)
{
    struct world *w = world_create();
    struct client *blocked = NULL;

    w->opts.heartbeat = TG_MS(60);
    world_start(w);
    blocked = live_client(w, "a");
    blocked->room = 0;
    (void)publish(w, 'a', "1");
    (void)live_client(w, "b");
    run_until(w, has_beaten, w);
    cr_assert(!blocked->is_ended);
    client_reads(blocked);
    cr_assert_str_eq(client_words(blocked), "1");
    world_end(w);
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
}

Test(fanout, drains_with_a_bye_and_takes_nobody_any_more)
{
    struct world *w = world_started();
    struct client *live = live_client(w, "a");
    struct client *waiting = client_opened(w, "b", NULL);
    struct client *late = NULL;

    tg_fanout_drain(w->fanout, TG_SEC(5));
    cr_assert(live->is_ended);
    cr_assert_str_eq(client_words(live), "bye:drain");
    cr_assert(waiting->is_refused);
    cr_assert_eq(waiting->rc, TG_EDRAINING);
    late = client_create(w);
    cr_assert_eq(client_open(late, "a", NULL), TG_EDRAINING);
    world_end(w);
}

static bool all_ended(void *arg)
{
    struct client **c = arg;

    for (int i = 0; i < N_READERS; i++) {
        if (!c[i]->is_ended) {
            return false;
        }
    }
    return true;
}

static int count_ended(struct client *c[static N_READERS])
{
    int n = 0;

    for (int i = 0; i < N_READERS; i++) {
        n += c[i]->is_ended;
    }
    return n;
}

Test(fanout, drains_many_streams_in_slices)
{
    struct world *w = world_started();
    struct client *c[N_READERS];

    open_slow_readers(w, c);
    tg_fanout_drain(w->fanout, TG_SEC(5));
    cr_assert(count_ended(c) > 0 && count_ended(c) < N_READERS);
    run_until(w, all_ended, c);
    for (int i = 0; i < N_READERS; i++) {
        cr_assert_str_eq(client_words(c[i]), "bye:drain");
    }
    world_end(w);
}

static bool some_ended(void *arg)
{
    return count_ended(arg) > 0;
}

Test(fanout, refuses_many_readers_in_slices)
{
    struct world *w = world_started();
    struct client *c[N_READERS];
    struct client *late = NULL;

    open_slow_readers(w, c);
    refuse(w, 'a', TG_EBADTOPIC, "gone");
    run_until(w, some_ended, c);
    cr_assert_lt(count_ended(c), N_READERS);
    run_until(w, all_ended, c);
    cr_assert_str_eq(client_words(c[0]), "bye:refused");
    /* Who comes later is not judged by that. */
    late = client_opened(w, "a", NULL);
    tell(w, 'a', TG_TOPIC_READY);
    wait_started(late);
    world_end(w);
}

Test(fanout, says_no_bye_inside_a_cut_frame)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");

    c->chunk = 10;
    (void)publish(w, 'a', "1");
    settle(w);
    cr_assert_eq(c->out.n, 10);
    tg_fanout_drain(w->fanout, 0);
    cr_assert(c->is_ended);
    /* The socket was full: half an event, which the client drops, and nothing behind it. */
    cr_assert_eq(c->out.n, 10);
    world_end(w);
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
}

Test(fanout, ends_what_is_left_when_it_stops)
{
    struct world *w = world_started();
    struct client *live = live_client(w, "a");
    struct client *waiting = client_opened(w, "b", NULL);

    tg_fanout_stop(w->fanout);
    settle(w);
    cr_assert_str_eq(live->why, "stop");
    cr_assert_str_eq(client_words(live), "bye:stop");
    cr_assert(waiting->is_refused);
    world_end(w);
}

Test(fanout, keeps_a_topic_that_is_read_again_within_the_linger)
{
    struct world *w = world_create();
    struct client *a = NULL;
    struct client *again = NULL;

    w->opts.heartbeat = TG_MS(60);
    world_start(w);
    a = live_client(w, "a");
    tg_stream_close(a->stream);
    settle(w);
    again = client_opened(w, "a", NULL);
    wait_started(again); /* at once: the hub need not say anything */
    cr_assert_eq(w->n_subscribes, 1);
    (void)publish(w, 'a', "1");
    wait_words(again, "1");
    cr_assert_eq(w->n_unsubscribes, 0);
    world_end(w);
}
