/* where.c - conditions on rows: read once, evaluated on every change of a table. */
#include "realtime/where.h"

#include <stdlib.h>

#include "realtime/query.h"
#include "util/arena.h"
#include "util/json.h"

enum { MAX_QUERY = TG_WHERE_MAX_BYTES * 4, MAX_EXPONENT_DIGITS = 9 };

enum operator{ OP_EQ, OP_NEQ, OP_IN, OP_IS };
enum is { IS_NULL, IS_TRUE, IS_FALSE, IS_UNKNOWN };
enum truth { FALSE, TRUE, UNKNOWN, MISSING };

struct condition {
    const char *column;
    enum operator op;
    bool is_not;
    enum is is;     /* OP_IS */
    tg_str *values; /* the others */
    size_t n_values;
};

struct tg_where {
    struct tg_arena arena;
    struct condition items[TG_WHERE_MAX_CONDITIONS];
    size_t n;
    tg_str query;
};

/* ---- reading ---- */

/* The next element of in.(..), from *rest on; *rest stands behind it. */
static const char *read_element(tg_str *rest, struct tg_buf *out)
{
    size_t at = 0;

    tg_buf_clear(out);
    if (rest->n == 0 || rest->p[0] != '"') {
        while (at < rest->n && memchr(",()\"", rest->p[at], 4) == NULL) {
            at++;
        }
        (void)tg_buf_append(out, rest->p, at);
        *rest = tg_str_skip(*rest, at);
        return at == 0 ? "an element of `in` is empty" : NULL;
    }
    for (at = 1; at < rest->n && rest->p[at] != '"'; at++) {
        at += rest->p[at] == '\\' && at + 1 < rest->n ? 1 : 0;
        (void)tg_buf_char(out, rest->p[at]);
    }
    if (at == rest->n) {
        return "a quote is not closed";
    }
    *rest = tg_str_skip(*rest, at + 1);
    return NULL;
}

static const char *read_in(struct tg_where *w, struct condition *c, tg_str *rest)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf element = {.max = TG_WHERE_MAX_BYTES};
    tg_str values[TG_WHERE_MAX_IN];
    char next = '\0';

    if (rest->n == 0 || rest->p[0] != '(') {
        return "the values of `in` stand in parentheses: in.(a,b)";
    }
    do {
        const char *why = NULL;

        *rest = tg_str_skip(*rest, 1);
        if (c->n_values == TG_WHERE_MAX_IN) {
            return "`in` takes at most 100 values";
        }
        why = read_element(rest, &element);
        if (why != NULL) {
            return why;
        }
        values[c->n_values++] = tg_arena_str(&w->arena, tg_buf_view(&element));
        next = rest->n == 0 ? '\0' : rest->p[0];
    } while (next == ',');
    if (next != ')') {
        return "the values of `in` are separated by commas and end with a parenthesis";
    }
    *rest = tg_str_skip(*rest, 1);
    c->values = tg_arena_alloc(&w->arena, c->n_values * sizeof(values[0]));
    memcpy(c->values, values, c->n_values * sizeof(values[0]));
    return NULL;
}

static const char *read_is(struct condition *c, tg_str value)
{
    static const struct {
        const char *word;
        enum is is;
        bool is_not;
    } words[] = {{"null", IS_NULL, false},
                 {"not_null", IS_NULL, true},
                 {"true", IS_TRUE, false},
                 {"false", IS_FALSE, false},
                 {"unknown", IS_UNKNOWN, false}};

    for (size_t i = 0; i < TG_ARRAY_LEN(words); i++) {
        if (tg_str_ieq(value, tg_str_of(words[i].word))) {
            c->is = words[i].is;
            c->is_not = c->is_not != words[i].is_not;
            return NULL;
        }
    }
    return "`is` takes null, not_null, true, false or unknown";
}

static const char *read_value(struct tg_where *w, struct condition *c, tg_str *rest)
{
    size_t end = 0;
    tg_str value = TG_STR_NONE;

    if (c->op == OP_IN) {
        return read_in(w, c, rest);
    }
    end = tg_str_find(*rest, '&');
    value = tg_str_make(rest->p, end);
    *rest = tg_str_skip(*rest, end);
    if (c->op == OP_IS) {
        return read_is(c, value);
    }
    c->values = tg_arena_alloc(&w->arena, sizeof(*c->values));
    c->values[c->n_values++] = tg_arena_str(&w->arena, value);
    return NULL;
}

static const char *read_operator(struct condition *c, tg_str *rest)
{
    static const char *const words[] = {"eq", "neq", "in", "is"};
    tg_str word = tg_str_cut(rest, '.');

    if (rest->p != NULL && tg_str_eq(word, TG_STR("not"))) {
        c->is_not = true;
        word = tg_str_cut(rest, '.');
    }
    for (size_t i = 0; rest->p != NULL && i < TG_ARRAY_LEN(words); i++) {
        if (tg_str_eq(word, tg_str_of(words[i]))) {
            c->op = (enum operator)i;
            return NULL;
        }
    }
    return "the operator of a condition is eq, neq, in or is, with or without not. before it";
}

static const char *read_condition(struct tg_where *w, tg_str *rest)
{
    struct condition *c = &w->items[w->n];
    tg_str column = TG_STR_NONE;
    const char *why = NULL;

    if (w->n == TG_WHERE_MAX_CONDITIONS) {
        return "at most 16 conditions";
    }
    column = tg_str_cut(rest, '=');
    if (rest->p == NULL || !tg_query_is_column(column)) {
        return "a condition is written column=operator.value";
    }
    c->column = tg_arena_cstr(&w->arena, column);
    why = read_operator(c, rest);
    if (why == NULL) {
        why = read_value(w, c, rest);
    }
    if (why != NULL) {
        return why;
    }
    w->n++;
    return rest->n == 0 || rest->p[0] == '&' ? NULL : "conditions are joined by &";
}

/* ---- the same, for PostgREST ---- */

static void put_condition(struct tg_buf *out, const struct condition *c)
{
    static const char *const ops[] = {"eq.", "neq.", "in.(", "is."};
    static const char *const is[] = {"null", "true", "false", "unknown"};

    tg_query_escape(out, tg_str_of(c->column));
    (void)tg_buf_printf(out, "=%s%s", c->is_not ? "not." : "", ops[c->op]);
    if (c->op == OP_IS) {
        (void)tg_buf_str(out, tg_str_of(is[c->is]));
        return;
    }
    for (size_t i = 0; i < c->n_values; i++) {
        if (c->op == OP_IN) {
            (void)tg_buf_str(out, i == 0 ? TG_STR("") : TG_STR(","));
            tg_query_quote(out, c->values[i]);
        } else {
            tg_query_escape(out, c->values[i]);
        }
    }
    (void)tg_buf_str(out, c->op == OP_IN ? TG_STR(")") : TG_STR(""));
}

static const char *make_query(struct tg_where *w)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = MAX_QUERY};

    for (size_t i = 0; i < w->n; i++) {
        (void)tg_buf_str(&out, i == 0 ? TG_STR("") : TG_STR("&"));
        put_condition(&out, &w->items[i]);
    }
    w->query = tg_arena_str(&w->arena, tg_buf_view(&out));
    return tg_buf_rc(&out) == TG_OK ? NULL : "the conditions are too long";
}

static bool has_control(tg_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7F) {
            return true;
        }
    }
    return false;
}

static const char *parse(struct tg_where *w, tg_str text)
{
    const char *why = NULL;

    if (text.n > TG_WHERE_MAX_BYTES) {
        return "the conditions are too long: at most 1024 bytes";
    }
    if (!tg_str_is_utf8(text) || has_control(text)) {
        return "conditions are UTF-8 text without control characters";
    }
    for (why = read_condition(w, &text); why == NULL && text.n > 0;) {
        text = tg_str_skip(text, 1);
        why = read_condition(w, &text);
    }
    return why == NULL ? make_query(w) : why;
}

enum tg_rc tg_where_parse(tg_str text, struct tg_where **ret_where, const char **ret_why)
{
    struct tg_where *w = tg_calloc(1, sizeof(*w));
    const char *why = parse(w, text);

    if (why != NULL) {
        tg_where_destroy(w);
        *ret_why = why;
        return TG_EBADPARAM;
    }
    *ret_where = w;
    return TG_OK;
}

void tg_where_destroy(struct tg_where *w)
{
    if (w != NULL) {
        tg_arena_drop(&w->arena);
        free(w);
    }
}

tg_str tg_where_query(const struct tg_where *w)
{
    return w == NULL ? TG_STR("") : w->query;
}

/* ---- numbers, by value ---- */

/* digits, with or without a point among them, times ten to the power of `exponent`, the point
 * taken to stand before the first of them; without zeros at both ends. n is 0 for zero. */
struct number {
    bool is_negative;
    const char *p;
    size_t n;
    int64_t exponent;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* e+12, behind the digits. */
static bool read_exponent(tg_str s, int64_t *ret_exponent)
{
    uint64_t n = 0;
    bool is_negative = false;

    s = tg_str_skip(s, 1);
    if (s.n > 0 && (s.p[0] == '+' || s.p[0] == '-')) {
        is_negative = s.p[0] == '-';
        s = tg_str_skip(s, 1);
    }
    if (s.n > MAX_EXPONENT_DIGITS || tg_str_to_u64(s, &n) != TG_OK) {
        return false;
    }
    *ret_exponent = is_negative ? -(int64_t)n : (int64_t)n;
    return true;
}

static bool read_number(tg_str s, struct number *ret)
{
    struct number x = {0};
    size_t n_digits = 0;
    size_t n_before = 0; /* digits before the point */
    size_t end = 0;
    bool has_point = false;

    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+')) {
        x.is_negative = s.p[0] == '-';
        s = tg_str_skip(s, 1);
    }
    for (; end < s.n && (is_digit(s.p[end]) || (s.p[end] == '.' && !has_point)); end++) {
        has_point = has_point || s.p[end] == '.';
        n_digits += is_digit(s.p[end]) ? 1 : 0;
        n_before += is_digit(s.p[end]) && !has_point ? 1 : 0;
    }
    if (n_digits == 0 || (end < s.n && ((s.p[end] | 0x20) != 'e' ||
                                        !read_exponent(tg_str_skip(s, end), &x.exponent)))) {
        return false;
    }
    x.exponent += (int64_t)n_before;
    x.p = s.p;
    x.n = end;
    while (x.n > 0 && (x.p[0] == '0' || x.p[0] == '.')) {
        x.exponent -= x.p[0] == '0' ? 1 : 0;
        x.p++;
        x.n--;
    }
    /* Behind the point, or before it: zeros at the end add nothing to the digits. */
    while (x.n > 0 && (x.p[x.n - 1] == '0' || x.p[x.n - 1] == '.')) {
        x.n--;
    }
    *ret = x;
    return true;
}

static char next_digit(const struct number *x, size_t *at)
{
    *at += *at < x->n && x->p[*at] == '.' ? 1 : 0;
    return *at < x->n ? x->p[(*at)++] : '\0';
}

static bool is_same_number(tg_str a, tg_str b)
{
    struct number x;
    struct number y;
    size_t i = 0;
    size_t j = 0;
    char digit = '\0';

    if (!read_number(a, &x) || !read_number(b, &y)) {
        return false;
    }
    if (x.n == 0 || y.n == 0) {
        return x.n == y.n;
    }
    if (x.is_negative != y.is_negative || x.exponent != y.exponent) {
        return false;
    }
    do {
        digit = next_digit(&x, &i);
        if (digit != next_digit(&y, &j)) {
            return false;
        }
    } while (digit != '\0');
    return true;
}

/* ---- evaluating ---- */

/* As PostgreSQL reads a boolean. */
static bool is_same_bool(bool value, tg_str text)
{
    static const char *const words[2][6] = {{"false", "f", "no", "n", "off", "0"},
                                            {"true", "t", "yes", "y", "on", "1"}};

    for (size_t i = 0; i < TG_ARRAY_LEN(words[0]); i++) {
        if (tg_str_ieq(text, tg_str_of(words[value ? 1 : 0][i]))) {
            return true;
        }
    }
    return false;
}

/* `value` is JSON and not null. Objects and arrays equal no text. */
static bool equals(tg_str value, tg_str text)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf plain = {0};

    switch (value.p[0]) {
    case '"':
        tg_buf_init(&plain, value.n);
        return tg_json_unquote(value, &plain) == TG_OK && tg_str_eq(tg_buf_view(&plain), text);
    case 't':
    case 'f':
        return is_same_bool(value.p[0] == 't', text);
    case '{':
    case '[':
        return false;
    default:
        return is_same_number(value, text);
    }
}

static enum truth is(const struct condition *c, tg_str value)
{
    static const char first[] = {
        [IS_NULL] = 'n', [IS_TRUE] = 't', [IS_FALSE] = 'f', [IS_UNKNOWN] = 'n'};

    return (value.p[0] == first[c->is]) != c->is_not ? TRUE : FALSE;
}

static enum truth evaluate(const struct condition *c, tg_str record)
{
    tg_str value = TG_STR_NONE;
    bool is_equal = false;

    if (tg_json_member(record, c->column, &value) != TG_OK || value.n == 0) {
        return MISSING;
    }
    if (c->op == OP_IS) {
        return is(c, value);
    }
    if (value.p[0] == 'n') {
        return UNKNOWN;
    }
    for (size_t i = 0; i < c->n_values && !is_equal; i++) {
        is_equal = equals(value, c->values[i]);
    }
    return (is_equal != (c->op == OP_NEQ)) != c->is_not ? TRUE : FALSE;
}

bool tg_where_matches(const struct tg_where *w, tg_str record, bool *ret_known)
{
    bool is_missing = false;

    *ret_known = true;
    for (size_t i = 0; w != NULL && i < w->n; i++) {
        enum truth truth = evaluate(&w->items[i], record);

        if (truth == FALSE || truth == UNKNOWN) {
            return false; /* whatever the missing ones are */
        }
        is_missing = is_missing || truth == MISSING;
    }
    *ret_known = !is_missing;
    return !is_missing;
}
