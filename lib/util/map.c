/* map.c - open addressing with linear probing; removed entries leave a tombstone.
 *
 * Invariant: used + tombstones <= 3/4 of cap, so every probe ends at an empty slot. */
#include "util/map.h"

#include <stdlib.h>
#include <sys/random.h>

enum { FIRST_CAP = 16 };

struct tg_map_slot {
    uint64_t hash;
    char *key; /* NULL: empty, or removed if `dead` */
    size_t key_n;
    void *value;
    bool dead;
};

/* Written once before main(), only read afterwards. */
static uint64_t hash_key[2];

__attribute__((constructor)) static void seed_hash(void)
{
    TG_ASSERT(getrandom(hash_key, sizeof(hash_key), 0) == (ssize_t)sizeof(hash_key));
}

static inline uint64_t rotl(uint64_t x, unsigned b)
{
    return (x << b) | (x >> (64U - b));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein). */
static uint64_t sip_hash(const uint64_t key[2], tg_str s)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575U, key[1] ^ 0x646f72616e646f6dU,
                     key[0] ^ 0x6c7967656e657261U, key[1] ^ 0x7465646279746573U};
    uint64_t m = 0;
    size_t i = 0;

    for (; i + 8 <= s.n; i += 8) {
        memcpy(&m, s.p + i, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    m = (uint64_t)s.n << 56U;
    if (i < s.n) {
        uint64_t rest = 0;

        memcpy(&rest, s.p + i, s.n - i);
        m |= rest;
    }
    v[3] ^= m;
    sip_round(v);
    v[0] ^= m;
    v[2] ^= 0xffU;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t tg_hash(tg_str s)
{
    return sip_hash(hash_key, s);
}

uint64_t tg_hash_stable(tg_str s)
{
    static const uint64_t key[2] = {0x7469646567617465U, 0x726f77206861736bU};

    return sip_hash(key, s);
}

static struct tg_map_slot *find_slot(const struct tg_map *m, tg_str key, uint64_t hash)
{
    if (m->cap == 0) {
        return NULL;
    }
    for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
        struct tg_map_slot *s = &m->slots[i];

        if (s->key == NULL && !s->dead) {
            return NULL;
        }
        if (s->key != NULL && s->hash == hash && tg_str_eq(tg_str_make(s->key, s->key_n), key)) {
            return s;
        }
    }
}

/* Into the first slot without a key. Returns whether it held a tombstone. */
static bool place(struct tg_map_slot *slots, size_t cap, const struct tg_map_slot *entry)
{
    size_t i = entry->hash & (cap - 1);
    bool was_dead = false;

    while (slots[i].key != NULL) {
        i = (i + 1) & (cap - 1);
    }
    was_dead = slots[i].dead;
    slots[i] = *entry;
    return was_dead;
}

static void resize(struct tg_map *m, size_t cap)
{
    struct tg_map_slot *slots = tg_calloc(cap, sizeof(*slots));

    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i].key != NULL) {
            (void)place(slots, cap, &m->slots[i]);
        }
    }
    free(m->slots);
    m->slots = slots;
    m->cap = cap;
    m->n_dead = 0;
}

static void make_room(struct tg_map *m)
{
    if (m->cap == 0) {
        resize(m, FIRST_CAP);
    } else if ((m->n + 1) * 2 > m->cap) {
        resize(m, m->cap * 2);
    } else if ((m->n + m->n_dead + 1) * 4 > m->cap * 3) {
        resize(m, m->cap); /* the same size, without the tombstones */
    }
}

void *tg_map_find(const struct tg_map *m, tg_str key)
{
    const struct tg_map_slot *s = m->n == 0 ? NULL : find_slot(m, key, tg_hash(key));

    return s == NULL ? NULL : s->value;
}

void *tg_map_put(struct tg_map *m, tg_str key, void *value)
{
    uint64_t hash = tg_hash(key);
    struct tg_map_slot *s = find_slot(m, key, hash);
    struct tg_map_slot entry = {.hash = hash, .key_n = key.n, .value = value};

    TG_ASSERT(value != NULL);
    if (s != NULL) {
        void *old = s->value;

        s->value = value;
        return old;
    }
    make_room(m);
    entry.key = tg_str_dup(key);
    m->n_dead -= place(m->slots, m->cap, &entry);
    m->n++;
    return NULL;
}

void *tg_map_remove(struct tg_map *m, tg_str key)
{
    struct tg_map_slot *s = m->n == 0 ? NULL : find_slot(m, key, tg_hash(key));
    void *value = NULL;

    if (s == NULL) {
        return NULL;
    }
    value = s->value;
    free(s->key);
    *s = (struct tg_map_slot){.dead = true};
    m->n--;
    m->n_dead++;
    return value;
}

bool tg_map_next(const struct tg_map *m, size_t *at, tg_str *ret_key, void **ret_value)
{
    for (; *at < m->cap; (*at)++) {
        const struct tg_map_slot *s = &m->slots[*at];

        if (s->key != NULL) {
            *ret_key = tg_str_make(s->key, s->key_n);
            *ret_value = s->value;
            (*at)++;
            return true;
        }
    }
    return false;
}

void tg_map_fini(struct tg_map *m)
{
    for (size_t i = 0; i < m->cap; i++) {
        free(m->slots[i].key);
    }
    free(m->slots);
    *m = (struct tg_map){0};
}
