/* memindex.c - per feed, rows in an array and found by primary key.
 *
 * A load goes through the array from its end. A row that leaves has the last one take its place,
 * which a load has had already or still has before it: it may come twice, none is passed over. */
#include "store/memindex.h"

#include <stdlib.h>

#include "util/map.h"

enum { BATCH = 500, COST = 160 /* of a row beside its texts */ };

struct row {
    size_t at; /* in the array */
    size_t n_pk;
    size_t n_put;
    char text[]; /* pk, put */
};

struct feed {
    struct tg_map by_pk;
    struct row **rows;
    size_t n;
    size_t cap;
    size_t n_bytes;
    tg_usec until;
    bool is_dropped; /* it was too large */
};

struct tg_memindex {
    size_t max_bytes;
    size_t n_bytes;
    struct tg_map feeds;
};

static tg_str pk_of(const struct row *r)
{
    return tg_str_make(r->text, r->n_pk);
}

static tg_str put_of(const struct row *r)
{
    return tg_str_make(r->text + r->n_pk, r->n_put);
}

static size_t cost_of(size_t n_pk, size_t n_put)
{
    return COST + 2 * n_pk + n_put; /* the map has a copy of the key */
}

/* ---- rows ---- */

static void remove_row(struct tg_memindex *x, struct feed *f, struct row *r)
{
    size_t cost = cost_of(r->n_pk, r->n_put);

    (void)tg_map_remove(&f->by_pk, pk_of(r));
    f->rows[r->at] = f->rows[--f->n];
    f->rows[r->at]->at = r->at;
    f->n_bytes -= cost;
    x->n_bytes -= cost;
    free(r);
}

static void clear(struct tg_memindex *x, struct feed *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->rows[i]);
    }
    free(f->rows);
    tg_map_fini(&f->by_pk);
    x->n_bytes -= f->n_bytes;
    *f = (struct feed){.until = f->until};
}

static void add_row(struct tg_memindex *x, struct feed *f, const struct tg_index_change *c)
{
    size_t cost = cost_of(c->pk.n, c->put.n);
    struct row *r = tg_malloc(sizeof(*r) + c->pk.n + c->put.n);

    *r = (struct row){.at = f->n, .n_pk = c->pk.n, .n_put = c->put.n};
    memcpy(r->text, c->pk.p, c->pk.n);
    memcpy(r->text + c->pk.n, c->put.p, c->put.n);
    if (f->n == f->cap) {
        f->cap = f->cap == 0 ? 64 : 2 * f->cap;
        f->rows = tg_realloc(f->rows, f->cap, sizeof(struct row *));
    }
    f->rows[f->n++] = r;
    TG_ASSERT(tg_map_put(&f->by_pk, c->pk, r) == NULL);
    f->n_bytes += cost;
    x->n_bytes += cost;
}

static void change(struct tg_memindex *x, struct feed *f, const struct tg_index_change *c)
{
    struct row *r = tg_map_find(&f->by_pk, c->pk);

    if (f->is_dropped) {
        return;
    }
    if (r != NULL && r->n_put == c->put.n && c->put.n > 0) {
        memcpy(r->text + r->n_pk, c->put.p, c->put.n); /* most change their hash alone */
        return;
    }
    if (r != NULL) {
        remove_row(x, f, r);
    }
    if (c->put.n == 0) {
        return;
    }
    if (cost_of(c->pk.n, c->put.n) > x->max_bytes - TG_MIN(x->n_bytes, x->max_bytes)) {
        clear(x, f);
        f->is_dropped = true;
        return;
    }
    add_row(x, f, c);
}

/* ---- feeds ---- */

static struct feed *find_feed(struct tg_memindex *x, tg_str name, struct tg_memtime now)
{
    struct feed *f = tg_map_find(&x->feeds, name);

    if (f != NULL && f->until <= now.mono) {
        clear(x, f);
    }
    if (f != NULL) {
        f->until = now.mono + TG_INDEX_TTL;
    }
    return f;
}

static struct feed *get_feed(struct tg_memindex *x, tg_str name, struct tg_memtime now)
{
    struct feed *f = find_feed(x, name, now);

    if (f == NULL) {
        f = TG_NEW(struct feed);
        f->until = now.mono + TG_INDEX_TTL;
        (void)tg_map_put(&x->feeds, name, f);
    }
    return f;
}

void tg_memindex_change(struct tg_memindex *x, const struct tg_ask *ask, struct tg_memtime now)
{
    const struct tg_index_change c = {.pk = ask->index_pk, .put = ask->index_put};

    change(x, get_feed(x, ask->feed, now), &c);
}

void tg_memindex_write(struct tg_memindex *x, const struct tg_ask *ask, struct tg_memtime now)
{
    struct feed *f = get_feed(x, ask->feed, now);

    if (ask->is_fresh) {
        clear(x, f);
    }
    for (size_t i = 0; i < ask->n_changes; i++) {
        change(x, f, &ask->changes[i]);
    }
}

void tg_memindex_load(struct tg_memindex *x, const struct tg_ask *ask, struct tg_memtime now,
                      struct tg_arena *arena, struct tg_answer *ret_answer)
{
    struct feed *f = find_feed(x, ask->feed, now);
    size_t left = f == NULL ? 0 : f->n;
    size_t n = 0;
    struct tg_index_change *rows = NULL;

    if (ask->from > 0 && ask->from < left) {
        left = (size_t)ask->from;
    }
    n = TG_MIN(left, (size_t)BATCH);
    rows = tg_arena_alloc(arena, n * sizeof(*rows));
    for (size_t i = 0; i < n; i++) {
        const struct row *r = f->rows[--left];

        rows[i] = (struct tg_index_change){.pk = tg_arena_str(arena, pk_of(r)),
                                           .put = tg_arena_str(arena, put_of(r))};
    }
    *ret_answer = (struct tg_answer){.rc = TG_OK, .rows = rows, .n = n, .next = left};
}

/* ---- life ---- */

struct tg_memindex *tg_memindex_create(size_t max_bytes)
{
    struct tg_memindex *x = TG_NEW(struct tg_memindex);

    x->max_bytes = max_bytes;
    return x;
}

void tg_memindex_destroy(struct tg_memindex *x)
{
    tg_str key = TG_STR_NONE;
    void *value = NULL;

    if (x == NULL) {
        return;
    }
    for (size_t at = 0; tg_map_next(&x->feeds, &at, &key, &value);) {
        struct feed *f = value;

        clear(x, f);
        free(f);
    }
    TG_ASSERT(x->n_bytes == 0);
    tg_map_fini(&x->feeds);
    free(x);
}
