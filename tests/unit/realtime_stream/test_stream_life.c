/* test_stream_life.c - tokens and age, holding, telling, and where a stream stands. */
#include <stdio.h>
#include <string.h>

#include "realtime_stream/fixture.h"

#define NEVER TG_SEC(1000000000)

/* ---- the token ---- */

static struct client *client_until(struct world *w, int64_t exp_sec)
{
    struct client *c = client_create(w);

    cr_assert_eq(client_open_until(c, "a", NULL, exp_sec), TG_OK);
    tell(w, 'a', TG_TOPIC_READY);
    wait_started(c);
    return c;
}

static struct world *world_with_grace(tg_usec grace)
{
    struct world *w = world_create();

    w->opts.token_grace = grace;
    w->opts.heartbeat = NEVER;
    world_start(w);
    return w;
}

Test(stream_life, warns_a_minute_before_its_token_ends)
{
    struct world *w = world_with_grace(TG_SEC(300));
    struct client *c = client_until(w, seconds_from_now(3600));

    skip_time(w, TG_SEC(3600 - 62));
    settle(w);
    cr_assert_str_eq(client_words(c), "");
    skip_time(w, TG_SEC(3));
    wait_words(c, "expiring");
    (void)publish(w, 'a', "1");
    wait_words(c, "expiring 1");
    skip_time(w, TG_SEC(30));
    settle(w);
    cr_assert_str_eq(client_words(c), "expiring 1", "once");
    world_end(w);
}

Test(stream_life, holds_events_at_its_tokens_end_and_ends_after_the_grace)
{
    struct world *w = world_with_grace(TG_SEC(300));
    struct client *c = client_until(w, seconds_from_now(30));

    wait_words(c, "expiring");
    skip_time(w, TG_SEC(31));
    settle(w);
    (void)publish(w, 'a', "1");
    settle(w);
    cr_assert_str_eq(client_words(c), "expiring");
    cr_assert(!c->is_ended);
    skip_time(w, TG_SEC(301));
    wait_ended(c);
    cr_assert_str_eq(c->why, "expired");
    cr_assert_str_eq(client_words(c), "expiring bye:expired");
    cr_assert_eq(tg_count_get(&w->counts->expired), 1);
    world_end(w);
}

Test(stream_life, goes_on_where_it_was_held_with_a_fresh_token)
{
    struct world *w = world_with_grace(TG_SEC(300));
    struct client *c = client_until(w, seconds_from_now(30));

    wait_words(c, "expiring");
    skip_time(w, TG_SEC(31));
    settle(w);
    (void)publish(w, 'a', "1");
    (void)publish(w, 'a', "2");
    settle(w);
    cr_assert_eq(client_token(c, TEST_CLASS, seconds_from_now(3600)), TG_OK);
    cr_assert_eq(w->n_subscribes, 2, "the hub is offered the newer token");
    wait_words(c, "expiring 1 2");
    /* And is warned again when that one ends. */
    skip_time(w, TG_SEC(3570));
    wait_words(c, "expiring 1 2 expiring");
    world_end(w);
}

Test(stream_life, starts_held_when_its_token_has_just_ended)
{
    struct world *w = world_with_grace(TG_SEC(300));
    char cursor[TG_CURSOR_MAX + 1];
    struct client *c = client_create(w);

    (void)cursor_of(w, append(w, 'a', "1"), cursor);
    (void)append(w, 'a', "2");
    cr_assert_eq(client_open_until(c, "a", cursor, seconds_from_now(-1)), TG_OK);
    tell(w, 'a', TG_TOPIC_READY);
    wait_started(c);
    wait_words(c, "expiring");
    settle(w);
    cr_assert_str_eq(client_words(c), "expiring");
    world_end(w);
}

Test(stream_life, ends_at_somebody_elses_token)
{
    struct world *w = world_with_grace(TG_SEC(300));
    struct client *c = client_until(w, seconds_from_now(3600));

    cr_assert_eq(client_token(c, "another", seconds_from_now(7200)), TG_EFORBIDDEN);
    cr_assert(c->is_ended);
    cr_assert_str_eq(c->why, "token");
    cr_assert_str_eq(client_words(c), "bye:token");
    world_end(w);
}

Test(stream_life, is_not_shortened_by_an_older_token)
{
    struct world *w = world_with_grace(0);
    struct client *c = client_until(w, seconds_from_now(3600));

    cr_assert_eq(client_token(c, TEST_CLASS, seconds_from_now(10)), TG_OK);
    skip_time(w, TG_SEC(20));
    settle(w);
    cr_assert_str_eq(client_words(c), "");
    cr_assert(!c->is_ended);
    world_end(w);
}

Test(stream_life, of_nobody_knows_no_expiry)
{
    struct world *w = world_with_grace(0);
    struct client *c = client_until(w, INT64_MAX);

    skip_time(w, TG_SEC(10000000));
    settle(w);
    cr_assert(!c->is_ended);
    world_end(w);
}

/* ---- age ---- */

Test(stream_life, ends_at_its_age_a_little_apart_from_others)
{
    enum { N = 20 };
    struct world *w = world_create();
    struct client *c[N];
    int n_early = 0;

    w->opts.max_age = TG_SEC(1000);
    w->opts.heartbeat = NEVER;
    world_start(w);
    for (int i = 0; i < N; i++) {
        c[i] = client_until(w, INT64_MAX);
    }
    skip_time(w, TG_SEC(899));
    settle(w);
    for (int i = 0; i < N; i++) {
        cr_assert(!c[i]->is_ended);
    }
    skip_time(w, TG_SEC(50));
    settle(w);
    for (int i = 0; i < N; i++) {
        n_early += c[i]->is_ended;
    }
    cr_assert(n_early > 0 && n_early < N);
    skip_time(w, TG_SEC(52));
    for (int i = 0; i < N; i++) {
        wait_ended(c[i]);
        cr_assert_str_eq(c[i]->why, "age");
        cr_assert_str_eq(client_words(c[i]), "bye:age");
    }
    cr_assert_eq(tg_count_get(&w->counts->aged), N);
    world_end(w);
}

/* ---- holding and telling ---- */

static struct tg_frame *word(const char *state)
{
    char json[96];

    (void)snprintf(json, sizeof(json), "{\"topic\":\"t\",\"state\":\"%s\"}", state);
    return tg_frame_named(TG_STR("status"), tg_str_of(json));
}

Test(stream_life, that_is_held_is_told_things_and_gets_its_events_later)
{
    struct world *w = world_started();
    struct client *c = client_create(w);

    c->is_held = true;
    cr_assert_eq(client_open(c, "a", NULL), TG_OK);
    tell(w, 'a', TG_TOPIC_READY);
    wait_started(c);
    (void)publish(w, 'a', "1");
    cr_assert(tg_stream_tell(c->stream, word("row")));
    wait_words(c, "status:t:row");
    settle(w);
    cr_assert(tg_stream_is_behind(c->stream));
    tg_stream_release(c->stream, TG_HOLD_ROWS);
    wait_words(c, "status:t:row 1");
    tg_stream_hold(c->stream, TG_HOLD_ROWS);
    (void)publish(w, 'a', "2");
    settle(w);
    cr_assert_str_eq(client_words(c), "status:t:row 1");
    tg_stream_release(c->stream, TG_HOLD_ROWS);
    wait_words(c, "status:t:row 1 2");
    world_end(w);
}

static bool has_beaten(void *arg)
{
    const struct world *w = arg;

    /* Every fourth has a position. Each is sixty turns of a timer, which a busy machine makes long.
     */
    return tg_count_get(&w->counts->heartbeats) >= 4;
}

/* Its position is behind what it will have been told: a snapshot is not over. */
Test(stream_life, that_is_held_is_told_no_position)
{
    struct world *w = world_create();
    struct client *c = NULL;

    w->opts.heartbeat = TG_MS(60);
    world_start(w);
    c = live_client(w, "a");
    tg_stream_hold(c->stream, TG_HOLD_ROWS);
    run_until(w, has_beaten, w);
    cr_assert_null(strstr(client_words(c), "id"));
    world_end(w);
}

Test(stream_life, is_told_no_more_than_waits_for_its_socket)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");
    unsigned n = 0;

    /* A socket that takes bytes takes all of them. */
    for (int i = 0; i < 100; i++) {
        cr_assert(tg_stream_tell(c->stream, word("x")));
    }
    c->room = 0;
    while (tg_stream_tell(c->stream, word("y"))) {
        n++;
    }
    cr_assert_lt(n, 32);
    cr_assert(!tg_stream_tell(c->stream, word("z")));
    world_end(w);
}

Test(stream_life, says_bye_behind_all_that_waited)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");
    size_t n = 0;

    tg_stream_hold(c->stream, TG_HOLD_ROWS);
    for (int i = 0; i < 16; i++) {
        cr_assert(tg_stream_tell(c->stream, word("x")));
    }
    tg_stream_end(c->stream, "signed_out", TG_MS(1500));
    cr_assert(c->is_ended);
    cr_assert_str_eq(c->why, "signed_out");
    for (const char *at = client_words(c); at != NULL; at = strchr(at + 1, ' ')) {
        n++;
    }
    cr_assert_eq(n, 17);
    cr_assert_not_null(strstr(client_words(c), "bye:signed_out"));
    cr_assert_not_null(memmem(c->out.p, c->out.n, "retry: 1500\n", 12));
    world_end(w);
}

Test(stream_life, ended_before_its_start_is_refused)
{
    struct world *w = world_started();
    struct client *c = client_opened(w, "a", NULL);

    tg_stream_end(c->stream, "signed_out", 0);
    cr_assert(c->is_refused);
    cr_assert_eq(c->rc, TG_ESIGNEDOUT);
    world_end(w);
}

/* ---- where it stands ---- */

static void stands_at(struct client *c, struct tg_pos pos)
{
    char is[TG_CURSOR_MAX + 1];
    char should[TG_CURSOR_MAX + 1];

    (void)tg_stream_cursor(c->stream, is);
    cr_assert_str_eq(is, cursor_of(c->world, pos, should));
}

Test(stream_life, stands_at_what_it_has_written_and_at_the_horizon_when_that_is_all)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "ab");
    struct tg_pos pos[3];

    stands_at(c, w->last);
    pos[0] = publish(w, 'a', "1");
    wait_words(c, "1");
    (void)append(w, 'z', "somebody else's");
    deliver(w);
    settle(w);
    stands_at(c, w->last);
    c->room = 0;
    pos[0] = w->last;
    pos[1] = publish(w, 'a', "2");
    pos[2] = publish(w, 'b', "3");
    settle(w);
    cr_assert(tg_stream_is_behind(c->stream));
    c->room = 64;
    while (strcmp(client_words(c), "1 2") != 0) {
        c->room = 1;
        tg_stream_writable(c->stream);
    }
    stands_at(c, pos[1]);
    client_reads(c);
    wait_words(c, "1 2 3");
    stands_at(c, pos[2]);
    world_end(w);
}

/* Two resets of another log: until both are told, its own cursor is where it must come back. */
Test(stream_life, stands_where_it_was_until_every_loss_is_told)
{
    struct world *w = world_started();
    struct client *c = client_create(w);
    char is[TG_CURSOR_MAX + 1];

    c->room = 0;
    cr_assert_eq(client_open(c, "ab", "otherlog.5-1"), TG_OK);
    tell(w, 'a', TG_TOPIC_READY);
    tell(w, 'b', TG_TOPIC_READY);
    wait_started(c);
    settle(w);
    (void)tg_stream_cursor(c->stream, is);
    cr_assert_str_eq(is, "otherlog.5-1");
    while (strstr(client_words(c), "reset:a:epoch") == NULL) {
        c->room = 1;
        tg_stream_writable(c->stream);
    }
    (void)tg_stream_cursor(c->stream, is);
    cr_assert_str_eq(is, "otherlog.5-1");
    client_reads(c);
    wait_words(c, "reset:a:epoch reset:b:epoch");
    stands_at(c, w->last);
    world_end(w);
}
