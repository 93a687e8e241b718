/* test_frame.c - the bytes of a frame, and its slices. */
#include <criterion/criterion.h>

#include "realtime/frame.h"

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

Test(frame, of_raw_bytes_is_those_bytes)
{
    struct tg_frame *f = tg_frame_raw(pos, TG_STR(":\n\n"));

    cr_assert_text(tg_frame_sse(f), ":\n\n");
    cr_assert_eq(tg_frame_json(f).n, 0);
    tg_frame_unref(f);
}

Test(frame, lives_as_long_as_somebody_holds_it)
{
    struct tg_frame *f = tg_frame_raw(pos, TG_STR("x"));

    cr_assert_eq(tg_frame_ref(f), f);
    tg_frame_unref(f);
    cr_assert_text(tg_frame_sse(f), "x");
    tg_frame_unref(f);
    tg_frame_unref(NULL);
}
