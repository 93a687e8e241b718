/* lru.c - chained hash table whose entries also stand in a list, oldest first. */
#include "auth/lru.h"

#include <stdlib.h>

#include "util/map.h"

enum { FIRST_SLOTS = 16 }; /* a power of two */

/* Keyed (map.h): peers choose tokens, and with a plain digest could choose one chain. */
static struct tg_lru_node **slot_of(const struct tg_lru *l, const struct tg_sha256 *key)
{
    uint64_t hash = tg_hash(tg_str_make((const char *)key->b, sizeof(key->b)));

    return &l->slots[hash & (l->n_slots - 1)];
}

static void chain(struct tg_lru *l, struct tg_lru_node *node)
{
    struct tg_lru_node **slot = slot_of(l, &node->key);

    node->chain = *slot;
    *slot = node;
}

/* Twice the slots. All at once: it is rare, and there are a few thousand entries at most. */
static void grow(struct tg_lru *l)
{
    free(l->slots);
    l->n_slots *= 2;
    l->slots = tg_calloc(l->n_slots, sizeof(struct tg_lru_node *));
    for (struct tg_list *at = l->order.next; at != &l->order; at = at->next) {
        chain(l, TG_CONTAINER_OF(at, struct tg_lru_node, order));
    }
}

void tg_lru_init(struct tg_lru *l, size_t max, tg_lru_drop_fn *drop)
{
    TG_ASSERT(max > 0 && max <= UINT32_MAX && drop != NULL);
    *l = (struct tg_lru){.n_slots = FIRST_SLOTS, .max = max, .drop = drop};
    l->slots = tg_calloc(l->n_slots, sizeof(struct tg_lru_node *));
    tg_list_init(&l->order);
}

void tg_lru_fini(struct tg_lru *l)
{
    while (l->n > 0) {
        tg_lru_remove(l, TG_CONTAINER_OF(l->order.next, struct tg_lru_node, order));
    }
    free(l->slots);
    l->slots = NULL;
}

void tg_lru_touch(struct tg_lru *l, struct tg_lru_node *node)
{
    tg_list_remove(&node->order);
    tg_list_append(&l->order, &node->order);
}

struct tg_lru_node *tg_lru_find(struct tg_lru *l, const struct tg_sha256 *key)
{
    for (struct tg_lru_node *node = *slot_of(l, key); node != NULL; node = node->chain) {
        if (memcmp(node->key.b, key->b, sizeof(key->b)) == 0) {
            tg_lru_touch(l, node);
            return node;
        }
    }
    return NULL;
}

bool tg_lru_put(struct tg_lru *l, struct tg_lru_node *node)
{
    bool is_full = l->n == l->max;

    if (is_full) {
        tg_lru_remove(l, TG_CONTAINER_OF(l->order.next, struct tg_lru_node, order));
    }
    if (l->n == l->n_slots) {
        grow(l);
    }
    chain(l, node);
    tg_list_append(&l->order, &node->order);
    l->n++;
    return is_full;
}

void tg_lru_remove(struct tg_lru *l, struct tg_lru_node *node)
{
    struct tg_lru_node **at = slot_of(l, &node->key);

    while (*at != node) {
        TG_ASSERT(*at != NULL);
        at = &(*at)->chain;
    }
    *at = node->chain;
    tg_list_remove(&node->order);
    l->n--;
    l->drop(node);
}
