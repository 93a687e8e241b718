/* feed_class.c - a strict topic whose table has `catchup`: what its class missed is read as the
 * user and told (DESIGN.md 3).
 *
 * Which rows there are, and whether one changed, its primary key and the column of `catchup` say;
 * what differs is read whole after that. A table that cannot be read is followed as one without
 * `catchup`, with a gap where something may be missing, and is tried again. */
#include <stdlib.h>

#include "realtime/filter.h"
#include "realtime/keyset.h"
#include "realtime/rows.h"
#include "realtime/strict.h"
#include "util/json.h"
#include "util/log.h"

enum { DETAILS = 100, DETAILS_BYTES = TG_KEYSET_TARGET_MAX - 2048 };

#define RETRY_FIRST TG_SEC(1)
#define RETRY_LAST TG_SEC(300)

/* ---- a table that its class cannot read ---- */

/* Not as long as the class and the table are what they are. */
static bool is_for_good(enum tg_rc rc)
{
    return rc == TG_EFORBIDDEN || rc == TG_EBADPARAM || rc == TG_ENOTFOUND;
}

/* As a table without `catchup`, which may be read by other columns. */
static void go_on_without(struct rows *r)
{
    struct feed *f = r->feed;

    tg_log_limited(TG_LOG_WARN, "strict_unrepaired", 10, TG_KS("topic", feed_logged_topic(f)),
                   TG_KS("column", r->opts.declared->catchup));
    fill_forget(r);
    f->rows = NULL;
    rows_destroy(r);
    f->strict = strict_create(f);
    strict_lost(f->strict, f->gap_reason);
}

static void go_on_partial(struct rows *r)
{
    tg_usec retry = r->retry == 0 ? RETRY_FIRST : TG_MIN(r->retry * 2, RETRY_LAST);
    bool is_lost = r->is_lost || r->is_again;

    tg_count_add(&r->feed->hub->counts.fill_errors, 1);
    fill_stop(r);
    tg_index_clear(r->index);
    r->fill = FILL_WHOLE;
    rows_overflow(r);
    r->retry = retry;
    if (is_lost) {
        r->is_lost = false;
        feed_need_gap(r->feed, r->feed->gap_reason);
    }
    rows_drain(r);
    feed_settle(r->feed);
    tg_loop_timer_start(r->feed->hub->loop, &r->timer, retry);
}

void class_give_up(struct rows *r, enum tg_rc rc)
{
    if (is_for_good(rc)) {
        go_on_without(r);
    } else {
        go_on_partial(r);
    }
}

/* ---- rows that differ ---- */

void class_differs(struct rows *r, tg_str pk)
{
    (void)tg_map_put(&r->differing, pk, r);
}

static void take_details(struct rows *r, tg_str row)
{
    TG_CLEANUP(row_texts_fini) struct row_texts t = row_texts();
    struct row_change c = {.is_repaired = true};

    if (tg_row_pk(r->opts.table, row, &t.pk) != TG_OK) {
        return;
    }
    c.pk = tg_buf_view(&t.pk);
    if (tg_map_remove(&r->asked, c.pk) != NULL && !verify_is_touched(r, c.pk)) {
        (void)!declared_read(r, row, &t, &c);
        declared_route(r, &c);
    }
}

static bool on_details(tg_str rows, size_t n, void *arg)
{
    tg_str name = TG_STR_NONE;
    tg_str row = TG_STR_NONE;
    size_t at = 0;

    (void)n;
    while (tg_json_next(rows, &at, &name, &row) == TG_OK) {
        take_details(arg, row);
    }
    return true;
}

/* Asked for, and not shown: gone since, or out of its class's sight. */
static void take_missing(struct rows *r)
{
    size_t at = 0;
    void *value = NULL;
    struct row_change c = {.is_repaired = true};
    struct tg_index_row old = {0};

    while (tg_map_next(&r->asked, &at, &c.pk, &value)) {
        if (!verify_is_touched(r, c.pk) && tg_index_find(r->index, c.pk, &old)) {
            declared_gone(r, &c);
        }
    }
    rows_forget_keys(&r->asked);
}

static void on_details_done(enum tg_rc rc, unsigned status, tg_str message, void *arg)
{
    struct rows *r = arg;

    r->reader = NULL;
    if (rc != TG_OK) {
        fill_say_unread(r, rc, status, message);
        class_give_up(r, rc);
        return;
    }
    take_missing(r);
    if (!class_read_details(r)) {
        fill_end(r);
    }
}

/* The condition of as many of them as one request takes; those are asked for from now on. */
static enum tg_rc put_asked(struct rows *r, struct tg_buf *filter)
{
    tg_str pks[DETAILS];
    void *value = NULL;
    size_t at = 0;
    size_t n = 0;
    size_t n_fit = 0;
    enum tg_rc rc = TG_OK;

    while (n < DETAILS && tg_map_next(&r->differing, &at, &pks[n], &value)) {
        n++;
    }
    rc = tg_keyset_keys(r->opts.table, pks, n, filter, &n_fit);
    for (size_t i = 0; rc == TG_OK && i < n_fit; i++) {
        (void)tg_map_put(&r->asked, pks[i], r);
        (void)tg_map_remove(&r->differing, pks[i]);
    }
    return rc;
}

bool class_read_details(struct rows *r)
{
    static const struct tg_reader_handler handler = {on_details, on_details_done};
    static const tg_str all = TG_STR_INIT("*");
    TG_CLEANUP(tg_buf_fini) struct tg_buf filter = {.max = DETAILS_BYTES};
    struct tg_reader_opts opts = {0};
    enum tg_rc rc = TG_OK;

    if (r->differing.n == 0) {
        return false;
    }
    (void)tg_buf_str(&filter, tg_buf_view(&r->filter));
    rc = put_asked(r, &filter);
    rows_reader_opts(r, &opts);
    opts.columns = &all;
    opts.n_columns = 1;
    opts.filter = tg_buf_view(&filter);
    if (opts.filter.n > 0 && opts.filter.p[0] == '&') {
        opts.filter = tg_str_skip(opts.filter, 1);
    }
    if (rc == TG_OK) {
        rc = tg_reader_start(&opts, &handler, r, &r->reader);
    }
    if (rc != TG_OK) {
        on_details_done(rc, 0, TG_STR(""), r);
    }
    return true;
}

/* ---- life ---- */

void rows_on_token(struct rows *r)
{
    if (r->retry > 0 && r->reader == NULL && tg_timer_is_on(&r->timer)) {
        tg_loop_timer_start(r->feed->hub->loop, &r->timer, 0);
    }
}

/* A topic of all rows that its class sees. */
struct own {
    struct tg_table table;
    struct tg_declared declared;
};

struct rows *class_create(struct feed *f)
{
    struct tg_table table = tg_table_of(f->hub->opts.tables, f->name.schema, f->name.table);
    TG_CLEANUP(tg_buf_fini) struct tg_buf filter = {.max = DETAILS_BYTES / 2};
    const char *why = NULL;
    struct own *own = NULL;
    struct rows_opts opts = {.is_strict = true};
    struct rows *r = NULL;

    if (table.catchup.n == 0 || tg_filter_query(f->name.filter, &filter, &why) != TG_OK) {
        return NULL;
    }
    own = TG_NEW(struct own);
    own->table = table;
    own->declared = (struct tg_declared){.name = f->name.name,
                                         .columns = &own->table.catchup,
                                         .n_columns = 1,
                                         .catchup = table.catchup};
    opts.table = &own->table;
    opts.declared = &own->declared;
    opts.own = own;
    r = rows_create(f, &opts);
    r->is_blind = strict_is_blind(&own->table, f->name.filter);
    r->filter = filter;
    filter = (struct tg_buf){0};
    return r;
}
