/* test_stream_topics.c - cursors of their own, and topics that come and go on a running stream. */
#include <stdio.h>
#include <string.h>

#include "realtime_stream/fixture.h"

/* ---- each topic its own cursor ---- */

Test(stream_topics, begin_each_at_its_own_cursor)
{
    struct world *w = world_started();
    char cursor[TG_CURSOR_MAX + 1];
    char wants[128];
    struct client *c = NULL;
    struct tg_pos a1;

    a1 = append(w, 'a', "a1");
    (void)append(w, 'b', "b1");
    (void)append(w, 'a', "a2");
    (void)append(w, 'c', "c1");
    (void)snprintf(wants, sizeof(wants), "a=%s b=now c=earliest", cursor_of(w, a1, cursor));
    c = client_create(w);
    cr_assert_eq(client_open_wants(c, wants), TG_OK);
    for (char t = 'a'; t <= 'c'; t++) {
        tell(w, t, TG_TOPIC_READY);
    }
    wait_words(c, "a2 c1");
    cr_assert(c->is_resume && c->is_recovered);
    (void)publish(w, 'b', "b2");
    wait_words(c, "a2 c1 b2");
    world_end(w);
}

Test(stream_topics, of_another_log_are_reset_alone)
{
    struct world *w = world_started();
    char cursor[TG_CURSOR_MAX + 1];
    char wants[128];
    struct client *c = NULL;

    (void)snprintf(wants, sizeof(wants), "a=otherlog.1-1 b=%s",
                   cursor_of(w, append(w, 'b', "b1"), cursor));
    (void)append(w, 'b', "b2");
    c = client_create(w);
    cr_assert_eq(client_open_wants(c, wants), TG_OK);
    tell(w, 'a', TG_TOPIC_READY);
    tell(w, 'b', TG_TOPIC_READY);
    wait_words(c, "reset:a:epoch b2");
    cr_assert_eq(c->verdicts[0], TG_RESET_EPOCH);
    cr_assert_eq(c->verdicts[1], TG_COMPLETE);
    cr_assert(!c->is_recovered);
    world_end(w);
}

Test(stream_topics, from_the_earliest_are_all_that_is_left_without_a_reset)
{
    struct world *w = world_create();
    struct client *c = NULL;

    w->store_opts.retain_events = 2;
    world_start(w);
    for (int i = 0; i < 300; i++) {
        (void)append(w, 'a', i < 299 ? "x" : "last");
    }
    c = client_opened(w, "a", "earliest");
    tell(w, 'a', TG_TOPIC_READY);
    wait_started(c);
    settle(w);
    cr_assert(!c->is_resume);
    cr_assert_eq(c->verdicts[0], TG_COMPLETE);
    cr_assert_null(strstr(client_words(c), "reset"));
    cr_assert_not_null(strstr(client_words(c), "last"));
    world_end(w);
}

/* One that did resume at the very beginning asked for what was trimmed. */
Test(stream_topics, from_the_earliest_are_not_reset_beside_a_resume_that_is)
{
    struct world *w = world_create();
    char cursor[TG_CURSOR_MAX + 1];
    struct client *c[2];

    w->store_opts.retain_events = 2;
    world_start(w);
    for (int i = 0; i < 300; i++) {
        (void)append(w, 'a', "x");
    }
    c[0] = client_create(w);
    c[1] = client_create(w);
    cr_assert_eq(client_open(c[0], "a", "earliest"), TG_OK);
    cr_assert_eq(client_open(c[1], "a", cursor_of(w, (struct tg_pos){0}, cursor)), TG_OK);
    tell(w, 'a', TG_TOPIC_READY);
    wait_started(c[0]);
    wait_started(c[1]);
    settle(w);
    cr_assert_eq(strncmp(client_words(c[0]), "x ", 2), 0);
    cr_assert_eq(strncmp(client_words(c[1]), "reset:a:expired x", 17), 0);
    cr_assert_eq(c[1]->verdicts[0], TG_RESET_EXPIRED);
    world_end(w);
}

/* What the log holds before the gap is not whole. */
Test(stream_topics, from_the_earliest_are_told_of_the_last_gap_in_what_is_held)
{
    struct world *w = world_started();
    struct client *c = NULL;

    (void)append(w, 'a', "1");
    (void)gap(w);
    (void)append(w, 'a', "2");
    (void)gap(w);
    (void)append(w, 'a', "3");
    c = client_opened(w, "a", "earliest");
    tell(w, 'a', TG_TOPIC_READY);
    wait_words(c, "reset:a:gap 3");
    cr_assert(!c->is_resume);
    cr_assert_eq(c->verdicts[0], TG_RESET_GAP);
    hand_gap(w, 'a', gap(w));
    deliver(w);
    wait_words(c, "reset:a:gap 3 reset:a:gap");
    world_end(w);
}

/* Nothing is held before it: what it tells of was not asked for. */
Test(stream_topics, from_the_earliest_are_not_told_of_a_gap_before_all_that_is_held)
{
    struct world *w = world_started();
    struct client *c = NULL;

    (void)append(w, 'b', "of another topic");
    (void)gap(w);
    (void)append(w, 'a', "1");
    c = client_opened(w, "a", "earliest");
    tell(w, 'a', TG_TOPIC_READY);
    wait_words(c, "1");
    cr_assert_eq(c->verdicts[0], TG_COMPLETE);
    world_end(w);
}

Test(stream_topics, within_the_ring_are_resumed_without_a_read)
{
    struct world *w = world_started();
    char cursor[TG_CURSOR_MAX + 1];
    struct client *live = live_client(w, "p");
    struct client *c = NULL;
    struct tg_pos from;

    from = publish(w, 'p', "1");
    (void)publish(w, 'p', "2");
    wait_words(live, "1 2");
    c = client_opened(w, "p", cursor_of(w, from, cursor));
    wait_words(c, "2");
    cr_assert(c->is_recovered);
    cr_assert_eq(tg_count_get(&w->counts->pages), 0);
    world_end(w);
}

Test(stream_topics, within_the_ring_are_told_of_the_gap_there)
{
    struct world *w = world_started();
    char cursor[TG_CURSOR_MAX + 1];
    struct client *live = live_client(w, "a");
    struct client *c = NULL;
    struct tg_pos from;

    from = publish(w, 'a', "1");
    hand_gap(w, 'a', gap(w));
    deliver(w);
    wait_words(live, "1 reset:a:gap");
    c = client_opened(w, "a", cursor_of(w, from, cursor));
    wait_words(c, "reset:a:gap");
    cr_assert_eq(c->verdicts[0], TG_RESET_GAP);
    world_end(w);
}

/* What the log has let go is gone, whatever a worker still remembers: gateways agree. */
Test(stream_topics, behind_what_the_log_retains_are_judged_by_the_log)
{
    struct world *w = world_create();
    char cursor[TG_CURSOR_MAX + 1];
    struct client *live = NULL;
    struct client *c = NULL;
    struct tg_pos from;

    w->opts.retain_events = 2;
    world_start(w);
    live = live_client(w, "a");
    from = publish(w, 'a', "1");
    for (int i = 0; i < 3; i++) {
        (void)publish(w, 'a', "x");
    }
    wait_words(live, "1 x x x");
    c = client_opened(w, "a", cursor_of(w, from, cursor));
    wait_words(c, "x x x");
    cr_assert_eq(tg_count_get(&w->counts->pages), 1);
    world_end(w);
}

Test(stream_topics, at_the_very_end_are_complete_at_any_age)
{
    struct world *w = world_create();
    char cursor[TG_CURSOR_MAX + 1];
    struct client *c = NULL;

    w->opts.heartbeat = TG_SEC(1000000);
    world_start(w);
    (void)live_client(w, "a");
    (void)cursor_of(w, publish(w, 'a', "1"), cursor);
    skip_time(w, w->opts.retain_for + TG_SEC(1));
    c = client_opened(w, "a", cursor);
    wait_started(c);
    cr_assert(c->is_recovered);
    cr_assert_eq(tg_count_get(&w->counts->pages), 0);
    world_end(w);
}

/* ---- topics that come ---- */

static struct client *socket_on(struct world *w, const char *topics)
{
    struct client *c = client_create(w);

    c->takes_topics = true;
    cr_assert_eq(client_open(c, topics, NULL), TG_OK);
    for (const char *t = topics; *t != '\0'; t++) {
        tell(w, *t, TG_TOPIC_READY);
    }
    wait_started(c);
    return c;
}

Test(stream_topics, may_come_all_later)
{
    struct world *w = world_started();
    struct client *c = socket_on(w, "");

    cr_assert_eq(c->n_topics, 0);
    cr_assert_eq(client_add(c, 'a', NULL, 1), TG_OK);
    tell(w, 'a', TG_TOPIC_READY);
    wait_answers(c, "a1:ok");
    cr_assert(!c->topic.is_resume);
    (void)publish(w, 'a', "1");
    wait_words(c, "1");
    world_end(w);
}

Test(stream_topics, added_with_an_older_cursor_are_merged_from_there)
{
    struct world *w = world_started();
    char cursor[TG_CURSOR_MAX + 1];
    char there[TG_CURSOR_MAX + 1];
    struct client *c = NULL;
    struct tg_pos from;

    from = append(w, 'b', "0");
    (void)append(w, 'b', "1");
    (void)append(w, 'b', "2");
    c = socket_on(w, "a");
    c->goes_back = true;
    (void)publish(w, 'a', "3");
    wait_words(c, "3");
    cr_assert_eq(client_add(c, 'b', cursor_of(w, from, cursor), 7), TG_OK);
    tell(w, 'b', TG_TOPIC_READY);
    wait_answers(c, "b7:ok");
    cr_assert(c->topic.is_recovered);
    wait_words(c, "3 1 2");
    cr_assert_gt(tg_stream_cursor(c->stream, there), 0);
    cr_assert_str_eq(there, cursor_of(w, w->last, cursor), "caught up again");
    (void)publish(w, 'a', "4");
    (void)publish(w, 'b', "5");
    wait_words(c, "3 1 2 4 5");
    world_end(w);
}

Test(stream_topics, added_behind_are_where_a_resume_begins)
{
    struct world *w = world_started();
    char cursor[TG_CURSOR_MAX + 1];
    char there[TG_CURSOR_MAX + 1];
    struct client *c = NULL;
    struct tg_pos from;

    from = append(w, 'b', "0");
    (void)append(w, 'b', "1");
    c = socket_on(w, "a");
    c->goes_back = true;
    (void)publish(w, 'a', "2");
    wait_words(c, "2");
    c->room = 0;
    cr_assert_eq(client_add(c, 'b', cursor_of(w, from, cursor), 7), TG_OK);
    tell(w, 'b', TG_TOPIC_READY);
    wait_answers(c, "b7:ok");
    (void)tg_stream_cursor(c->stream, there);
    cr_assert_str_eq(there, cursor);
    cr_assert(tg_stream_is_behind(c->stream));
    client_reads(c);
    wait_words(c, "2 1");
    cr_assert(!tg_stream_is_behind(c->stream));
    world_end(w);
}

Test(stream_topics, that_wait_for_coverage_hold_up_nobody)
{
    struct world *w = world_started();
    struct client *c = socket_on(w, "a");

    cr_assert_eq(client_add(c, 'b', NULL, 2), TG_OK);
    (void)publish(w, 'a', "1");
    wait_words(c, "1");
    cr_assert_str_eq(c->answers, "");
    tell(w, 'b', TG_TOPIC_READY);
    wait_answers(c, "b2:ok");
    world_end(w);
}

Test(stream_topics, that_join_for_long_are_answered_as_joining)
{
    struct world *w = world_create();
    struct client *c = NULL;

    w->opts.ready_wait = TG_MS(20);
    world_start(w);
    c = socket_on(w, "");
    cr_assert_eq(client_add(c, 'a', NULL, 1), TG_OK);
    tell(w, 'a', TG_TOPIC_JOINING);
    wait_answers(c, "a1:ok");
    cr_assert_eq(c->topic.state, TG_TOPIC_JOINING);
    hand_gap(w, 'a', gap(w));
    deliver(w);
    wait_words(c, "status:a:ready");
    world_end(w);
}

Test(stream_topics, that_nobody_can_tell_of_are_given_up)
{
    struct world *w = world_create();
    struct client *c = NULL;

    w->opts.ready_wait = TG_MS(20);
    world_start(w);
    c = socket_on(w, "");
    cr_assert_eq(client_add(c, 'a', NULL, 1), TG_OK);
    wait_answers(c, "a1:TG_ESTORE");
    /* It may be asked for again. */
    cr_assert_eq(client_add(c, 'a', NULL, 2), TG_OK);
    tell(w, 'a', TG_TOPIC_READY);
    wait_answers(c, "a1:TG_ESTORE a2:ok");
    world_end(w);
}

Test(stream_topics, of_another_log_are_reset_when_they_are_added)
{
    struct world *w = world_started();
    struct client *c = socket_on(w, "a");

    c->goes_back = true;
    cr_assert_eq(client_add(c, 'b', "otherlog.1-1", 3), TG_OK);
    tell(w, 'b', TG_TOPIC_READY);
    wait_answers(c, "b3:ok");
    cr_assert_eq(c->topic.verdict, TG_RESET_EPOCH);
    wait_words(c, "reset:b:epoch");
    (void)publish(w, 'a', "1");
    (void)publish(w, 'b', "2");
    wait_words(c, "reset:b:epoch 1 2");
    world_end(w);
}

Test(stream_topics, refused_do_not_end_the_stream)
{
    struct world *w = world_started();
    struct client *c = socket_on(w, "ab");

    cr_assert_eq(client_add(c, 'c', NULL, 5), TG_OK);
    refuse(w, 'c', TG_EBADTOPIC, "no such table");
    wait_answers(c, "c5:TG_EBADTOPIC");
    cr_assert_str_eq(c->message, "no such table");
    /* One that worked: nobody asked. */
    refuse(w, 'b', TG_EFORBIDDEN, "");
    wait_answers(c, "c5:TG_EBADTOPIC b0:TG_EFORBIDDEN");
    (void)publish(w, 'a', "1");
    wait_words(c, "1");
    cr_assert(!c->is_ended);
    world_end(w);
}

Test(stream_topics, refused_after_a_read_began_free_their_page)
{
    struct world *w = world_create();
    char cursor[TG_CURSOR_MAX + 1];
    struct client *c = NULL;

    w->opts.max_pages = 0;
    world_start(w);
    (void)cursor_of(w, append(w, 'b', "1"), cursor);
    (void)append(w, 'b', "2");
    c = socket_on(w, "a");
    cr_assert_eq(client_add(c, 'b', cursor, 5), TG_OK);
    tell(w, 'b', TG_TOPIC_READY);
    settle(w);
    refuse(w, 'b', TG_EBADTOPIC, "");
    wait_answers(c, "b5:TG_EBADTOPIC");
    world_end(w);
}

Test(stream_topics, are_not_had_twice_and_not_without_end)
{
    struct world *w = world_started();
    struct client *c = socket_on(w, "a");

    cr_assert_eq(client_add(c, 'a', NULL, 1), TG_ECONFLICT);
    cr_assert_eq(client_add(c, 'b', NULL, 2), TG_OK);
    cr_assert_eq(client_add(c, 'b', NULL, 3), TG_ECONFLICT, "also while it waits");
    w->hub_rc = TG_EFULL;
    cr_assert_eq(client_add(c, 'c', NULL, 4), TG_EBUSY);
    w->hub_rc = TG_OK;
    cr_assert_eq(client_add(c, 'c', NULL, 4), TG_OK, "nothing of it was left");
    tg_fanout_stop(w->fanout);
    settle(w);
    cr_assert_str_eq(c->answers, "");
    world_end(w);
}

Test(stream_topics, may_be_closed_with_their_stream_inside_the_answer)
{
    struct world *w = world_started();
    struct client *c = socket_on(w, "");

    c->closes_on_topic = true;
    cr_assert_eq(client_add(c, 'a', NULL, 1), TG_OK);
    cr_assert_eq(client_add(c, 'b', NULL, 2), TG_OK);
    tell(w, 'a', TG_TOPIC_READY);
    tell(w, 'b', TG_TOPIC_READY);
    wait_answers(c, "a1:ok");
    settle(w);
    cr_assert_str_eq(c->answers, "a1:ok");
    cr_assert_eq(tg_count_get(&w->counts->streams), 0);
    world_end(w);
}

/* ---- topics that go ---- */

Test(stream_topics, removed_are_silent_and_may_come_again)
{
    struct world *w = world_started();
    struct client *c = socket_on(w, "ab");

    (void)publish(w, 'a', "1");
    wait_words(c, "1");
    cr_assert_eq(client_remove(c, 'a'), TG_OK);
    cr_assert_eq(client_remove(c, 'a'), TG_ENOTFOUND);
    (void)publish(w, 'a', "2");
    (void)publish(w, 'b', "3");
    wait_words(c, "1 3");
    cr_assert_eq(client_add(c, 'a', NULL, 9), TG_OK);
    wait_answers(c, "a9:ok");
    (void)publish(w, 'a', "4");
    wait_words(c, "1 3 4");
    world_end(w);
}

Test(stream_topics, removed_before_their_answer_are_not_answered)
{
    struct world *w = world_started();
    struct client *c = socket_on(w, "");

    cr_assert_eq(client_add(c, 'a', NULL, 1), TG_OK);
    cr_assert_eq(client_remove(c, 'a'), TG_OK);
    tell(w, 'a', TG_TOPIC_READY);
    settle(w);
    cr_assert_str_eq(c->answers, "");
    world_end(w);
}

/* The page that it alone waited for holds up no other topic. */
Test(stream_topics, removed_let_the_others_go_on)
{
    struct world *w = world_create();
    struct client *c = NULL;

    w->opts.max_pages = 0; /* no page ever */
    world_start(w);
    c = socket_on(w, "ab");
    (void)append(w, 'b', "1");
    tell_new(w, 'b', TG_TOPIC_READY);
    (void)publish(w, 'a', "2");
    settle(w);
    cr_assert_str_eq(client_words(c), "");
    cr_assert_eq(client_remove(c, 'b'), TG_OK);
    wait_words(c, "2");
    world_end(w);
}

Test(stream_topics, of_a_stream_that_reads_slowly_come_and_go_between_its_writes)
{
    struct world *w = world_create();
    char cursor[TG_CURSOR_MAX + 1];
    struct client *c = NULL;
    struct tg_pos from;

    w->opts.page_entries = 3;
    world_start(w);
    from = append(w, 'b', "from");
    for (int i = 0; i < 20; i++) {
        (void)append(w, 'b', "b");
    }
    c = socket_on(w, "a");
    c->goes_back = true;
    c->chunk = 7;
    for (tg_id ref = 1; ref <= 20; ref++) {
        cr_assert_eq(client_add(c, 'b', cursor_of(w, from, cursor), ref), TG_OK);
        tell(w, 'b', TG_TOPIC_READY);
        (void)publish(w, 'a', "a");
        settle(w);
        for (tg_id i = 0; i < ref * 3; i++) {
            tg_stream_writable(c->stream);
        }
        cr_assert_eq(client_remove(c, 'b'), TG_OK);
        settle(w);
    }
    c->chunk = WRITES_ALL;
    client_reads(c);
    settle(w);
    cr_assert(!c->is_ended);
    cr_assert_not_null(strstr(client_words(c), "a"));
    world_end(w);
}
