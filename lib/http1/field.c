/* field.c - looking fields up, and the bytes that names and values may hold. */
#include "http1/field.h"

/* RFC 9110 5.6.2 token characters: "!#$%&'*+-.^_`|~", digits and letters, one bit each. */
static const uint64_t token_bits[2] = {0x03ff6cfa00000000U, 0x57ffffffc7fffffeU};

static const uint64_t ones = 0x0101010101010101U;
static const uint64_t highs = 0x8080808080808080U;

static bool is_control(unsigned char ch)
{
    return (ch < 0x20 && ch != '\t') || ch == 0x7f;
}

bool tg_field_is_token_char(char ch)
{
    unsigned char u = (unsigned char)ch;

    return u < 128 && (token_bits[u / 64] >> (u % 64) & 1U) != 0;
}

bool tg_field_is_token(tg_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!tg_field_is_token_char(s.p[i])) {
            return false;
        }
    }
    return s.n != 0;
}

static bool has_control(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (is_control((unsigned char)p[i])) {
            return true;
        }
    }
    return false;
}

/* The highest bit of each byte that is below 0x20 or 0x7f; of others perhaps behind such a one. */
static uint64_t suspects(const char *p)
{
    uint64_t x = 0;
    uint64_t del = 0;

    memcpy(&x, p, sizeof(x));
    del = x ^ (ones * 0x7f);
    return (((x - ones * 0x20) & ~x) | ((del - ones) & ~del)) & highs;
}

bool tg_field_is_value(tg_str s)
{
    size_t i = 0;

    /* Many bytes at a time, tokens are long. A tab among them is looked at closely. */
    for (; i + 32 <= s.n; i += 32) {
        const char *p = s.p + i;

        if ((suspects(p) | suspects(p + 8) | suspects(p + 16) | suspects(p + 24)) != 0 &&
            has_control(p, 32)) {
            return false;
        }
    }
    for (; i + 8 <= s.n; i += 8) {
        if (suspects(s.p + i) != 0 && has_control(s.p + i, 8)) {
            return false;
        }
    }
    /* An empty text may have no place at all; NULL + 0 is undefined. */
    return i == s.n || !has_control(s.p + i, s.n - i);
}

const struct tg_field *tg_fields_find(struct tg_fields f, tg_str name)
{
    for (size_t i = 0; i < f.n; i++) {
        if (tg_str_ieq(f.v[i].name, name)) {
            return &f.v[i];
        }
    }
    return NULL;
}

size_t tg_fields_count(struct tg_fields f, tg_str name)
{
    size_t n = 0;

    for (size_t i = 0; i < f.n; i++) {
        n += tg_str_ieq(f.v[i].name, name) ? 1U : 0U;
    }
    return n;
}

bool tg_field_list_has(tg_str list, tg_str token)
{
    while (list.p != NULL) {
        if (tg_str_ieq(tg_str_trim(tg_str_cut(&list, ',')), token)) {
            return true;
        }
    }
    return false;
}

bool tg_fields_has_token(struct tg_fields f, tg_str name, tg_str token)
{
    for (size_t i = 0; i < f.n; i++) {
        if (tg_str_ieq(f.v[i].name, name) && tg_field_list_has(f.v[i].value, token)) {
            return true;
        }
    }
    return false;
}
