/* router.c - own endpoints by a table; the rest goes upstream or nowhere. */
#include "handlers/router.h"

#include "handlers/exchange.h"
#include "handlers/proxy.h"
#include "handlers/sse.h"
#include "handlers/tunnel.h"

struct endpoint {
    tg_str path;
    enum tg_method method;
    void (*start)(struct tg_exchange *x);
};

static const struct endpoint endpoints[] = {
    {TG_STR_INIT("/sync/v1/stream"), TG_GET, tg_sse_start},
};

static void on_nothing_more(struct tg_conn *c, enum tg_rc why, void *ctx)
{
    (void)c;
    (void)why;
    (void)ctx;
}

/* Refuses at once; the body, if there is one, is read and dropped. */
static void refuse(struct tg_exchange *x, enum tg_rc rc)
{
    static const struct tg_request_handler handler = {.on_gone = on_nothing_more};

    tg_conn_set_handler(x->conn, &handler, NULL);
    tg_exchange_refuse(x, rc, TG_STR(""), TG_STR(""));
}

static void start_own(struct tg_exchange *x)
{
    enum tg_rc rc = TG_ENOTFOUND;

    for (size_t i = 0; i < TG_ARRAY_LEN(endpoints); i++) {
        if (tg_str_eq(endpoints[i].path, x->path)) {
            if (endpoints[i].method == x->req->head.method) {
                endpoints[i].start(x);
                return;
            }
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
        tg_exchange_set_target(x, target);
        rc = tg_route(x->path, &service);
    }
    if (rc != TG_OK) {
        refuse(x, rc);
    } else if (service == TG_SERVICE_OWN) {
        start_own(x);
    } else if (service == TG_SERVICE_REALTIME && tg_tunnel_is_upgrade(&req->head)) {
        tg_tunnel_start(x);
    } else {
        tg_proxy_start(x, service);
    }
}
