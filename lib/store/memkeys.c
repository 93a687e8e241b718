/* memkeys.c - a table of keys, and a list of them in the order in which they expire. */
#include "store/memkeys.h"

#include <stdlib.h>

#include "util/buf.h"
#include "util/map.h"

enum {
    MAX_BYTES = 32 << 20, /* of all keys */
    SWEEP = 64,           /* expired keys forgotten with each question */
    COST = 160,           /* of a key beside its text */
};

struct key {
    struct tg_list node;
    tg_usec until;
    struct tg_pos pos;
    size_t n;
    char text[];
};

struct tg_memkeys {
    struct tg_map once; /* -> struct key */
    struct tg_list by_age;
    size_t n_bytes;
};

static void drop_key(struct tg_memkeys *k, struct key *key)
{
    (void)tg_map_remove(&k->once, tg_str_make(key->text, key->n));
    tg_list_remove(&key->node);
    k->n_bytes -= COST + key->n;
    free(key);
}

static struct key *find(struct tg_memkeys *k, tg_str text, struct tg_memtime now)
{
    struct key *key = NULL;

    for (int i = 0; i < SWEEP && !tg_list_empty(&k->by_age); i++) {
        key = TG_CONTAINER_OF(k->by_age.next, struct key, node);
        if (key->until > now.mono) {
            break;
        }
        drop_key(k, key);
    }
    key = tg_map_find(&k->once, text);
    if (key != NULL && key->until <= now.mono) {
        drop_key(k, key);
        key = NULL;
    }
    return key;
}

static void add(struct tg_memkeys *k, tg_str text, tg_usec until, struct tg_pos pos)
{
    struct key *key = tg_calloc(1, sizeof(*key) + text.n);
    struct tg_list *at = k->by_age.prev;

    key->until = until;
    key->pos = pos;
    key->n = text.n;
    memcpy(key->text, text.p, text.n);
    while (at != &k->by_age && TG_CONTAINER_OF(at, struct key, node)->until > until) {
        at = at->prev;
    }
    tg_list_append(at->next, &key->node);
    TG_ASSERT(tg_map_put(&k->once, text, key) == NULL);
    k->n_bytes += COST + text.n;
}

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
    key = find(k, tg_buf_view(&name), now);
    if (key != NULL) {
        *ret_pos = key->pos;
        return TG_ECONFLICT;
    }
    return k->n_bytes > MAX_BYTES ? TG_EFULL : TG_OK;
}

void tg_memkeys_keep(struct tg_memkeys *k, const struct tg_ask *ask, struct tg_memtime now,
                     struct tg_pos pos)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf name = {0};

    name_key(&name, ask);
    add(k, tg_buf_view(&name), now.mono + ask->ttl, pos);
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

struct tg_memkeys *tg_memkeys_create(void)
{
    struct tg_memkeys *k = TG_NEW(struct tg_memkeys);

    tg_list_init(&k->by_age);
    return k;
}

void tg_memkeys_destroy(struct tg_memkeys *k)
{
    if (k == NULL) {
        return;
    }
    while (!tg_list_empty(&k->by_age)) {
        drop_key(k, TG_CONTAINER_OF(k->by_age.next, struct key, node));
    }
    TG_ASSERT(k->n_bytes == 0);
    tg_map_fini(&k->once);
    free(k);
}
