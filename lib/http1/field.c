/* field.c - looking fields up, and the bytes that names and values may hold. */
#include "http1/field.h"

/* RFC 9110 5.6.2. */
static const bool is_token_byte[256] = {
    ['!'] = true, ['#'] = true, ['$'] = true, ['%'] = true, ['&'] = true, ['\''] = true,
    ['*'] = true, ['+'] = true, ['-'] = true, ['.'] = true, ['^'] = true, ['_'] = true,
    ['`'] = true, ['|'] = true, ['~'] = true, ['0'] = true, ['1'] = true, ['2'] = true,
    ['3'] = true, ['4'] = true, ['5'] = true, ['6'] = true, ['7'] = true, ['8'] = true,
    ['9'] = true, ['A'] = true, ['B'] = true, ['C'] = true, ['D'] = true, ['E'] = true,
    ['F'] = true, ['G'] = true, ['H'] = true, ['I'] = true, ['J'] = true, ['K'] = true,
    ['L'] = true, ['M'] = true, ['N'] = true, ['O'] = true, ['P'] = true, ['Q'] = true,
    ['R'] = true, ['S'] = true, ['T'] = true, ['U'] = true, ['V'] = true, ['W'] = true,
    ['X'] = true, ['Y'] = true, ['Z'] = true, ['a'] = true, ['b'] = true, ['c'] = true,
    ['d'] = true, ['e'] = true, ['f'] = true, ['g'] = true, ['h'] = true, ['i'] = true,
    ['j'] = true, ['k'] = true, ['l'] = true, ['m'] = true, ['n'] = true, ['o'] = true,
    ['p'] = true, ['q'] = true, ['r'] = true, ['s'] = true, ['t'] = true, ['u'] = true,
    ['v'] = true, ['w'] = true, ['x'] = true, ['y'] = true, ['z'] = true,
};

/* Sixteen bytes at a time; a compiler without such registers takes them apart. */
typedef unsigned char bytes16 __attribute__((vector_size(16)));

enum { WIDE = sizeof(bytes16), HALF = WIDE / 2 };

static bytes16 all(unsigned char c)
{
    return (bytes16){c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c};
}

/* The next bytes of a text of at least HALF, at `*at`, which moves on to s.n in the end. Some are
 * seen twice where they do not come out even. */
static bytes16 next_bytes(tg_str s, size_t *at)
{
    bytes16 x;
    size_t from = 0;

    if (s.n < WIDE) {
        memcpy(&x, s.p, HALF);
        memcpy((char *)&x + HALF, s.p + s.n - HALF, HALF);
        *at = s.n;
        return x;
    }
    from = TG_MIN(*at, s.n - WIDE);
    memcpy(&x, s.p + from, WIDE);
    *at = from + WIDE;
    return x;
}

static bool is_zero(bytes16 x)
{
    uint64_t halves[2];

    memcpy(halves, &x, sizeof(halves));
    return (halves[0] | halves[1]) == 0;
}

static bool is_control(unsigned char ch)
{
    return (ch < 0x20 && ch != '\t') || ch == 0x7f;
}

bool tg_field_is_token_char(char ch)
{
    return is_token_byte[(unsigned char)ch];
}

/* Zero where a letter, a digit or a hyphen stands: most names have no other. */
static bytes16 not_plain(bytes16 x)
{
    bytes16 letters = (bytes16)(((x | all(0x20)) - all('a')) < all(26));
    bytes16 digits = (bytes16)((x - all('0')) < all(10));

    return ~(letters | digits | (bytes16)(x == all('-')));
}

bool tg_field_is_token(tg_str s)
{
    bytes16 seen = {0};

    if (s.n >= HALF) {
        for (size_t i = 0; i < s.n;) {
            seen |= not_plain(next_bytes(s, &i));
        }
        if (is_zero(seen)) {
            return true;
        }
    }
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

/* Not zero where a control stands, or a tab. */
static bytes16 controls(bytes16 x)
{
    return (bytes16)(x < all(0x20)) | (bytes16)(x == all(0x7f));
}

bool tg_field_is_value(tg_str s)
{
    bytes16 seen = {0};

    if (s.n >= HALF) {
        for (size_t i = 0; i < s.n;) {
            seen |= controls(next_bytes(s, &i));
        }
        if (is_zero(seen)) {
            return true;
        }
    }
    return !has_control(s.p, s.n); /* a short one, or a tab */
}

static bytes16 invisibles(bytes16 x)
{
    return (bytes16)(x < all(0x21)) | (bytes16)(x > all(0x7e));
}

bool tg_field_is_visible(tg_str s)
{
    bytes16 seen = {0};

    if (s.n >= HALF) {
        for (size_t i = 0; i < s.n;) {
            seen |= invisibles(next_bytes(s, &i));
        }
        return is_zero(seen);
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 0x21 || s.p[i] > 0x7e) {
            return false;
        }
    }
    return true;
}

const struct tg_field *tg_fields_find(struct tg_fields f, tg_str name)
{
    for (size_t i = 0; i < f.n; i++) {
        if (f.v[i].name.n == name.n && tg_str_ieq(f.v[i].name, name)) {
            return &f.v[i];
        }
    }
    return NULL;
}

size_t tg_fields_count(struct tg_fields f, tg_str name)
{
    size_t n = 0;

    for (size_t i = 0; i < f.n; i++) {
        n += f.v[i].name.n == name.n && tg_str_ieq(f.v[i].name, name) ? 1U : 0U;
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
