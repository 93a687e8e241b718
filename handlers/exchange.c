/* exchange.c - request ids, parameters, and the one place that writes the gateway's errors. */
#include "handlers/exchange.h"

#include "handlers/cors.h"
#include "util/json.h"
#include "util/log.h"

enum { MAX_ERROR_BYTES = 4096, MAX_FIELDS = 16 };

static bool is_request_id(tg_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7F || s.p[i] == '"' || s.p[i] == '\\') {
            return false;
        }
    }
    return s.n > 0 && s.n <= TG_REQUEST_ID_MAX;
}

static tg_str new_request_id(struct tg_worker *w, struct tg_arena *arena)
{
    char *text = tg_arena_alloc(arena, TG_REQUEST_ID_MAX);
    struct tg_buf id = {.p = text, .cap = TG_REQUEST_ID_MAX, .max = TG_REQUEST_ID_MAX};

    (void)tg_buf_str(&id, tg_str_of(w->id_prefix));
    (void)tg_buf_u64(&id, ++w->next_request);
    return tg_buf_view(&id);
}

void tg_exchange_set_target(struct tg_exchange *x, tg_str target)
{
    x->target = target;
    x->query = target;
    x->path = tg_str_cut(&x->query, '?');
    x->is_query_plain =
        tg_str_find(x->query, '%') == x->query.n && tg_str_find(x->query, '+') == x->query.n;
}

struct tg_exchange *tg_exchange_create(struct tg_worker *w, struct tg_conn *c,
                                       struct tg_request *req)
{
    struct tg_exchange *x = tg_arena_alloc(&req->arena, sizeof(*x));
    const struct tg_field *id = NULL;
    const struct tg_field *origin = tg_fields_find(req->head.fields, TG_STR("Origin"));

    x->w = w;
    x->conn = c;
    x->req = req;
    tg_exchange_set_target(x, req->head.target);
    x->origin = origin == NULL ? TG_STR_NONE : origin->value;
    if (tg_conn_peer_is_trusted(c)) {
        id = tg_fields_find(req->head.fields, TG_STR("X-Request-Id"));
    }
    x->id = id != NULL && is_request_id(id->value) ? id->value : new_request_id(w, &req->arena);
    return x;
}

void tg_error_body(struct tg_buf *out, enum tg_rc rc, tg_str details, tg_str hint)
{
    (void)tg_buf_str(out, TG_STR("{\"code\":\""));
    (void)tg_buf_str(out, tg_str_of(tg_rc_code(rc)));
    (void)tg_buf_str(out, TG_STR("\",\"message\":"));
    (void)tg_json_quote(out, tg_str_of(tg_rc_text(rc)));
    (void)tg_buf_str(out, TG_STR(",\"details\":"));
    (void)(details.n == 0 ? tg_buf_str(out, TG_STR("null")) : tg_json_quote(out, details));
    (void)tg_buf_str(out, TG_STR(",\"hint\":"));
    (void)(hint.n == 0 ? tg_buf_str(out, TG_STR("null")) : tg_json_quote(out, hint));
    (void)tg_buf_char(out, '}');
}

void tg_error_members(struct tg_buf *out, enum tg_rc rc, tg_str details)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf body = {.max = MAX_ERROR_BYTES};

    tg_error_body(&body, rc, details, TG_STR(""));
    if (tg_buf_rc(&body) != TG_OK) {
        tg_buf_clear(&body);
        tg_error_body(&body, rc, TG_STR(""), TG_STR(""));
    }
    (void)tg_buf_str(out, tg_str_make(body.p + 1, body.n - 2)); /* its own braces */
}

struct refusal {
    struct tg_worker *w;
    struct tg_conn *conn;
    enum tg_rc rc;
    tg_str id;
    tg_str origin;
    tg_str details;
    tg_str hint;
    unsigned retry_after_sec;
    tg_str allow;
    bool close;
    bool is_unread; /* the request's Origin is not known */
};

/* An error about a request that nobody could read holds nothing of anybody: each page may see it,
 * else a browser would hide from its developer that a cookie is too large. */
static size_t put_cors(const struct refusal *r, struct tg_field *out, size_t max)
{
    if (r->is_unread && r->w->opts->n_cors_origins > 0) {
        out[0] = (struct tg_field){TG_STR("Access-Control-Allow-Origin"), TG_STR("*")};
        return 1;
    }
    return tg_cors_own(r->w->opts, r->origin, out, max);
}

static void answer(const struct refusal *r)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf body = {.max = MAX_ERROR_BYTES};
    TG_CLEANUP(tg_buf_fini) struct tg_buf seconds = {.max = 20};
    struct tg_field fields[MAX_FIELDS];
    size_t n = 0;
    unsigned status = tg_rc_status(r->rc);
    struct tg_answer a = {.status = status, .close = r->close};

    tg_error_body(&body, r->rc, r->details, r->hint);
    if (tg_buf_rc(&body) != TG_OK) {
        tg_buf_clear(&body);
        tg_error_body(&body, r->rc, TG_STR(""), TG_STR(""));
    }
    fields[n++] = (struct tg_field){TG_STR("Content-Type"), TG_STR("application/json")};
    fields[n++] = (struct tg_field){TG_STR("Cache-Control"), TG_STR("no-store")};
    if (r->id.n > 0) {
        fields[n++] = (struct tg_field){TG_STR("X-Request-Id"), r->id};
    }
    if (status == 401) {
        fields[n++] = (struct tg_field){
            TG_STR("WWW-Authenticate"),
            r->rc == TG_ENOTOKEN ? TG_STR("Bearer") : TG_STR("Bearer error=\"invalid_token\"")};
    }
    if (status == 429 || status == 503) {
        (void)tg_buf_u64(&seconds, TG_MAX(r->retry_after_sec, 1U));
        fields[n++] = (struct tg_field){TG_STR("Retry-After"), tg_buf_view(&seconds)};
    }
    if (status == 426) { /* RFC 9110 15.5.22, RFC 6455 4.4 */
        fields[n++] = (struct tg_field){TG_STR("Upgrade"), TG_STR("websocket")};
        fields[n++] = (struct tg_field){TG_STR("Sec-WebSocket-Version"), TG_STR("13")};
    }
    if (r->allow.n > 0) {
        fields[n++] = (struct tg_field){TG_STR("Allow"), r->allow};
    }
    n += put_cors(r, fields + n, MAX_FIELDS - n);
    a.fields = (struct tg_fields){fields, n};
    a.length = (int64_t)body.n;
    tg_count_add(&r->w->counts.refused, 1);
    tg_log(status >= 500 ? TG_LOG_WARN : TG_LOG_DEBUG, "refused", TG_KS("req", r->id),
           TG_KN("status", status), TG_KZ("rc", tg_rc_name(r->rc)),
           TG_KS("peer", tg_conn_peer(r->conn)));
    tg_conn_answer(r->conn, &a, tg_buf_view(&body));
}

void tg_exchange_refuse(struct tg_exchange *x, enum tg_rc rc, tg_str details, tg_str hint)
{
    const struct refusal r = {.w = x->w,
                              .conn = x->conn,
                              .rc = rc,
                              .id = x->id,
                              .origin = x->origin,
                              .details = details,
                              .hint = hint,
                              .retry_after_sec = x->retry_after_sec,
                              .allow = x->allow,
                              .close = x->close};

    x->status = tg_rc_status(rc);
    answer(&r);
}

void tg_exchange_answer(struct tg_exchange *x, unsigned status, tg_str json)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf seconds = {.max = 20};
    struct tg_field fields[MAX_FIELDS];
    struct tg_answer a = {.status = status, .length = (int64_t)json.n, .close = x->close};
    size_t n = 0;

    fields[n++] = (struct tg_field){TG_STR("Content-Type"), TG_STR("application/json")};
    fields[n++] = (struct tg_field){TG_STR("Cache-Control"), TG_STR("no-store")};
    fields[n++] = (struct tg_field){TG_STR("X-Request-Id"), x->id};
    if (status == 429 || status == 503) {
        (void)tg_buf_u64(&seconds, TG_MAX(x->retry_after_sec, 1U));
        fields[n++] = (struct tg_field){TG_STR("Retry-After"), tg_buf_view(&seconds)};
    }
    n += tg_cors_own(x->w->opts, x->origin, fields + n, MAX_FIELDS - n);
    a.fields = (struct tg_fields){fields, n};
    x->status = status;
    tg_conn_answer(x->conn, &a, json);
}

/* "/sync/v1/<word>": what is behind it names a device. */
static tg_str endpoint_of(tg_str path)
{
    tg_str rest = path;
    size_t n = 0;

    for (int i = 0; i < 4 && rest.p != NULL; i++) {
        n += tg_str_cut(&rest, '/').n + (i > 0);
    }
    return tg_str_make(path.p, n);
}

void tg_exchange_log_end(const struct tg_exchange *x, enum tg_rc why)
{
    if (tg_log_is_on(TG_LOG_DEBUG)) {
        tg_log(TG_LOG_DEBUG, "own", TG_KS("req", x->id), TG_KS("method", x->req->head.method_text),
               TG_KS("path", endpoint_of(x->path)), TG_KN("status", x->status),
               TG_KN("us", tg_loop_now(x->w->loop) - x->req->started),
               TG_KZ("end", tg_rc_name(why)));
    }
}

void tg_refuse_conn(struct tg_conn *c, enum tg_rc why, const struct tg_head *head, void *arg)
{
    struct tg_worker *w = arg;
    const struct tg_field *origin =
        head == NULL ? NULL : tg_fields_find(head->fields, TG_STR("Origin"));
    struct tg_arena arena = {0};
    const struct refusal r = {.w = w,
                              .conn = c,
                              .rc = why,
                              .id = new_request_id(w, &arena),
                              .origin = origin == NULL ? TG_STR_NONE : origin->value,
                              .close = true,
                              .is_unread = head == NULL};

    answer(&r);
    tg_arena_drop(&arena);
}

static enum tg_rc decode(struct tg_exchange *x, tg_str raw, tg_str *ret)
{
    char *out = NULL;
    bool is_whole = false;
    size_t n = 0;

    if (x->is_query_plain) {
        *ret = raw; /* most are, and stay where they stand */
        return TG_OK;
    }
    out = tg_arena_alloc(&x->req->arena, raw.n + 1);
    n = tg_str_unescape(raw, true, out, &is_whole);
    *ret = tg_str_make(out, n);
    return is_whole ? TG_OK : TG_EBADPARAM;
}

enum tg_rc tg_exchange_param(struct tg_exchange *x, size_t *at, tg_str *ret_name, tg_str *ret_value)
{
    for (;;) {
        tg_str rest = TG_STR_NONE;
        tg_str pair = TG_STR_NONE;
        enum tg_rc rc = TG_OK;

        if (x->query.p == NULL || *at >= x->query.n) {
            return TG_EEOF;
        }
        rest = tg_str_skip(x->query, *at);
        pair = tg_str_cut(&rest, '&');
        *at += pair.n + 1;
        if (pair.n == 0) {
            continue;
        }
        rest = pair;
        rc = decode(x, tg_str_cut(&rest, '='), ret_name);
        if (rc == TG_OK) {
            rc = decode(x, rest, ret_value);
        }
        return rc;
    }
}
