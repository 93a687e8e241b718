/* chunked.h - decoder of the chunked transfer coding (RFC 9112 7.1), strict and bounded.
 *
 * Sizes are hexadecimal digits and nothing else, lines end with CRLF, extensions are
 * skipped, trailers are checked and dropped. Pure; works at any split of its input. */
#ifndef TG_HTTP1_CHUNKED_H
#define TG_HTTP1_CHUNKED_H

#include "util/str.h"

enum {
    TG_CHUNK_LINE_MAX = 256,     /* a size with its extensions */
    TG_CHUNK_TRAILER_MAX = 4096, /* all trailers together */
};

struct tg_chunked {
    uint64_t left;  /* of the running chunk */
    uint64_t total; /* sum of the sizes so far */
    uint64_t max_total;
    uint32_t line; /* bytes of the running size line, or of the trailers */
    uint8_t state;
    uint8_t digits;
};

void tg_chunked_init(struct tg_chunked *d, uint64_t max_total);

/* Takes bytes from the front of *in. TG_OK: *ret_data is the next piece of the body, a slice
 * of *in. TG_EAGAIN: *in is used up. TG_EEOF: the body is complete, *in stands behind it. Final
 * errors: TG_EBADREQ, TG_EBODYSIZE, TG_EHEADSIZE (trailers). */
enum tg_rc tg_chunked_next(struct tg_chunked *d, tg_str *in, tg_str *ret_data) TG_MUST_USE;

#endif
