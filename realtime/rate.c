/* rate.c - a ring of steps; those that have passed are taken from the sum. */
#include "realtime/rate.h"

static void go_to(struct tg_rate *r, tg_usec now)
{
    const uint64_t step = now / TG_RATE_STEP;

    for (unsigned i = 0; i < TG_RATE_STEPS && r->step < step; i++) {
        r->step++;
        r->sum -= r->steps[r->step % TG_RATE_STEPS];
        r->steps[r->step % TG_RATE_STEPS] = 0;
    }
    r->step = step;
}

void tg_rate_add(struct tg_rate *r, tg_usec now)
{
    go_to(r, now);
    r->steps[r->step % TG_RATE_STEPS]++;
    r->sum++;
}

uint64_t tg_rate_sum(struct tg_rate *r, tg_usec now)
{
    go_to(r, now);
    return r->sum;
}
