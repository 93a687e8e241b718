/* filter.c - conditions, from Realtime's grammar (reference/realtime-protocol.md 8.3) to
 * PostgREST's (reference/supabase-http.md 5.3), value by value. */
#include "realtime/filter.h"

#include "realtime/query.h"
#include "realtime/topic.h"

enum { MAX_VALUE = TG_TOPIC_MAX_BYTES };

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
            tg_query_escape(out, TG_STR("\\"));
        }
        tg_query_escape(out, tg_str_make(element.p + i, 1));
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
            return "PostgREST cannot read the values of this `in`";
        }
        if (is_null && is_not) {
            return "PostgREST cannot tell what is not in a list with NULL";
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
        return "PostgREST cannot look for * with like: it takes that for %";
    }
    tg_query_escape(out, tg_buf_view(&value));
    return NULL;
}

static const char *put_condition(struct tg_buf *out, tg_str condition)
{
    tg_str rest = condition;
    tg_str column = tg_str_cut(&rest, '=');
    tg_str op = tg_str_cut(&rest, '.');
    bool is_not = tg_str_eq(op, TG_STR("not"));

    if (!tg_query_is_column(column)) {
        return "PostgREST cannot filter by a column of this name";
    }
    tg_query_escape(out, column);
    (void)tg_buf_str(out, is_not ? TG_STR("=not.") : TG_STR("="));
    if (is_not) {
        op = tg_str_cut(&rest, '.');
    }
    (void)tg_buf_str(out, op);
    (void)tg_buf_char(out, '.');
    return tg_str_eq(op, TG_STR("in")) ? put_list(out, rest, is_not) : put_value(out, op, rest);
}

enum tg_rc tg_filter_query(tg_str filter, struct tg_buf *out, const char **ret_why)
{
    tg_str rest = filter;

    while (rest.n > 0) {
        const char *why = put_condition(out, tg_topic_next_condition(&rest));

        if (why != NULL) {
            *ret_why = why;
            return TG_EBADTOPIC;
        }
        if (rest.n > 0) {
            (void)tg_buf_char(out, '&');
        }
    }
    return tg_buf_rc(out);
}
