/* rate.h - how many came within the last minute, counted as upstream counts against its limit: in
 * steps of five seconds (reference/realtime-protocol.md 13). Pure. */
#ifndef TG_REALTIME_RATE_H
#define TG_REALTIME_RATE_H

#include "util/clock.h"

enum { TG_RATE_STEPS = 12 };

#define TG_RATE_STEP TG_SEC(5)

/* Zeroed: nothing came. */
struct tg_rate {
    uint64_t steps[TG_RATE_STEPS];
    uint64_t sum;
    uint64_t step; /* the present one, since the clock's start */
};

void tg_rate_add(struct tg_rate *r, tg_usec now);
uint64_t tg_rate_sum(struct tg_rate *r, tg_usec now);

#endif
