/* request.c - what a call sends: its head in one piece of memory, and the handle's mode.
 *
 * libcurl wants a list of lines "Name: value". Its struct curl_slist is public, so the nodes are
 * an array and the lines lie in `text`; both stay with the call for its next request. */
#include <stdio.h>

#include "upstream/call_int.h"
#include "upstream/line.h"

enum {
    LINE_BYTES = 32, /* ": ", NUL, and Content-Length's digits where a value stood */
    OWN_LINES_BYTES = 256,
};

/* Begins a line. Room for all of them is reserved, so the text does not move. */
static void begin_line(struct tg_call *call, size_t at, tg_str name)
{
    if (at == call->cap_lines) {
        call->cap_lines = TG_MAX(32U, call->cap_lines * 2);
        call->lines = tg_realloc(call->lines, call->cap_lines, sizeof(struct curl_slist));
    }
    call->lines[at].data = call->text.p + call->text.n;
    (void)tg_buf_str(&call->text, name);
}

static void add_line(struct tg_call *call, size_t at, tg_str name, tg_str value)
{
    begin_line(call, at, name);
    if (value.n == 0) {
        (void)tg_buf_char(&call->text, ';'); /* libcurl's way to say "there, and empty" */
    } else {
        (void)tg_buf_str(&call->text, TG_STR(": "));
        (void)tg_buf_str(&call->text, value);
    }
    (void)tg_buf_char(&call->text, '\0');
}

/* "Name:" keeps libcurl from adding its own. */
static void add_ban(struct tg_call *call, size_t at, tg_str name)
{
    begin_line(call, at, name);
    (void)tg_buf_str(&call->text, tg_str_make(":", 2)); /* with its NUL */
}

/* A line feed in a field would begin another one, or another request. */
static bool is_clean(const struct tg_call_request *req)
{
    bool is_ok = tg_line_is_token(req->method) && tg_line_is_target(req->target);

    for (size_t i = 0; i < req->n_fields && is_ok; i++) {
        is_ok = tg_line_is_token(req->fields[i].name) && tg_line_is_text(req->fields[i].value);
    }
    return is_ok && req->body_length >= TG_CALL_CHUNKED;
}

static bool has_field(const struct tg_call_request *req, tg_str name)
{
    for (size_t i = 0; i < req->n_fields; i++) {
        if (tg_str_ieq(req->fields[i].name, name)) {
            return true;
        }
    }
    return false;
}

static void add_length(struct tg_call *call, size_t at, tg_str name, int64_t length)
{
    char digits[24];
    struct tg_buf text = {.p = digits, .cap = sizeof(digits), .max = sizeof(digits)};

    (void)tg_buf_u64(&text, (uint64_t)length);
    add_line(call, at, name, tg_buf_view(&text));
}

/* The framing is libcurl's and body_length's. "Expect" is answered by who reads the client;
 * with it libcurl would wait for a 100 that it swallows. */
static bool is_framing(tg_str name)
{
    return tg_str_ieq(name, TG_STR("Transfer-Encoding")) || tg_str_ieq(name, TG_STR("Expect"));
}

/* The caller's fields in their order; Content-Length keeps its place. Returns how many lines. */
static size_t add_fields(struct tg_call *call, const struct tg_call_request *req, size_t n)
{
    bool wants_length = req->body_length > 0 || (req->body_length == 0 && req->has_zero_length);

    for (size_t i = 0; i < req->n_fields; i++) {
        const struct tg_upstream_field *f = &req->fields[i];

        if (tg_str_ieq(f->name, TG_STR("Content-Length"))) {
            if (wants_length) {
                add_length(call, n++, f->name, req->body_length);
                wants_length = false;
            }
        } else if (!is_framing(f->name)) {
            add_line(call, n++, f->name, tg_str_trim(f->value));
        }
    }
    if (wants_length) {
        add_length(call, n++, TG_STR("Content-Length"), req->body_length);
    }
    return n;
}

/* What the target and all lines take at most. */
static size_t text_bytes(const struct tg_call *call, const struct tg_call_request *req)
{
    size_t n = req->target.n + strlen(call->up->authority) + OWN_LINES_BYTES;

    for (size_t i = 0; i < req->n_fields; i++) {
        n += req->fields[i].name.n + req->fields[i].value.n + LINE_BYTES;
    }
    return n;
}

static void make_lines(struct tg_call *call, const struct tg_call_request *req)
{
    size_t n = 0;

    /* Banned first, a Host among the fields is a line like others: it keeps its place and case,
     * and is not copied once more, letter by letter, by libcurl's printf. */
    add_ban(call, n++, TG_STR("Host"));
    if (!has_field(req, TG_STR("Host"))) {
        add_line(call, n++, TG_STR("Host"), tg_str_of(call->up->authority));
    }
    n = add_fields(call, req, n);
    if (req->body_length == TG_CALL_CHUNKED && !call->up->opts.http2) {
        add_line(call, n++, TG_STR("Transfer-Encoding"), TG_STR("chunked"));
    }
    if (!has_field(req, TG_STR("Accept"))) {
        add_ban(call, n++, TG_STR("Accept"));
    }
    if (req->body_length != 0) {
        add_ban(call, n++, TG_STR("Expect"));
    }
    for (size_t i = 0; i < n; i++) {
        call->lines[i].next = i + 1 < n ? &call->lines[i + 1] : NULL;
    }
}

/* The handle keeps its options from call to call; only what differs is set. */
static void set_mode(struct tg_call *call, int64_t body_length)
{
    CURL *easy = call->easy;
    enum tg_call_mode mode = body_length != 0                    ? TG_MODE_UPLOAD
                             : strcmp(call->method, "HEAD") == 0 ? TG_MODE_HEAD
                                                                 : TG_MODE_PLAIN;
    const char *method = call->method;

    if (mode != call->mode) {
        call->mode = mode;
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L); /* also takes back the other two */
        if (mode == TG_MODE_HEAD) {
            curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        } else if (mode == TG_MODE_UPLOAD) {
            curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        }
    }
    if (mode == TG_MODE_UPLOAD) {
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)body_length);
    }
    if ((mode == TG_MODE_PLAIN && strcmp(method, "GET") == 0) || mode == TG_MODE_HEAD) {
        method = "";
    }
    if (strcmp(method, call->set_method) != 0) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method[0] == '\0' ? NULL : method);
        (void)snprintf(call->set_method, sizeof(call->set_method), "%s", method);
    }
}

enum tg_rc tg_call_prepare(struct tg_call *call, const struct tg_call_request *req)
{
    const char *text = NULL;

    if (!is_clean(req)) {
        return TG_EBADREQ;
    }
    if (req->method.n >= sizeof(call->method)) {
        return TG_EMETHOD;
    }
    memcpy(call->method, req->method.p, req->method.n);
    call->method[req->method.n] = '\0';
    if (req->body_length != 0 && strcmp(call->method, "HEAD") == 0) {
        return TG_EBADREQ;
    }
    if (tg_buf_reserve(&call->text, text_bytes(call, req)) != TG_OK) {
        return TG_EHEADSIZE;
    }
    text = call->text.p;
    (void)tg_buf_str(&call->text, req->target);
    (void)tg_buf_char(&call->text, '\0');
    make_lines(call, req);
    TG_ASSERT(call->text.p == text); /* the lines point into it */
    curl_easy_setopt(call->easy, CURLOPT_REQUEST_TARGET, call->text.p);
    set_mode(call, req->body_length);
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->lines);
    call->body_length = req->body_length;
    call->body_ended = req->body_length == 0;
    call->may_retry = req->may_retry;
    call->first_byte_timeout =
        req->first_byte_timeout == 0 ? call->up->opts.first_byte_timeout : req->first_byte_timeout;
    return TG_OK;
}
