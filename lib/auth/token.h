/* token.h - from the text of a JWT to a verified, immutable, counted token.
 *
 * The header is read by us, and its algorithm must be the key's own, before any library
 * sees the text. Verifying is split in three, so that the memory (memory.h, which is what
 * handlers call) can put a budget before the costly step and repeat the cheap one:
 *
 *   tg_token_open    text -> parts   form, header, key        no cryptography
 *   tg_token_prove   parts -> token  signature, claims        the costly step
 *   tg_token_check   token, opts     times, iss, aud, role    a few comparisons */
#ifndef TG_AUTH_TOKEN_H
#define TG_AUTH_TOKEN_H

#include "auth/alg.h"
#include "util/clock.h"
#include "util/ref.h"
#include "util/str.h"

enum {
    TG_TOKEN_MAX_BYTES = 8 * 1024,
    TG_TOKEN_MAX_AUDS = 16,
    TG_TOKEN_MAX_SKEW_SEC = 300,
    TG_CLASS_ID_CHARS = 32,
};

struct tg_keys;
struct tg_key;

/* What a route asks of a token. Empty texts and lists ask nothing. iss and aud are not asked
 * of the roles anon and service_role: the project's legacy keys carry another iss and no aud. */
struct tg_token_opts {
    tg_str iss;          /* the issuer */
    tg_str aud;          /* must be among the token's audiences */
    const tg_str *roles; /* the role must be one of these */
    size_t n_roles;
    /* Allowed on exp and nbf: 30 for proxied requests, 0 for our own; at most
     * TG_TOKEN_MAX_SKEW_SEC. */
    uint32_t skew_sec;
    tg_usec now; /* wall clock (tg_clock_wall_us) */
};

/* Read only. Texts are NUL-terminated and empty when the claim is missing. */
struct tg_token {
    tg_ref ref;
    tg_str text; /* as it came, without "Bearer " */
    tg_str sub;
    tg_str iss;
    tg_str role;
    tg_str session_id;
    tg_str auds[TG_TOKEN_MAX_AUDS];
    size_t n_auds;
    int64_t exp_sec; /* INT64_MAX without exp (never so when has_user) */
    int64_t nbf_sec; /* INT64_MIN without nbf */
    int64_t iat_sec; /* INT64_MIN without iat */
    bool is_anonymous;
    bool has_user; /* sub is there and the role is neither service_role nor anon */

    /* Lower-case hex of 128 bits, and a NUL. The authorization class (DESIGN.md §3): issuer,
     * sub and all claims but exp, iat, nbf, jti, session_id and the times in amr. And the
     * user's identity: issuer and sub. */
    char class_id[TG_CLASS_ID_CHARS + 1];
    char user_id[TG_CLASS_ID_CHARS + 1];

    uint64_t key_id; /* of the key that verified it: tg_keys_has_key() */
    char *bytes;     /* private: what the texts point into */
};

/* Everything in one call, nothing remembered. ret_token: [owned], one reference.
 * TG_EBADTOKEN; TG_EUNKNOWNKEY (RS*, ES* with a kid that `keys` does not hold: a fresh JWKS
 * may); TG_EEXPIRED; TG_EEARLY. Any thread. */
enum tg_rc tg_token_verify(const struct tg_keys *keys, tg_str text,
                           const struct tg_token_opts *opts,
                           struct tg_token **ret_token) TG_MUST_USE;

/* A token taken apart. Plain data on the caller's stack; borrows from `keys` and the text. */
struct tg_token_parts {
    const struct tg_keys *keys;
    const struct tg_key *key;
    enum tg_alg alg;
    tg_str text;
    tg_str payload;   /* base64url */
    tg_str signature; /* base64url */
};

enum tg_rc tg_token_open(const struct tg_keys *keys, tg_str text,
                         struct tg_token_parts *ret_parts) TG_MUST_USE;
enum tg_rc tg_token_prove(const struct tg_token_parts *parts,
                          struct tg_token **ret_token) TG_MUST_USE;
enum tg_rc tg_token_check(const struct tg_token *t, const struct tg_token_opts *opts) TG_MUST_USE;

/* now: wall clock. Expired at exp + skew, not one second later. */
bool tg_token_is_expired(const struct tg_token *t, tg_usec now, uint32_t skew_sec);

/* Any thread that holds a reference. unref(NULL) is fine. */
struct tg_token *tg_token_ref(struct tg_token *t);
void tg_token_unref(struct tg_token *t);

#endif
