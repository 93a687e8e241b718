/* collect.c - a sink that takes events into a buffer until a turn ends.
 *
 *   opened -> on_start -> (an event, or the end of the wait) -> the rest of the turn -> done
 *
 * The stream takes a refused write for a socket that is full, so limit and byte cap need nothing of
 * their own: what was not taken stays pending, and the stream's cursor tells where. */
#include "handlers/collect.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "handlers/client.h"
#include "realtime/peek.h"
#include "util/json.h"

enum { MAX_TOPICS_BYTES = 64 * 1024 };

struct tg_collect {
    struct tg_worker *w;
    const struct tg_admission *a;
    struct tg_client client; /* its stream is NULL once it is over */
    struct tg_collect_opts opts;
    struct tg_collected got;
    struct tg_timer timer; /* the end of the wait */
    struct tg_task turn;
    tg_usec until;
    bool is_started;
    bool is_full;
    enum tg_rc failed; /* of a topic that worked; TG_OK: none */
    const char *why;   /* the stream ended */
    tg_collect_fn *done;
    void *arg;
};

void tg_collected_fini(struct tg_collected *c)
{
    tg_buf_fini(&c->events);
    tg_buf_fini(&c->topics);
}

/* ---- taking ---- */

static void init_collected(struct tg_collected *c)
{
    *c = (struct tg_collected){0};
    tg_buf_init(&c->events, SIZE_MAX / 2); /* `max_bytes` is for all but a first event */
    tg_buf_init(&c->topics, MAX_TOPICS_BYTES);
}

/* false: there is no room for it. */
static bool take(const struct tg_collect_opts *o, struct tg_collected *c, tg_str message)
{
    const size_t before = c->events.n;

    if (c->n == o->limit) {
        return false;
    }
    if (c->n > 0) {
        (void)tg_buf_char(&c->events, ',');
    }
    (void)tg_shape_put(o->shape, message, &c->events);
    if (c->n > 0 && c->events.n > o->max_bytes) {
        c->events.n = before;
        return false;
    }
    c->n++;
    return true;
}

/* ---- from memory ---- */

struct taker {
    const struct tg_collect_opts *opts;
    struct tg_collected *collected;
};

static bool on_peeked(tg_str message, void *arg)
{
    const struct taker *t = arg;

    return take(t->opts, t->collected, message);
}

/* Topics without a cursor begin where the answer stands. */
static void begin_now(const struct tg_admission *a, tg_str cursor)
{
    struct tg_stream_topic topics[TG_STREAM_MAX_TOPICS];
    struct tg_stream_start start = {.topics = topics};

    for (size_t i = 0; i < a->n_wants; i++) {
        if (a->wants[i].from == TG_FROM_NOW) {
            topics[start.n_topics++] =
                (struct tg_stream_topic){.name = a->wants[i].name->name, .cursor = cursor};
        }
    }
    tg_admission_begun(a, &start);
}

enum tg_rc tg_collect_now(const struct tg_admission *a, const struct tg_collect_opts *opts,
                          struct tg_collected *ret_collected)
{
    struct tg_collected c;
    struct tg_peeked p;
    struct taker t = {opts, &c};
    const struct tg_peek_ask ask = {a->wants, a->n_wants, a->user, on_peeked, &t};
    enum tg_rc rc = TG_OK;

    init_collected(&c);
    rc = tg_peek(a->x->w->fanout, &ask, &p);
    if (rc != TG_OK || (c.n == 0 && opts->wait > 0)) {
        tg_collected_fini(&c);
        return rc == TG_OK ? TG_EAGAIN : rc;
    }
    begin_now(a, tg_str_make(c.cursor, tg_cursor_format(&p.epoch, p.pos, c.cursor)));
    c.has_more = p.has_more;
    c.lag_ms = p.lag_ms;
    c.is_resume = p.is_resume;
    c.is_recovered = p.is_resume; /* whatever else is a stream's to tell */
    *ret_collected = c;
    return TG_OK;
}

/* ---- through a stream ---- */

static void free_collect(void *arg)
{
    struct tg_collect *c = arg;

    tg_collected_fini(&c->got);
    free(c);
}

void tg_collect_cancel(struct tg_collect *c)
{
    if (c->client.stream != NULL) {
        tg_stream_close(c->client.stream);
        c->client.stream = NULL;
    }
    tg_client_leave(c->w, &c->client);
    tg_loop_timer_stop(c->w->loop, &c->timer);
    tg_loop_task_stop(c->w->loop, &c->turn);
    tg_loop_defer(c->w->loop, free_collect, c);
}

static void finish(struct tg_collect *c, enum tg_rc rc, tg_str message)
{
    if (c->client.stream != NULL && rc == TG_OK) {
        (void)tg_stream_cursor(c->client.stream, c->got.cursor);
        c->got.has_more = tg_stream_is_behind(c->client.stream);
    }
    c->done(rc, message, rc == TG_OK ? &c->got : NULL, c->arg);
    tg_collect_cancel(c);
}

/* As much as is there: each round takes what one flush gives. */
static void take_the_rest(struct tg_collect *c)
{
    size_t before = 0;

    do {
        before = c->got.n;
        tg_stream_writable(c->client.stream);
    } while (c->client.stream != NULL && !c->is_full && c->got.n > before &&
             tg_stream_is_behind(c->client.stream));
}

static bool is_over(const struct tg_collect *c)
{
    return c->failed != TG_OK || c->got.n > 0 || c->got.topics.n > 0 ||
           tg_loop_now(c->w->loop) >= c->until;
}

/* The end of a turn in which something came or the wait was over. */
static bool on_turn(struct tg_task *task)
{
    struct tg_collect *c = TG_CONTAINER_OF(task, struct tg_collect, turn);

    if (c->client.stream != NULL && c->got.n > 0 && !c->is_full) {
        take_the_rest(c);
    }
    if (c->client.stream == NULL && c->got.n == 0 && strcmp(c->why, "store") == 0) {
        finish(c, TG_ESTORE, TG_STR(""));
    } else if (c->failed != TG_OK && c->got.n == 0) {
        finish(c, c->failed, TG_STR("a topic does not work any more"));
    } else if (c->client.stream == NULL || is_over(c)) {
        finish(c, TG_OK, TG_STR(""));
    }
    return false;
}

static void on_waited(struct tg_timer *timer)
{
    struct tg_collect *c = TG_CONTAINER_OF(timer, struct tg_collect, timer);

    tg_loop_task_start(c->w->loop, &c->turn);
}

static void put_topic(struct tg_buf *out, const struct tg_stream_topic *t)
{
    bool is_ready = t->state == TG_TOPIC_READY;

    if (is_ready && (!t->is_resume || t->is_recovered)) {
        return; /* as it should be: nothing to say */
    }
    (void)tg_buf_str(out, out->n == 0 ? TG_STR("{\"topic\":") : TG_STR(",{\"topic\":"));
    (void)tg_json_quote(out, t->name);
    (void)tg_buf_str(out, TG_STR(",\"state\":"));
    (void)tg_buf_str(out, is_ready ? TG_STR("\"ready\"") : TG_STR("\"joining\""));
    if (t->is_resume) {
        (void)tg_buf_str(out, t->is_recovered ? TG_STR(",\"recovered\":true")
                                              : TG_STR(",\"recovered\":false"));
    }
    if (t->reason.n > 0) {
        (void)tg_buf_str(out, TG_STR(",\"reason\":"));
        (void)tg_json_quote(out, t->reason);
    }
    (void)tg_buf_char(out, '}');
}

static void on_start(struct tg_stream *s, const struct tg_stream_start *start, void *arg)
{
    struct tg_collect *c = arg;
    tg_usec now = tg_loop_now(c->w->loop);

    (void)s;
    tg_admission_begun(c->a, start);
    c->is_started = true;
    c->got.is_resume = start->is_resume;
    c->got.is_recovered = start->is_recovered;
    for (size_t i = 0; i < start->n_topics; i++) {
        const struct tg_stream_topic *t = &start->topics[i];

        put_topic(&c->got.topics, t);
        if (c->got.reason[0] == '\0' && t->is_resume && !t->is_recovered) {
            (void)snprintf(c->got.reason, sizeof(c->got.reason), "%.*s", TG_STR_ARG(t->reason));
        }
    }
    if (c->got.topics.n > 0 || now >= c->until) {
        tg_loop_task_start(c->w->loop, &c->turn);
    } else {
        tg_loop_timer_start(c->w->loop, &c->timer, c->until - now);
    }
}

static void on_refused(enum tg_rc rc, tg_str message, void *arg)
{
    struct tg_collect *c = arg;

    c->client.stream = NULL;
    finish(c, rc, message);
}

/* Events, and the resets among them. What a stream says about itself is not for an answer. */
static tg_str frame_bytes(const struct tg_frame *f, bool is_ready)
{
    if (is_ready || tg_frame_kind(f) == TG_FRAME_CONTROL) {
        return TG_STR("");
    }
    return tg_frame_message(f);
}

static enum tg_rc take_frames(void *arg, const struct iovec *iov, int n, size_t *ret_n)
{
    struct tg_collect *c = arg;
    size_t bytes = 0;

    for (int i = 0; i < n && !c->is_full; i++) {
        if (iov[i].iov_len == 0) {
            continue;
        }
        c->is_full = !take(&c->opts, &c->got, tg_str_make(iov[i].iov_base, iov[i].iov_len));
        bytes += c->is_full ? 0 : iov[i].iov_len;
    }
    tg_loop_task_start(c->w->loop, &c->turn);
    *ret_n = bytes;
    return c->is_full && bytes == 0 ? TG_EAGAIN : TG_OK;
}

static void on_end(const char *why, void *arg)
{
    struct tg_collect *c = arg;

    (void)tg_stream_cursor(c->client.stream, c->got.cursor);
    c->got.has_more = tg_stream_is_behind(c->client.stream);
    c->got.is_draining = strcmp(why, "drain") == 0 || strcmp(why, "stop") == 0;
    c->client.stream = NULL;
    c->why = why;
    tg_loop_task_start(c->w->loop, &c->turn);
}

/* A topic may not be read any more, or does not work: nothing is waited for. Who asks again without
 * it has the others. */
static void on_topic(struct tg_stream *s, const struct tg_stream_topic *t, enum tg_rc rc,
                     tg_str message, tg_id ref, void *arg)
{
    struct tg_collect *c = arg;

    (void)s;
    (void)t;
    (void)message;
    (void)ref;
    c->failed = rc;
    tg_loop_task_start(c->w->loop, &c->turn);
}

enum tg_rc tg_collect_start(struct tg_admission *a, const struct tg_collect_opts *opts,
                            tg_collect_fn *done, void *arg, struct tg_collect **ret_collect)
{
    static const struct tg_sink_ops sink = {.on_start = on_start,
                                            .on_refused = on_refused,
                                            .bytes = frame_bytes,
                                            .writev = take_frames,
                                            .on_end = on_end,
                                            .on_topic = on_topic};
    struct tg_collect *c = TG_NEW(struct tg_collect);
    enum tg_rc rc = TG_OK;

    c->w = a->x->w;
    c->a = a;
    c->opts = *opts;
    c->until = tg_loop_now(c->w->loop) + opts->wait;
    c->done = done;
    c->arg = arg;
    init_collected(&c->got);
    tg_timer_init(&c->timer, on_waited);
    tg_task_init(&c->turn, on_turn);
    rc = tg_client_open(&c->client, a, &sink, c, false);
    if (rc != TG_OK) {
        tg_collect_cancel(c);
        return rc;
    }
    *ret_collect = c;
    return TG_OK;
}
