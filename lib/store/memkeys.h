/* memkeys.h - keys that live for a while, for the memory backend: what must happen once, and the
 * deny list. One thread at a time, no clock of its own. */
#ifndef TG_STORE_MEMKEYS_H
#define TG_STORE_MEMKEYS_H

#include "store/memlog.h"
#include "util/arena.h"

struct tg_memkeys;
/* `max_bytes`: about as much may be held of keys that are used once; more is TG_ESTOREFULL. */
struct tg_memkeys *tg_memkeys_create(size_t max_bytes);
void tg_memkeys_destroy(struct tg_memkeys *k);

/* TG_VERB_APPEND with a key: before it is written, TG_OK, TG_ECONFLICT with the first one's id,
 * or TG_ESTOREFULL; and what it was written as. */
enum tg_rc tg_memkeys_check(struct tg_memkeys *k, const struct tg_ask *ask, struct tg_memtime now,
                            struct tg_pos *ret_pos) TG_MUST_USE;
void tg_memkeys_keep(struct tg_memkeys *k, const struct tg_ask *ask, struct tg_memtime now,
                     struct tg_pos pos);

/* TG_VERB_ONCE. */
enum tg_rc tg_memkeys_once(struct tg_memkeys *k, const struct tg_ask *ask,
                           struct tg_memtime now) TG_MUST_USE;

/* TG_VERB_DENY; TG_VERB_DENIED, whose list is copied into the arena. */
enum tg_rc tg_memkeys_deny(struct tg_memkeys *k, const struct tg_ask *ask,
                           struct tg_memtime now) TG_MUST_USE;
void tg_memkeys_denied(struct tg_memkeys *k, struct tg_memtime now, struct tg_arena *arena,
                       struct tg_answer *ret_answer);

#endif
