/* snapshot_query.c - conditions of a topic, from Realtime's grammar (reference/realtime-protocol.md
 * 8.3) to PostgREST's (reference/supabase-http.md 5.3), value by value. */
#include "handlers/snapshot_query.h"

enum { MAX_VALUE = TG_TOPIC_MAX_BYTES };

/* Bytes that mean themselves in a query (RFC 3986 2.3). */
static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void put_escaped(struct tg_buf *out, tg_str text)
{
    static const char digits[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (is_unreserved(text.p[i])) {
            (void)tg_buf_char(out, text.p[i]);
        } else {
            (void)tg_buf_char(out, '%');
            (void)tg_buf_char(out, digits[c >> 4U]);
            (void)tg_buf_char(out, digits[c & 15U]);
        }
    }
}

bool tg_snapshot_is_column(tg_str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool is_digit = (c >= '0' && c <= '9') || c == '$';

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '_' &&
            (unsigned char)c < 0x80 && (!is_digit || i == 0)) {
            return false;
        }
    }
    return name.n > 0 && name.n <= 63 && tg_str_is_utf8(name);
}

/* Names that PostgREST takes for something else than a column. */
static bool is_reserved(tg_str column)
{
    static const char *const names[] = {"select", "columns", "on_conflict", "order",
                                        "limit",  "offset",  "and",         "or"};

    for (size_t i = 0; i < TG_ARRAY_LEN(names); i++) {
        if (tg_str_eq(column, tg_str_of(names[i]))) {
            return true;
        }
    }
    return false;
}

/* ---- in.(a,b,"c,d"): PostgreSQL's array literal there, a quoted list here ---- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next element of the list, without its blanks and escapes; `*at` stands behind its comma. */
static bool next_element(tg_str list, size_t *at, struct tg_buf *out, bool *ret_is_null)
{
    bool in_quotes = false;
    bool was_quoted = false;
    size_t end = 0; /* of what is not trailing blanks */

    tg_buf_clear(out);
    while (*at < list.n && is_space(list.p[*at])) {
        ++*at;
    }
    for (; *at < list.n && (in_quotes || list.p[*at] != ','); ++*at) {
        char c = list.p[*at];

        if (c == '"') {
            in_quotes = !in_quotes;
            was_quoted = true;
            end = out->n;
            continue;
        }
        if (!in_quotes && (c == '{' || c == '}')) {
            return false;
        }
        if (c == '\\') {
            ++*at;
            c = *at < list.n ? list.p[*at] : '\0';
        } else if (!in_quotes && is_space(c)) {
            (void)tg_buf_char(out, c);
            continue;
        }
        (void)tg_buf_char(out, c);
        end = out->n;
    }
    out->n = end;
    *ret_is_null = !was_quoted && tg_str_ieq(tg_buf_view(out), TG_STR("null"));
    ++*at;
    return !in_quotes && (was_quoted || end > 0);
}

static void put_element(struct tg_buf *out, tg_str element)
{
    for (size_t i = 0; i < element.n; i++) {
        if (element.p[i] == '"' || element.p[i] == '\\') {
            put_escaped(out, TG_STR("\\"));
        }
        put_escaped(out, tg_str_make(element.p + i, 1));
    }
}

static const char *put_list(struct tg_buf *out, tg_str value, bool is_not)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf element = {.max = MAX_VALUE};
    tg_str list = tg_str_make(value.p + 1, value.n - 2);
    bool is_first = true;
    size_t at = 0;

    (void)tg_buf_char(out, '(');
    while (at <= list.n) {
        bool is_null = false;

        if (!next_element(list, &at, &element, &is_null)) {
            return "a snapshot cannot read the values of this `in`";
        }
        if (is_null && is_not) {
            return "a snapshot cannot tell what is not in a list with NULL";
        }
        if (is_null) {
            continue; /* nothing is equal to it */
        }
        (void)tg_buf_str(out, is_first ? TG_STR("%22") : TG_STR(",%22"));
        put_element(out, tg_buf_view(&element));
        (void)tg_buf_str(out, TG_STR("%22"));
        is_first = false;
    }
    (void)tg_buf_char(out, ')');
    return NULL;
}

/* ---- one condition ---- */

/* A value wholly in quotes stands without them; inside, a backslash takes the next byte as it is.
 */
static void unquote(tg_str value, struct tg_buf *out)
{
    size_t i = 1;

    if (value.n < 2 || value.p[0] != '"') {
        (void)tg_buf_str(out, value);
        return;
    }
    for (; i < value.n && value.p[i] != '"'; i++) {
        if (value.p[i] == '\\') {
            i++;
        }
        if (i < value.n) {
            (void)tg_buf_char(out, value.p[i]);
        }
    }
    if (i + 1 != value.n) { /* the quotes end earlier: they are part of it */
        tg_buf_clear(out);
        (void)tg_buf_str(out, value);
    }
}

static const char *put_value(struct tg_buf *out, tg_str op, tg_str raw)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf value = {.max = MAX_VALUE};

    unquote(raw, &value);
    if ((tg_str_eq(op, TG_STR("like")) || tg_str_eq(op, TG_STR("ilike"))) &&
        tg_str_find(tg_buf_view(&value), '*') < value.n) {
        return "a snapshot cannot look for * with like: PostgREST takes it for %";
    }
    put_escaped(out, tg_buf_view(&value));
    return NULL;
}

static const char *put_condition(struct tg_buf *out, tg_str condition)
{
    tg_str rest = condition;
    tg_str column = tg_str_cut(&rest, '=');
    tg_str op = tg_str_cut(&rest, '.');
    bool is_not = tg_str_eq(op, TG_STR("not"));

    if (is_reserved(column)) {
        return "a snapshot cannot filter by a column of this name";
    }
    put_escaped(out, column);
    (void)tg_buf_str(out, is_not ? TG_STR("=not.") : TG_STR("="));
    if (is_not) {
        op = tg_str_cut(&rest, '.');
    }
    (void)tg_buf_str(out, op);
    (void)tg_buf_char(out, '.');
    return tg_str_eq(op, TG_STR("in")) ? put_list(out, rest, is_not) : put_value(out, op, rest);
}

/* The columns that the topic shows of the rows with its key. */
static void put_declared(struct tg_buf *out, const struct tg_topic_name *t)
{
    const struct tg_declared *d = t->declared;

    (void)tg_buf_str(out, TG_STR("/rest/v1/"));
    put_escaped(out, d->table->name);
    for (size_t i = 0; i < d->n_columns; i++) {
        (void)tg_buf_str(out, i == 0 ? TG_STR("?select=") : TG_STR(","));
        put_escaped(out, d->columns[i]);
    }
    (void)tg_buf_char(out, '&');
    put_escaped(out, d->key);
    (void)tg_buf_str(out, TG_STR("=eq."));
    put_escaped(out, t->key);
    (void)tg_buf_char(out, '&');
    if (d->where != NULL) {
        (void)tg_buf_str(out, tg_where_query(d->where));
        (void)tg_buf_char(out, '&');
    }
}

tg_str tg_snapshot_schema(const struct tg_topic_name *t)
{
    return t->kind == TG_TOPIC_DECLARED ? t->declared->table->schema : t->schema;
}

bool tg_snapshot_has_column(const struct tg_topic_name *t, tg_str column)
{
    bool is_any = t->kind != TG_TOPIC_DECLARED;

    for (size_t i = 0; !is_any && i < t->declared->n_columns; i++) {
        is_any = tg_str_eq(t->declared->columns[i], column);
    }
    return is_any;
}

enum tg_rc tg_snapshot_target(const struct tg_topic_name *t, struct tg_buf *out,
                              const char **ret_why)
{
    tg_str rest = t->filter;

    if (t->kind == TG_TOPIC_DECLARED) {
        put_declared(out, t);
        return tg_buf_rc(out);
    }
    TG_ASSERT(t->kind == TG_TOPIC_STRICT);
    (void)tg_buf_str(out, TG_STR("/rest/v1/"));
    put_escaped(out, t->table);
    (void)tg_buf_str(out, TG_STR("?select=*&"));
    while (rest.n > 0) {
        const char *why = put_condition(out, tg_topic_next_condition(&rest));

        if (why != NULL) {
            *ret_why = why;
            return TG_EBADTOPIC;
        }
        (void)tg_buf_char(out, '&');
    }
    return tg_buf_rc(out);
}

enum tg_rc tg_snapshot_page(struct tg_buf *out, tg_str key, tg_str last, unsigned limit)
{
    if (last.p != NULL) {
        put_escaped(out, key);
        (void)tg_buf_str(out, TG_STR("=gt."));
        put_escaped(out, last);
        (void)tg_buf_char(out, '&');
    }
    (void)tg_buf_str(out, TG_STR("order="));
    put_escaped(out, key);
    (void)tg_buf_printf(out, ".asc&limit=%u", limit);
    return tg_buf_rc(out);
}
