/* Questions who may read a topic: no key and no user can ask for something else. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "realtime/template.h"

static struct tg_template *parsed(const char *text)
{
    struct tg_template *t = NULL;
    const char *why = NULL;

    cr_assert_eq(tg_template_parse(tg_str_of(text), &t, &why), TG_OK, "%s: %s", text, why);
    return t;
}

static void expect(const char *text, const char *key, const char *sub, const char *target)
{
    struct tg_template *t = parsed(text);
    struct tg_buf out = {.max = 65536};

    cr_expect_eq(tg_template_expand(t, tg_str_of(key), tg_str_of(sub), &out), TG_OK);
    cr_expect_str_eq(tg_buf_cstr(&out), target);
    tg_buf_fini(&out);
    tg_template_destroy(t);
}

Test(template, puts_key_and_user_into_their_places)
{
    expect("trip_members?select=user_id&trip_id=eq.{key}&user_id=eq.{sub}", "42", "u-1",
           "/rest/v1/trip_members?select=user_id&trip_id=eq.42&user_id=eq.u-1&limit=1");
    expect("rpc/may_read?trip={key}", "42", "", "/rest/v1/rpc/may_read?trip=42");
    expect("rpc/my_trips?id=eq.{key}", "42", "", "/rest/v1/rpc/my_trips?id=eq.42");
    expect("admins", "42", "", "/rest/v1/admins?limit=1");
    expect("a?x=not.gte.{key}&limit=5", "1", "", "/rest/v1/a?x=not.gte.1&limit=5");
    expect("a?id=in.(0,{key})&limit=5", "1", "", "/rest/v1/a?id=in.(0,%221%22)&limit=5");
    expect("a?or=(x.eq.{key},and(y.not.eq.{sub},z.in.({key},{sub})))&limit=1", "k", "s",
           "/rest/v1/a?or=(x.eq.%22k%22,and(y.not.eq.%22s%22,z.in.(%22k%22,%22s%22)))&limit=1");
    expect("a?not.and=(x.eq.{key},y.is.null)&limit=1", "k", "",
           "/rest/v1/a?not.and=(x.eq.%22k%22,y.is.null)&limit=1");
    expect("a?select=id,t!inner(o)&t.o=eq.{sub}&limit=1", "", "s",
           "/rest/v1/a?select=id,t!inner(o)&t.o=eq.s&limit=1");
}

Test(template, escapes_the_operators_own_text_where_that_is_needed)
{
    expect("a?select=b->>c&x=eq.a b%20c\xc3\xa9#&limit=1", "", "",
           "/rest/v1/a?select=b-%3E%3Ec&x=eq.a%20b%20c%C3%A9%23&limit=1");
}

Test(template, wants_a_user_only_where_it_asks_for_one)
{
    struct tg_template *with = parsed("a?k=eq.{key}&u=eq.{sub}");
    struct tg_template *without = parsed("a?k=eq.{key}");
    struct tg_buf out = {.max = 4096};

    tg_buf_str(&out, TG_STR("x"));
    cr_expect(tg_template_has_sub(with));
    cr_expect_not(tg_template_has_sub(without));
    cr_expect_eq(tg_template_expand(with, TG_STR("1"), TG_STR(""), &out), TG_EFORBIDDEN);
    cr_expect_str_eq(tg_buf_cstr(&out), "x", "nothing is appended");
    cr_expect_eq(tg_template_expand(without, TG_STR("1"), TG_STR(""), &out), TG_OK);
    tg_buf_fini(&out);
    tg_template_destroy(with);
    tg_template_destroy(without);
    tg_template_destroy(NULL);
}

Test(template, appends_nothing_for_which_there_is_no_room)
{
    struct tg_template *t = parsed("a?k=eq.{key}");
    struct tg_buf out = {.max = 20};

    tg_buf_str(&out, TG_STR("x"));
    cr_expect_eq(tg_template_expand(t, TG_STR("1234567890"), TG_STR(""), &out), TG_ELIMIT);
    cr_expect_eq(out.n, 1);
    tg_buf_fini(&out);
    tg_template_destroy(t);
}

/* ---- no value can be more than a value ---- */

/* As PostgREST reads a query: split at '&' and '=', then decode. The text of parameter `name`. */
static void parameter(tg_str target, const char *name, struct tg_buf *out)
{
    tg_str query = target;
    unsigned n = 0;

    (void)tg_str_cut(&query, '?');
    tg_buf_clear(out);
    while (query.p != NULL) {
        tg_str value = tg_str_cut(&query, '&');
        tg_str key = tg_str_cut(&value, '=');
        bool is_whole = false;

        if (tg_str_eq(key, tg_str_of(name))) {
            cr_assert_eq(tg_buf_reserve(out, value.n), TG_OK);
            out->n = tg_str_unescape(value, true, out->p, &is_whole);
            cr_assert(is_whole);
            n++;
        }
    }
    cr_assert_eq(n, 1, "one parameter %s in %.*s", name, TG_STR_ARG(target));
}

/* A value as in.(..) and or=(..) have it, in quotes: pQuotedValue of PostgREST's grammar. Returns
 * what follows it. */
static tg_str quoted(tg_str s, struct tg_buf *out)
{
    size_t i = 1;

    tg_buf_clear(out);
    cr_assert(s.n > 1 && s.p[0] == '"');
    for (; i < s.n && s.p[i] != '"'; i++) {
        i += s.p[i] == '\\' ? 1 : 0;
        cr_assert(i < s.n);
        tg_buf_char(out, s.p[i]);
    }
    cr_assert(i < s.n, "the quote is closed");
    return tg_str_skip(s, i + 1);
}

static tg_str expect_prefix(tg_str s, const char *prefix)
{
    cr_assert(tg_str_has_prefix(s, tg_str_of(prefix)), "%.*s begins with %s", TG_STR_ARG(s),
              prefix);
    return tg_str_skip(s, strlen(prefix));
}

/* {key} and {sub} come back from a condition, a list, a tree and an argument as they went in. */
static void check_round_trip(const struct tg_template *t, tg_str key, tg_str sub)
{
    struct tg_buf target = {.max = 65536};
    struct tg_buf text = {.max = 65536};
    struct tg_buf value = {.max = 65536};
    tg_str rest = TG_STR_NONE;

    cr_assert_eq(tg_template_expand(t, key, sub, &target), TG_OK);
    for (size_t i = 0; i < target.n; i++) {
        cr_assert(target.p[i] > 0x20 && target.p[i] < 0x7F && target.p[i] != '#');
    }
    parameter(tg_buf_view(&target), "a", &text);
    rest = expect_prefix(tg_buf_view(&text), "eq.");
    cr_expect(tg_str_eq(rest, key));
    parameter(tg_buf_view(&target), "b", &text);
    rest = quoted(expect_prefix(tg_buf_view(&text), "in.(0,"), &value);
    cr_expect(tg_str_eq(tg_buf_view(&value), key));
    rest = quoted(expect_prefix(rest, ","), &value);
    cr_expect(tg_str_eq(tg_buf_view(&value), sub));
    cr_expect(tg_str_eq(rest, TG_STR(")")));
    parameter(tg_buf_view(&target), "or", &text);
    rest = quoted(expect_prefix(tg_buf_view(&text), "(c.eq."), &value);
    cr_expect(tg_str_eq(tg_buf_view(&value), sub));
    rest = quoted(expect_prefix(rest, ",and(d.lt."), &value);
    cr_expect(tg_str_eq(tg_buf_view(&value), key));
    cr_expect(tg_str_eq(rest, TG_STR(",e.is.null))")));
    parameter(tg_buf_view(&target), "limit", &text);
    cr_expect(tg_str_eq(tg_buf_view(&text), TG_STR("1")));
    tg_buf_fini(&target);
    tg_buf_fini(&text);
    tg_buf_fini(&value);
}

static const char all_places[] =
    "t?a=eq.{key}&b=in.(0,{key},{sub})&or=(c.eq.{sub},and(d.lt.{key},e.is.null))";

Test(template, gives_hostile_keys_back_as_they_are)
{
    static const char *const hostile[] = {
        "1&limit=0",
        "1&or=(a.eq.1)",
        "1)",
        "1\")",
        "\"",
        "\\",
        "\\\"",
        "\",\"x",
        "1,2",
        "(any).{1}",
        "*",
        "%",
        "%25",
        "%22",
        "+",
        "null",
        "is.null",
        "eq.1",
        "#",
        "?x=1",
        "../admins",
        "a=eq.b",
        "'; drop--",
        "{key}",
        "{sub}",
        "\xc3\xa9",
        "\xf0\x9f\x8c\x8d",
        "\r\nX: y",
        "\t",
        "=",
        "not.eq.1",
        ")),or=(a.eq.1",
        ".",
        "..",
        "\\\\\"",
    };
    struct tg_template *t = parsed(all_places);

    for (size_t i = 0; i < TG_ARRAY_LEN(hostile); i++) {
        check_round_trip(t, tg_str_of(hostile[i]), TG_STR("u"));
        check_round_trip(t, TG_STR("k"), tg_str_of(hostile[i]));
    }
    tg_template_destroy(t);
}

Test(template, gives_any_bytes_back_as_they_are)
{
    static const char likely[] = "\"\\(),.&=%{}'*+ ;:#?/\n";
    struct tg_template *t = parsed(all_places);
    unsigned seed = 4;

    for (unsigned round = 0; round < 3000; round++) {
        char bytes[2][128];
        size_t n[2] = {(size_t)rand_r(&seed) % 128, 1 + (size_t)rand_r(&seed) % 127};

        for (size_t s = 0; s < 2; s++) {
            for (size_t i = 0; i < n[s]; i++) {
                int r = rand_r(&seed);

                bytes[s][i] = (r & 0x100) != 0 ? likely[(size_t)r % (sizeof(likely) - 1)]
                                               : (char)(unsigned char)((unsigned)r >> 9U);
            }
        }
        check_round_trip(t, tg_str_make(bytes[0], n[0]), tg_str_make(bytes[1], n[1]));
    }
    tg_template_destroy(t);
}

Test(template, gives_a_function_no_argument_that_postgrest_takes_for_a_condition)
{
    static const char *const refused[] = {
        "eq.1",         "eq",     "in",          "is.null",        "not.is.null",
        "not",          "in.(1)", "eq(any).{1}", "fts(english).x", "cs.{1}",
        "isdistinct.1", "wfts",   "EQ.1"};
    static const char *const taken[] = {"1", "equal", "e.q", "x.eq.1", ".eq.1", "isnt", "-"};
    struct tg_template *t = parsed("rpc/f?a={key}");
    struct tg_buf out = {.max = 4096};

    for (size_t i = 0; i < TG_ARRAY_LEN(refused); i++) {
        cr_expect_eq(tg_template_expand(t, tg_str_of(refused[i]), TG_STR(""), &out), TG_EFORBIDDEN,
                     "%s", refused[i]);
        cr_expect_eq(out.n, 0);
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(taken); i++) {
        cr_expect_eq(tg_template_expand(t, tg_str_of(taken[i]), TG_STR(""), &out), TG_OK, "%s",
                     taken[i]);
    }
    tg_buf_fini(&out);
    tg_template_destroy(t);
}

Test(template, refuses_places_where_a_value_could_be_more)
{
    static const char *const bad[] = {
        "",
        "?a=eq.{key}",
        "a b?x=eq.1",
        "a/b?x=eq.1",
        "../a?x=eq.1",
        "rpc/",
        "rpc/a/b",
        "{key}?x=eq.1",
        "rpc/{key}",
        "a?{key}=eq.1",
        "a?{key}",
        "a?x={key}",
        "a?x=eq{key}",
        "a?x=eq.{key}.y",
        "a?x=eq.a{key}",
        "a?x=eq.{key}{sub}",
        "a?x=like.{key}",
        "a?x=ilike.{key}",
        "a?x=match.{key}",
        "a?x=fts.{key}",
        "a?x=is.{key}",
        "a?x=in.{key}",
        "a?x=cs.({key})",
        "a?x=eq(any).{key}",
        "a?x=in.(y{key})",
        "a?x=in.({key}y)",
        "a?x=in.({key}",
        "a?or=({key})",
        "a?or=(x.like.{key},y.eq.1)",
        "a?or=(x.is.{key})",
        "a?or=x.eq.{key}",
        "a?or=(foo(x.eq.{key}))",
        "a?select={key}",
        "a?order={key}",
        "a?limit={key}",
        "a?limit=eq.{key}",
        "a?select=eq.{key}",
        "a?x->>y=eq.{key}",
        "a?x=in.(\"{key}\")",
        "a?x=eq.\"{key}\"",
        "a?x=eq.%22{key}",
        "a?or=%28x.eq.{key})",
        "a?or=(x.eq.1%2Cy.eq.{key})",
        "rpc/f?select={key}",
        "rpc/f?a=b{key}",
        "a?x=eq.{Key}",
        "a?x=eq.{key",
        "a?x=eq.key}",
        "a?x=eq.{}",
        "a?x=eq.{user}",
        "a?x=eq.%4",
        "a?x=eq.%zz",
        "a?x=eq.\n",
        "a?x=eq.\xff",
        "a?x=eq.\\",
        ("a?a=eq.{key}&a=eq.{key}&a=eq.{key}&a=eq.{key}&a=eq.{key}&a=eq.{key}&a=eq.{key}&a=eq.{key}"
         "&a=eq.{key}"),
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        struct tg_template *t = NULL;
        const char *why = NULL;

        cr_expect_eq(tg_template_parse(tg_str_of(bad[i]), &t, &why), TG_EBADPARAM, "%s", bad[i]);
        cr_expect(t == NULL && why != NULL && why[0] != '\0', "%s", bad[i]);
        tg_template_destroy(t);
    }
}

Test(template, is_bounded)
{
    static char text[TG_TEMPLATE_MAX_BYTES + 1];
    struct tg_template *t = NULL;
    const char *why = NULL;

    memset(text, '\xc3', sizeof(text));
    memcpy(text, "a?x=eq.", 7);
    for (size_t i = 8; i < sizeof(text); i += 2) {
        text[i] = '\xa9';
    }
    cr_expect_eq(tg_template_parse(tg_str_make(text, sizeof(text)), &t, &why), TG_EBADPARAM);
    cr_assert_eq(tg_template_parse(tg_str_make(text, sizeof(text) - 2), &t, &why), TG_OK, "%s",
                 why);
    tg_template_destroy(t);
}

Test(template, takes_a_row_or_true_for_yes_and_nothing_else)
{
    static const char *const yes[] = {"[{\"id\":1}]", "true", " true\n", "[ 1 ]", "[[]]", "[null]"};
    static const char *const no[] = {
        "",
        "[]",
        " [ ] ",
        "false",
        "null",
        "1",
        "\"true\"",
        "{}",
        "{\"a\":1}",
        "[",
        "[1",
        "truex",
        "tru",
        "True",
        "[1]x",
        "true true",
        "[1][",
        "\"[1]\"",
        "{\"code\":\"42501\",\"message\":\"permission denied\"}",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(yes); i++) {
        cr_expect(tg_template_is_yes(tg_str_of(yes[i])), "%s", yes[i]);
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(no); i++) {
        cr_expect_not(tg_template_is_yes(tg_str_of(no[i])), "%s", no[i]);
    }
}
