/* control.c - words to all workers of all gateways: their form, their way, what they do here. */
#include "handlers/control.h"

#include <stdlib.h>

#include "auth/seal.h"
#include "auth/token.h"
#include "handlers/bearer.h"
#include "handlers/client.h"
#include "handlers/session.h"
#include "util/json.h"
#include "util/log.h"

enum { VERSION = 1, MAX_NAME = 1024 };

/* A token in the log is of use for so long: to a gateway whose tail is late. */
#define TOKEN_LIFE TG_SEC(120)

static const char *const kinds[] = {
    [TG_CONTROL_TOKEN] = "token",
    [TG_CONTROL_DEVICE_END] = "device_end",
    [TG_CONTROL_SESSION_END] = "session_end",
};

static const char *const scopes[] = {
    [TG_SIGNOUT_LOCAL] = "local",
    [TG_SIGNOUT_GLOBAL] = "global",
    [TG_SIGNOUT_OTHERS] = "others",
};

/* ---- building ---- */

static void put_text(struct tg_buf *out, const char *name, tg_str value)
{
    (void)tg_buf_printf(out, ",\"%s\":", name);
    (void)tg_json_quote(out, value);
}

static enum tg_rc put_token(const struct tg_handler_opts *o, tg_str token, tg_usec now,
                            struct tg_buf *out)
{
    enum tg_rc rc = TG_OK;

    (void)tg_buf_str(out, TG_STR(",\"token\":\""));
    rc = tg_seal_wrap(o->control_seal, token, now + TOKEN_LIFE, out);
    (void)tg_buf_char(out, '"');
    return rc;
}

enum tg_rc tg_control_build(const struct tg_handler_opts *o, const struct tg_control *c,
                            tg_usec now, struct tg_buf *out)
{
    enum tg_rc rc = TG_OK;

    (void)tg_buf_printf(out, "{\"v\":%d,\"kind\":\"%s\"", VERSION, kinds[c->kind]);
    put_text(out, "user", c->user);
    switch (c->kind) {
    case TG_CONTROL_TOKEN:
        put_text(out, "device", c->device);
        rc = put_token(o, c->token, now, out);
        break;
    case TG_CONTROL_DEVICE_END:
        put_text(out, "device", c->device);
        break;
    case TG_CONTROL_SESSION_END:
        put_text(out, "session", c->session);
        (void)tg_buf_printf(out, ",\"scope\":\"%s\",\"at\":%lld,\"until\":%lld", scopes[c->scope],
                            (long long)c->at_sec, (long long)c->until_sec);
        break;
    }
    (void)tg_buf_char(out, '}');
    return rc == TG_OK ? tg_buf_rc(out) : rc;
}

/* ---- reading ---- */

static enum tg_rc get_text(tg_str object, const char *name, struct tg_arena *arena, tg_str *ret)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = {.max = TG_CONTROL_MAX_BYTES};
    tg_str value = TG_STR_NONE;

    if (tg_json_member(object, name, &value) != TG_OK || tg_json_unquote(value, &text) != TG_OK) {
        return TG_EBADJSON;
    }
    *ret = tg_arena_str(arena, tg_buf_view(&text));
    return TG_OK;
}

static enum tg_rc get_seconds(tg_str object, const char *name, int64_t *ret)
{
    tg_str value = TG_STR_NONE;
    uint64_t n = 0;

    if (tg_json_member(object, name, &value) != TG_OK || tg_str_to_u64(value, &n) != TG_OK ||
        n > INT64_MAX) {
        return TG_EBADJSON;
    }
    *ret = (int64_t)n;
    return TG_OK;
}

/* The index of `word`, or n. */
static size_t index_of(const char *const *words, size_t n, tg_str word)
{
    size_t i = 0;

    while (i < n && !tg_str_eq(tg_str_of(words[i]), word)) {
        i++;
    }
    return i;
}

static enum tg_rc get_token(const struct tg_handler_opts *o, tg_str payload, tg_usec now,
                            struct tg_arena *arena, tg_str *ret)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = {.max = TG_TOKEN_MAX_BYTES};
    tg_str sealed = TG_STR_NONE;
    enum tg_rc rc = get_text(payload, "token", arena, &sealed);

    if (rc == TG_OK) {
        rc = tg_seal_unwrap(o->control_seal, sealed, now, &text);
    }
    if (rc == TG_OK) {
        *ret = tg_arena_str(arena, tg_buf_view(&text));
    }
    return rc;
}

static enum tg_rc get_session_end(tg_str payload, struct tg_arena *arena, struct tg_control *c)
{
    tg_str scope = TG_STR_NONE;
    size_t i = 0;

    if (get_text(payload, "session", arena, &c->session) != TG_OK ||
        get_text(payload, "scope", arena, &scope) != TG_OK ||
        get_seconds(payload, "at", &c->at_sec) != TG_OK ||
        get_seconds(payload, "until", &c->until_sec) != TG_OK) {
        return TG_EBADJSON;
    }
    i = index_of(scopes, TG_ARRAY_LEN(scopes), scope);
    if (i == TG_ARRAY_LEN(scopes)) {
        return TG_EUNSUPPORTED;
    }
    c->scope = (enum tg_signout_scope)i;
    return TG_OK;
}

enum tg_rc tg_control_parse(const struct tg_handler_opts *o, tg_str payload, tg_usec now,
                            struct tg_arena *arena, struct tg_control *ret_c)
{
    struct tg_control c = {0};
    tg_str kind = TG_STR_NONE;
    int64_t version = 0;
    size_t i = 0;
    enum tg_rc rc = TG_OK;

    if (payload.n > TG_CONTROL_MAX_BYTES || !tg_json_is_valid(payload) ||
        get_seconds(payload, "v", &version) != TG_OK ||
        get_text(payload, "kind", arena, &kind) != TG_OK) {
        return TG_EBADJSON;
    }
    i = index_of(kinds, TG_ARRAY_LEN(kinds), kind);
    if (version != VERSION || i == TG_ARRAY_LEN(kinds)) {
        return TG_EUNSUPPORTED;
    }
    c.kind = (enum tg_control_kind)i;
    rc = get_text(payload, "user", arena, &c.user);
    if (rc == TG_OK && c.kind == TG_CONTROL_SESSION_END) {
        rc = get_session_end(payload, arena, &c);
    } else if (rc == TG_OK) {
        rc = get_text(payload, "device", arena, &c.device);
    }
    if (rc == TG_OK && c.kind == TG_CONTROL_TOKEN) {
        rc = get_token(o, payload, now, arena, &c.token);
    }
    if (rc == TG_OK) {
        *ret_c = c;
    }
    return rc;
}

/* ---- sending ---- */

struct sending {
    tg_done_fn *done;
    void *arg;
};

static void on_written(enum tg_rc rc, struct tg_pos pos, void *arg)
{
    struct sending *s = arg;
    const struct sending copy = *s;

    (void)pos;
    free(s);
    copy.done(rc, copy.arg);
}

enum tg_rc tg_control_send(struct tg_worker *w, const struct tg_control *c, tg_done_fn *done,
                           void *arg)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf payload = {.max = TG_CONTROL_MAX_BYTES};
    struct tg_epoch epoch;
    struct tg_store *store = tg_fanout_store(w->fanout, &epoch);
    struct sending *s = NULL;
    enum tg_rc rc = tg_control_build(w->opts, c, tg_clock_wall_us(), &payload);

    if (rc != TG_OK || store == NULL) {
        return rc != TG_OK ? rc : TG_ESTORE;
    }
    s = TG_NEW(struct sending);
    s->done = done;
    s->arg = arg;
    rc = tg_store_control(store, &epoch, tg_buf_view(&payload), on_written, s);
    if (rc != TG_OK) {
        free(s);
    }
    return rc;
}

/* ---- what a word does on a worker ---- */

/* A token that is being looked at, for a device's streams. */
struct fresh {
    struct tg_list node; /* worker->control_waits */
    struct tg_worker *w;
    struct tg_bearer_wait *wait;
    tg_str user;
    tg_str device;
    struct tg_arena arena;
};

static void fresh_free(struct fresh *f)
{
    tg_list_remove(&f->node);
    tg_arena_drop(&f->arena);
    free(f);
}

static void on_fresh(enum tg_rc rc, struct tg_token *token, void *arg)
{
    struct fresh *f = arg;

    if (rc == TG_OK && tg_str_eq(tg_str_of(token->user_id), f->user)) {
        (void)tg_clients_token(f->w, f->user, f->device, token);
    }
    tg_token_unref(token);
    fresh_free(f);
}

static void take_token(struct tg_worker *w, const struct tg_control *c)
{
    struct fresh *f = NULL;

    if (tg_clients_of_device(w, c->user, c->device) == 0) {
        return;
    }
    f = TG_NEW(struct fresh);
    f->w = w;
    tg_list_append(&w->control_waits, &f->node);
    f->user = tg_arena_str(&f->arena, c->user);
    f->device = tg_arena_str(&f->arena, c->device);
    /* It was checked where it came in: its user pays for the check, not an address. */
    tg_bearer_text(w, c->user, c->token, on_fresh, f, &f->wait);
}

static void take(struct tg_worker *w, tg_str payload)
{
    struct tg_arena arena = {0};
    struct tg_control c = {0};
    enum tg_rc rc = tg_control_parse(w->opts, payload, tg_clock_wall_us(), &arena, &c);

    if (rc != TG_OK) {
        tg_log_limited(TG_LOG_WARN, "control_ignored", 60, TG_KZ("rc", tg_rc_name(rc)));
        tg_arena_drop(&arena);
        return;
    }
    tg_count_add(&w->counts.controls, 1);
    switch (c.kind) {
    case TG_CONTROL_TOKEN:
        take_token(w, &c);
        break;
    case TG_CONTROL_DEVICE_END:
        (void)tg_clients_end_device(w, c.user, c.device, "device_deleted");
        break;
    case TG_CONTROL_SESSION_END:
        tg_session_on_end(w, &c);
        break;
    }
    tg_arena_drop(&arena);
}

void tg_control_stop(struct tg_worker *w)
{
    while (!tg_list_empty(&w->control_waits)) {
        struct fresh *f = TG_CONTAINER_OF(w->control_waits.next, struct fresh, node);

        tg_bearer_cancel(f->wait);
        fresh_free(f);
    }
}

/* ---- between threads ---- */

struct tg_control_relay {
    size_t n;
    struct tg_worker **workers;
    tg_count missed[]; /* by worker; the hub's thread writes */
};

struct control_mail {
    struct tg_mail mail;
    bool is_missed;
    size_t n;
    char payload[];
};

static void drop_control(struct tg_mail *mail)
{
    free(TG_CONTAINER_OF(mail, struct control_mail, mail));
}

static void on_control(struct tg_mail *mail, void *owner)
{
    struct control_mail *m = TG_CONTAINER_OF(mail, struct control_mail, mail);

    if (m->is_missed) {
        tg_session_on_missed(owner);
    } else {
        take(owner, tg_str_make(m->payload, m->n));
    }
    free(m);
}

static bool post(struct tg_worker *to, tg_str payload, bool is_missed)
{
    struct control_mail *m = tg_calloc(1, sizeof(*m) + payload.n);

    m->mail.run = on_control;
    m->mail.drop = drop_control;
    m->is_missed = is_missed;
    m->n = payload.n;
    if (payload.n > 0) {
        memcpy(m->payload, payload.p, payload.n);
    }
    if (tg_loop_post(to->loop, &m->mail) == TG_OK) {
        return true;
    }
    drop_control(&m->mail);
    return false;
}

struct tg_control_relay *tg_control_relay_create(struct tg_worker *const *workers, size_t n)
{
    struct tg_control_relay *r = tg_calloc(1, sizeof(*r) + n * sizeof(r->missed[0]));

    r->n = n;
    r->workers = tg_calloc(n, sizeof(struct tg_worker *));
    for (size_t i = 0; i < n; i++) {
        r->workers[i] = workers[i];
        r->workers[i]->relay = r;
    }
    return r;
}

void tg_control_relay_destroy(struct tg_control_relay *r)
{
    if (r != NULL) {
        free(r->workers);
        free(r);
    }
}

void tg_control_on_hub(tg_str payload, bool is_missed, void *relay)
{
    struct tg_control_relay *r = relay;

    for (size_t i = 0; i < r->n; i++) {
        if (!post(r->workers[i], payload, is_missed)) {
            tg_count_add(&r->missed[i], 1);
        }
    }
}

size_t tg_control_n_peers(const struct tg_worker *w)
{
    return w->relay == NULL ? 1 : w->relay->n;
}

struct tg_worker *tg_control_peer(const struct tg_worker *w, size_t index)
{
    return index < w->relay->n ? w->relay->workers[index] : NULL;
}

void tg_control_tell_here(struct tg_worker *w, tg_str payload)
{
    size_t n_lost = 0;

    for (size_t i = 0; i < w->relay->n; i++) {
        n_lost += post(w->relay->workers[i], payload, false) ? 0 : 1;
    }
    if (n_lost > 0) {
        tg_log_limited(TG_LOG_WARN, "control_lost", 10, TG_KN("workers", n_lost));
    }
}

uint64_t tg_control_missed(const struct tg_worker *w)
{
    return w->relay == NULL ? 0 : tg_count_get(&w->relay->missed[w->index]);
}
