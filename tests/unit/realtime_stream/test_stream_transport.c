/* test_stream_transport.c - what a WebSocket asks of its stream: heartbeats, the rest of what was
 * begun, and for which topics one cursor speaks. */
#include <stdlib.h>

#include "realtime_stream/fixture.h"

static bool has_written(void *arg)
{
    const struct client *c = arg;

    return c->room == 0;
}

Test(stream_transport, what_was_begun_and_told_can_be_finished_behind_the_end)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");

    c->room = 20; /* the first event is cut in two */
    (void)publish(w, 'a', "a1");
    run_until(w, has_written, c);
    tg_stream_end(c->stream, "drain", 0);
    cr_assert(c->is_ended);
    cr_assert_eq(c->out.n, 20);
    tg_stream_rest(c->stream, &c->out); /* as a transport does in on_end */
    cr_assert_str_eq(client_words(c), "a1 bye:drain");
    world_end(w);
}

Test(stream_transport, nothing_is_left_when_all_was_taken)
{
    struct world *w = world_started();
    struct tg_buf rest = {.max = 1024};
    struct client *c = live_client(w, "a");

    (void)publish(w, 'a', "a1");
    wait_words(c, "a1");
    tg_stream_end(c->stream, "drain", 0);
    tg_stream_rest(c->stream, &rest);
    cr_assert_eq(rest.n, 0);
    cr_assert_str_eq(client_words(c), "a1 bye:drain");
    world_end(w);
}

struct joins {
    char letters[8];
    struct tg_pos joined[8];
    size_t n;
};

static void note_join(tg_str name, struct tg_pos joined, void *arg)
{
    struct joins *j = arg;

    j->letters[j->n] = name.p[name.n - 1];
    j->joined[j->n++] = joined;
}

Test(stream_transport, a_topic_that_came_later_is_in_order_from_where_it_joined)
{
    struct world *w = world_started();
    struct joins j = {.n = 0};
    struct client *c = client_create(w);
    struct tg_pos a1;

    c->takes_topics = true;
    cr_assert_eq(client_open(c, "a", NULL), TG_OK);
    tell(w, 'a', TG_TOPIC_READY);
    wait_started(c);
    a1 = publish(w, 'a', "a1");
    wait_words(c, "a1");
    cr_assert_eq(client_add(c, 'b', NULL, 7), TG_OK);
    tg_stream_each(c->stream, note_join, &j);
    cr_assert_eq(j.n, 1, "one that does not work yet is left out");
    tell(w, 'b', TG_TOPIC_READY);
    wait_answers(c, "b7:ok");
    (void)publish(w, 'a', "a2");
    wait_words(c, "a1 a2");
    j.n = 0;
    tg_stream_each(c->stream, note_join, &j);
    cr_assert_eq(j.n, 2);
    for (size_t i = 0; i < j.n; i++) {
        POS_EQ(j.joined[i], j.letters[i] == 'a' ? (struct tg_pos){0} : a1);
    }
    world_end(w);
}

static bool has_beaten(void *arg)
{
    const struct client *c = arg;

    return c->n_beats >= 3;
}

/* Open on 'a', with heartbeats that come soon. */
static struct client *beaten_client(struct world *w)
{
    struct client *c = client_create(w);

    w->opts.heartbeat = TG_MS(60);
    world_start(w);
    c->takes_topics = true;
    cr_assert_eq(client_open(c, "a", NULL), TG_OK);
    tell(w, 'a', TG_TOPIC_READY);
    wait_started(c);
    return c;
}

Test(stream_transport, is_told_of_each_heartbeat)
{
    struct world *w = world_create();
    struct client *c = beaten_client(w);

    run_until(w, has_beaten, c);
    cr_assert_geq(tg_count_get(&w->counts->heartbeats), 2);
    world_end(w);
}

static bool is_swept(void *arg)
{
    const struct world *w = arg;

    return tg_count_get(&w->counts->streams) == 0;
}

Test(stream_transport, may_close_at_a_heartbeat)
{
    struct world *w = world_create();
    struct client *c = beaten_client(w);

    c->closes_on_beat = true;
    run_until(w, is_swept, w);
    cr_assert_eq(c->n_beats, 1);
    cr_assert(!c->is_ended, "nothing is called behind a close");
    world_end(w);
}

/* A byte a millisecond, so that each heartbeat finds some taken. */
static bool trickles(void *arg)
{
    static tg_usec last;
    struct client *c = arg;

    if (tg_clock_mono_us() - last >= TG_MS(1)) {
        last = tg_clock_mono_us();
        c->room = 1;
        tg_stream_writable(c->stream);
    }
    return tg_count_get(&c->world->counts->heartbeats) >= 4;
}

static bool is_gone(void *arg)
{
    const struct client *c = arg;

    return c->n_beats > 0;
}

Test(stream_transport, a_socket_that_takes_bytes_however_slowly_is_not_asked_for_life)
{
    struct world *w = world_create();
    struct client *c = beaten_client(w);

    (void)live_client(w, "b");
    c->room = 1;
    for (int i = 0; i < 50; i++) {
        (void)publish(w, 'a', "a long word, so that a trickle does not come to its end");
    }
    run_until(w, has_written, c);
    c->n_beats = 0;
    run_until(w, trickles, c);
    cr_assert_eq(c->n_beats, 0, "it took bytes between all of them");
    run_until(w, is_gone, c);
    world_end(w);
}
