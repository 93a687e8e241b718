/* map.h - hash table from text to pointers. Keys are copied, values belong to the caller.
 *
 * Hashing is keyed with random bytes of this process, so that peers cannot choose
 * names that collide. One thread at a time. */
#ifndef TG_UTIL_MAP_H
#define TG_UTIL_MAP_H

#include "util/str.h"

struct tg_map_slot;

/* Zeroed is a valid empty map. */
struct tg_map {
    struct tg_map_slot *slots;
    size_t n;      /* entries */
    size_t n_dead; /* slots of removed entries */
    size_t cap;    /* slots, a power of two */
};

void *tg_map_find(const struct tg_map *m, tg_str key);

/* Sets key to `value` (not NULL). Returns the value it had, or NULL. */
void *tg_map_put(struct tg_map *m, tg_str key, void *value);

/* Returns the value that was there, or NULL. */
void *tg_map_remove(struct tg_map *m, tg_str key);

/* Walks in no order: start with *at = 0; false at the end. The map must not change
 * meanwhile, but for tg_map_remove of the entry just returned. */
bool tg_map_next(const struct tg_map *m, size_t *at, tg_str *ret_key, void **ret_value);

void tg_map_fini(struct tg_map *m);

/* The hash itself (SipHash-1-3 with the process's key), for other tables. */
uint64_t tg_hash(tg_str s);

/* The same in every process, for what is stored. Who may choose texts can make two collide. */
uint64_t tg_hash_stable(tg_str s);

#endif
