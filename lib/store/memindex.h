/* memindex.h - the indexes of feeds, for the memory backend. One thread at a time, no clock of its
 * own. */
#ifndef TG_STORE_MEMINDEX_H
#define TG_STORE_MEMINDEX_H

#include "store/memlog.h"
#include "util/arena.h"

struct tg_memindex;
/* `max_bytes`: about as much may be held. The index of a feed that would pass it is dropped, and
 * not kept again before it is written anew (is_fresh). */
struct tg_memindex *tg_memindex_create(size_t max_bytes);
void tg_memindex_destroy(struct tg_memindex *x);

/* TG_VERB_APPEND with a row, after it was written; TG_VERB_INDEX_WRITE, after it was checked. */
void tg_memindex_change(struct tg_memindex *x, const struct tg_ask *ask, struct tg_memtime now);
void tg_memindex_write(struct tg_memindex *x, const struct tg_ask *ask, struct tg_memtime now);

/* TG_VERB_INDEX_LOAD; the rows are copied into the arena. */
void tg_memindex_load(struct tg_memindex *x, const struct tg_ask *ask, struct tg_memtime now,
                      struct tg_arena *arena, struct tg_answer *ret_answer);

#endif
