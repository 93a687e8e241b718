/* router.c - own endpoints by a table; the rest goes upstream or nowhere. */
#include "handlers/router.h"

#include "handlers/cors.h"
#include "handlers/device.h"
#include "handlers/exchange.h"
#include "handlers/poll.h"
#include "handlers/proxy.h"
#include "handlers/publish.h"
#include "handlers/sse.h"
#include "handlers/ticket.h"
#include "handlers/tunnel.h"
#include "handlers/ws.h"

struct endpoint {
    tg_str path; /* with a slash at its end: all names below it */
    enum tg_method method;
    tg_str allow; /* the same for an answer */
    void (*start)(struct tg_exchange *x);
};

static const struct endpoint endpoints[] = {
    {TG_STR_INIT("/sync/v1/stream"), TG_GET, TG_STR_INIT("GET, OPTIONS"), tg_sse_start},
    {TG_STR_INIT("/sync/v1/ws"), TG_GET, TG_STR_INIT("GET, OPTIONS"), tg_ws_start},
    {TG_STR_INIT("/sync/v1/poll"), TG_GET, TG_STR_INIT("GET, OPTIONS"), tg_poll_start},
    {TG_STR_INIT("/sync/v1/ticket"), TG_POST, TG_STR_INIT("POST, OPTIONS"), tg_ticket_start},
    {TG_STR_INIT("/sync/v1/publish"), TG_POST, TG_STR_INIT("POST, OPTIONS"), tg_publish_start},
    {TG_STR_INIT("/sync/v1/ack"), TG_POST, TG_STR_INIT("POST, OPTIONS"), tg_device_ack_start},
    {TG_STR_INIT("/sync/v1/devices"), TG_GET, TG_STR_INIT("GET, OPTIONS"), tg_device_list_start},
    {TG_STR_INIT("/sync/v1/devices/"), TG_GET, TG_STR_INIT("GET, DELETE, OPTIONS"),
     tg_device_get_start},
    {TG_STR_INIT("/sync/v1/devices/"), TG_DELETE, TG_STR_INIT("GET, DELETE, OPTIONS"),
     tg_device_delete_start},
    {TG_STR_INIT("/sync/v1/token"), TG_POST, TG_STR_INIT("POST, OPTIONS"), tg_device_token_start},
};

static void on_nothing_more(struct tg_conn *c, enum tg_rc why, void *ctx)
{
    (void)c;
    (void)why;
    (void)ctx;
}

/* For answers given at once; the body, if there is one, is read and dropped. */
static const struct tg_request_handler no_more = {.on_gone = on_nothing_more};

static void refuse(struct tg_exchange *x, enum tg_rc rc)
{
    tg_conn_set_handler(x->conn, &no_more, NULL);
    tg_exchange_refuse(x, rc, TG_STR(""), TG_STR(""));
}

/* With configured origins the gateway speaks for everything behind it. */
static bool answers_preflight(const struct tg_exchange *x, enum tg_service service)
{
    return tg_cors_is_preflight(&x->req->head) &&
           (service == TG_SERVICE_OWN || x->w->opts->n_cors_origins > 0);
}

static void answer_preflight(struct tg_exchange *x)
{
    const struct tg_handler_opts *o = x->w->opts;
    struct tg_field fields[TG_CORS_PREFLIGHT_MAX + 1];
    struct tg_answer a = {.status = 204, .length = TG_LENGTH_NONE};
    size_t n = 0;

    tg_conn_set_handler(x->conn, &no_more, NULL);
    if (o->n_cors_origins > 0 && !tg_cors_is_allowed(o, x->origin)) {
        tg_exchange_refuse(x, TG_EFORBIDDEN, TG_STR("The origin is not listed in cors.origins"),
                           TG_STR(""));
        return;
    }
    n = tg_cors_preflight(o, x->origin, &x->req->arena, fields, TG_CORS_PREFLIGHT_MAX);
    fields[n++] = (struct tg_field){TG_STR("X-Request-Id"), x->id};
    a.fields = (struct tg_fields){fields, n};
    tg_conn_answer(x->conn, &a, TG_STR(""));
}

static bool is_at(const struct endpoint *e, tg_str path)
{
    bool is_folder = e->path.p[e->path.n - 1] == '/';

    return is_folder ? path.n > e->path.n && tg_str_has_prefix(path, e->path)
                     : tg_str_eq(e->path, path);
}

static void start_own(struct tg_exchange *x)
{
    enum tg_rc rc = TG_ENOTFOUND;

    for (size_t i = 0; i < TG_ARRAY_LEN(endpoints); i++) {
        if (is_at(&endpoints[i], x->path)) {
            if (endpoints[i].method == x->req->head.method) {
                endpoints[i].start(x);
                return;
            }
            x->allow = endpoints[i].allow;
            rc = TG_EMETHOD;
        }
    }
    refuse(x, rc);
}

void tg_router_on_request(struct tg_conn *c, struct tg_request *req, void *arg)
{
    struct tg_exchange *x = tg_exchange_create(arg, c, req);
    enum tg_service service = TG_SERVICE_NONE;
    tg_str target = TG_STR_NONE;
    enum tg_rc rc = tg_route_origin_form(req->head.target, req->head.host, &target);

    if (rc == TG_OK) {
        if (target.p != x->target.p || target.n != x->target.n) {
            tg_exchange_set_target(x, target);
        }
        rc = tg_route(x->path, &service);
    }
    if (rc != TG_OK) {
        refuse(x, rc);
    } else if (answers_preflight(x, service)) {
        answer_preflight(x);
    } else if (service == TG_SERVICE_OWN) {
        start_own(x);
    } else if (service == TG_SERVICE_REALTIME && tg_tunnel_is_upgrade(&req->head)) {
        tg_tunnel_start(x);
    } else {
        tg_proxy_start(x, service);
    }
}
