/* key.h - one key that verifies: the project's secret, or one entry of a JWKS.
 *
 * For jwks.c and token.c. Immutable after it is made; any thread may verify with it. */
#ifndef TG_AUTH_KEY_H
#define TG_AUTH_KEY_H

#include "auth/alg.h"

struct json_t;
struct tg_key;

/* The secret of HS256, HS384 and HS512. Not empty. [owned] */
struct tg_key *tg_key_of_secret(tg_str secret);

/* A public key of a JWKS (RFC 7517). TG_EUNSUPPORTED: kty, alg, crv, use, key_ops or a missing
 * kid; TG_EBADKEY: broken, weak (RSA under 2,048 bits) or oversized. ret_key: [owned] */
enum tg_rc tg_key_of_jwk(const struct json_t *jwk, struct tg_key **ret_key) TG_MUST_USE;

void tg_key_destroy(struct tg_key *key);

/* Empty for the secret. */
tg_str tg_key_kid(const struct tg_key *key);

/* Made from the key's contents; never 0. */
uint64_t tg_key_id(const struct tg_key *key);

/* Whether a token with this `alg` may be verified with this key: the key's own, nothing else. */
bool tg_key_takes(const struct tg_key *key, enum tg_alg alg);

/* [borrowed] only for the secret. */
tg_str tg_key_secret(const struct tg_key *key);

/* Verifies `signature` (base64url) over the text in front of it. `token`: the whole text
 * (header.payload.signature), its form checked. TG_EBADTOKEN. */
enum tg_rc tg_key_verify(const struct tg_key *key, enum tg_alg alg, tg_str token,
                         tg_str signature) TG_MUST_USE;

#endif
