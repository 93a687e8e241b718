/* test_stream_write.c - the merge by id, and sockets that take bytes as they like. */
#include <stdio.h>
#include <string.h>

#include "realtime_stream/fixture.h"

Test(stream_write, topics_are_merged_by_id)
{
    struct world *w = world_started();
    struct tg_pos pos[6];
    static const char topics[] = "cababc";
    struct client *c = live_client(w, "abc");

    for (int i = 0; i < 6; i++) {
        pos[i] = append(w, topics[i], "x");
    }
    /* Handed topic by topic: in another order than written. */
    for (char t = 'a'; t <= 'c'; t++) {
        for (int i = 0; i < 6; i++) {
            if (topics[i] == t) {
                hand(w, t, pos[i], (char[]){(char)('1' + i), '\0'});
            }
        }
    }
    deliver(w);
    wait_words(c, "1 2 3 4 5 6");
    world_end(w);
}

Test(stream_write, nothing_is_sent_while_one_topics_page_is_missing)
{
    struct world *w = world_create();
    struct client *c = NULL;
    struct tg_pos b1;
    struct tg_pos a2;

    w->opts.max_pages = 0; /* no page ever */
    world_start(w);
    c = live_client(w, "ab");
    b1 = append(w, 'b', "1");
    tell_new(w, 'b', TG_TOPIC_READY);
    a2 = append(w, 'a', "2");
    hand(w, 'a', a2, "2");
    deliver(w);
    settle(w);
    (void)b1;
    cr_assert_str_eq(client_words(c), "");
    world_end(w);
}

Test(stream_write, a_missing_page_of_one_topic_comes_before_newer_frames_of_others)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "ab");
    struct tg_pos a2;

    (void)append(w, 'b', "1");
    tell_new(w, 'b', TG_TOPIC_READY);
    a2 = append(w, 'a', "2");
    hand(w, 'a', a2, "2");
    deliver(w);
    wait_words(c, "1 2");
    world_end(w);
}

Test(stream_write, resets_of_a_merge_stand_at_their_place)
{
    struct world *w = world_started();
    char cursor[TG_CURSOR_MAX + 1];
    struct tg_pos from;
    struct client *c = NULL;

    from = append(w, 'a', "0");
    (void)append(w, 'b', "1");
    (void)gap(w);
    (void)append(w, 'a', "2");
    (void)append(w, 'b', "3");
    c = client_opened(w, "ab", cursor_of(w, from, cursor));
    tell(w, 'a', TG_TOPIC_READY);
    tell(w, 'b', TG_TOPIC_READY);
    wait_words(c, "reset:a:gap reset:b:gap 2 3");
    world_end(w);
}

/* Every cut of three events: after each write the socket is full. */
Test(stream_write, partial_writes_lose_and_double_no_byte)
{
    for (size_t chunk = 1; chunk < 200; chunk += 3) {
        struct world *w = world_started();
        struct client *c = NULL;

        c = live_client(w, "ab");
        c->room = 0;
        for (int i = 0; i < 6; i++) {
            (void)publish(w, i % 2 == 0 ? 'a' : 'b', (char[]){(char)('1' + i), '\0'});
        }
        settle(w);
        for (int i = 0; i < 1000 && strcmp(client_words(c), "1 2 3 4 5 6") != 0; i++) {
            c->room = chunk;
            tg_stream_writable(c->stream);
        }
        cr_assert_str_eq(client_words(c), "1 2 3 4 5 6");
        world_end(w);
    }
}

Test(stream_write, short_writes_wait_for_the_socket)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");

    c->chunk = 10;
    (void)publish(w, 'a', "1");
    settle(w);
    cr_assert_eq(c->n_writes, 1);
    (void)publish(w, 'a', "2");
    settle(w);
    cr_assert_eq(c->n_writes, 1);
    c->chunk = WRITES_ALL;
    client_reads(c);
    wait_words(c, "1 2");
    cr_assert_eq(c->n_writes, 2);
    world_end(w);
}

Test(stream_write, controls_go_between_frames_not_inside)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");

    c->room = 15;
    (void)publish(w, 'a', "1");
    settle(w);
    (void)publish(w, 'a', "2");
    tell(w, 'a', TG_TOPIC_JOINING);
    settle(w);
    cr_assert_eq(c->out.n, 15);
    client_reads(c);
    wait_words(c, "1 status:a:offline 2");
    world_end(w);
}

Test(stream_write, a_control_cut_in_two_is_ended_before_what_follows)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");

    c->room = 9;
    tell(w, 'a', TG_TOPIC_JOINING);
    settle(w);
    cr_assert_eq(c->out.n, 9);
    tell(w, 'a', TG_TOPIC_READY);
    (void)publish(w, 'a', "1");
    settle(w);
    for (int i = 0; i < 100 && strstr(client_words(c), "1") == NULL; i++) {
        c->room = 9;
        tg_stream_writable(c->stream);
    }
    cr_assert_str_eq(client_words(c), "status:a:offline status:a:ready 1");
    world_end(w);
}

Test(stream_write, a_frame_cut_in_two_outlives_its_ring)
{
    struct world *w = world_create();
    struct client *c = lagging_client(w, 15);

    (void)publish(w, 'a', "0");
    settle(w);
    for (int i = 1; i < 10; i++) {
        (void)publish(w, 'a', (char[]){(char)('0' + i), '\0'});
    }
    settle(w);
    cr_assert_eq(c->out.n, 15);
    client_reads(c);
    wait_words(c, "0 1 2 3 4 5 6 7 8 9");
    world_end(w);
}

Test(stream_write, more_than_one_writes_worth_is_sent_in_many)
{
    enum { N = 500 };
    struct world *w = world_create();
    struct client *c = NULL;
    char words[N * 4 + 1] = "";
    size_t n = 0;

    w->opts.ring_frames = 1024;
    world_start(w);
    c = live_client(w, "a");
    for (int i = 0; i < N; i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%d", i);
        n += (size_t)snprintf(words + n, sizeof(words) - n, "%s%d", i == 0 ? "" : " ", i);
        hand(w, 'a', append(w, 'a', text), text);
    }
    deliver(w);
    wait_words(c, words);
    cr_assert_eq(c->n_writes, (N + 63) / 64);
    world_end(w);
}

Test(stream_write, a_blocked_stream_keeps_a_bounded_number_of_controls)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");
    size_t n = 0;

    c->room = 0;
    for (int i = 0; i < 100; i++) {
        tell(w, 'a', TG_TOPIC_JOINING);
        tell(w, 'a', TG_TOPIC_READY);
    }
    settle(w);
    client_reads(c);
    for (const char *at = client_words(c); at != NULL && *at != '\0'; at = strchr(at + 1, ' ')) {
        n++;
    }
    cr_assert_eq(n, 16);
    world_end(w);
}
