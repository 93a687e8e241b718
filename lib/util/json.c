/* json.c - the door to jansson, and a slicer that walks JSON text without building it. */
#include "util/json.h"

#include <jansson.h>

enum { MAX_DEPTH = 64 };

/* A position in a text. Nothing is read at or behind `n`. */
struct scan {
    const char *p;
    size_t n;
    size_t at;
};

static void skip_space(struct scan *s)
{
    while (s->at < s->n && (s->p[s->at] == ' ' || s->p[s->at] == '\n' || s->p[s->at] == '\r' ||
                            s->p[s->at] == '\t')) {
        s->at++;
    }
}

static bool is_at(const struct scan *s, char c)
{
    return s->at < s->n && s->p[s->at] == c;
}

static bool take(struct scan *s, char c)
{
    if (!is_at(s, c)) {
        return false;
    }
    s->at++;
    return true;
}

/* The four hex digits behind \u; -1 if they are none. */
static int32_t hex4(const struct scan *s, size_t at)
{
    int32_t v = 0;

    if (s->n - at < 4) {
        return -1;
    }
    for (size_t i = 0; i < 4; i++) {
        int d = tg_hex_digit(s->p[at + i]);

        if (d < 0) {
            return -1;
        }
        v = v * 16 + d;
    }
    return v;
}

/* Over one string, the opening quote at `at`. */
static bool skip_string(struct scan *s)
{
    if (!take(s, '"')) {
        return false;
    }
    while (s->at < s->n) {
        unsigned char c = (unsigned char)s->p[s->at];

        if (c == '"') {
            s->at++;
            return true;
        }
        if (c < 0x20) {
            return false;
        }
        if (c != '\\') {
            s->at++;
            continue;
        }
        s->at++;
        if (s->at == s->n || memchr("\"\\/bfnrtu", s->p[s->at], 9) == NULL) {
            return false;
        }
        if (s->p[s->at] == 'u') {
            if (hex4(s, s->at + 1) < 0) {
                return false;
            }
            s->at += 4;
        }
        s->at++;
    }
    return false;
}

static bool skip_digits(struct scan *s)
{
    size_t from = s->at;

    while (s->at < s->n && s->p[s->at] >= '0' && s->p[s->at] <= '9') {
        s->at++;
    }
    return s->at > from;
}

static bool skip_number(struct scan *s)
{
    (void)take(s, '-');
    if (is_at(s, '0')) {
        s->at++;
    } else if (!skip_digits(s)) {
        return false;
    }
    if (take(s, '.') && !skip_digits(s)) {
        return false;
    }
    if (is_at(s, 'e') || is_at(s, 'E')) {
        s->at++;
        if (!take(s, '+')) {
            (void)take(s, '-');
        }
        return skip_digits(s);
    }
    return true;
}

static bool skip_word(struct scan *s, tg_str word)
{
    if (!tg_str_has_prefix(tg_str_make(s->p + s->at, s->n - s->at), word)) {
        return false;
    }
    s->at += word.n;
    return true;
}

static bool skip_scalar(struct scan *s)
{
    if (s->at == s->n) {
        return false;
    }
    switch (s->p[s->at]) {
    case '"':
        return skip_string(s);
    case 't':
        return skip_word(s, TG_STR("true"));
    case 'f':
        return skip_word(s, TG_STR("false"));
    case 'n':
        return skip_word(s, TG_STR("null"));
    default:
        return skip_number(s);
    }
}

/* The name and the colon of the next member. */
static bool skip_name(struct scan *s)
{
    skip_space(s);
    if (!skip_string(s)) {
        return false;
    }
    skip_space(s);
    return take(s, ':');
}

/* What closes the levels that are open, outermost first. */
struct nest {
    char close[MAX_DEPTH];
    size_t depth;
};

enum step { STEP_BAD, STEP_VALUE_BEGINS, STEP_VALUE_ENDED };

/* Over a scalar or an empty container, or into a container up to its first value. */
static enum step begin_value(struct scan *s, struct nest *nest)
{
    char close = is_at(s, '{') ? '}' : ']';

    if (!take(s, '{') && !take(s, '[')) {
        return skip_scalar(s) ? STEP_VALUE_ENDED : STEP_BAD;
    }
    skip_space(s);
    if (take(s, close)) {
        return STEP_VALUE_ENDED;
    }
    if (nest->depth == MAX_DEPTH) {
        return STEP_BAD;
    }
    nest->close[nest->depth++] = close;
    return close == '}' && !skip_name(s) ? STEP_BAD : STEP_VALUE_BEGINS;
}

/* A value has ended: closes levels until one goes on. */
static enum step end_value(struct scan *s, struct nest *nest)
{
    while (nest->depth > 0) {
        char close = nest->close[nest->depth - 1];

        skip_space(s);
        if (take(s, ',')) {
            return close == '}' && !skip_name(s) ? STEP_BAD : STEP_VALUE_BEGINS;
        }
        if (!take(s, close)) {
            return STEP_BAD;
        }
        nest->depth--;
    }
    return STEP_VALUE_ENDED;
}

/* Over one value, however deep; no recursion, so no peer chooses how much stack we use. */
static bool skip_value(struct scan *s)
{
    struct nest nest = {.depth = 0};
    enum step step = STEP_VALUE_BEGINS;

    while (step == STEP_VALUE_BEGINS) {
        skip_space(s);
        step = begin_value(s, &nest);
        if (step == STEP_VALUE_ENDED) {
            step = end_value(s, &nest);
        }
    }
    return step == STEP_VALUE_ENDED;
}

bool tg_json_is_valid(tg_str text)
{
    struct scan s = {text.p, text.n, 0};

    if (!tg_str_is_utf8(text) || !skip_value(&s)) {
        return false;
    }
    skip_space(&s);
    return s.at == s.n;
}

enum tg_rc tg_json_parse(tg_str text, size_t max_bytes, struct json_t **ret_json)
{
    struct json_t *json = NULL;

    if (text.n > max_bytes) {
        return TG_ELIMIT;
    }
    /* jansson's own depth limit is 2,048 and recursive; ours is checked before it runs. */
    if (!tg_json_is_valid(text)) {
        return TG_EBADJSON;
    }
    json = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    if (json == NULL) {
        return TG_EBADJSON;
    }
    *ret_json = json;
    return TG_OK;
}

enum tg_rc tg_json_next(tg_str container, size_t *at, tg_str *ret_name, tg_str *ret_value)
{
    struct scan s = {container.p, container.n, *at};
    tg_str name = TG_STR("");
    size_t from = 0;
    bool is_first = *at == 0;
    bool is_object = false;

    if (is_first) {
        skip_space(&s);
        if (!is_at(&s, '{') && !is_at(&s, '[')) {
            return TG_EBADJSON;
        }
        s.at++;
    }
    /* The kind is read from the first byte each time: the walk keeps no state but `at`. */
    from = 0;
    while (from < container.n && container.p[from] != '{' && container.p[from] != '[') {
        from++;
    }
    is_object = from < container.n && container.p[from] == '{';
    skip_space(&s);
    if (is_at(&s, is_object ? '}' : ']')) {
        return TG_EEOF;
    }
    if (!is_first && !take(&s, ',')) {
        return TG_EBADJSON;
    }
    skip_space(&s);
    if (is_object) {
        from = s.at + 1;
        if (!skip_string(&s)) {
            return TG_EBADJSON;
        }
        name = tg_str_make(container.p + from, s.at - 1 - from);
        skip_space(&s);
        if (!take(&s, ':')) {
            return TG_EBADJSON;
        }
        skip_space(&s);
    }
    from = s.at;
    if (!skip_value(&s)) {
        return TG_EBADJSON;
    }
    *ret_name = name;
    *ret_value = tg_str_make(container.p + from, s.at - from);
    *at = s.at;
    return TG_OK;
}

enum tg_rc tg_json_member(tg_str object, const char *name, tg_str *ret_value)
{
    tg_str wanted = tg_str_of(name);
    tg_str found = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    enum tg_rc rc = TG_OK;

    while ((rc = tg_json_next(object, &at, &found, &value)) == TG_OK) {
        if (tg_str_eq(found, wanted)) {
            *ret_value = value;
            return TG_OK;
        }
    }
    return rc == TG_EEOF ? TG_ENOTFOUND : rc;
}

static void put_utf8(struct tg_buf *out, uint32_t c)
{
    if (c < 0x80) {
        (void)tg_buf_char(out, (char)c);
    } else if (c < 0x800) {
        (void)tg_buf_char(out, (char)(0xC0U | (c >> 6U)));
        (void)tg_buf_char(out, (char)(0x80U | (c & 0x3FU)));
    } else if (c < 0x10000) {
        (void)tg_buf_char(out, (char)(0xE0U | (c >> 12U)));
        (void)tg_buf_char(out, (char)(0x80U | ((c >> 6U) & 0x3FU)));
        (void)tg_buf_char(out, (char)(0x80U | (c & 0x3FU)));
    } else {
        (void)tg_buf_char(out, (char)(0xF0U | (c >> 18U)));
        (void)tg_buf_char(out, (char)(0x80U | ((c >> 12U) & 0x3FU)));
        (void)tg_buf_char(out, (char)(0x80U | ((c >> 6U) & 0x3FU)));
        (void)tg_buf_char(out, (char)(0x80U | (c & 0x3FU)));
    }
}

/* A \u escape whose digits begin at s->at, with its second half if it has one. */
static uint32_t take_unicode(struct scan *s)
{
    uint32_t c = (uint32_t)hex4(s, s->at);

    s->at += 4;
    if (c >= 0xD800 && c < 0xDC00 && s->n - s->at >= 6 && s->p[s->at] == '\\' &&
        s->p[s->at + 1] == 'u') {
        int32_t low = hex4(s, s->at + 2);

        if (low >= 0xDC00 && low < 0xE000) {
            s->at += 6;
            return 0x10000 + ((c - 0xD800) << 10U) + ((uint32_t)low - 0xDC00);
        }
    }
    return c >= 0xD800 && c < 0xE000 ? 0xFFFD : c;
}

enum tg_rc tg_json_unquote(tg_str value, struct tg_buf *out)
{
    struct scan s = {value.p, value.n, 0};

    if (!skip_string(&s) || s.at != s.n) {
        return TG_EBADJSON;
    }
    s.n--; /* the closing quote */
    s.at = 1;
    while (s.at < s.n) {
        char c = s.p[s.at++];

        if (c != '\\') {
            (void)tg_buf_char(out, c);
            continue;
        }
        c = s.p[s.at++];
        switch (c) {
        case 'b':
            (void)tg_buf_char(out, '\b');
            break;
        case 'f':
            (void)tg_buf_char(out, '\f');
            break;
        case 'n':
            (void)tg_buf_char(out, '\n');
            break;
        case 'r':
            (void)tg_buf_char(out, '\r');
            break;
        case 't':
            (void)tg_buf_char(out, '\t');
            break;
        case 'u':
            put_utf8(out, take_unicode(&s));
            break;
        default:
            (void)tg_buf_char(out, c);
            break;
        }
    }
    return tg_buf_rc(out);
}

/* Bytes of the UTF-8 sequence at p; 0 if it is not well-formed. */
static size_t sequence(tg_str s)
{
    for (size_t n = 1; n <= 4 && n <= s.n; n++) {
        if (tg_str_is_utf8(tg_str_make(s.p, n))) {
            return n;
        }
    }
    return 0;
}

enum tg_rc tg_json_compact(struct tg_buf *out, tg_str value)
{
    struct scan s = {value.p, value.n, 0};

    while (s.at < s.n) {
        size_t from = 0;

        skip_space(&s);
        from = s.at;
        while (s.at < s.n && memchr(" \n\r\t", s.p[s.at], 4) == NULL) {
            if (!is_at(&s, '"')) {
                s.at++;
            } else if (!skip_string(&s)) {
                return TG_EBADJSON;
            }
        }
        (void)tg_buf_str(out, tg_str_make(s.p + from, s.at - from));
    }
    return tg_buf_rc(out);
}

enum tg_rc tg_json_quote(struct tg_buf *out, tg_str s)
{
    (void)tg_buf_char(out, '"');
    while (s.n > 0) {
        unsigned char c = (unsigned char)s.p[0];
        size_t n = 1;

        if (c == '"' || c == '\\') {
            (void)tg_buf_char(out, '\\');
            (void)tg_buf_char(out, (char)c);
        } else if (c < 0x20) {
            (void)tg_buf_printf(out, "\\u%04x", c);
        } else if (c < 0x80) {
            (void)tg_buf_char(out, (char)c);
        } else {
            n = sequence(s);
            (void)(n == 0 ? tg_buf_str(out, TG_STR("\xEF\xBF\xBD")) : tg_buf_append(out, s.p, n));
            n = n == 0 ? 1 : n;
        }
        s = tg_str_skip(s, n);
    }
    (void)tg_buf_char(out, '"');
    return tg_buf_rc(out);
}
