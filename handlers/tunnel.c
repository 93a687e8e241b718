/* tunnel.c - one client connection beside one raw upstream connection.
 *
 *   ASKING --head: 101--> OPEN (raw both ways) --> closed
 *      `-----other-----> REFUSED (an ordinary answer) --> closed
 *
 * Each direction keeps only what its reader did not take, and is not read meanwhile: at most
 * CHUNK bytes. Lives until both sides have made their last call. */
#include "handlers/tunnel.h"

#include <stdlib.h>
#include <sys/uio.h>

#include "handlers/proxy.h"
#include "handlers/proxy_response.h"
#include "handlers/reply.h"
#include "upstream/tunnel.h"
#include "util/log.h"
#include "util/map.h"

enum {
    CHUNK = 16384,
    ASK_ROOM = 2 * CHUNK, /* what a client's head may grow by */
    HEAD_ROOM = 2 * TG_REPLY_MAX_BYTES,
    ROUNDS = 8, /* chunks of one direction in one turn */
};

#define ANSWER_TIME TG_SEC(30)
#define IDLE_TIME TG_SEC(120)

enum tunnel_state { ASKING, OPEN, REFUSED };

struct tunnel {
    struct tg_list node; /* of the worker's tunnels */
    struct tg_worker *w;
    struct tg_conn *conn;  /* NULL: gone */
    struct tg_tunnel *up;  /* NULL: closed */
    struct tg_exchange *x; /* NULL behind the request */
    struct tg_proxy_in in;
    enum tunnel_state state;
    bool is_raw;
    struct tg_buf ask; /* what upstream is told, from `asked` on */
    size_t asked;
    struct tg_buf down; /* to the client; ASKING: the answer's head */
    struct tg_buf to_up;
    struct tg_reply reply;
    bool up_ended, client_ended;
    struct tg_task more; /* a direction used up its rounds */
    struct tg_timer timer;
    tg_usec last, started;
    tg_usec ends_at; /* the worker drains; 0: it does not */
    uint64_t n_in, n_out;
    char id[TG_REQUEST_ID_MAX + 1];
    const char *why; /* of its end */
};

/* ---- the end ---- */

static void free_when_over(struct tunnel *t)
{
    if (t->conn != NULL || t->up != NULL) {
        return;
    }
    tg_log(TG_LOG_DEBUG, "tunnel_end", TG_KZ("req", t->id), TG_KZ("why", t->why),
           TG_KN("ms", (tg_loop_now(t->w->loop) - t->started) / 1000), TG_KN("in", t->n_in),
           TG_KN("out", t->n_out));
    tg_list_remove(&t->node);
    tg_loop_timer_stop(t->w->loop, &t->timer);
    tg_loop_task_stop(t->w->loop, &t->more);
    tg_buf_fini(&t->ask);
    tg_buf_fini(&t->down);
    tg_buf_fini(&t->to_up);
    free(t);
}

/* Both sides are told to close; their last calls come later. `why`: one word; the first counts. */
static void close_both(struct tunnel *t, const char *why)
{
    t->why = t->why == NULL ? why : t->why;
    tg_loop_timer_stop(t->w->loop, &t->timer);
    tg_loop_task_stop(t->w->loop, &t->more);
    if (t->up != NULL) {
        tg_tunnel_close(t->up);
    }
    if (t->conn != NULL && t->is_raw) {
        tg_conn_close(t->conn);
    }
}

/* No answer from upstream: ours instead. */
static void fail(struct tunnel *t, enum tg_rc rc)
{
    if (t->conn != NULL && t->x != NULL && t->state == ASKING && t->why == NULL) {
        tg_count_add(&t->w->counts.proxy_errors, 1);
        tg_exchange_refuse(t->x, tg_proxy_rc(rc), TG_STR(""), TG_STR(""));
    } else if (t->conn != NULL && t->state == REFUSED) {
        tg_conn_abort(t->conn);
    }
    close_both(t, "upstream");
}

static tg_usec due(const struct tunnel *t)
{
    if (t->state != OPEN) {
        return t->last + ANSWER_TIME;
    }
    return t->ends_at == 0 ? t->last + IDLE_TIME : TG_MIN(t->ends_at, t->last + IDLE_TIME);
}

static void on_timer(struct tg_timer *timer)
{
    struct tunnel *t = TG_CONTAINER_OF(timer, struct tunnel, timer);
    tg_usec now = tg_loop_now(t->w->loop);

    if (now < due(t)) {
        tg_loop_timer_start(t->w->loop, timer, due(t) - now);
    } else if (t->state == OPEN) {
        close_both(t, t->ends_at != 0 ? "drain" : "idle");
    } else {
        fail(t, TG_EGATEWAYTIME);
    }
}

/* ---- bytes from the client ---- */

/* TG_OK: all of `bytes` is upstream or kept. */
static enum tg_rc send_up(struct tunnel *t, tg_str bytes)
{
    size_t n = 0;
    enum tg_rc rc = tg_tunnel_write(t->up, bytes, &n);

    t->n_in += n;
    t->last = tg_loop_now(t->w->loop);
    if (rc == TG_EAGAIN) {
        (void)tg_buf_str(&t->to_up, tg_str_skip(bytes, n));
        rc = tg_buf_rc(&t->to_up);
    }
    return rc;
}

static enum tg_rc flush_up(struct tunnel *t)
{
    size_t n = 0;
    enum tg_rc rc = TG_OK;

    if (t->to_up.n > 0) {
        rc = tg_tunnel_write(t->up, tg_buf_view(&t->to_up), &n);
        t->n_in += n;
        tg_buf_consume(&t->to_up, n);
    }
    if (t->to_up.n == 0) {
        tg_buf_fini(&t->to_up);
        tg_buf_init(&t->to_up, CHUNK);
    }
    return rc;
}

/* TG_EAGAIN: one of the two sockets tells when it goes on; TG_OK: more next turn; TG_EEOF: the
 * client has ended and all it sent is upstream. */
static enum tg_rc pump_up(struct tunnel *t)
{
    char chunk[CHUNK];
    enum tg_rc rc = flush_up(t);

    for (int i = 0; rc == TG_OK && i < ROUNDS; i++) {
        size_t n = 0;

        if (t->client_ended) {
            return TG_EEOF;
        }
        rc = tg_conn_raw_read(t->conn, chunk, sizeof(chunk), &n);
        if (rc == TG_EEOF) {
            t->client_ended = true;
            tg_tunnel_shutdown(t->up);
            return TG_EEOF;
        }
        if (rc == TG_OK) {
            rc = send_up(t, tg_str_make(chunk, n));
            rc = t->to_up.n > 0 && rc == TG_OK ? TG_EAGAIN : rc;
        }
    }
    return rc;
}

/* ---- bytes to the client ---- */

static enum tg_rc write_down(struct tunnel *t, tg_str bytes, size_t *ret_n)
{
    enum tg_rc rc = TG_OK;

    *ret_n = 0;
    while (rc == TG_OK && *ret_n < bytes.n) {
        tg_str rest = tg_str_skip(bytes, *ret_n);
        struct iovec iov = {.iov_len = rest.n};
        size_t n = 0;

        /* sendmsg() does not write there; its struct has no const. */
        memcpy(&iov.iov_base, &rest.p, sizeof(rest.p));
        rc = tg_conn_raw_write(t->conn, &iov, 1, &n);
        *ret_n += rc == TG_OK ? n : 0;
    }
    t->n_out += *ret_n;
    return rc;
}

static enum tg_rc flush_down(struct tunnel *t)
{
    size_t n = 0;
    enum tg_rc rc = write_down(t, tg_buf_view(&t->down), &n);

    tg_buf_consume(&t->down, n);
    if (t->down.n == 0) {
        tg_buf_fini(&t->down);
        tg_buf_init(&t->down, CHUNK);
    }
    return rc;
}

static enum tg_rc pump_down(struct tunnel *t)
{
    char chunk[CHUNK];
    enum tg_rc rc = flush_down(t);

    for (int i = 0; rc == TG_OK && i < ROUNDS; i++) {
        size_t n = 0;
        size_t n_sent = 0;

        if (t->up_ended) {
            return TG_EEOF;
        }
        rc = tg_tunnel_read(t->up, chunk, sizeof(chunk), &n);
        if (rc == TG_EEOF) {
            t->up_ended = true;
            tg_conn_raw_shutdown(t->conn);
            return TG_EEOF;
        }
        if (rc == TG_OK) {
            t->last = tg_loop_now(t->w->loop);
            rc = write_down(t, tg_str_make(chunk, n), &n_sent);
            (void)tg_buf_append(&t->down, chunk + n_sent, n - n_sent);
        }
    }
    return rc;
}

static bool is_broken(enum tg_rc rc)
{
    return rc != TG_OK && rc != TG_EAGAIN && rc != TG_EEOF;
}

/* Both directions, as far as they go. True: they go on next turn. */
static bool pump_rounds(struct tunnel *t)
{
    enum tg_rc up = TG_OK;
    enum tg_rc down = TG_OK;

    if (t->conn == NULL || t->up == NULL || t->why != NULL) {
        return false;
    }
    up = pump_up(t);
    down = pump_down(t);
    if (is_broken(up) || is_broken(down)) {
        close_both(t, up == TG_ECLOSED || down == TG_ECLOSED ? "client" : "upstream");
    } else if (up == TG_EEOF && down == TG_EEOF) {
        close_both(t, "ended");
    }
    return t->why == NULL && (up == TG_OK || down == TG_OK);
}

static void pump(struct tunnel *t)
{
    if (pump_rounds(t)) {
        tg_loop_task_start(t->w->loop, &t->more);
    }
}

static bool on_more(struct tg_task *task)
{
    return pump_rounds(TG_CONTAINER_OF(task, struct tunnel, more));
}

static void on_raw_ready(struct tg_conn *c, unsigned events, void *ctx)
{
    (void)c;
    (void)events;
    pump(ctx);
}

static void on_raw_close(struct tg_conn *c, void *ctx)
{
    struct tunnel *t = ctx;

    (void)c;
    t->conn = NULL;
    close_both(t, "client");
    free_when_over(t);
}

/* ---- upstream's answer ---- */

static void put_switch(struct tg_buf *out, const struct tunnel *t, struct tg_fields fields)
{
    (void)tg_buf_str(out, TG_STR("HTTP/1.1 101 "));
    (void)tg_buf_str(out, t->reply.reason);
    (void)tg_buf_str(out, TG_STR("\r\n"));
    for (size_t i = 0; i < fields.n; i++) {
        (void)tg_buf_str(out, fields.v[i].name);
        (void)tg_buf_str(out, TG_STR(": "));
        (void)tg_buf_str(out, fields.v[i].value);
        (void)tg_buf_str(out, TG_STR("\r\n"));
    }
    (void)tg_buf_str(out, TG_STR("\r\n"));
}

static void switch_protocols(struct tunnel *t, struct tg_fields fields)
{
    static const struct tg_raw_handler raw = {on_raw_ready, on_raw_close};
    TG_CLEANUP(tg_buf_fini) struct tg_buf head = {.max = HEAD_ROOM};
    tg_str early = TG_STR_NONE;

    put_switch(&head, t, fields);
    if (tg_buf_rc(&head) != TG_OK ||
        tg_conn_go_raw(t->conn, tg_buf_view(&head), false, &raw, t, &early) != TG_OK) {
        close_both(t, "client");
        return;
    }
    t->state = OPEN;
    t->is_raw = true;
    tg_buf_consume(&t->down, t->reply.bytes);
    tg_count_add(&t->w->counts.tunnels, 1);
    tg_loop_timer_start(t->w->loop, &t->timer, t->ends_at == 0 ? IDLE_TIME : 0);
    /* Bytes that the client sent behind its request; on_ready follows in any case. */
    if (early.n > 0 && (early.n > CHUNK || is_broken(send_up(t, early)))) {
        close_both(t, "client");
    }
}

/* Its answer goes on as it comes. */
static void pump_answer(struct tunnel *t)
{
    tg_str in = tg_buf_view(&t->down);
    tg_str piece = TG_STR_NONE;
    enum tg_rc rc = TG_OK;

    while (rc == TG_OK) {
        rc = tg_reply_body(&t->reply, &in, &piece);
        if (rc == TG_OK && tg_conn_write(t->conn, piece) == TG_EAGAIN) {
            break; /* on_drain goes on */
        }
    }
    tg_buf_consume(&t->down, t->down.n - in.n);
    if (rc == TG_EEOF || (rc == TG_EAGAIN && t->up_ended && tg_reply_may_end(&t->reply))) {
        tg_conn_end(t->conn);
        close_both(t, "refused");
    } else if (rc == TG_EUPSTREAM || (rc == TG_EAGAIN && t->up_ended)) {
        fail(t, TG_EUPSTREAM);
    }
}

static void begin_answer(struct tunnel *t)
{
    struct tg_proxy_in in = t->in;
    struct tg_answer a = {.status = t->reply.status, .reason = t->reply.reason, .close = true};
    bool is_bodyless = t->reply.status == 204 || t->reply.status == 304;

    in.is_upgrade = false; /* what it says of connections is between us two */
    a.fields =
        tg_proxy_response(&t->x->req->arena, &in, t->x->origin, t->reply.fields, t->reply.n_fields);
    a.length = is_bodyless            ? TG_LENGTH_NONE
               : t->reply.length >= 0 ? t->reply.length
                                      : TG_LENGTH_UNKNOWN;
    t->state = REFUSED;
    (void)tg_conn_begin(t->conn, &a);
    tg_buf_consume(&t->down, t->reply.bytes);
}

static void see_answer(struct tunnel *t)
{
    struct tg_arena *arena = &t->x->req->arena;
    enum tg_rc rc = tg_reply_scan(arena, tg_buf_view(&t->down), &t->reply);

    while (rc == TG_OK && t->reply.status < 200 && t->reply.status != 101) {
        tg_buf_consume(&t->down, t->reply.bytes);
        rc = tg_reply_scan(arena, tg_buf_view(&t->down), &t->reply);
    }
    if (rc == TG_OK && t->reply.status == 101) {
        switch_protocols(
            t, tg_proxy_response(arena, &t->in, t->x->origin, t->reply.fields, t->reply.n_fields));
    } else if (rc == TG_OK) {
        begin_answer(t);
    } else if (rc != TG_EAGAIN || t->up_ended) {
        fail(t, TG_EUPSTREAM);
    }
}

/* Reads what there is, up to the bound of the buffer. */
static void read_answer(struct tunnel *t)
{
    char chunk[CHUNK];
    enum tg_rc rc = TG_OK;

    while (t->why == NULL && t->state != OPEN && t->conn != NULL) {
        size_t n = 0;
        size_t room = t->down.max - t->down.n;

        rc = room == 0 ? TG_EAGAIN : tg_tunnel_read(t->up, chunk, TG_MIN(room, sizeof(chunk)), &n);
        if (rc == TG_EAGAIN) {
            return;
        }
        if (rc != TG_OK && rc != TG_EEOF) {
            fail(t, rc);
            return;
        }
        t->up_ended = rc == TG_EEOF;
        t->last = tg_loop_now(t->w->loop);
        (void)tg_buf_append(&t->down, chunk, n);
        if (t->state == ASKING) {
            see_answer(t);
        }
        if (t->state == REFUSED && t->why == NULL) {
            pump_answer(t);
        }
        if (rc == TG_EEOF) {
            return;
        }
    }
}

/* ---- upstream's socket ---- */

static void send_ask(struct tunnel *t)
{
    size_t n = 0;
    tg_str rest = tg_str_skip(tg_buf_view(&t->ask), t->asked);
    enum tg_rc rc = tg_tunnel_write(t->up, rest, &n);

    t->asked += n;
    if (rc != TG_OK && rc != TG_EAGAIN) {
        fail(t, rc);
    }
}

static void on_up_open(struct tg_tunnel *up, void *ctx)
{
    (void)up;
    send_ask(ctx);
}

static void on_up_readable(struct tg_tunnel *up, void *ctx)
{
    struct tunnel *t = ctx;

    (void)up;
    if (t->state == OPEN) {
        pump(t);
    } else {
        read_answer(t);
    }
}

static void on_up_writable(struct tg_tunnel *up, void *ctx)
{
    struct tunnel *t = ctx;

    (void)up;
    if (t->state == OPEN) {
        pump(t);
    } else if (t->why == NULL) {
        send_ask(t);
    }
}

static void on_up_close(struct tg_tunnel *up, enum tg_rc rc, void *ctx)
{
    struct tunnel *t = ctx;

    (void)up;
    t->up = NULL;
    if (t->why == NULL) {
        fail(t, rc);
    }
    free_when_over(t);
}

/* ---- the request ---- */

static void on_drain(struct tg_conn *c, void *ctx)
{
    struct tunnel *t = ctx;

    (void)c;
    if (t->state == REFUSED && t->why == NULL && t->up != NULL) {
        pump_answer(t);
        read_answer(t);
    }
}

/* The request is over: with a 101 the connection goes on as a raw one. */
static void on_gone(struct tg_conn *c, enum tg_rc why, void *ctx)
{
    struct tunnel *t = ctx;

    (void)c;
    (void)why;
    t->x = NULL;
    if (!t->is_raw) {
        t->conn = NULL;
        close_both(t, "client");
        free_when_over(t);
    }
}

static void put_ask(struct tunnel *t, const struct tg_proxy_out *out)
{
    (void)tg_buf_str(&t->ask, t->in.head->method_text);
    (void)tg_buf_char(&t->ask, ' ');
    (void)tg_buf_str(&t->ask, out->target);
    (void)tg_buf_str(&t->ask, TG_STR(" HTTP/1.1\r\n"));
    for (size_t i = 0; i < out->n; i++) {
        (void)tg_buf_str(&t->ask, out->fields[i].name);
        (void)tg_buf_str(&t->ask, TG_STR(": "));
        (void)tg_buf_str(&t->ask, out->fields[i].value);
        (void)tg_buf_str(&t->ask, TG_STR("\r\n"));
    }
    (void)tg_buf_str(&t->ask, TG_STR("\r\n"));
}

bool tg_tunnel_is_upgrade(const struct tg_head *head)
{
    return head->method == TG_GET && head->minor == 1 && head->body == TG_BODY_NONE &&
           tg_fields_has_token(head->fields, TG_STR("Connection"), TG_STR("upgrade")) &&
           tg_fields_has_token(head->fields, TG_STR("Upgrade"), TG_STR("websocket"));
}

static struct tunnel *create(struct tg_exchange *x)
{
    struct tunnel *t = TG_NEW(struct tunnel);

    t->w = x->w;
    t->conn = x->conn;
    t->x = x;
    t->started = tg_loop_now(x->w->loop);
    t->last = t->started;
    tg_list_append(&t->w->tunnels, &t->node);
    memcpy(t->id, x->id.p, x->id.n);
    tg_timer_init(&t->timer, on_timer);
    tg_task_init(&t->more, on_more);
    /* A client's head is bounded already; what we add to it is small. */
    tg_buf_init(&t->ask, 2 * x->req->head.bytes + ASK_ROOM);
    tg_buf_init(&t->down, TG_REPLY_MAX_BYTES);
    tg_buf_init(&t->to_up, CHUNK);
    t->in = (struct tg_proxy_in){
        .opts = x->w->opts,
        .service = TG_SERVICE_REALTIME,
        .head = &x->req->head,
        .target = x->target,
        .path = x->path,
        .query = x->query,
        .id = x->id,
        .peer = {tg_conn_peer(x->conn), tg_conn_peer_is_trusted(x->conn)},
        .is_upgrade = true,
    };
    return t;
}

void tg_tunnel_start(struct tg_exchange *x)
{
    static const struct tg_request_handler request = {.on_drain = on_drain, .on_gone = on_gone};
    static const struct tg_tunnel_handler upstream = {on_up_open, on_up_readable, on_up_writable,
                                                      on_up_close};
    struct tunnel *t = create(x);
    struct tg_proxy_out out = {0};
    enum tg_rc rc = tg_proxy_request(&x->req->arena, &t->in, &out);

    tg_conn_set_handler(x->conn, &request, t);
    tg_conn_park(x->conn);
    if (rc == TG_OK) {
        put_ask(t, &out);
        rc = tg_buf_rc(&t->ask);
    }
    if (rc == TG_OK) {
        rc = tg_tunnel_open(t->w->upstream, &upstream, t, &t->up);
    }
    if (rc != TG_OK) {
        t->why = "refused";
        tg_exchange_refuse(x, rc, TG_STR(""), TG_STR(""));
        return;
    }
    tg_loop_timer_start(t->w->loop, &t->timer, ANSWER_TIME);
}

void tg_tunnel_drain(struct tg_worker *w, tg_usec spread)
{
    tg_usec now = tg_loop_now(w->loop);

    for (struct tg_list *at = w->tunnels.next; at != &w->tunnels; at = at->next) {
        struct tunnel *t = TG_CONTAINER_OF(at, struct tunnel, node);

        if (t->why == NULL) {
            /* An id's hash is as good as chance, and differs from tunnel to tunnel. */
            tg_usec after = spread == 0 ? 0 : tg_hash(tg_str_of(t->id)) % spread;

            t->ends_at = now + after;
            tg_loop_timer_start(w->loop, &t->timer, after);
        }
    }
}
