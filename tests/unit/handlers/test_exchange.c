/* test_exchange.c - the target in parts, its parameters, and the text of an error. */
#include <criterion/criterion.h>

#include "handlers/exchange.h"
#include "util/json.h"

struct given {
    struct tg_request req;
    struct tg_exchange x;
    size_t at;
    tg_str name;
    tg_str value;
};

static void begin(struct given *g, const char *target)
{
    *g = (struct given){.x = {.req = &g->req}};
    tg_exchange_set_target(&g->x, tg_str_of(target));
}

static enum tg_rc next(struct given *g)
{
    return tg_exchange_param(&g->x, &g->at, &g->name, &g->value);
}

static void finish(struct given *g)
{
    tg_arena_drop(&g->req.arena);
}

#define ASSERT_STR(s, text)                                                                        \
    cr_assert(tg_str_eq((s), tg_str_of(text)), "%.*s is not %s", TG_STR_ARG(s), (text))

#define ASSERT_NEXT(g, name_text, value_text)                                                      \
    do {                                                                                           \
        cr_assert_eq(next(g), TG_OK);                                                              \
        ASSERT_STR((g)->name, name_text);                                                          \
        ASSERT_STR((g)->value, value_text);                                                        \
    } while (0)

Test(exchange, cuts_a_target_at_its_first_question_mark)
{
    struct given g;

    begin(&g, "/a/b?c=d?e");
    ASSERT_STR(g.x.path, "/a/b");
    ASSERT_STR(g.x.query, "c=d?e");
    begin(&g, "/a/b");
    ASSERT_STR(g.x.path, "/a/b");
    cr_assert_null(g.x.query.p);
    finish(&g);
}

Test(exchange, gives_parameters_in_order_with_repeats)
{
    struct given g;

    begin(&g, "/p?topic=a&topic=b&cursor=");
    ASSERT_NEXT(&g, "topic", "a");
    ASSERT_NEXT(&g, "topic", "b");
    ASSERT_NEXT(&g, "cursor", "");
    cr_assert_eq(next(&g), TG_EEOF);
    cr_assert_eq(next(&g), TG_EEOF);
    finish(&g);
}

Test(exchange, has_no_parameters_without_a_query)
{
    struct given g;

    begin(&g, "/p");
    cr_assert_eq(next(&g), TG_EEOF);
    begin(&g, "/p?");
    cr_assert_eq(next(&g), TG_EEOF);
    begin(&g, "/p?&&&");
    cr_assert_eq(next(&g), TG_EEOF);
    finish(&g);
}

Test(exchange, decodes_names_and_values_once)
{
    struct given g;

    begin(&g, "/p?t%6Fpic=a%3db%26c+d%2Be&x=%2525&y=a=b");
    ASSERT_NEXT(&g, "topic", "a=b&c d+e");
    ASSERT_NEXT(&g, "x", "%25");
    ASSERT_NEXT(&g, "y", "a=b");
    finish(&g);
}

Test(exchange, keeps_nul_as_a_byte)
{
    struct given g;

    begin(&g, "/p?a=b%00c");
    cr_assert_eq(next(&g), TG_OK);
    cr_assert(tg_str_eq(g.value, tg_str_make("b\0c", 3)));
    finish(&g);
}

Test(exchange, takes_a_parameter_without_a_value)
{
    struct given g;

    begin(&g, "/p?snapshot&=x");
    ASSERT_NEXT(&g, "snapshot", "");
    ASSERT_NEXT(&g, "", "x");
    finish(&g);
}

Test(exchange, refuses_broken_escapes_in_names_and_values)
{
    static const char *const targets[] = {"/p?a=%", "/p?a=%2", "/p?a=%zz",  "/p?a=%2g",
                                          "/p?%=b", "/p?%4=b", "/p?a=%%20", "/p?a=%-1"};

    for (size_t i = 0; i < TG_ARRAY_LEN(targets); i++) {
        struct given g;

        begin(&g, targets[i]);
        cr_assert_eq(next(&g), TG_EBADPARAM, "%s", targets[i]);
        finish(&g);
    }
}

Test(exchange, writes_errors_as_json_with_null_for_nothing)
{
    struct tg_buf out = {.max = 4096};

    tg_error_body(&out, TG_EBADTOPIC, TG_STR("a \"quoted\"\nword"), TG_STR(""));
    cr_assert(tg_json_is_valid(tg_buf_view(&out)));
    ASSERT_STR(tg_buf_view(&out), "{\"code\":\"TG403\",\"message\":\"The topic is not valid\","
                                  "\"details\":\"a \\\"quoted\\\"\\u000aword\",\"hint\":null}");
    tg_buf_fini(&out);
}
