/* feed_strict.c - a strict topic's changes on their way to the log, and the rows that its class may
 * know of.
 *
 * Invariant: `is_whole` means that a gap stands, or is about to, behind a read of all rows that the
 * class could see, and that every change since then is in `rows`. */
#include <stdlib.h>

#include "realtime/change.h"
#include "realtime/filter.h"
#include "realtime/index.h"
#include "realtime/keyset.h"
#include "realtime/reader.h"
#include "realtime/row.h"
#include "realtime/strict.h"
#include "realtime/table.h"
#include "util/json.h"
#include "util/log.h"

enum { MAX_EVENT_BYTES = 4 * 1024 * 1024, MAX_PK_BYTES = 4 * TG_INDEX_PK_MAX };

#define READ_WAIT TG_SEC(3)
#define READS_APART TG_SEC(1)
#define RETRY_FIRST TG_SEC(1)
#define RETRY_LAST TG_SEC(300)

struct strict {
    struct feed *feed;
    struct tg_table table;
    struct tg_index *rows; /* their primary keys alone */
    size_t n_counted;      /* of them */
    struct tg_reader *reader;
    struct tg_timer timer; /* no reader: the next read; else the gap no longer waits for it */
    const char *why;       /* of the gap that is to come behind the read; NULL: it was written */
    bool is_whole;
    bool is_again; /* something was lost since the read under way began */
    bool is_full;  /* more rows than may be kept */
    bool is_blind; /* the filter needs more than the primary key */
    tg_usec read_at;
    tg_usec retry;
};

/* ---- the read ends ---- */

static void read_in(struct strict *s, tg_usec after)
{
    tg_loop_timer_start(s->feed->hub->loop, &s->timer, after);
}

static void write_gap(struct strict *s, const char *why)
{
    s->why = NULL;
    feed_need_gap(s->feed, why);
}

static void stop_read(struct strict *s)
{
    tg_loop_timer_stop(s->feed->hub->loop, &s->timer);
    tg_reader_cancel(s->reader);
    s->reader = NULL;
}

static void be_whole(struct strict *s)
{
    tg_usec verify = s->feed->hub->opts.verify;
    bool was_whole = s->is_whole;

    tg_loop_timer_stop(s->feed->hub->loop, &s->timer);
    s->is_whole = true;
    s->retry = 0;
    if (s->why != NULL || !was_whole) {
        write_gap(s, s->why == NULL ? "deletes" : s->why);
    }
    if (verify > 0) {
        read_in(s,
                verify + (tg_usec)(tg_hash(tg_str_of(s->feed->key)) % (uint64_t)(verify / 8 + 1)));
    }
}

/* What is deleted from now on, and was not among them, means a gap. */
static void stay_partial(struct strict *s)
{
    stop_read(s);
    if (s->why != NULL) {
        write_gap(s, s->why);
    }
}

static void on_done(enum tg_rc rc, unsigned status, tg_str message, void *arg)
{
    struct strict *s = arg;
    struct tg_hub *h = s->feed->hub;

    s->reader = NULL;
    if (rc == TG_OK && s->is_again) {
        stay_partial(s);
        read_in(s, READS_APART);
        return;
    }
    if (rc == TG_OK && !s->is_full) {
        be_whole(s);
        return;
    }
    if (rc == TG_OK) {
        stay_partial(s);
        return;
    }
    tg_count_add(&h->counts.fill_errors, 1);
    tg_log_limited(TG_LOG_WARN, "strict_unread", 10, TG_KS("topic", feed_logged_topic(s->feed)),
                   TG_KZ("rc", tg_rc_name(rc)), TG_KN("status", status),
                   TG_KS("message", feed_logged_message(s->feed, message)));
    stay_partial(s);
    s->retry = s->retry == 0 ? RETRY_FIRST : TG_MIN(s->retry * 2, RETRY_LAST);
    read_in(s, s->retry);
}

/* ---- rows ---- */

static bool has_room(const struct strict *s)
{
    const struct tg_hub *h = s->feed->hub;

    return tg_index_rows(s->rows) < h->opts.strict_rows &&
           tg_count_get(&h->counts.strict_rows) < h->opts.strict_rows_total;
}

static void count_rows(struct strict *s)
{
    tg_count *count = &s->feed->hub->counts.strict_rows;
    size_t n = tg_index_rows(s->rows);

    tg_count_add(count, n);
    tg_count_sub(count, s->n_counted);
    s->n_counted = n;
}

/* Its class knows rows that are not among them. */
static void be_full(struct strict *s)
{
    s->is_full = true;
    s->is_whole = false;
    hub_tell_promise(s->feed);
}

static void say_full(const struct strict *s)
{
    tg_log_limited(TG_LOG_INFO, "strict_full", 10, TG_KS("topic", feed_logged_topic(s->feed)),
                   TG_KN("rows", tg_index_rows(s->rows)));
}

static void know(struct strict *s, tg_str pk)
{
    if (tg_index_see(s->rows, pk)) {
        return;
    }
    if (!has_room(s) || tg_index_put(s->rows, pk, TG_STR(""), 0) != TG_OK) {
        if (!s->is_full) {
            say_full(s);
        }
        be_full(s);
    }
    count_rows(s);
}

static bool knows(const struct strict *s, tg_str pk)
{
    struct tg_index_row row = {0};

    return tg_index_find(s->rows, pk, &row);
}

static bool on_rows(tg_str rows, size_t n, void *arg)
{
    struct strict *s = arg;
    tg_str name = TG_STR_NONE;
    tg_str row = TG_STR_NONE;
    size_t at = 0;

    (void)n;
    while (!s->is_full && tg_json_next(rows, &at, &name, &row) == TG_OK) {
        TG_CLEANUP(tg_buf_fini) struct tg_buf pk = {.max = MAX_PK_BYTES};

        if (tg_row_pk(&s->table, row, &pk) == TG_OK) {
            know(s, tg_buf_view(&pk));
        }
    }
    if (s->is_full) {
        stay_partial(s); /* until the channel is joined again */
    }
    return true;
}

/* Rows that two reads have not shown. */
static void forget_unseen(struct strict *s)
{
    struct tg_index_row row = {0};
    tg_str pk = TG_STR_NONE;

    while (tg_index_unseen(s->rows, &pk, &row)) {
        (void)tg_index_remove(s->rows, pk);
    }
    count_rows(s);
    tg_index_sweep(s->rows);
}

static enum tg_rc start_read(struct strict *s)
{
    static const struct tg_reader_handler handler = {on_rows, on_done};
    struct tg_hub *h = s->feed->hub;
    TG_CLEANUP(tg_buf_fini) struct tg_buf filter = {.max = TG_KEYSET_TARGET_MAX};
    const char *why = NULL;
    struct tg_reader_opts opts = {.loop = h->loop,
                                  .apikey = tg_str_of(h->opts.anon_key),
                                  .bearer = tg_str_of(s->feed->token),
                                  .table = &s->table,
                                  .page_rows = h->opts.page_rows};
    enum tg_rc rc = hub_open_upstream(h);

    if (rc != TG_OK) {
        return rc;
    }
    opts.upstream = h->upstream;
    /* A filter that PostgREST cannot take: then all rows that the class can see. */
    if (tg_filter_query(s->feed->name.filter, &filter, &why) == TG_OK) {
        opts.filter = tg_buf_view(&filter);
    }
    return tg_reader_start(&opts, &handler, s, &s->reader);
}

static void begin_read(struct strict *s)
{
    enum tg_rc rc = TG_OK;

    forget_unseen(s);
    s->is_full = false;
    s->is_again = false;
    s->read_at = tg_loop_now(s->feed->hub->loop);
    rc = start_read(s);
    if (rc != TG_OK) {
        on_done(rc, 0, TG_STR(""), s);
    } else if (s->why != NULL) {
        tg_loop_timer_start(s->feed->hub->loop, &s->timer, READ_WAIT);
    }
}

static void on_timer(struct tg_timer *t)
{
    struct strict *s = TG_CONTAINER_OF(t, struct strict, timer);

    if (s->reader == NULL) {
        begin_read(s);
    } else if (s->why != NULL) {
        write_gap(s, s->why); /* another one comes behind the read */
    }
}

/* ---- coverage ---- */

bool strict_is_read(const struct strict *s)
{
    return s->why == NULL;
}

bool strict_is_partial(const struct strict *s)
{
    return s->is_full || s->is_blind;
}

void strict_lost(struct strict *s, const char *why)
{
    tg_usec now = tg_loop_now(s->feed->hub->loop);

    s->feed->gap_reason = why;
    if (!s->feed->is_up) {
        return; /* begins when it is */
    }
    s->is_whole = false;
    s->why = why;
    if (s->reader != NULL) {
        s->is_again = true;
        return;
    }
    s->retry = 0;
    if (s->read_at != 0 && now < s->read_at + READS_APART) {
        read_in(s, s->read_at + READS_APART - now);
    } else {
        begin_read(s);
    }
}

void strict_down(struct strict *s)
{
    stop_read(s);
    tg_index_clear(s->rows);
    count_rows(s);
    s->is_whole = false;
    s->is_full = false;
    s->read_at = 0;
    s->retry = 0;
    s->why = NULL;
}

void strict_on_token(struct strict *s)
{
    if (s->feed->is_up && s->reader == NULL && !s->is_whole && !s->is_full) {
        s->retry = 0;
        begin_read(s);
    }
}

void strict_sweep(struct strict *s)
{
    count_rows(s);
}

/* ---- the log ---- */

static void on_append_failed(struct feed *f, enum tg_rc rc, uint64_t number)
{
    tg_count_add(&f->hub->counts.append_errors, 1);
    if (rc == TG_EFENCED) {
        feed_fenced(f);
        return;
    }
    tg_log_limited(TG_LOG_WARN, "append_failed", 10, TG_KS("topic", feed_logged_topic(f)),
                   TG_KZ("rc", tg_rc_name(rc)));
    /* Written or not, nobody can tell: that is a gap. One behind it covers it as well. */
    if (number > f->gap_after) {
        feed_need_gap(f, "store");
    }
}

static void on_appended(enum tg_rc rc, struct tg_pos pos, void *arg)
{
    struct pending *p = arg;
    struct tg_hub *h = p->hub;
    uint64_t number = p->number;
    struct feed *f = feed_unpend(p);

    (void)pos;
    h->n_appends--;
    if (f != NULL && rc != TG_OK) {
        on_append_failed(f, rc, number);
    }
    hub_drain_link(h);
}

static void append(struct strict *s, tg_str event)
{
    struct feed *f = s->feed;
    struct tg_hub *h = f->hub;
    const struct tg_write w = {.epoch = &h->epoch,
                               .feed = tg_str_of(f->key),
                               .fence = f->fence,
                               .topic = tg_str_of(f->key),
                               .payload = event};
    struct pending *p = NULL;
    enum tg_rc rc = TG_OK;

    if (!h->store_up || f->fence == 0) {
        feed_need_gap(f, "store");
        return;
    }
    p = feed_pend(f);
    p->number = ++f->n_appends;
    rc = tg_store_append(h->store, &w, on_appended, p);
    if (rc != TG_OK) {
        free(p);
        tg_log_limited(TG_LOG_WARN, "append_failed", 10, TG_KS("topic", feed_logged_topic(f)),
                       TG_KZ("rc", tg_rc_name(rc)));
        feed_need_gap(f, "store");
        return;
    }
    h->n_appends++;
    tg_count_add(&h->counts.appended, 1);
}

/* ---- what upstream says ---- */

/* TG_ENOTFOUND: the primary key is not there, or is not what the configuration says. */
static enum tg_rc pk_of(const struct strict *s, const struct tg_change *c, struct tg_buf *old,
                        struct tg_buf *now)
{
    enum tg_rc rc = TG_OK;

    if (c->old.n > 0 && tg_row_pk(&s->table, c->old, old) != TG_OK) {
        tg_buf_clear(old);
        rc = c->is_delete ? TG_ENOTFOUND : TG_OK;
    }
    if (!c->is_delete && tg_row_pk(&s->table, c->record, now) != TG_OK) {
        tg_buf_clear(now);
        rc = TG_ENOTFOUND;
    }
    return rc;
}

static void say_unkeyed(const struct strict *s)
{
    tg_log_limited(TG_LOG_WARN, "strict_unkeyed", 10, TG_KS("schema", s->table.schema),
                   TG_KS("table", s->table.name),
                   TG_KZ("hint", "set tables.<schema>.<table>.primary_key to columns that the "
                                 "user may read"));
}

/* A row that the class knew is gone, or none that it knew. true: it is told. */
static bool take_delete(struct strict *s, tg_str pk)
{
    if (pk.n > 0 && tg_index_remove(s->rows, pk)) {
        return true;
    }
    if (s->is_whole && pk.n > 0) {
        tg_count_add(&s->feed->hub->counts.hidden_deletes, 1);
    } else if (s->why == NULL) {
        feed_unknown_delete(s->feed);
    } /* else a gap is to come */
    return false;
}

static void take(struct strict *s, const struct tg_change *c)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf event = {.max = MAX_EVENT_BYTES};
    TG_CLEANUP(tg_buf_fini) struct tg_buf old = {.max = MAX_PK_BYTES};
    TG_CLEANUP(tg_buf_fini) struct tg_buf now = {.max = MAX_PK_BYTES};
    bool knew_old = false;

    if (pk_of(s, c, &old, &now) != TG_OK) {
        say_unkeyed(s);
    }
    if (c->is_delete) {
        knew_old = take_delete(s, tg_buf_view(&old));
        if (!knew_old) {
            return;
        }
    } else {
        knew_old = old.n > 0 && knows(s, tg_buf_view(&old));
        if (knew_old && !tg_str_eq(tg_buf_view(&old), tg_buf_view(&now))) {
            (void)tg_index_remove(s->rows, tg_buf_view(&old));
        }
        if (now.n > 0) {
            know(s, tg_buf_view(&now));
        } else {
            be_full(s); /* its delete could not be told from others' */
        }
    }
    if (s->why != NULL) {
        return; /* the gap that is to come covers it */
    }
    if (tg_change_event(c, s->feed->name.name, knew_old ? &s->table : NULL, &event) != TG_OK) {
        strict_lost(s, "errors");
        return;
    }
    append(s, tg_buf_view(&event));
}

void strict_on_change(struct strict *s, tg_str payload)
{
    struct tg_change c = {0};
    enum tg_rc rc = tg_change_parse(payload, &c);

    if (rc != TG_OK) {
        tg_log_limited(TG_LOG_WARN, "change_unusable", 10,
                       TG_KS("topic", feed_logged_topic(s->feed)), TG_KZ("rc", tg_rc_name(rc)),
                       TG_KS("message", tg_change_error(payload)));
        strict_lost(s, "errors");
        return;
    }
    take(s, &c);
}

/* ---- life ---- */

static bool is_key_column(const struct tg_table *t, tg_str column)
{
    for (size_t i = 0; i < t->n_pk; i++) {
        if (tg_str_eq(t->pk[i], column)) {
            return true;
        }
    }
    return false;
}

bool strict_is_blind(const struct tg_table *t, tg_str filter)
{
    while (filter.n > 0) {
        tg_str condition = tg_topic_next_condition(&filter);

        if (!is_key_column(t, tg_str_cut(&condition, '='))) {
            return true;
        }
    }
    return false;
}

struct strict *strict_create(struct feed *f)
{
    struct strict *s = TG_NEW(struct strict);

    s->feed = f;
    s->table = tg_table_of(f->hub->opts.tables, f->name.schema, f->name.table);
    s->is_blind = strict_is_blind(&s->table, f->name.filter);
    s->rows = tg_index_create(f->hub->opts.strict_rows);
    tg_timer_init(&s->timer, on_timer);
    return s;
}

void strict_destroy(struct strict *s)
{
    if (s == NULL) {
        return;
    }
    strict_down(s);
    tg_index_destroy(s->rows);
    free(s);
}
