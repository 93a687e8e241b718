/* topic.c - the grammar of topic names. */
#include "realtime/topic.h"

#include <stdlib.h>

#include "realtime/query.h"

static bool is_operator(tg_str op)
{
    static const char *const known[] = {"eq",   "neq",   "lt", "lte",   "gt",     "gte",       "in",
                                        "like", "ilike", "is", "match", "imatch", "isdistinct"};

    for (size_t i = 0; i < TG_ARRAY_LEN(known); i++) {
        if (tg_str_eq(op, tg_str_of(known[i]))) {
            return true;
        }
    }
    return false;
}

/* Where the condition at the start of `s` ends: the next comma that is neither in
 * parentheses nor in quotes. A quote opens only right behind '.', '(' or ','. SIZE_MAX: something
 * is left open. */
static size_t condition_end(tg_str s)
{
    bool in_quotes = false;
    bool in_parens = false;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (in_quotes) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_quotes = false;
            }
        } else if (c == '"' && i > 0 && memchr(".(,", s.p[i - 1], 3) != NULL) {
            in_quotes = true;
        } else if (c == '(') {
            in_parens = true;
        } else if (c == ')') {
            in_parens = false;
        } else if (c == ',' && !in_parens) {
            return i;
        }
    }
    return in_quotes || in_parens ? SIZE_MAX : s.n;
}

/* in.(a,b,"c,d"): at most 100 values. */
static const char *check_in(tg_str value)
{
    size_t n = 1;
    bool in_quotes = false;

    if (value.n < 3 || value.p[0] != '(' || value.p[value.n - 1] != ')') {
        return "the values of `in` stand in parentheses: in.(a,b)";
    }
    for (size_t i = 1; i + 1 < value.n; i++) {
        char c = value.p[i];

        if (c == '\\' && in_quotes) {
            i++;
        } else if (c == '"') {
            in_quotes = !in_quotes;
        } else if (c == ',' && !in_quotes) {
            n++;
        }
    }
    return n > TG_TOPIC_MAX_IN ? "`in` takes at most 100 values" : NULL;
}

static const char *check_condition(tg_str condition)
{
    tg_str rest = condition;
    tg_str column = tg_str_cut(&rest, '=');
    tg_str op = TG_STR_NONE;

    if (!tg_query_is_identifier(column)) {
        return "a condition begins with a column's name: column=op.value";
    }
    if (rest.p == NULL) {
        return "a condition is written column=op.value";
    }
    op = tg_str_cut(&rest, '.');
    if (tg_str_eq(op, TG_STR("not"))) {
        op = tg_str_cut(&rest, '.');
    }
    if (!is_operator(op)) {
        return "the operator is none of eq neq lt lte gt gte in like ilike is match imatch "
               "isdistinct";
    }
    if (rest.p == NULL || rest.n == 0) {
        return "the condition has no value";
    }
    return tg_str_eq(op, TG_STR("in")) ? check_in(rest) : NULL;
}

static int compare_conditions(const void *a, const void *b)
{
    return tg_str_cmp(*(const tg_str *)a, *(const tg_str *)b);
}

/* Appends the canonical filter. */
static const char *put_filter(struct tg_buf *out, tg_str filter)
{
    tg_str conditions[TG_TOPIC_MAX_CONDITIONS];
    size_t n = 0;

    for (;;) {
        size_t end = condition_end(filter);
        const char *why = NULL;

        if (end == SIZE_MAX) {
            return "a quote or a parenthesis is not closed";
        }
        if (n == TG_TOPIC_MAX_CONDITIONS) {
            return "at most 16 conditions";
        }
        conditions[n] = tg_str_trim(tg_str_make(filter.p, end));
        why = check_condition(conditions[n]);
        if (why != NULL) {
            return why;
        }
        n++;
        if (end == filter.n) {
            break;
        }
        filter = tg_str_skip(filter, end + 1);
    }
    qsort(conditions, n, sizeof(conditions[0]), compare_conditions);
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && tg_str_eq(conditions[i], conditions[i - 1])) {
            continue;
        }
        if (i > 0) {
            (void)tg_buf_char(out, ',');
        }
        (void)tg_buf_str(out, conditions[i]);
    }
    return NULL;
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

static const char *parse_table(tg_str rest, struct tg_buf *out, struct tg_topic_name *t)
{
    tg_str relation = tg_str_cut(&rest, ':');
    tg_str schema = tg_str_cut(&relation, '.');
    const char *why = NULL;

    if (!tg_query_is_identifier(schema) || relation.p == NULL ||
        !tg_query_is_identifier(relation)) {
        return "schema and table are plain names, without wildcards: table:public.tasks";
    }
    (void)tg_buf_str(out, TG_STR("table:"));
    t->schema.n = schema.n;
    (void)tg_buf_str(out, schema);
    (void)tg_buf_char(out, '.');
    t->table.n = relation.n;
    (void)tg_buf_str(out, relation);
    if (rest.p != NULL) {
        size_t before = 0;

        (void)tg_buf_char(out, ':');
        before = out->n;
        if (tg_str_trim(rest).n == 0) {
            return "the filter is empty; leave out the colon before it";
        }
        why = put_filter(out, rest);
        t->filter.n = out->n - before;
    }
    return why;
}

static const char *parse(const struct tg_declared_list *declared, tg_str text, struct tg_buf *out,
                         struct tg_topic_name *t)
{
    tg_str rest = text;
    tg_str first = tg_str_cut(&rest, ':');

    if (text.n > TG_TOPIC_MAX_BYTES) {
        return "a topic has at most 512 bytes";
    }
    if (!tg_str_is_utf8(text) || has_control(text)) {
        return "a topic is UTF-8 text without control characters";
    }
    if (rest.p == NULL) {
        return "a topic is written table:<schema>.<table>[:<filter>], or <name>:<key>";
    }
    if (tg_str_eq(first, TG_STR("table"))) {
        return parse_table(rest, out, t);
    }
    t->declared = tg_declared_find(declared, first);
    if (t->declared == NULL) {
        return "no topic of this name is declared; tables are table:<schema>.<table>";
    }
    t->kind = t->declared->table == NULL ? TG_TOPIC_PUBLISHED : TG_TOPIC_DECLARED;
    t->key.n = rest.n;
    (void)tg_buf_str(out, text);
    return tg_declared_check_key(t->declared->key_type, rest);
}

/* The lengths are known, and how the parts follow each other: the slices follow from that. */
static void slice(struct tg_topic_name *t)
{
    t->name.p = t->text;
    if (t->kind == TG_TOPIC_STRICT) {
        t->schema.p = t->text + sizeof("table:") - 1;
        t->table.p = t->schema.p + t->schema.n + 1;
        t->filter.p = t->filter.n == 0 ? NULL : t->table.p + t->table.n + 1;
    } else {
        t->key.p = t->text + t->name.n - t->key.n;
    }
}

enum tg_rc tg_topic_parse(const struct tg_declared_list *declared, tg_str text,
                          struct tg_topic_name *ret_topic, const char **ret_why)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {0};
    struct tg_topic_name t = {0};
    const char *why = NULL;

    tg_buf_init(&out, (size_t)TG_TOPIC_MAX_BYTES * 2);
    why = parse(declared, text, &out, &t);
    if (why != NULL) {
        *ret_why = why;
        return TG_EBADTOPIC;
    }
    t.name.n = out.n;
    t.text = tg_buf_take(&out);
    slice(&t);
    *ret_topic = t;
    return TG_OK;
}

tg_str tg_topic_next_condition(tg_str *filter)
{
    size_t end = TG_MIN(condition_end(*filter), filter->n);
    tg_str condition = tg_str_make(filter->p, end);

    *filter = tg_str_skip(*filter, TG_MIN(end + 1, filter->n));
    return condition;
}

void tg_topic_copy(const struct tg_topic_name *t, struct tg_topic_name *ret_topic)
{
    struct tg_topic_name copy = *t;

    copy.text = tg_str_dup(t->name);
    slice(&copy);
    *ret_topic = copy;
}

void tg_topic_fini(struct tg_topic_name *t)
{
    free(t->text);
    *t = (struct tg_topic_name){0};
}

void tg_topic_key(struct tg_buf *out, tg_str class_id, const struct tg_topic_name *t)
{
    if (t->kind == TG_TOPIC_STRICT) {
        (void)tg_buf_str(out, class_id);
        (void)tg_buf_char(out, '|');
    }
    (void)tg_buf_str(out, t->name);
}

tg_str tg_topic_feed(const struct tg_topic_name *t, tg_str key)
{
    switch (t->kind) {
    case TG_TOPIC_STRICT:
        return key;
    case TG_TOPIC_DECLARED:
        return t->declared->name;
    case TG_TOPIC_PUBLISHED:
        break;
    }
    return TG_STR("");
}
