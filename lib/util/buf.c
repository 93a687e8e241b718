/* buf.c - growing bytes. Invariant: n <= cap, and n <= max. */
#include "util/buf.h"

#include <stdio.h>
#include <stdlib.h>

enum { MIN_CAP = 64 };

void tg_buf_init(struct tg_buf *b, size_t max)
{
    *b = (struct tg_buf){.max = max};
}

void tg_buf_fini(struct tg_buf *b)
{
    free(b->p);
    *b = (struct tg_buf){0};
}

enum tg_rc tg_buf_reserve(struct tg_buf *b, size_t n)
{
    size_t need = 0;
    size_t cap = b->cap == 0 ? MIN_CAP : b->cap;

    if (__builtin_add_overflow(b->n, n, &need) || need > b->max) {
        b->failed = true;
        return TG_ELIMIT;
    }
    if (need <= b->cap) {
        return TG_OK;
    }
    while (cap < need) {
        cap *= 2;
    }
    b->p = tg_realloc(b->p, cap, 1);
    b->cap = cap;
    return TG_OK;
}

enum tg_rc tg_buf_append(struct tg_buf *b, const void *p, size_t n)
{
    enum tg_rc rc = tg_buf_reserve(b, n);

    if (rc == TG_OK && n != 0) {
        memcpy(b->p + b->n, p, n);
        b->n += n;
    }
    return rc;
}

enum tg_rc tg_buf_str(struct tg_buf *b, tg_str s)
{
    return tg_buf_append(b, s.p, s.n);
}

enum tg_rc tg_buf_char(struct tg_buf *b, char c)
{
    return tg_buf_append(b, &c, 1);
}

enum tg_rc tg_buf_u64(struct tg_buf *b, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    return tg_buf_append(b, digits + at, sizeof(digits) - at);
}

enum tg_rc tg_buf_printf(struct tg_buf *b, const char *fmt, ...)
{
    enum tg_rc rc = TG_OK;
    va_list args;
    int n = 0;

    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    TG_ASSERT(n >= 0);
    rc = tg_buf_reserve(b, (size_t)n);
    if (rc == TG_OK) {
        /* vsnprintf ends with a NUL, which is no content and needs a place of its own. */
        char *text = tg_malloc((size_t)n + 1);

        va_start(args, fmt);
        (void)vsnprintf(text, (size_t)n + 1, fmt, args);
        va_end(args);
        rc = tg_buf_append(b, text, (size_t)n);
        free(text);
    }
    return rc;
}

enum tg_rc tg_buf_rc(const struct tg_buf *b)
{
    return b->failed ? TG_ELIMIT : TG_OK;
}

void tg_buf_consume(struct tg_buf *b, size_t n)
{
    TG_ASSERT(n <= b->n);
    b->n -= n;
    if (b->n != 0 && n != 0) {
        memmove(b->p, b->p + n, b->n);
    }
}

void tg_buf_clear(struct tg_buf *b)
{
    b->n = 0;
    b->failed = false;
}

static void terminate(struct tg_buf *b)
{
    if (b->n == b->cap) {
        b->cap = b->cap == 0 ? MIN_CAP : b->cap + 1;
        b->p = tg_realloc(b->p, b->cap, 1);
    }
    b->p[b->n] = '\0';
}

const char *tg_buf_cstr(struct tg_buf *b)
{
    terminate(b);
    return b->failed ? NULL : b->p;
}

char *tg_buf_take(struct tg_buf *b)
{
    char *p = NULL;

    terminate(b);
    p = b->p;
    *b = (struct tg_buf){.max = b->max};
    return p;
}
