/* jwks.h - the keys that verify tokens: one immutable, counted snapshot for all workers.
 *
 * A snapshot holds the project's secret (HS256/384/512, optional) and the public keys of
 * a JWKS (RS256/384/512, ES256/384/512), parsed once. A new JWKS is a new snapshot. */
#ifndef TG_AUTH_JWKS_H
#define TG_AUTH_JWKS_H

#include "util/str.h"

enum { TG_KEYS_MAX = 64, TG_JWKS_MAX_BYTES = 256 * 1024 };

struct tg_key;
struct tg_keys;

/* `secret`: empty if the project has none. `jwks`: the JSON text, empty if there is none.
 * Entries that cannot verify (other kty or alg, use other than "sig", no kid, a kid seen
 * before, a weak or broken key) are skipped and counted; an unusable text is an error:
 * TG_EBADJSON, TG_ELIMIT (over TG_JWKS_MAX_BYTES, or over TG_KEYS_MAX entries).
 * ret_keys: [owned], one reference. Any thread. */
enum tg_rc tg_keys_create(tg_str secret, tg_str jwks, struct tg_keys **ret_keys) TG_MUST_USE;

/* The same secret with another JWKS: what a refresh needs. As above. */
enum tg_rc tg_keys_renew(const struct tg_keys *old, tg_str jwks,
                         struct tg_keys **ret_keys) TG_MUST_USE;

/* Any thread that holds a reference. unref(NULL) is fine. */
struct tg_keys *tg_keys_ref(struct tg_keys *k);
void tg_keys_unref(struct tg_keys *k);

/* A number made from the contents: equal keys, equal generation. Never 0. */
uint64_t tg_keys_generation(const struct tg_keys *k);

bool tg_keys_has_secret(const struct tg_keys *k);
size_t tg_keys_n_public(const struct tg_keys *k);
size_t tg_keys_n_skipped(const struct tg_keys *k);

/* For token.c and memory.c. Borrowed as long as the caller's reference; NULL: none. */
const struct tg_key *tg_keys_secret(const struct tg_keys *k);
const struct tg_key *tg_keys_find(const struct tg_keys *k, tg_str kid);
bool tg_keys_has_key(const struct tg_keys *k, uint64_t key_id);

#endif
