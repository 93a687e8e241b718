/* test_proxy_response.c - what of an answer is altered on its way down, and what never is. */
#include <criterion/criterion.h>

#include "handlers/proxy_response.h"
#include "handlers/worker.h"

#define F(name, value)                                                                             \
    {                                                                                              \
        TG_STR_INIT(name), TG_STR_INIT(value)                                                      \
    }

static const tg_str origins[] = {TG_STR_INIT("https://app.example")};
static const struct tg_handler_opts open_opts = {.cors_max_age_sec = 1};
static const struct tg_handler_opts strict = {.cors_origins = origins, .n_cors_origins = 1};

static struct tg_head head = {.method = TG_POST, .host = TG_STR_INIT("gw.test")};

static struct tg_proxy_in input(const struct tg_handler_opts *opts, enum tg_service service,
                                const char *target)
{
    struct tg_proxy_in in = {.opts = opts,
                             .service = service,
                             .head = &head,
                             .target = tg_str_of(target),
                             .path = tg_str_of(target),
                             .id = TG_STR("id-1")};

    in.path.n = tg_str_find(in.path, '?');
    return in;
}

static void expect(struct tg_fields got, const struct tg_field *want, size_t n)
{
    cr_assert_eq(got.n, n);
    for (size_t i = 0; i < n; i++) {
        cr_assert(tg_str_eq(got.v[i].name, want[i].name), "field %zu", i);
        cr_assert(tg_str_eq(got.v[i].value, want[i].value), "field %zu", i);
    }
}

#define EXPECT(got, want) expect(got, want, TG_ARRAY_LEN(want))

Test(proxy_response, keeps_fields_and_drops_those_of_the_hop)
{
    static const struct tg_upstream_field fields[] = {F("B", "1"),
                                                      F("a", ""),
                                                      F("b", "2"),
                                                      F("Connection", "x"),
                                                      F("X", "gone"),
                                                      F("sb-auth-user-id", "u"),
                                                      F("Trailer", "t"),
                                                      F("x-request-id", "theirs"),
                                                      F("Access-Control-Allow-Origin", "*"),
                                                      F("Vary", "Origin")};
    static const struct tg_field want[] = {
        F("B", "1"),         F("a", ""),
        F("b", "2"),         F("Access-Control-Allow-Origin", "*"),
        F("Vary", "Origin"), F("X-Request-Id", "id-1")};
    struct tg_proxy_in in = input(&open_opts, TG_SERVICE_REST, "/rest/v1/t");
    struct tg_arena arena = {0};

    EXPECT(tg_proxy_response(&arena, &in, TG_STR_NONE, fields, TG_ARRAY_LEN(fields)), want);
    tg_arena_drop(&arena);
}

Test(proxy_response, replaces_cors_fields_where_origins_are_configured)
{
    static const struct tg_upstream_field fields[] = {
        F("access-control-allow-origin", "*"), F("Vary", "Accept, origin ,Range"),
        F("vary", "Origin"), F("Access-Control-Max-Age", "1")};
    static const struct tg_field want[] = {F("Vary", "Accept, Range"), F("Vary", "Origin"),
                                           F("X-Request-Id", "id-1")};
    struct tg_proxy_in in = input(&strict, TG_SERVICE_REST, "/rest/v1/t");
    struct tg_arena arena = {0};
    struct tg_fields got = {0};

    EXPECT(tg_proxy_response(&arena, &in, TG_STR("https://evil.example"), fields,
                             TG_ARRAY_LEN(fields)),
           want);
    got = tg_proxy_response(&arena, &in, origins[0], fields, TG_ARRAY_LEN(fields));
    cr_assert_eq(tg_fields_count(got, TG_STR("Access-Control-Allow-Origin")), 1);
    cr_assert_eq(tg_fields_count(got, TG_STR("Access-Control-Expose-Headers")), 1);
    tg_arena_drop(&arena);
}

static tg_str location(enum tg_service service, const char *value)
{
    struct tg_proxy_in in = input(&open_opts, service, "/storage/v1/upload/resumable");
    const struct tg_upstream_field field = {TG_STR("Location"), tg_str_of(value)};
    static struct tg_arena arena;

    return tg_proxy_response(&arena, &in, TG_STR_NONE, &field, 1).v[0].value;
}

Test(proxy_response, rewrites_the_location_of_resumable_uploads_only)
{
    cr_assert(tg_str_eq(
        location(TG_SERVICE_STORAGE, "https://ref.example:1/storage/v1/upload/resumable/a%2F?b"),
        TG_STR("http://gw.test/storage/v1/upload/resumable/a%2F?b")));
    static const char *const kept[] = {"/storage/v1/upload/resumable/a", "https://x",
                                       "https://x/storage/v1/object/a", "ftp://x/y"};

    for (size_t i = 0; i < TG_ARRAY_LEN(kept); i++) {
        cr_assert(tg_str_eq(location(TG_SERVICE_STORAGE, kept[i]), tg_str_of(kept[i])));
    }
    cr_assert(tg_str_eq(location(TG_SERVICE_REST, "https://x/storage/v1/upload/resumable/a"),
                        TG_STR("https://x/storage/v1/upload/resumable/a")));
}

Test(proxy_response, a_refresh_never_fails_for_good_because_auth_is_ill)
{
    struct tg_proxy_in refresh =
        input(&open_opts, TG_SERVICE_AUTH, "/auth/v1/token?x&grant_type=refresh%5Ftoken");
    struct tg_proxy_in password =
        input(&open_opts, TG_SERVICE_AUTH, "/auth/v1/token?grant_type=password");
    struct tg_arena arena = {0};

    cr_assert_eq(tg_proxy_status(&arena, &refresh, 500), 503);
    cr_assert_eq(tg_proxy_status(&arena, &refresh, 546), 503);
    cr_assert_eq(tg_proxy_status(&arena, &refresh, 400), 400);
    cr_assert_eq(tg_proxy_status(&arena, &password, 500), 500);
    tg_arena_drop(&arena);
}

Test(proxy_response, interim_answers_lose_the_fields_of_the_hop)
{
    static const struct tg_upstream_field fields[] = {F("Link", "</a>"), F("Connection", "y"),
                                                      F("Y", "1")};
    static const struct tg_field want[] = {F("Link", "</a>")};
    struct tg_arena arena = {0};

    EXPECT(tg_proxy_interim(&arena, fields, TG_ARRAY_LEN(fields)), want);
    tg_arena_drop(&arena);
}
