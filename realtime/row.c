/* row.c - slices of rows, and a hash of what they say.
 *
 * The hash is made bottom up in one pass, without recursion: what a container holds is gathered
 * on one stack, and when it closes its part of the stack becomes one value. Members of objects
 * are put in an order of their own; of equal names the last one counts, as in jsonb. */
#include "realtime/row.h"

#include <stdlib.h>

#include "realtime/table.h"
#include "util/json.h"
#include "util/map.h"

/* The slicer's 64 levels, and an empty container in the innermost. */
enum { MAX_DEPTH = 65, MAX_PLAIN_DIGITS = 400, NUMBER_ROOM = 2 * MAX_PLAIN_DIGITS + 64 };

/* ---- columns ---- */

/* `name` is a slice of a record, between its quotes. */
static bool is_name(tg_str name, tg_str column)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf plain = {.max = name.n};

    if (tg_str_eq(name, column)) {
        return true;
    }
    return tg_str_find(name, '\\') < name.n &&
           tg_json_unquote(tg_str_make(name.p - 1, name.n + 2), &plain) == TG_OK &&
           tg_str_eq(tg_buf_view(&plain), column);
}

enum tg_rc tg_row_value(tg_str record, tg_str column, tg_str *ret_value)
{
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    enum tg_rc rc = TG_OK;

    while ((rc = tg_json_next(record, &at, &name, &value)) == TG_OK) {
        if (is_name(name, column)) {
            *ret_value = value;
            return TG_OK;
        }
    }
    return rc == TG_EEOF ? TG_ENOTFOUND : rc;
}

static bool is_null(tg_str value)
{
    return tg_str_eq(value, TG_STR("null"));
}

static bool is_string(tg_str value)
{
    return value.n > 0 && value.p[0] == '"';
}

enum tg_rc tg_row_text(tg_str record, tg_str column, struct tg_buf *out)
{
    tg_str value = TG_STR_NONE;
    enum tg_rc rc = tg_row_value(record, column, &value);

    if (rc != TG_OK) {
        return rc;
    }
    if (is_null(value)) {
        return TG_EEOF;
    }
    return is_string(value) ? tg_json_unquote(value, out) : tg_json_compact(out, value);
}

enum tg_rc tg_row_cut(tg_str record, const tg_str *columns, size_t n, struct tg_buf *out)
{
    bool is_first = true;
    bool is_whole = true;

    (void)tg_buf_char(out, '{');
    for (size_t i = 0; i < n; i++) {
        tg_str value = TG_STR_NONE;
        enum tg_rc rc = tg_row_value(record, columns[i], &value);

        if (rc == TG_ENOTFOUND) {
            is_whole = false;
            continue;
        }
        if (rc != TG_OK) {
            return rc;
        }
        if (!is_first) {
            (void)tg_buf_char(out, ',');
        }
        is_first = false;
        (void)tg_json_quote(out, columns[i]);
        (void)tg_buf_char(out, ':');
        rc = tg_json_compact(out, value);
        if (rc != TG_OK) {
            return rc;
        }
    }
    (void)tg_buf_char(out, '}');
    if (tg_buf_rc(out) != TG_OK) {
        return tg_buf_rc(out);
    }
    return is_whole ? TG_OK : TG_ENOTFOUND;
}

/* ---- numbers ---- */

/* [-] digits * 10^exponent; digits without zeros at either end, none at all for zero. */
struct number {
    bool is_negative;
    int64_t exponent;
    struct tg_buf digits;
};

static int64_t read_exponent(tg_str text)
{
    static const int64_t most = 1000000000;
    bool is_negative = text.n > 0 && text.p[0] == '-';
    int64_t n = 0;

    for (size_t i = 0; i < text.n && n < most; i++) {
        if (text.p[i] >= '0' && text.p[i] <= '9') {
            n = n * 10 + (text.p[i] - '0');
        }
    }
    return is_negative ? -n : n;
}

/* `text` is a JSON number. */
static void read_number(tg_str text, struct number *n)
{
    bool is_fraction = false;

    *n = (struct number){.digits.max = text.n};
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (c == '-') {
            n->is_negative = true;
        } else if (c == '.') {
            is_fraction = true;
        } else if (c == 'e' || c == 'E') {
            n->exponent += read_exponent(tg_str_skip(text, i + 1));
            break;
        } else {
            n->exponent -= is_fraction;
            if (c != '0' || n->digits.n > 0) {
                (void)tg_buf_char(&n->digits, c);
            }
        }
    }
    while (n->digits.n > 0 && n->digits.p[n->digits.n - 1] == '0') {
        n->digits.n--;
        n->exponent++;
    }
    if (n->digits.n == 0) {
        n->exponent = 0;
        n->is_negative = false;
    }
}

static void put_zeros(struct tg_buf *out, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        (void)tg_buf_char(out, '0');
    }
}

/* The one spelling of a number: as PostgreSQL's numeric would write it, without idle zeros. */
static void put_number(struct tg_buf *out, tg_str text)
{
    struct number n = {0};
    tg_str digits = TG_STR_NONE;
    int64_t before = 0; /* digits before the point */

    read_number(text, &n);
    digits = tg_buf_view(&n.digits);
    before = (int64_t)digits.n + n.exponent;
    if (n.is_negative) {
        (void)tg_buf_char(out, '-');
    }
    if (digits.n == 0) {
        (void)tg_buf_char(out, '0');
    } else if (before > (int64_t)digits.n + MAX_PLAIN_DIGITS || before < -MAX_PLAIN_DIGITS) {
        (void)tg_buf_str(out, digits);
        (void)tg_buf_printf(out, "e%lld", (long long)n.exponent);
    } else if (n.exponent >= 0) {
        (void)tg_buf_str(out, digits);
        put_zeros(out, n.exponent);
    } else if (before > 0) {
        (void)tg_buf_append(out, digits.p, (size_t)before);
        (void)tg_buf_char(out, '.');
        (void)tg_buf_str(out, tg_str_skip(digits, (size_t)before));
    } else {
        (void)tg_buf_str(out, TG_STR("0."));
        put_zeros(out, -before);
        (void)tg_buf_str(out, digits);
    }
    tg_buf_fini(&n.digits);
}

/* ---- the primary key ---- */

static bool is_number(tg_str value)
{
    return value.n > 0 && (value.p[0] == '-' || (value.p[0] >= '0' && value.p[0] <= '9'));
}

static enum tg_rc put_key_value(struct tg_buf *out, tg_str value)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf plain = {.max = value.n};
    enum tg_rc rc = TG_OK;

    if (is_number(value)) {
        put_number(out, value);
        return tg_buf_rc(out);
    }
    if (!is_string(value)) {
        return tg_json_compact(out, value);
    }
    rc = tg_json_unquote(value, &plain);
    return rc == TG_OK ? tg_json_quote(out, tg_buf_view(&plain)) : rc;
}

enum tg_rc tg_row_pk(const struct tg_table *table, tg_str record, struct tg_buf *out)
{
    static const tg_str id = TG_STR_INIT("id");
    const tg_str *pk = table == NULL || table->n_pk == 0 ? &id : table->pk;
    size_t n = table == NULL || table->n_pk == 0 ? 1 : table->n_pk;

    (void)tg_buf_char(out, '[');
    for (size_t i = 0; i < n; i++) {
        tg_str value = TG_STR_NONE;
        enum tg_rc rc = tg_row_value(record, pk[i], &value);

        if (rc == TG_OK && is_null(value)) {
            rc = TG_ENOTFOUND;
        }
        if (rc == TG_OK) {
            if (i > 0) {
                (void)tg_buf_char(out, ',');
            }
            rc = put_key_value(out, value);
        }
        if (rc != TG_OK) {
            return rc;
        }
    }
    return tg_buf_char(out, ']') == TG_OK ? tg_buf_rc(out) : TG_ELIMIT;
}

/* ---- the hash ---- */

/* A value that ended, in the container that is open. */
struct part {
    uint64_t name; /* 0 in an array */
    uint64_t value;
    size_t order;
};

struct level {
    size_t from; /* its first part */
    bool is_object;
    bool has_name;
    uint64_t name;
};

struct hasher {
    tg_str text;
    size_t at;
    struct part *parts;
    size_t n;
    size_t cap;
    struct level levels[MAX_DEPTH];
    size_t depth;
    uint64_t result;
    bool is_done;
    bool is_bad;
    struct tg_buf scratch;
};

static uint64_t hash_tagged(struct hasher *h, char tag, tg_str text)
{
    tg_buf_clear(&h->scratch);
    (void)tg_buf_char(&h->scratch, tag);
    (void)tg_buf_str(&h->scratch, text);
    return tg_hash_stable(tg_buf_view(&h->scratch));
}

static uint64_t mix(uint64_t h, uint64_t with)
{
    const uint64_t both[2] = {h, with};

    return tg_hash_stable(tg_str_make((const char *)(const void *)both, sizeof(both)));
}

static void end_value(struct hasher *h, uint64_t value)
{
    struct level *l = h->depth == 0 ? NULL : &h->levels[h->depth - 1];

    if (l == NULL) {
        h->is_done = true;
        h->result = value;
        return;
    }
    if (l->is_object && !l->has_name) {
        l->name = value;
        l->has_name = true;
        return;
    }
    if (h->n == h->cap) {
        h->cap = h->cap == 0 ? 32 : 2 * h->cap;
        h->parts = tg_realloc(h->parts, h->cap, sizeof(*h->parts));
    }
    h->parts[h->n] = (struct part){l->is_object ? l->name : 0, value, h->n};
    h->n++;
    l->has_name = false;
}

static int by_name(const void *a, const void *b)
{
    const struct part *x = a;
    const struct part *y = b;

    if (x->name != y->name) {
        return x->name < y->name ? -1 : 1;
    }
    return x->order < y->order ? -1 : x->order > y->order;
}

static void open_container(struct hasher *h, bool is_object)
{
    if (h->depth == MAX_DEPTH) {
        h->is_bad = true;
        return;
    }
    h->levels[h->depth++] = (struct level){.from = h->n, .is_object = is_object};
}

static void close_container(struct hasher *h)
{
    struct level l = {0};
    struct part *parts = NULL;
    size_t n = 0;
    uint64_t value = 0;

    if (h->depth == 0) {
        h->is_bad = true;
        return;
    }
    l = h->levels[--h->depth];
    n = h->n - l.from;
    value = l.is_object ? 1 : 2;
    if (n > 0) {
        parts = h->parts + l.from;
        if (l.is_object) {
            qsort(parts, n, sizeof(*parts), by_name);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (!l.is_object) {
            value = mix(value, parts[i].value);
        } else if (i + 1 == n || parts[i + 1].name != parts[i].name) {
            value = mix(mix(value, parts[i].name), parts[i].value);
        }
    }
    h->n = l.from;
    end_value(h, value);
}

/* bytea is "\\x6162" from one side and "6162" from the other. */
static tg_str without_hex_sign(tg_str text)
{
    if (text.n < 2 || text.n % 2 != 0 || text.p[0] != '\\' || text.p[1] != 'x') {
        return text;
    }
    for (size_t i = 2; i < text.n; i++) {
        if (tg_hex_digit(text.p[i]) < 0) {
            return text;
        }
    }
    return tg_str_skip(text, 2);
}

static void hash_string(struct hasher *h)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf plain = {.max = h->text.n};
    size_t from = h->at++;
    bool is_plain = true;
    tg_str text = TG_STR_NONE;

    while (h->at < h->text.n && h->text.p[h->at] != '"') {
        is_plain = is_plain && h->text.p[h->at] != '\\';
        h->at += h->text.p[h->at] == '\\' ? 2 : 1;
    }
    if (h->at >= h->text.n) {
        h->is_bad = true;
        return;
    }
    h->at++;
    text = tg_str_make(h->text.p + from, h->at - from);
    if (is_plain) {
        text = tg_str_make(text.p + 1, text.n - 2);
    } else if (tg_json_unquote(text, &plain) == TG_OK) {
        text = without_hex_sign(tg_buf_view(&plain));
    } else {
        h->is_bad = true;
        return;
    }
    end_value(h, hash_tagged(h, '"', text));
}

static void hash_scalar(struct hasher *h)
{
    size_t from = h->at;
    tg_str text = TG_STR_NONE;

    while (h->at < h->text.n && memchr(",:[]{}\" \t\r\n", h->text.p[h->at], 11) == NULL) {
        h->at++;
    }
    text = tg_str_make(h->text.p + from, h->at - from);
    if (is_number(text)) {
        TG_CLEANUP(tg_buf_fini) struct tg_buf number = {.max = text.n + NUMBER_ROOM};

        put_number(&number, text);
        end_value(h, hash_tagged(h, '1', tg_buf_view(&number)));
    } else {
        end_value(h, hash_tagged(h, 'w', text));
    }
}

static void hash_token(struct hasher *h)
{
    switch (h->text.p[h->at]) {
    case ' ':
    case '\t':
    case '\r':
    case '\n':
    case ',':
    case ':':
        h->at++;
        break;
    case '{':
    case '[':
        open_container(h, h->text.p[h->at] == '{');
        h->at++;
        break;
    case '}':
    case ']':
        close_container(h);
        h->at++;
        break;
    case '"':
        hash_string(h);
        break;
    default:
        hash_scalar(h);
        break;
    }
}

uint64_t tg_row_hash(tg_str record)
{
    struct hasher h = {.text = record};

    tg_buf_init(&h.scratch, record.n + NUMBER_ROOM);
    while (h.at < record.n && !h.is_done && !h.is_bad) {
        hash_token(&h);
    }
    if (!h.is_done) {
        h.result = tg_hash_stable(record); /* not JSON: nothing but itself is equal to it */
    }
    tg_buf_fini(&h.scratch);
    free(h.parts);
    return h.result;
}
