/* head.c - one pass to find the end, one over the lines.
 *
 * Invariant: nothing of the head is reported before all of it has been checked. */
#include "http1/head.h"

enum { MAX_METHOD_BYTES = 7 };

static const tg_str methods[TG_METHOD_MAX] = {
    [TG_GET] = TG_STR_INIT("GET"),         [TG_HEAD] = TG_STR_INIT("HEAD"),
    [TG_POST] = TG_STR_INIT("POST"),       [TG_PUT] = TG_STR_INIT("PUT"),
    [TG_PATCH] = TG_STR_INIT("PATCH"),     [TG_DELETE] = TG_STR_INIT("DELETE"),
    [TG_OPTIONS] = TG_STR_INIT("OPTIONS"),
};

/* What the fields have said so far. */
struct seen {
    bool has_length;
    bool is_chunked;
    bool says_close;
    bool says_keep_alive;
    bool says_upgrade;
    bool has_upgrade;
};

/* ---- the end of the head ---- */

/* Every line feed must close a CRLF. The head ends with the first empty line behind its first
 * line; one empty line in front is skipped (RFC 9112 2.2). */
static enum tg_rc find_end(tg_str b, size_t *resume, size_t *ret_end)
{
    while (*resume < b.n) {
        const char *lf = memchr(b.p + *resume, '\n', b.n - *resume);
        size_t at = 0;

        if (lf == NULL) {
            *resume = b.n;
            return TG_EAGAIN;
        }
        at = (size_t)(lf - b.p);
        if (at == 0 || b.p[at - 1] != '\r') {
            return TG_EBADREQ;
        }
        *resume = at + 1;
        if (at >= 3 && b.p[at - 2] == '\n') {
            *ret_end = at + 1;
            return TG_OK;
        }
    }
    return TG_EAGAIN;
}

static size_t leading_crlf(tg_str b)
{
    return b.n >= 2 && b.p[0] == '\r' && b.p[1] == '\n' ? 2 : 0;
}

/* A head that is not whole: what is no request at all, or too long already, need not be
 * waited for. */
static enum tg_rc check_part(tg_str b, const struct tg_head_limits *limits)
{
    tg_str line = tg_str_skip(b, leading_crlf(b));
    size_t method_n = tg_str_find(line, ' ');
    tg_str target = TG_STR_NONE;

    if (line.n != 0 && line.p[0] != '\r' && (line.p[0] < 'A' || line.p[0] > 'Z')) {
        return TG_EBADREQ;
    }
    if (method_n > MAX_METHOD_BYTES) {
        return TG_EBADREQ;
    }
    if (method_n < line.n) {
        target = tg_str_skip(line, method_n + 1);
        target.n = tg_str_find(target, '\n');
        if (tg_str_find(target, ' ') > limits->target_bytes) {
            return TG_ETARGETSIZE;
        }
    }
    return b.n >= limits->head_bytes ? TG_EHEADSIZE : TG_EAGAIN;
}

/* ---- the request line (RFC 9112 3) ---- */

static enum tg_rc read_method(struct tg_head *h)
{
    for (int m = 0; m < TG_METHOD_MAX; m++) {
        if (tg_str_eq(h->method_text, methods[m])) {
            h->method = (enum tg_method)m;
            return TG_OK;
        }
    }
    return TG_EBADREQ;
}

static enum tg_rc read_version(struct tg_head *h, tg_str v)
{
    if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || v.p[5] < '0' || v.p[5] > '9' || v.p[6] != '.' ||
        v.p[7] < '0' || v.p[7] > '9') {
        return TG_EBADREQ;
    }
    if (v.p[5] != '1' || v.p[7] > '1') {
        return TG_EVERSION;
    }
    h->minor = (unsigned)(v.p[7] - '0');
    return TG_OK;
}

/* A fragment never belongs into a request; who cuts it off sees another resource. */
static enum tg_rc check_target(const struct tg_head *h)
{
    if (h->target.n == 0 || !tg_field_is_visible(h->target)) {
        return TG_EBADREQ;
    }
    if (tg_str_find(h->target, '#') != h->target.n) {
        return TG_EBADTARGET;
    }
    if (h->target.p[0] == '*' && (h->target.n != 1 || h->method != TG_OPTIONS)) {
        return TG_EBADTARGET;
    }
    return TG_OK;
}

static enum tg_rc read_line(struct tg_head *h, tg_str line, const struct tg_head_limits *limits)
{
    enum tg_rc rc = TG_OK;

    h->method_text = tg_str_cut(&line, ' ');
    if (line.p == NULL) {
        return TG_EBADREQ;
    }
    h->target = tg_str_cut(&line, ' ');
    if (line.p == NULL) {
        return TG_EBADREQ;
    }
    if (h->target.n > limits->target_bytes) {
        return TG_ETARGETSIZE;
    }
    rc = read_version(h, line);
    if (rc == TG_OK) {
        rc = read_method(h);
    }
    return rc == TG_OK ? check_target(h) : rc;
}

/* ---- fields ---- */

/* RFC 9112 5: name, colon without a blank before it, value without controls. */
static enum tg_rc split_field(tg_str line, struct tg_field *ret_f)
{
    size_t n = 0;

    while (n < line.n && tg_field_is_token_char(line.p[n])) {
        n++;
    }
    if (n == 0 || n == line.n || line.p[n] != ':') {
        return TG_EBADREQ; /* a folded line among them: it begins with a blank */
    }
    ret_f->name = tg_str_make(line.p, n);
    ret_f->value = tg_str_trim(tg_str_skip(line, n + 1));
    return tg_field_is_value(ret_f->value) ? TG_OK : TG_EBADREQ;
}

static bool is_host_char(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
           (ch != '\0' && strchr("-._~%!$&'()*+,;=", ch) != NULL);
}

static bool is_literal_char(char ch)
{
    return (ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f') || (ch >= 'A' && ch <= 'F') ||
           ch == ':' || ch == '.';
}

/* uri-host [ ":" port ] (RFC 9110 7.2): no user, no path, not empty. */
static bool is_host(tg_str v)
{
    size_t n = 0;

    if (v.n != 0 && v.p[0] == '[') {
        for (n = 1; n < v.n && is_literal_char(v.p[n]); n++) {
        }
        if (n < 3 || n == v.n || v.p[n] != ']') {
            return false;
        }
        n++;
    } else {
        for (; n < v.n && is_host_char(v.p[n]); n++) {
        }
    }
    if (n == 0 || n == v.n) {
        return n != 0;
    }
    if (v.p[n] != ':') {
        return false;
    }
    for (n++; n < v.n; n++) {
        if (v.p[n] < '0' || v.p[n] > '9') {
            return false;
        }
    }
    return true;
}

static enum tg_rc see_host(struct tg_head *h, tg_str value)
{
    if (h->host.p != NULL) {
        return TG_EAMBIGUOUS;
    }
    h->host = value;
    return is_host(value) ? TG_OK : TG_EBADREQ;
}

static enum tg_rc see_length(struct tg_head *h, struct seen *seen, tg_str value)
{
    enum tg_rc rc = TG_OK;

    if (seen->has_length) {
        return TG_EAMBIGUOUS;
    }
    seen->has_length = true;
    rc = tg_str_to_u64(value, &h->content_length);
    if (rc == TG_ELIMIT) {
        return TG_EBODYSIZE;
    }
    return rc == TG_OK ? TG_OK : TG_EBADREQ;
}

static enum tg_rc see_coding(struct seen *seen, tg_str value)
{
    if (seen->is_chunked || !tg_str_ieq(value, TG_STR("chunked"))) {
        return TG_EAMBIGUOUS;
    }
    seen->is_chunked = true;
    return TG_OK;
}

static enum tg_rc see_field(struct tg_head *h, struct seen *seen, const struct tg_field *f)
{
    switch (f->name.n) {
    case 4:
        return tg_str_ieq(f->name, TG_STR("host")) ? see_host(h, f->value) : TG_OK;
    case 6:
        h->expect_continue |=
            tg_str_ieq(f->name, TG_STR("expect")) && tg_str_ieq(f->value, TG_STR("100-continue"));
        return TG_OK;
    case 7:
        seen->has_upgrade |= tg_str_ieq(f->name, TG_STR("upgrade"));
        return TG_OK;
    case 10:
        if (tg_str_ieq(f->name, TG_STR("connection"))) {
            seen->says_close |= tg_field_list_has(f->value, TG_STR("close"));
            seen->says_keep_alive |= tg_field_list_has(f->value, TG_STR("keep-alive"));
            seen->says_upgrade |= tg_field_list_has(f->value, TG_STR("upgrade"));
        }
        return TG_OK;
    case 14:
        return tg_str_ieq(f->name, TG_STR("content-length")) ? see_length(h, seen, f->value)
                                                             : TG_OK;
    case 17:
        return tg_str_ieq(f->name, TG_STR("transfer-encoding")) ? see_coding(seen, f->value)
                                                                : TG_OK;
    default:
        return TG_OK;
    }
}

static enum tg_rc read_fields(struct tg_head *h, struct seen *seen, tg_str lines,
                              const struct tg_head_limits *limits, struct tg_field *fields)
{
    size_t n = 0;

    while (lines.n != 0) {
        size_t lf = tg_str_find(lines, '\n');
        enum tg_rc rc = TG_OK;

        if (n == limits->fields) {
            return TG_EHEADSIZE;
        }
        rc = split_field(tg_str_make(lines.p, lf - 1), &fields[n]);
        if (rc == TG_OK) {
            rc = see_field(h, seen, &fields[n]);
        }
        if (rc != TG_OK) {
            return rc;
        }
        n++;
        lines = tg_str_skip(lines, lf + 1);
    }
    h->fields = (struct tg_fields){.v = fields, .n = n};
    return TG_OK;
}

/* RFC 9112 6.3, without its leniency. */
static enum tg_rc decide_framing(struct tg_head *h, const struct seen *seen,
                                 const struct tg_head_limits *limits)
{
    if (h->minor == 1 && h->host.p == NULL) {
        return TG_EBADREQ;
    }
    if (seen->is_chunked && (seen->has_length || h->minor == 0)) {
        return TG_EAMBIGUOUS;
    }
    if (seen->has_length && h->content_length > limits->body_bytes) {
        return TG_EBODYSIZE;
    }
    h->body = seen->is_chunked ? TG_BODY_CHUNKED : TG_BODY_NONE;
    if (seen->has_length) {
        h->body = TG_BODY_LENGTH;
    }
    h->keep_alive = !seen->says_close && (h->minor == 1 || seen->says_keep_alive);
    /* What stands behind an upgrade that was not granted is HTTP for some and not for others
     * (llhttp): the answer ends the connection. */
    h->keep_alive &= !(seen->says_upgrade && seen->has_upgrade);
    h->expect_continue &= h->minor == 1 && (seen->is_chunked || h->content_length != 0);
    return TG_OK;
}

enum tg_rc tg_head_scan(tg_str bytes, size_t *resume, const struct tg_head_limits *limits,
                        struct tg_field *fields, struct tg_head *ret_head)
{
    struct tg_head h = {.host = TG_STR_NONE};
    struct seen seen = {0};
    tg_str rest = TG_STR_NONE;
    size_t lf = 0;
    enum tg_rc rc = find_end(bytes, resume, &h.bytes);

    if (rc == TG_EAGAIN) {
        return check_part(bytes, limits);
    }
    if (rc != TG_OK) {
        return rc;
    }
    /* Without the empty line at the end; each line keeps its CRLF. */
    rest = tg_str_make(bytes.p, h.bytes - 2);
    rest = tg_str_skip(rest, leading_crlf(rest));
    lf = tg_str_find(rest, '\n');
    if (lf == rest.n) {
        return TG_EBADREQ;
    }
    rc = read_line(&h, tg_str_make(rest.p, lf - 1), limits);
    if (rc == TG_OK && h.bytes > limits->head_bytes) {
        rc = TG_EHEADSIZE;
    }
    if (rc == TG_OK) {
        rc = read_fields(&h, &seen, tg_str_skip(rest, lf + 1), limits, fields);
    }
    if (rc == TG_OK) {
        rc = decide_framing(&h, &seen, limits);
    }
    if (rc == TG_OK) {
        *ret_head = h;
    }
    return rc;
}
