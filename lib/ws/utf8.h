/* utf8.h - UTF-8 (RFC 3629) as it comes in pieces: what cannot be continued is refused at its
 * first impossible byte, not at the end. */
#ifndef TG_WS_UTF8_H
#define TG_WS_UTF8_H

#include "util/str.h"

/* Zeroed: between two characters. */
struct tg_utf8 {
    uint8_t left;   /* bytes that the character still wants */
    uint8_t lo, hi; /* what the next of them may be */
};

/* False: these bytes follow from no text. The state is of no use then. */
bool tg_utf8_push(struct tg_utf8 *u, tg_str bytes) TG_MUST_USE;

/* The text may end here. */
static inline bool tg_utf8_is_whole(const struct tg_utf8 *u)
{
    return u->left == 0;
}

#endif
