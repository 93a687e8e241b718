/* The forms of texts that value.c's cases do not reach. */
#include <criterion/criterion.h>

#include "config/text.h"

Test(text, an_address_is_split_into_host_and_port)
{
    char host[TG_HOST_MAX];
    uint16_t port = 0;

    cr_assert_eq(tg_text_address(TG_STR("127.0.0.1:8080"), host, &port), TG_OK);
    cr_assert_str_eq(host, "127.0.0.1");
    cr_assert_eq(port, 8080);
    cr_assert_eq(tg_text_address(TG_STR("[fe80::1]:0"), host, &port), TG_OK);
    cr_assert_str_eq(host, "fe80::1");
    cr_assert_eq(port, 0);
}

Test(text, a_bad_address_leaves_the_results_alone)
{
    char host[TG_HOST_MAX] = "before";
    uint16_t port = 1;

    cr_assert_eq(tg_text_address(TG_STR("127.0.0.1:x"), host, &port), TG_EBADPARAM);
    cr_assert_eq(tg_text_address(TG_STR("x:80"), host, &port), TG_EBADPARAM);
    cr_assert_str_eq(host, "before");
    cr_assert_eq(port, 1);
}

Test(text, bytes_of_zero_are_never_part_of_a_host_or_name)
{
    char host[TG_HOST_MAX];
    uint16_t port = 0;

    cr_assert_eq(tg_text_address(TG_STR("127.0.0.1\0:80"), host, &port), TG_EBADPARAM);
    cr_assert_not(tg_text_is_cidr(TG_STR("::1\0")));
    cr_assert_not(tg_text_is_name(TG_STR("a\0")));
    cr_assert_not(tg_text_is_plain(TG_STR("a\0")));
}

Test(text, a_url_has_only_the_parts_it_may_have)
{
    cr_assert(tg_text_is_url(TG_STR("http://h/p"), "http https", TG_URL_PATH));
    cr_assert_not(tg_text_is_url(TG_STR("http://h/p"), "http https", 0));
    cr_assert(tg_text_is_url(TG_STR("redis://u:p@h/0"), "redis", TG_URL_PATH | TG_URL_USER));
    cr_assert_not(tg_text_is_url(TG_STR("redis://u:p@h/0"), "redis", TG_URL_PATH));
    cr_assert_not(tg_text_is_url(TG_STR("http://h/\\p"), "http", TG_URL_PATH));
    cr_assert_not(tg_text_is_url(TG_STR("http://h\r\n"), "http", TG_URL_PATH));
    cr_assert_not(tg_text_is_url(TG_STR("htt://h"), "http https", 0));
    cr_assert_not(tg_text_is_url(TG_STR("http://[::1"), "http", 0));
}

Test(text, origins_and_tables_have_their_forms)
{
    cr_assert(tg_text_is_origin(TG_STR("http://localhost:3000")));
    cr_assert_not(tg_text_is_origin(TG_STR("http://")));
    cr_assert_not(tg_text_is_origin(TG_STR("null")));
    cr_assert_not(tg_text_is_origin(TG_STR("https://*.example.com")));
    cr_assert(tg_text_is_table(TG_STR("public.My Table")));
    cr_assert_not(tg_text_is_table(TG_STR("public.a\n")));
}

Test(text, a_topics_name_is_plain_and_of_no_other_kind)
{
    static const char *const good[] = {"a", "trip-notices", "trip_notices2"};
    static const char *const bad[] = {"", "2a", "-a", "A", "a.b", "a:b", "table", "inbox", "a b"};

    for (size_t i = 0; i < TG_ARRAY_LEN(good); i++) {
        cr_assert(tg_text_is_topic(tg_str_of(good[i])), "%s", good[i]);
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_not(tg_text_is_topic(tg_str_of(bad[i])), "%s", bad[i]);
    }
}

Test(text, knows_identifiers)
{
    static const char *const good[] = {"a", "_a", "A1", "a$b", "\xc3\xa9"};
    static const char *const bad[] = {"", "1a", "$a", "a b", "a.b", "a-b", "*", "\"a\"", "\xff"};

    for (size_t i = 0; i < TG_ARRAY_LEN(good); i++) {
        cr_expect(tg_text_is_identifier(tg_str_of(good[i])), "%s", good[i]);
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_expect_not(tg_text_is_identifier(tg_str_of(bad[i])), "%s", bad[i]);
    }
}
