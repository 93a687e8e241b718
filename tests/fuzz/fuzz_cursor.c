/* fuzz_cursor.c - cursors as clients send them: what is read is written back as the same text,
 * and nothing else is read. */
#include "store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    tg_str text = tg_str_make((const char *)data, n);
    struct tg_epoch epoch = {0};
    struct tg_pos pos = {0};
    char again[TG_CURSOR_MAX + 1];
    size_t dot = tg_str_find(text, '.');

    if (tg_cursor_parse(text, &epoch, &pos) == TG_OK) {
        size_t len = tg_cursor_format(&epoch, pos, again);

        TG_ASSERT(len <= TG_CURSOR_MAX && tg_str_eq(tg_str_make(again, len), text));
        TG_ASSERT(tg_pos_parse(tg_str_skip(text, dot + 1), &pos) == TG_OK);
    }
    if (tg_pos_parse(text, &pos) == TG_OK) {
        size_t len = tg_pos_format(pos, again);

        TG_ASSERT(len <= TG_POS_MAX && tg_str_eq(tg_str_make(again, len), text));
    }
    return 0;
}
