/* feed_rows.c - the life of a table that is followed whole, and what waits: changes for a read,
 * writes for the store. */
#include <stdlib.h>

#include "realtime/rows.h"
#include "util/log.h"

enum {
    MAX_CHANGE_BYTES = 16 * 1024 * 1024,
    MAX_OUT_BYTES = 32 * 1024 * 1024,
};

void rows_forget_keys(struct tg_map *m)
{
    tg_map_fini(m);
    *m = (struct tg_map){0};
}

struct rows *rows_unpend(void *arg)
{
    const struct feed *f = feed_unpend(arg);

    return f == NULL ? NULL : f->rows;
}

/* ---- changes that wait ---- */

static bool is_blocked(const struct rows *r)
{
    return r->fill != FILL_WHOLE || r->one != NULL;
}

static void pop_change(struct rows *r)
{
    struct change *c = r->changes;

    r->changes = c->next;
    if (r->changes == NULL) {
        r->changes_end = &r->changes;
    }
    r->change_bytes -= c->n;
    r->n_changes--;
    free(c);
}

static void drop_changes(struct rows *r)
{
    while (r->changes != NULL) {
        pop_change(r);
    }
    r->is_after = false;
}

static void push_change(struct rows *r, tg_str payload)
{
    struct change *c = NULL;

    if (payload.n > MAX_CHANGE_BYTES - r->change_bytes ||
        r->n_changes >= r->feed->hub->opts.max_waiting) {
        tg_reader_cancel(r->one); /* it is the first of them that is read again */
        r->one = NULL;
        drop_changes(r);
        rows_lost(r, "overrun");
        return;
    }
    c = tg_malloc(sizeof(*c) + payload.n);
    c->next = NULL;
    c->n = payload.n;
    memcpy(c->text, payload.p, payload.n);
    *r->changes_end = c;
    r->changes_end = &c->next;
    r->change_bytes += c->n;
    r->n_changes++;
}

void rows_drain(struct rows *r)
{
    while (r->changes != NULL && !is_blocked(r)) {
        const struct change *c = r->changes;

        if (declared_take(r, tg_str_make(c->text, c->n)) && r->changes == c) {
            pop_change(r);
        }
    }
    if (r->changes == NULL) {
        r->is_after = false;
        r->is_unsure = r->is_unsure && (r->fill != FILL_WHOLE || r->is_again);
    }
}

void rows_on_change(struct rows *r, tg_str payload)
{
    const struct feed *f = r->feed;

    if (!f->hub->store_up || f->fence == 0) {
        return; /* the lease, when it is ours, means a fill */
    }
    verify_change(r, payload);
    if (r->opts.declared == NULL) {
        revoke_take(r, payload);
        return;
    }
    /* In their order, whatever they wait for. */
    push_change(r, payload);
    rows_drain(r);
}

/* ---- writes that wait ---- */

struct out {
    struct out *next;
    size_t n_topic, n_payload, n_pk, n_value;
    char text[];
};

static size_t out_bytes(const struct out *o)
{
    return o->n_topic + o->n_payload + o->n_pk + o->n_value;
}

static void pop_out(struct rows *r)
{
    struct out *o = r->outs;

    r->outs = o->next;
    if (r->outs == NULL) {
        r->outs_end = &r->outs;
    }
    r->out_bytes -= out_bytes(o);
    free(o);
}

static void drop_outs(struct rows *r)
{
    while (r->outs != NULL) {
        pop_out(r);
    }
}

static char *put_text(char *at, tg_str text)
{
    if (text.n > 0) {
        memcpy(at, text.p, text.n);
    }
    return at + text.n;
}

static void push_out(struct rows *r, const struct tg_write *w)
{
    struct out *o =
        tg_malloc(sizeof(*o) + w->topic.n + w->payload.n + w->index_pk.n + w->index_put.n);
    char *at = o->text;

    *o = (struct out){.n_topic = w->topic.n,
                      .n_payload = w->payload.n,
                      .n_pk = w->index_pk.n,
                      .n_value = w->index_put.n};
    at = put_text(at, w->topic);
    at = put_text(at, w->payload);
    at = put_text(at, w->index_pk);
    (void)put_text(at, w->index_put);
    *r->outs_end = o;
    r->outs_end = &o->next;
    r->out_bytes += out_bytes(o);
}

/* What was told, and what the index says, part here: the store knows. */
static void lose_index(struct rows *r)
{
    drop_outs(r);
    r->is_loaded = false;
    rows_lost(r, "store");
}

static void flush_outs(struct rows *r);

static void on_appended(enum tg_rc rc, struct tg_pos pos, void *arg)
{
    struct tg_hub *h = feed_hub(arg);
    struct rows *r = rows_unpend(arg);

    (void)pos;
    h->n_appends--;
    if (r != NULL && rc == TG_OK) {
        flush_outs(r);
    } else if (r != NULL) {
        tg_count_add(&h->counts.append_errors, 1);
        if (rc == TG_EFENCED) {
            feed_fenced(r->feed);
        } else {
            lose_index(r);
        }
    }
    hub_drain_link(h);
}

static enum tg_rc write_out(struct rows *r, const struct tg_write *w)
{
    struct feed *f = r->feed;
    void *p = NULL;
    enum tg_rc rc = TG_OK;

    if (f->hub->n_appends >= f->hub->opts.max_appends) {
        return TG_EBUSY;
    }
    p = feed_pend(f);
    rc = tg_store_append(f->hub->store, w, on_appended, p);
    if (rc == TG_OK) {
        f->hub->n_appends++;
        tg_count_add(&f->hub->counts.appended, 1);
    } else {
        free(p);
    }
    return rc;
}

static struct tg_write new_write(const struct rows *r)
{
    const struct feed *f = r->feed;
    const struct tg_declared *d = r->opts.declared;

    return (struct tg_write){.epoch = &f->hub->epoch,
                             .feed = tg_str_of(f->key),
                             .fence = f->fence,
                             .retain_for = d->retain_for,
                             .retain_events = d->retain_events};
}

static void flush_outs(struct rows *r)
{
    enum tg_rc rc = TG_OK;

    while (rc == TG_OK && r->outs != NULL && r->feed->fence != 0) {
        const struct out *o = r->outs;
        struct tg_write w = new_write(r);

        w.topic = tg_str_make(o->text, o->n_topic);
        w.payload = tg_str_make(o->text + o->n_topic, o->n_payload);
        w.index_pk = tg_str_make(w.payload.p + o->n_payload, o->n_pk);
        w.index_put = tg_str_make(w.index_pk.p + o->n_pk, o->n_value);
        rc = write_out(r, &w);
        if (rc == TG_OK) {
            pop_out(r);
        }
    }
    if (rc != TG_OK && rc != TG_EBUSY) {
        lose_index(r);
    }
}

void rows_append(struct rows *r, tg_str topic, tg_str payload, tg_str pk, tg_str value)
{
    struct tg_write w = new_write(r);
    enum tg_rc rc = TG_EBUSY;

    w.topic = topic;
    w.payload = payload;
    if (rows_are_repaired(r)) {
        w.index_pk = pk; /* tg_index_put() took it, so the store does */
        w.index_put = value;
    }
    if (r->outs == NULL) {
        rc = write_out(r, &w);
    }
    if (rc == TG_EBUSY && r->out_bytes + payload.n <= MAX_OUT_BYTES) {
        push_out(r, &w);
        rc = TG_OK;
    }
    if (rc != TG_OK) {
        lose_index(r);
    }
}

/* ---- the index ---- */

/* Those of all classes, too. */
static bool has_room(const struct rows *r, tg_str pk)
{
    const struct tg_hub *h = r->feed->hub;
    struct tg_index_row row = {0};

    return !r->opts.is_strict || tg_count_get(&h->counts.strict_rows) < h->opts.strict_rows_total ||
           tg_index_find(r->index, pk, &row);
}

void rows_index(struct rows *r, tg_str pk, tg_str key, uint64_t hash)
{
    enum tg_rc rc = has_room(r, pk) ? tg_index_put(r->index, pk, key, hash) : TG_EFULL;

    if (rc == TG_OK || r->is_partial) {
        return;
    }
    tg_log(TG_LOG_WARN, "index_full", TG_KS("feed", feed_logged_topic(r->feed)),
           TG_KN("rows", tg_index_rows(r->index)));
    rows_overflow(r);
}

void rows_overflow(struct rows *r)
{
    r->is_partial = true;
    if (rows_are_stored(r)) {
        fill_forget(r);
    }
    hub_tell_promise(r->feed);
}

void rows_unindex(struct rows *r, tg_str pk)
{
    (void)tg_index_remove(r->index, pk);
}

void rows_put_value(struct tg_buf *out, tg_str key, uint64_t hash)
{
    (void)tg_buf_printf(out, "%016llx ", (unsigned long long)hash);
    (void)tg_buf_str(out, key);
}

enum tg_rc rows_parse_value(tg_str value, tg_str *ret_key, uint64_t *ret_hash)
{
    uint64_t hash = 0;

    if (value.n < 17 || value.p[16] != ' ') {
        return TG_ESYNTAX;
    }
    for (size_t i = 0; i < 16; i++) {
        int digit = tg_hex_digit(value.p[i]);

        if (digit < 0) {
            return TG_ESYNTAX;
        }
        hash = hash << 4U | (unsigned)digit;
    }
    *ret_hash = hash;
    *ret_key = tg_str_skip(value, 17);
    return TG_OK;
}

/* ---- coverage ---- */

bool rows_are_whole(const struct rows *r)
{
    return r->fill == FILL_WHOLE && !r->is_again;
}

bool rows_are_stored(const struct rows *r)
{
    return r->opts.declared != NULL && r->opts.declared->catchup.n > 0;
}

bool rows_are_repaired(const struct rows *r)
{
    return rows_are_stored(r) && !r->is_partial;
}

bool rows_are_partial(const struct rows *r)
{
    return r->is_partial || r->is_blind;
}

void rows_reader_opts(const struct rows *r, struct tg_reader_opts *ret_opts)
{
    const struct tg_hub *h = r->feed->hub;

    *ret_opts = (struct tg_reader_opts){
        .loop = h->loop,
        .upstream = h->upstream,
        .apikey = tg_str_of(r->opts.is_strict ? h->opts.anon_key : h->opts.service_key),
        .bearer = tg_str_of(r->feed->token),
        .table = r->opts.table,
        .columns = r->columns,
        .n_columns = r->n_columns,
        .filter = tg_buf_view(&r->filter),
        .page_rows = TG_MIN(h->opts.page_rows, (unsigned)TG_INDEX_BATCH_MAX)};
}

void rows_lost(struct rows *r, const char *reason)
{
    struct feed *f = r->feed;

    f->gap_reason = reason;
    if (!f->is_up || f->fence == 0 || !f->hub->store_up) {
        return; /* begins when they are there */
    }
    r->is_lost = true;
    r->is_unsure = true;
    if (r->opts.declared == NULL) {
        revoke_all(r);
    }
    if (r->fill == FILL_LOADING || (r->fill == FILL_READING && !r->is_verify)) {
        r->is_again = true;
        return;
    }
    fill_stop(r);
    r->is_lost_behind = r->changes != NULL;
    fill_soon(r, 0);
}

void rows_leased(struct rows *r)
{
    drop_outs(r);
    r->is_loaded = false;
}

void rows_tell_watched(struct rows *r)
{
    for (size_t i = 0; i < r->opts.n_guarded; i++) {
        hub_tell_watched(r->feed->hub, r->opts.guarded[i], r->is_watched);
    }
}

static void watch(struct rows *r)
{
    enum feed_state state = r->feed->state;
    bool is_watched = state == FEED_LIVE || state == FEED_REMOTE;

    if (is_watched != r->is_watched) {
        r->is_watched = is_watched;
        rows_tell_watched(r);
    }
}

void rows_down(struct rows *r)
{
    fill_stop(r);
    drop_changes(r);
    watch(r);
}

void rows_unleased(struct rows *r)
{
    rows_down(r);
    drop_outs(r);
    r->is_loaded = false;
}

static tg_count *count_of(const struct rows *r)
{
    struct tg_hub_counts *n = &r->feed->hub->counts;

    return r->opts.is_strict ? &n->strict_rows : &n->rows_indexed;
}

void rows_count(struct rows *r, size_t n)
{
    tg_count *count = count_of(r);

    tg_count_add(count, n);
    tg_count_sub(count, r->n_counted);
    r->n_counted = n;
}

void rows_sweep(struct rows *r)
{
    rows_count(r, tg_index_rows(r->index));
    watch(r);
    if (r->outs != NULL) {
        flush_outs(r);
    }
    if (r->owes_access) {
        revoke_all(r);
    }
    if (r->owes_forgetting && r->feed->fence != 0) {
        fill_forget(r);
    }
}

/* ---- life ---- */

static bool has_column(const struct rows *r, tg_str name)
{
    for (size_t i = 0; i < r->n_columns; i++) {
        if (tg_str_eq(r->columns[i], name)) {
            return true;
        }
    }
    return false;
}

static void want_column(struct rows *r, tg_str name)
{
    if (name.n > 0 && !has_column(r, name)) {
        r->columns = tg_realloc(r->columns, r->n_columns + 1, sizeof(r->columns[0]));
        r->columns[r->n_columns++] = name;
    }
}

static void want_columns(struct rows *r)
{
    const struct tg_declared *d = r->opts.declared;
    tg_str rest = TG_STR_NONE;

    for (size_t i = 0; i < r->opts.n_guarded; i++) {
        want_column(r, r->opts.guarded[i]->revoke_on.key);
        want_column(r, r->opts.guarded[i]->revoke_on.user);
    }
    if (d == NULL) {
        return;
    }
    want_column(r, d->key);
    for (size_t i = 0; i < d->n_columns; i++) {
        want_column(r, d->columns[i]);
    }
    /* column=op.value&... , escaped: what stands before the first `=` is a column. */
    rest = tg_where_query(d->where);
    while (rest.n > 0) {
        tg_str condition = tg_str_cut(&rest, '&');

        want_column(r, tg_str_cut(&condition, '='));
    }
}

struct rows *rows_create(struct feed *f, const struct rows_opts *opts)
{
    struct rows *r = TG_NEW(struct rows);

    r->feed = f;
    r->opts = *opts;
    r->index =
        tg_index_create(opts->is_strict ? f->hub->opts.strict_rows : f->hub->opts.index_rows);
    r->changes_end = &r->changes;
    r->outs_end = &r->outs;
    tg_timer_init(&r->timer, fill_on_timer);
    want_columns(r);
    return r;
}

void rows_destroy(struct rows *r)
{
    if (r == NULL) {
        return;
    }
    fill_stop(r);
    drop_changes(r);
    drop_outs(r);
    rows_count(r, 0);
    tg_index_destroy(r->index);
    tg_map_fini(&r->touched);
    tg_map_fini(&r->suspects);
    tg_map_fini(&r->differing);
    tg_map_fini(&r->asked);
    tg_buf_fini(&r->filter);
    free(r->columns);
    free(r->opts.guarded);
    free(r->opts.own);
    free(r);
}
