/* steps.c - what a connection does in each state, one thing at a time.
 *
 * Invariant: `x` exists exactly in REQUEST and DROP, and in RAW until its handler has heard the
 * last of it. */
#include <stdlib.h>
#include <sys/socket.h>

#include "http1/conn_int.h"
#include "http1/proxyproto.h"

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
    const size_t room = TG_CONN_EXCHANGE - sizeof(*x);
    struct tg_field *v = NULL;
    char *to = NULL;

    if (need > room) {
        x->big = tg_malloc(need);
    } else {
        /* Most requests need no more than what the head leaves. */
        tg_arena_lend(&x->req.arena, x->store + need, room - need);
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

bool tg_conn_step_linger(struct tg_conn *c)
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
    tg_count_add(rc == TG_ETIMEDOUT ? &s->counts->timeouts : &s->counts->bad_requests, 1);
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
    tg_count_add(&s->counts->requests, 1);
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

bool tg_conn_step_head(struct tg_conn *c)
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
bool tg_conn_step_proxy(struct tg_conn *c)
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

bool tg_conn_step_request(struct tg_conn *c)
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

bool tg_conn_step_drop(struct tg_conn *c)
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

bool tg_conn_step_raw(struct tg_conn *c)
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
    return c->is_closing || c->shut_wanted; /* asked for from inside: nobody kicks for it */
}
