/* breaker.h - stops asking a service that does not answer, so that callers are told at once.
 *
 *            n failures in a row            `open` has passed: one call may try
 *   CLOSED -----------------------> OPEN ------------------------> TRYING
 *     ^                              ^  it failed                    |
 *     |                              `-------------------------------|
 *     `---------------------------------- it was answered -----------'
 *
 * A failure is a call that got no answer at all; what a service answers, a 500 too, is an
 * answer. Pure data with `now` (monotonic) passed in. */
#ifndef TG_UPSTREAM_BREAKER_H
#define TG_UPSTREAM_BREAKER_H

#include "util/base.h"
#include "util/clock.h"

struct tg_breaker {
    unsigned max_failures; /* 0: never opens */
    tg_usec open;
    unsigned n_failures; /* in a row */
    tg_usec open_until;  /* 0: closed */
    bool is_trying;
};

void tg_breaker_init(struct tg_breaker *b, unsigned max_failures, tg_usec open);

/* May a call start? A true answer while it was open is the one that tries, and its end must
 * be reported. */
bool tg_breaker_pass(struct tg_breaker *b, tg_usec now);

/* A call ended. True: this report opened it. */
bool tg_breaker_report(struct tg_breaker *b, bool answered, tg_usec now);
/* A call ended without saying anything about the service (cancelled). */
void tg_breaker_forget(struct tg_breaker *b);

bool tg_breaker_is_open(const struct tg_breaker *b);
/* Until it makes sense to come again; at least one second. */
unsigned tg_breaker_retry_after_sec(const struct tg_breaker *b, tg_usec now);

#endif
