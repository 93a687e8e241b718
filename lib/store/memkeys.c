/* memkeys.c - tables of keys, each with a list of them in the order in which they expire. */
#include "store/memkeys.h"

#include <stdlib.h>

#include "util/buf.h"
#include "util/map.h"

enum {
    SWEEP = 64, /* expired keys forgotten with each question */
    COST = 160, /* of a key beside its text */
};

struct key {
    struct tg_list node;
    uint64_t until;
    struct tg_pos pos; /* of the event written with it */
    size_t n;
    char text[];
};

struct table {
    struct tg_map keys;
    struct tg_list by_age;
    size_t n_bytes;
};

struct tg_memkeys {
    size_t max_bytes;    /* of `once` */
    struct table once;   /* until: the monotonic clock */
    struct table denied; /* until: Unix time in seconds */
};

/* ---- tables ---- */

static tg_str text_of(const struct key *key)
{
    return tg_str_make(key->text, key->n);
}

static struct key *oldest(struct table *t)
{
    return tg_list_empty(&t->by_age) ? NULL : TG_CONTAINER_OF(t->by_age.next, struct key, node);
}

static void drop_key(struct table *t, struct key *key)
{
    (void)tg_map_remove(&t->keys, text_of(key));
    tg_list_remove(&key->node);
    t->n_bytes -= COST + key->n;
    free(key);
}

static void forget_expired(struct table *t, uint64_t now, size_t max)
{
    struct key *key = oldest(t);

    for (; max > 0 && key != NULL && key->until <= now; max--) {
        drop_key(t, key);
        key = oldest(t);
    }
}

static struct key *find(struct table *t, tg_str text, uint64_t now)
{
    struct key *key = NULL;

    forget_expired(t, now, SWEEP);
    key = tg_map_find(&t->keys, text);
    if (key != NULL && key->until <= now) {
        drop_key(t, key);
        key = NULL;
    }
    return key;
}

static void add(struct table *t, tg_str text, uint64_t until, struct tg_pos pos)
{
    struct key *key = tg_calloc(1, sizeof(*key) + text.n);
    struct tg_list *at = t->by_age.prev;

    key->until = until;
    key->pos = pos;
    key->n = text.n;
    memcpy(key->text, text.p, text.n);
    while (at != &t->by_age && TG_CONTAINER_OF(at, struct key, node)->until > until) {
        at = at->prev;
    }
    tg_list_append(at->next, &key->node);
    TG_ASSERT(tg_map_put(&t->keys, text, key) == NULL);
    t->n_bytes += COST + text.n;
}

static void init_table(struct table *t)
{
    tg_list_init(&t->by_age);
}

static void fini_table(struct table *t)
{
    forget_expired(t, UINT64_MAX, SIZE_MAX);
    TG_ASSERT(t->n_bytes == 0 && t->keys.n == 0);
    tg_map_fini(&t->keys);
}

/* ---- once ---- */

/* An event's key belongs to its topic, a key alone to nobody: "<length>:<topic><key>". */
static void name_key(struct tg_buf *b, const struct tg_ask *ask)
{
    tg_buf_init(b, ask->topic.n + ask->once.n + 32);
    (void)tg_buf_u64(b, ask->topic.n);
    (void)tg_buf_char(b, ':');
    (void)tg_buf_str(b, ask->topic);
    (void)tg_buf_str(b, ask->once);
    TG_ASSERT(tg_buf_rc(b) == TG_OK);
}

enum tg_rc tg_memkeys_check(struct tg_memkeys *k, const struct tg_ask *ask, struct tg_memtime now,
                            struct tg_pos *ret_pos)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf name = {0};
    const struct key *key = NULL;

    name_key(&name, ask);
    key = find(&k->once, tg_buf_view(&name), now.mono);
    if (key != NULL) {
        *ret_pos = key->pos;
        return TG_ECONFLICT;
    }
    return k->once.n_bytes > k->max_bytes ? TG_ESTOREFULL : TG_OK;
}

void tg_memkeys_keep(struct tg_memkeys *k, const struct tg_ask *ask, struct tg_memtime now,
                     struct tg_pos pos)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf name = {0};

    name_key(&name, ask);
    add(&k->once, tg_buf_view(&name), now.mono + ask->ttl, pos);
}

enum tg_rc tg_memkeys_once(struct tg_memkeys *k, const struct tg_ask *ask, struct tg_memtime now)
{
    struct tg_pos none = {0};
    enum tg_rc rc = tg_memkeys_check(k, ask, now, &none);

    if (rc == TG_OK) {
        tg_memkeys_keep(k, ask, now, none);
    }
    return rc;
}

/* ---- the deny list ---- */

static enum tg_rc deny(struct table *t, const struct tg_ask *ask, uint64_t now)
{
    struct key *key = find(t, ask->once, now);
    uint64_t until = (uint64_t)TG_MAX(ask->until_sec, 0);

    if (until <= now || (key != NULL && key->until >= until)) {
        return TG_OK;
    }
    if (key != NULL) {
        drop_key(t, key);
    }
    if (t->keys.n >= TG_DENIED_MAX) {
        return TG_EFULL;
    }
    add(t, ask->once, until, (struct tg_pos){0});
    return TG_OK;
}

enum tg_rc tg_memkeys_deny(struct tg_memkeys *k, const struct tg_ask *ask, struct tg_memtime now)
{
    forget_expired(&k->denied, now.wall_ms / 1000, TG_DENIED_MAX);
    return deny(&k->denied, ask, now.wall_ms / 1000);
}

void tg_memkeys_denied(struct tg_memkeys *k, struct tg_memtime now, struct tg_arena *arena,
                       struct tg_answer *ret_answer)
{
    struct tg_denied *list = NULL;

    forget_expired(&k->denied, now.wall_ms / 1000, TG_DENIED_MAX);
    list = tg_arena_alloc(arena, k->denied.keys.n * sizeof(*list));
    ret_answer->denied = list;
    ret_answer->n = k->denied.keys.n;
    for (struct tg_list *n = k->denied.by_age.next; n != &k->denied.by_age; n = n->next) {
        const struct key *key = TG_CONTAINER_OF(n, struct key, node);

        *list++ = (struct tg_denied){.key = tg_arena_str(arena, text_of(key)),
                                     .until_sec = (int64_t)key->until};
    }
}

/* ---- life ---- */

struct tg_memkeys *tg_memkeys_create(size_t max_bytes)
{
    struct tg_memkeys *k = TG_NEW(struct tg_memkeys);

    k->max_bytes = max_bytes;
    init_table(&k->once);
    init_table(&k->denied);
    return k;
}

void tg_memkeys_destroy(struct tg_memkeys *k)
{
    if (k == NULL) {
        return;
    }
    fini_table(&k->once);
    fini_table(&k->denied);
    free(k);
}
