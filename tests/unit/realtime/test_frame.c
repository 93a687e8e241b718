/* test_frame.c - the bytes of a frame, and its slices. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "realtime/frame.h"
#include "util/json.h"

static const struct tg_epoch epoch = {.text = "k3f9"};
static const struct tg_pos pos = {1732290000123U, 4};

#define cr_assert_text(got, expected)                                                              \
    cr_assert(tg_str_eq((got), TG_STR(expected)), "%.*s", (int)(got).n, (got).p)

Test(frame, of_a_change_has_an_id_and_no_name)
{
    struct tg_frame *f =
        tg_frame_create(TG_FRAME_EVENT, &epoch, pos, TG_STR(""), TG_STR("{\"a\":1.10}"));

    cr_assert_text(tg_frame_sse(f), "id: k3f9.1732290000123-4\ndata: {\"a\":1.10}\n\n");
    cr_assert_text(tg_frame_json(f), "{\"a\":1.10}");
    cr_assert_eq(tg_pos_cmp(tg_frame_pos(f), pos), 0);
    cr_assert_eq(tg_frame_kind(f), TG_FRAME_EVENT);
    tg_frame_unref(f);
}

Test(frame, with_a_name_says_it_between_id_and_data)
{
    struct tg_frame *f =
        tg_frame_create(TG_FRAME_CONTROL, &epoch, pos, TG_STR("status"), TG_STR("{}"));

    cr_assert_text(tg_frame_sse(f), "id: k3f9.1732290000123-4\nevent: status\ndata: {}\n\n");
    tg_frame_unref(f);
}

Test(frame, of_a_reset_can_be_read_as_ready)
{
    struct tg_frame *f = tg_frame_reset(&epoch, pos, TG_STR("table:a.b:c=eq.\"d\""), TG_STR("gap"));

    cr_assert_text(tg_frame_sse(f),
                   "id: k3f9.1732290000123-4\nevent: reset\n"
                   "data: {\"topic\":\"table:a.b:c=eq.\\\"d\\\"\",\"reason\":\"gap\"}\n\n");
    cr_assert_text(tg_frame_json(f), "{\"topic\":\"table:a.b:c=eq.\\\"d\\\"\",\"reason\":\"gap\"}");
    cr_assert_text(tg_frame_ready_sse(f),
                   "id: k3f9.1732290000123-4\nevent: status\n"
                   "data: {\"topic\":\"table:a.b:c=eq.\\\"d\\\"\",\"state\":\"ready\"}\n\n");
    cr_assert_eq(tg_frame_kind(f), TG_FRAME_RESET);
    tg_frame_unref(f);
}

Test(frame, of_bytes_is_those_bytes_on_each_transport)
{
    struct tg_frame *f = tg_frame_pair(pos, TG_STR(":\n\n"), TG_STR("\x89\0"));

    cr_assert_text(tg_frame_sse(f), ":\n\n");
    cr_assert_text(tg_frame_ws(f), "\x89\0");
    cr_assert_eq(tg_frame_message(f).n, 0);
    cr_assert_eq(tg_frame_json(f).n, 0);
    cr_assert_eq(tg_pos_cmp(tg_frame_pos(f), pos), 0);
    tg_frame_unref(f);
}

Test(frame, without_an_id_has_a_name)
{
    struct tg_frame *f = tg_frame_named(TG_STR("status"), TG_STR("{\"state\":\"offline\"}"));

    cr_assert_text(tg_frame_sse(f), "event: status\ndata: {\"state\":\"offline\"}\n\n");
    cr_assert_text(tg_frame_message(f), "{\"event\":\"status\",\"state\":\"offline\"}");
    tg_frame_unref(f);
}

Test(frame, of_an_end_says_when_to_come_back)
{
    struct tg_frame *f = tg_frame_bye(TG_STR("drain"), 1500);

    cr_assert_text(tg_frame_sse(f), "retry: 1500\nevent: bye\n"
                                    "data: {\"reason\":\"drain\",\"retry\":1500}\n\n");
    cr_assert_text(tg_frame_message(f), "{\"event\":\"bye\",\"reason\":\"drain\",\"retry\":1500}");
    tg_frame_unref(f);
}

Test(frame, of_a_position_is_an_id_alone_or_a_heartbeat)
{
    struct tg_frame *f = tg_frame_position(&epoch, pos);

    cr_assert_text(tg_frame_sse(f), "id: k3f9.1732290000123-4\n\n");
    cr_assert_text(tg_frame_message(f),
                   "{\"event\":\"heartbeat\",\"id\":\"k3f9.1732290000123-4\"}");
    tg_frame_unref(f);
}

/* ---- messages ---- */

Test(frame, as_a_message_has_the_id_before_its_members)
{
    static const struct {
        tg_str name, json, message;
    } cases[] = {
        {TG_STR_INIT(""), TG_STR_INIT("{\"a\":1.10}"),
         TG_STR_INIT("{\"id\":\"k3f9.1732290000123-4\",\"a\":1.10}")},
        {TG_STR_INIT("snapshot"), TG_STR_INIT("{\"a\":[{}]}"),
         TG_STR_INIT("{\"event\":\"snapshot\",\"id\":\"k3f9.1732290000123-4\",\"a\":[{}]}")},
        {TG_STR_INIT(""), TG_STR_INIT("{}"), TG_STR_INIT("{\"id\":\"k3f9.1732290000123-4\"}")},
        {TG_STR_INIT(""), TG_STR_INIT("{ }"), TG_STR_INIT("{\"id\":\"k3f9.1732290000123-4\"}")},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct tg_frame *f =
            tg_frame_create(TG_FRAME_EVENT, &epoch, pos, cases[i].name, cases[i].json);
        tg_str got = tg_frame_message(f);

        cr_assert(tg_str_eq(got, cases[i].message), "%.*s", (int)got.n, got.p);
        tg_frame_unref(f);
    }
}

Test(frame, of_a_reset_has_messages_in_both_forms)
{
    struct tg_frame *f = tg_frame_reset(&epoch, pos, TG_STR("t"), TG_STR("gap"));

    cr_assert_text(tg_frame_message(f), "{\"event\":\"reset\",\"id\":\"k3f9.1732290000123-4\","
                                        "\"topic\":\"t\",\"reason\":\"gap\"}");
    cr_assert_text(tg_str_skip(tg_frame_ready_ws(f), 2),
                   "{\"event\":\"status\",\"id\":\"k3f9.1732290000123-4\","
                   "\"topic\":\"t\",\"state\":\"ready\"}");
    cr_assert_eq(tg_frame_ready_ws(f).p[1], (char)(tg_frame_ready_ws(f).n - 2));
    tg_frame_unref(f);
}

/* RFC 6455 section 5.2: each length in its shortest form, at both sides of its bounds. */
Test(frame, has_a_text_header_of_the_right_length)
{
    static const size_t lengths[] = {60, 125, 126, 127, 65535, 65536, 70000};

    for (size_t i = 0; i < TG_ARRAY_LEN(lengths); i++) {
        size_t n = lengths[i];
        size_t n_head = n < 126 ? 2 : n < 65536 ? 4 : 10;
        size_t n_json = n - strlen("{\"event\":\"x\",}") + 2;
        char *json = tg_malloc(n_json);
        struct tg_frame *f = NULL;
        tg_str ws = TG_STR_NONE;
        uint64_t told = 0;

        memset(json, 'a', n_json);
        memcpy(json, "{\"a\":\"", 6);
        memcpy(json + n_json - 2, "\"}", 2);
        f = tg_frame_named(TG_STR("x"), tg_str_make(json, n_json));
        ws = tg_frame_ws(f);
        cr_assert_eq(tg_frame_message(f).n, n);
        cr_assert_eq(ws.n, n + n_head);
        cr_assert_eq((unsigned char)ws.p[0], 0x81);
        cr_assert_eq((unsigned char)ws.p[1], n_head == 2 ? n : n_head == 4 ? 126 : 127);
        for (size_t at = 2; at < n_head; at++) {
            told = told << 8U | (unsigned char)ws.p[at];
        }
        cr_assert_eq(told, n_head == 2 ? 0 : n);
        cr_assert(tg_json_is_valid(tg_frame_message(f)));
        tg_frame_unref(f);
        free(json);
    }
}

Test(frame, lives_as_long_as_somebody_holds_it)
{
    struct tg_frame *f = tg_frame_pair(pos, TG_STR("x"), TG_STR(""));

    cr_assert_eq(tg_frame_ref(f), f);
    tg_frame_unref(f);
    cr_assert_text(tg_frame_sse(f), "x");
    tg_frame_unref(f);
    tg_frame_unref(NULL);
}
