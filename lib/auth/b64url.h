/* b64url.h - base64url without padding (RFC 4648 §5), read strictly. */
#ifndef TG_AUTH_B64URL_H
#define TG_AUTH_B64URL_H

#include "util/buf.h"

/* Appends the bytes that `text` stands for. Only the 64 characters, no padding, no blanks,
 * and unused bits are zero, so that one value has one text. TG_ESYNTAX, TG_ELIMIT. */
enum tg_rc tg_b64url_decode(tg_str text, struct tg_buf *out) TG_MUST_USE;

/* Appends the text of `bytes`. TG_ELIMIT. */
enum tg_rc tg_b64url_encode(tg_str bytes, struct tg_buf *out);

#endif
