/* str.c - borrowed text. Nothing here allocates but tg_str_dup. */
#include "util/str.h"

#include <stdlib.h>

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool tg_str_ieq(tg_str a, tg_str b)
{
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (a.p[i] != b.p[i] && lower(a.p[i]) != lower(b.p[i])) {
            return false;
        }
    }
    return true;
}

bool tg_str_has_prefix(tg_str s, tg_str prefix)
{
    return s.n >= prefix.n && tg_str_eq(tg_str_make(s.p, prefix.n), prefix);
}

bool tg_str_has_iprefix(tg_str s, tg_str prefix)
{
    return s.n >= prefix.n && tg_str_ieq(tg_str_make(s.p, prefix.n), prefix);
}

bool tg_str_has_suffix(tg_str s, tg_str suffix)
{
    return s.n >= suffix.n && tg_str_eq(tg_str_skip(s, s.n - suffix.n), suffix);
}

int tg_str_cmp(tg_str a, tg_str b)
{
    size_t n = TG_MIN(a.n, b.n);
    int order = n == 0 ? 0 : memcmp(a.p, b.p, n);

    if (order != 0) {
        return order;
    }
    return a.n < b.n ? -1 : a.n > b.n;
}

bool tg_str_eq_secret(tg_str a, tg_str b)
{
    uint64_t diff = a.n != b.n;
    size_t n = TG_MIN(a.n, b.n);
    size_t i = 0;

    for (; i + sizeof(uint64_t) <= n; i += sizeof(uint64_t)) {
        uint64_t x = 0;
        uint64_t y = 0;

        memcpy(&x, a.p + i, sizeof(x));
        memcpy(&y, b.p + i, sizeof(y));
        diff |= x ^ y;
    }
    for (; i < n; i++) {
        diff |= (unsigned char)a.p[i] ^ (unsigned char)b.p[i];
    }
    return diff == 0;
}

size_t tg_str_find(tg_str s, char c)
{
    const char *hit = s.n == 0 ? NULL : memchr(s.p, c, s.n);

    return hit == NULL ? s.n : (size_t)(hit - s.p);
}

tg_str tg_str_cut(tg_str *s, char sep)
{
    size_t at = tg_str_find(*s, sep);
    tg_str before = tg_str_make(s->p, at);

    *s = at == s->n ? TG_STR_NONE : tg_str_skip(*s, at + 1);
    return before;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

tg_str tg_str_trim(tg_str s)
{
    while (s.n > 0 && is_blank(s.p[0])) {
        s = tg_str_skip(s, 1);
    }
    while (s.n > 0 && is_blank(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

enum tg_rc tg_str_to_u64(tg_str s, uint64_t *ret_n)
{
    uint64_t n = 0;

    if (s.n == 0) {
        return TG_ESYNTAX;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return TG_ESYNTAX;
        }
        if (__builtin_mul_overflow(n, (uint64_t)10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(s.p[i] - '0'), &n)) {
            return TG_ELIMIT;
        }
    }
    *ret_n = n;
    return TG_OK;
}

char *tg_str_dup(tg_str s)
{
    char *copy = tg_malloc(s.n + 1);

    if (s.n != 0) {
        memcpy(copy, s.p, s.n);
    }
    copy[s.n] = '\0';
    return copy;
}

int tg_hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t tg_str_unescape(tg_str raw, bool is_query, char *out, bool *ret_whole)
{
    size_t n = 0;

    *ret_whole = true;
    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.p[i];

        if (c == '+' && is_query) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < raw.n ? tg_hex_digit(raw.p[i + 1]) : -1;
            int low = i + 2 < raw.n ? tg_hex_digit(raw.p[i + 2]) : -1;

            if (high < 0 || low < 0) {
                *ret_whole = false;
            } else {
                c = (char)(high * 16 + low);
                i += 2;
            }
        }
        out[n++] = c;
    }
    return n;
}

/* Length of the well-formed sequence at p, 0 if there is none. RFC 3629 section 4. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
    size_t need = p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 1 : p[0] < 0xF0 ? 2 : p[0] < 0xF5 ? 3 : 0;

    if (need == 0 || n <= need) {
        return 0;
    }
    if ((p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xED && p[1] > 0x9F) ||
        (p[0] == 0xF0 && p[1] < 0x90) || (p[0] == 0xF4 && p[1] > 0x8F)) {
        return 0;
    }
    for (size_t i = 1; i <= need; i++) {
        if ((p[i] & 0xC0U) != 0x80U) {
            return 0;
        }
    }
    return need + 1;
}

bool tg_str_is_utf8(tg_str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;

    while (i < s.n) {
        size_t step = p[i] < 0x80 ? 1 : utf8_sequence(p + i, s.n - i);

        if (step == 0) {
            return false;
        }
        i += step;
    }
    return true;
}
