/* group.c - see group.h. These stand where the linker would take realtime's streams and lib/store;
 * handlers_worker/stand.c has the rest. */
#include "group.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "auth/seal.h"
#include "auth/token.h"
#include "handlers/access.h"
#include "handlers/quota.h"
#include "handlers/ws.h"
#include "handlers_worker/stand.h"
#include "store/device.h"

struct asked asked[MAX_ASKED];
size_t n_asked;
bool is_store_down;
enum tg_rc store_rc;

/* ---- streams ---- */

/* A stream is its client here. */
static struct client *client_of(struct tg_stream *s)
{
    return (struct client *)(void *)s;
}

enum tg_rc tg_stream_open(struct tg_fanout *f, const struct tg_stream_opts *opts,
                          struct tg_stream **ret_stream)
{
    (void)f;
    *ret_stream = (struct tg_stream *)opts->arg;
    return TG_OK;
}

void tg_stream_end(struct tg_stream *s, const char *why, tg_usec retry)
{
    struct client *c = client_of(s);

    (void)retry;
    (void)snprintf(c->ended, sizeof(c->ended), "%s", why);
    c->c.stream = NULL;
    tg_client_leave(c->w, &c->c);
}

enum tg_rc tg_stream_token(struct tg_stream *s, const struct tg_stream_user *u)
{
    struct client *c = client_of(s);

    (void)snprintf(c->token, sizeof(c->token), "%.*s", TG_STR_ARG(u->class_id));
    return TG_OK;
}

/* Nobody here reads a topic that is asked about. */
bool tg_access_is_asked(const struct tg_topic_name *name)
{
    (void)name;
    return false;
}

enum tg_rc tg_access_ask(struct tg_access *a, const struct tg_access_question *q,
                         tg_access_fn_done *done, void *arg, struct tg_access_wait **ret_wait)
{
    (void)a;
    (void)q;
    (void)done;
    (void)arg;
    (void)ret_wait;
    return TG_OK;
}

void tg_access_cancel(struct tg_access_wait *wait)
{
    (void)wait;
}

void tg_access_follow(struct tg_access *a, struct tg_client *c, struct tg_token *token,
                      const struct tg_topic_name *name)
{
    (void)a;
    (void)c;
    (void)token;
    (void)name;
}

void tg_access_leave(struct tg_access *a, struct tg_client *c)
{
    (void)a;
    (void)c;
}

void tg_access_token(struct tg_access *a, struct tg_client *c, struct tg_token *token)
{
    (void)a;
    (void)c;
    (void)token;
}

void tg_ws_keep_token(struct tg_client *c, struct tg_token *token)
{
    struct client *mine = TG_CONTAINER_OF(c, struct client, c);

    mine->is_kept = token != NULL;
}

/* ---- the store ---- */

struct tg_store *tg_fanout_store(const struct tg_fanout *f, struct tg_epoch *ret_epoch)
{
    (void)f;
    if (ret_epoch != NULL) {
        *ret_epoch = (struct tg_epoch){"e"};
    }
    return is_store_down ? NULL : (struct tg_store *)(void *)&asked; /* never looked into */
}

static struct asked *note(int what, tg_str text, void *arg)
{
    struct asked *a = &asked[n_asked];

    cr_assert_lt(n_asked, (size_t)MAX_ASKED);
    cr_assert_lt(text.n, sizeof(a->text));
    if (store_rc != TG_OK) {
        return NULL;
    }
    *a = (struct asked){.what = what, .arg = arg};
    if (text.n > 0) {
        memcpy(a->text, text.p, text.n);
    }
    n_asked++;
    return a;
}

enum tg_rc tg_store_once(struct tg_store *s, tg_str key, tg_usec ttl, tg_done_fn *done, void *arg)
{
    (void)s;
    (void)key;
    (void)ttl;
    (void)done;
    (void)arg;
    return TG_ESTORE;
}

enum tg_rc tg_store_device_touch(struct tg_store *s, const struct tg_device_want *want,
                                 tg_device_fn *done, void *arg)
{
    (void)s;
    (void)want;
    (void)done;
    (void)arg;
    return TG_ESTORE;
}

enum tg_rc tg_store_deny(struct tg_store *s, tg_str key, int64_t until_sec, tg_done_fn *done,
                         void *arg)
{
    struct asked *a = note(ASKED_DENY, key, arg);

    (void)s;
    if (a != NULL) {
        a->until_sec = until_sec;
        a->done = done;
    }
    return store_rc;
}

enum tg_rc tg_store_denied(struct tg_store *s, tg_denied_fn *done, void *arg)
{
    struct asked *a = note(ASKED_LIST, TG_STR(""), arg);

    (void)s;
    if (a != NULL) {
        a->list = done;
    }
    return store_rc;
}

enum tg_rc tg_store_control(struct tg_store *s, const struct tg_epoch *epoch, tg_str payload,
                            tg_append_fn *done, void *arg)
{
    struct asked *a = note(ASKED_CONTROL, payload, arg);

    (void)s;
    cr_assert_str_eq(epoch->text, "e");
    if (a != NULL) {
        a->written = done;
    }
    return store_rc;
}

struct asked *next_asked(int what)
{
    for (size_t i = n_asked; i > 0; i--) {
        if ((int)asked[i - 1].what == what && !asked[i - 1].is_answered) {
            asked[i - 1].is_answered = true;
            return &asked[i - 1];
        }
    }
    cr_assert_fail("nothing of kind %d was asked", what);
    return NULL;
}

bool has_asked(int what)
{
    for (size_t i = 0; i < n_asked; i++) {
        if ((int)asked[i].what == what && !asked[i].is_answered) {
            return true;
        }
    }
    return false;
}

void answer_all(struct group *g)
{
    static const struct tg_pos pos = {1, 1};

    for (size_t i = 0; i < n_asked; i++) {
        struct asked *a = &asked[i];

        if (a->is_answered) {
            continue;
        }
        a->is_answered = true;
        if (a->what == ASKED_DENY) {
            a->done(TG_OK, a->arg);
        } else if (a->what == ASKED_LIST) {
            a->list(TG_OK, NULL, 0, a->arg);
        } else {
            a->written(TG_OK, pos, a->arg);
            tg_control_on_hub(tg_str_of(a->text), false, g->relay);
        }
    }
    n_asked = 0;
    group_turn(g, 0);
}

/* ---- the group ---- */

void group_make_room(struct group *g)
{
    for (size_t i = 0; i < WORKERS; i++) {
        turn_full(g->workers[i].loop);
    }
}

void group_turn(struct group *g, unsigned ms)
{
    fake_now += TG_MS(ms);
    /* Twice: what one says to the other arrives as well. */
    for (size_t i = 0; i < (size_t)2 * WORKERS; i++) {
        turn(g->workers[i % WORKERS].loop);
    }
}

void group_make(struct group *g)
{
    struct tg_worker *all[WORKERS];
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);

    *g = (struct group){0};
    n_asked = 0;
    g->seal = tg_seal_create(TG_STR(SECRET), TG_STR("control"));
    g->opts = (struct tg_handler_opts){
        .control_seal = g->seal,
        .skew_sec = 30,
        .per_user = tg_quota_create(WORKERS, 100),
        .per_address = tg_quota_create(WORKERS, 100),
    };
    for (unsigned i = 0; i < WORKERS; i++) {
        struct tg_worker *w = &g->workers[i];

        worker_make(w, i, &g->opts, keys);
        w->sessions = tg_sessions_create(w);
        all[i] = w;
    }
    tg_keys_unref(keys);
    g->relay = tg_control_relay_create(all, WORKERS);
}

void group_drop(struct group *g)
{
    for (size_t i = 0; i < g->n_clients; i++) {
        tg_client_leave(g->clients[i].w, &g->clients[i].c);
    }
    for (size_t i = 0; i < WORKERS; i++) {
        struct tg_worker *w = &g->workers[i];

        tg_control_stop(w);
        tg_sessions_stop(w->sessions);
    }
    for (size_t i = 0; i < n_asked; i++) {
        struct asked *a = &asked[i];

        if (!a->is_answered && a->what == ASKED_DENY) {
            a->done(TG_ECANCELED, a->arg);
        } else if (!a->is_answered && a->what == ASKED_LIST) {
            a->list(TG_ECANCELED, NULL, 0, a->arg);
        } else if (!a->is_answered) {
            a->written(TG_ECANCELED, (struct tg_pos){0, 0}, a->arg);
        }
    }
    for (size_t i = 0; i < WORKERS; i++) {
        struct tg_worker *w = &g->workers[i];

        tg_sessions_destroy(w->sessions);
        worker_drop(w);
    }
    tg_control_relay_destroy(g->relay);
    tg_seal_destroy(g->seal);
    tg_quota_destroy(g->opts.per_user);
    tg_quota_destroy(g->opts.per_address);
}

/* ---- users ---- */

static char *text_of(const char *sub, const char *session, int64_t iat_sec)
{
    char claims[512];

    (void)snprintf(claims, sizeof(claims),
                   "{\"sub\":\"%s\",\"iss\":\"i\",\"role\":\"authenticated\",\"exp\":%u,"
                   "\"iat\":%lld%s%s%s}",
                   sub, NOW_SEC + 3600U, (long long)iat_sec,
                   session[0] == '\0' ? "" : ",\"session_id\":\"", session,
                   session[0] == '\0' ? "" : "\"");
    return mint_hs(claims);
}

struct tg_token *token_of(const char *sub, const char *session, int64_t iat_sec)
{
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    const struct tg_token_opts opts = {.now = NOW};
    char *text = text_of(sub, session, iat_sec);
    struct tg_token *t = NULL;

    cr_assert_eq(tg_token_verify(keys, tg_str_of(text), &opts, &t), TG_OK);
    free(text);
    tg_keys_unref(keys);
    return t;
}

const char *user_of(const char *sub)
{
    static char id[TG_CLASS_ID_CHARS + 1];
    struct tg_token *t = token_of(sub, "s", 0);

    memcpy(id, t->user_id, sizeof(id));
    tg_token_unref(t);
    return id;
}

struct client *group_stream(struct group *g, unsigned k, const char *sub, const char *session,
                            const char *device)
{
    static const struct tg_sink_ops ops = {0};
    struct client *c = &g->clients[g->n_clients++];
    struct tg_exchange x = {.w = &g->workers[k]};
    struct tg_token *t = token_of(sub, session, NOW_SEC - 100);
    struct tg_admission a = {
        .x = &x, .token = t, .user = tg_admission_stream_user(t), .device = tg_str_of(device)};

    cr_assert_leq(g->n_clients, (size_t)MAX_CLIENTS);
    c->w = &g->workers[k];
    cr_assert_eq(tg_client_open(&c->c, &a, &ops, c, false), TG_OK);
    tg_token_unref(t);
    return c;
}

void group_signout(struct group *g, unsigned k, const char *target, const char *sub,
                   const char *session, unsigned status)
{
    char *text = text_of(sub, session, NOW_SEC - 50);
    char value[2048];
    struct tg_field field = {TG_STR("Authorization"), {value, 0}};
    struct tg_request req = {.head = {.method = TG_POST,
                                      .method_text = TG_STR("POST"),
                                      .target = tg_str_of(target),
                                      .minor = 1,
                                      .fields = {&field, 1},
                                      .host = TG_STR("gateway")}};
    struct tg_conn conn = {0};
    struct tg_exchange *x = tg_exchange_create(&g->workers[k], &conn, &req);
    struct tg_signout *so = NULL;

    field.value.n = (size_t)snprintf(value, sizeof(value), "Bearer %s", text);
    free(text);
    so = tg_signout_begin(x);
    tg_arena_drop(&req.arena); /* the request may be over when Auth answers */
    memset(value, 'x', sizeof(value));
    if (status == 0) {
        tg_signout_drop(so);
    } else if (so != NULL) {
        tg_signout_answered(so, status);
    }
}
