/* test_peek.c - what a worker's rings tell at once, and what they leave to a stream. */
#include <stdio.h>
#include <string.h>

#include "realtime/fanout_int.h"
#include "realtime/peek.h"
#include "realtime_stream/fixture.h"
#include "util/json.h"

enum { NO_LIMIT = 1000 };

/* What was taken, as words. */
struct taken {
    char words[1024];
    size_t n;
    size_t limit;
};

static bool take(tg_str message, void *arg)
{
    struct taken *t = arg;
    tg_str value = TG_STR_NONE;
    size_t at = strlen(t->words);

    if (t->n == t->limit) {
        return false;
    }
    t->n++;
    cr_assert(tg_json_is_valid(message));
    cr_assert_eq(tg_json_member(message, "id", &value), TG_OK);
    cr_assert_eq(tg_json_member(message, "n", &value), TG_OK);
    (void)snprintf(t->words + at, sizeof(t->words) - at, "%s%.*s", at == 0 ? "" : " ",
                   (int)value.n - 2, value.p + 1);
    return true;
}

struct peek {
    struct taken taken;
    struct tg_peeked p;
    enum tg_rc rc;
    struct tg_topic_name names[4];
    struct tg_stream_want wants[4];
    size_t n;
    int64_t exp_sec;
};

/* Each topic of `topics` behind `pos`; NULL: now. */
static struct peek *ask(struct world *w, const char *topics, const struct tg_pos *pos)
{
    static struct peek k;

    k = (struct peek){.taken.limit = NO_LIMIT, .n = strlen(topics), .exp_sec = 1};
    for (size_t i = 0; i < k.n; i++) {
        parse_topic(topics[i], &k.names[i]);
        k.wants[i] = (struct tg_stream_want){.name = &k.names[i], .epoch = w->epoch};
        k.wants[i].from = pos == NULL ? TG_FROM_NOW : TG_FROM_CURSOR;
        k.wants[i].pos = pos == NULL ? (struct tg_pos){0} : *pos;
    }
    return &k;
}

static enum tg_rc peek(struct world *w, struct peek *k)
{
    const struct tg_peek_ask ask = {.wants = k->wants,
                                    .n_wants = k->n,
                                    .user = {.class_id = TG_STR(TEST_CLASS),
                                             .user_id = TG_STR("user"),
                                             .token = TG_STR("token"),
                                             .exp_sec = k->exp_sec},
                                    .take = take,
                                    .arg = &k->taken};

    k->rc = tg_peek(w->fanout, &ask, &k->p);
    for (size_t i = 0; i < k->n; i++) {
        tg_topic_fini(&k->names[i]);
    }
    return k->rc;
}

static struct world *followed(const char *topics)
{
    struct world *w = world_started();
    struct client *c = live_client(w, topics);

    tg_stream_close(c->stream);
    client_destroy(c);
    settle(w);
    return w;
}

Test(peek, tells_what_is_behind_a_cursor_and_where_to_go_on)
{
    struct world *w = followed("p");
    struct tg_pos start = w->last;
    struct peek *k = NULL;

    (void)publish(w, 'p', "1");
    (void)publish(w, 'p', "2");
    settle(w);
    k = ask(w, "p", &start);
    cr_assert_eq(peek(w, k), TG_OK);
    cr_assert_str_eq(k->taken.words, "1 2");
    cr_assert(k->p.is_resume && !k->p.has_more);
    POS_EQ(k->p.pos, w->last);
    cr_assert_str_eq(k->p.epoch.text, w->epoch.text);
    k = ask(w, "p", &w->last);
    cr_assert_eq(peek(w, k), TG_OK);
    cr_assert_str_eq(k->taken.words, "");
    cr_assert_eq(k->p.lag_ms, 0);
    world_end(w);
}

Test(peek, starts_now_behind_all_there_is)
{
    struct world *w = followed("p");
    struct peek *k = NULL;

    (void)publish(w, 'p', "1");
    settle(w);
    k = ask(w, "p", NULL);
    cr_assert_eq(peek(w, k), TG_OK);
    cr_assert_eq(k->taken.n, 0);
    cr_assert(!k->p.is_resume);
    POS_EQ(k->p.pos, w->last);
    world_end(w);
}

Test(peek, merges_topics_by_id_and_stops_where_it_is_told)
{
    struct world *w = followed("pq");
    struct tg_pos start = w->last;
    struct tg_pos second = {0};
    struct peek *k = NULL;

    (void)publish(w, 'p', "1");
    second = publish(w, 'q', "2");
    (void)publish(w, 'p', "3");
    (void)publish(w, 'q', "4");
    settle(w);
    k = ask(w, "qp", &start);
    k->taken.limit = 2;
    cr_assert_eq(peek(w, k), TG_OK);
    cr_assert_str_eq(k->taken.words, "1 2");
    cr_assert(k->p.has_more);
    POS_EQ(k->p.pos, second);
    k = ask(w, "qp", &second);
    cr_assert_eq(peek(w, k), TG_OK);
    cr_assert_str_eq(k->taken.words, "3 4");
    cr_assert(!k->p.has_more);
    POS_EQ(k->p.pos, w->last);
    world_end(w);
}

/* The horizon: a topic that is read empty is read up to the log's end. */
Test(peek, of_a_quiet_topic_moves_with_the_log)
{
    struct world *w = followed("pq");
    struct tg_pos start = w->last;
    struct peek *k = NULL;

    (void)publish(w, 'q', "1");
    settle(w);
    k = ask(w, "p", &start);
    cr_assert_eq(peek(w, k), TG_OK);
    cr_assert_eq(k->taken.n, 0);
    POS_EQ(k->p.pos, w->last);
    cr_assert_eq(k->p.lag_ms, w->last.ms - start.ms);
    world_end(w);
}

Test(peek, leaves_unknown_topics_to_a_stream)
{
    struct world *w = followed("p");

    cr_assert_eq(peek(w, ask(w, "q", NULL)), TG_EAGAIN);
    cr_assert_eq(peek(w, ask(w, "pq", NULL)), TG_EAGAIN);
    (void)client_opened(w, "q", NULL);
    cr_assert_eq(peek(w, ask(w, "q", NULL)), TG_EAGAIN, "the hub has not answered");
    tell_new(w, 'q', TG_TOPIC_JOINING);
    settle(w);
    cr_assert_eq(peek(w, ask(w, "q", NULL)), TG_EAGAIN, "it is not covered");
    tell_new(w, 'q', TG_TOPIC_READY);
    settle(w);
    cr_assert_eq(peek(w, ask(w, "q", NULL)), TG_OK);
    tell(w, 'q', TG_TOPIC_JOINING);
    settle(w);
    cr_assert_eq(peek(w, ask(w, "q", NULL)), TG_EAGAIN, "it is not covered any more");
    world_end(w);
}

Test(peek, leaves_other_cursors_to_a_stream)
{
    struct world *w = followed("p");
    struct tg_pos start = w->last;
    struct tg_pos ahead = {start.ms + 1000000, 0};
    struct tg_pos below = {1, 0};
    struct peek *k = NULL;

    (void)publish(w, 'p', "1");
    settle(w);
    cr_assert_eq(peek(w, ask(w, "p", &start)), TG_OK);
    cr_assert_eq(peek(w, ask(w, "p", &ahead)), TG_EAGAIN);
    cr_assert_eq(peek(w, ask(w, "p", &below)), TG_EAGAIN);
    k = ask(w, "p", &start);
    k->wants[0].epoch = (struct tg_epoch){"other"};
    cr_assert_eq(peek(w, k), TG_EAGAIN);
    k = ask(w, "p", &start);
    k->wants[0].from = TG_FROM_EARLIEST;
    cr_assert_eq(peek(w, k), TG_EAGAIN);
    world_end(w);
}

Test(peek, leaves_gaps_to_a_stream)
{
    struct world *w = followed("p");
    struct tg_pos start = w->last;
    struct tg_pos hole = {0};

    (void)publish(w, 'p', "1");
    hole = gap(w);
    hand_gap(w, 'p', hole);
    deliver(w);
    settle(w);
    cr_assert_eq(peek(w, ask(w, "p", &start)), TG_EAGAIN);
    cr_assert_eq(peek(w, ask(w, "p", &hole)), TG_OK);
    world_end(w);
}

Test(peek, off_the_ring_is_for_a_stream)
{
    struct world *w = followed("p");
    struct tg_pos start = w->last;

    for (uint32_t i = 0; i <= w->opts.ring_frames; i++) {
        (void)publish(w, 'p', "x");
    }
    settle(w);
    cr_assert_eq(peek(w, ask(w, "p", &start)), TG_EAGAIN);
    world_end(w);
}

Test(peek, skips_nothing_of_a_resumed_topic_when_another_one_is_ready_later)
{
    struct world *w = followed("pq");
    struct tg_pos start = w->last;
    struct peek *k = NULL;
    struct tg_topic_news news = {.topic = w->topics['q' - 'a'],
                                 .state = TG_TOPIC_READY,
                                 .epoch = w->epoch,
                                 .whole_from = start};

    /* b is covered from a position ahead of what the worker has seen; an event of a is below. */
    (void)append(w, 'p', "1");
    (void)append(w, 'q', "2");
    news.ready_from = w->last;
    cr_assert_eq(tg_fanout_tell(w->fanout, &news), TG_OK);
    settle(w);
    k = ask(w, "pq", &start);
    k->wants[1].from = TG_FROM_NOW;
    cr_assert_eq(peek(w, k), TG_EAGAIN);
    cr_assert_eq(peek(w, ask(w, "pq", &start)), TG_EAGAIN);
    k = ask(w, "pq", NULL);
    cr_assert_eq(peek(w, k), TG_OK, "who starts now skips what is in between");
    POS_EQ(k->p.pos, w->last);
    world_end(w);
}

Test(peek, counts_as_reading)
{
    struct world *w = followed("a");
    struct wtopic *t = tg_ids_find(&w->fanout->topic_ids, w->topics[0]);

    cr_assert_neq(t->unread_since, 0);
    t->unread_since = 1; /* long ago */
    cr_assert_eq(peek(w, ask(w, "a", NULL)), TG_OK);
    cr_assert_eq(t->unread_since, tg_loop_now(w->loop));
    cr_assert_eq(tg_count_get(&w->counts->streams), 0, "a peek is no stream");
    world_end(w);
}

Test(peek, offers_a_fresher_token_upstream)
{
    struct world *w = followed("a");
    struct peek *k = NULL;
    unsigned before = w->n_subscribes;

    cr_assert_eq(peek(w, ask(w, "a", NULL)), TG_OK);
    cr_assert_eq(w->n_subscribes, before);
    k = ask(w, "a", NULL);
    k->exp_sec = INT64_MAX - 1;
    cr_assert_eq(peek(w, k), TG_OK);
    cr_assert_eq(w->n_subscribes, before + 1);
    cr_assert_eq(peek(w, ask(w, "a", NULL)), TG_OK);
    cr_assert_eq(w->n_subscribes, before + 1);
    k = ask(w, "a", NULL);
    k->exp_sec = INT64_MAX;
    w->hub_rc = TG_EFULL;
    cr_assert_eq(peek(w, k), TG_EAGAIN, "the hub takes no more mail");
    w->hub_rc = TG_OK;
    world_end(w);
}

Test(peek, tells_nothing_any_more_when_the_worker_goes)
{
    struct world *w = followed("a");

    tg_fanout_drain(w->fanout, 0);
    cr_assert_eq(peek(w, ask(w, "a", NULL)), TG_EDRAINING);
    world_end(w);
}

Test(peek, leaves_what_is_new_on_strict_topics_to_a_stream)
{
    struct world *w = followed("a");
    struct tg_pos start = w->last;

    (void)publish(w, 'a', "1");
    settle(w);
    cr_assert_eq(peek(w, ask(w, "a", &start)), TG_EAGAIN);
    cr_assert_eq(peek(w, ask(w, "a", &w->last)), TG_OK, "nothing is");
    world_end(w);
}
