/* lru.h - a bounded table that forgets what was used longest ago. For memory.c and budget.c.
 *
 * Entries are made by the caller and begin with a node; the table frees them by `drop`.
 * Finding one costs no allocation and makes it the newest. */
#ifndef TG_AUTH_LRU_H
#define TG_AUTH_LRU_H

#include "auth/digest.h"

/* First member of every entry. */
struct tg_lru_node {
    struct tg_list order;
    struct tg_lru_node *chain; /* next in the same slot */
    struct tg_sha256 key;
};

typedef void tg_lru_drop_fn(struct tg_lru_node *node);

struct tg_lru {
    struct tg_lru_node **slots;
    size_t n_slots; /* a power of two, grows with what there is */
    size_t n;
    size_t max;
    struct tg_list order; /* oldest first */
    tg_lru_drop_fn *drop;
};

void tg_lru_init(struct tg_lru *l, size_t max, tg_lru_drop_fn *drop);
void tg_lru_fini(struct tg_lru *l);

/* As one that was found. */
void tg_lru_touch(struct tg_lru *l, struct tg_lru_node *node);
struct tg_lru_node *tg_lru_find(struct tg_lru *l, const struct tg_sha256 *key);

/* [takes] node, whose key is set and not in the table. True: the oldest was dropped for it. */
bool tg_lru_put(struct tg_lru *l, struct tg_lru_node *node);

/* Takes `node` out and drops it. */
void tg_lru_remove(struct tg_lru *l, struct tg_lru_node *node);

#endif
