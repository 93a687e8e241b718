/* test_stream.c - a stream's start and verdicts, what it is told of its topics, and its end. */
#include <string.h>

#include "realtime_stream/fixture.h"

/* ---- the start ---- */

Test(stream, starts_only_when_every_topic_is_known)
{
    struct world *w = world_started();
    struct client *c = client_opened(w, "ab", NULL);

    settle(w);
    cr_assert(!c->is_started);
    tell(w, 'a', TG_TOPIC_READY);
    settle(w);
    cr_assert(!c->is_started);
    tell(w, 'b', TG_TOPIC_READY);
    wait_started(c);
    cr_assert(!c->is_resume);
    cr_assert_eq(c->n_topics, 2);
    cr_assert_eq(c->states[1], TG_TOPIC_READY);
    world_end(w);
}

Test(stream, starts_at_the_newest_position)
{
    struct world *w = world_started();
    char cursor[TG_CURSOR_MAX + 1];
    struct client *c = NULL;

    (void)append(w, 'a', "old");
    c = live_client(w, "a");
    cr_assert_str_eq(c->cursor, cursor_of(w, w->last, cursor));
    (void)publish(w, 'a', "new");
    wait_words(c, "new");
    world_end(w);
}

Test(stream, starts_on_a_joining_topic_after_the_wait)
{
    struct world *w = world_create();
    struct client *c = NULL;

    w->opts.ready_wait = TG_MS(20);
    world_start(w);
    c = client_opened(w, "a", NULL);
    tell(w, 'a', TG_TOPIC_JOINING);
    wait_started(c);
    cr_assert_eq(c->states[0], TG_TOPIC_JOINING);
    world_end(w);
}

Test(stream, is_refused_after_the_wait_when_the_hub_has_said_nothing)
{
    struct world *w = world_create();
    struct client *c = NULL;

    w->opts.ready_wait = TG_MS(20);
    world_start(w);
    c = client_opened(w, "a", NULL);
    wait_refused(c);
    cr_assert_eq(c->rc, TG_ESTORE);
    world_end(w);
}

Test(stream, is_refused_with_the_hubs_words)
{
    struct world *w = world_started();
    struct client *c = client_opened(w, "a", NULL);

    refuse(w, 'a', TG_EBADTOPIC, "no such table");
    wait_refused(c);
    cr_assert_eq(c->rc, TG_EBADTOPIC);
    cr_assert_str_eq(c->message, "no such table");
    world_end(w);
}

Test(stream, tells_busy_when_the_hub_is_full)
{
    struct world *w = world_started();
    struct client *c = client_create(w);

    w->hub_rc = TG_EFULL;
    cr_assert_eq(client_open(c, "a", NULL), TG_EBUSY);
    settle(w);
    cr_assert(!c->is_started && !c->is_refused);
    cr_assert_eq(tg_count_get(&w->counts->streams), 0);
    world_end(w);
}

Test(stream, is_one_of_at_most_max_streams)
{
    struct world *w = world_create();
    struct client *a = NULL;
    struct client *b = NULL;

    w->opts.max_streams = 1;
    world_start(w);
    a = live_client(w, "a");
    b = client_create(w);
    cr_assert_eq(client_open(b, "a", NULL), TG_EBUSY);
    tg_stream_close(a->stream);
    settle(w);
    cr_assert_eq(client_open(b, "a", NULL), TG_OK);
    wait_started(b);
    world_end(w);
}

/* ---- verdicts of a resume ---- */

static void resume(struct client *c, const char *topics, const char *cursor)
{
    cr_assert_eq(client_open(c, topics, cursor), TG_OK);
    for (const char *t = topics; *t != '\0'; t++) {
        tell(c->world, *t, TG_TOPIC_READY);
    }
    wait_started(c);
    cr_assert(c->is_resume);
}

Test(stream, resumes_complete_behind_its_cursor)
{
    struct world *w = world_started();
    char cursor[TG_CURSOR_MAX + 1];
    struct client *c = NULL;

    (void)append(w, 'a', "1");
    (void)cursor_of(w, append(w, 'a', "2"), cursor);
    (void)append(w, 'a', "3");
    (void)append(w, 'a', "4");
    c = client_create(w);
    resume(c, "a", cursor);
    cr_assert(c->is_recovered);
    cr_assert_eq(c->verdicts[0], TG_COMPLETE);
    cr_assert_str_eq(c->cursor, cursor);
    wait_words(c, "3 4");
    (void)publish(w, 'a', "5");
    wait_words(c, "3 4 5");
    world_end(w);
}

Test(stream, resumes_past_trimmed_events_with_a_reset_at_its_own_cursor)
{
    struct world *w = world_create();
    char cursor[TG_CURSOR_MAX + 1];
    struct tg_pos first;
    struct client *c = NULL;

    w->store_opts.retain_events = 2;
    world_start(w);
    first = append(w, 'a', "0");
    for (int i = 1; i < 300; i++) {
        (void)append(w, 'a', "x");
    }
    c = client_create(w);
    resume(c, "a", cursor_of(w, first, cursor));
    cr_assert_eq(c->verdicts[0], TG_RESET_EXPIRED);
    cr_assert(!c->is_recovered);
    settle(w);
    cr_assert_eq(strncmp(client_words(c), "reset:a:expired", 15), 0);
    POS_EQ(c->ids[0], first);
    world_end(w);
}

Test(stream, resumes_from_another_log_with_a_reset_before_everything)
{
    struct world *w = world_started();
    struct client *c = NULL;

    (void)append(w, 'a', "1");
    c = client_create(w);
    resume(c, "a", "otherlog.1-1");
    cr_assert_eq(c->verdicts[0], TG_RESET_EPOCH);
    cr_assert(!c->is_recovered);
    wait_words(c, "reset:a:epoch");
    POS_EQ(c->ids[0], ((struct tg_pos){0, 0}));
    cr_assert_eq(strncmp(c->last_id, w->log_epoch.text, strlen(w->log_epoch.text)), 0);
    (void)publish(w, 'a', "2");
    wait_words(c, "reset:a:epoch 2");
    world_end(w);
}

Test(stream, resumes_over_a_gap_with_a_reset_at_the_gaps_place)
{
    struct world *w = world_started();
    char cursor[TG_CURSOR_MAX + 1];
    struct tg_pos from;
    struct tg_pos lost;
    struct client *c = NULL;

    from = append(w, 'a', "1");
    (void)append(w, 'a', "2");
    lost = gap(w);
    (void)append(w, 'a', "3");
    c = client_create(w);
    resume(c, "a", cursor_of(w, from, cursor));
    cr_assert_eq(c->verdicts[0], TG_RESET_GAP);
    wait_words(c, "reset:a:gap 3");
    POS_EQ(c->ids[0], lost);
    world_end(w);
}

Test(stream, resumes_from_beyond_the_log_with_a_reset_before_everything)
{
    struct world *w = world_started();
    char cursor[TG_CURSOR_MAX + 1];
    struct tg_pos ahead;
    struct client *c = NULL;

    ahead = append(w, 'a', "1");
    ahead.ms += 1000000;
    c = client_create(w);
    resume(c, "a", cursor_of(w, ahead, cursor));
    cr_assert_eq(c->verdicts[0], TG_RESET_AHEAD);
    wait_words(c, "reset:a:ahead");
    POS_EQ(c->ids[0], ((struct tg_pos){0, 0}));
    (void)publish(w, 'a', "2");
    wait_words(c, "reset:a:ahead 2");
    world_end(w);
}

/* One read at a time: the second topic is judged after the first one's verdict. */
Test(stream, judges_every_topic_by_the_epoch_of_its_own_cursor)
{
    struct world *w = world_create();
    char cursor[TG_CURSOR_MAX + 1];
    struct tg_pos from;
    struct client *c = NULL;

    w->opts.max_pages = 1;
    world_start(w);
    (void)append(w, 'a', "1");
    from = append(w, 'b', "2");
    (void)append(w, 'b', "3");
    (void)tg_cursor_format(&(struct tg_epoch){"otherlog"}, from, cursor);
    c = client_create(w);
    resume(c, "ab", cursor);
    cr_assert_eq(c->verdicts[0], TG_RESET_EPOCH);
    cr_assert_eq(c->verdicts[1], TG_RESET_EPOCH);
    wait_words(c, "reset:a:epoch reset:b:epoch");
    world_end(w);
}

static bool has_read_one(void *arg)
{
    const struct world *w = arg;

    return tg_count_get(&w->counts->pages) >= 1;
}

Test(stream, whose_log_is_replaced_while_it_is_judged_is_reset_on_every_topic)
{
    struct world *w = world_create();
    char cursor[TG_CURSOR_MAX + 1];
    struct client *c = NULL;

    w->opts.max_pages = 1;
    world_start(w);
    (void)cursor_of(w, append(w, 'a', "1"), cursor);
    (void)append(w, 'a', "2");
    c = client_opened(w, "abcdefgh", cursor);
    for (char t = 'a'; t <= 'h'; t++) {
        tell(w, t, TG_TOPIC_READY);
    }
    run_until(w, has_read_one, w);
    w->epoch = (struct tg_epoch){"next"};
    deliver(w);
    wait_started(c);
    for (size_t i = 0; i < c->n_topics; i++) {
        cr_assert_eq(c->verdicts[i], TG_RESET_EPOCH);
    }
    cr_assert_str_eq(c->cursor, "next.0-0");
    wait_words(c, "reset:a:epoch reset:b:epoch reset:c:epoch reset:d:epoch reset:e:epoch "
                  "reset:f:epoch reset:g:epoch reset:h:epoch");
    cr_assert_str_eq(c->last_id, "next.0-0");
    world_end(w);
}

/* ---- states of topics ---- */

Test(stream, is_told_when_a_topic_goes_offline_and_comes_back)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");

    tell(w, 'a', TG_TOPIC_JOINING);
    tell(w, 'a', TG_TOPIC_JOINING);
    wait_words(c, "status:a:offline");
    tell(w, 'a', TG_TOPIC_READY);
    wait_words(c, "status:a:offline status:a:ready");
    world_end(w);
}

Test(stream, is_told_each_reason_for_which_a_topic_is_offline)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");

    tell_reason(w, 'a', "closed");
    wait_words(c, "status:a:offline");
    tell_reason(w, 'a', "closed");
    tell_reason(w, 'a', "tenant");
    wait_words(c, "status:a:offline status:a:offline");
    tell_reason(w, 'a', "tenant");
    tell(w, 'a', TG_TOPIC_READY);
    wait_words(c, "status:a:offline status:a:offline status:a:ready");
    world_end(w);
}

Test(stream, is_told_behind_its_start_why_a_topic_is_not_covered)
{
    struct world *w = world_create();
    struct client *c = NULL;

    w->opts.ready_wait = TG_MS(20);
    world_start(w);
    c = client_opened(w, "a", NULL);
    tell_reason(w, 'a', "tenant");
    wait_started(c);
    cr_assert_eq(c->states[0], TG_TOPIC_JOINING);
    wait_words(c, "status:a:offline");
    world_end(w);
}

static struct client *fresh_client(struct world *w)
{
    struct client *c = client_create(w);

    cr_assert_eq(client_open(c, "a", NULL), TG_OK);
    tell(w, 'a', TG_TOPIC_JOINING);
    wait_started(c);
    return c;
}

Test(stream, resumes_only_when_the_gap_before_its_coverage_is_seen)
{
    struct world *w = world_started();
    struct client *first = live_client(w, "a");
    struct tg_topic_news news = {
        .topic = w->topics[0], .state = TG_TOPIC_JOINING, .epoch = w->epoch, .whole_from = w->last};
    struct client *c = NULL;

    cr_assert_eq(tg_fanout_tell(w->fanout, &news), TG_OK);
    settle(w);
    c = client_opened(w, "a", first->cursor);
    /* The hub has written the gap, and the log has not brought it yet. */
    news.state = TG_TOPIC_READY;
    news.ready_from = gap(w);
    cr_assert_eq(tg_fanout_tell(w->fanout, &news), TG_OK);
    settle(w);
    cr_assert(!c->is_started);
    hand_gap(w, 'a', news.ready_from);
    deliver(w);
    wait_started(c);
    cr_assert(!c->is_recovered);
    cr_assert_eq(c->verdicts[0], TG_RESET_GAP);
    wait_words(c, "reset:a:gap");
    world_end(w);
}

Test(stream, that_started_while_joining_reads_the_joins_gap_as_ready)
{
    struct world *w = world_create();
    struct client *c = NULL;
    struct tg_pos lost;

    w->opts.ready_wait = TG_MS(20);
    world_start(w);
    c = fresh_client(w);
    lost = gap(w);
    hand_gap(w, 'a', lost);
    deliver(w);
    tell(w, 'a', TG_TOPIC_READY);
    wait_words(c, "status:a:ready");
    settle(w);
    POS_EQ(c->ids[0], lost);
    /* Only the first: later gaps are losses. */
    lost = gap(w);
    hand_gap(w, 'a', lost);
    deliver(w);
    wait_words(c, "status:a:ready reset:a:gap");
    world_end(w);
}

Test(stream, that_started_while_joining_is_ready_where_another_covered_already)
{
    struct world *w = world_create();
    struct client *c = NULL;

    w->opts.ready_wait = TG_MS(20);
    world_start(w);
    c = fresh_client(w);
    tell(w, 'a', TG_TOPIC_READY);
    wait_words(c, "status:a:ready");
    world_end(w);
}

/* ---- another log ---- */

Test(stream, meets_a_new_epoch_with_a_reset_of_each_topic)
{
    struct world *w = world_started();
    struct client *c = NULL;

    w->epoch = (struct tg_epoch){"before"};
    c = live_client(w, "ab");
    w->epoch = w->log_epoch;
    (void)append(w, 'a', "1");
    deliver(w);
    wait_words(c, "reset:a:epoch reset:b:epoch");
    cr_assert_eq(strncmp(c->last_id, w->log_epoch.text, strlen(w->log_epoch.text)), 0);
    (void)publish(w, 'b', "2");
    wait_words(c, "reset:a:epoch reset:b:epoch 2");
    world_end(w);
}

Test(stream, that_knew_the_new_epoch_before_the_hub_goes_on_without_a_reset)
{
    struct world *w = world_started();
    char cursor[TG_CURSOR_MAX + 1];
    struct client *c = NULL;

    w->epoch = (struct tg_epoch){"before"};
    (void)cursor_of(w, append(w, 'a', "1"), cursor);
    (void)append(w, 'a', "2");
    c = client_create(w);
    resume(c, "a", cursor);
    wait_words(c, "2");
    w->epoch = w->log_epoch;
    (void)publish(w, 'a', "3");
    wait_words(c, "2 3");
    world_end(w);
}

/* ---- the end ---- */

Test(stream, ends_with_its_token)
{
    struct world *w = world_started();
    struct client *c = client_create(w);

    cr_assert_eq(client_open_until(c, "a", NULL, 1), TG_OK);
    tell(w, 'a', TG_TOPIC_READY);
    wait_started(c);
    wait_ended(c);
    cr_assert_str_eq(c->why, "expired");
    wait_words(c, "bye:expired");
    world_end(w);
}

Test(stream, ends_when_a_topic_is_refused_later)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");

    refuse(w, 'a', TG_EBADTOPIC, "");
    wait_ended(c);
    cr_assert_str_eq(c->why, "refused");
    cr_assert_str_eq(client_words(c), "bye:refused");
    world_end(w);
}

Test(stream, ends_without_a_word_when_its_socket_fails)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");

    c->error = TG_ECLOSED;
    (void)publish(w, 'a', "1");
    wait_ended(c);
    cr_assert_str_eq(c->why, "client");
    cr_assert_str_eq(client_words(c), "");
    cr_assert_eq(c->n_writes, 1);
    world_end(w);
}

Test(stream, may_be_closed_inside_its_start)
{
    struct world *w = world_started();
    struct client *c = client_create(w);

    c->closes_on_start = true;
    cr_assert_eq(client_open(c, "a", NULL), TG_OK);
    tell(w, 'a', TG_TOPIC_READY);
    wait_started(c);
    settle(w);
    cr_assert_eq(c->n_writes, 0);
    cr_assert(!c->is_ended);
    cr_assert_eq(tg_count_get(&w->counts->streams), 0);
    world_end(w);
}

Test(stream, may_be_closed_inside_a_write)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");
    struct client *other = live_client(w, "a");

    c->closes_on_write = true;
    (void)publish(w, 'a', "1");
    wait_words(other, "1");
    settle(w);
    cr_assert_eq(c->n_writes, 1);
    cr_assert(!c->is_ended);
    cr_assert_eq(tg_count_get(&w->counts->streams), 1);
    world_end(w);
}

Test(stream, may_be_closed_inside_the_write_of_its_bye)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");

    c->closes_on_write = true;
    tg_fanout_drain(w->fanout, 0);
    settle(w);
    cr_assert(!c->is_ended, "a closed stream is told nothing");
    cr_assert_eq(tg_count_get(&w->counts->ended), 1);
    world_end(w);
}

Test(stream, may_be_closed_inside_its_end)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "a");

    c->closes_on_end = true;
    refuse(w, 'a', TG_EBADTOPIC, "");
    wait_ended(c);
    settle(w);
    cr_assert_eq(tg_count_get(&w->counts->ended), 1);
    world_end(w);
}
