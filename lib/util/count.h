/* count.h - counters: one thread writes, any thread reads. Relaxed, never a lock.
 *
 * A module keeps its counters in a struct of its own, named in its header. */
#ifndef TG_UTIL_COUNT_H
#define TG_UTIL_COUNT_H

#include <stdatomic.h>
#include <stdint.h>

typedef struct {
    _Atomic uint64_t v;
} tg_count;

/* The writing thread only: a plain load and store, no locked instruction. */
static inline void tg_count_add(tg_count *c, uint64_t n)
{
    atomic_store_explicit(&c->v, atomic_load_explicit(&c->v, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void tg_count_sub(tg_count *c, uint64_t n)
{
    tg_count_add(c, (uint64_t)0 - n);
}

static inline void tg_count_set(tg_count *c, uint64_t v)
{
    atomic_store_explicit(&c->v, v, memory_order_relaxed);
}

/* Any thread. */
static inline uint64_t tg_count_get(const tg_count *c)
{
    return atomic_load_explicit(&c->v, memory_order_relaxed);
}

#endif
