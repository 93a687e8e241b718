/* tunnel.c - one client connection beside one raw upstream connection.
 *
 *   ASKING --head: 101--> OPEN (raw both ways) --> closed
 *      `-----other-----> REFUSED (an ordinary answer) --> closed
 *
 * Lives until both sides have made their last call. */
#include "handlers/tunnel.h"

#include <stdlib.h>

#include "handlers/proxy.h"
#include "handlers/proxy_response.h"
#include "handlers/tunnel_int.h"
#include "util/log.h"
#include "util/map.h"

enum {
    ASK_ROOM = 2 * TUNNEL_CHUNK, /* what a client's head may grow by */
    HEAD_ROOM = 2 * TG_REPLY_MAX_BYTES,
};

#define ANSWER_TIME TG_SEC(30)
#define IDLE_TIME TG_SEC(120)

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
void tunnel_close_both(struct tunnel *t, const char *why)
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
    tunnel_close_both(t, "upstream");
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
        tunnel_close_both(t, t->ends_at != 0 ? "drain" : "idle");
    } else {
        fail(t, TG_EGATEWAYTIME);
    }
}

/* ---- the raw connection ---- */

static void on_raw_ready(struct tg_conn *c, unsigned events, void *ctx)
{
    (void)c;
    (void)events;
    tunnel_pump(ctx);
}

static void on_raw_close(struct tg_conn *c, void *ctx)
{
    struct tunnel *t = ctx;

    (void)c;
    t->conn = NULL;
    tunnel_close_both(t, "client");
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
        tunnel_close_both(t, "client");
        return;
    }
    t->state = OPEN;
    t->is_raw = true;
    tg_buf_consume(&t->down, t->reply.bytes);
    tg_count_add(&t->w->counts.tunnels, 1);
    tg_loop_timer_start(t->w->loop, &t->timer, t->ends_at == 0 ? IDLE_TIME : 0);
    /* Bytes that the client sent behind its request; on_ready follows in any case. */
    if (early.n > 0 && (early.n > TUNNEL_CHUNK || tunnel_is_broken(tunnel_send_up(t, early)))) {
        tunnel_close_both(t, "client");
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
        tunnel_close_both(t, "refused");
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
    char chunk[TUNNEL_CHUNK];
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
        tunnel_pump(t);
    } else {
        read_answer(t);
    }
}

static void on_up_writable(struct tg_tunnel *up, void *ctx)
{
    struct tunnel *t = ctx;

    (void)up;
    if (t->state == OPEN) {
        tunnel_pump(t);
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
        tunnel_close_both(t, "client");
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
    tg_task_init(&t->more, tunnel_on_more);
    /* A client's head is bounded already; what we add to it is small. */
    tg_buf_init(&t->ask, 2 * x->req->head.bytes + ASK_ROOM);
    tg_buf_init(&t->down, TG_REPLY_MAX_BYTES);
    tg_buf_init(&t->to_up, TUNNEL_CHUNK);
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
