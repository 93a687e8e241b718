/* test_snapshot_query.c - what a topic's filter is in PostgREST's words, to the byte. */
#include <criterion/criterion.h>

#include "handlers/snapshot_query.h"

/* The target of a topic, or the reason why there is none. */
static const char *target(const char *topic)
{
    static char out[4096];
    struct tg_buf b = {.max = TG_SNAPSHOT_TARGET_MAX};
    struct tg_topic_name t = {0};
    const char *why = NULL;

    cr_assert_eq(tg_topic_parse(NULL, tg_str_of(topic), &t, &why), TG_OK, "%s: %s", topic, why);
    if (tg_snapshot_target(&t, &b, &why) == TG_OK) {
        cr_assert_lt(b.n, sizeof(out));
        memcpy(out, b.p, b.n);
        out[b.n] = '\0';
        why = out;
    }
    tg_topic_fini(&t);
    tg_buf_fini(&b);
    return why;
}

Test(snapshot_query, says_the_filter_in_the_other_grammar)
{
    static const char *const cases[][2] = {
        {"table:public.tasks", "/rest/v1/tasks?select=*&"},
        {"table:public.t\xc3\xa4$", "/rest/v1/t%C3%A4%24?select=*&"},
        {"table:public.t:a=eq.1", "/rest/v1/t?select=*&a=eq.1&"},
        {"table:public.t:b=not.is.null,a=gte.2", "/rest/v1/t?select=*&a=gte.2&b=not.is.null&"},
        {"table:public.t:a=eq.x&limit=1", "/rest/v1/t?select=*&a=eq.x%26limit%3D1&"},
        {"table:public.t:a=eq.1+1%2 ", "/rest/v1/t?select=*&a=eq.1%2B1%252&"},
        {"table:public.t:a=eq.\"x, \\\"y\\\\\"", "/rest/v1/t?select=*&a=eq.x%2C%20%22y%5C&"},
        {"table:public.t:a=eq.\"x\"y", "/rest/v1/t?select=*&a=eq.%22x%22y&"},
        {"table:public.t:a=like.%25x_", "/rest/v1/t?select=*&a=like.%2525x_&"},
        {"table:public.t:a=isdistinct.b", "/rest/v1/t?select=*&a=isdistinct.b&"},
        {"table:public.t:a=match.^x", "/rest/v1/t?select=*&a=match.%5Ex&"},
        {"table:public.t:a=in.(1,2)", "/rest/v1/t?select=*&a=in.(%221%22,%222%22)&"},
        {"table:public.t:a=not.in.( b c ,\"d, \\\"e\",f\\,g)",
         "/rest/v1/t?select=*&a=not.in.(%22b%20c%22,%22d%2C%20%5C%22e%22,%22f%2Cg%22)&"},
        {"table:public.t:a=in.(\"\",null,\"null\")",
         "/rest/v1/t?select=*&a=in.(%22%22,%22null%22)&"},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        cr_expect_str_eq(target(cases[i][0]), cases[i][1], "%s", cases[i][0]);
    }
}

Test(snapshot_query, refuses_what_would_mean_something_else)
{
    static const char *const cases[][2] = {
        {"table:public.t:limit=eq.1", "column of this name"},
        {"table:public.t:apikey=eq.1", "column of this name"},
        {"table:public.t:a=like.x*", "cannot look for *"},
        {"table:public.t:a=not.in.(1,NULL)", "a list with NULL"},
        {"table:public.t:a=in.(1,,2)", "cannot read the values"},
        {"table:public.t:a=in.({1},2)", "cannot read the values"},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        cr_expect_not_null(strstr(target(cases[i][0]), cases[i][1]), "%s: %s", cases[i][0],
                           target(cases[i][0]));
    }
}

Test(snapshot_query, pages_go_on_behind_the_last_key)
{
    struct tg_buf b = {.max = 256};

    cr_assert_eq(tg_snapshot_page(&b, TG_STR("id"), TG_STR_NONE, 10), TG_OK);
    cr_assert(tg_str_eq(tg_buf_view(&b), TG_STR("order=id.asc&limit=10")));
    tg_buf_clear(&b);
    cr_assert_eq(tg_snapshot_page(&b, TG_STR("id"), TG_STR("2024-05-06T05:08:09+00:00"), 10),
                 TG_OK);
    cr_assert(tg_str_eq(tg_buf_view(&b),
                        TG_STR("id=gt.2024-05-06T05%3A08%3A09%2B00%3A00&order=id.asc&limit=10")));
    tg_buf_clear(&b);
    cr_assert_eq(tg_snapshot_page(&b, TG_STR("id"), TG_STR(""), 10), TG_OK);
    cr_assert(tg_str_has_prefix(tg_buf_view(&b), TG_STR("id=gt.&")), "an empty text is a key too");
    tg_buf_fini(&b);
}

Test(snapshot_query, has_a_column_as_key)
{
    cr_expect(tg_snapshot_is_column(TG_STR("id")));
    cr_expect(tg_snapshot_is_column(TG_STR("_Id$2")));
    cr_expect(tg_snapshot_is_column(TG_STR("\xc3\xa4")));
    cr_expect_not(tg_snapshot_is_column(TG_STR("")));
    cr_expect_not(tg_snapshot_is_column(TG_STR("2id")));
    cr_expect_not(tg_snapshot_is_column(TG_STR("id.desc")));
    cr_expect_not(tg_snapshot_is_column(TG_STR("a->b")));
    cr_expect_not(tg_snapshot_is_column(TG_STR("\xff")));
}
