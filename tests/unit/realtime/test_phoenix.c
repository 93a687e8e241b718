/* test_phoenix.c - Phoenix frames as they are read and written. */
#include <criterion/criterion.h>

#include "realtime/phoenix.h"
#include "util/json.h"

#define cr_assert_text(got, expected)                                                              \
    cr_assert(tg_str_eq((got), TG_STR(expected)), "%.*s", (int)(got).n, (got).p)

Test(phoenix, frame_is_sliced)
{
    struct tg_phoenix f = {0};

    cr_assert_eq(
        tg_phoenix_parse(TG_STR("[\"1\",\"2\",\"realtime:a\",\"phx_reply\",{\"x\":[1]}]"), &f),
        TG_OK);
    cr_assert_text(f.join_ref, "1");
    cr_assert_text(f.ref, "2");
    cr_assert_text(f.topic, "realtime:a");
    cr_assert_text(f.event, "phx_reply");
    cr_assert_text(f.payload, "{\"x\":[1]}");
}

Test(phoenix, refs_may_be_null)
{
    struct tg_phoenix f = {0};

    cr_assert_eq(tg_phoenix_parse(TG_STR("[null,null,\"t\",\"e\",{}]"), &f), TG_OK);
    cr_assert_eq(f.join_ref.n, 0);
    cr_assert_eq(f.ref.n, 0);
}

Test(phoenix, what_is_no_frame_is_refused)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "[null,null,\"t\",\"e\"]",
        "[null,null,null,\"e\",{}]",
        "[null,null,\"t\",null,{}]",
        "[1,null,\"t\",\"e\",{}]",
        "[\"1\",2,\"t\",\"e\",{}]",
        "\"text\"",
    };
    struct tg_phoenix f = {0};

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_eq(tg_phoenix_parse(tg_str_of(bad[i]), &f), TG_EBADJSON, "%s", bad[i]);
    }
}

Test(phoenix, reply_says_whether_it_went_well)
{
    bool ok = false;
    tg_str response = TG_STR_NONE;

    cr_assert_eq(
        tg_phoenix_reply(TG_STR("{\"status\":\"ok\",\"response\":{\"a\":1}}"), &ok, &response),
        TG_OK);
    cr_assert(ok);
    cr_assert_text(response, "{\"a\":1}");
    cr_assert_eq(tg_phoenix_reply(TG_STR("{\"response\":{},\"status\":\"error\"}"), &ok, &response),
                 TG_OK);
    cr_assert_not(ok);
    cr_assert_eq(tg_phoenix_reply(TG_STR("{\"status\":\"ok\"}"), &ok, &response), TG_OK);
    cr_assert_text(response, "{}");
    cr_assert_eq(tg_phoenix_reply(TG_STR("{}"), &ok, &response), TG_EBADJSON);
}

/* Every frame that we write is one that we would read. */
static struct tg_phoenix written(struct tg_buf *out)
{
    struct tg_phoenix f = {0};

    cr_assert_eq(tg_buf_rc(out), TG_OK);
    cr_assert(tg_json_is_valid(tg_buf_view(out)));
    cr_assert_eq(tg_phoenix_parse(tg_buf_view(out), &f), TG_OK);
    return f;
}

Test(phoenix, join_asks_for_one_subscription_with_the_token)
{
    struct tg_buf out = {.max = 4096};
    const struct tg_phoenix_changes c = {TG_STR_INIT("public"), TG_STR_INIT("tasks"),
                                         TG_STR_INIT("name=eq.\"a\"")};
    struct tg_phoenix f = {0};
    tg_str token = TG_STR_NONE;

    tg_phoenix_join(&out, 7, TG_STR("realtime:tg-7"), &c, TG_STR("tok"));
    f = written(&out);
    cr_assert_text(f.join_ref, "7");
    cr_assert_text(f.ref, "7");
    cr_assert_text(f.event, "phx_join");
    cr_assert_eq(tg_json_member(f.payload, "access_token", &token), TG_OK);
    cr_assert_text(token, "\"tok\"");
    cr_assert_neq(tg_str_find(f.payload, '\\'), SIZE_MAX, "the filter's quotes are escaped");
    tg_buf_fini(&out);
}

Test(phoenix, join_without_a_filter_has_no_such_member)
{
    struct tg_buf out = {.max = 4096};
    const struct tg_phoenix_changes c = {TG_STR_INIT("public"), TG_STR_INIT("tasks"), TG_STR_NONE};

    tg_phoenix_join(&out, 1, TG_STR("t"), &c, TG_STR("tok"));
    (void)written(&out);
    (void)tg_buf_char(&out, '\0');
    cr_assert_null(strstr(tg_buf_view(&out).p, "filter"));
    tg_buf_fini(&out);
}

Test(phoenix, leave_token_and_heartbeat_carry_their_refs)
{
    struct tg_buf out = {.max = 4096};
    struct tg_phoenix f = {0};

    tg_phoenix_leave(&out, 3, 9, TG_STR("t"));
    f = written(&out);
    cr_assert_text(f.join_ref, "3");
    cr_assert_text(f.ref, "9");
    cr_assert_text(f.event, "phx_leave");
    tg_buf_clear(&out);
    tg_phoenix_token(&out, 3, 10, TG_STR("t"), TG_STR("fresh"));
    f = written(&out);
    cr_assert_text(f.event, "access_token");
    cr_assert_text(f.payload, "{\"access_token\":\"fresh\"}");
    tg_buf_clear(&out);
    tg_phoenix_heartbeat(&out, 11);
    f = written(&out);
    cr_assert_text(f.topic, "phoenix");
    cr_assert_text(f.event, "heartbeat");
    cr_assert_eq(f.join_ref.n, 0);
    tg_buf_fini(&out);
}
