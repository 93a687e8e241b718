/* ws.c - one stream over one WebSocket.
 *
 *   handshake good? -> admitted -> stream opened -> on_start: 101 and `hello` -> raw socket
 *     -> the client says something wrong, or good-bye: close frame    ------------------> closing
 *     -> the stream ends: `bye`, close frame                          ------------------> closing
 *     -> the connection ends: nothing more can be said
 *   closing: what was begun goes out, then the close frame; the client's own is awaited for a while
 *
 * All that is said to a client goes through its stream, so no frame cuts another one in two; what
 * the stream had begun when it ended is finished here. The context is freed by the connection's
 * last call. */
#include "handlers/ws.h"

#include <stdlib.h>
#include <sys/uio.h>

#include "auth/digest.h"
#include "auth/token.h"
#include "handlers/cors.h"
#include "handlers/hello.h"
#include "handlers/snapshot.h"
#include "handlers/ws_int.h"
#include "util/log.h"
#include "ws/handshake.h"

enum {
    MAX_HEAD_BYTES = 64 * 1024,
    READ_BYTES = 16 * 1024,
    MAX_REST_BYTES = 8 * 1024 * 1024, /* of what was begun when the stream ended */
    MAX_UNHEARD_BYTES = 1024 * 1024,  /* read and thrown away behind our close frame */
    SILENT_BEATS = 3,                 /* a ping at the first of them, and no byte up to the last */
    BURST_SEC = 10,                   /* a client may say so much at once */
    MESSAGES_IN_MESSAGE = 64,         /* the greatest message costs as much as so many */
    MIN_COST_BYTES = 1024,            /* fewer cost nothing beside the message itself */
};

#define CLOSE_WAIT TG_SEC(5)

/* Bytes that came behind the request. */
struct ws_early {
    size_t n;
    char bytes[];
};

/* From the end of the stream to the end of the socket. */
struct ws_end {
    struct ws *e;
    struct tg_timer timer;
    struct tg_buf out;
    size_t at;      /* of `out` is written */
    size_t unheard; /* bytes read since */
    bool is_agreed; /* the client has sent its close frame */
    bool is_fault;  /* it cannot be understood any more */
};

static void ws_free(struct ws *e)
{
    struct tg_worker *w = ws_worker(e);

    ws_drop_asks(e);
    tg_admission_fini(e->a);
    tg_client_leave(w, &e->client);
    tg_token_unref(e->token);
    tg_ws_parser_fini(&e->parser);
    if (e->end != NULL) {
        tg_loop_timer_stop(w->loop, &e->end->timer);
        tg_buf_fini(&e->end->out);
        free(e->end);
    }
    free(e->early);
    free(e->device);
    free(e);
}

static void log_end(const char *why)
{
    tg_log(TG_LOG_DEBUG, "stream_end", TG_KZ("by", "ws"), TG_KZ("why", why));
}

/* There is nobody to say anything to. */
static void drop(struct ws *e, const char *why)
{
    e->client.stream = NULL;
    ws_drop_asks(e);
    log_end(why);
    tg_conn_close(e->conn);
}

/* ---- closing ---- */

static void on_closed_late(struct tg_timer *timer)
{
    tg_conn_close(TG_CONTAINER_OF(timer, struct ws_end, timer)->e->conn);
}

/* Writes on. With everything out and the client's close frame here the socket can go; a client
 * that cannot be understood is told so by FIN, and hangs up. */
static void write_end(struct ws *e)
{
    struct ws_end *d = e->end;

    while (d->at < d->out.n) {
        const struct iovec iov = {.iov_base = d->out.p + d->at, .iov_len = d->out.n - d->at};
        size_t n = 0;
        enum tg_rc rc = tg_conn_raw_write(e->conn, &iov, 1, &n);

        if (rc == TG_EAGAIN) {
            return;
        }
        if (rc != TG_OK) {
            tg_conn_close(e->conn);
            return;
        }
        d->at += n;
    }
    if (d->is_agreed) {
        tg_conn_close(e->conn);
    } else if (d->is_fault) {
        tg_conn_raw_shutdown(e->conn);
    }
}

/* Ends the talk with a close frame. e->client.stream may be live, or be ending just now. */
static void begin_end(struct ws *e, unsigned code, const char *why, bool is_agreed, bool is_fault)
{
    struct tg_worker *w = ws_worker(e);
    struct ws_end *d = TG_NEW(struct ws_end);
    char frame[TG_WS_CONTROL_FRAME_MAX];

    TG_ASSERT(e->end == NULL);
    d->e = e;
    d->is_agreed = is_agreed;
    d->is_fault = is_fault;
    tg_timer_init(&d->timer, on_closed_late);
    tg_buf_init(&d->out, MAX_REST_BYTES);
    e->end = d;
    log_end(why);
    ws_drop_asks(e);
    if (e->client.stream != NULL) {
        tg_stream_rest(e->client.stream, &d->out);
        tg_stream_close(e->client.stream);
        e->client.stream = NULL;
    }
    (void)tg_buf_append(&d->out, frame,
                        tg_ws_put_close(code, is_agreed ? TG_STR("") : tg_str_of(why), frame));
    if (tg_buf_rc(&d->out) != TG_OK) {
        tg_conn_close(e->conn);
        return;
    }
    tg_loop_timer_start(w->loop, &d->timer, CLOSE_WAIT);
    write_end(e);
}

void ws_fail(struct ws *e, enum tg_ws_code code, const char *why)
{
    if (e->end == NULL) {
        begin_end(e, code, why, false, true);
    }
}

/* ---- what is said ---- */

void ws_say(struct ws *e, tg_str json)
{
    char header[TG_WS_HEADER_MAX];
    TG_CLEANUP(tg_buf_fini) struct tg_buf frame = {.max = MAX_HEAD_BYTES};

    if (e->client.stream == NULL) {
        return;
    }
    (void)tg_buf_append(&frame, header, tg_ws_put_header(TG_WS_TEXT, json.n, header));
    (void)tg_buf_str(&frame, json);
    TG_ASSERT(tg_buf_rc(&frame) == TG_OK);
    if (!tg_stream_tell(e->client.stream,
                        tg_frame_pair((struct tg_pos){0}, TG_STR_NONE, tg_buf_view(&frame)))) {
        ws_fail(e, TG_WS_POLICY, "unread");
    }
}

/* Pongs that find no room are left out: the client is owed only the last one (section 5.5.3). */
static void say_control(struct ws *e, enum tg_ws_opcode opcode, tg_str payload)
{
    char frame[TG_WS_CONTROL_FRAME_MAX];
    size_t n = tg_ws_put_control(opcode, payload, frame);

    (void)tg_stream_tell(e->client.stream,
                         tg_frame_pair((struct tg_pos){0}, TG_STR_NONE, tg_str_make(frame, n)));
}

/* ---- what is heard ---- */

/* Adds to what the client has said. False: it is over its rate; *ret_far: and far over it. */
static bool pay(struct ws *e, size_t n_messages, size_t n_bytes, bool *ret_far)
{
    const struct tg_worker *w = ws_worker(e);
    const tg_usec now = tg_loop_now(w->loop);
    const tg_usec one = TG_SEC(1) / w->opts->ws_messages_per_sec;
    const size_t unit =
        TG_MAX(w->opts->ws_message_bytes / MESSAGES_IN_MESSAGE, (size_t)MIN_COST_BYTES);

    e->paid_until = TG_MAX(e->paid_until, now);
    e->paid_until += one * n_messages + one * n_bytes / unit;
    *ret_far = e->paid_until - now > 2 * TG_SEC(BURST_SEC);
    return e->paid_until - now <= TG_SEC(BURST_SEC);
}

static void on_event(struct ws *e, const struct tg_ws_event *event)
{
    bool is_far = false;
    bool is_within = pay(e, 1, 0, &is_far);

    if (is_far) {
        ws_fail(e, TG_WS_POLICY, "rate");
        return;
    }
    switch (event->opcode) {
    case TG_WS_TEXT:
        ws_on_message(e, event->bytes, !is_within);
        break;
    case TG_WS_PING:
        say_control(e, TG_WS_PONG, event->bytes);
        break;
    case TG_WS_CLOSE:
        begin_end(e, event->code, "closed", true, false);
        break;
    case TG_WS_PONG: /* somebody is there; it acknowledges nothing (DESIGN.md 4) */
    case TG_WS_BINARY:
    case TG_WS_CONTINUATION:
        break;
    }
}

/* Behind our close frame only the client's own is looked for. */
static void hear_end(struct ws *e, struct tg_ws_input in)
{
    struct ws_end *d = e->end;
    struct tg_ws_event event = {0};
    enum tg_rc rc = TG_OK;

    d->unheard += in.n;
    while (!d->is_fault && !d->is_agreed &&
           (rc = tg_ws_parser_next(&e->parser, &in, &event)) == TG_OK) {
        d->is_agreed = event.opcode == TG_WS_CLOSE;
    }
    d->is_fault = d->is_fault || rc == TG_EBADREQ;
    if (d->unheard > MAX_UNHEARD_BYTES) {
        tg_conn_close(e->conn);
    } else {
        write_end(e);
    }
}

static void hear(struct ws *e, struct tg_ws_input in)
{
    struct tg_ws_event event = {0};
    enum tg_rc rc = TG_OK;
    bool is_far = false;

    e->was_heard = true;
    (void)pay(e, 0, in.n, &is_far);
    if (is_far) {
        ws_fail(e, TG_WS_POLICY, "rate");
    }
    while (e->end == NULL && (rc = tg_ws_parser_next(&e->parser, &in, &event)) == TG_OK) {
        on_event(e, &event);
    }
    if (e->end == NULL && rc == TG_EBADREQ) {
        ws_fail(e, tg_ws_parser_code(&e->parser), "protocol");
    } else if (e->end != NULL && in.n > 0) {
        hear_end(e, in);
    }
}

/* ---- the connection's side ---- */

static void read_all(struct ws *e)
{
    char bytes[READ_BYTES];
    size_t n = 0;
    enum tg_rc rc = TG_OK;

    /* Ends: what a client may say at once is bounded by its rate, and then by MAX_UNHEARD_BYTES. */
    while ((rc = tg_conn_raw_read(e->conn, bytes, sizeof(bytes), &n)) == TG_OK) {
        if (e->end == NULL) {
            hear(e, (struct tg_ws_input){bytes, n});
        } else {
            hear_end(e, (struct tg_ws_input){bytes, n});
            if (e->end->unheard > MAX_UNHEARD_BYTES) {
                return;
            }
        }
    }
    if (rc != TG_EAGAIN) {
        tg_conn_close(e->conn);
    }
}

static void on_raw_ready(struct tg_conn *c, unsigned events, void *ctx)
{
    struct ws *e = ctx;

    (void)c;
    if (e->client.stream == NULL && e->end == NULL) {
        return; /* closed: the connection is about to say so */
    }
    if (e->early != NULL) {
        struct ws_early *early = e->early;

        e->early = NULL;
        hear(e, (struct tg_ws_input){early->bytes, early->n});
        free(early);
    }
    if ((events & (TG_READABLE | TG_HANGUP)) != 0) {
        read_all(e);
    }
    if ((events & TG_WRITABLE) != 0 && e->end != NULL) {
        write_end(e);
    } else if ((events & TG_WRITABLE) != 0 && e->client.stream != NULL) {
        tg_stream_writable(e->client.stream);
        if (e->snapshot != NULL) {
            tg_snapshot_writable(e->snapshot);
        }
    }
}

static void on_raw_close(struct tg_conn *c, void *ctx)
{
    struct ws *e = ctx;

    (void)c;
    if (e->client.stream != NULL) {
        tg_stream_close(e->client.stream);
        log_end("client");
    }
    ws_free(e);
}

static void on_gone(struct tg_conn *c, enum tg_rc why, void *ctx)
{
    struct ws *e = ctx;

    (void)c;
    (void)why;
    if (e->a == NULL) {
        return; /* the request is over, the socket goes on */
    }
    if (e->client.stream != NULL) {
        tg_stream_close(e->client.stream);
    }
    ws_free(e);
}

/* ---- the stream's side ---- */

static void put_accept(struct tg_buf *out, const struct tg_exchange *x)
{
    const struct tg_field *key = tg_fields_find(x->req->head.fields, TG_STR("Sec-WebSocket-Key"));
    char challenge[TG_WS_CHALLENGE_BYTES];
    char accept[TG_WS_ACCEPT_BYTES];
    uint8_t digest[TG_SHA1_BYTES];

    TG_ASSERT(key != NULL);
    tg_ws_challenge(key->value, challenge);
    tg_sha1(tg_str_make(challenge, sizeof(challenge)), digest);
    tg_ws_accept(digest, accept);
    tg_hello_put_field(out, TG_STR("Sec-WebSocket-Accept"), tg_str_make(accept, sizeof(accept)));
}

static void put_start(struct tg_buf *out, const struct ws *e, const struct tg_stream_start *start)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf hello = {.max = MAX_HEAD_BYTES};
    char header[TG_WS_HEADER_MAX];

    (void)tg_buf_str(out, TG_STR("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                 "Connection: Upgrade\r\n"));
    put_accept(out, e->a->x);
    tg_hello_put_fields(out, e->a, start);
    (void)tg_buf_str(out, TG_STR("\r\n"));

    (void)tg_buf_str(&hello, TG_STR("{\"event\":\"hello\","));
    if (start->cursor.n > 0) {
        (void)tg_buf_str(&hello, TG_STR("\"id\":\""));
        (void)tg_buf_str(&hello, start->cursor);
        (void)tg_buf_str(&hello, TG_STR("\","));
    }
    tg_hello_put(&hello, e->a->x->w->opts, e->a->device, start);
    (void)tg_buf_char(&hello, '}');
    out->failed = out->failed || tg_buf_rc(&hello) != TG_OK;
    (void)tg_buf_append(out, header, tg_ws_put_header(TG_WS_TEXT, hello.n, header));
    (void)tg_buf_str(out, tg_buf_view(&hello));
}

/* What outlives the request. */
static void keep(struct ws *e, const struct tg_stream_start *start, tg_str early)
{
    struct tg_admission *a = e->a;

    e->token = a->token == NULL ? NULL : tg_token_ref(a->token);
    e->device = a->device.n == 0 ? NULL : tg_str_dup(a->device);
    e->n_topics = (uint8_t)start->n_topics;
    if (early.n > 0) {
        e->early = tg_malloc(sizeof(*e->early) + early.n);
        e->early->n = early.n;
        memcpy(e->early->bytes, early.p, early.n);
    }
    tg_admission_fini(a);
    e->a = NULL; /* raw from here on */
}

static void on_start(struct tg_stream *s, const struct tg_stream_start *start, void *arg)
{
    static const struct tg_raw_handler raw = {on_raw_ready, on_raw_close};
    struct ws *e = arg;
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = MAX_HEAD_BYTES};
    tg_str early = TG_STR_NONE;

    put_start(&out, e, start);
    if (tg_buf_rc(&out) != TG_OK) {
        tg_stream_close(s);
        e->client.stream = NULL;
        tg_exchange_refuse(e->a->x, TG_EINTERNAL, TG_STR(""), TG_STR(""));
        return;
    }
    if (tg_conn_go_raw(e->conn, tg_buf_view(&out), false, &raw, e, &early) != TG_OK) {
        /* The client has left; on_gone frees. */
        tg_stream_close(s);
        e->client.stream = NULL;
        return;
    }
    tg_count_add(&e->a->x->w->counts.streams_opened, 1);
    tg_admission_begun(e->a, start);
    keep(e, start, early);
}

static void on_refused(enum tg_rc rc, tg_str message, void *arg)
{
    struct ws *e = arg;

    e->client.stream = NULL;
    tg_exchange_refuse(e->a->x, rc, message, TG_STR(""));
}

static tg_str frame_bytes(const struct tg_frame *f, bool is_ready)
{
    return is_ready ? tg_frame_ready_ws(f) : tg_frame_ws(f);
}

static enum tg_rc write_frames(void *arg, const struct iovec *iov, int n, size_t *ret_n)
{
    const struct ws *e = arg;

    return tg_conn_raw_write(e->conn, iov, n, ret_n);
}

/* All below 4000 (DESIGN.md 5). */
static enum tg_ws_code code_of(const char *why)
{
    static const struct {
        const char *why;
        enum tg_ws_code code;
    } codes[] = {
        {"slow_consumer", TG_WS_TRY_LATER}, {"store", TG_WS_INTERNAL},
        {"expired", TG_WS_POLICY},          {"token", TG_WS_POLICY},
        {"refused", TG_WS_POLICY},          {"signed_out", TG_WS_POLICY},
        {"device_deleted", TG_WS_POLICY},   {"unverified", TG_WS_INTERNAL},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(codes); i++) {
        if (strcmp(codes[i].why, why) == 0) {
            return codes[i].code;
        }
    }
    return TG_WS_GOING_AWAY; /* drain, stop, age: a new stream goes on where this one ended */
}

static void on_end(const char *why, void *arg)
{
    struct ws *e = arg;

    if (strcmp(why, "client") == 0) {
        drop(e, why);
        return;
    }
    begin_end(e, code_of(why), why, false, false);
}

/* A ping finds out whether a client that says nothing is there. */
static void on_beat(struct tg_stream *s, void *arg)
{
    struct ws *e = arg;

    e->n_silent = e->was_heard ? 0 : (uint8_t)(e->n_silent + 1);
    e->was_heard = false;
    if (e->n_silent == SILENT_BEATS) {
        tg_stream_close(s);
        drop(e, "silent");
    } else if (e->n_silent > 0) {
        say_control(e, TG_WS_PING, TG_STR(""));
    }
}

static const struct tg_sink_ops sink = {.on_start = on_start,
                                        .on_refused = on_refused,
                                        .bytes = frame_bytes,
                                        .writev = write_frames,
                                        .on_end = on_end,
                                        .on_topic = ws_on_topic,
                                        .on_beat = on_beat};

/* ---- the start ---- */

/* RFC 6455 section 4.2.1. *ret_why: a sentence. */
static enum tg_rc check_handshake(const struct tg_exchange *x, const char **ret_why)
{
    const struct tg_head *head = &x->req->head;
    const struct tg_field *version = tg_fields_find(head->fields, TG_STR("Sec-WebSocket-Version"));
    const struct tg_field *key = tg_fields_find(head->fields, TG_STR("Sec-WebSocket-Key"));

    if (head->body != TG_BODY_NONE) {
        *ret_why = "a WebSocket's request takes no body";
        return TG_EBADREQ;
    }
    if (head->minor == 0 ||
        !tg_fields_has_token(head->fields, TG_STR("Upgrade"), TG_STR("websocket")) ||
        !tg_fields_has_token(head->fields, TG_STR("Connection"), TG_STR("upgrade"))) {
        *ret_why = "this endpoint speaks WebSocket only";
        return TG_EUPGRADE;
    }
    if (version == NULL || !tg_str_eq(version->value, TG_STR("13"))) {
        *ret_why = "the WebSocket protocol's version is 13";
        return TG_EUPGRADE;
    }
    if (tg_fields_count(head->fields, TG_STR("Sec-WebSocket-Key")) != 1 ||
        !tg_ws_key_is_good(key->value)) {
        *ret_why = "Sec-WebSocket-Key is not sixteen bytes in base64";
        return TG_EBADREQ;
    }
    /* Not of CORS, which leaves WebSockets alone, but the same list. */
    if (!tg_cors_may_connect(x->w->opts, x->origin)) {
        *ret_why = "The origin is not listed in cors.origins";
        return TG_EFORBIDDEN;
    }
    return TG_OK;
}

static void on_admitted(enum tg_rc rc, tg_str why, struct tg_admission *a, void *arg)
{
    struct ws *e = arg;

    if (rc == TG_OK && a->is_snapshot) {
        rc = TG_EBADPARAM;
        why = TG_STR("a WebSocket asks for rows with its subscribe");
    }
    if (rc == TG_OK) {
        e->client.is_socket = 1;
        rc = tg_client_open(&e->client, a, &sink, e, false);
    }
    if (rc != TG_OK) {
        tg_exchange_refuse(a->x, rc, why, a->hint);
    }
}

static void on_refused_gone(struct tg_conn *c, enum tg_rc why, void *ctx)
{
    (void)c;
    (void)why;
    (void)ctx;
}

void tg_ws_start(struct tg_exchange *x)
{
    static const struct tg_request_handler handler = {.on_gone = on_gone};
    static const struct tg_request_handler no_more = {.on_gone = on_refused_gone};
    static const struct tg_admit_opts opts = {.takes_place = true};
    struct ws *e = NULL;
    const char *why = NULL;
    enum tg_rc rc = check_handshake(x, &why);

    if (rc != TG_OK) {
        tg_conn_set_handler(x->conn, &no_more, NULL);
        x->close = x->req->head.body != TG_BODY_NONE; /* where it ends is not looked for */
        tg_exchange_refuse(x, rc, tg_str_of(why), TG_STR(""));
        return;
    }
    e = TG_NEW(struct ws);
    e->conn = x->conn;
    e->was_heard = true;
    tg_ws_parser_init(&e->parser, (uint32_t)x->w->opts->ws_message_bytes, true);
    tg_conn_set_handler(x->conn, &handler, e);
    tg_conn_park(x->conn);
    tg_admit(x, &opts, on_admitted, e, &e->a);
}
