/* fuzz_shape.c - an event in any shape: never longer than it was, well-formed when it was, and the
 * same when it is cut once more.
 *
 * Input: a line of wishes ("c" compact, "1" one topic, then the fields behind a blank), then the
 * event. */
#include "handlers/shape.h"
#include "util/json.h"

enum { MAX_OUT = 1U << 24U };

static bool has(tg_str s, char c)
{
    return tg_str_find(s, c) < s.n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    tg_str message = tg_str_make((const char *)data, n);
    tg_str fields = tg_str_cut(&message, '\n');
    tg_str flags = tg_str_cut(&fields, ' ');
    struct tg_shape s = {.is_compact = has(flags, 'c'), .has_one_topic = has(flags, '1')};
    struct tg_arena arena = {0};
    struct tg_buf once = {.max = MAX_OUT};
    struct tg_buf twice = {.max = MAX_OUT};
    const char *why = NULL;
    enum tg_rc rc = TG_OK;

    if (fields.p != NULL) {
        rc = tg_shape_fields(&s, &arena, fields, &why);
        TG_ASSERT(rc == TG_OK || (rc == TG_EBADPARAM && why != NULL));
        TG_ASSERT(s.n_fields <= TG_SHAPE_MAX_FIELDS);
    }
    TG_ASSERT(tg_shape_put(&s, message, &once) == TG_OK);
    TG_ASSERT(once.n <= message.n);
    TG_ASSERT(!tg_json_is_valid(message) || tg_json_is_valid(tg_buf_view(&once)));
    TG_ASSERT(!tg_shape_is_plain(&s) || tg_str_eq(tg_buf_view(&once), message));
    if (tg_json_is_valid(message)) {
        TG_ASSERT(tg_shape_put(&s, tg_buf_view(&once), &twice) == TG_OK);
        TG_ASSERT(tg_str_eq(tg_buf_view(&twice), tg_buf_view(&once)));
    }
    tg_buf_fini(&once);
    tg_buf_fini(&twice);
    tg_arena_drop(&arena);
    return 0;
}
