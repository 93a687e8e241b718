/* id.h - numbers for live objects that an answer may outlive (slot + generation).
 *
 * What waits for an answer keeps the tg_id, not the pointer, and asks again when
 * the answer arrives; NULL means "left meanwhile" and is normal. One thread. */
#ifndef TG_UTIL_ID_H
#define TG_UTIL_ID_H

#include "util/base.h"

/* 0 is never given out. */
typedef uint64_t tg_id;

struct tg_id_slot;

/* Zeroed is a valid empty table. */
struct tg_ids {
    struct tg_id_slot *slots;
    uint32_t cap;
    uint32_t free_head; /* slot + 1, 0 for none */
    uint32_t n;
};

tg_id tg_ids_add(struct tg_ids *t, void *object);
void *tg_ids_find(const struct tg_ids *t, tg_id id);
void tg_ids_remove(struct tg_ids *t, tg_id id);
void tg_ids_fini(struct tg_ids *t);

#endif
