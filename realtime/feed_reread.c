/* feed_reread.c - one row, read again: upstream leaves out what is too large (errors: 413) and
 * TOASTed columns that did not change. What came behind it waits. */
#include <stdlib.h>

#include "realtime/keyset.h"
#include "realtime/rows.h"
#include "util/json.h"

enum { MAX_ROW_BYTES = 4 * 1024 * 1024 };

static bool on_one_row(tg_str rows, size_t n, void *arg)
{
    struct rows *r = arg;
    tg_str name = TG_STR_NONE;
    tg_str row = TG_STR_NONE;
    size_t at = 0;

    if (n > 0 && r->one_row.n == 0 && tg_json_next(rows, &at, &name, &row) == TG_OK) {
        (void)tg_buf_str(&r->one_row, row);
    }
    return true;
}

static void on_one_done(enum tg_rc rc, unsigned status, tg_str message, void *arg)
{
    struct rows *r = arg;
    struct change *c = r->changes;
    tg_str payload = tg_str_make(c->text, c->n);
    struct tg_buf row = r->one_row;

    (void)status;
    (void)message;
    r->one = NULL;
    r->one_row = (struct tg_buf){0};
    r->changes = c->next; /* its turn is over, whatever comes of it */
    if (r->changes == NULL) {
        r->changes_end = &r->changes;
    }
    r->change_bytes -= c->n;
    r->n_changes--;
    tg_count_add(&r->feed->hub->counts.rows_read_again, 1);
    if (rc != TG_OK || row.failed) {
        declared_take_read(r, payload, TG_STR_NONE);
    } else if (row.n == 0) {
        declared_take_none(r, payload);
    } else {
        declared_take_read(r, payload, tg_buf_view(&row));
    }
    free(c);
    tg_buf_fini(&row);
    rows_drain(r);
}

bool reread_row(struct rows *r, tg_str pk)
{
    static const struct tg_reader_handler handler = {on_one_row, on_one_done};
    static const tg_str all = TG_STR_INIT("*");
    TG_CLEANUP(tg_buf_fini) struct tg_buf filter = {.max = TG_KEYSET_TARGET_MAX};
    struct tg_reader_opts opts = {0};
    size_t n = 0;

    rows_reader_opts(r, &opts);
    opts.page_rows = 1;
    if (r->opts.is_strict) {
        opts.columns = &all;
        opts.n_columns = 1;
    }
    if (tg_keyset_keys(r->opts.table, &pk, 1, &filter, &n) != TG_OK) {
        return false;
    }
    opts.filter = tg_str_skip(tg_buf_view(&filter), 1); /* what is asked begins with it */
    tg_buf_init(&r->one_row, MAX_ROW_BYTES);
    if (tg_reader_start(&opts, &handler, r, &r->one) != TG_OK) {
        r->one = NULL;
        return false;
    }
    return true;
}
