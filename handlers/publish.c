/* publish.c - who may, what it is, into the log, and what became of each event.
 *
 *   key good? -> body whole -> signature good? -> events good? -> appended in their order,
 *   and meanwhile the workers are asked who listens -> one answer about all
 *
 * Lives until the request is gone and everything that was started has come back. */
#include "handlers/publish.h"

#include <stdlib.h>

#include "auth/signature.h"
#include "handlers/publish_events.h"
#include "realtime/listeners.h"
#include "util/json.h"
#include "util/log.h"

enum { ANSWER_ROOM = 2048 }; /* for one event, at most */

struct result {
    struct publish *p;
    enum tg_rc rc; /* TG_OK: written now; TG_ECONFLICT: written before */
    struct tg_pos pos;
};

struct publish {
    struct tg_worker *w;
    struct tg_exchange *x; /* NULL once the request is gone */
    bool is_signed;        /* by a signature still to be checked; otherwise by the key */
    bool is_refused;
    struct tg_buf body;
    struct tg_publish_batch batch;
    struct tg_epoch epoch; /* of the log that was written to */
    struct result *results;
    bool *listens; /* NULL: not known */
    size_t n_waiting;
};

static void free_when_over(struct publish *p)
{
    if (p->x == NULL && p->n_waiting == 0) {
        tg_publish_fini(&p->batch);
        tg_buf_fini(&p->body);
        free(p->results);
        free(p->listens);
        free(p);
    }
}

static void refuse(struct publish *p, enum tg_rc rc, tg_str why, tg_str hint)
{
    p->is_refused = true;
    tg_exchange_refuse(p->x, rc, why, hint);
}

/* ---- who may ---- */

static enum tg_rc check_key(const struct tg_exchange *x, tg_str *ret_why)
{
    const struct tg_fields fields = x->req->head.fields;
    const struct tg_field *apikey = tg_fields_find(fields, TG_STR("apikey"));
    const struct tg_field *auth = tg_fields_find(fields, TG_STR("Authorization"));
    const tg_str given[] = {apikey == NULL ? TG_STR_NONE : apikey->value,
                            auth == NULL ? TG_STR_NONE : tg_apikey_bearer(auth->value)};
    bool has_any = false;
    bool is_public = false;

    if (tg_fields_count(fields, TG_STR("apikey")) > 1 ||
        tg_fields_count(fields, TG_STR("Authorization")) > 1) {
        return TG_EAMBIGUOUS;
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(given); i++) {
        enum tg_apikey_door door = tg_apikey_door(&x->w->opts->keys, given[i]);

        if (door == TG_APIKEY_SERVICE) {
            return TG_OK;
        }
        has_any = has_any || given[i].n > 0;
        is_public = is_public || door == TG_APIKEY_PUBLIC;
    }
    *ret_why = TG_STR("publishing takes the project's service key, or a signature");
    return is_public ? TG_EFORBIDDEN : has_any ? TG_EBADKEY : TG_ENOKEY;
}

static const struct tg_field *signature_of(const struct tg_exchange *x)
{
    return tg_fields_find(x->req->head.fields, TG_STR("Tidegate-Signature"));
}

/* A signature counts where there is no service key, and once the body is there. */
static enum tg_rc check_caller(struct publish *p, tg_str *ret_why)
{
    const struct tg_exchange *x = p->x;
    enum tg_rc rc = check_key(x, ret_why);

    if (rc == TG_OK || rc == TG_EAMBIGUOUS || signature_of(x) == NULL) {
        return rc;
    }
    if (tg_fields_count(x->req->head.fields, TG_STR("Tidegate-Signature")) > 1) {
        return TG_EAMBIGUOUS;
    }
    if (x->w->opts->publish_secret.n == 0) {
        *ret_why = TG_STR("this gateway takes no signatures: publish.secret is not set");
        return TG_EBADSIGNATURE;
    }
    p->is_signed = true;
    return TG_OK;
}

static enum tg_rc check_signature(const struct publish *p, tg_str *ret_why)
{
    const struct tg_handler_opts *o = p->w->opts;
    const struct tg_signed s = {signature_of(p->x)->value, p->x->target, tg_buf_view(&p->body)};
    enum tg_rc rc =
        tg_signature_check(o->publish_secret, &s, tg_clock_wall_us(), o->publish_tolerance);

    if (rc == TG_EEXPIRED) {
        *ret_why = TG_STR("the time of the signature is too far from the gateway's clock");
        return TG_EBADSIGNATURE;
    }
    return rc;
}

/* ---- the answer ---- */

/* What a publisher is told of what the store said. */
static enum tg_rc told(enum tg_rc rc)
{
    if (rc == TG_OK || rc == TG_ECONFLICT) {
        return TG_OK;
    }
    return rc == TG_ELIMIT ? TG_EBODYSIZE : tg_store_tell(rc);
}

static void put_result(struct tg_buf *out, const struct publish *p, size_t i)
{
    const struct result *r = &p->results[i];
    char cursor[TG_CURSOR_MAX + 1];

    (void)tg_buf_str(out, i == 0 ? TG_STR("{\"topic\":") : TG_STR(",{\"topic\":"));
    (void)tg_json_quote(out, p->batch.events[i].topic.name);
    if (told(r->rc) == TG_OK) {
        (void)tg_cursor_format(&p->epoch, r->pos, cursor);
        (void)tg_buf_printf(out, ",\"id\":\"%s\",\"duplicate\":%s", cursor,
                            r->rc == TG_ECONFLICT ? "true" : "false");
    } else {
        (void)tg_buf_str(out, TG_STR(",\"error\":"));
        tg_error_body(out, told(r->rc), TG_STR(""), TG_STR(""));
    }
    (void)tg_buf_printf(out, ",\"listeners\":%s}",
                        p->listens == NULL ? "null"
                        : p->listens[i]    ? "true"
                                           : "false");
}

static enum tg_rc first_failure(const struct publish *p)
{
    for (size_t i = 0; i < p->batch.n; i++) {
        if (told(p->results[i].rc) != TG_OK) {
            return told(p->results[i].rc);
        }
    }
    return TG_OK;
}

static void count(const struct publish *p)
{
    for (size_t i = 0; i < p->batch.n; i++) {
        enum tg_rc rc = p->results[i].rc;

        tg_count_add(rc == TG_OK          ? &p->w->counts.published
                     : rc == TG_ECONFLICT ? &p->w->counts.publish_duplicates
                                          : &p->w->counts.publish_failures,
                     1);
    }
}

static void answer(struct publish *p)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {0};
    enum tg_rc rc = first_failure(p);

    tg_buf_init(&out, (p->batch.n + 1) * ((size_t)TG_TOPIC_MAX_BYTES * 6 + ANSWER_ROOM));
    if (rc != TG_OK) {
        tg_log_limited(TG_LOG_WARN, "publish_failed", 10, TG_KS("req", p->x->id),
                       TG_KZ("rc", tg_rc_name(rc)));
        tg_error_body(&out, rc,
                      TG_STR("not every event was written; `events` tells of each what is known"),
                      TG_STR("send all of them again: those with an id are written once"));
        out.n--; /* the members go on */
        (void)tg_buf_char(&out, ',');
    } else {
        (void)tg_buf_char(&out, '{');
    }
    (void)tg_buf_str(&out, TG_STR("\"events\":["));
    for (size_t i = 0; i < p->batch.n; i++) {
        put_result(&out, p, i);
    }
    (void)tg_buf_str(&out, TG_STR("]}"));
    TG_ASSERT(tg_buf_rc(&out) == TG_OK);
    tg_exchange_answer(p->x, tg_rc_status(rc), tg_buf_view(&out));
}

static void came_back(struct publish *p)
{
    p->n_waiting--;
    if (p->n_waiting > 0) {
        return;
    }
    count(p);
    if (p->x != NULL) {
        answer(p);
    } else {
        free_when_over(p);
    }
}

/* ---- into the log ---- */

static void on_appended(enum tg_rc rc, struct tg_pos pos, void *arg)
{
    struct result *r = arg;

    r->rc = rc;
    r->pos = pos;
    came_back(r->p);
}

static void on_listened(const bool *has, size_t n, void *arg)
{
    struct publish *p = arg;

    if (has != NULL) {
        p->listens = tg_memdup(has, n * sizeof(has[0]));
    }
    came_back(p);
}

static void ask_listeners(struct publish *p)
{
    tg_str *keys = tg_calloc(p->batch.n, sizeof(*keys));

    for (size_t i = 0; i < p->batch.n; i++) {
        keys[i] = p->batch.events[i].topic.name; /* a published topic's key is its name */
    }
    tg_listeners_ask(p->w->fanout, keys, p->batch.n, on_listened, p);
    free(keys);
}

/* The store writes appends of one handle in the order of the calls. */
static void append_all(struct publish *p, struct tg_store *store)
{
    const size_t n = p->batch.n;

    p->results = tg_calloc(n, sizeof(*p->results));
    p->n_waiting = n + 1;
    ask_listeners(p);
    for (size_t i = 0; i < n; i++) {
        const struct tg_publish_event *e = &p->batch.events[i];
        const struct tg_write write = {.epoch = &p->epoch,
                                       .topic = e->topic.name,
                                       .payload = tg_publish_json(&p->batch, e),
                                       .once = tg_buf_view(&e->once),
                                       .once_ttl = p->w->opts->publish_once,
                                       .retain_for = tg_topic_retain_for(&e->topic),
                                       .retain_events = tg_topic_retain_events(&e->topic)};
        struct result *r = &p->results[i];

        r->p = p;
        r->rc = tg_store_append(store, &write, on_appended, r);
        p->n_waiting -= r->rc == TG_OK ? 0 : 1;
    }
}

/* ---- the request ---- */

/* ?topic= of a body that names none, and the key that makes it one. */
static enum tg_rc read_around(struct publish *p, struct tg_publish_from *from, tg_str *ret_why)
{
    const struct tg_fields fields = p->x->req->head.fields;
    const struct tg_field *key = tg_fields_find(fields, TG_STR("Idempotency-Key"));
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    enum tg_rc rc = TG_OK;

    if (tg_fields_count(fields, TG_STR("Idempotency-Key")) > 1) {
        return TG_EAMBIGUOUS;
    }
    from->once = key == NULL ? TG_STR_NONE : key->value;
    while ((rc = tg_exchange_param(p->x, &at, &name, &value)) == TG_OK) {
        if (!tg_str_eq(name, TG_STR("topic"))) {
            continue;
        }
        if (from->topic.n > 0 || value.n == 0) {
            *ret_why = TG_STR("one topic is wanted: ?topic=<name>:<key>");
            return TG_EBADTOPIC;
        }
        from->topic = value;
    }
    return rc == TG_EEOF ? TG_OK : rc;
}

static enum tg_rc read_events(struct publish *p, struct tg_buf *why)
{
    const struct tg_handler_opts *o = p->w->opts;
    const struct tg_publish_rules rules = {o->declared, o->publish_events, o->event_bytes};
    struct tg_publish_from from = {.body = tg_buf_view(&p->body)};
    tg_str text = TG_STR("");
    enum tg_rc rc = TG_OK;

    if (p->is_signed) {
        rc = check_signature(p, &text);
    }
    if (rc == TG_OK) {
        rc = read_around(p, &from, &text);
    }
    if (rc != TG_OK) {
        (void)tg_buf_str(why, text);
        return rc;
    }
    return tg_publish_read(&rules, &from, &p->batch, why);
}

static void on_body_end(struct tg_conn *c, void *ctx)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf why = {.max = TG_PUBLISH_WHY_MAX};
    struct publish *p = ctx;
    struct tg_store *store = NULL;
    enum tg_rc rc = TG_OK;

    (void)c;
    if (p->is_refused) {
        return;
    }
    rc = read_events(p, &why);
    if (rc == TG_OK) {
        store = tg_fanout_store(p->w->fanout, &p->epoch);
        rc = store == NULL ? TG_ESTORE : TG_OK;
    }
    if (rc != TG_OK) {
        refuse(p, rc, tg_buf_view(&why), TG_STR(""));
        return;
    }
    append_all(p, store);
}

static void on_body(struct tg_conn *c, tg_str bytes, void *ctx)
{
    struct publish *p = ctx;

    (void)c;
    if (!p->is_refused && tg_buf_str(&p->body, bytes) != TG_OK) {
        refuse(p, TG_EBODYSIZE, TG_STR("the body is larger than limits.own_body_bytes"),
               TG_STR(""));
    }
}

static void on_gone(struct tg_conn *c, enum tg_rc why, void *ctx)
{
    struct publish *p = ctx;

    (void)c;
    tg_exchange_log_end(p->x, why);
    p->x = NULL;
    free_when_over(p);
}

void tg_publish_start(struct tg_exchange *x)
{
    static const struct tg_request_handler handler = {
        .on_body = on_body, .on_body_end = on_body_end, .on_gone = on_gone};
    struct publish *p = TG_NEW(struct publish);
    tg_str why = TG_STR("");
    enum tg_rc rc = TG_OK;

    p->w = x->w;
    p->x = x;
    tg_buf_init(&p->body, x->w->opts->own_body_bytes);
    tg_conn_set_handler(x->conn, &handler, p);
    rc = check_caller(p, &why);
    if (rc == TG_OK && x->req->head.body == TG_BODY_LENGTH &&
        x->req->head.content_length > x->w->opts->own_body_bytes) {
        rc = TG_EBODYSIZE;
        why = TG_STR("the body is larger than limits.own_body_bytes");
    }
    if (rc != TG_OK) {
        refuse(p, rc, why, TG_STR(""));
        return;
    }
    tg_conn_want_body(x->conn);
}
