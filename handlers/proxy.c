/* proxy.c - one request beside one upstream call, bytes in step both ways.
 *
 *     client --on_body--> tg_call_write      EAGAIN: the client is not read until on_drain
 *     client <-tg_conn_write-- on_body       EAGAIN: the call is paused until on_drain
 *
 * Lives until both sides have made their last call: `conn` is NULL once the request is gone, `call`
 * once the call is done. The exchange is the request's; nobody looks at it after on_gone. */
#include "handlers/proxy.h"

#include <stdlib.h>

#include "auth/token.h"
#include "handlers/bearer.h"
#include "handlers/proxy_response.h"
#include "handlers/session.h"
#include "util/log.h"

enum { MAX_LOGGED_PATH = 200, MAX_LOGGED_PART = 64 };

struct proxy {
    struct tg_worker *w;
    struct tg_conn *conn;
    struct tg_call *call;
    struct tg_exchange *x;
    struct tg_bearer_wait *wait;
    struct tg_signout *signout; /* NULL: it is none, or has been told its answer */
    struct tg_proxy_in in;
    tg_usec started;
    unsigned status; /* passed to the client; 0: none yet */
    int64_t left;    /* announced bytes of the answer to come; -1: no length */
    uint64_t n_in, n_out;
    bool has_body_end; /* the client's body is whole */
    bool drops_body;   /* upstream wants no more of it */
};

static void free_when_over(struct proxy *p)
{
    if (p->conn == NULL && p->call == NULL) {
        free(p);
    }
}

enum tg_rc tg_proxy_rc(enum tg_rc rc)
{
    /* These are told as they are; everything else is the upstream's failure to answer. */
    static const enum tg_rc told[] = {TG_EGATEWAYTIME, TG_EOPEN, TG_EBUSY, TG_EBADREQ};

    for (size_t i = 0; i < TG_ARRAY_LEN(told); i++) {
        if (rc == told[i]) {
            return rc;
        }
    }
    return TG_EUPSTREAM;
}

static void refuse(struct proxy *p, enum tg_rc rc)
{
    p->status = tg_rc_status(rc);
    if (rc == TG_EOPEN) {
        p->x->retry_after_sec =
            tg_upstream_retry_after_sec(p->w->upstream, tg_service_name(p->in.service));
    }
    tg_exchange_refuse(p->x, rc, TG_STR(""), TG_STR(""));
}

/* ---- what upstream says ---- */

static void on_interim(struct tg_call *call, unsigned status,
                       const struct tg_upstream_field *fields, size_t n, void *ctx)
{
    struct proxy *p = ctx;

    (void)call;
    /* 100 is said by whoever reads the client's body, 101 belongs to the tunnel. */
    if (p->conn != NULL && status >= 102 && p->status == 0) {
        tg_conn_interim(p->conn, status, tg_proxy_interim(&p->x->req->arena, fields, n));
    }
}

static int64_t length_of(const struct proxy *p, unsigned status, int64_t length)
{
    bool is_bodyless = p->in.head->method == TG_HEAD || status == 204 || status == 304;

    if (length >= 0) {
        return length;
    }
    return is_bodyless ? TG_LENGTH_NONE : TG_LENGTH_UNKNOWN;
}

/* NOLINTNEXTLINE(readability-function-size): the handler's type */
static void on_head(struct tg_call *call, unsigned status, tg_str reason,
                    const struct tg_upstream_field *fields, size_t n, int64_t length, void *ctx)
{
    struct proxy *p = ctx;
    struct tg_arena *arena = NULL;
    struct tg_answer a = {0};

    (void)call;
    if (p->conn == NULL) {
        return;
    }
    arena = &p->x->req->arena;
    a.status = tg_proxy_status(arena, &p->in, status);
    if (a.status == status) {
        a.reason = reason.p == NULL ? TG_STR("") : reason;
    }
    a.fields = tg_proxy_response(arena, &p->in, p->x->origin, fields, n);
    a.length = length_of(p, status, length);
    p->status = a.status;
    p->left = a.length;
    tg_count_add(&p->w->counts.proxied, 1);
    if (p->signout != NULL) {
        tg_signout_answered(p->signout, status);
        p->signout = NULL;
    }
    (void)tg_conn_begin(p->conn, &a);
}

static bool has_no_body(const struct proxy *p)
{
    return p->in.head->method == TG_HEAD || p->status == 204 || p->status == 304;
}

static void on_answer_body(struct tg_call *call, tg_str bytes, void *ctx)
{
    struct proxy *p = ctx;

    if (p->conn == NULL) {
        return;
    }
    if (p->left >= 0 && !has_no_body(p)) {
        bytes.n = TG_MIN(bytes.n, (size_t)p->left);
        p->left -= (int64_t)bytes.n;
    }
    p->n_out += bytes.n;
    if (tg_conn_write(p->conn, bytes) == TG_EAGAIN) {
        tg_call_pause(call);
    }
}

static void on_call_drain(struct tg_call *call, void *ctx)
{
    struct proxy *p = ctx;

    (void)call;
    if (p->conn != NULL) {
        tg_conn_resume_body(p->conn);
    }
}

static void note_failure(const struct proxy *p, enum tg_rc rc)
{
    tg_count_add(&p->w->counts.proxy_errors, 1);
    tg_log_limited(TG_LOG_WARN, "upstream_failed", 30, TG_KS("req", p->x->id),
                   TG_KZ("service", tg_service_name(p->in.service)), TG_KZ("rc", tg_rc_name(rc)),
                   TG_KN("status", p->status));
}

static void on_call_done(struct tg_call *call, enum tg_rc rc, bool sent_any, void *ctx)
{
    struct proxy *p = ctx;

    (void)call;
    (void)sent_any;
    p->call = NULL;
    p->drops_body = true;
    if (p->conn != NULL) {
        if (rc != TG_OK) {
            note_failure(p, rc);
        }
        tg_conn_resume_body(p->conn); /* what still comes is dropped */
        if (rc == TG_OK) {
            tg_conn_end(p->conn);
        } else if (p->status == 0) {
            refuse(p, tg_proxy_rc(rc));
        } else {
            tg_conn_abort(p->conn);
        }
    }
    free_when_over(p);
}

/* ---- what the client does ---- */

static void on_body(struct tg_conn *c, tg_str bytes, void *ctx)
{
    struct proxy *p = ctx;
    enum tg_rc rc = TG_OK;

    p->n_in += bytes.n;
    if (p->call == NULL || p->drops_body) {
        return;
    }
    rc = tg_call_write(p->call, bytes);
    if (rc == TG_EAGAIN) {
        tg_conn_pause_body(c);
    } else if (rc != TG_OK) {
        p->drops_body = true;
    }
}

static void on_body_end(struct tg_conn *c, void *ctx)
{
    struct proxy *p = ctx;

    p->has_body_end = true;
    /* All is said: who hangs up now is gone, and upstream need not work for nobody. */
    tg_conn_park(c);
    if (p->call != NULL && p->in.head->body != TG_BODY_NONE) {
        tg_call_end_body(p->call);
    }
}

static void on_drain(struct tg_conn *c, void *ctx)
{
    struct proxy *p = ctx;

    (void)c;
    if (p->call != NULL) {
        tg_call_resume(p->call);
    }
}

/* Paths name resources; what could be an address or a token in them becomes a star. */
static void put_path(struct tg_buf *out, tg_str path)
{
    tg_str rest = tg_str_skip(path, 1);

    while (rest.p != NULL) {
        tg_str part = tg_str_cut(&rest, '/');
        bool is_plain = part.n <= MAX_LOGGED_PART && memchr(part.p, '@', part.n) == NULL &&
                        memchr(part.p, '%', part.n) == NULL;

        if (tg_buf_char(out, '/') != TG_OK ||
            tg_buf_str(out, is_plain ? part : TG_STR("*")) != TG_OK) {
            return;
        }
    }
}

static void log_end(const struct proxy *p, enum tg_rc why)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf path = {.max = MAX_LOGGED_PATH};

    if (!tg_log_is_on(TG_LOG_DEBUG)) {
        return;
    }
    put_path(&path, p->x->path);
    tg_log(TG_LOG_DEBUG, "request", TG_KS("req", p->x->id),
           TG_KZ("service", tg_service_name(p->in.service)),
           TG_KS("method", p->in.head->method_text), TG_KS("path", tg_buf_view(&path)),
           TG_KN("status", p->status), TG_KN("us", tg_loop_now(p->w->loop) - p->started),
           TG_KN("in", p->n_in), TG_KN("out", p->n_out), TG_KZ("end", tg_rc_name(why)));
}

static void on_gone(struct tg_conn *c, enum tg_rc why, void *ctx)
{
    struct proxy *p = ctx;

    (void)c;
    log_end(p, why);
    tg_signout_drop(p->signout);
    p->signout = NULL;
    p->conn = NULL;
    p->x = NULL;
    if (p->wait != NULL) {
        tg_bearer_cancel(p->wait);
        p->wait = NULL;
    }
    if (p->call != NULL) {
        tg_call_cancel(p->call);
    }
    free_when_over(p);
}

/* ---- the start ---- */

static void start_call(struct proxy *p)
{
    static const struct tg_call_handler handler = {.on_head = on_head,
                                                   .on_interim = on_interim,
                                                   .on_body = on_answer_body,
                                                   .on_drain = on_call_drain,
                                                   .on_done = on_call_done};
    const struct tg_head *head = p->in.head;
    struct tg_proxy_out out = {0};
    struct tg_call_request req = {
        .method = head->method_text,
        .service = tg_service_name(p->in.service),
        /* Counted in one place: not here when the SDK does it. */
        .may_retry = tg_fields_find(head->fields, TG_STR("X-Retry-Count")) == NULL};
    enum tg_rc rc = tg_proxy_request(&p->x->req->arena, &p->in, &out);

    if (rc == TG_OK) {
        req.target = out.target;
        req.fields = out.fields;
        req.n_fields = out.n;
        if (head->body == TG_BODY_CHUNKED) {
            req.body_length = TG_CALL_CHUNKED;
        } else if (head->body == TG_BODY_LENGTH) {
            req.body_length = (int64_t)head->content_length;
            req.has_zero_length = head->content_length == 0;
        }
        rc = tg_upstream_start(p->w->upstream, &req, &handler, p, &p->call);
        rc = rc == TG_OK ? TG_OK : tg_proxy_rc(rc);
    }
    if (rc != TG_OK) {
        p->drops_body = true;
        refuse(p, rc);
    } else {
        tg_conn_want_body(p->conn);
    }
    tg_conn_resume_body(p->conn);
}

static void on_token(enum tg_rc rc, struct tg_token *token, void *arg)
{
    struct proxy *p = arg;

    p->wait = NULL;
    tg_token_unref(token);
    if (rc == TG_OK) {
        start_call(p);
    } else {
        p->drops_body = true;
        refuse(p, rc);
        tg_conn_resume_body(p->conn);
    }
}

static enum tg_policy policy_of(const struct proxy *p)
{
    const struct tg_handler_opts *o = p->w->opts;

    /* A preflight carries no token, and asks for nothing. */
    if (p->in.head->method == TG_OPTIONS) {
        return TG_TOKEN_OFF;
    }
    switch (p->in.service) {
    case TG_SERVICE_REST:
        return o->rest;
    case TG_SERVICE_STORAGE:
        return o->storage;
    case TG_SERVICE_GRAPHQL:
        return o->graphql;
    case TG_SERVICE_FUNCTIONS:
        return o->functions;
    case TG_SERVICE_AUTH:
        return o->auth;
    case TG_SERVICE_NONE:
    case TG_SERVICE_OWN:
    case TG_SERVICE_REALTIME:
    case TG_SERVICE_BROADCAST:
    case TG_SERVICE_MAX:
        break;
    }
    return TG_TOKEN_OFF;
}

void tg_proxy_start(struct tg_exchange *x, enum tg_service service)
{
    static const struct tg_request_handler handler = {
        .on_body = on_body, .on_body_end = on_body_end, .on_drain = on_drain, .on_gone = on_gone};
    struct proxy *p = TG_NEW(struct proxy);

    p->w = x->w;
    p->conn = x->conn;
    p->x = x;
    p->started = tg_loop_now(x->w->loop);
    p->in = (struct tg_proxy_in){
        .opts = x->w->opts,
        .service = service,
        .head = &x->req->head,
        .target = x->target,
        .path = x->path,
        .query = x->query,
        .id = x->id,
        .peer = {tg_conn_peer(x->conn), tg_conn_peer_is_trusted(x->conn)},
    };
    p->signout = service == TG_SERVICE_AUTH ? tg_signout_begin(x) : NULL;
    tg_conn_set_handler(x->conn, &handler, p);
    tg_conn_pause_body(x->conn);
    tg_bearer_route(x, policy_of(p), on_token, p, &p->wait);
}
