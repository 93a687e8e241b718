/* template.c - the question of a topic: pieces of text, and places for values between them. */
#include "realtime/template.h"

#include <stdlib.h>

#include "realtime/query.h"
#include "util/arena.h"
#include "util/json.h"

enum { MAX_PLACES = 8, MAX_TEXT = TG_TEMPLATE_MAX_BYTES * 3 + 64 };

enum what { WHAT_KEY, WHAT_SUB };
enum how {
    HOW_PLAIN,    /* column=eq.{key} */
    HOW_QUOTED,   /* inside parentheses */
    HOW_ARGUMENT, /* of a function: name={key} */
};

struct place {
    tg_str before; /* text that comes first, ready to be sent */
    enum what what;
    enum how how;
};

struct tg_template {
    struct tg_arena arena;
    struct place places[MAX_PLACES];
    size_t n;
    tg_str rest; /* behind the last place */
    bool is_function;
};

/* ---- where a placeholder may stand ---- */

/* name, or of an embedded table name.name */
static bool is_column_path(tg_str s)
{
    bool is_whole = s.n > 0;

    while (is_whole && s.p != NULL) {
        is_whole = tg_query_is_column(tg_str_cut(&s, '.'));
    }
    return is_whole;
}

static tg_str skip_not(tg_str s)
{
    return tg_str_has_prefix(s, TG_STR("not.")) ? tg_str_skip(s, 4) : s;
}

/* Never a pattern: a key could be one that fits everything. */
static bool is_comparison(tg_str s)
{
    static const char *const ops[] = {"eq.", "neq.", "gt.", "gte.", "lt.", "lte."};

    s = skip_not(s);
    for (size_t i = 0; i < TG_ARRAY_LEN(ops); i++) {
        if (tg_str_eq(s, tg_str_of(ops[i]))) {
            return true;
        }
    }
    return false;
}

static bool is_in(tg_str s)
{
    return tg_str_eq(skip_not(s), TG_STR("in."));
}

static bool is_logic(tg_str s)
{
    s = skip_not(s);
    return s.p != NULL && (tg_str_eq(s, TG_STR("and")) || tg_str_eq(s, TG_STR("or")));
}

/* column.eq. as inside of and=(..) and or=(..): some split into a path and an operator works. */
static bool is_condition(tg_str s, bool (*is_operator)(tg_str))
{
    for (size_t i = 1; i < s.n; i++) {
        if (s.p[i] == '.' && is_column_path(tg_str_make(s.p, i)) &&
            is_operator(tg_str_skip(s, i + 1))) {
            return true;
        }
    }
    return false;
}

/* Where the innermost parenthesis opens that is open at the end of `s`; SIZE_MAX: none is. */
static size_t open_parenthesis(tg_str s)
{
    size_t n_closed = 0;

    for (size_t i = s.n; i-- > 0;) {
        if (s.p[i] == ')') {
            n_closed++;
        } else if (s.p[i] == '(' && n_closed-- == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* What of `s` stands behind its last '(' or ','. */
static tg_str last_element(tg_str s)
{
    size_t at = s.n;

    while (at > 0 && s.p[at - 1] != '(' && s.p[at - 1] != ',') {
        at--;
    }
    return tg_str_skip(s, at);
}

/* `param` ends behind `open`, the innermost open parenthesis, with what precedes the value. */
static bool is_inside(tg_str param, size_t open)
{
    tg_str owner = last_element(tg_str_make(param.p, open));
    tg_str element = last_element(param);
    size_t equals = tg_str_find(param, '=');
    bool is_list = is_condition(owner, is_in);
    bool is_tree = is_logic(owner);

    if (owner.p == param.p) { /* the outermost one: column=in.( or or=( */
        tg_str name = tg_str_cut(&owner, '=');

        is_list = owner.p != NULL && is_column_path(name) && is_in(owner);
        is_tree = owner.p != NULL && is_logic(name) && owner.n == 0;
    }
    return equals < open &&
           ((is_list && element.n == 0) || (is_tree && is_condition(element, is_comparison)));
}

/* `param` is the parameter up to the placeholder, `next` the byte behind that or NUL. */
static bool find_how(tg_str param, char next, bool is_function, enum how *ret_how)
{
    size_t open = open_parenthesis(param);
    tg_str value = param;
    tg_str name = tg_str_cut(&value, '=');

    if (value.p == NULL) {
        return false;
    }
    if (open != SIZE_MAX) {
        *ret_how = HOW_QUOTED;
        return is_inside(param, open) && (next == ',' || next == ')');
    }
    *ret_how = value.n == 0 ? HOW_ARGUMENT : HOW_PLAIN;
    if (next != '&' && next != '\0') {
        return false;
    }
    return value.n == 0 ? is_function && tg_query_is_column(name)
                        : is_column_path(name) && is_comparison(value);
}

/* ---- reading ---- */

/* Other bytes of the operator's text are percent-encoded. */
static bool is_sent_as_is(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~!$'()*+,;=:@/?&", c) != NULL);
}

/* %2C and the like would hide from find_how() what PostgREST sees. */
static const char *check_escape(tg_str rest)
{
    int high = rest.n >= 3 ? tg_hex_digit(rest.p[1]) : -1;
    int low = rest.n >= 3 ? tg_hex_digit(rest.p[2]) : -1;

    if (high < 0 || low < 0) {
        return "% begins an escape such as %20";
    }
    return memchr("\"(),\\", high * 16 + low, 5) == NULL
               ? NULL
               : "parentheses and commas are written as they are, and quotes are not needed";
}

static const char *add_text(struct tg_buf *out, tg_str rest)
{
    char c = rest.p[0];

    if (c == '%') {
        (void)tg_buf_char(out, c);
        return check_escape(rest);
    }
    if (c == '"' || c == '\\') {
        return "quotes are not needed: values that take the place of {key} and {sub} get theirs";
    }
    if (c == '{' || c == '}') {
        return "the placeholders are {key} and {sub}";
    }
    if (is_sent_as_is(c)) {
        (void)tg_buf_char(out, c);
    } else {
        tg_query_escape(out, tg_str_make(&c, 1));
    }
    return NULL;
}

/* `query` is all of it, `at` where the placeholder begins. */
static const char *add_place(struct tg_template *t, tg_str query, size_t *at, struct tg_buf *text)
{
    bool is_key = tg_str_has_prefix(tg_str_skip(query, *at), TG_STR("{key}"));
    size_t start = *at;
    struct place *place = &t->places[t->n];

    while (start > 0 && query.p[start - 1] != '&') {
        start--;
    }
    if (t->n == MAX_PLACES) {
        return "at most 8 placeholders";
    }
    *place = (struct place){.what = is_key ? WHAT_KEY : WHAT_SUB};
    if (!find_how(tg_str_make(query.p + start, *at - start),
                  *at + 5 < query.n ? query.p[*at + 5] : '\0', t->is_function, &place->how)) {
        return "a placeholder is a whole value behind eq. neq. gt. gte. lt. lte., an element of "
               "in.(..), or an argument of a function";
    }
    place->before = tg_arena_str(&t->arena, tg_buf_view(text));
    tg_buf_clear(text);
    t->n++;
    *at += sizeof("{key}") - 1;
    return NULL;
}

static const char *read_query(struct tg_template *t, tg_str query, struct tg_buf *text)
{
    const char *why = NULL;

    for (size_t at = 0; why == NULL && at < query.n;) {
        tg_str rest = tg_str_skip(query, at);

        if (tg_str_has_prefix(rest, TG_STR("{key}")) || tg_str_has_prefix(rest, TG_STR("{sub}"))) {
            why = add_place(t, query, &at, text);
        } else {
            why = add_text(text, rest);
            at++;
        }
    }
    return why;
}

/* One row says yes as well as thousands. */
static void add_limit(struct tg_template *t, tg_str query, struct tg_buf *text)
{
    bool is_empty = query.n == 0;

    while (query.n > 0) {
        if (tg_str_has_prefix(tg_str_cut(&query, '&'), TG_STR("limit="))) {
            return;
        }
    }
    if (!t->is_function) {
        (void)tg_buf_str(text, is_empty ? TG_STR("?limit=1") : TG_STR("&limit=1"));
    }
}

static const char *read_target(struct tg_template *t, tg_str query, struct tg_buf *text)
{
    tg_str path = tg_str_cut(&query, '?');
    const char *why = NULL;

    t->is_function = tg_str_has_prefix(path, TG_STR("rpc/"));
    if (!tg_query_is_identifier(tg_str_skip(path, t->is_function ? 4 : 0))) {
        return "it begins with a table or with rpc/ and a function: "
               "trip_members?trip_id=eq.{key}&user_id=eq.{sub}";
    }
    (void)tg_buf_str(text, t->is_function ? TG_STR("/rest/v1/rpc/") : TG_STR("/rest/v1/"));
    tg_query_escape(text, tg_str_skip(path, t->is_function ? 4 : 0));
    if (query.n > 0) {
        (void)tg_buf_char(text, '?');
        why = read_query(t, query, text);
    }
    add_limit(t, query, text);
    return why;
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

static const char *parse(struct tg_template *t, tg_str text)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = MAX_TEXT};
    const char *why = NULL;

    if (text.n > TG_TEMPLATE_MAX_BYTES) {
        return "it is too long: at most 2048 bytes";
    }
    if (!tg_str_is_utf8(text) || has_control(text)) {
        return "it is UTF-8 text without control characters";
    }
    why = read_target(t, text, &out);
    t->rest = tg_arena_str(&t->arena, tg_buf_view(&out));
    TG_ASSERT(why != NULL || tg_buf_rc(&out) == TG_OK);
    return why;
}

enum tg_rc tg_template_parse(tg_str text, struct tg_template **ret_template, const char **ret_why)
{
    struct tg_template *t = tg_calloc(1, sizeof(*t));
    const char *why = parse(t, text);

    if (why != NULL) {
        tg_template_destroy(t);
        *ret_why = why;
        return TG_EBADPARAM;
    }
    *ret_template = t;
    return TG_OK;
}

void tg_template_destroy(struct tg_template *t)
{
    if (t != NULL) {
        tg_arena_drop(&t->arena);
        free(t);
    }
}

bool tg_template_has_sub(const struct tg_template *t)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->places[i].what == WHAT_SUB) {
            return true;
        }
    }
    return false;
}

/* ---- asking ---- */

/* PostgREST takes an argument that looks like a condition (eq.5, in, not.is.null) for one on the
 * function's result, and calls the function without the argument. */
static bool is_like_condition(tg_str value)
{
    static const char *const ops[] = {
        "not",   "eq",     "neq", "gt",  "gte",        "lt",    "lte",   "like", "ilike",
        "match", "imatch", "in",  "is",  "isdistinct", "cs",    "cd",    "ov",   "sl",
        "sr",    "nxr",    "nxl", "adj", "fts",        "plfts", "phfts", "wfts"};
    size_t n = 0;

    while (n < value.n && value.p[n] != '.' && value.p[n] != '(') {
        n++;
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(ops); i++) {
        if (tg_str_ieq(tg_str_make(value.p, n), tg_str_of(ops[i]))) {
            return true;
        }
    }
    return false;
}

enum tg_rc tg_template_expand(const struct tg_template *t, tg_str key, tg_str sub,
                              struct tg_buf *out)
{
    size_t before = out->n;

    if (sub.n == 0 && tg_template_has_sub(t)) {
        return TG_EFORBIDDEN;
    }
    for (size_t i = 0; i < t->n; i++) {
        const struct place *place = &t->places[i];
        tg_str value = place->what == WHAT_KEY ? key : sub;

        if (place->how == HOW_ARGUMENT && is_like_condition(value)) {
            out->n = before;
            return TG_EFORBIDDEN;
        }
        (void)tg_buf_str(out, place->before);
        (place->how == HOW_QUOTED ? tg_query_quote : tg_query_escape)(out, value);
    }
    (void)tg_buf_str(out, t->rest);
    if (tg_buf_rc(out) != TG_OK) {
        out->n = before;
    }
    return tg_buf_rc(out);
}

static tg_str skip_blanks(tg_str s)
{
    size_t i = 0;

    while (i < s.n && memchr(" \t\r\n", s.p[i], 4) != NULL) {
        i++;
    }
    return tg_str_skip(s, i);
}

bool tg_template_is_yes(tg_str body)
{
    tg_str value = skip_blanks(body);

    if (!tg_json_is_valid(body)) {
        return false;
    }
    if (value.n > 0 && value.p[0] == '[') {
        tg_str inside = skip_blanks(tg_str_skip(value, 1));

        return inside.n > 0 && inside.p[0] != ']';
    }
    return tg_str_has_prefix(value, TG_STR("true"));
}
