/* test_router.c - whose a request is, by method and path. */
#include <criterion/criterion.h>
#include <string.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "fakes.h"
#include "handlers/router.h"

struct given {
    struct fleet fleet;
    struct asked_request r;
};

static void begin(struct given *g)
{
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);

    fleet_make(&g->fleet, 1, keys);
    tg_keys_unref(keys);
}

static void route(struct given *g)
{
    g->r.conn.worker = &g->fleet.workers[0];
    tg_router_on_request(&g->r.conn, &g->r.req, &g->fleet.workers[0]);
}

static void finish(struct given *g)
{
    request_gone(&g->r);
    request_drop(&g->r);
    fleet_drop(&g->fleet);
}

static bool says(const struct given *g, const char *field)
{
    return strstr(g->r.conn.fields, field) != NULL;
}

Test(router, stream_endpoint_is_our_own)
{
    struct given g;

    begin(&g);
    request_make(&g.r, TG_GET, "/sync/v1/stream?topic=table:public.a");
    route(&g);
    cr_assert_eq(g.r.conn.status, 401, "no token");
    cr_assert_eq(n_proxied, 0);
    finish(&g);
}

Test(router, other_methods_of_an_endpoint_are_told_which_there_are)
{
    static const enum tg_method methods[] = {TG_POST,  TG_HEAD,   TG_PUT,
                                             TG_PATCH, TG_DELETE, TG_OPTIONS};

    for (size_t i = 0; i < TG_ARRAY_LEN(methods); i++) {
        struct given g;

        begin(&g);
        request_make(&g.r, methods[i], "/sync/v1/stream");
        route(&g);
        cr_assert_eq(g.r.conn.status, 405, "%zu", i);
        cr_assert(says(&g, "Allow: GET, OPTIONS\n"));
        cr_assert_eq(g.r.conn.n_answers, 1);
        finish(&g);
    }
}

Test(router, paths_of_nobody_are_not_found)
{
    static const char *const targets[] = {
        "/", "/sync/v1/", "/sync/v1/stream/", "/sync/v1/Stream", "/nothing", "/pg/v1/query"};

    for (size_t i = 0; i < TG_ARRAY_LEN(targets); i++) {
        struct given g;

        begin(&g);
        request_make(&g.r, TG_GET, targets[i]);
        route(&g);
        cr_assert_eq(g.r.conn.status, 404, "%s", targets[i]);
        cr_assert_not(says(&g, "Allow:"));
        cr_assert_eq(n_proxied, 0);
        finish(&g);
    }
}

Test(router, services_go_upstream)
{
    static const struct {
        const char *target;
        enum tg_service service;
    } table[] = {
        {"/rest/v1/tasks?select=*", TG_SERVICE_REST},
        {"/auth/v1/token?grant_type=password", TG_SERVICE_AUTH},
        {"/storage/v1/object/a/b", TG_SERVICE_STORAGE},
        {"/functions/v1/hello", TG_SERVICE_FUNCTIONS},
        {"/graphql/v1", TG_SERVICE_GRAPHQL},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(table); i++) {
        struct given g;

        begin(&g);
        n_proxied = 0;
        request_make(&g.r, TG_POST, table[i].target);
        route(&g);
        cr_assert_eq(n_proxied, 1, "%s", table[i].target);
        cr_assert_eq(proxied_service, table[i].service, "%s", table[i].target);
        cr_assert_eq(g.r.conn.n_answers, 0);
        request_drop(&g.r);
        fleet_drop(&g.fleet);
    }
}

Test(router, only_upgrades_are_tunnelled)
{
    struct given g;

    begin(&g);
    request_make(&g.r, TG_GET, "/realtime/v1/websocket?vsn=1.0.0");
    request_field(&g.r, "Upgrade", "websocket");
    route(&g);
    cr_assert_eq(n_tunnelled, 1);
    request_drop(&g.r);

    request_make(&g.r, TG_GET, "/realtime/v1/websocket?vsn=1.0.0");
    route(&g);
    cr_assert_eq(n_tunnelled, 1);
    cr_assert_eq(n_proxied, 1);
    request_drop(&g.r);
    fleet_drop(&g.fleet);
}

Test(router, targets_that_would_be_anothers_are_refused)
{
    static const char *const targets[] = {"/rest/v1/../../auth/v1/admin",
                                          "/rest/v1/%2e%2e/%2e%2e/pg",
                                          "http://elsewhere/rest/v1/tasks"};

    for (size_t i = 0; i < TG_ARRAY_LEN(targets); i++) {
        struct given g;

        begin(&g);
        request_make(&g.r, TG_GET, targets[i]);
        route(&g);
        cr_assert_eq(g.r.conn.status, 400, "%s: %u", targets[i], g.r.conn.status);
        cr_assert_eq(n_proxied, 0);
        finish(&g);
    }
}

Test(router, own_authority_in_the_target_is_fine)
{
    struct given g;

    begin(&g);
    request_make(&g.r, TG_GET, "http://gateway/rest/v1/tasks");
    route(&g);
    cr_assert_eq(n_proxied, 1);
    request_drop(&g.r);
    fleet_drop(&g.fleet);
}

static void preflight(struct given *g, const char *target, const char *origin)
{
    request_make(&g->r, TG_OPTIONS, target);
    request_field(&g->r, "Origin", origin);
    request_field(&g->r, "Access-Control-Request-Method", "GET");
    route(g);
}

Test(router, preflights_of_own_endpoints_are_answered_here)
{
    struct given g;

    begin(&g);
    preflight(&g, "/sync/v1/stream", "https://app.example");
    cr_assert_eq(g.r.conn.status, 204);
    cr_assert(says(&g, "Access-Control-Allow-Origin: "));
    cr_assert(says(&g, "X-Request-Id: "));
    finish(&g);
}

Test(router, preflights_of_services_go_upstream_without_listed_origins)
{
    struct given g;

    begin(&g);
    preflight(&g, "/rest/v1/tasks", "https://app.example");
    cr_assert_eq(n_proxied, 1);
    request_drop(&g.r);
    fleet_drop(&g.fleet);
}

Test(router, listed_origins_are_answered_for_everything)
{
    static const tg_str origins[] = {TG_STR_INIT("https://app.example")};
    struct given g;

    begin(&g);
    g.fleet.opts.cors_origins = origins;
    g.fleet.opts.n_cors_origins = 1;
    preflight(&g, "/rest/v1/tasks", "https://app.example");
    cr_assert_eq(g.r.conn.status, 204);
    request_gone(&g.r);
    request_drop(&g.r);
    preflight(&g, "/rest/v1/tasks", "https://evil.example");
    cr_assert_eq(g.r.conn.status, 403);
    cr_assert_eq(n_proxied, 0);
    finish(&g);
}
