/* alg.h - the signature algorithms that a token may name (RFC 7518), and no others. */
#ifndef TG_AUTH_ALG_H
#define TG_AUTH_ALG_H

#include "util/str.h"

enum tg_alg {
    TG_ALG_NONE, /* unknown, or the text "none": never verifies */
    TG_ALG_HS256,
    TG_ALG_HS384,
    TG_ALG_HS512,
    TG_ALG_RS256,
    TG_ALG_RS384,
    TG_ALG_RS512,
    TG_ALG_ES256,
    TG_ALG_ES384,
    TG_ALG_ES512,
};

/* Exact, in this case of letters only; TG_ALG_NONE for all else. */
enum tg_alg tg_alg_of(tg_str name);
tg_str tg_alg_name(enum tg_alg alg);

static inline bool tg_alg_is_hmac(enum tg_alg alg)
{
    return alg >= TG_ALG_HS256 && alg <= TG_ALG_HS512;
}

/* Bytes of an HMAC or a raw ES signature; 0 for RS, whose length is the key's. */
size_t tg_alg_signature_bytes(enum tg_alg alg);

#endif
