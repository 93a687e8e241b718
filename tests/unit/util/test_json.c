/* test_json.c - parsing, slicing and writing JSON. */
#include <criterion/criterion.h>
#include <jansson.h>

#include "util/json.h"

static void nested(struct tg_buf *b, int depth)
{
    tg_buf_init(b, 1000);
    for (int i = 0; i < depth; i++) {
        (void)tg_buf_char(b, '[');
    }
    for (int i = 0; i < depth; i++) {
        (void)tg_buf_char(b, ']');
    }
}

static bool unquotes_to(const char *value, tg_str wanted)
{
    struct tg_buf b = {0};
    bool is_same = false;

    tg_buf_init(&b, 1000);
    is_same = tg_json_unquote(tg_str_of(value), &b) == TG_OK && tg_str_eq(tg_buf_view(&b), wanted);
    tg_buf_fini(&b);
    return is_same;
}

static bool quotes_to(tg_str s, const char *wanted)
{
    struct tg_buf b = {0};
    bool is_same = false;

    tg_buf_init(&b, 1000);
    is_same = tg_json_quote(&b, s) == TG_OK && tg_str_eq(tg_buf_view(&b), tg_str_of(wanted));
    tg_buf_fini(&b);
    return is_same;
}

Test(json, every_kind_of_value_is_valid)
{
    static const char *const good[] = {
        "0",
        "-0",
        "1.50",
        "-12.5e+10",
        "1E5",
        "true",
        "null",
        "\"\"",
        "[]",
        "{}",
        " [ 1 , {} ] ",
        "{\"a\":[true,{\"b\":null}]}",
        "\"\\u00e9\\/\\\"\"",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(good); i++) {
        cr_assert(tg_json_is_valid(tg_str_of(good[i])), "%s", good[i]);
    }
}

Test(json, what_the_grammar_does_not_allow_is_not_valid)
{
    static const char *const bad[] = {
        "",
        " ",
        "01",
        "1.",
        ".5",
        "+1",
        "-",
        "1e",
        "tru",
        "nul",
        "NaN",
        "'a'",
        "\"a",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "[",
        "]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "{a:1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1]",
        "[1}",
        "1 2",
        "{}{}",
        "\"\n\"",
        "\"\xFF\"",
        "[1]x",
        "{\"a\" 1}",
        "{1:2}",
        "/**/1",
        "\xEF\xBB\xBF{}",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_not(tg_json_is_valid(tg_str_of(bad[i])), "%s", bad[i]);
    }
}

Test(json, nesting_is_bounded_at_64_levels)
{
    struct tg_buf b = {0};

    nested(&b, 65);
    cr_assert(tg_json_is_valid(tg_buf_view(&b)), "64 levels around an empty array");
    tg_buf_fini(&b);
    nested(&b, 66);
    cr_assert_not(tg_json_is_valid(tg_buf_view(&b)));
    tg_buf_fini(&b);
}

Test(json, parse_builds_what_is_inspected)
{
    json_t *json = NULL;

    cr_assert_eq(tg_json_parse(TG_STR("{\"a\":[1,\"x\"]}"), 100, &json), TG_OK);
    cr_assert_eq(json_integer_value(json_array_get(json_object_get(json, "a"), 0)), 1);
    json_decref(json);
}

Test(json, parse_refuses_too_much_text_before_reading_it)
{
    json_t *json = NULL;

    cr_assert_eq(tg_json_parse(TG_STR("[1,2,3]"), 6, &json), TG_ELIMIT);
    cr_assert_null(json);
}

Test(json, parse_refuses_a_member_that_comes_twice)
{
    json_t *json = NULL;

    cr_assert_eq(tg_json_parse(TG_STR("{\"a\":1,\"a\":2}"), 100, &json), TG_EBADJSON);
    cr_assert_null(json);
}

Test(json, member_gives_the_text_as_it_stands)
{
    tg_str text = TG_STR("{ \"id\" : 9007199254740993.10 , \"r\":{\"id\":1, \"x\":[ ]} }");
    tg_str value = TG_STR_NONE;

    cr_assert_eq(tg_json_member(text, "id", &value), TG_OK);
    cr_assert(tg_str_eq(value, TG_STR("9007199254740993.10")));
    cr_assert_eq(tg_json_member(text, "r", &value), TG_OK);
    cr_assert(tg_str_eq(value, TG_STR("{\"id\":1, \"x\":[ ]}")));
}

Test(json, member_looks_at_one_level_only)
{
    tg_str value = TG_STR("untouched");

    cr_assert_eq(tg_json_member(TG_STR("{\"a\":{\"b\":1}}"), "b", &value), TG_ENOTFOUND);
    cr_assert(tg_str_eq(value, TG_STR("untouched")));
}

Test(json, member_of_text_that_is_no_container_is_bad)
{
    tg_str value = TG_STR_NONE;

    cr_assert_eq(tg_json_member(TG_STR("5"), "a", &value), TG_EBADJSON);
    cr_assert_eq(tg_json_member(TG_STR("{\"a\""), "a", &value), TG_EBADJSON);
    cr_assert_eq(tg_json_member(TG_STR_NONE, "a", &value), TG_EBADJSON);
}

Test(json, next_walks_arrays_and_objects_in_order)
{
    tg_str array = TG_STR(" [ 1 , \"two\" , [3] ] ");
    static const char *const wanted[] = {"1", "\"two\"", "[3]"};
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;

    for (size_t i = 0; i < TG_ARRAY_LEN(wanted); i++) {
        cr_assert_eq(tg_json_next(array, &at, &name, &value), TG_OK);
        cr_assert(tg_str_eq(value, tg_str_of(wanted[i])));
        cr_assert_eq(name.n, 0);
    }
    cr_assert_eq(tg_json_next(array, &at, &name, &value), TG_EEOF);
    at = 0;
    cr_assert_eq(tg_json_next(TG_STR("{\"a\\n\":1}"), &at, &name, &value), TG_OK);
    cr_assert(tg_str_eq(name, TG_STR("a\\n")), "raw text between the quotes");
}

Test(json, next_of_an_empty_container_is_the_end)
{
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;

    cr_assert_eq(tg_json_next(TG_STR("[ ]"), &at, &name, &value), TG_EEOF);
    at = 0;
    cr_assert_eq(tg_json_next(TG_STR("{}"), &at, &name, &value), TG_EEOF);
}

Test(json, unquote_decodes_every_escape)
{
    cr_assert(unquotes_to("\"plain\"", TG_STR("plain")));
    cr_assert(unquotes_to("\"\\b\\f\\n\\r\\t\\\"\\\\\\/\"", TG_STR("\b\f\n\r\t\"\\/")));
    cr_assert(unquotes_to("\"\\u0041\\u00e9\\u20AC\"", TG_STR("A\xC3\xA9\xE2\x82\xAC")));
    cr_assert(unquotes_to("\"\\ud83d\\ude00\"", TG_STR("\xF0\x9F\x98\x80")));
    cr_assert(unquotes_to("\"\\u0000\"", TG_STR("\0")));
}

Test(json, unquote_replaces_half_a_surrogate_pair)
{
    cr_assert(unquotes_to("\"\\ud83dx\"", TG_STR("\xEF\xBF\xBDx")));
    cr_assert(unquotes_to("\"\\ude00\"", TG_STR("\xEF\xBF\xBD")));
    cr_assert(unquotes_to("\"\\ud83d\\u0041\"", TG_STR("\xEF\xBF\xBD"
                                                       "A")));
}

Test(json, unquote_takes_strings_only)
{
    struct tg_buf b = {0};

    tg_buf_init(&b, 100);
    cr_assert_eq(tg_json_unquote(TG_STR("1"), &b), TG_EBADJSON);
    cr_assert_eq(tg_json_unquote(TG_STR("\"a\" "), &b), TG_EBADJSON);
    cr_assert_eq(tg_json_unquote(TG_STR("\""), &b), TG_EBADJSON);
    cr_assert_eq(tg_json_unquote(TG_STR_NONE, &b), TG_EBADJSON);
    tg_buf_fini(&b);
}

Test(json, unquote_says_when_the_text_does_not_fit)
{
    struct tg_buf b = {0};

    tg_buf_init(&b, 3);
    cr_assert_eq(tg_json_unquote(TG_STR("\"abcd\""), &b), TG_ELIMIT);
    tg_buf_fini(&b);
}

Test(json, quote_escapes_what_must_be_and_nothing_else)
{
    cr_assert(quotes_to(TG_STR("a/\xC3\xA9\x7F"), "\"a/\xC3\xA9\x7F\""));
    cr_assert(quotes_to(TG_STR("\"\\\n\x01"), "\"\\\"\\\\\\u000a\\u0001\""));
    cr_assert(quotes_to(TG_STR_NONE, "\"\""));
}

Test(json, quote_replaces_bytes_that_are_not_utf8)
{
    cr_assert(quotes_to(TG_STR("a\xFFz"), "\"a\xEF\xBF\xBDz\""));
    cr_assert(quotes_to(TG_STR("\xC3"), "\"\xEF\xBF\xBD\""));
}

Test(json, compact_leaves_out_blanks_between_tokens_only)
{
    static const struct {
        const char *from;
        const char *to;
    } cases[] = {
        {" {\n  \"a b\" : [ 1.10 ,\t12345678901234567890 ] }\r\n",
         "{\"a b\":[1.10,12345678901234567890]}"},
        {"\" \\\" \\u0020 \"", "\" \\\" \\u0020 \""},
        {"null", "null"},
        {"", ""},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct tg_buf b = {.max = 256};

        cr_assert_eq(tg_json_compact(&b, tg_str_of(cases[i].from)), TG_OK);
        cr_expect(tg_str_eq(tg_buf_view(&b), tg_str_of(cases[i].to)), "%s", cases[i].from);
        tg_buf_fini(&b);
    }
}

Test(json, compact_says_when_a_string_is_open_or_there_is_no_room)
{
    struct tg_buf b = {.max = 3};

    cr_assert_eq(tg_json_compact(&b, TG_STR("\"a")), TG_EBADJSON);
    tg_buf_clear(&b);
    cr_assert_neq(tg_json_compact(&b, TG_STR("[1, 2]")), TG_OK);
    tg_buf_fini(&b);
}
