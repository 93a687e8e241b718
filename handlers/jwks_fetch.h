/* jwks_fetch.h - keeps the workers' signing keys fresh (DESIGN.md 5.1).
 *
 * One fetcher for the process: worker 0 does the HTTP, and posts each new snapshot to the others,
 * which ask it by mail when a token names a key that they do not hold. lib/auth/jwks_policy.h
 * decides when; the last good snapshot stays whatever happens.
 *
 *   worker k: unknown kid --ask--> worker 0: policy --fetch--> Auth
 *        waits (bounded) <--told (keys, or why not)-- all workers */
#ifndef TG_HANDLERS_JWKS_FETCH_H
#define TG_HANDLERS_JWKS_FETCH_H

#include "handlers/worker.h"

struct tg_jwks_fetch;

/* Main thread, before the workers' threads start: gives each its `jwks`, which lives until
 * tg_jwks_fetch_destroy(), and orders the first fetch. workers[0] is the one that fetches. */
void tg_jwks_fetch_setup(struct tg_worker *const *workers, size_t n);
/* After all threads have ended. NULL is fine. */
void tg_jwks_fetch_destroy(struct tg_jwks_fetch *j);

/* A token that waits for keys. Its owner's memory; zeroed. */
struct tg_jwks_wait {
    struct tg_list node;
    /* TG_OK: w->keys are fresh, look again. TG_ENOTREADY: they could not be fetched.
     * TG_EUNKNOWNKEY: they were fetched a moment ago. Once, unless cancelled; never from inside the
     * call. */
    void (*done)(struct tg_jwks_wait *wait, enum tg_rc rc);
};

/* The worker holds no key of this kid. TG_EAGAIN: `wait` is told later. Otherwise the answer. */
enum tg_rc tg_jwks_fetch_unknown(struct tg_worker *w, struct tg_jwks_wait *wait) TG_MUST_USE;
void tg_jwks_fetch_cancel(struct tg_jwks_wait *wait);

#endif
