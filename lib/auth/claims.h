/* claims.h - from the payload of a token whose signature holds to its fields. For token.c. */
#ifndef TG_AUTH_CLAIMS_H
#define TG_AUTH_CLAIMS_H

#include "util/str.h"

struct tg_token;

/* `payload`: base64url; `text`: the whole token, copied. Sets every field but key_id and ref
 * of a zeroed token. TG_EBADTOKEN: no JSON object, a claim of the wrong type, a member named
 * twice, more than TG_TOKEN_MAX_AUDS audiences, a user without exp. */
enum tg_rc tg_claims_read(tg_str payload, tg_str text, struct tg_token *t) TG_MUST_USE;

#endif
