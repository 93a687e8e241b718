/* sse.c - one stream over one connection.
 *
 *   token? -> stream opened -> on_start: head and `hello` -> raw socket, frames -> on_end
 *
 * Two things end it: the client (the connection closes) or the stream (bye). Whichever comes
 * first cuts the tie to the other; the context is freed by the connection's last call. */
#include "handlers/sse.h"

#include <stdlib.h>
#include <sys/uio.h>

#include "handlers/admission.h"
#include "handlers/cors.h"
#include "handlers/hello.h"
#include "util/log.h"

enum { MAX_HEAD_BYTES = 64 * 1024 };

struct sse {
    struct tg_client client; /* its stream: NULL: not yet, or over */
    struct tg_conn *conn;
    struct tg_admission *a; /* NULL once the socket is raw */
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
}

static void on_raw_close(struct tg_conn *c, void *ctx)
{
    struct sse *e = ctx;

    (void)c;
    if (e->client.stream != NULL) {
        tg_stream_close(e->client.stream);
        tg_log(TG_LOG_DEBUG, "stream_end", TG_KZ("why", "client"));
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
    if (e->client.stream != NULL) {
        tg_stream_close(e->client.stream);
    }
    sse_free(e);
}

/* ---- the stream's side ---- */

static void put_hello(struct tg_buf *out, const struct sse *e, const struct tg_stream_start *start)
{
    const struct tg_handler_opts *o = e->a->x->w->opts;

    (void)tg_buf_printf(out, "retry: %llu\nid: ", (unsigned long long)(o->stream_retry / 1000));
    (void)tg_buf_str(out, start->cursor);
    (void)tg_buf_str(out, TG_STR("\nevent: hello\ndata: {"));
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
        e->client.stream = NULL;
        tg_exchange_refuse(e->a->x, TG_EINTERNAL, TG_STR(""), TG_STR(""));
        return;
    }
    if (tg_conn_go_raw(e->conn, tg_buf_view(&out), true, &raw, e, &early) != TG_OK) {
        /* Refused by the connection (bytes behind the request); on_gone frees. */
        tg_stream_close(s);
        e->client.stream = NULL;
        return;
    }
    tg_count_add(&e->a->x->w->counts.streams_opened, 1);
    tg_admission_fini(e->a);
    e->a = NULL; /* raw from here on */
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

    return tg_conn_raw_write(e->conn, iov, n, ret_n);
}

static void on_end(const char *why, void *arg)
{
    struct sse *e = arg;

    e->client.stream = NULL;
    tg_log(TG_LOG_DEBUG, "stream_end", TG_KZ("why", why));
    tg_conn_close(e->conn);
}

/* ---- the start ---- */

static const struct tg_sink_ops sink = {.on_start = on_start,
                                        .on_refused = on_refused,
                                        .bytes = frame_bytes,
                                        .writev = write_frames,
                                        .on_end = on_end};

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
        rc = tg_client_open(&e->client, a, &sink, e, false);
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
