/* mint.h - makes keys, JWKS and signed tokens for the tests, with OpenSSL alone. */
#ifndef TG_TESTS_UNIT_AUTH_MINT_H
#define TG_TESTS_UNIT_AUTH_MINT_H

#include <openssl/evp.h>

#include "auth/alg.h"
#include "util/clock.h"

#define SECRET "super-secret-jwt-token-with-at-least-32-characters-long"
#define NOW_SEC 1790000000U
#define NOW TG_SEC(NOW_SEC)
#define ADDRESS TG_STR("192.0.2.7")

struct tg_keys;
struct tg_token;

/* [owned]: EVP_PKEY_free() */
EVP_PKEY *mint_rsa(unsigned bits);
EVP_PKEY *mint_ec(const char *group);
/* A key that fits `alg`, RS or ES. */
EVP_PKEY *mint_key(enum tg_alg alg);

/* [owned] One JWKS entry; `alg` TG_ALG_NONE leaves the member out. */
char *mint_jwk(EVP_PKEY *key, const char *kid, enum tg_alg alg);

/* [owned] {"keys":[<entries>]} */
char *mint_jwks(const char *const *entries, size_t n);

/* Snapshot with SECRET and, if key is not NULL, one public key. */
struct tg_keys *mint_keys(EVP_PKEY *key, const char *kid, enum tg_alg alg);

/* [owned] header.payload.signature. Signed with `key`, or for HS* with the text `secret`. */
char *mint_raw(const char *header, const char *claims, enum tg_alg alg, EVP_PKEY *key,
               const char *secret);

/* [owned] The same with the usual header. `kid` NULL: none. */
char *mint_signed(enum tg_alg alg, const char *kid, EVP_PKEY *key, const char *claims);

/* [owned] HS256 with SECRET. */
char *mint_hs(const char *claims);

/* [owned] The claims of a user: exp in an hour, then `more` (",\"a\":1" or ""). */
char *mint_claims(const char *more);

#endif
