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
    struct tg_field out[TG_CORS_PREFLIGHT_MAX];
    struct tg_arena arena = {0};
    size_t n = tg_cors_preflight(&two, origins[1], &arena, out, TG_CORS_PREFLIGHT_MAX);

    cr_assert(tg_str_eq(value(out, n, "Access-Control-Allow-Origin"), origins[1]));
    cr_assert(tg_str_eq(value(out, n, "Access-Control-Max-Age"), TG_STR("600")));
    cr_assert(tg_field_list_has(value(out, n, "Access-Control-Allow-Headers"),
                                TG_STR("Idempotency-Key")));
    cr_assert(tg_field_list_has(value(out, n, "Access-Control-Allow-Methods"), TG_STR("PATCH")));
    n = tg_cors_preflight(&none, TG_STR("https://x"), &arena, out, TG_CORS_PREFLIGHT_MAX);
    cr_assert(tg_str_eq(value(out, n, "Access-Control-Allow-Origin"), TG_STR("*")));
    tg_arena_drop(&arena);
}
