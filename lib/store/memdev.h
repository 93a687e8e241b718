/* memdev.h - devices as a data structure, for the memory backend: what device.lua says.
 *
 * One thread at a time, no clock of its own. */
#ifndef TG_STORE_MEMDEV_H
#define TG_STORE_MEMDEV_H

#include "store/memlog.h"
#include "util/arena.h"

struct tg_memdev;
/* `max_bytes`: about as much may be held; more is TG_ESTOREFULL. */
struct tg_memdev *tg_memdev_create(size_t max_bytes);
void tg_memdev_destroy(struct tg_memdev *m);

/* TG_VERB_DEVICE_*. What is answered is copied into the arena. */
void tg_memdev_ask(struct tg_memdev *m, const struct tg_memlog *log, const struct tg_ask *ask,
                   struct tg_memtime now, struct tg_arena *arena, struct tg_answer *ret_answer);

#endif
