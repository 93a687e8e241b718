/* answer.c - the answer's head, framing and bytes.
 *
 * Little pieces are held back until the turn ends or the answer does, so that head, body and
 * last chunk leave in one system call. */
#include <stdio.h>

#include "http1/conn_int.h"

enum {
    HOLD_BYTES = 8192,   /* less than this waits for company */
    HEAD_OVERHEAD = 256, /* status line, framing fields, Date */
    FIELD_OVERHEAD = 4,  /* ": " and CRLF */
};

struct reason {
    unsigned status;
    tg_str text;
};

/* RFC 9110 15, RFC 6585. */
static const struct reason reasons[] = {
    {100, TG_STR_INIT("Continue")},
    {101, TG_STR_INIT("Switching Protocols")},
    {103, TG_STR_INIT("Early Hints")},
    {200, TG_STR_INIT("OK")},
    {201, TG_STR_INIT("Created")},
    {202, TG_STR_INIT("Accepted")},
    {203, TG_STR_INIT("Non-Authoritative Information")},
    {204, TG_STR_INIT("No Content")},
    {205, TG_STR_INIT("Reset Content")},
    {206, TG_STR_INIT("Partial Content")},
    {300, TG_STR_INIT("Multiple Choices")},
    {301, TG_STR_INIT("Moved Permanently")},
    {302, TG_STR_INIT("Found")},
    {303, TG_STR_INIT("See Other")},
    {304, TG_STR_INIT("Not Modified")},
    {307, TG_STR_INIT("Temporary Redirect")},
    {308, TG_STR_INIT("Permanent Redirect")},
    {400, TG_STR_INIT("Bad Request")},
    {401, TG_STR_INIT("Unauthorized")},
    {402, TG_STR_INIT("Payment Required")},
    {403, TG_STR_INIT("Forbidden")},
    {404, TG_STR_INIT("Not Found")},
    {405, TG_STR_INIT("Method Not Allowed")},
    {406, TG_STR_INIT("Not Acceptable")},
    {408, TG_STR_INIT("Request Timeout")},
    {409, TG_STR_INIT("Conflict")},
    {410, TG_STR_INIT("Gone")},
    {411, TG_STR_INIT("Length Required")},
    {412, TG_STR_INIT("Precondition Failed")},
    {413, TG_STR_INIT("Content Too Large")},
    {414, TG_STR_INIT("URI Too Long")},
    {415, TG_STR_INIT("Unsupported Media Type")},
    {416, TG_STR_INIT("Range Not Satisfiable")},
    {417, TG_STR_INIT("Expectation Failed")},
    {421, TG_STR_INIT("Misdirected Request")},
    {422, TG_STR_INIT("Unprocessable Content")},
    {425, TG_STR_INIT("Too Early")},
    {426, TG_STR_INIT("Upgrade Required")},
    {428, TG_STR_INIT("Precondition Required")},
    {429, TG_STR_INIT("Too Many Requests")},
    {431, TG_STR_INIT("Request Header Fields Too Large")},
    {500, TG_STR_INIT("Internal Server Error")},
    {501, TG_STR_INIT("Not Implemented")},
    {502, TG_STR_INIT("Bad Gateway")},
    {503, TG_STR_INIT("Service Unavailable")},
    {504, TG_STR_INIT("Gateway Timeout")},
    {505, TG_STR_INIT("HTTP Version Not Supported")},
};

static tg_str reason_of(unsigned status)
{
    size_t lo = 0;
    size_t hi = TG_ARRAY_LEN(reasons);

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (reasons[mid].status == status) {
            return reasons[mid].text;
        }
        if (reasons[mid].status < status) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return TG_STR("Unknown");
}

/* ---- the head ---- */

static char *put(char *w, tg_str s)
{
    if (s.n != 0) {
        memcpy(w, s.p, s.n);
    }
    return w + s.n;
}

static char *put_u64(char *w, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    return put(w, tg_str_make(digits + at, sizeof(digits) - at));
}

/* The connection's own affair, and what would let a value break out of its line. */
static bool is_left_out(const struct tg_field *f)
{
    switch (f->name.n) {
    case 10:
        if (tg_str_ieq(f->name, TG_STR("connection")) ||
            tg_str_ieq(f->name, TG_STR("keep-alive"))) {
            return true;
        }
        break;
    case 14:
        if (tg_str_ieq(f->name, TG_STR("content-length"))) {
            return true;
        }
        break;
    case 17:
        if (tg_str_ieq(f->name, TG_STR("transfer-encoding"))) {
            return true;
        }
        break;
    default:
        break;
    }
    return !tg_field_is_token(f->name) || !tg_field_is_value(f->value);
}

static size_t head_bound(tg_str reason, struct tg_fields fields)
{
    size_t n = HEAD_OVERHEAD + reason.n;

    for (size_t i = 0; i < fields.n; i++) {
        n += fields.v[i].name.n + fields.v[i].value.n + FIELD_OVERHEAD;
    }
    return n;
}

static char *put_status(char *w, unsigned status, tg_str reason)
{
    w = put(w, TG_STR("HTTP/1.1 "));
    w = put_u64(w, status);
    w = put(w, TG_STR(" "));
    w = put(w, tg_field_is_value(reason) ? reason : TG_STR_NONE);
    return put(w, TG_STR("\r\n"));
}

static char *put_fields(char *w, struct tg_fields fields, bool *ret_has_date)
{
    for (size_t i = 0; i < fields.n; i++) {
        const struct tg_field *f = &fields.v[i];

        if (is_left_out(f)) {
            continue;
        }
        *ret_has_date |= tg_str_ieq(f->name, TG_STR("date"));
        w = put(w, f->name);
        w = put(w, TG_STR(": "));
        w = put(w, f->value);
        w = put(w, TG_STR("\r\n"));
    }
    return w;
}

/* RFC 9112 6, 9110 8.6: which framing this answer gets. */
static void decide(struct tg_conn *c, const struct tg_answer *a)
{
    struct tg_exchange *x = c->x;
    const struct tg_http_server *s = c->server;

    x->out_swallow = x->req.head.method == TG_HEAD || a->status == 204 || a->status == 304;
    x->out_left = a->length >= 0 ? a->length : -1;
    if (!x->out_swallow && a->length < 0) {
        x->out_chunked = x->req.head.minor == 1;
        x->out_until_close = !x->out_chunked;
    }
    /* A client whose body is not read to its end must not take the rest of the connection for
     * usable: what it sends next may be that body. */
    x->close = a->close || !x->req.head.keep_alive || s->is_draining || x->out_until_close ||
               (x->owes_continue && !x->body_done) || tg_body_exceeds(x, s->opts.max_drop_bytes);
}

static char *put_framing(char *w, const struct tg_exchange *x, const struct tg_answer *a)
{
    if (x->out_chunked) {
        w = put(w, TG_STR("Transfer-Encoding: chunked\r\n"));
    } else if (a->length >= 0 && a->status != 204) {
        w = put(w, TG_STR("Content-Length: "));
        w = put_u64(w, (uint64_t)a->length);
        w = put(w, TG_STR("\r\n"));
    }
    if (x->close) {
        w = put(w, TG_STR("Connection: close\r\n"));
    } else if (x->req.head.minor == 0) {
        w = put(w, TG_STR("Connection: keep-alive\r\n"));
    }
    return w;
}

static void write_head(struct tg_conn *c, const struct tg_answer *a)
{
    struct tg_exchange *x = c->x;
    tg_str reason = a->reason.p == NULL ? reason_of(a->status) : a->reason;
    char *from = tg_iobuf_room(&c->server->buffers, &c->out, head_bound(reason, a->fields));
    char *w = from;
    bool has_date = false;

    decide(c, a);
    w = put_status(w, a->status, reason);
    w = put_fields(w, a->fields, &has_date);
    if (!has_date) {
        w = put(w, TG_STR("Date: "));
        w = put(w, tg_http_server_date(c->server));
        w = put(w, TG_STR("\r\n"));
    }
    w = put_framing(w, x, a);
    w = put(w, TG_STR("\r\n"));
    c->out.n += (size_t)(w - from);
    x->begun = true;
}

/* ---- the body ---- */

/* Whether the answer goes on; false: the handler may as well stop. */
static bool is_running(const struct tg_conn *c)
{
    return c->state == TG_CONN_REQUEST && c->x->failed == TG_OK && !c->x->gone;
}

static enum tg_rc pass(struct tg_conn *c, const tg_str *pieces, size_t n, bool is_last)
{
    struct tg_exchange *x = c->x;
    size_t all = c->out.n;
    enum tg_rc rc = TG_OK;

    for (size_t i = 0; i < n; i++) {
        all += pieces[i].n;
    }
    if (!is_last && all <= HOLD_BYTES) {
        for (size_t i = 0; i < n; i++) {
            tg_iobuf_append(&c->server->buffers, &c->out, pieces[i]);
        }
        tg_conn_kick(c);
        return TG_OK;
    }
    rc = tg_conn_send(c, pieces, n);
    if (rc == TG_ECLOSED) {
        x->failed = TG_ECLOSED;
        tg_conn_kick(c);
        return rc;
    }
    if (c->out.n > c->server->opts.max_backlog) {
        x->want_drain = true;
        return TG_EAGAIN;
    }
    return TG_OK;
}

/* Frames `bytes` as the head has announced, with the end of the answer when `is_last`. */
static enum tg_rc put_body(struct tg_conn *c, tg_str bytes, bool is_last)
{
    struct tg_exchange *x = c->x;
    tg_str pieces[4] = {{0}};
    char size[24];
    size_t n = 0;

    if (x->out_swallow) {
        return pass(c, NULL, 0, is_last);
    }
    if (x->out_chunked) {
        if (bytes.n != 0) {
            pieces[n++] =
                tg_str_make(size, (size_t)snprintf(size, sizeof(size), "%zx\r\n", bytes.n));
            pieces[n++] = bytes;
            pieces[n++] = TG_STR("\r\n");
        }
        if (is_last) {
            pieces[n++] = TG_STR("0\r\n\r\n");
        }
        return pass(c, pieces, n, is_last);
    }
    if (x->out_left >= 0) {
        TG_ASSERT(bytes.n <= (uint64_t)x->out_left);
        x->out_left -= (int64_t)bytes.n;
    }
    pieces[0] = bytes;
    return pass(c, pieces, 1, is_last);
}

static bool is_short(const struct tg_exchange *x)
{
    return !x->out_swallow && x->out_left > 0;
}

static void finish(struct tg_conn *c, tg_str last)
{
    struct tg_exchange *x = c->x;

    TG_ASSERT(x->begun && !x->ended);
    (void)put_body(c, last, true);
    x->ended = true;
    if (is_short(x)) {
        x->failed = TG_ECANCELED;
    }
    tg_conn_kick(c);
}

/* ---- what handlers call ---- */

enum tg_rc tg_conn_begin(struct tg_conn *c, const struct tg_answer *a)
{
    TG_ASSERT(c->state == TG_CONN_REQUEST && !c->x->begun && a->status >= 200 && a->status <= 999);
    if (!is_running(c)) {
        return TG_ECLOSED;
    }
    write_head(c, a);
    tg_conn_kick(c);
    return TG_OK;
}

enum tg_rc tg_conn_write(struct tg_conn *c, tg_str bytes)
{
    if (!is_running(c)) {
        return TG_ECLOSED;
    }
    TG_ASSERT(c->x->begun && !c->x->ended);
    return put_body(c, bytes, false);
}

void tg_conn_end(struct tg_conn *c)
{
    if (is_running(c)) {
        finish(c, TG_STR_NONE);
    }
}

void tg_conn_answer(struct tg_conn *c, const struct tg_answer *a, tg_str body)
{
    if (is_running(c)) {
        TG_ASSERT(!c->x->begun && a->status >= 200 && a->status <= 999);
        write_head(c, a);
        finish(c, body);
    }
}

void tg_conn_answer_plain(struct tg_conn *c, unsigned status)
{
    struct tg_answer a = {.status = status, .close = true};

    tg_conn_answer(c, &a, TG_STR_NONE);
}

void tg_conn_abort(struct tg_conn *c)
{
    struct tg_exchange *x = c->x;

    TG_ASSERT(c->state == TG_CONN_REQUEST);
    if (is_running(c) && !x->ended) {
        x->failed = TG_ECANCELED;
        x->reset = x->begun && x->out_until_close;
        tg_conn_kick(c);
    }
}

void tg_conn_interim(struct tg_conn *c, unsigned status, struct tg_fields fields)
{
    tg_str reason = reason_of(status);
    bool has_date = false;
    char *from = NULL;
    char *w = NULL;

    TG_ASSERT(status >= 102 && status < 200);
    if (!is_running(c) || c->x->begun || c->x->req.head.minor == 0) {
        return;
    }
    from = tg_iobuf_room(&c->server->buffers, &c->out, head_bound(reason, fields));
    w = put_status(from, status, reason);
    w = put_fields(w, fields, &has_date);
    w = put(w, TG_STR("\r\n"));
    c->out.n += (size_t)(w - from);
    tg_conn_kick(c);
}
