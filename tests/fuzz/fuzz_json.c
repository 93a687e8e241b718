/* fuzz_json.c - the readers of JSON on any bytes: slices stay inside the text, walks end, the
 * door to jansson opens for nothing that tg_json_is_valid refuses, and quoting any bytes gives
 * one string that reads back. */
#include <jansson.h>
#include <stdlib.h>

#include "util/json.h"

enum { MAX_DEPTH_WALKED = 70 };

static bool is_inside(tg_str inner, tg_str outer)
{
    return inner.n == 0 || (inner.p >= outer.p && inner.p + inner.n <= outer.p + outer.n);
}

/* Walks every container of `value`. On valid text every slice is valid itself. */
static void walk(tg_str value, bool is_valid, int depth)
{
    tg_str name = TG_STR_NONE;
    tg_str inner = TG_STR_NONE;
    size_t at = 0;
    size_t before = 0;
    enum tg_rc rc = TG_OK;

    TG_ASSERT(depth < MAX_DEPTH_WALKED);
    while ((rc = tg_json_next(value, &at, &name, &inner)) == TG_OK) {
        TG_ASSERT(at > before && at <= value.n);
        TG_ASSERT(is_inside(name, value) && is_inside(inner, value) && inner.n > 0);
        TG_ASSERT(!is_valid || tg_json_is_valid(inner));
        before = at;
        if (is_valid && (inner.p[0] == '{' || inner.p[0] == '[')) {
            walk(inner, true, depth + 1);
        }
    }
    TG_ASSERT(rc == TG_EEOF || rc == TG_EBADJSON);
}

static void check_strings(tg_str text)
{
    struct tg_buf plain = {0};
    struct tg_buf quoted = {0};
    struct tg_buf again = {0};

    tg_buf_init(&plain, 1U << 20U);
    tg_buf_init(&quoted, 8U << 20U);
    tg_buf_init(&again, 8U << 20U);
    TG_ASSERT(tg_json_unquote(text, &plain) == TG_OK || text.n == 0 || plain.n <= text.n);
    /* Whatever the bytes are, quoted they are one JSON string; UTF-8 comes back as it was. */
    TG_ASSERT(tg_json_quote(&quoted, text) == TG_OK);
    TG_ASSERT(tg_json_is_valid(tg_buf_view(&quoted)));
    TG_ASSERT(tg_json_unquote(tg_buf_view(&quoted), &again) == TG_OK);
    TG_ASSERT(!tg_str_is_utf8(text) || tg_str_eq(tg_buf_view(&again), text));
    tg_buf_fini(&plain);
    tg_buf_fini(&quoted);
    tg_buf_fini(&again);
}

/* One line of the same value, which cannot be made shorter. */
static void check_compact(tg_str text, bool is_valid)
{
    struct tg_buf once = {0};
    struct tg_buf twice = {0};

    tg_buf_init(&once, text.n + 1);
    tg_buf_init(&twice, text.n + 1);
    TG_ASSERT(tg_json_compact(&once, text) == TG_OK || !is_valid);
    if (is_valid) {
        TG_ASSERT(tg_json_is_valid(tg_buf_view(&once)));
        TG_ASSERT(memchr(once.p, '\n', once.n) == NULL);
        TG_ASSERT(tg_json_compact(&twice, tg_buf_view(&once)) == TG_OK);
        TG_ASSERT(tg_str_eq(tg_buf_view(&once), tg_buf_view(&twice)));
    }
    tg_buf_fini(&once);
    tg_buf_fini(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    tg_str text = tg_str_make((const char *)data, n);
    bool is_valid = tg_json_is_valid(text);
    tg_str value = TG_STR_NONE;
    json_t *json = NULL;
    enum tg_rc rc = tg_json_parse(text, 1U << 20U, &json);

    TG_ASSERT(is_valid || rc != TG_OK);
    json_decref(json);
    walk(text, is_valid, 0);
    if (tg_json_member(text, "a", &value) == TG_OK) {
        TG_ASSERT(is_inside(value, text));
    }
    check_strings(text);
    check_compact(text, is_valid);
    return 0;
}
