/* fuzz_row.c - rows of any bytes: slices stay inside, a cut is an object, and the hash does not
 * see blanks. */
#include "realtime/row.h"
#include "realtime/table.h"
#include "util/json.h"

static void check_cut(tg_str text)
{
    static const tg_str columns[] = {TG_STR_INIT("id"), TG_STR_INIT("a"), TG_STR_INIT("doc")};
    TG_CLEANUP(tg_buf_fini) struct tg_buf cut = {.max = 4 * text.n + 256};
    enum tg_rc rc = tg_row_cut(text, columns, 3, &cut);

    if (tg_json_is_valid(text) && (rc == TG_OK || rc == TG_ENOTFOUND)) {
        TG_ASSERT(tg_json_is_valid(tg_buf_view(&cut)));
    }
}

static void check_pk(tg_str text)
{
    static const tg_str pk[] = {TG_STR_INIT("id"), TG_STR_INIT("a")};
    const struct tg_table table = {.pk = pk, .n_pk = 2};
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = 65536};
    tg_str value = TG_STR_NONE;

    if (tg_row_pk(&table, text, &out) == TG_OK && tg_json_is_valid(text)) {
        TG_ASSERT(tg_json_is_valid(tg_buf_view(&out)));
    }
    if (tg_row_value(text, TG_STR("a"), &value) == TG_OK) {
        TG_ASSERT(value.p >= text.p && value.p + value.n <= text.p + text.n);
    }
}

static void check_hash(tg_str text)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf compact = {.max = text.n};
    uint64_t hash = tg_row_hash(text);

    TG_ASSERT(hash == tg_row_hash(text));
    if (tg_json_is_valid(text)) {
        TG_ASSERT(tg_json_compact(&compact, text) == TG_OK);
        TG_ASSERT(hash == tg_row_hash(tg_buf_view(&compact)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tg_str text = tg_str_make((const char *)data, size);

    check_cut(text);
    check_pk(text);
    check_hash(text);
    return 0;
}
