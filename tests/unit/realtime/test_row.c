/* test_row.c - rows as text, and rows that are equal in two spellings. */
#include <criterion/criterion.h>

#include "realtime/row.h"
#include "realtime/table.h"

static const tg_str id[] = {TG_STR_INIT("id")};
static const tg_str pair[] = {TG_STR_INIT("b"), TG_STR_INIT("a")};

static const char *shown(struct tg_buf *b)
{
    return tg_buf_cstr(b);
}

/* ---- primary keys ---- */

static void is_pk(const tg_str *columns, size_t n, const char *record, const char *expected)
{
    const struct tg_table table = {.pk = columns, .n_pk = n};
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = 4096};

    cr_assert_eq(tg_row_pk(&table, tg_str_of(record), &out), TG_OK);
    cr_assert_str_eq(shown(&out), expected);
}

Test(row, a_primary_key_is_an_array_in_the_order_of_the_key)
{
    is_pk(id, 1, "{\"x\":1,\"id\":42}", "[42]");
    is_pk(pair, 2, "{\"a\":\"x\",\"b\":7}", "[7,\"x\"]");
}

Test(row, a_primary_key_has_one_spelling)
{
    is_pk(id, 1, "{\"id\" : \"a\\u0062\\/\"}", "[\"ab/\"]");
    is_pk(id, 1, "{\"id\":\"q\\\"\\n\"}", "[\"q\\\"\\u000a\"]");
    is_pk(id, 1, "{\"id\":9007199254740993}", "[9007199254740993]");
    is_pk(id, 1, "{\"id\":-12.50}", "[-12.5]");
    is_pk(id, 1, "{\"id\":1e3}", "[1000]");
    is_pk(id, 1, "{\"id\":0.00120}", "[0.0012]");
    is_pk(id, 1, "{\"id\":12E-4}", "[0.0012]");
    is_pk(id, 1, "{\"id\":-0.0}", "[0]");
    is_pk(id, 1, "{\"id\":true}", "[true]");
    is_pk(id, 1, "{\"id\":1e9999}", "[1e9999]");
}

Test(row, a_row_without_its_primary_key_has_none)
{
    const struct tg_table table = {.pk = pair, .n_pk = 2};
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = 4096};

    cr_assert_eq(tg_row_pk(&table, TG_STR("{\"a\":1}"), &out), TG_ENOTFOUND);
    cr_assert_eq(tg_row_pk(&table, TG_STR("{\"a\":1,\"b\":null}"), &out), TG_ENOTFOUND);
    cr_assert_eq(tg_row_pk(&table, TG_STR("nonsense"), &out), TG_EBADJSON);
}

Test(row, a_table_that_nobody_described_has_the_key_id)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = 4096};

    cr_assert_eq(tg_row_pk(NULL, TG_STR("{\"id\":\"x\"}"), &out), TG_OK);
    cr_assert_str_eq(shown(&out), "[\"x\"]");
}

Test(row, a_primary_key_over_the_maximum_is_refused)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = 4};

    cr_assert_eq(tg_row_pk(NULL, TG_STR("{\"id\":\"long\"}"), &out), TG_ELIMIT);
}

/* ---- columns ---- */

static void is_text(const char *record, const char *column, const char *expected)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = 4096};

    cr_assert_eq(tg_row_text(tg_str_of(record), tg_str_of(column), &out), TG_OK);
    cr_assert_str_eq(shown(&out), expected);
}

Test(row, a_column_is_text_without_quotes)
{
    is_text("{\"a\":\"x\\\"y\"}", "a", "x\"y");
    is_text("{\"a\":1,\"b\":9007199254740993}", "b", "9007199254740993");
    is_text("{\"a\":1.10}", "a", "1.10");
    is_text("{\"a\":false}", "a", "false");
    is_text("{\"a\":{\"b\": [1, 2]}}", "a", "{\"b\":[1,2]}");
    is_text("{\"caf\\u00e9\":1}", "caf\xC3\xA9", "1");
}

Test(row, a_column_may_be_missing_or_null)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = 4096};

    cr_assert_eq(tg_row_text(TG_STR("{\"a\":1}"), TG_STR("b"), &out), TG_ENOTFOUND);
    cr_assert_eq(tg_row_text(TG_STR("{\"a\":null}"), TG_STR("a"), &out), TG_EEOF);
    cr_assert_eq(out.n, 0);
}

Test(row, a_cut_has_its_columns_in_their_order_and_all_digits)
{
    const tg_str columns[] = {TG_STR_INIT("n"), TG_STR_INIT("doc"), TG_STR_INIT("id")};
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = 4096};

    cr_assert_eq(tg_row_cut(TG_STR("{\"id\": 9007199254740993, \"secret\":1,\"n\":1.10,"
                                   "\"doc\":{\"a\": 1.0, \"b\": \"x y\"}}"),
                            columns, 3, &out),
                 TG_OK);
    cr_assert_str_eq(shown(&out), "{\"n\":1.10,\"doc\":{\"a\":1.0,\"b\":\"x y\"},"
                                  "\"id\":9007199254740993}");
}

Test(row, a_cut_tells_what_is_missing)
{
    const tg_str columns[] = {TG_STR_INIT("a"), TG_STR_INIT("b")};
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = 4096};

    cr_assert_eq(tg_row_cut(TG_STR("{\"b\":null}"), columns, 2, &out), TG_ENOTFOUND);
    cr_assert_str_eq(shown(&out), "{\"b\":null}");
}

Test(row, a_cut_over_the_maximum_is_refused)
{
    const tg_str columns[] = {TG_STR_INIT("a")};
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = 6};

    cr_assert_eq(tg_row_cut(TG_STR("{\"a\":12345}"), columns, 1, &out), TG_ELIMIT);
}

/* ---- equality ---- */

static void are_equal(const char *a, const char *b)
{
    cr_assert_eq(tg_row_hash(tg_str_of(a)), tg_row_hash(tg_str_of(b)), "%s and %s", a, b);
}

static void differ(const char *a, const char *b)
{
    cr_assert_neq(tg_row_hash(tg_str_of(a)), tg_row_hash(tg_str_of(b)), "%s and %s", a, b);
}

Test(row, two_spellings_of_a_row_are_equal)
{
    are_equal("{\"a\":1,\"b\":2}", " { \"b\" : 2 ,\n\"a\" : 1 } ");
    are_equal("{\"doc\":{\"x\":[1,{\"p\":1,\"q\":2}],\"y\":null}}",
              "{\"doc\": {\"y\": null, \"x\": [1, {\"q\": 2, \"p\": 1}]}}");
    are_equal("{\"a\":\"caf\\u00e9 \\/ \\n \\ud83d\\ude00\"}",
              "{\"a\":\"caf\xC3\xA9 / \\u000a \xF0\x9F\x98\x80\"}");
    are_equal("{\"\\u0061\":1}", "{\"a\":1}");
    are_equal("{\"a\":\"\\\\xdeadbeef\"}", "{\"a\":\"deadbeef\"}");
    are_equal("{\"a\":\"\\\\x\"}", "{\"a\":\"\"}");
    are_equal("{\"a\":{\"x\":1,\"x\":2}}", "{\"a\":{\"x\":2}}");
}

Test(row, two_spellings_of_a_number_are_equal)
{
    are_equal("{\"a\":1e+20}", "{\"a\":100000000000000000000}");
    are_equal("{\"a\":1.10}", "{\"a\":1.1}");
    are_equal("{\"a\":-0}", "{\"a\":0.00}");
    are_equal("{\"a\":2.5e-07}", "{\"a\":0.00000025}");
    are_equal("{\"a\":1E5}", "{\"a\":1.0e5}");
    are_equal("{\"a\":1e999999999999999999}", "{\"a\":1.0e999999999999999999}");
}

Test(row, rows_that_say_something_else_differ)
{
    differ("{\"a\":1}", "{\"a\":\"1\"}");
    differ("{\"a\":null}", "{\"a\":\"null\"}");
    differ("{\"a\":null}", "{}");
    differ("{\"a\":9007199254740993}", "{\"a\":9007199254740992}");
    differ("{\"a\":1}", "{\"a\":-1}");
    differ("{\"a\":1}", "{\"b\":1}");
    differ("{\"a\":1}", "{\"a\":10}");
    differ("{\"a\":0.1}", "{\"a\":0.01}");
    differ("{\"a\":[1,2]}", "{\"a\":[2,1]}");
    differ("{\"a\":[]}", "{\"a\":{}}");
    differ("{\"a\":[1],\"b\":[2]}", "{\"a\":[2],\"b\":[1]}");
    differ("{\"a\":[[1],2]}", "{\"a\":[[1,2]]}");
    differ("{\"a\":\"b\",\"c\":\"d\"}", "{\"a\":\"d\",\"c\":\"b\"}");
    differ("{\"a\":\"\\\\xzz\"}", "{\"a\":\"zz\"}");
    differ("{\"a\":\"x y\"}", "{\"a\":\"xy\"}");
}

Test(row, a_hash_is_the_same_in_every_process)
{
    cr_assert_eq(tg_row_hash(TG_STR("{\"id\":1,\"name\":\"x\"}")), 0x1124b7210904086bU);
}

Test(row, what_is_not_json_is_equal_to_itself_only)
{
    static const char *const bad[] = {"", "{", "}", "[", "\"", "\"\\", "{\"a\"", "\"a\\", "]]"};
    TG_CLEANUP(tg_buf_fini) struct tg_buf deep = {.max = 4096};

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        for (size_t k = 0; k < TG_ARRAY_LEN(bad); k++) {
            cr_assert_eq(tg_row_hash(tg_str_of(bad[i])) == tg_row_hash(tg_str_of(bad[k])), i == k);
        }
    }
    for (int i = 0; i < 100; i++) {
        (void)tg_buf_char(&deep, '[');
    }
    are_equal(tg_buf_cstr(&deep), tg_buf_cstr(&deep));
}
