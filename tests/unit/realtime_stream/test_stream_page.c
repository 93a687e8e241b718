/* test_stream_page.c - pages for cursors below their ring. */
#include <stdio.h>
#include <string.h>

#include "realtime_stream/fixture.h"

enum { WORDS = 1024 };

/* Writes "0", "1", ... to topic a; `out` is what a reader of all of them gets. */
static void numbers(struct world *w, int n, char *out, bool is_published)
{
    size_t used = 0;

    for (int i = 0; i < n; i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%d", i);
        used += (size_t)snprintf(out + used, WORDS - used, "%s%s", i == 0 ? "" : " ", text);
        if (is_published) {
            (void)publish(w, 'a', text);
        } else {
            (void)append(w, 'a', text);
        }
    }
}

Test(stream_page, many_pages_lead_to_the_ring)
{
    struct world *w = world_create();
    char cursor[TG_CURSOR_MAX + 1];
    char words[WORDS];
    struct tg_pos from;
    struct client *c = NULL;

    w->opts.page_entries = 7;
    world_start(w);
    from = append(w, 'b', "before");
    numbers(w, 50, words, false);
    c = client_opened(w, "a", cursor_of(w, from, cursor));
    tell(w, 'a', TG_TOPIC_READY);
    wait_words(c, words);
    cr_assert_eq(tg_count_get(&w->counts->pages), 8);
    (void)publish(w, 'a', "live");
    (void)snprintf(words + strlen(words), sizeof(words) - strlen(words), " live");
    wait_words(c, words);
    cr_assert_eq(tg_count_get(&w->counts->pages), 8);
    world_end(w);
}

Test(stream_page, a_reader_that_fell_off_the_ring_reads_pages_and_meets_it_again)
{
    struct world *w = world_create();
    char words[WORDS];
    struct client *c = NULL;

    w->opts.ring_frames = 4;
    w->opts.page_entries = 5;
    world_start(w);
    c = live_client(w, "a");
    c->room = 0;
    numbers(w, 40, words, true);
    settle(w);
    cr_assert_str_eq(client_words(c), "");
    client_reads(c);
    wait_words(c, words);
    cr_assert_gt(tg_count_get(&w->counts->pages), 1);
    (void)publish(w, 'a', "live");
    (void)snprintf(words + strlen(words), sizeof(words) - strlen(words), " live");
    wait_words(c, words);
    cr_assert_eq(tg_count_get(&w->counts->resets), 0);
    world_end(w);
}

Test(stream_page, a_cut_delivery_is_read_from_the_log)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");

    (void)publish(w, 'a', "1");
    wait_words(c, "1");
    (void)append(w, 'a', "2"); /* never delivered */
    (void)append(w, 'a', "3");
    w->is_cut = true;
    deliver(w);
    wait_words(c, "1 2 3");
    cr_assert_eq(tg_count_get(&w->counts->cuts), 1);
    (void)publish(w, 'a', "4");
    wait_words(c, "1 2 3 4");
    cr_assert_eq(tg_count_get(&w->counts->resets), 0);
    world_end(w);
}

Test(stream_page, a_new_subscription_is_read_from_the_log)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");

    (void)append(w, 'a', "1"); /* the hub did not deliver to this worker */
    tell_new(w, 'a', TG_TOPIC_READY);
    wait_words(c, "1");
    world_end(w);
}

Test(stream_page, a_frame_above_the_horizon_waits_for_its_delivery)
{
    struct world *w = world_started();
    char cursor[TG_CURSOR_MAX + 1];
    struct tg_pos from;
    struct tg_pos horizon;
    struct tg_pos next;
    struct client *c = NULL;

    from = append(w, 'a', "0");
    horizon = append(w, 'a', "1");
    c = client_opened(w, "a", cursor_of(w, from, cursor));
    next = append(w, 'a', "2");
    w->last = horizon;
    tell(w, 'a', TG_TOPIC_READY);
    wait_words(c, "1");
    settle(w);
    cr_assert_str_eq(client_words(c), "1");
    w->last = next;
    hand(w, 'a', next, "2");
    deliver(w);
    wait_words(c, "1 2");
    world_end(w);
}

Test(stream_page, more_readers_than_reads_all_get_their_turn)
{
    enum { N = 20 };
    struct world *w = world_create();
    char cursor[TG_CURSOR_MAX + 1];
    struct tg_pos from;
    struct client *c[N];

    w->opts.max_pages = 2;
    w->opts.page_entries = 1;
    world_start(w);
    from = append(w, 'a', "0");
    (void)append(w, 'a', "1");
    (void)append(w, 'b', "2");
    (void)append(w, 'a', "3");
    for (int i = 0; i < N; i++) {
        c[i] = client_create(w);
        cr_assert_eq(client_open(c[i], "ab", cursor_of(w, from, cursor)), TG_OK);
    }
    tell(w, 'a', TG_TOPIC_READY);
    tell(w, 'b', TG_TOPIC_READY);
    for (int i = 0; i < N; i++) {
        wait_words(c[i], "1 2 3");
    }
    world_end(w);
}

Test(stream_page, a_page_for_somebody_who_left_is_dropped)
{
    struct world *w = world_create();
    char cursor[TG_CURSOR_MAX + 1];
    struct client *gone = NULL;
    struct client *c = NULL;
    struct tg_pos from;

    w->opts.max_pages = 1;
    world_start(w);
    c = live_client(w, "a");
    from = append(w, 'a', "1");
    hand(w, 'a', from, "1");
    (void)append(w, 'a', "2");
    gone = client_opened(w, "a", cursor_of(w, from, cursor));
    w->is_cut = true;
    deliver(w); /* both want a page */
    tg_stream_close(gone->stream);
    wait_words(c, "1 2");
    cr_assert(!gone->is_started);
    world_end(w);
}

Test(stream_page, an_answer_of_the_log_before_is_not_taken_for_the_new_one)
{
    struct world *w = world_create();
    struct client *c = lagging_client(w, 0);

    for (int i = 0; i < 8; i++) {
        (void)publish(w, 'a', "x");
    }
    settle(w);
    client_reads(c); /* off the ring: asks for a page */
    w->epoch = (struct tg_epoch){"next"};
    deliver(w);
    wait_words(c, "reset:a:epoch");
    (void)publish(w, 'a', "y");
    wait_words(c, "reset:a:epoch y");
    cr_assert_eq(strncmp(c->last_id, "next.", 5), 0);
    world_end(w);
}

/* ---- many readers at once ---- */

enum { N_BACK = 150 };

static void open_back(struct world *w, struct client **c, size_t n, struct tg_pos from)
{
    char cursor[TG_CURSOR_MAX + 1];

    for (size_t i = 0; i < n; i++) {
        c[i] = client_create(w);
        cr_assert_eq(client_open(c[i], "a", cursor_of(w, from, cursor)), TG_OK);
    }
    tell(w, 'a', TG_TOPIC_READY);
}

Test(stream_page, equal_pages_asked_at_once_are_read_once)
{
    struct world *w = world_started();
    struct client *c[N_BACK];
    char words[WORDS];
    struct tg_pos from;

    from = append(w, 'b', "before");
    numbers(w, 100, words, false);
    open_back(w, c, N_BACK, from);
    for (int i = 0; i < N_BACK; i++) {
        wait_words(c[i], words);
    }
    cr_assert_eq(tg_count_get(&w->counts->pages), 2);
    world_end(w);
}

/* A storm is not one moment: who comes a little later finds the page still there. */
Test(stream_page, a_page_is_kept_for_who_comes_a_moment_later)
{
    struct world *w = world_create();
    struct client *c[3];
    char words[WORDS];
    struct tg_pos from;

    w->opts.heartbeat = TG_SEC(60);
    world_start(w);
    from = append(w, 'b', "before");
    numbers(w, 10, words, false);
    for (int i = 0; i < 2; i++) {
        open_back(w, &c[i], 1, from);
        wait_words(c[i], words);
        cr_assert_eq(tg_count_get(&w->counts->pages), 1);
    }
    /* But not for long. */
    for (int i = 0; i < 60; i++) {
        skip_time(w, TG_SEC(2));
    }
    open_back(w, &c[2], 1, from);
    wait_words(c[2], words);
    cr_assert_eq(tg_count_get(&w->counts->pages), 2);
    world_end(w);
}

Test(stream_page, the_next_page_waits_until_the_socket_has_taken_the_last)
{
    struct world *w = world_create();
    char cursor[TG_CURSOR_MAX + 1];
    struct client *c = NULL;
    char words[WORDS];
    struct tg_pos from;

    w->opts.page_entries = 10;
    world_start(w);
    from = append(w, 'b', "before");
    numbers(w, 40, words, false);
    c = client_create(w);
    c->room = 100;
    cr_assert_eq(client_open(c, "a", cursor_of(w, from, cursor)), TG_OK);
    tell(w, 'a', TG_TOPIC_READY);
    settle(w);
    cr_assert(c->is_started);
    cr_assert_eq(c->out.n, 100);
    cr_assert_eq(tg_count_get(&w->counts->pages), 1);
    client_reads(c);
    wait_words(c, words);
    cr_assert_eq(tg_count_get(&w->counts->pages), 4);
    world_end(w);
}

static bool has_live_words(void *arg)
{
    return strlen(client_words(arg)) > 0;
}

/* Each write costs a fifth of a slice: all replays together take many turns. */
Test(stream_page, replays_hold_up_no_live_stream)
{
    struct world *w = world_started();
    struct client *back[N_BACK];
    struct client *live = live_client(w, "z");
    char words[WORDS];
    struct tg_pos from;
    unsigned n_done = 0;

    from = append(w, 'b', "before");
    numbers(w, 100, words, false);
    open_back(w, back, N_BACK, from);
    for (int i = 0; i < N_BACK; i++) {
        back[i]->takes = 200;
    }
    wait_started(back[0]);
    (void)publish(w, 'z', "live");
    run_until(w, has_live_words, live);
    for (int i = 0; i < N_BACK; i++) {
        n_done += strcmp(client_words(back[i]), words) == 0;
    }
    cr_assert_lt(n_done, N_BACK / 2, "the live stream waited for %u replays", n_done);
    for (int i = 0; i < N_BACK; i++) {
        wait_words(back[i], words);
    }
    world_end(w);
}

Test(stream_page, readers_that_leave_while_it_is_read_leave_nothing_behind)
{
    struct world *w = world_started();
    struct client *c[N_BACK];
    char words[WORDS];
    struct tg_pos from;

    from = append(w, 'b', "before");
    numbers(w, 20, words, false);
    open_back(w, c, N_BACK, from);
    for (int i = 0; i < N_BACK; i++) {
        if (i % 3 != 0) {
            tg_stream_close(c[i]->stream);
        }
    }
    for (int i = 0; i < N_BACK; i += 3) {
        wait_words(c[i], words);
    }
    cr_assert_eq(tg_count_get(&w->counts->streams), N_BACK / 3);
    world_end(w);
}

Test(stream_page, pages_of_the_log_before_are_forgotten)
{
    struct world *w = world_started();
    struct client *c[2];
    char words[WORDS];
    struct tg_pos from;

    from = append(w, 'b', "before");
    numbers(w, 10, words, false);
    open_back(w, c, 1, from);
    wait_words(c[0], words);
    w->epoch = (struct tg_epoch){"next"};
    deliver(w);
    settle(w);
    open_back(w, c + 1, 1, from);
    wait_words(c[1], words);
    cr_assert_eq(tg_count_get(&w->counts->pages), 2, "read again");
    world_end(w);
}
