/* id.c - slot tables. An id is (generation << 32 | slot + 1); a slot's generation grows
 * each time it is freed, so an old id finds nothing. */
#include "util/id.h"

#include <stdlib.h>

struct tg_id_slot {
    void *object; /* NULL: free */
    uint32_t generation;
    uint32_t next_free; /* slot + 1, 0 for none */
};

static void grow(struct tg_ids *t)
{
    uint32_t cap = t->cap == 0 ? 16 : t->cap * 2;

    TG_ASSERT(cap > t->cap);
    t->slots = tg_realloc(t->slots, cap, sizeof(*t->slots));
    for (uint32_t i = t->cap; i < cap; i++) {
        t->slots[i] = (struct tg_id_slot){.next_free = i + 1 < cap ? i + 2 : 0};
    }
    t->free_head = t->cap + 1;
    t->cap = cap;
}

tg_id tg_ids_add(struct tg_ids *t, void *object)
{
    uint32_t at = 0;

    TG_ASSERT(object != NULL);
    if (t->free_head == 0) {
        grow(t);
    }
    at = t->free_head - 1;
    t->free_head = t->slots[at].next_free;
    t->slots[at].object = object;
    t->n++;
    return ((tg_id)t->slots[at].generation << 32U) | (at + 1);
}

static struct tg_id_slot *slot_of(const struct tg_ids *t, tg_id id)
{
    uint32_t at = (uint32_t)(id & UINT32_MAX);

    if (at == 0 || at > t->cap || t->slots[at - 1].generation != id >> 32U) {
        return NULL;
    }
    return &t->slots[at - 1];
}

void *tg_ids_find(const struct tg_ids *t, tg_id id)
{
    const struct tg_id_slot *s = slot_of(t, id);

    return s == NULL ? NULL : s->object;
}

void tg_ids_remove(struct tg_ids *t, tg_id id)
{
    struct tg_id_slot *s = slot_of(t, id);

    TG_ASSERT(s != NULL && s->object != NULL);
    s->object = NULL;
    s->generation++;
    s->next_free = t->free_head;
    t->free_head = (uint32_t)(id & UINT32_MAX);
    t->n--;
}

void tg_ids_fini(struct tg_ids *t)
{
    free(t->slots);
    *t = (struct tg_ids){0};
}
