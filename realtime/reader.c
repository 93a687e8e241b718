/* reader.c - one request at a time to PostgREST, until a page is empty or all keys are asked.
 *
 * A page that is shorter than asked for is not the last one: the project may allow fewer rows at
 * once (db-max-rows cuts silently). The end is a page without rows. A row whose key changes while
 * the table is read may be seen twice or not at all: the change itself is the caller's to hear. */
#include "realtime/reader.h"

#include <stdlib.h>

#include "realtime/keyset.h"
#include "realtime/row.h"
#include "upstream/client.h"
#include "util/arena.h"
#include "util/json.h"

#define READER_MAGIC 0x72656164U

enum {
    PAGE_ROWS = 500,
    PAGE_BYTES = 4 << 20,
    GOOD_PAGE_BYTES = 256 << 10, /* what a loop reads in a turn; over it pages become shorter */
    KEYS_AT_ONCE = 100,
    MESSAGE_MAX = 512,
    MAX_FIELDS = 6,
};

/* Who asks whom about what; a copy of the options. */
struct source {
    struct tg_loop *loop;
    struct tg_upstream *upstream;
    struct tg_arena arena;
    struct tg_table table;
    struct tg_upstream_field fields[MAX_FIELDS];
    size_t n_fields;
    size_t max_bytes;
    struct tg_buf base; /* the target up to the condition */
};

struct tg_reader {
    unsigned magic;
    struct source src;
    const struct tg_reader_handler *h;
    void *arg;
    unsigned rows;       /* of a page */
    struct tg_buf after; /* the condition of what has not been read; empty: all */
    struct tg_timer step;
    bool is_asking;
    bool is_waiting; /* for tg_reader_resume() */
    bool is_over;
};

/* ---- sources ---- */

static bool is_opaque(tg_str key)
{
    return tg_str_has_prefix(key, TG_STR("sb_"));
}

static void add_field(struct source *s, tg_str name, tg_str value)
{
    TG_ASSERT(s->n_fields < MAX_FIELDS);
    if (value.n > 0) {
        s->fields[s->n_fields++] = (struct tg_upstream_field){name, tg_arena_str(&s->arena, value)};
    }
}

static void add_fields(struct source *s, const struct tg_reader_opts *o)
{
    static const tg_str scheme = TG_STR_INIT("Bearer ");
    bool has_token = o->bearer.n > 0 && !is_opaque(o->bearer);
    TG_CLEANUP(tg_buf_fini) struct tg_buf bearer = {.max = scheme.n + o->bearer.n};

    if (has_token) {
        (void)tg_buf_str(&bearer, scheme);
        (void)tg_buf_str(&bearer, o->bearer);
    }
    add_field(s, TG_STR("Host"), o->authority);
    add_field(s, TG_STR("Accept"), TG_STR("application/json"));
    /* A secret key with a browser's name is refused (reference/supabase-http.md 1.2). */
    add_field(s, TG_STR("User-Agent"), TG_STR("tidegate"));
    add_field(s, TG_STR("apikey"), is_opaque(o->bearer) ? o->bearer : o->apikey);
    add_field(s, TG_STR("Authorization"), tg_buf_view(&bearer));
    add_field(s, TG_STR("Accept-Profile"), o->table->schema);
}

static void copy_table(struct source *s, const struct tg_table *table)
{
    tg_str *pk = tg_arena_alloc(&s->arena, table->n_pk * sizeof(*pk));

    for (size_t i = 0; i < table->n_pk; i++) {
        pk[i] = tg_arena_str(&s->arena, table->pk[i]);
    }
    s->table = (struct tg_table){.schema = tg_arena_str(&s->arena, table->schema),
                                 .name = tg_arena_str(&s->arena, table->name),
                                 .pk = pk,
                                 .n_pk = table->n_pk};
}

static enum tg_rc source_init(struct source *s, const struct tg_reader_opts *o,
                              const tg_str *columns, size_t n_columns)
{
    TG_ON_LOOP(o->loop);
    if (o->table->n_pk == 0 || o->table->n_pk > TG_TABLE_PK_MAX) {
        return TG_EBADPARAM;
    }
    s->loop = o->loop;
    s->upstream = o->upstream;
    s->max_bytes = o->max_page_bytes == 0 ? PAGE_BYTES : o->max_page_bytes;
    copy_table(s, o->table);
    add_fields(s, o);
    tg_buf_init(&s->base, TG_KEYSET_TARGET_MAX);
    return tg_keyset_rows(&s->table, columns, n_columns, o->filter, &s->base);
}

static void source_fini(struct source *s)
{
    tg_buf_fini(&s->base);
    tg_arena_drop(&s->arena);
}

static enum tg_rc ask(struct source *s, tg_str target, tg_fetch_fn *done, void *arg)
{
    const struct tg_call_request req = {.method = TG_STR("GET"),
                                        .target = target,
                                        .fields = s->fields,
                                        .n_fields = s->n_fields,
                                        .service = "rest",
                                        .may_retry = true};

    return tg_upstream_fetch(s->upstream, &req, TG_STR(""), s->max_bytes, done, arg);
}

static enum tg_rc rc_of(unsigned status)
{
    switch (status) {
    case 200:
    case 206:
        return TG_OK;
    case 401:
        return TG_EBADTOKEN;
    case 403:
        return TG_EFORBIDDEN;
    case 404:
        return TG_ENOTFOUND;
    case 429:
        return TG_ERATE;
    default:
        return status >= 400 && status < 500 ? TG_EBADPARAM : TG_EUPSTREAM;
    }
}

/* ---- the end of a read ---- */

static void free_reader(void *arg)
{
    struct tg_reader *r = arg;

    source_fini(&r->src);
    tg_buf_fini(&r->after);
    r->magic = 0;
    free(r);
}

static void end(struct tg_reader *r, enum tg_rc rc, unsigned status, tg_str body)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf message = {.max = MESSAGE_MAX};
    tg_str value = TG_STR_NONE;

    r->is_over = true;
    tg_loop_timer_stop(r->src.loop, &r->step);
    tg_loop_defer(r->src.loop, free_reader, r);
    if (rc != TG_OK && tg_json_member(body, "message", &value) == TG_OK &&
        tg_json_unquote(value, &message) != TG_OK) {
        tg_buf_clear(&message);
    }
    r->h->on_done(rc, status, tg_buf_view(&message), r->arg);
}

/* ---- pages ---- */

static void on_page(enum tg_rc rc, unsigned status, tg_str body, void *arg);

static enum tg_rc ask_page(struct tg_reader *r)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf target = {.max = TG_KEYSET_TARGET_MAX};
    enum tg_rc rc = TG_OK;

    (void)tg_buf_str(&target, tg_buf_view(&r->src.base));
    (void)tg_buf_str(&target, tg_buf_view(&r->after));
    rc = tg_keyset_order(&r->src.table, r->rows, &target);
    if (rc == TG_OK) {
        rc = ask(&r->src, tg_buf_view(&target), on_page, r);
    }
    r->is_asking = rc == TG_OK;
    return rc;
}

static void on_step(struct tg_timer *timer)
{
    struct tg_reader *r = TG_CONTAINER_OF(timer, struct tg_reader, step);
    enum tg_rc rc = ask_page(r);

    if (rc != TG_OK) {
        end(r, rc, 0, TG_STR_NONE);
    }
}

/* How many rows the page has, and the last one of them. */
static enum tg_rc count_rows(tg_str page, size_t *ret_n, tg_str *ret_last)
{
    tg_str name = TG_STR_NONE;
    size_t at = 0;
    size_t n = 0;
    enum tg_rc rc = TG_OK;

    if (tg_str_trim(page).n == 0 || tg_str_trim(page).p[0] != '[') {
        return TG_EUPSTREAM;
    }
    while ((rc = tg_json_next(page, &at, &name, ret_last)) == TG_OK) {
        n++;
    }
    *ret_n = n;
    return rc == TG_EEOF ? TG_OK : TG_EUPSTREAM;
}

/* Behind the last row, which must not be where the page began: that would never end. */
static enum tg_rc move_behind(struct tg_reader *r, tg_str last)
{
    struct tg_buf next = {.max = TG_KEYSET_TARGET_MAX};
    enum tg_rc rc = tg_keyset_after(&r->src.table, last, &next);

    if (rc != TG_OK || tg_str_eq(tg_buf_view(&next), tg_buf_view(&r->after))) {
        tg_buf_fini(&next);
        return rc == TG_ELIMIT ? TG_ELIMIT : TG_EUPSTREAM;
    }
    tg_buf_fini(&r->after);
    r->after = next;
    return TG_OK;
}

static void take_page(struct tg_reader *r, unsigned status, tg_str body)
{
    tg_str last = TG_STR_NONE;
    size_t n = 0;
    enum tg_rc rc = count_rows(body, &n, &last);

    if (rc == TG_OK && n > 0) {
        rc = move_behind(r, last);
    }
    if (rc != TG_OK || n == 0) {
        end(r, rc, status, TG_STR_NONE);
        return;
    }
    if (body.n > GOOD_PAGE_BYTES) {
        r->rows = (unsigned)TG_MAX(TG_MIN(r->rows, n) / 2, (size_t)1);
    }
    r->is_waiting = true;
    if (r->h->on_rows(body, n, r->arg)) {
        tg_reader_resume(r);
    }
}

static void on_page(enum tg_rc rc, unsigned status, tg_str body, void *arg)
{
    struct tg_reader *r = arg;

    TG_CHECK(r, READER_MAGIC);
    r->is_asking = false;
    if (r->is_over) {
        tg_loop_defer(r->src.loop, free_reader, r);
    } else if (rc == TG_ELIMIT && r->rows > 1) {
        r->rows /= 2;
        tg_loop_timer_start(r->src.loop, &r->step, 0);
    } else if (rc != TG_OK || rc_of(status) != TG_OK) {
        end(r, rc == TG_OK ? rc_of(status) : rc, status, body);
    } else {
        take_page(r, status, body);
    }
}

enum tg_rc tg_reader_start(const struct tg_reader_opts *o, const struct tg_reader_handler *h,
                           void *arg, struct tg_reader **ret_reader)
{
    struct tg_reader *r = TG_NEW(struct tg_reader);
    enum tg_rc rc = source_init(&r->src, o, o->columns, o->n_columns);

    r->magic = READER_MAGIC;
    r->h = h;
    r->arg = arg;
    r->rows = o->page_rows == 0 ? PAGE_ROWS : o->page_rows;
    tg_buf_init(&r->after, TG_KEYSET_TARGET_MAX);
    tg_timer_init(&r->step, on_step);
    if (rc == TG_OK) {
        rc = ask_page(r);
    }
    if (rc != TG_OK) {
        free_reader(r);
        return rc;
    }
    *ret_reader = r;
    return TG_OK;
}

void tg_reader_resume(struct tg_reader *r)
{
    TG_CHECK(r, READER_MAGIC);
    if (r->is_waiting && !r->is_over) {
        r->is_waiting = false;
        tg_loop_timer_start(r->src.loop, &r->step, 0);
    }
}

void tg_reader_cancel(struct tg_reader *r)
{
    if (r == NULL) {
        return;
    }
    TG_CHECK(r, READER_MAGIC);
    if (r->is_over) {
        return;
    }
    r->is_over = true;
    tg_loop_timer_stop(r->src.loop, &r->step);
    if (!r->is_asking) {
        tg_loop_defer(r->src.loop, free_reader, r);
    }
}

/* ---- which keys are visible ---- */

struct tg_reader_keys {
    unsigned magic;
    struct source src;
    tg_reader_keys_fn *done;
    void *arg;
    tg_str *pks;
    bool *is_visible;
    size_t n;
    size_t at;      /* asked before */
    size_t n_asked; /* in the request under way */
    struct tg_timer step;
    bool is_asking;
    bool is_over;
};

static void free_keys(void *arg)
{
    struct tg_reader_keys *k = arg;

    source_fini(&k->src);
    free(k->is_visible);
    k->magic = 0;
    free(k);
}

static void end_keys(struct tg_reader_keys *k, enum tg_rc rc, unsigned status)
{
    k->is_over = true;
    tg_loop_timer_stop(k->src.loop, &k->step);
    tg_loop_defer(k->src.loop, free_keys, k);
    k->done(rc, status, rc == TG_OK ? k->is_visible : NULL, k->n, k->arg);
}

static void on_keys(enum tg_rc rc, unsigned status, tg_str body, void *arg);

static enum tg_rc ask_keys(struct tg_reader_keys *k)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf target = {.max = TG_KEYSET_TARGET_MAX};
    enum tg_rc rc = tg_buf_str(&target, tg_buf_view(&k->src.base));

    if (rc == TG_OK) {
        rc = tg_keyset_keys(&k->src.table, k->pks + k->at,
                            TG_MIN(k->n - k->at, (size_t)KEYS_AT_ONCE), &target, &k->n_asked);
    }
    if (rc == TG_OK) {
        rc = ask(&k->src, tg_buf_view(&target), on_keys, k);
    }
    k->is_asking = rc == TG_OK;
    return rc;
}

static void on_keys_step(struct tg_timer *timer)
{
    struct tg_reader_keys *k = TG_CONTAINER_OF(timer, struct tg_reader_keys, step);
    enum tg_rc rc = ask_keys(k);

    if (rc != TG_OK) {
        end_keys(k, rc, 0);
    }
}

static enum tg_rc mark_row(struct tg_reader_keys *k, tg_str row)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf pk = {.max = TG_KEYSET_TARGET_MAX};

    if (tg_row_pk(&k->src.table, row, &pk) != TG_OK) {
        return TG_EUPSTREAM;
    }
    for (size_t i = k->at; i < k->at + k->n_asked; i++) {
        k->is_visible[i] = k->is_visible[i] || tg_str_eq(k->pks[i], tg_buf_view(&pk));
    }
    return TG_OK;
}

static enum tg_rc mark_rows(struct tg_reader_keys *k, tg_str page)
{
    tg_str name = TG_STR_NONE;
    tg_str row = TG_STR_NONE;
    size_t n = 0;
    size_t at = 0;
    enum tg_rc rc = count_rows(page, &n, &row);

    while (rc == TG_OK && tg_json_next(page, &at, &name, &row) == TG_OK) {
        rc = mark_row(k, row);
    }
    return rc;
}

static void on_keys(enum tg_rc rc, unsigned status, tg_str body, void *arg)
{
    struct tg_reader_keys *k = arg;

    TG_CHECK(k, READER_MAGIC);
    k->is_asking = false;
    if (k->is_over) {
        tg_loop_defer(k->src.loop, free_keys, k);
        return;
    }
    rc = rc == TG_OK ? rc_of(status) : rc;
    if (rc == TG_OK) {
        rc = mark_rows(k, body);
    }
    k->at += k->n_asked;
    if (rc != TG_OK || k->at == k->n) {
        end_keys(k, rc, status);
    } else {
        tg_loop_timer_start(k->src.loop, &k->step, 0);
    }
}

enum tg_rc tg_reader_keys(const struct tg_reader_opts *o, const tg_str *pks, size_t n,
                          tg_reader_keys_fn *done, void *arg, struct tg_reader_keys **ret_keys)
{
    struct tg_reader_keys *k = NULL;
    enum tg_rc rc = TG_OK;

    if (n == 0 || n > TG_READER_KEYS_MAX) {
        return TG_EBADPARAM;
    }
    k = TG_NEW(struct tg_reader_keys);
    k->magic = READER_MAGIC;
    k->done = done;
    k->arg = arg;
    k->n = n;
    k->is_visible = tg_calloc(n, sizeof(*k->is_visible));
    k->pks = tg_arena_alloc(&k->src.arena, n * sizeof(*k->pks));
    for (size_t i = 0; i < n; i++) {
        k->pks[i] = tg_arena_str(&k->src.arena, pks[i]);
    }
    tg_timer_init(&k->step, on_keys_step);
    rc = source_init(&k->src, o, NULL, 0);
    if (rc == TG_OK) {
        rc = ask_keys(k);
    }
    if (rc != TG_OK) {
        free_keys(k);
        return rc;
    }
    *ret_keys = k;
    return TG_OK;
}

void tg_reader_keys_cancel(struct tg_reader_keys *k)
{
    if (k == NULL) {
        return;
    }
    TG_CHECK(k, READER_MAGIC);
    if (k->is_over) {
        return;
    }
    k->is_over = true;
    tg_loop_timer_stop(k->src.loop, &k->step);
    if (!k->is_asking) {
        tg_loop_defer(k->src.loop, free_keys, k);
    }
}
