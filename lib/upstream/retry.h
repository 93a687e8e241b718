/* retry.h - whether a call that got no answer may be made once more. Pure.
 *
 * The budget keeps retries a share of all calls: each call pays in `percent` hundredths, each
 * retry takes one whole out. When an upstream fails, the retries end and do not multiply its load.
 */
#ifndef TG_UPSTREAM_RETRY_H
#define TG_UPSTREAM_RETRY_H

#include "util/clock.h"
#include "util/str.h"

enum { TG_RETRY_MAX_SAVED = 10 };

struct tg_retry_budget {
    uint32_t percent;
    uint32_t saved; /* hundredths, at most TG_RETRY_MAX_SAVED wholes */
};

void tg_retry_init(struct tg_retry_budget *b, uint32_t percent);
/* A call starts. */
void tg_retry_earn(struct tg_retry_budget *b);
/* False: the budget is used up. */
bool tg_retry_spend(struct tg_retry_budget *b);

/* RFC 9110 9.2: GET, HEAD, OPTIONS change nothing; PUT and DELETE can be done twice, but the
 * second answer may differ from the first, so they are only repeated when nothing was sent. */
bool tg_retry_is_allowed(tg_str method, bool sent_any);

/* Before the second try: 20 to 60 ms. `random`: any number. */
tg_usec tg_retry_pause(uint32_t random);

#endif
