/* feed_fill.c - the table, read: the first time, after every loss, and now and then to see whether
 * something was lost without a sign.
 *
 * A fill compares each row with the index and tells what differs before the changes that waited. A
 * row that changed since the read began is left to its change, which comes behind. */
#include <stdlib.h>

#include "realtime/rows.h"
#include "util/json.h"
#include "util/log.h"

enum { PAGE_ROWS = TG_INDEX_BATCH_MAX };

#define RETRY_FIRST TG_SEC(1)
#define RETRY_LAST TG_SEC(30)
#define FILL_APART TG_SEC(1)

/* Stands in the stored index beside the rows: the whole table has been entered. */
static const tg_str WHOLE = TG_STR_INIT("whole");

/* ---- a read ends ---- */

void fill_stop(struct rows *r)
{
    tg_loop_timer_stop(r->feed->hub->loop, &r->timer);
    tg_reader_cancel(r->reader);
    r->reader = NULL;
    tg_reader_cancel(r->one);
    r->one = NULL;
    tg_buf_fini(&r->one_row);
    rows_forget_keys(&r->touched);
    rows_forget_keys(&r->suspects);
    rows_forget_keys(&r->differing);
    rows_forget_keys(&r->asked);
    r->fill = FILL_OUT;
    r->is_verify = false;
    r->is_again = false;
}

void fill_soon(struct rows *r, tg_usec after)
{
    struct tg_loop *l = r->feed->hub->loop;
    tg_usec now = tg_loop_now(l);

    if (r->filled_at != 0 && now < r->filled_at + FILL_APART) {
        after = TG_MAX(after, r->filled_at + FILL_APART - now);
    }
    r->fill = FILL_OUT;
    if (after == 0) {
        fill_begin(r);
    } else {
        tg_loop_timer_start(l, &r->timer, after);
    }
}

static void try_later(struct rows *r)
{
    tg_count_add(&r->feed->hub->counts.fill_errors, 1);
    r->is_lost_behind = r->is_lost_behind || r->is_again;
    fill_stop(r);
    r->retry = r->retry == 0 ? RETRY_FIRST : TG_MIN(r->retry * 2, RETRY_LAST);
    fill_soon(r, r->retry);
}

/* Rows that were entered without a word: whoever reads them behind this gap has them as the index
 * has. Before the read it would have been too early: of what changed between a client's read and
 * ours, the index would know, and say nothing. */
static void tell_gap(struct rows *r)
{
    bool is_compared = rows_are_stored(r) && !r->is_first;

    r->is_gap_before = !is_compared;
    if (r->opts.declared != NULL && !is_compared) {
        feed_need_gap(r->feed, r->feed->gap_reason);
    } else if (is_compared && r->is_partial) {
        feed_need_gap(r->feed, "partial"); /* what differs beyond the index was not found */
    }
}

/* Everybody was asked when the loss was seen. What changed from then to the read the index knows
 * now, and the change that comes late says only who may read, and not who may no longer. */
static void ask_again(struct rows *r)
{
    if (r->is_asked_early) {
        r->is_asked_early = false;
        revoke_all(r);
    }
}

static void become_whole(struct rows *r)
{
    bool is_again = r->is_again;

    rows_forget_keys(&r->touched);
    tell_gap(r);
    ask_again(r);
    r->fill = FILL_WHOLE;
    r->retry = 0;
    r->is_first = false;
    r->is_lost = is_again;
    r->filled_at = tg_loop_now(r->feed->hub->loop);
    tg_count_add(&r->feed->hub->counts.fills, 1);
    r->is_after = true;
    rows_drain(r);
    if (is_again && r->fill == FILL_WHOLE) {
        r->is_again = false;
        fill_soon(r, 0);
        return;
    }
    feed_settle(r->feed);
    verify_later(r);
}

/* ---- noting the first time ---- */

static void on_whole_noted(enum tg_rc rc, void *arg)
{
    struct rows *r = rows_unpend(arg);

    if (r == NULL || r->fill != FILL_READING || r->reader != NULL) {
        return;
    }
    if (rc == TG_EFENCED) {
        feed_fenced(r->feed);
    } else if (rc != TG_OK) {
        r->is_loaded = false;
        try_later(r);
    } else {
        become_whole(r);
    }
}

static void on_page_noted(enum tg_rc rc, void *arg)
{
    struct rows *r = rows_unpend(arg);

    if (r == NULL || r->reader == NULL) {
        return;
    }
    if (rc == TG_EFENCED) {
        feed_fenced(r->feed);
    } else if (rc != TG_OK) {
        r->is_loaded = false;
        try_later(r);
    } else {
        tg_reader_resume(r->reader);
    }
}

static bool note(struct rows *r, const struct tg_index_change *changes, size_t n, tg_done_fn *done)
{
    struct feed *f = r->feed;
    const struct tg_index_batch batch = {.epoch = &f->hub->epoch,
                                         .feed = tg_str_of(f->key),
                                         .fence = f->fence,
                                         .changes = changes,
                                         .n = n,
                                         .is_fresh = !r->has_noted};
    void *p = feed_pend(f);

    if (tg_store_index_write(f->hub->store, &batch, done, p) != TG_OK) {
        free(p);
        return false;
    }
    r->has_noted = true;
    return true;
}

static void on_forgotten(enum tg_rc rc, void *arg)
{
    struct rows *r = rows_unpend(arg);

    if (r != NULL && rc == TG_EFENCED) {
        feed_fenced(r->feed);
    } else if (r != NULL && rc != TG_OK) {
        r->owes_forgetting = true;
    }
}

void fill_forget(struct rows *r)
{
    r->is_loaded = false;
    r->has_noted = false;
    r->owes_forgetting = !note(r, NULL, 0, on_forgotten);
}

/* ---- rows as they are read ---- */

static void compare(struct rows *r, const struct row_change *c)
{
    struct tg_index_row old = {0};
    bool is_same = tg_index_find(r->index, c->pk, &old) && tg_str_eq(old.key, c->key) &&
                   (old.hash == c->hash || c->key.n == 0);

    (void)tg_index_see(r->index, c->pk);
    if (verify_is_touched(r, c->pk) || is_same) {
        return;
    }
    if (r->is_verify) {
        verify_suspect(r, c->pk);
    } else if (r->is_first || !rows_are_repaired(r)) {
        rows_index(r, c->pk, c->key, c->hash);
    } else if (r->opts.is_strict) {
        class_differs(r, c->pk);
    } else {
        declared_route(r, c);
    }
}

/* A page for the stored index; the next one when that is written. */
struct page_notes {
    struct tg_index_change changes[PAGE_ROWS];
    size_t n;
    struct tg_buf texts;
    size_t at[PAGE_ROWS][2];
};

static void add_note(struct page_notes *p, const struct row_change *c)
{
    if (p->n == PAGE_ROWS || c->key.n == 0) {
        return;
    }
    p->at[p->n][0] = p->texts.n;
    (void)tg_buf_str(&p->texts, c->pk);
    p->at[p->n][1] = p->texts.n;
    rows_put_value(&p->texts, c->key, c->hash);
    p->n++;
}

static void slice_notes(struct page_notes *p)
{
    for (size_t i = 0; i < p->n; i++) {
        size_t end = i + 1 < p->n ? p->at[i + 1][0] : p->texts.n;

        p->changes[i].pk = tg_str_make(p->texts.p + p->at[i][0], p->at[i][1] - p->at[i][0]);
        p->changes[i].put = tg_str_make(p->texts.p + p->at[i][1], end - p->at[i][1]);
    }
}

static void take_row(struct rows *r, tg_str row, struct page_notes *notes)
{
    TG_CLEANUP(row_texts_fini) struct row_texts t = row_texts();
    struct row_change c = {.is_repaired = true};

    if (tg_row_pk(r->opts.table, row, &t.pk) != TG_OK) {
        return;
    }
    c.pk = tg_buf_view(&t.pk);
    if (r->opts.declared == NULL) {
        if (!verify_is_touched(r, c.pk)) {
            revoke_note(r, c.pk, row);
        }
        (void)tg_index_see(r->index, c.pk);
        return;
    }
    (void)!declared_read(r, row, &t, &c);
    compare(r, &c);
    if (notes != NULL && !verify_is_touched(r, c.pk)) {
        add_note(notes, &c);
    }
}

static bool on_rows(tg_str rows, size_t n, void *arg)
{
    struct rows *r = arg;
    struct page_notes *notes = NULL;
    tg_str name = TG_STR_NONE;
    tg_str row = TG_STR_NONE;
    size_t at = 0;
    bool goes_on = true;

    (void)n;
    if (r->is_first && rows_are_stored(r) && !r->is_partial) {
        notes = TG_NEW(struct page_notes);
        notes->texts.max = (size_t)PAGE_ROWS * (TG_INDEX_PK_MAX + TG_INDEX_VALUE_MAX);
    }
    while (tg_json_next(rows, &at, &name, &row) == TG_OK) {
        take_row(r, row, notes);
    }
    rows_count(r, tg_index_rows(r->index));
    if (notes != NULL && notes->n > 0 && !r->is_partial) {
        slice_notes(notes);
        goes_on = false;
        if (!note(r, notes->changes, notes->n, on_page_noted)) {
            r->is_loaded = false;
            r->is_again = true;
            goes_on = true;
        }
    }
    if (notes != NULL) {
        tg_buf_fini(&notes->texts);
        free(notes);
    }
    if (r->opts.is_strict && r->is_partial) {
        tg_reader_cancel(r->reader); /* no need to know more of them */
        r->reader = NULL;
        become_whole(r);
    }
    return goes_on;
}

/* Told as gone before: it stays known until the read after this one, for upstream may be late with
 * its DELETE. */
static bool take_remembered(struct rows *r, tg_str pk, const struct tg_index_row *row)
{
    if (row->key.n > 0 || row->hash > 1) {
        return false;
    }
    if (row->hash == 0) {
        rows_index(r, pk, TG_STR(""), 1);
    } else {
        rows_unindex(r, pk);
    }
    return true;
}

/* Rows that the read did not show. */
static void take_unseen(struct rows *r)
{
    struct tg_index_row row = {0};
    tg_str pk = TG_STR_NONE;

    while (tg_index_unseen(r->index, &pk, &row)) {
        TG_CLEANUP(tg_buf_fini) struct tg_buf copy = {.max = TG_INDEX_PK_MAX};
        struct row_change c = {.is_repaired = true};

        (void)tg_buf_str(&copy, pk);
        c.pk = tg_buf_view(&copy);
        if (verify_is_touched(r, c.pk)) {
            (void)tg_index_see(r->index, c.pk);
        } else if (take_remembered(r, c.pk, &row)) {
            continue;
        } else if (r->is_verify) {
            verify_suspect(r, c.pk);
            (void)tg_index_see(r->index, c.pk);
        } else if (r->opts.declared != NULL && rows_are_repaired(r) && !r->is_first) {
            declared_gone(r, &c);
        } else {
            r->is_asked_early = r->opts.declared == NULL;
            rows_unindex(r, c.pk);
        }
    }
}

void fill_say_unread(struct rows *r, enum tg_rc rc, unsigned status, tg_str message)
{
    tg_log_limited(TG_LOG_WARN, "table_unread", 10, TG_KS("feed", feed_logged_topic(r->feed)),
                   TG_KZ("rc", tg_rc_name(rc)), TG_KN("status", status),
                   TG_KS("message", feed_logged_message(r->feed, message)));
}

static void give_up(struct rows *r, enum tg_rc rc)
{
    if (r->is_verify) {
        verify_end(r);
    } else if (r->opts.is_strict) {
        class_give_up(r, rc);
    } else {
        try_later(r);
    }
}

void fill_end(struct rows *r)
{
    const struct tg_index_change whole = {.pk = WHOLE, .put = TG_STR_INIT("1")};

    if (r->is_verify) {
        verify_end(r);
    } else if (!r->is_first || !rows_are_repaired(r)) {
        become_whole(r);
    } else if (!note(r, &whole, 1, on_whole_noted)) {
        try_later(r);
    }
}

static void on_done(enum tg_rc rc, unsigned status, tg_str message, void *arg)
{
    struct rows *r = arg;

    r->reader = NULL;
    if (rc != TG_OK) {
        fill_say_unread(r, rc, status, message);
        give_up(r, rc);
        return;
    }
    take_unseen(r);
    if (r->is_verify || !class_read_details(r)) {
        fill_end(r);
    }
}

static void read_table(struct rows *r)
{
    static const struct tg_reader_handler handler = {on_rows, on_done};
    struct tg_reader_opts opts = {0};
    enum tg_rc rc = hub_open_upstream(r->feed->hub);

    rows_reader_opts(r, &opts);
    rows_forget_keys(&r->touched);
    tg_index_sweep(r->index);
    r->is_again = r->is_lost_behind;
    r->is_lost_behind = false;
    if (rc == TG_OK) {
        rc = tg_reader_start(&opts, &handler, r, &r->reader);
    }
    if (rc != TG_OK) {
        r->reader = NULL;
        tg_loop_timer_start(r->feed->hub->loop, &r->timer, 0); /* given up from the loop */
        return;
    }
    for (const struct change *c = r->changes; c != NULL; c = c->next) {
        verify_touch(r, tg_str_make(c->text, c->n)); /* what waits comes behind what is read */
    }
}

/* ---- what clients were told, from the store ---- */

static void on_loaded(enum tg_rc rc, const struct tg_index_change *rows, size_t n, uint64_t next,
                      void *arg);

static void load(struct rows *r, uint64_t from)
{
    struct feed *f = r->feed;
    void *p = feed_pend(f);

    if (tg_store_index_load(f->hub->store, tg_str_of(f->key), from, on_loaded, p) != TG_OK) {
        free(p);
        try_later(r);
    }
}

static void on_loaded(enum tg_rc rc, const struct tg_index_change *rows, size_t n, uint64_t next,
                      void *arg)
{
    struct rows *r = rows_unpend(arg);

    if (r == NULL || r->fill != FILL_LOADING) {
        return;
    }
    if (rc != TG_OK) {
        try_later(r);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        tg_str key = TG_STR_NONE;
        uint64_t hash = 0;

        if (tg_str_eq(rows[i].pk, WHOLE)) {
            r->is_first = false;
        } else if (rows_parse_value(rows[i].put, &key, &hash) == TG_OK) {
            rows_index(r, rows[i].pk, key, hash);
        }
    }
    if (next != 0) {
        load(r, next);
        return;
    }
    r->is_loaded = true;
    r->fill = FILL_READING;
    if (r->is_first) {
        /* Nothing is known of what clients were told: as without `catchup`, once. */
        tg_index_clear(r->index);
        r->has_noted = false;
    }
    read_table(r);
}

void fill_begin(struct rows *r)
{
    r->is_partial = false;
    r->is_verify = false;
    if (rows_are_stored(r) && !r->is_loaded) {
        r->fill = FILL_LOADING;
        r->is_first = true;
        tg_index_clear(r->index);
        load(r, 0);
        return;
    }
    r->fill = FILL_READING;
    read_table(r);
}

void fill_on_timer(struct tg_timer *t)
{
    struct rows *r = TG_CONTAINER_OF(t, struct rows, timer);

    if (r->fill == FILL_OUT || (r->fill == FILL_WHOLE && r->retry > 0)) {
        fill_begin(r);
    } else if (r->reader == NULL && (r->fill == FILL_READING || r->is_verify)) {
        give_up(r, TG_EUPSTREAM); /* it did not even begin */
    } else if (r->suspects.n > 0) {
        verify_judge(r);
    } else if (r->fill == FILL_WHOLE && r->reader == NULL) {
        r->is_verify = true;
        read_table(r);
    }
}
