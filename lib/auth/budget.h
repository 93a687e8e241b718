/* budget.h - how many signatures an address may have checked. For memory.c.
 *
 * A token bucket per address, kept as one time (GCRA): bounded, no timers. IPv6 clients
 * count per /64, which is what one of them has at hand. */
#ifndef TG_AUTH_BUDGET_H
#define TG_AUTH_BUDGET_H

#include "auth/lru.h"
#include "util/clock.h"

struct tg_budget {
    struct tg_lru addresses;
    tg_usec interval; /* between two checks at the steady rate */
    tg_usec depth;    /* interval * burst */
};

void tg_budget_init(struct tg_budget *b, size_t max_addresses, uint32_t per_sec, uint32_t burst);
void tg_budget_fini(struct tg_budget *b);

/* One check for `address` at `now` (any clock; a jump back forgives). False: over the budget. */
bool tg_budget_take(struct tg_budget *b, tg_str address, tg_usec now);

#endif
