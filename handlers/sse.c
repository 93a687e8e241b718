/* sse.c - one stream over one connection.
 *
 *   token? -> stream opened -> on_start: head and `hello` -> raw socket, frames -> on_end
 *
 * Two things end it: the client (the connection closes) or the stream (bye). Whichever comes
 * first cuts the tie to the other; the context is freed by the connection's last call. */
#include "handlers/sse.h"

#include <stdlib.h>
#include <sys/uio.h>

#include "auth/token.h"
#include "handlers/bearer.h"
#include "handlers/cors.h"
#include "handlers/forward.h"
#include "handlers/quota.h"
#include "util/json.h"
#include "util/log.h"

enum { MAX_HEAD_BYTES = 64 * 1024 };

struct sse {
    struct tg_worker *w;
    struct tg_conn *conn;
    struct tg_stream *stream;    /* NULL: not yet, or over */
    struct tg_exchange *x;       /* NULL once the socket is raw */
    struct tg_bearer_wait *wait; /* for the signing keys */
    bool is_raw;
    struct tg_quota_place user_place;
    struct tg_quota_place address_place;
};

static void sse_free(struct sse *e)
{
    tg_quota_give(e->w->opts->per_user, e->w->index, &e->user_place);
    tg_quota_give(e->w->opts->per_address, e->w->index, &e->address_place);
    free(e);
}

/* ---- what is asked for ---- */

struct asked {
    struct tg_topic_name topics[TG_STREAM_MAX_TOPICS];
    size_t n_topics;
    tg_str cursor;
    const char *why; /* what is wrong with it */
};

static void asked_fini(struct asked *a)
{
    for (size_t i = 0; i < a->n_topics; i++) {
        tg_topic_fini(&a->topics[i]);
    }
}

/* Strict topics are for the tables that the operator lists, or all of `public`. */
static bool is_served(const struct tg_handler_opts *opts, const struct tg_topic_name *t)
{
    tg_str relation = tg_str_make(t->schema.p, t->schema.n + 1 + t->table.n);

    if (opts->n_strict_tables == 0) {
        return tg_str_eq(t->schema, TG_STR("public"));
    }
    for (size_t i = 0; i < opts->n_strict_tables; i++) {
        if (tg_str_eq(opts->strict_tables[i], relation)) {
            return true;
        }
    }
    return false;
}

static enum tg_rc add_topic(const struct tg_handler_opts *opts, struct asked *a, tg_str text)
{
    struct tg_topic_name *t = &a->topics[a->n_topics];
    enum tg_rc rc = TG_OK;

    if (a->n_topics == TG_MIN(opts->max_topics, (size_t)TG_STREAM_MAX_TOPICS)) {
        a->why = "too many topics for one stream";
        return TG_EBADTOPIC;
    }
    rc = tg_topic_parse(opts->declared, text, t, &a->why);
    if (rc != TG_OK) {
        return rc;
    }
    if (t->kind == TG_TOPIC_STRICT && !is_served(opts, t)) {
        tg_topic_fini(t);
        a->why = "this table is not served as a topic";
        return TG_EFORBIDDEN;
    }
    for (size_t i = 0; i < a->n_topics; i++) {
        if (tg_str_eq(a->topics[i].name, t->name)) {
            tg_topic_fini(t);
            return TG_OK; /* twice the same is once */
        }
    }
    a->n_topics++;
    return TG_OK;
}

static enum tg_rc read_query(struct tg_exchange *x, struct asked *a)
{
    const struct tg_field *last = tg_fields_find(x->req->head.fields, TG_STR("Last-Event-ID"));
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    enum tg_rc rc = TG_OK;

    while ((rc = tg_exchange_param(x, &at, &name, &value)) == TG_OK) {
        if (tg_str_eq(name, TG_STR("topic"))) {
            rc = add_topic(x->w->opts, a, value);
        } else if (tg_str_eq(name, TG_STR("cursor"))) {
            a->cursor = value;
        }
        if (rc != TG_OK) {
            return rc;
        }
    }
    if (rc != TG_EEOF) {
        a->why = "a percent escape is broken";
        return rc;
    }
    if (a->n_topics == 0) {
        a->why = "name at least one topic: ?topic=table:public.tasks";
        return TG_EBADTOPIC;
    }
    /* The browser's own memory of where it was is newer than the URL it was opened with. */
    if (last != NULL && last->value.n > 0) {
        a->cursor = last->value;
    }
    return TG_OK;
}

/* ---- the connection's side ---- */

static void on_raw_ready(struct tg_conn *c, unsigned events, void *ctx)
{
    struct sse *e = ctx;

    if ((events & (TG_READABLE | TG_HANGUP)) != 0) {
        char byte = 0;
        size_t n = 0;

        /* A client of a stream has nothing to say: a byte or an end closes it. */
        if (tg_conn_raw_read(c, &byte, 1, &n) != TG_EAGAIN) {
            tg_conn_close(c);
            return;
        }
    }
    if ((events & TG_WRITABLE) != 0 && e->stream != NULL) {
        tg_stream_writable(e->stream);
    }
}

static void on_raw_close(struct tg_conn *c, void *ctx)
{
    struct sse *e = ctx;

    (void)c;
    if (e->stream != NULL) {
        tg_stream_close(e->stream);
        tg_log(TG_LOG_DEBUG, "stream_end", TG_KZ("why", "client"));
    }
    sse_free(e);
}

static void on_gone(struct tg_conn *c, enum tg_rc why, void *ctx)
{
    struct sse *e = ctx;

    (void)c;
    (void)why;
    if (e->is_raw) {
        e->x = NULL; /* the request is over, the socket goes on */
        return;
    }
    if (e->wait != NULL) {
        tg_bearer_cancel(e->wait);
    }
    if (e->stream != NULL) {
        tg_stream_close(e->stream);
    }
    sse_free(e);
}

/* ---- the stream's side ---- */

static void put_field(struct tg_buf *out, tg_str name, tg_str value)
{
    (void)tg_buf_str(out, name);
    (void)tg_buf_str(out, TG_STR(": "));
    (void)tg_buf_str(out, value);
    (void)tg_buf_str(out, TG_STR("\r\n"));
}

static void put_topic(struct tg_buf *out, const struct tg_stream_topic *t)
{
    (void)tg_buf_str(out, TG_STR("{\"topic\":"));
    (void)tg_json_quote(out, t->name);
    (void)tg_buf_str(out, TG_STR(",\"guarantee\":\"live\",\"state\":"));
    (void)tg_buf_str(out, t->state == TG_TOPIC_READY ? TG_STR("\"ready\"") : TG_STR("\"joining\""));
    if (t->is_resume) {
        (void)tg_buf_str(out, TG_STR(",\"recovered\":"));
        (void)tg_buf_str(out, t->is_recovered ? TG_STR("true") : TG_STR("false"));
    }
    if (t->reason.n > 0) {
        (void)tg_buf_str(out, TG_STR(",\"reason\":"));
        (void)tg_json_quote(out, t->reason);
    }
    (void)tg_buf_char(out, '}');
}

static void put_hello(struct tg_buf *out, const struct sse *e, const struct tg_stream_start *start)
{
    (void)tg_buf_printf(out,
                        "retry: %llu\nid: ", (unsigned long long)(e->w->opts->stream_retry / 1000));
    (void)tg_buf_str(out, start->cursor);
    (void)tg_buf_str(out, TG_STR("\nevent: hello\ndata: {\"cursor\":"));
    (void)tg_json_quote(out, start->cursor);
    (void)tg_buf_printf(out, ",\"heartbeat\":%llu,\"topics\":[",
                        (unsigned long long)(e->w->opts->stream_heartbeat / 1000));
    for (size_t i = 0; i < start->n_topics; i++) {
        if (i > 0) {
            (void)tg_buf_char(out, ',');
        }
        put_topic(out, &start->topics[i]);
    }
    /* What strict topics cannot tell, said where nobody can miss it (DESIGN.md 3). */
    (void)tg_buf_str(out, TG_STR("],\"uncovered\":[\"a row that leaves the filter or the policy "
                                 "yields no event\"]}\n\n"));
}

static void put_head(struct tg_buf *out, const struct sse *e, const struct tg_stream_start *start)
{
    struct tg_field cors[TG_CORS_OWN_MAX];
    size_t n = tg_cors_own(e->w->opts, e->x->origin, cors, TG_CORS_OWN_MAX);

    (void)tg_buf_str(out, TG_STR("HTTP/1.1 200 OK\r\n"));
    put_field(out, TG_STR("Content-Type"), TG_STR("text/event-stream"));
    put_field(out, TG_STR("Cache-Control"), TG_STR("no-store"));
    put_field(out, TG_STR("X-Accel-Buffering"), TG_STR("no"));
    put_field(out, TG_STR("Connection"), TG_STR("close"));
    put_field(out, TG_STR("X-Request-Id"), e->x->id);
    put_field(out, TG_STR("Tidegate-Cursor"), start->cursor);
    if (start->is_resume) {
        put_field(out, TG_STR("Tidegate-Recovered"),
                  start->is_recovered ? TG_STR("true") : TG_STR("false"));
    }
    for (size_t i = 0; i < n; i++) {
        put_field(out, cors[i].name, cors[i].value);
    }
    (void)tg_buf_str(out, TG_STR("\r\n"));
}

static void on_start(struct tg_stream *s, const struct tg_stream_start *start, void *arg)
{
    static const struct tg_raw_handler raw = {on_raw_ready, on_raw_close};
    struct sse *e = arg;
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = MAX_HEAD_BYTES};
    tg_str early = TG_STR_NONE;

    put_head(&out, e, start);
    put_hello(&out, e, start);
    if (tg_buf_rc(&out) != TG_OK) {
        tg_stream_close(s);
        e->stream = NULL;
        tg_exchange_refuse(e->x, TG_EINTERNAL, TG_STR(""), TG_STR(""));
        return;
    }
    if (tg_conn_go_raw(e->conn, tg_buf_view(&out), true, &raw, e, &early) != TG_OK) {
        /* Refused by the connection (bytes behind the request); on_gone frees. */
        tg_stream_close(s);
        e->stream = NULL;
        return;
    }
    e->is_raw = true;
    tg_count_add(&e->w->counts.streams_opened, 1);
}

static void on_refused(enum tg_rc rc, tg_str message, void *arg)
{
    struct sse *e = arg;

    e->stream = NULL;
    tg_exchange_refuse(e->x, rc, message, TG_STR(""));
}

static tg_str frame_bytes(const struct tg_frame *f, bool is_ready)
{
    return is_ready ? tg_frame_ready_sse(f) : tg_frame_sse(f);
}

static enum tg_rc write_frames(void *arg, const struct iovec *iov, int n, size_t *ret_n)
{
    const struct sse *e = arg;

    return tg_conn_raw_write(e->conn, iov, n, ret_n);
}

static void on_end(const char *why, void *arg)
{
    struct sse *e = arg;

    e->stream = NULL;
    tg_log(TG_LOG_DEBUG, "stream_end", TG_KZ("why", why));
    tg_conn_close(e->conn);
}

/* ---- the start ---- */

static const struct tg_sink_ops sink = {on_start,     on_refused, frame_bytes,
                                        write_frames, on_end,     NULL};

/* Each cap has its own answer (DESIGN.md 5). */
static const char *take_places(struct sse *e, const struct tg_token *token)
{
    const struct tg_handler_opts *o = e->w->opts;
    const struct tg_forward_peer peer = {tg_conn_peer(e->conn), tg_conn_peer_is_trusted(e->conn)};
    tg_str address = tg_forward_client(e->x->req->head.fields, peer);

    if (!tg_quota_take(o->per_user, e->w->index, tg_str_of(token->user_id), &e->user_place)) {
        return "this user has too many streams open";
    }
    if (!tg_quota_take(o->per_address, e->w->index, address, &e->address_place)) {
        return "this address has too many streams open";
    }
    return NULL;
}

static void open_stream(struct sse *e, const struct tg_token *token, const struct asked *a)
{
    struct tg_stream_want wants[TG_STREAM_MAX_TOPICS] = {0};
    struct tg_stream_opts opts = {.wants = wants,
                                  .n_wants = a->n_topics,
                                  .user = {.class_id = tg_str_of(token->class_id),
                                           .user_id = tg_str_of(token->user_id),
                                           .token = token->text,
                                           .exp_sec = token->exp_sec},
                                  .ops = &sink,
                                  .arg = e};
    struct tg_stream_want all = {.from = TG_FROM_NOW};
    enum tg_rc rc = TG_OK;

    if (tg_str_eq(a->cursor, TG_STR("earliest"))) {
        all.from = TG_FROM_EARLIEST;
    } else if (a->cursor.n > 0 && !tg_str_eq(a->cursor, TG_STR("now"))) {
        all.from = TG_FROM_CURSOR;
        rc = tg_cursor_parse(a->cursor, &all.epoch, &all.pos);
    }
    for (size_t i = 0; i < a->n_topics; i++) {
        wants[i] = all;
        wants[i].name = &a->topics[i];
    }
    if (rc == TG_OK) {
        rc = tg_stream_open(e->w->fanout, &opts, &e->stream);
    }
    if (rc != TG_OK) {
        tg_exchange_refuse(e->x, rc, TG_STR(""), TG_STR(""));
    }
}

static void on_token(enum tg_rc rc, struct tg_token *token, void *arg)
{
    struct sse *e = arg;
    struct asked a = {0};

    e->wait = NULL;
    if (rc == TG_OK) {
        rc = read_query(e->x, &a);
    }
    if (rc == TG_OK) {
        a.why = take_places(e, token);
        rc = a.why == NULL ? TG_OK : TG_ERATE;
    }
    if (rc == TG_OK) {
        open_stream(e, token, &a);
    } else {
        tg_exchange_refuse(e->x, rc, tg_str_of(a.why), TG_STR(""));
    }
    asked_fini(&a);
    tg_token_unref(token);
}

void tg_sse_start(struct tg_exchange *x)
{
    static const struct tg_request_handler handler = {.on_gone = on_gone};
    struct sse *e = TG_NEW(struct sse);

    e->w = x->w;
    e->conn = x->conn;
    e->x = x;
    tg_conn_set_handler(x->conn, &handler, e);
    if (x->req->head.body != TG_BODY_NONE) {
        x->close = true; /* where the body ends is not looked for */
        tg_exchange_refuse(x, TG_EBADREQ, TG_STR("a stream takes no body"), TG_STR(""));
        return;
    }
    tg_conn_park(x->conn);
    tg_bearer_user(x, on_token, e, &e->wait);
}
