/* index.c - rows and keys in hash tables, and rows on one list by when they were last seen.
 *
 *   unseen since the sweep began | seen         the list: what a sweep has not seen leads it
 *   row 7 - row 2 - row 9 - ...  | row 1 - row 4
 *
 * A table is cut into parts that grow one by one: none holds so much that moving it takes long.
 * Deletes close their hole (no tombstones), for every entry knows its hash. */
#include "realtime/index.h"

#include <stdlib.h>

#include "util/map.h"

enum { PART_ENTRIES = 4096, MAX_PART_BITS = 16, FIRST_CAP = 8 };

/* What both a row and a key begin with. */
struct entry {
    uint32_t hash;
    uint32_t n; /* bytes of its text */
};

struct key {
    struct entry entry;
    size_t n_rows;
    char text[];
};

struct row {
    struct entry entry;
    struct tg_list node;
    struct key *key;
    uint64_t hash;
    uint64_t sweep; /* in which it was last seen */
    char pk[];
};

/* Linear probing; at most 3/4 of cap. */
struct part {
    struct entry **slots;
    uint32_t cap;
    uint32_t n;
};

struct table {
    struct part *parts;
    unsigned bits; /* of the hash that choose the part */
    const char *(*text_of)(const struct entry *e);
};

struct tg_index {
    size_t max_rows;
    size_t n_rows;
    size_t n_bytes;
    struct table rows;
    struct table keys;
    struct tg_list list;
    uint64_t sweep;
};

static const struct key *key_of(const struct entry *e)
{
    return (const struct key *)(const void *)e;
}

static const struct row *row_of(const struct entry *e)
{
    return (const struct row *)(const void *)e;
}

static const char *key_text(const struct entry *e)
{
    return key_of(e)->text;
}

static const char *row_text(const struct entry *e)
{
    return row_of(e)->pk;
}

/* As the allocator takes it. */
static size_t cost_of(size_t n)
{
    return (n + 8 + 15) / 16 * 16;
}

static uint32_t hash_of(tg_str text)
{
    uint64_t h = tg_hash(text);

    return (uint32_t)(h ^ (h >> 32U));
}

/* ---- tables ---- */

static void table_init(struct table *t, unsigned bits,
                       const char *(*text_of)(const struct entry *e))
{
    t->bits = bits;
    t->text_of = text_of;
    t->parts = tg_calloc((size_t)1 << bits, sizeof(*t->parts));
}

static void table_fini(struct table *t)
{
    for (size_t i = 0; i < (size_t)1 << t->bits; i++) {
        free(t->parts[i].slots);
    }
    free(t->parts);
}

static struct part *part_of(const struct table *t, uint32_t hash)
{
    return &t->parts[(uint64_t)hash >> (32U - t->bits)];
}

static struct entry *table_find(const struct table *t, uint32_t hash, tg_str text)
{
    const struct part *p = part_of(t, hash);

    if (p->cap == 0) {
        return NULL;
    }
    for (uint32_t i = hash & (p->cap - 1); p->slots[i] != NULL; i = (i + 1) & (p->cap - 1)) {
        struct entry *e = p->slots[i];

        if (e->hash == hash && tg_str_eq(tg_str_make(t->text_of(e), e->n), text)) {
            return e;
        }
    }
    return NULL;
}

static void part_put(struct part *p, struct entry *e)
{
    uint32_t i = e->hash & (p->cap - 1);

    while (p->slots[i] != NULL) {
        i = (i + 1) & (p->cap - 1);
    }
    p->slots[i] = e;
}

static void part_grow(struct tg_index *x, struct part *p)
{
    struct part old = *p;

    p->cap = old.cap == 0 ? FIRST_CAP : 2 * old.cap;
    p->slots = tg_calloc(p->cap, sizeof(struct entry *));
    x->n_bytes += (p->cap - old.cap) * sizeof(struct entry *);
    for (uint32_t i = 0; i < old.cap; i++) {
        if (old.slots[i] != NULL) {
            part_put(p, old.slots[i]);
        }
    }
    free(old.slots);
}

static void table_put(struct tg_index *x, struct table *t, struct entry *e)
{
    struct part *p = part_of(t, e->hash);

    if (p->n + 1 > p->cap / 4 * 3) {
        part_grow(x, p);
    }
    part_put(p, e);
    p->n++;
}

static void table_remove(struct table *t, const struct entry *e)
{
    struct part *p = part_of(t, e->hash);
    uint32_t mask = p->cap - 1;
    uint32_t hole = e->hash & mask;

    while (p->slots[hole] != e) {
        TG_ASSERT(p->slots[hole] != NULL);
        hole = (hole + 1) & mask;
    }
    /* Those behind that would not be found over the hole move into it. */
    for (uint32_t i = (hole + 1) & mask; p->slots[i] != NULL; i = (i + 1) & mask) {
        uint32_t home = p->slots[i]->hash & mask;

        if (((i - home) & mask) >= ((i - hole) & mask)) {
            p->slots[hole] = p->slots[i];
            hole = i;
        }
    }
    p->slots[hole] = NULL;
    p->n--;
}

/* ---- keys ---- */

static struct key *take_key(struct tg_index *x, tg_str text)
{
    uint32_t hash = hash_of(text);
    struct entry *found = table_find(&x->keys, hash, text);
    struct key *k = (struct key *)(void *)found;

    if (k == NULL) {
        k = tg_calloc(1, sizeof(*k) + text.n);
        k->entry = (struct entry){.hash = hash, .n = (uint32_t)text.n};
        if (text.n > 0) {
            memcpy(k->text, text.p, text.n);
        }
        x->n_bytes += cost_of(sizeof(*k) + text.n);
        table_put(x, &x->keys, &k->entry);
    }
    k->n_rows++;
    return k;
}

static void give_key(struct tg_index *x, struct key *k)
{
    if (--k->n_rows == 0) {
        table_remove(&x->keys, &k->entry);
        x->n_bytes -= cost_of(sizeof(*k) + k->entry.n);
        free(k);
    }
}

/* ---- rows ---- */

static struct row *find_row(const struct tg_index *x, tg_str pk)
{
    return (struct row *)(void *)table_find(&x->rows, hash_of(pk), pk);
}

static tg_str pk_of(const struct row *r)
{
    return tg_str_make(r->pk, r->entry.n);
}

static struct tg_index_row shown(const struct row *r)
{
    return (struct tg_index_row){.key = tg_str_make(r->key->text, r->key->entry.n),
                                 .hash = r->hash};
}

static void see(struct tg_index *x, struct row *r)
{
    r->sweep = x->sweep;
    tg_list_remove(&r->node);
    tg_list_append(&x->list, &r->node);
}

static void drop(struct tg_index *x, struct row *r)
{
    table_remove(&x->rows, &r->entry);
    tg_list_remove(&r->node);
    give_key(x, r->key);
    x->n_bytes -= cost_of(sizeof(*r) + r->entry.n);
    x->n_rows--;
    free(r);
}

bool tg_index_find(const struct tg_index *x, tg_str pk, struct tg_index_row *ret_row)
{
    const struct row *r = find_row(x, pk);

    if (r == NULL) {
        return false;
    }
    *ret_row = shown(r);
    return true;
}

enum tg_rc tg_index_put(struct tg_index *x, tg_str pk, tg_str key, uint64_t hash)
{
    struct row *r = find_row(x, pk);
    struct key *old = r == NULL ? NULL : r->key;

    if (pk.n > TG_INDEX_PK_MAX || key.n > TG_INDEX_KEY_MAX) {
        return TG_ELIMIT;
    }
    if (r == NULL) {
        if (x->n_rows >= x->max_rows) {
            return TG_EFULL;
        }
        r = tg_calloc(1, sizeof(*r) + pk.n);
        r->entry = (struct entry){.hash = hash_of(pk), .n = (uint32_t)pk.n};
        if (pk.n > 0) {
            memcpy(r->pk, pk.p, pk.n);
        }
        tg_list_init(&r->node);
        x->n_bytes += cost_of(sizeof(*r) + pk.n);
        x->n_rows++;
        table_put(x, &x->rows, &r->entry);
    }
    if (old == NULL || !tg_str_eq(tg_str_make(old->text, old->entry.n), key)) {
        r->key = take_key(x, key);
        if (old != NULL) {
            give_key(x, old);
        }
    }
    r->hash = hash;
    see(x, r);
    return TG_OK;
}

bool tg_index_remove(struct tg_index *x, tg_str pk)
{
    struct row *r = find_row(x, pk);

    if (r == NULL) {
        return false;
    }
    drop(x, r);
    return true;
}

/* ---- sweeps ---- */

void tg_index_sweep(struct tg_index *x)
{
    x->sweep++;
}

bool tg_index_see(struct tg_index *x, tg_str pk)
{
    struct row *r = find_row(x, pk);

    if (r == NULL) {
        return false;
    }
    see(x, r);
    return true;
}

bool tg_index_unseen(const struct tg_index *x, tg_str *ret_pk, struct tg_index_row *ret_row)
{
    const struct row *r = NULL;

    if (tg_list_empty(&x->list)) {
        return false;
    }
    r = TG_CONTAINER_OF(x->list.next, struct row, node);
    if (r->sweep == x->sweep) {
        return false;
    }
    *ret_pk = pk_of(r);
    *ret_row = shown(r);
    return true;
}

/* ---- life ---- */

size_t tg_index_rows(const struct tg_index *x)
{
    return x->n_rows;
}

size_t tg_index_bytes(const struct tg_index *x)
{
    return x->n_bytes;
}

static void init_tables(struct tg_index *x)
{
    unsigned bits = 0;

    while (bits < MAX_PART_BITS && x->max_rows / PART_ENTRIES >> bits > 0) {
        bits++;
    }
    table_init(&x->rows, bits, row_text);
    table_init(&x->keys, bits, key_text);
    x->n_bytes = sizeof(*x) + 2 * ((size_t)1 << bits) * sizeof(struct part);
}

struct tg_index *tg_index_create(size_t max_rows)
{
    struct tg_index *x = TG_NEW(struct tg_index);

    x->max_rows = max_rows;
    tg_list_init(&x->list);
    init_tables(x);
    return x;
}

static void free_all(struct tg_index *x)
{
    while (!tg_list_empty(&x->list)) {
        drop(x, TG_CONTAINER_OF(x->list.next, struct row, node));
    }
    table_fini(&x->rows);
    table_fini(&x->keys);
}

void tg_index_clear(struct tg_index *x)
{
    free_all(x);
    init_tables(x);
}

void tg_index_destroy(struct tg_index *x)
{
    if (x != NULL) {
        free_all(x);
        free(x);
    }
}
