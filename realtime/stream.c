/* stream.c - how a stream begins: waiting for its topics, and the verdict of each; and what it is
 * told of them later. Those that are added while it runs are stream_topics.c's.
 *
 * A cursor is judged once, before its first event: by the ring, when that reaches back to it,
 * else by the page that the store answers. */
#include "realtime/stream.h"

#include <stdlib.h>

#include "realtime/fanout_int.h"

/* ---- a cursor begins ---- */

bool stream_is_ready(const struct cursor *c)
{
    const struct wtopic *t = c->topic;
    bool starts_now = !c->is_resume && !c->is_earliest;

    return t->is_known && t->state == TG_TOPIC_READY && (starts_now || !fanout_is_ahead(t));
}

static bool is_strict(const struct cursor *c)
{
    return c->topic->name.kind == TG_TOPIC_STRICT;
}

/* Whether the ring alone tells what was missed. */
static bool judge_by_ring(struct cursor *c)
{
    const struct tg_ring *ring = &c->topic->ring;

    if (c->is_earliest || !fanout_ring_reaches(c->topic, &c->epoch, c->pos) ||
        (is_strict(c) && tg_ring_above(ring, c->pos) < ring->n)) {
        return false;
    }
    c->verdict = tg_ring_has_reset(ring, c->pos) ? TG_RESET_GAP : TG_COMPLETE;
    return true;
}

void stream_begin_cursor(struct cursor *c, struct tg_pos now)
{
    c->saw_ready = c->topic->state == TG_TOPIC_READY;
    if (!c->is_resume && !c->is_earliest) {
        c->epoch = c->topic->fanout->epoch;
        c->pos = now;
        c->is_fresh = !c->saw_ready;
        c->state = CUR_LIVE;
        return;
    }
    if (c->is_earliest) {
        c->epoch = c->topic->fanout->epoch;
        c->pos = (struct tg_pos){0};
    }
    if (judge_by_ring(c)) {
        c->state = CUR_LIVE;
        return;
    }
    c->state = CUR_READING;
    c->is_unchecked = is_strict(c);
    stream_want_page(c);
}

/* What was seen of another log is told as a reset first: until then its own cursor stands. */
static bool is_lost(const struct cursor *c)
{
    return c->is_stale ||
           (c->page != NULL && c->page->state == PG_HERE && c->page_at == 0 &&
            (c->page->verdict == TG_RESET_EPOCH || c->page->verdict == TG_RESET_AHEAD));
}

static tg_str put_cursor(const struct cursor *c, char *out)
{
    return tg_str_make(out, tg_cursor_format(&c->epoch, c->pos, out));
}

/* What a resume is about to be told. */
static void count_replayed(const struct cursor *c, struct tg_stream_topic *t)
{
    const struct tg_ring *ring = &c->topic->ring;

    if (c->page != NULL) {
        for (uint32_t i = c->page_at; i < c->page->n; i++) {
            t->n_replayed += tg_frame_kind(c->page->frames[i]) == TG_FRAME_EVENT;
        }
        t->has_more = c->page->has_more;
    } else {
        for (uint32_t i = tg_ring_above(ring, c->pos); i < ring->n; i++) {
            t->n_replayed += tg_frame_kind(tg_ring_at(ring, i)) == TG_FRAME_EVENT;
        }
    }
}

struct tg_stream_topic stream_describe(const struct cursor *c, char text[TG_CURSOR_MAX + 1])
{
    struct tg_stream_topic t = {.name = c->topic->name.name,
                                .state = c->topic->state,
                                .verdict = (enum tg_verdict)c->verdict,
                                .declared = c->topic->name.declared,
                                .is_repaired = c->topic->is_repaired,
                                .is_partial = c->topic->is_partial,
                                .is_resume = c->is_resume,
                                .cursor = put_cursor(c, text)};

    t.is_recovered = c->is_resume && c->verdict == TG_COMPLETE && stream_is_ready(c);
    if (c->is_resume && c->state == CUR_LIVE) {
        count_replayed(c, &t);
    }
    if (c->verdict != TG_COMPLETE) {
        t.reason = tg_str_of(tg_verdict_word(t.verdict));
    } else if (c->is_resume && !t.is_recovered) {
        t.reason = TG_STR("joining");
    }
    return t;
}

/* ---- where it stands ---- */

size_t tg_stream_cursor(const struct tg_stream *s, char out[TG_CURSOR_MAX + 1])
{
    const struct tg_fanout *f = NULL;
    const struct tg_epoch *epoch = NULL;
    struct tg_pos pos = {0};

    TG_CHECK(s, TG_STREAM_MAGIC);
    f = s->fanout;
    epoch = s->cursors == NULL ? &f->epoch : &s->cursors->epoch;
    pos = s->at;
    for (const struct cursor *c = s->cursors; c != NULL; c = c->next) {
        if (is_lost(c)) {
            return put_cursor(c, out).n;
        }
    }
    if (stream_is_caught_up(s) && tg_pos_cmp(f->horizon, pos) > 0) {
        pos = f->horizon;
    }
    if (epoch->text[0] == '\0') {
        out[0] = '\0';
        return 0;
    }
    return tg_cursor_format(epoch, pos, out);
}

/* ---- the start ---- */

static bool all_known(const struct tg_stream *s)
{
    for (const struct cursor *c = s->cursors; c != NULL; c = c->next) {
        if (!c->topic->is_known) {
            return false;
        }
    }
    return true;
}

static bool all_ready(const struct tg_stream *s)
{
    for (const struct cursor *c = s->cursors; c != NULL; c = c->next) {
        if (!stream_is_ready(c)) {
            return false;
        }
    }
    return true;
}

static bool all_judged(const struct tg_stream *s)
{
    for (const struct cursor *c = s->cursors; c != NULL; c = c->next) {
        if (c->state != CUR_LIVE) {
            return false;
        }
    }
    return true;
}

struct tg_pos stream_present(const struct tg_stream *s)
{
    struct tg_pos pos = s->fanout->horizon;

    for (const struct cursor *c = s->cursors; c != NULL; c = c->next) {
        const struct wtopic *t = c->topic;

        if (t->state == TG_TOPIC_READY && tg_pos_cmp(t->ready_from, pos) > 0) {
            pos = t->ready_from;
        }
    }
    return pos;
}

static struct tg_pos lowest(const struct tg_stream *s)
{
    struct tg_pos pos = s->cursors == NULL ? s->fanout->horizon : s->cursors->pos;

    for (const struct cursor *c = s->cursors; c != NULL; c = c->next) {
        pos = tg_pos_cmp(c->pos, pos) < 0 ? c->pos : pos;
    }
    return pos;
}

static bool any_lost(const struct tg_stream *s)
{
    for (const struct cursor *c = s->cursors; c != NULL; c = c->next) {
        if (is_lost(c)) {
            return true;
        }
    }
    return false;
}

static void take_news(struct cursor *c)
{
    const struct wtopic *t = c->topic;
    bool was_ready = c->saw_ready;
    bool has_reason = t->refusal != NULL && c->n_reasons != t->n_reasons;

    if (was_ready == (t->state == TG_TOPIC_READY) && !has_reason) {
        return;
    }
    c->saw_ready = t->state == TG_TOPIC_READY;
    c->n_reasons = t->n_reasons;
    if (!c->saw_ready && (has_reason || (was_ready && !c->is_offline))) {
        c->is_offline = true;
        stream_say_status(c, "offline");
    } else if (c->saw_ready && c->is_fresh && tg_pos_cmp(t->ready_from, c->pos) <= 0) {
        /* Covered by somebody already: no gap of a join will come to say so. */
        c->is_fresh = false;
        c->is_offline = false;
        stream_say_status(c, "ready");
    } else if (c->saw_ready && c->is_offline) {
        c->is_offline = false;
        if (!c->is_fresh) {
            stream_say_status(c, "ready");
        }
    }
}

void stream_take_news(struct tg_stream *s)
{
    for (struct cursor *c = s->cursors; c != NULL; c = c->next) {
        take_news(c);
    }
}

static void go_live(struct tg_stream *s)
{
    struct tg_stream_topic topics[TG_STREAM_MAX_TOPICS];
    char texts[TG_STREAM_MAX_TOPICS][TG_CURSOR_MAX + 1];
    char cursor[TG_CURSOR_MAX + 1];
    struct tg_stream_start start = {.topics = topics, .n_topics = s->n_cursors};
    bool misses = false;
    size_t i = 0;

    for (const struct cursor *c = s->cursors; c != NULL; c = c->next, i++) {
        topics[i] = stream_describe(c, texts[i]);
        start.is_resume = start.is_resume || c->is_resume;
        misses = misses || (c->is_resume && !topics[i].is_recovered);
    }
    start.is_recovered = start.is_resume && !misses;
    s->at = lowest(s);
    /* Of another log: before everything of this one, whose first event is the reset. */
    start.cursor = tg_str_make(
        cursor, any_lost(s) ? tg_cursor_format(&s->fanout->epoch, (struct tg_pos){0}, cursor)
                            : tg_stream_cursor(s, cursor));
    tg_loop_timer_stop(s->fanout->loop, &s->timer);
    s->state = ST_LIVE;
    tg_count_add(&s->fanout->counts.opened, 1);
    stream_watch(s);
    s->ops->on_start(s, &start, s->arg);
    if (s->state == ST_LIVE) {
        stream_take_news(s);
    }
    stream_flush(s);
}

static void begin(struct tg_stream *s)
{
    struct tg_pos now = stream_present(s);

    s->state = ST_READING;
    for (struct cursor *c = s->cursors; c != NULL; c = c->next) {
        stream_begin_cursor(c, now);
    }
    if (all_judged(s)) {
        go_live(s);
    }
}

static void on_waited(struct tg_timer *timer)
{
    struct tg_stream *s = TG_CONTAINER_OF(timer, struct tg_stream, timer);

    if (s->state != ST_WAITING) {
        stream_end(s, "store", TG_ESTORE, TG_STR(""));
    } else if (all_known(s)) {
        begin(s);
        if (s->state == ST_READING) {
            tg_loop_timer_start(s->fanout->loop, &s->timer, s->fanout->opts.ready_wait);
        }
    } else {
        stream_end(s, "store", TG_ESTORE, TG_STR("the log cannot be reached"));
    }
}

void stream_poke(struct tg_stream *s)
{
    switch (s->state) {
    case ST_WAITING:
        if (all_ready(s)) {
            begin(s);
        }
        break;
    case ST_READING:
        if (all_judged(s)) {
            go_live(s);
        }
        break;
    case ST_LIVE:
        stream_advance_asked(s);
        stream_flush(s);
        break;
    case ST_DEAD:
        break;
    }
}

/* ---- news ---- */

void stream_visit(struct cursor *c)
{
    struct tg_stream *s = c->stream;
    const struct wtopic *t = c->topic;

    if (t->refused != TG_OK) {
        stream_refuse(c, t->refused, tg_str_of(t->refusal));
    } else if (s->state != ST_LIVE) {
        stream_poke(s);
    } else if (c->is_asked) {
        stream_advance(c);
    } else {
        take_news(c);
        stream_flush(s);
    }
}

void stream_on_page(struct cursor *c)
{
    if (c->stream->state == ST_LIVE && c->is_asked) {
        stream_advance(c);
    } else {
        stream_poke(c->stream);
    }
}

/* One that has not begun is judged anew: all that it asks for is of another log. */
static void lose_before_begin(struct cursor *c)
{
    const struct tg_fanout *f = c->stream->fanout;

    if (c->is_resume || c->is_earliest) {
        c->state = CUR_READING;
        stream_lose_page(c);
    } else {
        c->epoch = f->epoch;
        c->pos = f->horizon;
    }
}

void stream_new_epoch(struct tg_stream *s)
{
    for (struct cursor *c = s->cursors; c != NULL; c = c->next) {
        if (c->state == CUR_WAITING || strcmp(c->epoch.text, s->fanout->epoch.text) == 0) {
            continue; /* judged later; or it knew this log before the hub had heard of it */
        }
        stream_drop_page(c);
        if (s->state == ST_READING || c->is_asked) {
            lose_before_begin(c);
        } else {
            c->is_stale = true;
        }
    }
}

/* ---- opening ---- */

void stream_init_cursor(struct tg_stream *s, struct cursor *c, const struct tg_stream_want *w,
                        tg_str class_id)
{
    struct wtopic *t = NULL;
    struct cursor **end = &s->cursors;

    c->stream = s;
    c->is_resume = w->from == TG_FROM_CURSOR;
    c->is_earliest = w->from == TG_FROM_EARLIEST;
    if (c->is_resume) {
        c->epoch = w->epoch;
        c->pos = w->pos;
    }
    tg_list_init(&c->wait);
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = c;
    s->n_cursors++;
    (void)!fanout_topic(s->fanout, w->name, class_id, &t);
    fanout_attach(t, c);
}

enum tg_rc stream_subscribe(const struct cursor *c, const struct tg_stream_user *u)
{
    return fanout_subscribe(c->topic, u->user_id, u->token, u->exp_sec);
}

enum tg_rc tg_stream_open(struct tg_fanout *f, const struct tg_stream_opts *opts,
                          struct tg_stream **ret_stream)
{
    struct tg_stream *s = NULL;
    enum tg_rc rc = TG_OK;

    TG_ON_LOOP(f->loop);
    TG_ASSERT(opts->n_wants <= TG_STREAM_MAX_TOPICS);
    if (f->is_draining) {
        return TG_EDRAINING;
    }
    if (tg_count_get(&f->counts.streams) >= f->opts.max_streams) {
        return TG_EBUSY;
    }
    s = tg_calloc(1, sizeof(*s) + opts->n_wants * sizeof(s->own[0]));
    s->magic = TG_STREAM_MAGIC;
    s->fanout = f;
    s->ops = opts->ops;
    s->arg = opts->arg;
    s->holds = opts->is_held ? TG_HOLD_ROWS : 0;
    s->exp_sec = opts->user.exp_sec;
    s->class_hash = tg_hash(opts->user.class_id);
    tg_list_init(&s->turn);
    tg_list_init(&s->bucket);
    tg_timer_init(&s->timer, on_waited);
    tg_list_append(&f->buckets[f->fill], &s->bucket);
    f->fill = (f->fill + 1) % N_BUCKETS;
    tg_count_add(&f->counts.streams, 1);
    for (size_t i = 0; i < opts->n_wants; i++) {
        stream_init_cursor(s, &s->own[i], &opts->wants[i], opts->user.class_id);
    }
    for (size_t i = 0; i < opts->n_wants && rc == TG_OK; i++) {
        rc = stream_subscribe(&s->own[i], &opts->user);
    }
    if (rc != TG_OK) {
        tg_stream_close(s);
        return rc;
    }
    tg_loop_timer_start(f->loop, &s->timer, f->opts.ready_wait);
    if (all_ready(s)) {
        fanout_turn(s); /* told from the next turn, never from inside */
    }
    *ret_stream = s;
    return TG_OK;
}

enum tg_rc tg_stream_token(struct tg_stream *s, const struct tg_stream_user *u)
{
    TG_CHECK(s, TG_STREAM_MAGIC);
    if (s->state == ST_DEAD) {
        return TG_ECLOSED;
    }
    if (tg_hash(u->class_id) != s->class_hash) {
        stream_end(s, "token", TG_EFORBIDDEN, TG_STR("the token is somebody else's"));
        return TG_EFORBIDDEN;
    }
    if (u->exp_sec <= s->exp_sec) {
        return TG_OK; /* no fresher than what it has */
    }
    s->exp_sec = u->exp_sec;
    for (const struct cursor *c = s->cursors; c != NULL; c = c->next) {
        (void)!stream_subscribe(
            c, u); /* full: the next token or stream of this class offers it again */
    }
    if (s->state == ST_LIVE) {
        s->is_warned = false;
        s->is_expired = false;
        stream_watch(s);
        fanout_turn(s);
    }
    return TG_OK;
}
