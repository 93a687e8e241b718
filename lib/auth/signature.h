/* signature.h - requests that are signed with a shared secret instead of carrying a key.
 *
 *   Tidegate-Signature: t=1732290000,v1=<64 hexadecimal digits>
 *
 * v1 is HMAC-SHA256, under the secret, of "<t>.<target>.<body>": the time as it stands in the
 * field, the request target as it was sent, the body. There may be several v1 (a secret that is
 * being changed); other names are left to later versions. Pure. */
#ifndef TG_AUTH_SIGNATURE_H
#define TG_AUTH_SIGNATURE_H

#include "util/clock.h"
#include "util/str.h"

struct tg_signed {
    tg_str field; /* the value of Tidegate-Signature */
    tg_str target;
    tg_str body;
};

/* TG_OK; TG_EBADSIGNATURE: not readable, or not by this secret (not empty); TG_EEXPIRED: by this
 * secret, but its time is further than `tolerance` from `now` (wall clock), before or behind. */
enum tg_rc tg_signature_check(tg_str secret, const struct tg_signed *s, tg_usec now,
                              tg_usec tolerance) TG_MUST_USE;

#endif
