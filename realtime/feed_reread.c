/* feed_reread.c - one row, read again: upstream leaves out what is too large (errors: 413) and
 * TOASTed columns that did not change. What came behind it waits. */
#include <stdlib.h>

#include "realtime/rows.h"
#include "util/json.h"

enum { MAX_ROW_BYTES = 4 * 1024 * 1024 };

/* col=eq.value&col=eq.value */
static void put_filter(struct tg_buf *out, const struct tg_table *table, tg_str pk)
{
    static const char hex[] = "0123456789ABCDEF";
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;

    for (size_t i = 0; i < table->n_pk && tg_json_next(pk, &at, &name, &value) == TG_OK; i++) {
        TG_CLEANUP(tg_buf_fini) struct tg_buf text = {.max = TG_INDEX_PK_MAX};

        if (value.p[0] != '"') {
            (void)tg_buf_str(&text, value);
        } else {
            (void)!tg_json_unquote(value, &text);
        }
        (void)tg_buf_str(out, i > 0 ? TG_STR("&") : TG_STR(""));
        (void)tg_buf_str(out, table->pk[i]);
        (void)tg_buf_str(out, TG_STR("=eq."));
        for (size_t k = 0; k < text.n; k++) {
            unsigned char c = (unsigned char)text.p[k];

            (void)tg_buf_char(out, '%');
            (void)tg_buf_char(out, hex[c >> 4U]);
            (void)tg_buf_char(out, hex[c & 15U]);
        }
    }
}

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
    TG_CLEANUP(tg_buf_fini) struct tg_buf filter = {.max = ROWS_PK_BYTES};
    struct tg_reader_opts opts = {0};

    rows_reader_opts(r, &opts);
    opts.page_rows = 1;
    if (r->opts.is_strict) {
        opts.columns = &all;
        opts.n_columns = 1;
    }
    put_filter(&filter, r->opts.table, pk);
    opts.filter = tg_buf_view(&filter);
    tg_buf_init(&r->one_row, MAX_ROW_BYTES);
    if (tg_buf_rc(&filter) != TG_OK || tg_reader_start(&opts, &handler, r, &r->one) != TG_OK) {
        r->one = NULL;
        return false;
    }
    return true;
}
