/* stream.c - the life of a stream: waiting for its topics, the verdict, live, the end. */
#include "realtime/stream.h"

#include <stdlib.h>

#include "realtime/fanout_int.h"
#include "util/json.h"
#include "util/log.h"

enum { STARTS_PER_STEP = 32 };

/* ---- the start ---- */

static bool all_known(const struct tg_stream *s)
{
    for (uint32_t i = 0; i < s->n_cursors; i++) {
        if (!s->cursors[i].topic->is_known) {
            return false;
        }
    }
    return true;
}

static bool all_ready(const struct tg_stream *s)
{
    for (uint32_t i = 0; i < s->n_cursors; i++) {
        const struct wtopic *t = s->cursors[i].topic;

        if (!t->is_known || t->state != TG_TOPIC_READY) {
            return false;
        }
    }
    return true;
}

/* The log position that all topics have reached. */
static void raise_horizon(struct tg_stream *s)
{
    struct tg_fanout *f = s->fanout;

    s->start = f->horizon;
    for (uint32_t i = 0; i < s->n_cursors; i++) {
        const struct wtopic *t = s->cursors[i].topic;

        if (t->state == TG_TOPIC_READY && tg_pos_cmp(t->ready_from, s->start) > 0) {
            s->start = t->ready_from;
        }
    }
}

static void on_token_end(struct tg_timer *timer)
{
    struct tg_stream *s = TG_CONTAINER_OF(timer, struct tg_stream, timer);

    stream_end(s, "expired", TG_EEXPIRED, TG_STR(""));
}

static void watch_token(struct tg_stream *s)
{
    int64_t now = (int64_t)(tg_clock_wall_us() / TG_SEC(1));

    tg_timer_init(&s->timer, on_token_end);
    tg_loop_timer_start(s->fanout->loop, &s->timer,
                        s->exp_sec > now ? TG_SEC(TG_MIN(s->exp_sec - now, INT32_MAX)) : 0);
}

static void go_live(struct tg_stream *s)
{
    struct tg_stream_topic topics[TG_STREAM_MAX_TOPICS];
    char cursor[TG_CURSOR_MAX + 1];
    struct tg_stream_start start = {.topics = topics,
                                    .n_topics = s->n_cursors,
                                    .is_resume = s->is_resume,
                                    .is_recovered = s->is_resume};

    for (uint32_t i = 0; i < s->n_cursors; i++) {
        const struct cursor *c = &s->cursors[i];

        topics[i] = (struct tg_stream_topic){.name = c->topic->name.name,
                                             .state = c->topic->state,
                                             .verdict = c->verdict,
                                             .is_resume = s->is_resume};
        topics[i].is_recovered =
            s->is_resume && c->verdict == TG_COMPLETE && c->topic->state == TG_TOPIC_READY;
        if (s->is_resume && !topics[i].is_recovered) {
            topics[i].reason = c->verdict == TG_COMPLETE ? TG_STR("joining")
                                                         : tg_str_of(tg_verdict_word(c->verdict));
        }
        if (c->verdict == TG_RESET_EPOCH) {
            s->epoch = s->fanout->epoch;
        }
        start.is_recovered =
            start.is_recovered && c->verdict == TG_COMPLETE && c->topic->state == TG_TOPIC_READY;
    }
    start.cursor = tg_str_make(cursor, tg_cursor_format(&s->epoch, s->start, cursor));
    tg_loop_timer_stop(s->fanout->loop, &s->timer);
    watch_token(s);
    s->state = ST_LIVE;
    tg_count_add(&s->fanout->counts.opened, 1);
    s->ops->on_start(s, &start, s->arg);
    if (s->state == ST_LIVE) {
        stream_flush(s);
    }
}

static bool all_read(struct tg_stream *s)
{
    bool done = true;

    for (uint32_t i = 0; i < s->n_cursors; i++) {
        struct cursor *c = &s->cursors[i];

        if (c->page == NULL) {
            stream_want_page(s, c);
            done = false;
        }
    }
    return done;
}

static void begin(struct tg_stream *s)
{
    const struct tg_fanout *f = s->fanout;

    tg_list_remove(&s->queue); /* fanout->starting: it is free for page reads */
    if (s->is_resume) {
        s->state = ST_READING;
        if (all_read(s)) {
            go_live(s);
        }
        return;
    }
    raise_horizon(s);
    s->epoch = f->epoch;
    for (uint32_t i = 0; i < s->n_cursors; i++) {
        s->cursors[i].pos = s->start;
        s->cursors[i].is_fresh = s->cursors[i].topic->state == TG_TOPIC_JOINING;
    }
    go_live(s);
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
        if (all_read(s)) {
            go_live(s);
        }
        break;
    case ST_LIVE:
        stream_flush(s);
        break;
    case ST_DEAD:
        break;
    }
}

bool stream_start_some(struct tg_task *task)
{
    struct tg_fanout *f = TG_CONTAINER_OF(task, struct tg_fanout, starter);

    for (int n = 0; n < STARTS_PER_STEP && !tg_list_empty(&f->starting); n++) {
        struct tg_stream *s = TG_CONTAINER_OF(f->starting.next, struct tg_stream, queue);

        tg_list_remove(&s->queue);
        stream_poke(s);
    }
    return !tg_list_empty(&f->starting);
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

/* ---- the end ---- */

/* `bye` with where to resume and when. */
static void say_bye(struct tg_stream *s, const char *why)
{
    struct tg_fanout *f = s->fanout;
    uint64_t retry_ms = 1000;

    if (strcmp(why, "drain") == 0) {
        retry_ms += fanout_random(f) % (f->opts.ready_wait / 1000 + 1);
    }
    stream_tell(s, tg_frame_bye(tg_str_of(why), retry_ms));
    stream_flush_controls(s);
}

void stream_end(struct tg_stream *s, const char *why, enum tg_rc rc, tg_str message)
{
    struct tg_fanout *f = s->fanout;
    enum stream_state was = s->state;

    if (was == ST_DEAD) {
        return;
    }
    if (was == ST_LIVE && rc != TG_ECLOSED) {
        say_bye(s, why);
        if (s->state == ST_DEAD) {
            return; /* the transport closed it from inside the write */
        }
    }
    s->state = ST_DEAD;
    s->why = why;
    tg_list_remove(&s->bucket);
    tg_list_append(&f->dead, &s->bucket);
    fanout_sweep_soon(f);
    tg_count_add(&f->counts.ended, 1);
    if (was == ST_LIVE) {
        s->ops->on_end(why, s->arg);
    } else {
        s->ops->on_refused(rc, message, s->arg);
    }
    s->ops = NULL;
}

void tg_stream_close(struct tg_stream *s)
{
    struct tg_fanout *f = NULL;

    TG_CHECK(s, TG_STREAM_MAGIC);
    f = s->fanout;
    if (s->state == ST_DEAD) {
        return;
    }
    s->state = ST_DEAD;
    s->why = "client";
    s->ops = NULL;
    tg_list_remove(&s->bucket);
    tg_list_append(&f->dead, &s->bucket);
    fanout_sweep_soon(f);
    tg_count_add(&f->counts.ended, 1);
}

void stream_free(struct tg_stream *s)
{
    struct tg_fanout *f = s->fanout;

    for (uint32_t i = 0; i < s->n_cursors; i++) {
        stream_drop_page(&s->cursors[i]);
        fanout_detach(&s->cursors[i]);
    }
    while (s->controls != NULL) {
        stream_pop_control(s);
    }
    tg_frame_unref(s->partial);
    tg_loop_timer_stop(f->loop, &s->timer);
    tg_list_remove(&s->queue);
    tg_ids_remove(&f->stream_ids, s->id);
    tg_count_sub(&f->counts.streams, 1);
    s->magic = 0;
    free(s);
}

/* ---- now and then ---- */

static bool is_caught_up(struct tg_stream *s)
{
    for (uint32_t i = 0; i < s->n_cursors; i++) {
        struct cursor *c = &s->cursors[i];
        const struct tg_ring *ring = &c->topic->ring;

        if (c->page != NULL || c->is_stale || c->is_reading || c->is_fresh ||
            !tg_ring_covers(ring, c->pos) || tg_ring_above(ring, c->pos) < ring->n) {
            return false;
        }
    }
    return true;
}

static bool is_off_ring(const struct tg_stream *s)
{
    for (uint32_t i = 0; i < s->n_cursors; i++) {
        if (!tg_ring_covers(&s->cursors[i].topic->ring, s->cursors[i].pos)) {
            return true;
        }
    }
    return false;
}

void stream_beat(struct tg_stream *s, struct tg_frame *comment, struct tg_frame *position)
{
    bool with_position = false;

    if (s->state != ST_LIVE) {
        return;
    }
    if (s->is_blocked) {
        /* One that still takes bytes reads on in the store, however slowly. */
        if (is_off_ring(s) && !s->has_written) {
            tg_count_add(&s->fanout->counts.slow_consumers, 1);
            stream_end(s, "slow_consumer", TG_EFULL, TG_STR(""));
        }
        s->has_written = false;
        return;
    }
    s->beats = (uint8_t)((s->beats + 1) % 4);
    with_position = s->beats == 0 && is_caught_up(s);
    if (!with_position && s->has_written) {
        s->has_written = false;
        return;
    }
    if (with_position) {
        for (uint32_t i = 0; i < s->n_cursors; i++) {
            if (tg_pos_cmp(tg_frame_pos(position), s->cursors[i].pos) > 0) {
                s->cursors[i].pos = tg_frame_pos(position);
            }
        }
    }
    tg_count_add(&s->fanout->counts.heartbeats, 1);
    stream_tell(s, tg_frame_ref(with_position ? position : comment));
    stream_flush(s);
    s->has_written = false;
}

/* `status` without an id: it says nothing about positions. */
static void say_status(struct cursor *c, const char *state)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = {.max = (size_t)TG_TOPIC_MAX_BYTES * 8};

    (void)tg_buf_str(&text, TG_STR("{\"topic\":"));
    (void)tg_json_quote(&text, c->topic->name.name);
    (void)tg_buf_printf(&text, ",\"state\":\"%s\"}", state);
    stream_tell(c->stream, tg_frame_named(TG_STR("status"), tg_buf_view(&text)));
}

void stream_on_news(struct cursor *c, bool was_ready)
{
    const struct wtopic *t = c->topic;

    if (c->stream->state != ST_LIVE) {
        return;
    }
    if (t->state == TG_TOPIC_JOINING && was_ready && !c->is_offline) {
        c->is_offline = true;
        say_status(c, "offline");
    } else if (t->state == TG_TOPIC_READY && c->is_fresh &&
               tg_pos_cmp(t->ready_from, c->pos) <= 0) {
        /* Covered by somebody already: no gap of a join will come to say so. */
        c->is_fresh = false;
        c->is_offline = false;
        say_status(c, "ready");
    } else if (t->state == TG_TOPIC_READY && c->is_offline) {
        c->is_offline = false;
        if (!c->is_fresh) {
            say_status(c, "ready");
        }
    }
}

void stream_new_epoch(struct tg_stream *s)
{
    if (s->state != ST_LIVE && s->state != ST_READING) {
        return; /* its first pages are judged with the epoch of its cursor */
    }
    if (strcmp(s->epoch.text, s->fanout->epoch.text) == 0) {
        return; /* it came with a cursor of this log, before the hub had heard of it */
    }
    for (uint32_t i = 0; i < s->n_cursors; i++) {
        s->cursors[i].is_stale = true;
        stream_drop_page(&s->cursors[i]);
    }
}

/* ---- opening ---- */

enum tg_rc tg_stream_open(struct tg_fanout *f, const struct tg_stream_opts *opts,
                          struct tg_stream **ret_stream)
{
    struct tg_stream *s = NULL;
    enum tg_rc rc = TG_OK;

    TG_ON_LOOP(f->loop);
    TG_ASSERT(opts->n_wants > 0 && opts->n_wants <= TG_STREAM_MAX_TOPICS);
    if (f->is_draining) {
        return TG_EDRAINING;
    }
    if (tg_count_get(&f->counts.streams) >= f->opts.max_streams) {
        return TG_EBUSY;
    }
    s = tg_calloc(1, sizeof(*s) + opts->n_wants * sizeof(s->cursors[0]));
    s->magic = TG_STREAM_MAGIC;
    s->fanout = f;
    s->ops = opts->ops;
    s->arg = opts->arg;
    s->exp_sec = opts->user.exp_sec;
    s->is_resume = opts->wants[0].from == TG_FROM_CURSOR;
    s->epoch = opts->wants[0].epoch;
    s->start = opts->wants[0].pos;
    s->n_cursors = (uint32_t)opts->n_wants;
    s->id = tg_ids_add(&f->stream_ids, s);
    tg_list_init(&s->queue);
    tg_list_init(&s->bucket);
    tg_timer_init(&s->timer, on_waited);
    tg_list_append(&f->buckets[f->fill], &s->bucket);
    f->fill = (f->fill + 1) % N_BUCKETS;
    tg_count_add(&f->counts.streams, 1);
    for (size_t i = 0; i < opts->n_wants; i++) {
        struct wtopic *t = NULL;

        s->cursors[i].stream = s;
        s->cursors[i].pos = opts->wants[0].pos;
        (void)!fanout_topic(f, opts->wants[i].name, opts->user.class_id, &t);
        fanout_attach(t, &s->cursors[i]);
    }
    for (size_t i = 0; i < opts->n_wants && rc == TG_OK; i++) {
        rc = fanout_subscribe(s->cursors[i].topic, opts->user.user_id, opts->user.token,
                              opts->user.exp_sec);
    }
    if (rc != TG_OK) {
        tg_stream_close(s);
        return rc;
    }
    tg_loop_timer_start(f->loop, &s->timer, f->opts.ready_wait);
    if (all_ready(s)) {
        /* Told from the next turn, never from inside. */
        tg_list_append(&f->starting, &s->queue);
        tg_loop_task_start(f->loop, &f->starter);
    }
    *ret_stream = s;
    return TG_OK;
}
