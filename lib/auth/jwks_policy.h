/* jwks_policy.h - when the JWKS is fetched. Decides only; whoever owns it does the HTTP.
 *
 *             tick, unknown kid                     done(ok): next = now + interval +- jitter
 *     IDLE ----------------------> FETCHING ------> done(fail): next = now + backoff
 *       ^------------------------------------------'
 *
 * One fetch at a time. The last good snapshot stays in use whatever happens here. */
#ifndef TG_AUTH_JWKS_POLICY_H
#define TG_AUTH_JWKS_POLICY_H

#include "util/base.h"
#include "util/clock.h"

/* 0 takes the default. */
struct tg_jwks_policy_opts {
    tg_usec interval;        /* between background fetches, 5 min */
    tg_usec unknown_gap;     /* between fetches for unknown kids, 10 s */
    tg_usec backoff_min;     /* after the first failure, 1 s; doubles */
    tg_usec backoff_max;     /* 1 min */
    uint32_t jitter_percent; /* of interval and backoff, 10 */
};

enum tg_jwks_step {
    TG_JWKS_NO,    /* not now: answer from what there is */
    TG_JWKS_FETCH, /* start a fetch, and report its end with tg_jwks_policy_done() */
    TG_JWKS_JOIN,  /* one is under way: wait for its end */
};

/* Plain data, its owner's; the fields are private. Times are monotonic. */
struct tg_jwks_policy {
    struct tg_jwks_policy_opts opts;
    tg_usec next;         /* of the background */
    tg_usec next_unknown; /* earliest for an unknown kid */
    uint32_t n_failures;  /* in a row */
    bool is_fetching;
};

/* The first fetch is due at once. */
void tg_jwks_policy_init(struct tg_jwks_policy *p, const struct tg_jwks_policy_opts *opts,
                         tg_usec now);

/* When to call tick() next; UINT64_MAX while a fetch is under way. */
tg_usec tg_jwks_policy_due(const struct tg_jwks_policy *p);

/* TG_JWKS_FETCH or TG_JWKS_NO. */
enum tg_jwks_step tg_jwks_policy_tick(struct tg_jwks_policy *p, tg_usec now);

/* A token came whose kid the snapshot does not hold. */
enum tg_jwks_step tg_jwks_policy_unknown(struct tg_jwks_policy *p, tg_usec now);

/* The fetch has ended; ok: it gave a snapshot. `random`: any number, for the jitter. */
void tg_jwks_policy_done(struct tg_jwks_policy *p, tg_usec now, bool ok, uint32_t random);

#endif
