/* fuzz_where.c - conditions on rows and a row, separated by a line break: what is read is evaluated
 * within bounds, and its query to PostgREST can be sent. */
#include <string.h>

#include "realtime/where.h"

static void check_query(tg_str query)
{
    TG_ASSERT(query.n > 0);
    for (size_t i = 0; i < query.n; i++) {
        TG_ASSERT(query.p[i] > 0x20 && query.p[i] < 0x7F && query.p[i] != '#' && query.p[i] != '"');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    tg_str record = tg_str_make((const char *)data, n);
    tg_str text = tg_str_cut(&record, '\n');
    struct tg_where *w = NULL;
    const char *why = NULL;
    bool is_known = false;

    if (tg_where_parse(text, &w, &why) != TG_OK) {
        TG_ASSERT(why != NULL && w == NULL);
        return 0;
    }
    check_query(tg_where_query(w));
    TG_ASSERT(!tg_where_matches(w, record, &is_known) || is_known);
    TG_ASSERT(!tg_where_matches(w, TG_STR("{}"), &is_known) && !is_known);
    tg_where_destroy(w);
    return 0;
}
