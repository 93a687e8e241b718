/* sse.c - one stream over one connection.
 *
 *   token? -> stream opened -> on_start: head and `hello` -> raw socket, frames -> on_end
 *                                 `-> with a snapshot: when its first rows are there
 *
 * Two things end it: the client (the connection closes) or the stream (bye). Whichever comes
 * first cuts the tie to the other; the context is freed by the connection's last call. */
#include "handlers/sse.h"

#include <stdlib.h>
#include <sys/uio.h>

#include "handlers/access.h"
#include "handlers/admission.h"
#include "handlers/cors.h"
#include "handlers/hello.h"
#include "handlers/snapshot.h"
#include "util/log.h"

enum { MAX_HEAD_BYTES = 64 * 1024 };

struct sse {
    struct tg_client client; /* its stream: NULL: not yet, or over */
    struct tg_conn *conn;
    struct tg_admission *a; /* NULL once the socket is raw */
    struct tg_snapshot *snapshot;
};

/* What is kept from the stream's start to its first rows; in the request's arena. */
struct opening {
    tg_str bytes;                   /* head and `hello` */
    struct tg_stream_topic *failed; /* resumes that failed: their topics began anew */
    size_t n_failed;
};

static void sse_free(struct sse *e)
{
    tg_admission_fini(e->a);
    tg_client_leave(tg_conn_server_arg(e->conn), &e->client);
    free(e);
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
    if ((events & TG_WRITABLE) != 0 && e->client.stream != NULL) {
        tg_stream_writable(e->client.stream);
    }
    if ((events & TG_WRITABLE) != 0 && e->snapshot != NULL) {
        tg_snapshot_writable(e->snapshot);
    }
}

/* The stream is over or is to be closed. */
static void drop_snapshot(struct sse *e)
{
    tg_snapshot_cancel(e->snapshot);
    e->snapshot = NULL;
}

static void on_raw_close(struct tg_conn *c, void *ctx)
{
    struct sse *e = ctx;

    (void)c;
    drop_snapshot(e);
    if (e->client.stream != NULL) {
        tg_stream_close(e->client.stream);
        tg_log(TG_LOG_DEBUG, "stream_end", TG_KZ("by", "sse"), TG_KZ("why", "client"));
    }
    sse_free(e);
}

static void on_gone(struct tg_conn *c, enum tg_rc why, void *ctx)
{
    struct sse *e = ctx;

    (void)c;
    (void)why;
    if (e->a == NULL) {
        return; /* the request is over, the socket goes on */
    }
    drop_snapshot(e);
    if (e->client.stream != NULL) {
        tg_stream_close(e->client.stream);
    }
    sse_free(e);
}

/* ---- the answer ---- */

static void put_hello(struct tg_buf *out, const struct sse *e, const struct tg_stream_start *start)
{
    const struct tg_handler_opts *o = e->a->x->w->opts;

    (void)tg_buf_printf(out, "retry: %llu\n", (unsigned long long)(o->stream_retry / 1000));
    if (start->cursor.n > 0) {
        (void)tg_buf_str(out, TG_STR("id: "));
        (void)tg_buf_str(out, start->cursor);
        (void)tg_buf_char(out, '\n');
    }
    (void)tg_buf_str(out, TG_STR("event: hello\ndata: {"));
    tg_hello_put(out, o, e->a->device, start);
    (void)tg_buf_str(out, TG_STR("}\n\n"));
}

static void put_head(struct tg_buf *out, const struct sse *e, const struct tg_stream_start *start)
{
    struct tg_field cors[TG_CORS_OWN_MAX];
    size_t n = tg_cors_own(e->a->x->w->opts, e->a->x->origin, cors, TG_CORS_OWN_MAX);

    (void)tg_buf_str(out, TG_STR("HTTP/1.1 200 OK\r\n"));
    tg_hello_put_field(out, TG_STR("Content-Type"), TG_STR("text/event-stream"));
    tg_hello_put_field(out, TG_STR("Cache-Control"), TG_STR("no-store"));
    tg_hello_put_field(out, TG_STR("X-Accel-Buffering"), TG_STR("no"));
    tg_hello_put_field(out, TG_STR("Connection"), TG_STR("close"));
    tg_hello_put_fields(out, e->a, start);
    for (size_t i = 0; i < n; i++) {
        tg_hello_put_field(out, cors[i].name, cors[i].value);
    }
    (void)tg_buf_str(out, TG_STR("\r\n"));
}

static void put_opening(struct tg_buf *out, const struct sse *e,
                        const struct tg_stream_start *start)
{
    put_head(out, e, start);
    put_hello(out, e, start);
}

/* Before the socket is raw: the request is still to be answered. */
static void refuse(struct sse *e, enum tg_rc rc, tg_str why, tg_str hint)
{
    if (e->client.stream != NULL) {
        tg_stream_close(e->client.stream);
        e->client.stream = NULL;
    }
    tg_exchange_refuse(e->a->x, rc, why, hint);
}

/* False: the connection has refused (bytes behind the request); on_gone frees. */
static bool go_raw(struct sse *e, tg_str opening)
{
    static const struct tg_raw_handler raw = {on_raw_ready, on_raw_close};
    tg_str early = TG_STR_NONE;

    if (tg_conn_go_raw(e->conn, opening, true, &raw, e, &early) != TG_OK) {
        tg_stream_close(e->client.stream);
        e->client.stream = NULL;
        return false;
    }
    tg_count_add(&e->a->x->w->counts.streams_opened, 1);
    tg_admission_fini(e->a);
    e->a = NULL; /* raw from here on */
    return true;
}

/* ---- rows first ---- */

static const struct tg_sink_ops sink;

/* The changes of a table that go on where they were need no rows; published topics have none. */
static bool wants_rows(const struct sse *e, const struct tg_stream_topic *t, size_t i)
{
    const struct tg_stream_want *want = &e->a->wants[i];

    return want->name->kind != TG_TOPIC_PUBLISHED && want->from != TG_FROM_EARLIEST &&
           !t->is_recovered;
}

static size_t count_rows_wanted(const struct sse *e, const struct tg_stream_start *start)
{
    size_t n = 0;

    for (size_t i = 0; e->a->is_snapshot && i < start->n_topics; i++) {
        n += wants_rows(e, &start->topics[i], i) ? 1 : 0;
    }
    return n;
}

/* A resume that failed would be told `reset` behind the rows: those topics begin anew instead.
 * False: there is none. */
static bool begin_anew(struct sse *e, const struct tg_stream_start *start)
{
    struct tg_admission *a = e->a;
    struct opening *o = a->kept;
    const struct tg_stream_opts opts = {.wants = a->wants,
                                        .n_wants = a->n_wants,
                                        .user = a->user,
                                        .is_held = true,
                                        .ops = &sink,
                                        .arg = e};
    enum tg_rc rc = TG_OK;

    for (size_t i = 0; i < start->n_topics; i++) {
        if (wants_rows(e, &start->topics[i], i) && a->wants[i].from == TG_FROM_CURSOR) {
            a->wants[i].from = TG_FROM_NOW;
            o->failed[o->n_failed++] = start->topics[i];
        }
    }
    if (o->n_failed == 0) {
        return false;
    }
    tg_stream_close(e->client.stream);
    e->client.stream = NULL;
    rc = tg_stream_open(a->x->w->fanout, &opts, &e->client.stream);
    if (rc != TG_OK) {
        refuse(e, rc, TG_STR(""), TG_STR(""));
    }
    return true;
}

/* What `hello` says: where those that began anew had wanted to go on, and no position, for a client
 * that loses the connection before it has all rows must begin again. */
static struct tg_stream_start with_failed(const struct sse *e, const struct tg_stream_start *start,
                                          struct tg_stream_topic *topics)
{
    const struct opening *o = e->a->kept;
    struct tg_stream_start said = *start;

    for (size_t i = 0; i < start->n_topics; i++) {
        topics[i] = start->topics[i];
        for (size_t k = 0; k < o->n_failed; k++) {
            if (tg_str_eq(o->failed[k].name, topics[i].name)) {
                topics[i].is_resume = true;
                topics[i].reason = o->failed[k].reason;
            }
        }
    }
    said.topics = topics;
    said.is_resume = start->is_resume || o->n_failed > 0;
    said.is_recovered = start->is_recovered && o->n_failed == 0;
    said.cursor = TG_STR("");
    return said;
}

static bool on_first_rows(void *arg)
{
    struct sse *e = arg;
    struct tg_snapshot *snapshot = e->snapshot;

    e->snapshot = NULL;
    if (!go_raw(e, ((const struct opening *)e->a->kept)->bytes)) {
        tg_snapshot_cancel(snapshot);
        return false;
    }
    e->snapshot = snapshot;
    return true;
}

static void on_rows_done(enum tg_rc rc, tg_str why, tg_str hint, bool has_begun, void *arg)
{
    struct sse *e = arg;

    e->snapshot = NULL;
    if (rc == TG_OK) {
        tg_stream_release(e->client.stream, TG_HOLD_ROWS);
    } else if (has_begun) {
        tg_stream_end(e->client.stream, "snapshot", 0);
    } else {
        refuse(e, rc, why, hint);
    }
}

static const struct tg_snapshot_ops rows_first = {on_first_rows, on_rows_done};

static enum tg_rc start_rows(struct sse *e, const struct tg_stream_start *start, size_t n,
                             const char **ret_why)
{
    const struct tg_admission *a = e->a;
    const struct tg_topic_name **topics =
        tg_arena_alloc(&a->x->req->arena, n * sizeof(struct tg_topic_name *));
    struct tg_snapshot_opts opts = {
        .w = a->x->w,
        .stream = e->client.stream,
        .token = a->token,
        .topics = topics,
        .key = a->snapshot_key.n > 0 ? a->snapshot_key : TG_STR("id"),
        .cursor = start->cursor,
        .ops = &rows_first,
        .arg = e,
    };

    for (size_t i = 0; i < start->n_topics; i++) {
        if (wants_rows(e, &start->topics[i], i)) {
            topics[opts.n_topics++] = a->wants[i].name;
        }
    }
    return tg_snapshot_start(&opts, &e->snapshot, ret_why);
}

/* The stream is live and held; the answer waits for the first rows. */
static void begin_with_rows(struct sse *e, const struct tg_stream_start *start, size_t n)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = MAX_HEAD_BYTES};
    struct tg_arena *arena = &e->a->x->req->arena;
    struct tg_stream_topic *topics = tg_arena_alloc(arena, start->n_topics * sizeof(*topics));
    struct opening *o = e->a->kept;
    struct tg_stream_start said = {0};
    const char *why = "";
    enum tg_rc rc = TG_OK;

    if (o == NULL) {
        o = tg_arena_alloc(arena, sizeof(*o));
        o->failed = tg_arena_alloc(arena, start->n_topics * sizeof(*o->failed));
        e->a->kept = o;
        if (begin_anew(e, start)) {
            return;
        }
    }
    said = with_failed(e, start, topics);
    put_opening(&out, e, &said);
    o->bytes = tg_arena_str(arena, tg_buf_view(&out));
    rc = tg_buf_rc(&out) == TG_OK ? start_rows(e, start, n, &why) : TG_EINTERNAL;
    if (rc != TG_OK) {
        refuse(e, rc, tg_str_of(why), TG_STR(""));
    }
}

/* ---- the stream's side ---- */

static void on_start(struct tg_stream *s, const struct tg_stream_start *start, void *arg)
{
    struct sse *e = arg;
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = MAX_HEAD_BYTES};
    const size_t n_rows = count_rows_wanted(e, start);
    const bool is_held = e->a->is_snapshot;

    if (n_rows > 0) {
        begin_with_rows(e, start, n_rows);
        return;
    }
    put_opening(&out, e, start);
    if (tg_buf_rc(&out) != TG_OK) {
        refuse(e, TG_EINTERNAL, TG_STR(""), TG_STR(""));
        return;
    }
    tg_admission_begun(e->a, start);
    if (go_raw(e, tg_buf_view(&out)) && is_held) {
        tg_stream_release(s, TG_HOLD_ROWS);
    }
}

static void on_refused(enum tg_rc rc, tg_str message, void *arg)
{
    struct sse *e = arg;

    e->client.stream = NULL;
    tg_exchange_refuse(e->a->x, rc, message, TG_STR(""));
}

static tg_str frame_bytes(const struct tg_frame *f, bool is_ready)
{
    return is_ready ? tg_frame_ready_sse(f) : tg_frame_sse(f);
}

static enum tg_rc write_frames(void *arg, const struct iovec *iov, int n, size_t *ret_n)
{
    const struct sse *e = arg;

    if (e->a != NULL) {
        return TG_EAGAIN; /* the first rows are awaited; on_raw_ready() follows */
    }
    return tg_conn_raw_write(e->conn, iov, n, ret_n);
}

static void on_end(const char *why, void *arg)
{
    struct sse *e = arg;

    e->client.stream = NULL;
    drop_snapshot(e);
    tg_log(TG_LOG_DEBUG, "stream_end", TG_KZ("by", "sse"), TG_KZ("why", why));
    if (e->a != NULL) {
        refuse(e, TG_ENOTREADY, TG_STR("the stream ended before its first rows were there"),
               TG_STR(""));
        return;
    }
    tg_conn_close(e->conn);
}

/* A topic does not work any more; the others go on. */
static void on_topic(struct tg_stream *s, const struct tg_stream_topic *t, enum tg_rc rc,
                     tg_str message, tg_id ref, void *arg)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf json = {.max = MAX_HEAD_BYTES};
    struct sse *e = arg;

    (void)ref; /* always 0: none is added */
    (void)tg_buf_char(&json, '{');
    tg_hello_put_revoked(&json, t->name, rc, message);
    (void)tg_buf_char(&json, '}');
    tg_access_unfollow(((struct tg_worker *)tg_conn_server_arg(e->conn))->access, &e->client,
                       t->name);
    (void)tg_stream_tell(s, tg_frame_named(TG_STR("revoked"), tg_buf_view(&json)));
    if (tg_stream_topics(s) == 0) {
        tg_stream_end(s, rc == TG_EFORBIDDEN ? "revoked" : "refused", 0);
    }
}

/* ---- the start ---- */

static const struct tg_sink_ops sink = {.on_start = on_start,
                                        .on_refused = on_refused,
                                        .bytes = frame_bytes,
                                        .writev = write_frames,
                                        .on_end = on_end,
                                        .on_topic = on_topic};

/* What stops an EventSource, which would come again with the same URL (HTML 9.2.3). */
static void answer_no_content(struct tg_exchange *x)
{
    struct tg_field fields[TG_CORS_OWN_MAX + 2];
    struct tg_answer a = {.status = 204, .length = TG_LENGTH_NONE};
    size_t n = tg_cors_own(x->w->opts, x->origin, fields, TG_CORS_OWN_MAX);

    fields[n++] = (struct tg_field){TG_STR("Cache-Control"), TG_STR("no-store")};
    fields[n++] = (struct tg_field){TG_STR("X-Request-Id"), x->id};
    a.fields = (struct tg_fields){fields, n};
    tg_conn_answer(x->conn, &a, TG_STR(""));
}

static void on_admitted(enum tg_rc rc, tg_str why, struct tg_admission *a, void *arg)
{
    struct sse *e = arg;

    if (rc == TG_OK) {
        rc = tg_client_open(&e->client, a, &sink, e, a->is_snapshot);
    }
    if (rc == TG_ETICKET) {
        answer_no_content(a->x);
    } else if (rc != TG_OK) {
        tg_exchange_refuse(a->x, rc, why, a->hint);
    }
}

static void on_refused_gone(struct tg_conn *c, enum tg_rc why, void *ctx)
{
    (void)c;
    (void)why;
    (void)ctx;
}

void tg_sse_start(struct tg_exchange *x)
{
    static const struct tg_request_handler handler = {.on_gone = on_gone};
    static const struct tg_request_handler no_more = {.on_gone = on_refused_gone};
    static const struct tg_admit_opts opts = {
        .needs_topic = true, .takes_place = true, .takes_last_event_id = true};
    struct sse *e = NULL;

    if (x->req->head.body != TG_BODY_NONE) {
        tg_conn_set_handler(x->conn, &no_more, NULL);
        x->close = true; /* where the body ends is not looked for */
        tg_exchange_refuse(x, TG_EBADREQ, TG_STR("a stream takes no body"), TG_STR(""));
        return;
    }
    e = TG_NEW(struct sse);
    e->conn = x->conn;
    tg_conn_set_handler(x->conn, &handler, e);
    tg_conn_park(x->conn);
    tg_admit(x, &opts, on_admitted, e, &e->a);
}
