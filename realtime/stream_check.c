/* stream_check.c - what a strict topic's page may show now.
 *
 * An event was told upstream to those who could see its row when it was committed. Who reads it
 * later is shown only rows that PostgREST shows the class at this time: the page's primary keys are
 * asked in one go. DELETEs are of rows that the class knew (strict.h), and pass. What cannot be
 * asked is never shown. */
#include <stdlib.h>

#include "realtime/fanout_int.h"
#include "realtime/reader.h"
#include "realtime/row.h"
#include "realtime/table.h"
#include "util/arena.h"
#include "util/json.h"
#include "util/log.h"

enum { MAX_PK_BYTES = 4096, MAX_LINES = 10 };

/* The store's page, until the answer is here. */
struct check {
    struct page *page;
    struct tg_arena arena;
    struct tg_page from;
    struct tg_pos horizon; /* of the read */
    struct tg_entry *entries;
    tg_str *keys;  /* of the entries that have a row */
    size_t *owner; /* keys[i] is that of this entry */
    size_t n_keys;
    struct tg_reader_keys *asked;
};

void stream_drop_check(struct page *p)
{
    struct check *k = p->check;

    if (k != NULL) {
        p->check = NULL;
        tg_reader_keys_cancel(k->asked);
        tg_arena_drop(&k->arena);
        free(k);
    }
}

static struct check *keep(struct page *p, const struct tg_page *from)
{
    struct check *k = TG_NEW(struct check);

    k->page = p;
    k->from = *from;
    k->entries = tg_arena_alloc(&k->arena, (from->n + 1) * sizeof(*k->entries));
    k->keys = tg_arena_alloc(&k->arena, (from->n + 1) * sizeof(*k->keys));
    k->owner = tg_arena_alloc(&k->arena, (from->n + 1) * sizeof(*k->owner));
    for (size_t i = 0; i < from->n; i++) {
        k->entries[i] = from->entries[i];
        k->entries[i].name = TG_STR("");
        k->entries[i].payload = tg_arena_str(&k->arena, from->entries[i].payload);
    }
    k->from.entries = k->entries;
    k->horizon = p->up_to;
    if (from->has_more) {
        p->up_to = from->n == 0 ? p->after : from->entries[from->n - 1].pos;
    }
    p->check = k;
    return k;
}

/* Which rows it shows. TG_ENOTFOUND: one has no primary key. */
static enum tg_rc find_keys(struct check *k, const struct tg_table *table)
{
    for (size_t i = 0; i < k->from.n; i++) {
        TG_CLEANUP(tg_buf_fini) struct tg_buf pk = {.max = MAX_PK_BYTES};
        tg_str record = TG_STR_NONE;

        if (tg_json_member(k->entries[i].payload, "record", &record) != TG_OK) {
            continue; /* no row is shown */
        }
        if (tg_row_pk(table, record, &pk) != TG_OK || tg_buf_rc(&pk) != TG_OK) {
            return TG_ENOTFOUND;
        }
        k->owner[k->n_keys] = i;
        k->keys[k->n_keys++] = tg_arena_str(&k->arena, tg_buf_view(&pk));
    }
    return TG_OK;
}

/* Its rows cannot be told from each other: the loss is announced instead. */
static void lose(struct page *p, const struct wtopic *t)
{
    const struct tg_page lost = {.verdict = TG_RESET_GAP, .resume = p->check->horizon};

    tg_log_limited(TG_LOG_WARN, "replay_unchecked", MAX_LINES, TG_KS("schema", t->name.schema),
                   TG_KS("table", t->name.table),
                   TG_KZ("hint", "set tables.<schema>.<table>.primary_key to columns that the "
                                 "user may read"));
    p->up_to = p->check->horizon;
    stream_fill_page(p, &lost);
}

/* NULL: none. */
static void show(struct check *k, const bool *is_visible)
{
    struct tg_fanout *f = k->page->fanout;
    size_t key = 0;
    size_t n = 0;

    for (size_t i = 0; i < k->from.n; i++) {
        bool has_row = key < k->n_keys && k->owner[key] == i;
        bool is_shown = !has_row || (is_visible != NULL && is_visible[key]);

        key += has_row;
        if (is_shown) {
            k->entries[n++] = k->entries[i];
        }
    }
    tg_count_add(&f->counts.hidden, k->from.n - n);
    k->from.n = n;
    stream_fill_page(k->page, &k->from);
}

static void on_keys(enum tg_rc rc, unsigned status, const bool *is_visible, size_t n, void *arg)
{
    struct check *k = arg;
    struct page *p = k->page;
    const struct wtopic *t = tg_ids_find(&p->fanout->topic_ids, p->topic);

    (void)n;
    k->asked = NULL;
    if (rc == TG_OK || rc == TG_EFORBIDDEN || rc == TG_ENOTFOUND) {
        show(k, rc == TG_OK ? is_visible : NULL);
    } else if (rc == TG_EBADTOKEN) {
        stream_fail_page(p, "token", rc, TG_STR("upstream does not accept the token"));
    } else if ((rc == TG_EBADPARAM || rc == TG_ELIMIT) && t != NULL) {
        lose(p, t);
    } else {
        tg_log_limited(TG_LOG_WARN, "replay_check", MAX_LINES, TG_KZ("rc", tg_rc_name(rc)),
                       TG_KN("status", status));
        stream_pause_page(p);
    }
}

void stream_check(struct page *p, const struct wtopic *t, const struct tg_page *from)
{
    struct tg_fanout *f = p->fanout;
    struct check *k = keep(p, from);
    struct tg_table table = tg_table_of(f->opts.tables, t->name.schema, t->name.table);
    const struct tg_reader_opts opts = {.loop = f->loop,
                                        .upstream = f->opts.upstream,
                                        .authority = f->opts.authority,
                                        .apikey = f->opts.apikey,
                                        .bearer =
                                            t->token == NULL ? TG_STR("") : tg_str_of(t->token),
                                        .table = &table};

    if (find_keys(k, &table) != TG_OK) {
        lose(p, t);
        return;
    }
    if (k->n_keys == 0) {
        stream_fill_page(p, &k->from);
        return;
    }
    tg_count_add(&f->counts.checks, 1);
    if (opts.bearer.n == 0) {
        stream_fail_page(p, "token", TG_ENOTOKEN, TG_STR(""));
    } else if (tg_reader_keys(&opts, k->keys, k->n_keys, on_keys, k, &k->asked) != TG_OK) {
        k->asked = NULL;
        stream_pause_page(p);
    }
}
