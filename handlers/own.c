/* own.c - caller and body of an own endpoint, side by side; then its `run`. */
#include "handlers/own.h"

#include <stdlib.h>

#include "auth/token.h"
#include "handlers/bearer.h"
#include "handlers/cors.h"

enum { MAX_FIELDS = 8 };

struct tg_own_wait {
    struct tg_own *own; /* NULL: the client has left */
};

tg_str tg_own_user(const struct tg_own *o)
{
    return o->token == NULL ? TG_STR("anon") : tg_str_of(o->token->user_id);
}

/* ---- waiting for the store ---- */

struct tg_own_wait *tg_own_wait(struct tg_own *o)
{
    TG_ASSERT(o->store == NULL);
    o->store = TG_NEW(struct tg_own_wait);
    o->store->own = o;
    return o->store;
}

struct tg_own *tg_own_back(struct tg_own_wait *wait)
{
    struct tg_own *o = wait->own;

    if (o != NULL) {
        o->store = NULL;
    }
    free(wait);
    return o;
}

/* ---- the answer ---- */

void tg_own_answer(struct tg_own *o, unsigned status, tg_str json)
{
    struct tg_exchange *x = o->x;
    struct tg_field fields[MAX_FIELDS];
    struct tg_answer a = {.status = status, .close = x->close};
    size_t n = 0;

    TG_ASSERT(!o->is_answered);
    o->is_answered = true;
    if (json.n > 0) {
        fields[n++] = (struct tg_field){TG_STR("Content-Type"), TG_STR("application/json")};
    }
    fields[n++] = (struct tg_field){TG_STR("Cache-Control"), TG_STR("no-store")};
    fields[n++] = (struct tg_field){TG_STR("X-Request-Id"), x->id};
    n += tg_cors_own(x->w->opts, x->origin, fields + n, MAX_FIELDS - n);
    a.fields = (struct tg_fields){fields, n};
    a.length = status == 204 ? TG_LENGTH_NONE : (int64_t)json.n;
    x->status = status;
    tg_conn_answer(x->conn, &a, json);
}

void tg_own_refuse(struct tg_own *o, enum tg_rc rc, tg_str why, tg_str hint)
{
    TG_ASSERT(!o->is_answered);
    o->is_answered = true;
    tg_exchange_refuse(o->x, rc, why, hint);
}

/* ---- the request ---- */

static void go_on(struct tg_own *o)
{
    if (o->has_caller && o->has_body && !o->is_answered) {
        o->kind->run(o);
    }
}

static void on_body(struct tg_conn *c, tg_str bytes, void *ctx)
{
    struct tg_own *o = ctx;

    (void)c;
    if (!o->kind->has_body || o->is_answered) {
        return;
    }
    if (tg_buf_str(&o->body, bytes) != TG_OK) {
        tg_own_refuse(o, TG_EBODYSIZE, TG_STR(""), TG_STR(""));
    }
}

static void on_body_end(struct tg_conn *c, void *ctx)
{
    struct tg_own *o = ctx;

    (void)c;
    o->has_body = true;
    go_on(o);
}

static void on_caller(enum tg_rc rc, struct tg_token *token, void *arg)
{
    struct tg_own *o = arg;

    o->bearer = NULL;
    o->token = token;
    if (o->is_answered) {
        return;
    }
    if (rc != TG_OK) {
        tg_own_refuse(o, rc, TG_STR(""), TG_STR(""));
        return;
    }
    o->has_caller = true;
    tg_conn_want_body(o->x->conn);
    go_on(o);
}

static void on_gone(struct tg_conn *c, enum tg_rc why, void *ctx)
{
    struct tg_own *o = ctx;

    (void)c;
    tg_exchange_log_end(o->x, why);
    if (o->bearer != NULL) {
        tg_bearer_cancel(o->bearer);
    }
    if (o->store != NULL) {
        o->store->own = NULL;
    }
    tg_token_unref(o->token);
    tg_buf_fini(&o->body);
}

void tg_own_start(struct tg_exchange *x, const struct tg_own_kind *kind)
{
    static const struct tg_request_handler handler = {
        .on_body = on_body, .on_body_end = on_body_end, .on_gone = on_gone};
    struct tg_own *o = tg_arena_alloc(&x->req->arena, sizeof(*o));

    o->x = x;
    o->kind = kind;
    tg_buf_init(&o->body, x->w->opts->own_body_bytes);
    tg_conn_set_handler(x->conn, &handler, o);
    if (kind->is_for_all) {
        tg_bearer_caller(x, on_caller, o, &o->bearer);
    } else {
        tg_bearer_user(x, on_caller, o, &o->bearer);
    }
}
