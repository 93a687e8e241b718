/* Conditions on rows: what is taken, what they mean, and how PostgREST is asked for the same. */
#include <criterion/criterion.h>

#include "realtime/where.h"

static struct tg_where *parsed(const char *text)
{
    struct tg_where *w = NULL;
    const char *why = NULL;

    cr_assert_eq(tg_where_parse(tg_str_of(text), &w, &why), TG_OK, "%s: %s", text, why);
    return w;
}

enum answer { NO, YES, UNKNOWN };

static enum answer ask(const char *where, const char *record)
{
    struct tg_where *w = parsed(where);
    bool is_known = false;
    bool matches = tg_where_matches(w, tg_str_of(record), &is_known);

    cr_assert(is_known || !matches, "what is not known is no match");
    tg_where_destroy(w);
    return !is_known ? UNKNOWN : matches ? YES : NO;
}

struct ask {
    const char *where;
    const char *record;
    enum answer answer;
};

static void expect(const struct ask *asks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cr_expect_eq(ask(asks[i].where, asks[i].record), asks[i].answer, "%s on %s", asks[i].where,
                     asks[i].record);
    }
}

Test(where, compares_texts_as_they_are)
{
    static const struct ask asks[] = {
        {"a=eq.x", "{\"a\":\"x\"}", YES},
        {"a=eq.x", "{\"b\":1,\"a\":\"X\"}", NO},
        {"a=eq.x y", "{\"a\":\"x y\"}", YES},
        {"a=eq.", "{\"a\":\"\"}", YES},
        {"a=eq.\"x\"", "{\"a\":\"x\"}", NO},
        {"a=eq.\"x\"", "{\"a\":\"\\\"x\\\"\"}", YES},
        {"a=eq.\xc3\xa9", "{\"a\":\"\\u00e9\"}", YES},
        {"a=eq.x.y=z", "{\"a\":\"x.y=z\"}", YES},
        {"a=neq.x", "{\"a\":\"y\"}", YES},
        {"a=neq.x", "{\"a\":\"x\"}", NO},
        {"a=not.eq.x", "{\"a\":\"y\"}", YES},
        {"a=not.neq.x", "{\"a\":\"x\"}", YES},
        {"a=not.neq.x", "{\"a\":\"y\"}", NO},
        {"a=eq.1", "{\"a\":\"1.0\"}", NO},
        {"a=eq.x", "{\"a\":{\"x\":1}}", NO},
        {"a=eq.[1]", "{\"a\":[1]}", NO},
    };

    expect(asks, TG_ARRAY_LEN(asks));
}

Test(where, compares_numbers_by_value_and_every_digit)
{
    static const struct ask asks[] = {
        {"a=eq.1", "{\"a\":1}", YES},
        {"a=eq.1", "{\"a\":1.000}", YES},
        {"a=eq.1.10", "{\"a\":1.1}", YES},
        {"a=eq.0.10", "{\"a\":1e-1}", YES},
        {"a=eq.-0", "{\"a\":0.00}", YES},
        {"a=eq.0e5", "{\"a\":0}", YES},
        {"a=eq..5", "{\"a\":0.5}", YES},
        {"a=eq.+5", "{\"a\":5}", YES},
        {"a=eq.1000", "{\"a\":1E+3}", YES},
        {"a=eq.100.00", "{\"a\":1e2}", YES},
        {"a=eq.0.001", "{\"a\":1}", NO},
        {"a=eq.10", "{\"a\":1}", NO},
        {"a=eq.01", "{\"a\":1}", YES},
        {"a=eq.-1", "{\"a\":1}", NO},
        {"a=eq.9007199254740993", "{\"a\":9007199254740992}", NO},
        {"a=eq.9007199254740993", "{\"a\":9007199254740993}", YES},
        {"a=eq.12.3", "{\"a\":1.23}", NO},
        {"a=eq.x", "{\"a\":1}", NO},
        {"a=eq.1e", "{\"a\":1}", NO},
        {"a=eq.1.2.3", "{\"a\":1.23}", NO},
        {"a=eq.", "{\"a\":0}", NO},
        {"a=eq.1e9999999999", "{\"a\":1}", NO},
        {"a=neq.1", "{\"a\":1.0}", NO},
        {"a=in.(1,2.50)", "{\"a\":2.5}", YES},
    };

    expect(asks, TG_ARRAY_LEN(asks));
}

Test(where, reads_booleans_as_postgresql_does)
{
    static const struct ask asks[] = {
        {"a=eq.true", "{\"a\":true}", YES},    {"a=eq.t", "{\"a\":true}", YES},
        {"a=eq.1", "{\"a\":true}", YES},       {"a=eq.TRUE", "{\"a\":true}", YES},
        {"a=eq.false", "{\"a\":true}", NO},    {"a=neq.true", "{\"a\":false}", YES},
        {"a=eq.off", "{\"a\":false}", YES},    {"a=is.true", "{\"a\":true}", YES},
        {"a=is.true", "{\"a\":false}", NO},    {"a=is.false", "{\"a\":false}", YES},
        {"a=is.true", "{\"a\":null}", NO},     {"a=not.is.true", "{\"a\":null}", YES},
        {"a=is.unknown", "{\"a\":null}", YES}, {"a=not.is.unknown", "{\"a\":true}", YES},
    };

    expect(asks, TG_ARRAY_LEN(asks));
}

Test(where, lets_null_equal_nothing_and_differ_from_nothing)
{
    static const struct ask asks[] = {
        {"a=eq.x", "{\"a\":null}", NO},
        {"a=neq.x", "{\"a\":null}", NO},
        {"a=not.eq.x", "{\"a\":null}", NO},
        {"a=in.(x,null)", "{\"a\":null}", NO},
        {"a=not.in.(x)", "{\"a\":null}", NO},
        {"a=eq.null", "{\"a\":null}", NO},
        {"a=eq.null", "{\"a\":\"null\"}", YES},
        {"a=is.null", "{\"a\":null}", YES},
        {"a=is.NULL", "{\"a\":null}", YES},
        {"a=is.null", "{\"a\":\"null\"}", NO},
        {"a=is.not_null", "{\"a\":1}", YES},
        {"a=not.is.null", "{\"a\":null}", NO},
        {"a=not.is.not_null", "{\"a\":null}", YES},
    };

    expect(asks, TG_ARRAY_LEN(asks));
}

Test(where, looks_for_one_of_several)
{
    static const struct ask asks[] = {
        {"a=in.(x,y)", "{\"a\":\"y\"}", YES},
        {"a=in.(x,y)", "{\"a\":\"x,y\"}", NO},
        {"a=in.(\"x,y\",z)", "{\"a\":\"x,y\"}", YES},
        {"a=in.(\"q\\\"\\\\\")", "{\"a\":\"q\\\"\\\\\"}", YES},
        {"a=in.(\"\")", "{\"a\":\"\"}", YES},
        {"a=in.(\"a&b\")", "{\"a\":\"a&b\"}", YES},
        {"a=in.( x)", "{\"a\":\" x\"}", YES},
        {"a=not.in.(x,y)", "{\"a\":\"z\"}", YES},
        {"a=not.in.(x,y)", "{\"a\":\"x\"}", NO},
    };

    expect(asks, TG_ARRAY_LEN(asks));
}

Test(where, wants_all_conditions_and_tells_when_it_cannot_know)
{
    static const struct ask asks[] = {
        {"a=eq.1&b=eq.2", "{\"a\":1,\"b\":2}", YES},
        {"a=eq.1&b=eq.2", "{\"a\":1,\"b\":3}", NO},
        {"a=eq.1&b=eq.2", "{\"a\":1}", UNKNOWN},
        {"a=eq.1&b=eq.2", "{\"b\":3}", NO},
        {"a=is.null", "{}", UNKNOWN},
        {"a=is.null", "[]", UNKNOWN},
        {"a=is.null", "", UNKNOWN},
        {"a=is.null&a=not.is.null", "{\"a\":1}", NO},
    };

    expect(asks, TG_ARRAY_LEN(asks));
}

Test(where, is_met_by_all_rows_when_there_is_none)
{
    bool is_known = false;

    cr_expect(tg_where_matches(NULL, TG_STR("{}"), &is_known));
    cr_expect(is_known);
    cr_expect_eq(tg_where_query(NULL).n, 0);
    tg_where_destroy(NULL);
}

Test(where, asks_postgrest_for_the_same)
{
    static const struct {
        const char *where;
        const char *query;
    } cases[] = {
        {"deleted_at=is.null", "deleted_at=is.null"},
        {"a=is.NOT_NULL", "a=not.is.null"},
        {"a=not.is.not_null", "a=is.null"},
        {"a=is.True&b=not.is.unknown", "a=is.true&b=not.is.unknown"},
        {"a=eq.x y&b=neq.\"&\xc3\xa9=eq.%41", "a=eq.x%20y&b=neq.%22&%C3%A9=eq.%2541"},
        {"a=in.(x,\"y,\\\"z\")", "a=in.(%22x%22,%22y%2C%5C%22z%22)"},
        {"a=not.in.(1)", "a=not.in.(%221%22)"},
        {"a=eq.", "a=eq."},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct tg_where *w = parsed(cases[i].where);

        cr_expect(tg_str_eq(tg_where_query(w), tg_str_of(cases[i].query)), "%s: %.*s",
                  cases[i].where, TG_STR_ARG(tg_where_query(w)));
        tg_where_destroy(w);
    }
}

Test(where, refuses_what_both_sides_would_not_surely_see_alike)
{
    static const char *const bad[] = {
        "",
        "a",
        "a=",
        "a=eq",
        "a=1",
        "=eq.1",
        "a=gt.1",
        "a=like.*",
        "a=ilike.x",
        "a=match.x",
        "a=fts.x",
        "a=cs.{1}",
        "a=is.x",
        "a=is.",
        "a=in.x",
        "a=in.()",
        "a=in.(x",
        "a=in.(x,)",
        "a=in.(,x)",
        "a=in.(\"x)",
        "a=in.(x)y",
        "a=in.(x(y))",
        "a=eq.1&",
        "&a=eq.1",
        "a=eq.1&&b=eq.2",
        "a->b=eq.1",
        "a.b=eq.1",
        "or=(a.eq.1)",
        "and=eq.1",
        "select=eq.1",
        "limit=eq.1",
        "a=eq(any).{1}",
        "a=not.not.eq.1",
        "a=eq.\xff",
        "a=eq.\n",
        "\"a\"=eq.1",
        "not.a=eq.1",
        "a=not",
        "a=not.",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        struct tg_where *w = NULL;
        const char *why = NULL;

        cr_expect_eq(tg_where_parse(tg_str_of(bad[i]), &w, &why), TG_EBADPARAM, "%s", bad[i]);
        cr_expect(w == NULL && why != NULL && why[0] != '\0', "%s", bad[i]);
    }
}

static enum tg_rc parse_many(const char *one, const char *sep, unsigned n, const char *before,
                             const char *after)
{
    struct tg_buf text = {.max = 65536};
    struct tg_where *w = NULL;
    const char *why = NULL;
    enum tg_rc rc = TG_OK;

    tg_buf_str(&text, tg_str_of(before));
    for (unsigned i = 0; i < n; i++) {
        tg_buf_printf(&text, "%s%s", i == 0 ? "" : sep, one);
    }
    tg_buf_str(&text, tg_str_of(after));
    rc = tg_where_parse(tg_buf_view(&text), &w, &why);
    tg_where_destroy(w);
    tg_buf_fini(&text);
    return rc;
}

Test(where, is_bounded)
{
    cr_expect_eq(parse_many("a=eq.1", "&", TG_WHERE_MAX_CONDITIONS, "", ""), TG_OK);
    cr_expect_eq(parse_many("a=eq.1", "&", TG_WHERE_MAX_CONDITIONS + 1, "", ""), TG_EBADPARAM);
    cr_expect_eq(parse_many("1", ",", TG_WHERE_MAX_IN, "a=in.(", ")"), TG_OK);
    cr_expect_eq(parse_many("1", ",", TG_WHERE_MAX_IN + 1, "a=in.(", ")"), TG_EBADPARAM);
    cr_expect_eq(parse_many("\xc3\xa9", "", (TG_WHERE_MAX_BYTES - 5) / 2, "a=eq.", ""), TG_OK);
    cr_expect_eq(parse_many("x", "", TG_WHERE_MAX_BYTES, "a=eq.", ""), TG_EBADPARAM);
}
