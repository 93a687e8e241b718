/* fuzz_phoenix.c - what upstream sends: frames are sliced, changes become events. Slices lie in
 * the text, events are JSON, and what was refused has appended nothing that is used. The
 * program sees only text that is valid JSON, as the link does (tg_json_is_valid). */
#include "realtime/change.h"
#include "realtime/phoenix.h"
#include "realtime/table.h"
#include "util/json.h"

static void check_inside(tg_str text, tg_str slice)
{
    TG_ASSERT(slice.n == 0 || (slice.p >= text.p && slice.p + slice.n <= text.p + text.n));
}

static void check_event(tg_str payload)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = 1U << 20};
    static const tg_str id[] = {TG_STR_INIT("id")};
    const struct tg_table table = {.pk = id, .n_pk = 1};
    struct tg_change change = {0};
    tg_str topic = TG_STR_NONE;

    if (tg_change_parse(payload, &change) == TG_OK &&
        tg_change_event(&change, TG_STR("table:a.b:c=eq.\"d\""), &table, &out) == TG_OK) {
        TG_ASSERT(tg_json_is_valid(tg_buf_view(&out)));
        TG_ASSERT(tg_json_member(tg_buf_view(&out), "topic", &topic) == TG_OK);
        TG_ASSERT(tg_str_eq(topic, TG_STR("\"table:a.b:c=eq.\\\"d\\\"\"")));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    tg_str text = tg_str_make((const char *)data, n);
    struct tg_phoenix f = {0};
    tg_str response = TG_STR_NONE;
    bool ok = false;

    if (!tg_json_is_valid(text)) {
        return 0;
    }
    check_event(text);
    if (tg_phoenix_parse(text, &f) != TG_OK) {
        return 0;
    }
    check_inside(text, f.join_ref);
    check_inside(text, f.ref);
    check_inside(text, f.topic);
    check_inside(text, f.event);
    check_inside(text, f.payload);
    TG_ASSERT(tg_json_is_valid(f.payload));
    if (tg_phoenix_reply(f.payload, &ok, &response) == TG_OK) {
        TG_ASSERT(tg_json_is_valid(response));
    }
    check_event(f.payload);
    return 0;
}
