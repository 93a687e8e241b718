/* test_stream_check.c - what a replay of a strict topic may show. Rows are [1], [2], ... */
#include <stdio.h>
#include <string.h>

#include "realtime_stream/fixture.h"

struct resumed {
    struct world *w;
    struct client *live; /* so that the ring has all that follows */
    struct client *c;
    struct tg_pos from;
    char cursor[TG_CURSOR_MAX + 1];
};

static struct resumed followed(struct world *w)
{
    struct resumed r = {.w = w, .live = live_client(w, "a"), .from = w->last};

    return r;
}

static void publish_row(struct world *w, const char *text, int id)
{
    struct tg_pos pos = append_row(w, 'a', text, id);

    hand(w, 'a', pos, text);
    deliver(w);
    settle(w);
}

static void come_back(struct resumed *r)
{
    r->c = client_opened(r->w, "a", cursor_of(r->w, r->from, r->cursor));
}

static bool was_answered(void *arg)
{
    const struct world *w = arg;

    return w->n_answers > 0;
}

static bool was_asked(void *arg)
{
    const struct world *w = arg;

    return w->n_questions > 0;
}

/* The question about what it may be shown has no answer yet. */
static void come_back_unanswered(struct resumed *r)
{
    r->w->is_mute = true;
    come_back(r);
    run_until(r->w, was_asked, r->w);
}

Test(stream_check, shows_only_rows_that_can_be_seen_now_though_the_ring_has_all)
{
    struct world *w = world_started();
    struct resumed r = followed(w);

    publish_row(w, "1", 1);
    publish_row(w, "2", 2);
    publish_row(w, "3", 3);
    publish_row(w, "2 again", 2);
    wait_words(r.live, "1 2 3 2 again");
    w->hidden = "[2]";
    come_back(&r);
    wait_words(r.c, "1 3");
    cr_assert(r.c->is_recovered);
    cr_assert_eq(tg_count_get(&w->counts->hidden), 2);
    cr_assert_eq(tg_count_get(&w->counts->checks), 1);
    cr_assert_str_eq(w->bearer, "token");
    world_end(w);
}

Test(stream_check, reads_the_ring_again_for_what_comes_later)
{
    struct world *w = world_started();
    struct resumed r = followed(w);

    publish_row(w, "1", 1);
    w->hidden = "[1] [2]";
    come_back(&r);
    wait_started(r.c);
    publish_row(w, "2", 2);
    wait_words(r.c, "2");
    cr_assert_eq(w->n_questions, 1);
    world_end(w);
}

Test(stream_check, lets_deletes_pass_without_a_question)
{
    struct world *w = world_started();
    struct resumed r = followed(w);

    w->hidden = "[1]";
    (void)append_delete(w, 'a', "gone", 1);
    w->is_cut = true;
    deliver(w);
    settle(w);
    come_back(&r);
    wait_words(r.c, "gone");
    cr_assert_eq(w->n_questions, 0);
    world_end(w);
}

Test(stream_check, checks_every_page_and_what_earliest_asks_for)
{
    struct world *w = world_create();
    struct client *c = NULL;

    w->opts.page_entries = 2;
    world_start(w);
    for (int i = 1; i <= 5; i++) {
        char text[12];

        (void)snprintf(text, sizeof(text), "%d", i);
        (void)append_row(w, 'a', text, i);
    }
    w->hidden = "[1] [2] [5]";
    c = client_opened(w, "a", "earliest");
    tell(w, 'a', TG_TOPIC_READY);
    wait_words(c, "3 4");
    settle(w);
    cr_assert_eq(w->n_questions, 3);
    world_end(w);
}

Test(stream_check, checks_the_pages_of_a_live_stream_that_lags)
{
    struct world *w = world_create();
    struct client *c = lagging_client(w, 0);

    publish_row(w, "1", 1);
    publish_row(w, "2", 2);
    publish_row(w, "3", 3);
    publish_row(w, "4", 4);
    settle(w);
    w->hidden = "[2]";
    client_reads(c);
    wait_words(c, "1 3 4");
    world_end(w);
}

Test(stream_check, nothing_is_visible_where_the_table_may_not_be_read)
{
    struct world *w = world_started();
    struct resumed r = followed(w);

    publish_row(w, "1", 1);
    w->keys_rc = TG_EFORBIDDEN;
    come_back(&r);
    wait_started(r.c);
    publish_row(w, "2", 2);
    wait_words(r.c, "2");
    world_end(w);
}

Test(stream_check, asks_again_when_there_was_no_answer)
{
    struct world *w = world_started();
    struct resumed r = followed(w);

    publish_row(w, "1", 1);
    w->keys_rc = TG_EUPSTREAM;
    come_back(&r);
    run_until(w, was_answered, w);
    cr_assert(!r.c->is_started);
    w->keys_rc = TG_OK;
    skip_time(w, TG_SEC(1));
    wait_words(r.c, "1");
    cr_assert(r.c->is_recovered);
    cr_assert_eq(w->n_questions, 2);
    world_end(w);
}

static bool is_given_up(const struct client *c)
{
    settle(c->world);
    return c->is_refused;
}

Test(stream_check, gives_up_in_the_end_and_never_shows_what_it_could_not_ask)
{
    struct world *w = world_create();
    struct resumed r;

    w->opts.ready_wait = TG_SEC(3600);
    world_start(w);
    r = followed(w);
    publish_row(w, "1", 1);
    w->keys_rc = TG_EUPSTREAM;
    come_back(&r);
    for (int i = 0; i < 20 && !is_given_up(r.c); i++) {
        skip_time(w, TG_SEC(8));
    }
    cr_assert(r.c->is_refused);
    cr_assert_eq(r.c->rc, TG_EACCESS);
    cr_assert_eq(w->n_questions, 6);
    cr_assert_eq(tg_count_get(&w->counts->unverified), 1);
    cr_assert_str_eq(client_words(r.c), "");
    world_end(w);
}

Test(stream_check, ends_when_the_token_is_not_accepted)
{
    struct world *w = world_started();
    struct resumed r = followed(w);

    publish_row(w, "1", 1);
    w->keys_rc = TG_EBADTOKEN;
    come_back(&r);
    wait_refused(r.c);
    cr_assert_eq(r.c->rc, TG_EBADTOKEN);
    world_end(w);
}

Test(stream_check, a_question_that_cannot_be_put_is_a_gap)
{
    struct world *w = world_started();
    struct resumed r = followed(w);

    publish_row(w, "1", 1);
    w->keys_rc = TG_EBADPARAM;
    come_back(&r);
    wait_words(r.c, "reset:a:gap");
    cr_assert(!r.c->is_recovered);
    publish_row(w, "2", 2);
    wait_words(r.c, "reset:a:gap 2");
    world_end(w);
}

Test(stream_check, a_row_without_a_primary_key_is_a_gap)
{
    struct world *w = world_started();
    struct resumed r = followed(w);

    hand(w, 'a', append_keyless(w, 'a', "1"), "1");
    deliver(w);
    settle(w);
    come_back(&r);
    wait_words(r.c, "reset:a:gap");
    cr_assert_eq(w->n_questions, 0);
    world_end(w);
}

Test(stream_check, is_shared_by_those_who_come_together_and_done_anew_later)
{
    struct world *w = world_started();
    struct resumed r = followed(w);
    struct client *second = NULL;

    publish_row(w, "1", 1);
    come_back(&r);
    wait_words(r.c, "1");
    second = client_opened(w, "a", r.cursor);
    wait_words(second, "1");
    cr_assert_eq(w->n_questions, 1);
    skip_time(w, TG_SEC(1));
    w->hidden = "[1]";
    come_back(&r);
    wait_started(r.c);
    settle(w);
    cr_assert_str_eq(client_words(r.c), "");
    cr_assert_eq(w->n_questions, 2);
    world_end(w);
}

Test(stream_check, is_called_off_with_its_last_reader)
{
    struct world *w = world_started();
    struct resumed r = followed(w);

    publish_row(w, "1", 1);
    come_back_unanswered(&r);
    tg_stream_close(r.c->stream);
    settle(w);
    w->is_mute = false;
    come_back(&r);
    wait_words(r.c, "1");
    world_end(w);
}

Test(stream_check, does_not_keep_other_topics_waiting)
{
    struct world *w = world_create();
    struct client *other = NULL;
    struct resumed r;

    w->opts.max_pages = 1;
    world_start(w);
    r = followed(w);
    publish_row(w, "1", 1);
    (void)append(w, 'p', "2");
    come_back_unanswered(&r);
    other = client_opened(w, "p", r.cursor);
    tell(w, 'p', TG_TOPIC_READY);
    wait_words(other, "2");
    cr_assert(!r.c->is_started);
    world_end(w);
}

Test(stream_check, is_still_under_way_when_the_worker_stops)
{
    struct world *w = world_started();
    struct resumed r = followed(w);

    publish_row(w, "1", 1);
    come_back_unanswered(&r);
    world_end(w);
}
