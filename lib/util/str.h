/* str.h - borrowed text: a pointer and a length, by value, with no NUL promised. */
#ifndef TG_UTIL_STR_H
#define TG_UTIL_STR_H

#include <string.h>

#include "util/base.h"
#include "util/rc.h"

typedef struct {
    const char *p;
    size_t n;
} tg_str;

/* A literal, and its form for static initialisers. */
#define TG_STR(lit) ((tg_str){(lit), sizeof(lit) - 1})
#define TG_STR_INIT(lit)                                                                           \
    {                                                                                              \
        (lit), sizeof(lit) - 1                                                                     \
    }
#define TG_STR_NONE ((tg_str){NULL, 0})
/* For printf's "%.*s". */
#define TG_STR_ARG(s) (int)(s).n, (s).p

static inline tg_str tg_str_make(const char *p, size_t n)
{
    return (tg_str){p, n};
}

static inline tg_str tg_str_of(const char *cstr)
{
    return cstr == NULL ? TG_STR_NONE : (tg_str){cstr, strlen(cstr)};
}

static inline bool tg_str_eq(tg_str a, tg_str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline tg_str tg_str_skip(tg_str s, size_t n)
{
    TG_ASSERT(n <= s.n);
    /* NULL + 0 is undefined in C, and no text may lose no bytes. */
    return n == 0 ? s : (tg_str){s.p + n, s.n - n};
}

/* ASCII letters only: HTTP field names, schemes, hex. */
bool tg_str_ieq(tg_str a, tg_str b);
bool tg_str_has_prefix(tg_str s, tg_str prefix);
bool tg_str_has_iprefix(tg_str s, tg_str prefix);
bool tg_str_has_suffix(tg_str s, tg_str suffix);
int tg_str_cmp(tg_str a, tg_str b);

/* Length that does not depend on where the texts differ, for secrets. */
bool tg_str_eq_secret(tg_str a, tg_str b);

/* Index of `c`, or s.n. */
size_t tg_str_find(tg_str s, char c);

/* Cuts `*s` at the first `sep`: returns what stands before it, leaves what stands
 * behind it. Without `sep` returns the whole and leaves nothing (p == NULL). */
tg_str tg_str_cut(tg_str *s, char sep);

/* Without blanks (space, tab) at both ends. */
tg_str tg_str_trim(tg_str s);

/* Decimal digits only, nothing before or behind. TG_ESYNTAX, TG_ELIMIT on overflow. */
enum tg_rc tg_str_to_u64(tg_str s, uint64_t *ret_n) TG_MUST_USE;

/* [owned] NUL-terminated copy, for a library's door. free() it. */
char *tg_str_dup(tg_str s);

/* 0..15, or -1. */
int tg_hex_digit(char c);

/* Decodes %xx (RFC 3986 section 2.1), and '+' as a blank if `is_query`. Writes at most raw.n bytes,
 * returns how many. A broken escape stands for itself; *ret_whole tells that there was none. */
size_t tg_str_unescape(tg_str raw, bool is_query, char *out, bool *ret_whole);

/* Well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates). */
bool tg_str_is_utf8(tg_str s);

#endif
