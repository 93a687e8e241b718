/* seal.h - small texts that leave the gateway closed and come back unchanged, or not at all.
 *
 * AES-256-GCM with a random 96-bit nonce under a key derived from the group's secret and a
 * purpose (HKDF-SHA256), written as base64url. What was sealed for one purpose, or with another
 * secret, does not open for another. The time at which it expires is sealed with it. */
#ifndef TG_AUTH_SEAL_H
#define TG_AUTH_SEAL_H

#include "util/buf.h"
#include "util/clock.h"

enum {
    TG_SEAL_SECRET_BYTES = 32, /* the least */
    TG_SEAL_OVERHEAD = 1 + 12 + 8 + 16,
};
/* Characters of a sealed text of `n` bytes. */
#define TG_SEAL_CHARS(n) ((((n) + TG_SEAL_OVERHEAD) * 8 + 5) / 6)

/* Immutable; any thread may use it. */
struct tg_seal;

/* `secret`: at least TG_SEAL_SECRET_BYTES. `purpose`: a short label. [owned] */
struct tg_seal *tg_seal_create(tg_str secret, tg_str purpose);
void tg_seal_destroy(struct tg_seal *s); /* wipes the key; NULL is fine */

/* Appends `text` sealed until `expires` (wall clock). TG_ELIMIT: over the buffer's maximum. */
enum tg_rc tg_seal_wrap(const struct tg_seal *s, tg_str text, tg_usec expires,
                        struct tg_buf *out) TG_MUST_USE;

/* Appends what was sealed. TG_EBADTOKEN: not by this secret and purpose, or changed; TG_EEXPIRED:
 * genuine, but `now` is not before its expiry; TG_ELIMIT. Nothing is appended unless TG_OK. */
enum tg_rc tg_seal_unwrap(const struct tg_seal *s, tg_str sealed, tg_usec now,
                          struct tg_buf *out) TG_MUST_USE;

#endif
