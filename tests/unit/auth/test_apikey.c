/* What a key is, and when an Authorization header names a user. */
#include <criterion/criterion.h>

#include "auth/apikey.h"

static const struct tg_apikeys ours = {
    .anon = TG_STR_INIT("aaa.bbb.anon"),
    .service = TG_STR_INIT("aaa.bbb.service"),
    .publishable = TG_STR_INIT("sb_publishable_1"),
    .secret = TG_STR_INIT("sb_secret_1"),
};

static void assert_key(const char *key, enum tg_apikey_form form, enum tg_apikey_door door)
{
    cr_assert_eq(tg_apikey_form(tg_str_of(key)), form, "form of %s", key);
    cr_assert_eq(tg_apikey_door(&ours, tg_str_of(key)), door, "door of %s", key);
}

Test(apikey, tells_our_keys_from_others)
{
    assert_key("aaa.bbb.anon", TG_APIKEY_JWT, TG_APIKEY_PUBLIC);
    assert_key("aaa.bbb.service", TG_APIKEY_JWT, TG_APIKEY_SERVICE);
    assert_key("sb_publishable_1", TG_APIKEY_PUBLISHABLE, TG_APIKEY_PUBLIC);
    assert_key("sb_secret_1", TG_APIKEY_SECRET, TG_APIKEY_SERVICE);
    assert_key("aaa.bbb.servicf", TG_APIKEY_JWT, TG_APIKEY_FOREIGN);
    assert_key("aaa.bbb.servic", TG_APIKEY_JWT, TG_APIKEY_FOREIGN);
    assert_key("aaa.bbb.servicee", TG_APIKEY_JWT, TG_APIKEY_FOREIGN);
    assert_key("sb_secret_2", TG_APIKEY_SECRET, TG_APIKEY_FOREIGN);
    assert_key("sb_publishable_", TG_APIKEY_PUBLISHABLE, TG_APIKEY_FOREIGN);
    assert_key("sb_temp_1", TG_APIKEY_OTHER, TG_APIKEY_FOREIGN);
    assert_key("a.b", TG_APIKEY_OTHER, TG_APIKEY_FOREIGN);
    assert_key("a.b.", TG_APIKEY_OTHER, TG_APIKEY_FOREIGN);
    assert_key("a.b.c.d", TG_APIKEY_OTHER, TG_APIKEY_FOREIGN);
    assert_key("..", TG_APIKEY_OTHER, TG_APIKEY_FOREIGN);
    assert_key("", TG_APIKEY_NONE, TG_APIKEY_FOREIGN);
}

Test(apikey, no_key_is_not_a_key_that_is_not_configured)
{
    static const struct tg_apikeys none = {0};

    cr_assert_eq(tg_apikey_form(TG_STR_NONE), TG_APIKEY_NONE);
    cr_assert_eq(tg_apikey_door(&none, TG_STR_NONE), TG_APIKEY_FOREIGN);
    cr_assert_eq(tg_apikey_door(&none, TG_STR("sb_secret_1")), TG_APIKEY_FOREIGN);
}

Test(apikey, a_bearer_may_be_written_in_any_case_with_blanks)
{
    cr_assert(tg_str_eq(tg_apikey_bearer(TG_STR("Bearer a.b.c")), TG_STR("a.b.c")));
    cr_assert(tg_str_eq(tg_apikey_bearer(TG_STR(" bEARER   a.b.c \t")), TG_STR("a.b.c")));
    cr_assert_null(tg_apikey_bearer(TG_STR("Bearer")).p);
    cr_assert_null(tg_apikey_bearer(TG_STR("Bearer   ")).p);
    cr_assert_null(tg_apikey_bearer(TG_STR("Bearera.b.c")).p);
    cr_assert_null(tg_apikey_bearer(TG_STR("Basic a.b.c")).p);
    cr_assert_null(tg_apikey_bearer(TG_STR("a.b.c")).p);
    cr_assert_null(tg_apikey_bearer(TG_STR_NONE).p);
}

Test(apikey, as_bearer_names_no_user)
{
    cr_assert(tg_str_eq(tg_apikey_user_token(TG_STR("Bearer a.b.c")), TG_STR("a.b.c")));
    cr_assert_null(tg_apikey_user_token(TG_STR("Bearer sb_publishable_1")).p);
    cr_assert_null(tg_apikey_user_token(TG_STR("bearer sb_secret_1")).p);
    cr_assert_null(tg_apikey_user_token(TG_STR("Bearer sb_anything")).p);
    cr_assert_null(tg_apikey_user_token(TG_STR_NONE).p);
}
