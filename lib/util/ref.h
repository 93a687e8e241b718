/* ref.h - the count of holders of something immutable that several threads share.
 *
 * The one place for a reference count outside realtime/frame.c. Who has a reference
 * may take another; whoever gives back the last one frees. What is counted does not
 * change after it is built, so nothing else needs ordering. */
#ifndef TG_UTIL_REF_H
#define TG_UTIL_REF_H

#include <stdatomic.h>

#include "util/base.h"

typedef struct {
    _Atomic uint32_t n;
} tg_ref;

/* One holder: the maker. */
static inline void tg_ref_init(tg_ref *r)
{
    atomic_init(&r->n, 1);
}

/* Any thread that holds a reference. */
static inline void tg_ref_take(tg_ref *r)
{
    TG_ASSERT(atomic_fetch_add_explicit(&r->n, 1, memory_order_relaxed) != 0);
}

/* Any thread that holds a reference. True: it was the last one, and the caller frees.
 * Release and acquire: every holder's reads come before the free. */
static inline bool tg_ref_drop(tg_ref *r)
{
    uint32_t before = atomic_fetch_sub_explicit(&r->n, 1, memory_order_acq_rel);

    TG_ASSERT(before != 0);
    return before == 1;
}

#endif
