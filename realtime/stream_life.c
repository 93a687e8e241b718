/* stream_life.c - what a stream meets while it lives, and how it ends: its token's end, its age,
 * heartbeats, `bye`.
 *
 *   token:  --exp - 60 s--> `expiring` --exp--> held --exp + grace--> `bye` expired
 *                                        a fresh token leads back to the beginning */
#include <stdlib.h>

#include "realtime/fanout_int.h"
#include "util/json.h"
#include "util/log.h"

enum {
    WARN_SEC = 60, /* `expiring` comes so long before the token's end */
    RETRY_MS = 1000,
    AGE_RETRY_MS = 100, /* and more at random */
    AGE_SPREAD_MS = 400,
};

/* ---- the clock of token and age ---- */

static bool has_end(const struct tg_stream *s)
{
    return s->exp_sec != INT64_MAX;
}

/* Time from now to a second of the wall clock; 0: past. */
static tg_usec until(int64_t sec)
{
    tg_usec now = tg_clock_wall_us();
    tg_usec then = sec <= 0 ? 0 : (tg_usec)TG_MIN(sec, INT32_MAX) * TG_SEC(1);

    return then > now ? then - now : 0;
}

static void say_expiring(struct tg_stream *s)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf json = {.max = 128};

    (void)tg_buf_printf(&json, "{\"exp\":%lld,\"grace\":%llu}", (long long)s->exp_sec,
                        (unsigned long long)(s->fanout->opts.token_grace / 1000));
    stream_tell_surely(s, tg_frame_named(TG_STR("expiring"), tg_buf_view(&json)));
    fanout_turn(s);
}

/* What the token's end asks for now; tells how long until it asks again. false: the stream has
 * ended. */
static bool look_at_token(struct tg_stream *s, tg_usec *ret_next)
{
    struct tg_fanout *f = s->fanout;
    tg_usec left = until(s->exp_sec);
    tg_usec over = left > 0 ? 0 : tg_clock_wall_us() - (tg_usec)TG_MAX(s->exp_sec, 0) * TG_SEC(1);

    if (left == 0 && over >= f->opts.token_grace) {
        tg_count_add(&f->counts.expired, 1);
        stream_end(s, "expired", TG_EEXPIRED, TG_STR(""));
        return false;
    }
    if (!s->is_warned && left <= TG_SEC(WARN_SEC)) {
        s->is_warned = true;
        say_expiring(s);
    }
    if (left == 0) {
        s->is_expired = true;
        *ret_next = f->opts.token_grace - over;
    } else {
        *ret_next = s->is_warned ? left : left - TG_SEC(WARN_SEC);
    }
    return true;
}

static void on_clock(struct tg_timer *timer)
{
    struct tg_stream *s = TG_CONTAINER_OF(timer, struct tg_stream, timer);
    struct tg_fanout *f = s->fanout;
    tg_usec now = tg_loop_now(f->loop);
    tg_usec next = UINT64_MAX;

    if (s->age_ends != 0) {
        if (now >= s->age_ends) {
            tg_count_add(&f->counts.aged, 1);
            stream_end(s, "age", TG_OK, TG_STR(""));
            return;
        }
        next = s->age_ends - now;
    }
    if (has_end(s)) {
        tg_usec token = 0;

        if (!look_at_token(s, &token)) {
            return;
        }
        next = TG_MIN(next, token);
    }
    if (next != UINT64_MAX) {
        tg_loop_timer_start(f->loop, &s->timer, next);
    }
}

void stream_watch(struct tg_stream *s)
{
    struct tg_fanout *f = s->fanout;

    if (s->age_ends == 0 && f->opts.max_age != 0) {
        /* Opened together, ended apart. */
        s->age_ends =
            tg_loop_now(f->loop) + f->opts.max_age - fanout_random(f) % (f->opts.max_age / 10 + 1);
    }
    tg_loop_timer_stop(f->loop, &s->timer);
    tg_timer_init(&s->timer, on_clock);
    if (has_end(s) && until(s->exp_sec) == 0) {
        s->is_expired = true; /* not one event more, also before the clock looks */
    }
    tg_loop_timer_start(f->loop, &s->timer, 0);
}

/* ---- the end ---- */

/* When to come back, in milliseconds. */
static uint64_t retry_after(struct tg_fanout *f, const char *why)
{
    if (strcmp(why, "drain") == 0) {
        return RETRY_MS + fanout_random(f) % (f->opts.ready_wait / 1000 + 1);
    }
    if (strcmp(why, "age") == 0) {
        return AGE_RETRY_MS + fanout_random(f) % AGE_SPREAD_MS;
    }
    return RETRY_MS;
}

/* Off every list that leads to it, but for the dead ones. Its memory, and what a write under way
 * refers to, stays until the end of the turn. */
static void bury(struct tg_stream *s)
{
    struct tg_fanout *f = s->fanout;

    s->state = ST_DEAD;
    tg_list_remove(&s->turn);
    tg_loop_timer_stop(f->loop, &s->timer);
    for (struct adding *a = s->addings; a != NULL; a = a->next) {
        tg_loop_timer_stop(f->loop, &a->timer);
    }
    for (struct cursor *c = s->cursors; c != NULL; c = c->next) {
        tg_list_remove(&c->wait);
        fanout_detach(c);
    }
    tg_list_remove(&s->bucket);
    tg_list_append(&f->dead, &s->bucket);
    fanout_sweep_soon(f);
    tg_count_add(&f->counts.ended, 1);
}

static void end(struct tg_stream *s, const char *why, enum tg_rc rc, tg_str message,
                uint64_t retry_ms)
{
    const struct tg_sink_ops *ops = s->ops;
    enum stream_state was = s->state;

    if (was == ST_LIVE && rc != TG_ECLOSED) {
        stream_tell_surely(s, tg_frame_bye(tg_str_of(why), retry_ms));
        stream_flush_controls(s);
        if (s->state == ST_DEAD) {
            return; /* the transport closed it from inside the write */
        }
    }
    bury(s);
    if (was == ST_LIVE) {
        ops->on_end(why, s->arg);
    } else {
        ops->on_refused(rc, message, s->arg);
    }
}

void stream_end(struct tg_stream *s, const char *why, enum tg_rc rc, tg_str message)
{
    if (s->state != ST_DEAD) {
        end(s, why, rc, message, retry_after(s->fanout, why));
    }
}

void tg_stream_end(struct tg_stream *s, const char *why, tg_usec retry)
{
    TG_CHECK(s, TG_STREAM_MAGIC);
    if (s->state != ST_DEAD) {
        end(s, why, strcmp(why, "signed_out") == 0 ? TG_ESIGNEDOUT : TG_EFORBIDDEN, TG_STR(""),
            retry == 0 ? RETRY_MS : retry / 1000);
    }
}

void tg_stream_close(struct tg_stream *s)
{
    TG_CHECK(s, TG_STREAM_MAGIC);
    if (s->state != ST_DEAD) {
        bury(s);
    }
}

void stream_free(struct tg_stream *s)
{
    while (s->cursors != NULL) {
        stream_drop_cursor(s->cursors);
    }
    while (s->controls != NULL) {
        stream_pop_control(s);
    }
    tg_frame_unref(s->partial);
    tg_count_sub(&s->fanout->counts.streams, 1);
    s->magic = 0;
    free(s);
}

/* ---- now and then ---- */

/* Whether a cursor has nothing more to say up to the horizon. */
static bool is_at_end(const struct cursor *c)
{
    const struct tg_ring *ring = &c->topic->ring;

    return c->page == NULL && !c->is_stale && !c->is_unchecked && tg_ring_covers(ring, c->pos) &&
           tg_ring_above(ring, c->pos) == ring->n;
}

bool stream_is_caught_up(const struct tg_stream *s)
{
    if (s->partial != NULL && s->partial_is_event) {
        return false;
    }
    for (const struct cursor *c = s->cursors; c != NULL; c = c->next) {
        if (c->state == CUR_LIVE && (c->is_fresh || !is_at_end(c))) {
            return false;
        }
    }
    return true;
}

bool tg_stream_is_behind(const struct tg_stream *s)
{
    TG_CHECK(s, TG_STREAM_MAGIC);
    for (const struct cursor *c = s->cursors; c != NULL; c = c->next) {
        if (c->state == CUR_LIVE && !is_at_end(c)) {
            return true;
        }
    }
    return s->partial != NULL || s->controls != NULL;
}

static bool is_off_ring(const struct tg_stream *s)
{
    for (const struct cursor *c = s->cursors; c != NULL; c = c->next) {
        if (c->state == CUR_LIVE && !tg_ring_covers(&c->topic->ring, c->pos)) {
            return true;
        }
    }
    return false;
}

/* All of its topics have been seen up to the horizon. */
static void raise_cursors(struct tg_stream *s, struct tg_pos horizon)
{
    for (struct cursor *c = s->cursors; c != NULL; c = c->next) {
        if (c->state == CUR_LIVE && tg_pos_cmp(horizon, c->pos) > 0) {
            c->pos = horizon;
        }
    }
    if (tg_pos_cmp(horizon, s->at) > 0) {
        s->at = horizon;
    }
}

/* False: the transport has closed it. */
static bool ask_transport(struct tg_stream *s)
{
    if (s->ops->on_beat != NULL) {
        s->ops->on_beat(s, s->arg);
    }
    return s->state == ST_LIVE;
}

void stream_beat(struct tg_stream *s, struct tg_frame *comment, struct tg_frame *position)
{
    bool with_position = false;

    if (s->state != ST_LIVE) {
        return;
    }
    if (s->is_blocked) {
        /* One that still takes bytes reads on in the store, however slowly. One that is held is not
         * asked to: who holds it sees to its end. */
        if (is_off_ring(s) && !s->has_written && s->holds == 0) {
            tg_count_add(&s->fanout->counts.slow_consumers, 1);
            stream_end(s, "slow_consumer", TG_EFULL, TG_STR(""));
            return;
        }
        if (s->has_written || ask_transport(s)) {
            s->has_written = false;
        }
        return;
    }
    if (!ask_transport(s)) {
        return;
    }
    s->beats = (uint8_t)((s->beats + 1) % 4);
    /* One that is held may have been told less than its cursors say: a snapshot is under way. */
    with_position = s->beats == 0 && position != NULL && s->holds == 0 && stream_is_caught_up(s);
    if (!with_position && (s->has_written || s->controls != NULL)) {
        stream_flush(s);
        s->has_written = false;
        return;
    }
    if (with_position) {
        raise_cursors(s, tg_frame_pos(position));
    }
    tg_count_add(&s->fanout->counts.heartbeats, 1);
    stream_tell(s, tg_frame_ref(with_position ? position : comment));
    stream_flush(s);
    s->has_written = false;
}

/* `status` has no id: it says nothing about positions. */
void stream_say_status(struct cursor *c, const char *state)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf json = {.max = (size_t)TG_TOPIC_MAX_BYTES * 8};

    (void)tg_buf_str(&json, TG_STR("{\"topic\":"));
    (void)tg_json_quote(&json, c->topic->name.name);
    (void)tg_buf_printf(&json, ",\"state\":\"%s\"", state);
    if (c->topic->state == TG_TOPIC_JOINING && c->topic->refusal != NULL) {
        (void)tg_buf_str(&json, TG_STR(",\"reason\":"));
        (void)tg_json_quote(&json, tg_str_of(c->topic->refusal));
    }
    (void)tg_buf_char(&json, '}');
    stream_tell(c->stream, tg_frame_named(TG_STR("status"), tg_buf_view(&json)));
}
