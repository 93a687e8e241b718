/* test_forward.c - for whom a request speaks. */
#include <criterion/criterion.h>

#include "handlers/forward.h"

#define F(name, value)                                                                             \
    {                                                                                              \
        TG_STR_INIT(name), TG_STR_INIT(value)                                                      \
    }
#define FIELDS(a) ((struct tg_fields){(a), TG_ARRAY_LEN(a)})

static const struct tg_forward_peer stranger = {TG_STR_INIT("192.0.2.1"), false};
static const struct tg_forward_peer balancer = {TG_STR_INIT("10.0.0.1"), true};

static const struct tg_field said[] = {F("X-Forwarded-For", "6.6.6.6, 198.51.100.7"),
                                       F("x-forwarded-proto", "HTTPS"),
                                       F("X-Forwarded-Host", "app.example")};

Test(forward, believes_only_trusted_peers)
{
    cr_assert(tg_str_eq(tg_forward_client(FIELDS(said), stranger), TG_STR("192.0.2.1")));
    cr_assert(tg_str_eq(tg_forward_scheme(FIELDS(said), stranger), TG_STR("http")));
    cr_assert(tg_str_eq(tg_forward_host(FIELDS(said), stranger, TG_STR("h")), TG_STR("h")));
    cr_assert(tg_str_eq(tg_forward_client(FIELDS(said), balancer), TG_STR("198.51.100.7")));
    cr_assert(tg_str_eq(tg_forward_scheme(FIELDS(said), balancer), TG_STR("https")));
    cr_assert(
        tg_str_eq(tg_forward_host(FIELDS(said), balancer, TG_STR("h")), TG_STR("app.example")));
}

Test(forward, takes_the_entry_that_the_nearest_proxy_wrote)
{
    static const struct tg_field twice[] = {F("X-Forwarded-For", "1.1.1.1"),
                                            F("X-Forwarded-For", "2001:db8::1")};
    static const struct tg_field odd[] = {F("X-Forwarded-For", "1.1.1.1, unknown")};

    cr_assert(tg_str_eq(tg_forward_client(FIELDS(twice), balancer), TG_STR("2001:db8::1")));
    cr_assert(tg_str_eq(tg_forward_client(FIELDS(odd), balancer), TG_STR("10.0.0.1")));
}

Test(forward, appends_the_peer_to_what_a_trusted_one_said)
{
    struct tg_arena arena = {0};

    cr_assert(tg_str_eq(tg_forward_for(&arena, FIELDS(said), balancer),
                        TG_STR("6.6.6.6, 198.51.100.7, 10.0.0.1")));
    cr_assert(tg_str_eq(tg_forward_for(&arena, FIELDS(said), stranger), TG_STR("192.0.2.1")));
    cr_assert(tg_str_eq(tg_forward_forwarded(&arena, TG_STR("for=a;proto=https"), TG_STR("::1")),
                        TG_STR("for=a;proto=https, for=\"[::1]\"")));
    cr_assert(tg_str_eq(tg_forward_forwarded(&arena, TG_STR(""), TG_STR("1.2.3.4")),
                        TG_STR("for=1.2.3.4")));
    tg_arena_drop(&arena);
}

Test(forward, cuts_a_chain_over_its_bound_to_the_peer)
{
    char huge[5000];
    const struct tg_field field = {TG_STR("X-Forwarded-For"), tg_str_make(huge, sizeof(huge))};
    struct tg_arena arena = {0};

    memset(huge, '1', sizeof(huge));
    cr_assert(tg_str_eq(tg_forward_for(&arena, (struct tg_fields){&field, 1}, balancer),
                        TG_STR("10.0.0.1")));
    tg_arena_drop(&arena);
}

Test(forward, knows_its_fields)
{
    cr_assert(tg_forward_is_field(TG_STR("x-forwarded-anything")));
    cr_assert(tg_forward_is_field(TG_STR("FORWARDED")));
    cr_assert_not(tg_forward_is_field(TG_STR("X-Forward")));
    cr_assert(tg_forward_is_reserved(TG_STR("sb-forwarded-for")));
    cr_assert(tg_forward_is_reserved(TG_STR("X-API-Key")));
    cr_assert(tg_forward_is_reserved(TG_STR("x-jwt-aud")));
    cr_assert_not(tg_forward_is_reserved(TG_STR("apikey")));
}
