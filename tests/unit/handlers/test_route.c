/* test_route.c - whose request it is, and which paths nobody gets. */
#include <criterion/criterion.h>

#include "handlers/route.h"

struct given {
    const char *path;
    enum tg_service service;
};

static enum tg_rc route(const char *path, enum tg_service *ret_service)
{
    *ret_service = TG_SERVICE_NONE;
    return tg_route(tg_str_of(path), ret_service);
}

Test(route, knows_each_service_by_its_prefix)
{
    static const struct given all[] = {
        {"/sync/v1/stream", TG_SERVICE_OWN},
        {"/auth/v1/token", TG_SERVICE_AUTH},
        {"/rest/v1", TG_SERVICE_REST},
        {"/rest/v1/", TG_SERVICE_REST},
        {"/rest/v1/tasks", TG_SERVICE_REST},
        {"/storage/v1/object/a/b", TG_SERVICE_STORAGE},
        {"/functions/v1/f", TG_SERVICE_FUNCTIONS},
        {"/graphql/v1", TG_SERVICE_GRAPHQL},
        {"/realtime/v1/websocket", TG_SERVICE_REALTIME},
        {"/realtime/v1/api/broadcast", TG_SERVICE_BROADCAST},
        {"/realtime/v1/api/broadcast/x/events/y", TG_SERVICE_BROADCAST},
    };
    enum tg_service service = TG_SERVICE_NONE;

    for (size_t i = 0; i < TG_ARRAY_LEN(all); i++) {
        cr_assert_eq(route(all[i].path, &service), TG_OK, "%s", all[i].path);
        cr_assert_eq(service, all[i].service, "%s", all[i].path);
        cr_assert_not_null(tg_service_name(service));
    }
}

Test(route, gives_nothing_to_neighbours_of_a_prefix)
{
    static const char *const all[] = {"/",
                                      "/rest/v1x",
                                      "/rest/v2/t",
                                      "/REST/v1/t",
                                      "/realtime/v1/",
                                      "/realtime/v1/websocket/x",
                                      "/realtime/v1/api/tenants",
                                      "/.well-known/x"};
    enum tg_service service = TG_SERVICE_NONE;

    for (size_t i = 0; i < TG_ARRAY_LEN(all); i++) {
        cr_assert_eq(route(all[i], &service), TG_ENOTFOUND, "%s", all[i]);
    }
}

Test(route, refuses_a_path_that_becomes_somebody_elses)
{
    static const char *const all[] = {"/rest/v1/../../auth/v1/admin",
                                      "/rest/v1/%2e%2e/%2E./auth/v1",
                                      "/rest/v1/..%2f..%2Fauth/v1",
                                      "/rest/v1/..\\..\\auth",
                                      "/rest/v1/%5C..%5c../x",
                                      "/rest%2Fv1/t",
                                      "/x/../rest/v1/t",
                                      "/./rest/v1/t",
                                      "//rest/v1/t",
                                      "/rest//v1/t",
                                      "/rest/v1//../../auth/v1",
                                      "/rest/v1/..",
                                      "/realtime/v1/api/broadcast/../tenants",
                                      "/sync/v1/../../rest/v1/t",
                                      "/rest/v1/a/../../..",
                                      "/rest/v1/../../%61uth/v1"};
    enum tg_service service = TG_SERVICE_NONE;

    for (size_t i = 0; i < TG_ARRAY_LEN(all); i++) {
        cr_assert_eq(route(all[i], &service), TG_EBADTARGET, "%s", all[i]);
    }
}

Test(route, lets_dots_and_escapes_pass_that_stay_inside)
{
    static const char *const all[] = {"/storage/v1/object/b/./x",
                                      "/storage/v1/object/b/x/../y",
                                      "/storage/v1/object/b/a%2Fb",
                                      "/rest/v1/a//b",
                                      "/rest/v1/...",
                                      "/rest/v1/%252e%252e/",
                                      "/rest/v1/%",
                                      "/rest/v1/%2"};
    enum tg_service service = TG_SERVICE_NONE;

    for (size_t i = 0; i < TG_ARRAY_LEN(all); i++) {
        cr_assert_eq(route(all[i], &service), TG_OK, "%s", all[i]);
    }
}

Test(route, gives_up_on_paths_too_deep_to_resolve)
{
    char path[4096] = "/rest/v1";
    enum tg_service service = TG_SERVICE_NONE;

    for (size_t i = strlen(path); i + 2 < sizeof(path); i += 2) {
        memcpy(path + i, "/a", 3);
    }
    cr_assert_eq(route(path, &service), TG_OK);
    path[2000] = '%';
    cr_assert_eq(route(path, &service), TG_EBADTARGET);
}

static enum tg_rc origin_form(const char *target, const char *host, tg_str *ret)
{
    return tg_route_origin_form(tg_str_of(target), tg_str_of(host), ret);
}

Test(route, takes_the_absolute_form_for_the_own_authority_only)
{
    tg_str got = TG_STR_NONE;

    cr_assert_eq(origin_form("/a?b", "h", &got), TG_OK);
    cr_assert(tg_str_eq(got, TG_STR("/a?b")));
    cr_assert_eq(origin_form("http://H:80/a?b", "h:80", &got), TG_OK);
    cr_assert(tg_str_eq(got, TG_STR("/a?b")));
    cr_assert_eq(origin_form("HTTPS://h", "h", &got), TG_OK);
    cr_assert(tg_str_eq(got, TG_STR("/")));
    cr_assert_eq(origin_form("http://other/a", "h", &got), TG_EBADTARGET);
    cr_assert_eq(origin_form("http://h@other/a", "h", &got), TG_EBADTARGET);
    cr_assert_eq(origin_form("http://u@h/a", "u@h", &got), TG_EBADTARGET);
    cr_assert_eq(origin_form("http:///a", "", &got), TG_EBADTARGET);
    cr_assert_eq(origin_form("http://h?a", "h", &got), TG_EBADTARGET);
    cr_assert_eq(origin_form("*", "h", &got), TG_EBADTARGET);
    cr_assert_eq(origin_form("h:443", "h", &got), TG_EBADTARGET);
    cr_assert_eq(origin_form("/a#b", "h", &got), TG_EBADTARGET);
    cr_assert_eq(origin_form("", "h", &got), TG_EBADTARGET);
}
