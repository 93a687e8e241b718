/* Values and names in queries to PostgREST. */
#include <criterion/criterion.h>

#include "realtime/query.h"

static void expect(void (*put)(struct tg_buf *out, tg_str text), tg_str text, const char *wanted)
{
    struct tg_buf out = {.max = 4096};

    put(&out, text);
    cr_expect_str_eq(tg_buf_cstr(&out), wanted);
    tg_buf_fini(&out);
}

Test(query, escapes_every_byte_that_does_not_mean_itself)
{
    expect(tg_query_escape, TG_STR("aZ09-._~"), "aZ09-._~");
    expect(tg_query_escape, TG_STR("a b&c=d%+#/"), "a%20b%26c%3Dd%25%2B%23%2F");
    expect(tg_query_escape, TG_STR("\0\n\xc3\xa9\xff"), "%00%0A%C3%A9%FF");
    expect(tg_query_escape, TG_STR(""), "");
}

Test(query, quotes_what_stands_in_parentheses)
{
    expect(tg_query_quote, TG_STR("a"), "%22a%22");
    expect(tg_query_quote, TG_STR(""), "%22%22");
    expect(tg_query_quote, TG_STR("\"\\),("), "%22%5C%22%5C%5C%29%2C%28%22");
}

Test(query, tells_columns_from_what_postgrest_keeps_for_itself)
{
    static const char *const good[] = {"a", "_a", "a1", "a$", "Title", "\xc3\xa9t\xc3\xa9", "ands"};
    static const char *const bad[] = {"",        "1a",          "$a",     "a b",    "a.b",
                                      "a\"",     "*",           "a-",     "select", "order",
                                      "limit",   "offset",      "and",    "or",     "not",
                                      "columns", "on_conflict", "apikey", "\xff"};
    char longest[65];

    for (size_t i = 0; i < TG_ARRAY_LEN(good); i++) {
        cr_expect(tg_query_is_column(tg_str_of(good[i])), "%s", good[i]);
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_expect_not(tg_query_is_column(tg_str_of(bad[i])), "%s", bad[i]);
    }
    cr_expect(tg_query_is_identifier(TG_STR("select")), "a table may be called so");
    memset(longest, 'a', sizeof(longest));
    cr_expect(tg_query_is_identifier(tg_str_make(longest, 63)));
    cr_expect_not(tg_query_is_identifier(tg_str_make(longest, 64)));
}
