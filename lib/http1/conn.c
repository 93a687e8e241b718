/* conn.c - the machine that moves connections from state to state, their deadlines and their life.
 *
 * Invariant: a handler is called only from tg_conn_advance() (or the kill that ends all), with
 * nothing of lib/http1 further up the stack but that one call. */
#include "http1/conn.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "http1/conn_int.h"

static const tg_usec never = UINT64_MAX;
static const tg_usec linger_time = TG_SEC(2);

/* ---- the machine ---- */

static bool step(struct tg_conn *c)
{
    switch ((enum tg_conn_state)c->state) {
    case TG_CONN_PROXY:
        return tg_conn_step_proxy(c);
    case TG_CONN_HEAD:
        return tg_conn_step_head(c);
    case TG_CONN_REQUEST:
        return tg_conn_step_request(c);
    case TG_CONN_DROP:
        return tg_conn_step_drop(c);
    case TG_CONN_LINGER:
        return tg_conn_step_linger(c);
    case TG_CONN_RAW:
        return tg_conn_step_raw(c);
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
    c->raw_events |= events & TG_ALL_READY;
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

    c->is_ipv4 = peer->ss_family == AF_INET;
    c->is_ipv6 = peer->ss_family == AF_INET6;
    if (c->is_ipv4) {
        memcpy(c->peer, &((const struct sockaddr_in *)(const void *)peer)->sin_addr,
               sizeof(struct in_addr));
    } else if (c->is_ipv6) {
        memcpy(c->peer, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr,
               sizeof(struct in6_addr));
    }
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

/* inet_ntop() does it by sprintf(), which was a tenth of a poll. */
static size_t put_ipv4(char *to, const uint8_t *address)
{
    size_t n = 0;

    for (size_t i = 0; i < 4; i++) {
        unsigned byte = address[i];

        if (i != 0) {
            to[n++] = '.';
        }
        if (byte >= 100) {
            to[n++] = (char)('0' + byte / 100);
        }
        if (byte >= 10) {
            to[n++] = (char)('0' + byte / 10 % 10);
        }
        to[n++] = (char)('0' + byte % 10);
    }
    return n;
}

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
    struct tg_exchange *x = c->x;

    TG_ASSERT(x != NULL);
    if (x->peer_n == 0 && c->is_ipv4) {
        x->peer_n = (uint8_t)put_ipv4(x->peer, c->peer);
    } else if (x->peer_n == 0 && c->is_ipv6) {
        (void)inet_ntop(AF_INET6, c->peer, x->peer, sizeof(x->peer));
        x->peer_n = (uint8_t)strlen(x->peer);
    }
    return tg_str_make(x->peer, x->peer_n);
}

bool tg_conn_peer_is_trusted(const struct tg_conn *c)
{
    return c->is_trusted;
}
