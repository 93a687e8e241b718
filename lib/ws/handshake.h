/* handshake.h - the key of RFC 6455 section 4.2 and what answers it.
 *
 * The digest itself is the caller's: this folder knows no cryptography. */
#ifndef TG_WS_HANDSHAKE_H
#define TG_WS_HANDSHAKE_H

#include "util/str.h"

enum { TG_WS_KEY_BYTES = 24, TG_WS_DIGEST_BYTES = 20, TG_WS_ACCEPT_BYTES = 28 };
enum { TG_WS_CHALLENGE_BYTES = TG_WS_KEY_BYTES + 36 };

/* Whether a Sec-WebSocket-Key is sixteen bytes in base64. */
bool tg_ws_key_is_good(tg_str key);

/* What the SHA-1 of Sec-WebSocket-Accept is taken of; `key` is good. */
void tg_ws_challenge(tg_str key, char out[TG_WS_CHALLENGE_BYTES]);

/* Sec-WebSocket-Accept of that SHA-1. */
void tg_ws_accept(const uint8_t digest[TG_WS_DIGEST_BYTES], char out[TG_WS_ACCEPT_BYTES]);

#endif
