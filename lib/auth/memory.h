/* memory.h - the one call that handlers make about a token, and what a worker remembers.
 *
 * A verified token is remembered by the SHA-256 of its whole text until it expires, and
 * forgotten together with the key that verified it. A token that failed is remembered for
 * 30 s. Only what is in neither costs a signature check, and those have a budget per client
 * address (per /64 for IPv6). All of it is bounded. One worker's own; no locks. */
#ifndef TG_AUTH_MEMORY_H
#define TG_AUTH_MEMORY_H

#include "auth/token.h"
#include "util/count.h"

struct tg_auth;

/* 0 takes the default. */
struct tg_auth_limits {
    size_t max_tokens;       /* 4096 */
    size_t max_failed;       /* 4096 */
    size_t max_addresses;    /* 4096 */
    uint32_t checks_per_sec; /* signature checks per address, 20 */
    uint32_t checks_burst;   /* 100 */
};

struct tg_auth_counts {
    tg_count hits;        /* answered from the memory, no cryptography */
    tg_count failed_hits; /* refused from the memory */
    tg_count checks;      /* signatures checked */
    tg_count refused;     /* over the budget of an address */
    tg_count unknown;     /* kid not held */
    tg_count evicted;     /* entries dropped because a table was full */
};

/* [owned] */
struct tg_auth *tg_auth_create(const struct tg_auth_limits *limits);
void tg_auth_destroy(struct tg_auth *a); /* NULL is fine */

/* `text`: the token without "Bearer ". `address`: the client's, as text. opts->now is the wall
 * clock. ret_token: one reference, the caller's. What tg_token_verify() returns, and TG_ERATE
 * when the address has used up its signature checks.
 *
 * TG_EUNKNOWNKEY asks for one fetch of the JWKS (jwks_policy.h says whether it is allowed).
 * When that has given a snapshot: tg_auth_keys_refreshed() and this call again with it; a kid
 * that is still not there is TG_EBADTOKEN then, and remembered. When the fetch failed the
 * token may be good: answer TG_ENOTREADY. When none was allowed answer TG_EUNKNOWNKEY. */
enum tg_rc tg_auth_check(struct tg_auth *a, const struct tg_keys *keys, tg_str text, tg_str address,
                         const struct tg_token_opts *opts, struct tg_token **ret_token) TG_MUST_USE;

/* A fetch of the JWKS has given a usable answer, changed or not. */
void tg_auth_keys_refreshed(struct tg_auth *a);

/* Any thread may read them while `a` lives. */
const struct tg_auth_counts *tg_auth_counts(const struct tg_auth *a);

#endif
