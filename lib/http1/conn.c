/* conn.c - the states of a connection, and the only place that moves them.
 *
 * Invariants: `x` exists exactly in REQUEST and DROP. A handler is called only from
 * tg_conn_advance() (or the kill that ends all), with nothing of this file further up the
 * stack but that one call. */
#include "http1/conn.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "http1/conn_int.h"
#include "http1/proxyproto.h"

static const tg_usec never = UINT64_MAX;
static const tg_usec linger_time = TG_SEC(2);

/* ---- exchanges ---- */

/* Slices of the scanned head, moved to where the head now lives. */
static tg_str moved(tg_str s, const char *from, const char *to)
{
    return s.p == NULL ? s : tg_str_make(to + (s.p - from), s.n);
}

static void copy_head(struct tg_exchange *x, const struct tg_head *head, const char *from)
{
    size_t fields_bytes = head->fields.n * sizeof(struct tg_field);
    size_t need = fields_bytes + head->bytes;
    struct tg_field *v = NULL;
    char *to = NULL;

    if (need > TG_CONN_EXCHANGE - sizeof(*x)) {
        x->big = tg_malloc(need);
    }
    v = (struct tg_field *)(void *)(x->big != NULL ? x->big : x->store);
    to = (char *)(void *)v + fields_bytes;
    memcpy(to, from, head->bytes);
    for (size_t i = 0; i < head->fields.n; i++) {
        v[i].name = moved(head->fields.v[i].name, from, to);
        v[i].value = moved(head->fields.v[i].value, from, to);
    }
    x->req.head = *head;
    x->req.head.method_text = moved(head->method_text, from, to);
    x->req.head.target = moved(head->target, from, to);
    x->req.head.host = moved(head->host, from, to);
    x->req.head.fields.v = v;
}

static struct tg_exchange *exchange_create(struct tg_conn *c)
{
    struct tg_exchange *x = tg_pool_get(&c->server->exchanges);

    memset(x, 0, sizeof(*x));
    x->req.number = ++c->n_requests;
    x->req.started = c->first_byte;
    c->x = x;
    c->state = TG_CONN_REQUEST;
    c->wait = TG_WAIT_NOTHING;
    return x;
}

/* The handler's last call. */
static void tell_gone(struct tg_conn *c, enum tg_rc why)
{
    struct tg_exchange *x = c->x;

    if (x->gone) {
        return;
    }
    x->gone = true;
    if (x->h != NULL) {
        x->h->on_gone(c, why, x->ctx);
        x->h = NULL;
    }
    tg_arena_drop(&x->req.arena);
}

static void exchange_drop(struct tg_conn *c)
{
    struct tg_exchange *x = c->x;

    TG_ASSERT(x->gone);
    free(x->big);
    tg_pool_put(&c->server->exchanges, x);
    c->x = NULL;
}

/* ---- closing ---- */

static void free_conn(void *arg)
{
    struct tg_conn *c = arg;

    c->magic = 0;
    free(c);
}

void tg_conn_kill(struct tg_conn *c)
{
    struct tg_http_server *s = c->server;
    bool was_raw = c->state == TG_CONN_RAW;

    if (c->state == TG_CONN_CLOSED) {
        return;
    }
    if (c->x != NULL) {
        tell_gone(c, TG_ECLOSED);
        exchange_drop(c);
    }
    c->state = TG_CONN_CLOSED;
    if (was_raw) {
        c->raw->on_close(c, c->raw_ctx);
    }
    tg_watch_close(s->loop, &c->watch);
    tg_loop_timer_stop(s->loop, &c->timer);
    tg_list_remove(&c->todo);
    tg_iobuf_drop(&s->buffers, &c->in);
    tg_iobuf_drop(&s->buffers, &c->out);
    tg_http_server_forget(s, c);
    tg_loop_defer(s->loop, free_conn, c);
}

/* Everything the client must read has been handed to the kernel. If it may still be sending,
 * a close would answer its bytes with RST, which destroys what it has not read yet. */
static void linger(struct tg_conn *c)
{
    if (c->x != NULL) {
        exchange_drop(c);
    }
    tg_iobuf_drop(&c->server->buffers, &c->in);
    (void)shutdown(c->watch.fd, SHUT_WR);
    c->state = TG_CONN_LINGER;
}

static bool step_linger(struct tg_conn *c)
{
    enum tg_rc rc = tg_conn_fill(c, TG_CONN_SCRATCH);

    if (rc == TG_OK) {
        tg_iobuf_drop(&c->server->buffers, &c->in);
        return true;
    }
    if (rc != TG_EAGAIN) {
        tg_conn_kill(c);
    }
    return false;
}

static void cut(struct tg_conn *c)
{
    if (c->x != NULL && c->x->reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};

        (void)setsockopt(c->watch.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    }
    tg_conn_kill(c);
}

/* ---- requests ---- */

void tg_conn_refuse(struct tg_conn *c, enum tg_rc rc, const struct tg_head *head)
{
    struct tg_http_server *s = c->server;
    struct tg_exchange *x = c->x;

    /* The refused request's exchange serves its refusal. */
    if (x == NULL) {
        x = exchange_create(c);
    }
    x->gone = false;
    x->failed = TG_OK;
    x->is_refusal = true;
    x->paused = true;
    x->req.head.keep_alive = false;
    x->req.head.minor = 1;
    tg_count_add(rc == TG_ETIMEDOUT ? &s->counts.timeouts : &s->counts.bad_requests, 1);
    if (s->opts.on_refuse != NULL) {
        s->opts.on_refuse(c, rc, head, s->opts.arg);
    }
    if (c->state == TG_CONN_REQUEST && !x->begun) {
        tg_conn_answer_plain(c, tg_rc_status(rc));
    }
}

static void start_request(struct tg_conn *c, const struct tg_head *head)
{
    struct tg_http_server *s = c->server;
    struct tg_exchange *x = exchange_create(c);

    copy_head(x, head, c->in.p + c->in.off);
    tg_iobuf_skip(&c->in, head->bytes);
    tg_body_init(x, s->opts.head.body_bytes);
    c->resume = 0;
    s->budget -= s->budget != 0 ? 1U : 0U;
    tg_count_add(&s->counts.requests, 1);
    s->opts.on_request(c, &x->req, s->opts.arg);
    TG_ASSERT(c->state != TG_CONN_REQUEST || x->h != NULL || x->ended || x->failed != TG_OK);
}

static bool is_out_of_budget(struct tg_conn *c)
{
    struct tg_http_server *s = c->server;

    if (s->budget != 0) {
        return false;
    }
    if (tg_list_empty(&c->todo)) {
        tg_list_append(&s->more, &c->todo);
        tg_loop_task_start(s->loop, &s->more_task);
    }
    return true;
}

/* Bytes for the head, or what their absence means. */
static bool fill_head(struct tg_conn *c)
{
    bool has_begun = c->in.n != 0;
    enum tg_rc rc = tg_conn_fill(c, c->server->opts.head.head_bytes);

    if (rc == TG_OK) {
        if (!has_begun) {
            c->first_byte = tg_loop_now(c->server->loop);
        }
        return true;
    }
    if (rc == TG_EEOF && has_begun) {
        tg_conn_refuse(c, TG_EBADREQ, NULL);
        return true;
    }
    if (rc != TG_EAGAIN) {
        tg_conn_kill(c);
    }
    return false;
}

static bool step_head(struct tg_conn *c)
{
    struct tg_http_server *s = c->server;
    struct tg_head head;
    enum tg_rc rc = TG_OK;

    if (c->in.n == 0) {
        if (s->is_draining) {
            tg_conn_kill(c);
            return false;
        }
        return fill_head(c);
    }
    if (is_out_of_budget(c)) {
        return false;
    }
    rc = tg_head_scan(tg_iobuf_view(&c->in), &c->resume, &s->opts.head, s->fields, &head);
    if (rc == TG_EAGAIN) {
        return fill_head(c);
    }
    if (rc == TG_OK) {
        start_request(c, &head);
    } else {
        tg_conn_refuse(c, rc, NULL);
    }
    return true;
}

/* RFC: whoever may send a PROXY header must. */
static bool step_proxy(struct tg_conn *c)
{
    struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
    size_t used = 0;
    enum tg_rc rc = tg_proxyproto_read(tg_iobuf_view(&c->in), &used, &from);

    if (rc == TG_OK) {
        tg_iobuf_skip(&c->in, used);
        if (from.ss_family != AF_UNSPEC) {
            tg_conn_set_peer(c, &from);
        }
        c->state = TG_CONN_HEAD;
        return true;
    }
    if (rc == TG_EAGAIN) {
        rc = tg_conn_fill(c, TG_PROXYPROTO_MAX);
        if (rc == TG_OK || rc == TG_EAGAIN) {
            return rc == TG_OK;
        }
        tg_conn_kill(c);
        return false;
    }
    tg_conn_refuse(c, TG_EBADREQ, NULL);
    return true;
}

/* ---- a request's steps ---- */

/* The client has ended, or failed, while the request runs. */
static void see_hangup(struct tg_conn *c)
{
    if (c->x->is_parked || tg_conn_is_dead(c)) {
        c->x->failed = TG_ECLOSED;
    }
}

/* Next piece of the body: from `in`, or else from the socket. */
static enum tg_rc pull_body(struct tg_conn *c, tg_str *ret_piece)
{
    enum tg_rc rc = tg_body_next(c, ret_piece);

    if (rc == TG_EAGAIN) {
        rc = tg_conn_fill(c, TG_CONN_SCRATCH);
        if (rc == TG_OK) {
            *ret_piece = TG_STR_NONE;
        } else if (rc == TG_EEOF) {
            rc = TG_EBADREQ; /* RFC 9112 8: an incomplete message */
        }
    } else if (rc == TG_EEOF) {
        rc = TG_OK; /* body_done tells */
    }
    return rc;
}

/* True: something happened. */
static bool step_body(struct tg_conn *c)
{
    struct tg_exchange *x = c->x;
    tg_str piece = TG_STR_NONE;
    enum tg_rc rc = TG_OK;

    if (x->body_done) {
        if (x->told_end || x->ended || x->is_refusal) {
            return false;
        }
        x->told_end = true;
        if (x->h != NULL && x->h->on_body_end != NULL) {
            x->h->on_body_end(c, x->ctx);
        }
        return true;
    }
    /* Once the answer is whole, DROP sees to the rest. */
    if (x->paused || x->ended) {
        return false;
    }
    rc = pull_body(c, &piece);
    if (rc == TG_EAGAIN) {
        return false;
    }
    if (rc != TG_OK) {
        x->failed = rc;
    } else if (piece.n != 0 && x->h != NULL && x->h->on_body != NULL) {
        x->h->on_body(c, piece, x->ctx);
    }
    return true;
}

static bool step_out(struct tg_conn *c)
{
    struct tg_exchange *x = c->x;

    if (c->out.n != 0 && tg_conn_flush(c) == TG_ECLOSED) {
        x->failed = TG_ECLOSED;
        return true;
    }
    if (x->want_drain && c->out.n <= c->server->opts.max_backlog / 2) {
        x->want_drain = false;
        if (!x->ended && x->h != NULL && x->h->on_drain != NULL) {
            x->h->on_drain(c, x->ctx);
            return true;
        }
    }
    return false;
}

/* The answer has left. */
static void end_request(struct tg_conn *c)
{
    struct tg_exchange *x = c->x;
    bool closes = x->close;

    tell_gone(c, TG_OK);
    if (c->state != TG_CONN_REQUEST) {
        return;
    }
    if (closes) {
        if (x->body_done && !x->is_refusal && c->in.n == 0 && !c->readable) {
            tg_conn_kill(c);
        } else {
            linger(c);
        }
    } else if (!x->body_done) {
        c->state = TG_CONN_DROP;
    } else {
        exchange_drop(c);
        c->state = TG_CONN_HEAD;
        c->first_byte = tg_loop_now(c->server->loop);
    }
}

static bool is_clients_fault(enum tg_rc rc)
{
    return rc == TG_EBADREQ || rc == TG_EBODYSIZE || rc == TG_EHEADSIZE || rc == TG_ETIMEDOUT;
}

static void fail_request(struct tg_conn *c)
{
    struct tg_exchange *x = c->x;
    enum tg_rc why = x->failed;

    tell_gone(c, why);
    if (c->state != TG_CONN_REQUEST) {
        return;
    }
    if (!x->begun && is_clients_fault(why)) {
        tg_conn_refuse(c, why, &x->req.head);
        return;
    }
    if (why == TG_ECANCELED && !x->reset) {
        (void)tg_conn_flush(c);
    }
    cut(c);
}

static bool step_request(struct tg_conn *c)
{
    struct tg_exchange *x = c->x;

    TG_ASSERT(x != NULL);
    if (c->hup && x->failed == TG_OK) {
        see_hangup(c);
    }
    if (x->failed != TG_OK) {
        fail_request(c);
        return true;
    }
    if (step_out(c) || step_body(c)) {
        return true;
    }
    if (x->ended && c->out.n == 0 && x->failed == TG_OK) {
        end_request(c);
        return true;
    }
    return x->failed != TG_OK;
}

static bool step_drop(struct tg_conn *c)
{
    struct tg_exchange *x = c->x;
    tg_str piece = TG_STR_NONE;
    enum tg_rc rc = TG_OK;

    TG_ASSERT(x != NULL);
    rc = pull_body(c, &piece);
    if (rc == TG_EAGAIN) {
        return false;
    }
    if (rc == TG_ECLOSED) {
        tg_conn_kill(c);
        return false;
    }
    x->dropped += piece.n;
    if (rc != TG_OK || x->dropped > c->server->opts.max_drop_bytes) {
        linger(c);
    } else if (x->body_done) {
        exchange_drop(c);
        c->state = TG_CONN_HEAD;
        c->first_byte = tg_loop_now(c->server->loop);
    }
    return true;
}

/* ---- raw ---- */

static bool step_raw(struct tg_conn *c)
{
    unsigned events = c->raw_events;
    enum tg_rc rc = tg_conn_flush(c);

    if (c->x != NULL) {
        tell_gone(c, TG_OK);
        exchange_drop(c);
        return true;
    }
    if (rc == TG_ECLOSED) {
        events |= TG_HANGUP;
        tg_iobuf_drop(&c->server->buffers, &c->out);
    } else if (rc == TG_OK && c->shut_wanted) {
        c->shut_wanted = false;
        (void)shutdown(c->watch.fd, SHUT_WR);
    }
    if (c->is_closing) {
        tg_conn_kill(c);
        return false;
    }
    if (events == 0) {
        return false;
    }
    c->raw_events = 0;
    c->raw->on_ready(c, events, c->raw_ctx);
    return c->is_closing;
}

/* ---- the machine ---- */

static bool step(struct tg_conn *c)
{
    switch ((enum tg_conn_state)c->state) {
    case TG_CONN_PROXY:
        return step_proxy(c);
    case TG_CONN_HEAD:
        return step_head(c);
    case TG_CONN_REQUEST:
        return step_request(c);
    case TG_CONN_DROP:
        return step_drop(c);
    case TG_CONN_LINGER:
        return step_linger(c);
    case TG_CONN_RAW:
        return step_raw(c);
    case TG_CONN_CLOSED:
        return false;
    }
    TG_UNREACHABLE();
}

static enum tg_conn_wait wait_of(const struct tg_conn *c)
{
    switch ((enum tg_conn_state)c->state) {
    case TG_CONN_PROXY:
        return TG_WAIT_HEAD;
    case TG_CONN_HEAD:
        return c->in.n == 0 ? TG_WAIT_IDLE : TG_WAIT_HEAD;
    case TG_CONN_REQUEST:
        if (c->out.n != 0) {
            return TG_WAIT_SEND;
        }
        return c->x->body_done || c->x->paused ? TG_WAIT_NOTHING : TG_WAIT_BODY;
    case TG_CONN_DROP:
        return TG_WAIT_BODY;
    case TG_CONN_LINGER:
        return TG_WAIT_LINGER;
    case TG_CONN_RAW:
    case TG_CONN_CLOSED:
        return TG_WAIT_NOTHING;
    }
    TG_UNREACHABLE();
}

static tg_usec time_for(const struct tg_http_opts *o, enum tg_conn_wait wait)
{
    switch (wait) {
    case TG_WAIT_NOTHING:
        return never;
    case TG_WAIT_IDLE:
        return o->idle_timeout;
    case TG_WAIT_HEAD:
        return o->head_timeout;
    case TG_WAIT_BODY:
        return o->body_timeout;
    case TG_WAIT_SEND:
        return o->send_timeout;
    case TG_WAIT_LINGER:
        return linger_time;
    }
    TG_UNREACHABLE();
}

/* A timer that is on and early enough stays: it starts itself again. So a request on a live
 * connection touches no timer. */
static void arm(struct tg_conn *c)
{
    struct tg_http_server *s = c->server;

    if (c->deadline == never) {
        return;
    }
    if (!tg_timer_is_on(&c->timer) || c->timer.due * TG_WHEEL_TICK_US > c->deadline + TG_MS(20)) {
        tg_usec now = tg_loop_now(s->loop);

        tg_loop_timer_start(s->loop, &c->timer, c->deadline > now ? c->deadline - now : 0);
    }
}

static void set_deadline(struct tg_conn *c)
{
    enum tg_conn_wait wait = wait_of(c);
    /* A head and a linger have their time as a whole, the others from byte to byte. */
    bool renews = wait == TG_WAIT_BODY || wait == TG_WAIT_SEND || wait == TG_WAIT_IDLE;

    if (wait != c->wait || (renews && c->moved)) {
        tg_usec time = time_for(&c->server->opts, wait);

        c->wait = (uint8_t)wait;
        c->deadline = time == never ? never : tg_loop_now(c->server->loop) + time;
        arm(c);
    }
    c->moved = false;
}

/* Bytes that wait become the connection's own; empty buffers go back. */
static void settle(struct tg_conn *c)
{
    struct tg_pool *buffers = &c->server->buffers;

    if (c->state == TG_CONN_CLOSED) {
        return;
    }
    if (c->in.n == 0) {
        tg_iobuf_drop(buffers, &c->in);
    } else if (c->in.cap == 0) {
        (void)tg_iobuf_room(buffers, &c->in, 0);
    }
    if (c->out.n == 0) {
        tg_iobuf_drop(buffers, &c->out);
    }
    set_deadline(c);
}

void tg_conn_advance(struct tg_conn *c)
{
    TG_CHECK(c, TG_CONN_MAGIC);
    TG_ASSERT(!c->is_busy);
    c->server->budget = TG_CONN_BUDGET;
    c->is_busy = true;
    while (step(c)) {
    }
    c->is_busy = false;
    settle(c);
}

static void run_kicked(void *arg)
{
    struct tg_http_server *s = arg;

    s->is_kick_deferred = false;
    while (!tg_list_empty(&s->kicked)) {
        struct tg_conn *c = TG_CONTAINER_OF(s->kicked.next, struct tg_conn, todo);

        tg_list_remove(&c->todo);
        tg_conn_advance(c);
    }
}

void tg_conn_kick(struct tg_conn *c)
{
    struct tg_http_server *s = c->server;

    if (c->is_busy || c->state == TG_CONN_CLOSED) {
        return;
    }
    tg_list_remove(&c->todo);
    tg_list_append(&s->kicked, &c->todo);
    if (!s->is_kick_deferred) {
        s->is_kick_deferred = true;
        tg_loop_defer(s->loop, run_kicked, s);
    }
}

static void on_event(struct tg_watch *w, unsigned events)
{
    struct tg_conn *c = TG_CONTAINER_OF(w, struct tg_conn, watch);

    c->readable |= (events & (TG_READABLE | TG_HANGUP)) != 0;
    c->writable |= (events & TG_WRITABLE) != 0;
    c->hup |= (events & TG_HANGUP) != 0;
    c->raw_events |= (uint8_t)events;
    tg_conn_advance(c);
}

static void on_timeout(struct tg_timer *timer)
{
    struct tg_conn *c = TG_CONTAINER_OF(timer, struct tg_conn, timer);
    tg_usec now = tg_loop_now(c->server->loop);

    if (c->deadline > now) {
        arm(c);
        return;
    }
    switch ((enum tg_conn_wait)c->wait) {
    case TG_WAIT_NOTHING:
        return;
    case TG_WAIT_HEAD:
        tg_conn_refuse(c, TG_ETIMEDOUT, NULL);
        break;
    case TG_WAIT_BODY:
    case TG_WAIT_SEND:
        if (c->state == TG_CONN_REQUEST) {
            c->x->failed = TG_ETIMEDOUT;
            break;
        }
        tg_conn_kill(c);
        return;
    case TG_WAIT_IDLE:
    case TG_WAIT_LINGER:
        tg_conn_kill(c);
        return;
    }
    tg_conn_advance(c);
}

/* ---- life ---- */

void tg_conn_set_peer(struct tg_conn *c, const struct sockaddr_storage *peer)
{
    const struct tg_http_opts *o = &c->server->opts;
    const void *address = NULL;

    if (peer->ss_family == AF_INET) {
        address = &((const struct sockaddr_in *)(const void *)peer)->sin_addr;
    } else if (peer->ss_family == AF_INET6) {
        address = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
    }
    c->peer[0] = '\0';
    if (address != NULL) {
        (void)inet_ntop(peer->ss_family, address, c->peer, sizeof(c->peer));
    }
    c->peer_n = (uint8_t)strlen(c->peer);
    c->is_trusted = o->is_trusted != NULL && o->is_trusted(peer, o->arg);
}

struct tg_conn *tg_conn_create(struct tg_http_server *s, int fd,
                               const struct sockaddr_storage *peer)
{
    struct tg_conn *c = TG_NEW(struct tg_conn);

    c->magic = TG_CONN_MAGIC;
    c->server = s;
    c->deadline = never;
    c->writable = true;
    tg_list_init(&c->node);
    tg_list_init(&c->todo);
    tg_timer_init(&c->timer, on_timeout);
    if (tg_watch_open(s->loop, &c->watch, fd, on_event) != TG_OK) {
        free(c);
        return NULL;
    }
    tg_conn_set_peer(c, peer);
    c->state = s->opts.proxy_protocol && c->is_trusted ? TG_CONN_PROXY : TG_CONN_HEAD;
    return c;
}

/* ---- what handlers ask ---- */

void tg_conn_set_handler(struct tg_conn *c, const struct tg_request_handler *h, void *ctx)
{
    TG_CHECK(c, TG_CONN_MAGIC);
    TG_ASSERT(c->state == TG_CONN_REQUEST && h->on_gone != NULL);
    c->x->h = h;
    c->x->ctx = ctx;
}

void tg_conn_park(struct tg_conn *c)
{
    TG_ASSERT(c->state == TG_CONN_REQUEST);
    c->x->is_parked = true;
    if (c->hup) {
        tg_conn_kick(c);
    }
}

struct tg_request *tg_conn_request(struct tg_conn *c)
{
    TG_ASSERT(c->x != NULL);
    return &c->x->req;
}

struct tg_loop *tg_conn_loop(const struct tg_conn *c)
{
    return c->server->loop;
}

void *tg_conn_server_arg(const struct tg_conn *c)
{
    return c->server->opts.arg;
}

tg_str tg_conn_peer(const struct tg_conn *c)
{
    return tg_str_make(c->peer, c->peer_n);
}

bool tg_conn_peer_is_trusted(const struct tg_conn *c)
{
    return c->is_trusted;
}
