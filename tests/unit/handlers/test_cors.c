/* test_cors.c - what browsers are told. */
#include <criterion/criterion.h>

#include "handlers/cors.h"

static const tg_str origins[] = {TG_STR_INIT("https://a.example"),
                                 TG_STR_INIT("https://b.example")};
static const tg_str any[] = {TG_STR_INIT("*")};
static const struct tg_handler_opts none = {.cors_max_age_sec = 5};
static const struct tg_handler_opts two = {
    .cors_origins = origins, .n_cors_origins = 2, .cors_max_age_sec = 600};
static const struct tg_handler_opts all = {.cors_origins = any, .n_cors_origins = 1};

static tg_str value(const struct tg_field *fields, size_t n, const char *name)
{
    const struct tg_field *f = tg_fields_find((struct tg_fields){fields, n}, tg_str_of(name));

    return f == NULL ? TG_STR_NONE : f->value;
}

Test(cors, allows_listed_origins_byte_by_byte)
{
    cr_assert(tg_cors_is_allowed(&two, origins[1]));
    cr_assert_not(tg_cors_is_allowed(&two, TG_STR("https://a.example.evil")));
    cr_assert_not(tg_cors_is_allowed(&two, TG_STR("https://A.example")));
    cr_assert_not(tg_cors_is_allowed(&none, origins[0]));
    cr_assert(tg_cors_is_allowed(&all, TG_STR("null")));
}

Test(cors, a_socket_is_for_listed_pages_and_for_who_is_no_page)
{
    cr_assert(tg_cors_may_connect(&two, origins[0]));
    cr_assert(tg_cors_may_connect(&two, TG_STR_NONE));
    cr_assert_not(tg_cors_may_connect(&two, TG_STR("https://evil")));
    cr_assert_not(tg_cors_may_connect(&two, TG_STR("null")));
    cr_assert_not(tg_cors_may_connect(&two, TG_STR("")));
    cr_assert(tg_cors_may_connect(&none, TG_STR("https://evil")));
    cr_assert(tg_cors_may_connect(&all, TG_STR("https://evil")));
}

Test(cors, shows_all_fields_that_the_gateway_answers_with)
{
    static const char *const shown[] = {"Tidegate-Cursor",
                                        "Tidegate-Recovered",
                                        "Tidegate-Device",
                                        "X-Request-Id",
                                        "Next-Poll",
                                        "Retry-After",
                                        "ETag"};
    struct tg_field out[TG_CORS_OWN_MAX];
    size_t n = tg_cors_own(&two, origins[0], out, TG_CORS_OWN_MAX);

    for (size_t i = 0; i < TG_ARRAY_LEN(shown); i++) {
        cr_assert(
            tg_field_list_has(value(out, n, "Access-Control-Expose-Headers"), tg_str_of(shown[i])),
            "%s", shown[i]);
    }
}

Test(cors, own_answers_name_the_origin_or_nobody)
{
    struct tg_field out[TG_CORS_OWN_MAX];
    size_t n = tg_cors_own(&two, origins[0], out, TG_CORS_OWN_MAX);

    cr_assert(tg_str_eq(value(out, n, "Access-Control-Allow-Origin"), origins[0]));
    cr_assert(tg_str_eq(value(out, n, "Vary"), TG_STR("Origin")));
    n = tg_cors_own(&two, TG_STR("https://evil"), out, TG_CORS_OWN_MAX);
    cr_assert_null(value(out, n, "Access-Control-Allow-Origin").p);
    cr_assert(tg_str_eq(value(out, n, "Vary"), TG_STR("Origin")));
    n = tg_cors_own(&none, TG_STR("https://evil"), out, TG_CORS_OWN_MAX);
    cr_assert(tg_str_eq(value(out, n, "Access-Control-Allow-Origin"), TG_STR("*")));
}

Test(cors, a_preflight_is_options_with_an_origin_and_a_method)
{
    static const struct tg_field fields[] = {
        {TG_STR_INIT("origin"), TG_STR_INIT("https://a")},
        {TG_STR_INIT("access-control-request-method"), TG_STR_INIT("POST")}};
    struct tg_head head = {.method = TG_OPTIONS, .fields = {fields, 2}};

    cr_assert(tg_cors_is_preflight(&head));
    head.fields.n = 1;
    cr_assert_not(tg_cors_is_preflight(&head));
    head.fields.n = 2;
    head.method = TG_GET;
    cr_assert_not(tg_cors_is_preflight(&head));
}

Test(cors, a_preflight_is_answered_with_lists_and_an_age)
{
    static const char *const allowed[] = {"Authorization", "apikey",          "Content-Type",
                                          "Last-Event-ID", "Idempotency-Key", "X-Client-Info",
                                          "If-None-Match", "X-Request-Id",    "Prefer"};
    static const char *const methods[] = {"GET", "POST", "DELETE", "PATCH"};
    struct tg_field out[TG_CORS_PREFLIGHT_MAX];
    struct tg_arena arena = {0};
    size_t n = tg_cors_preflight(&two, origins[1], &arena, out, TG_CORS_PREFLIGHT_MAX);

    cr_assert(tg_str_eq(value(out, n, "Access-Control-Allow-Origin"), origins[1]));
    cr_assert(tg_str_eq(value(out, n, "Access-Control-Max-Age"), TG_STR("600")));
    for (size_t i = 0; i < TG_ARRAY_LEN(allowed); i++) {
        cr_assert(
            tg_field_list_has(value(out, n, "Access-Control-Allow-Headers"), tg_str_of(allowed[i])),
            "%s", allowed[i]);
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(methods); i++) {
        cr_assert(
            tg_field_list_has(value(out, n, "Access-Control-Allow-Methods"), tg_str_of(methods[i])),
            "%s", methods[i]);
    }
    n = tg_cors_preflight(&none, TG_STR("https://x"), &arena, out, TG_CORS_PREFLIGHT_MAX);
    cr_assert(tg_str_eq(value(out, n, "Access-Control-Allow-Origin"), TG_STR("*")));
    tg_arena_drop(&arena);
}
