/* buf.h - owned bytes that grow up to a maximum given when the buffer is made. */
#ifndef TG_UTIL_BUF_H
#define TG_UTIL_BUF_H

#include <stdarg.h>

#include "util/str.h"

/* p[0..n) is content. Zeroed is a valid empty buffer with max 0. */
struct tg_buf {
    char *p;
    size_t n;
    size_t cap;
    size_t max;
    bool failed; /* an append was refused; see tg_buf_rc */
};

void tg_buf_init(struct tg_buf *b, size_t max);
void tg_buf_fini(struct tg_buf *b);

/* An append that would pass `max` changes nothing, returns TG_ELIMIT and is remembered,
 * so a writer may append many times and ask tg_buf_rc() once at the end. */
enum tg_rc tg_buf_append(struct tg_buf *b, const void *p, size_t n);
enum tg_rc tg_buf_str(struct tg_buf *b, tg_str s);
enum tg_rc tg_buf_char(struct tg_buf *b, char c);
enum tg_rc tg_buf_u64(struct tg_buf *b, uint64_t v);
enum tg_rc tg_buf_printf(struct tg_buf *b, const char *fmt, ...) TG_PRINTF(2, 3);
enum tg_rc tg_buf_rc(const struct tg_buf *b);

/* Room for `n` more bytes at p + n; the caller writes there and adds to `n` itself. */
enum tg_rc tg_buf_reserve(struct tg_buf *b, size_t n) TG_MUST_USE;

/* Drops the first `n` bytes. */
void tg_buf_consume(struct tg_buf *b, size_t n);
void tg_buf_clear(struct tg_buf *b);

/* NUL behind the content (not counted). [borrowed] until the next change; NULL over `max`. */
const char *tg_buf_cstr(struct tg_buf *b);

/* [owned] the content with a NUL behind it; the buffer is empty afterwards. */
char *tg_buf_take(struct tg_buf *b);

static inline tg_str tg_buf_view(const struct tg_buf *b)
{
    return tg_str_make(b->p, b->n);
}

#endif
