/* session.c - the deny list of one worker, and sign-outs on their way to the group.
 *
 *   begin -> answered: whose? -> done here -> deny list, control entry -> gone
 *                                    ^------- again in a second --------+ (the store is away)
 *
 * A rule that is new on a worker ends the streams that it means; one that is known has done so.
 * So it does not matter whether a rule comes by a control entry, by the list, or twice. */
#include "handlers/session.h"

#include <stdlib.h>

#include "auth/token.h"
#include "handlers/bearer.h"
#include "handlers/client.h"
#include "handlers/control.h"
#include "handlers/deny.h"
#include "handlers/forward.h"
#include "util/log.h"

enum {
    MAX_SIGNOUTS = 1024, /* on their way, of one worker */
    MAX_RULES = 2,       /* of one sign-out */
    MAX_TOKEN_SEC = 30 * 24 * 3600,
};

#define LOOK TG_SEC(10)
#define RETRY TG_SEC(1)
#define LIST_RETRY TG_MS(100)

struct tg_sessions {
    struct tg_worker *w;
    struct tg_timer timer;
    bool is_stopped;
    bool needs_list;
    bool is_reading;
    uint64_t missed; /* words that were known to be missed when the list was read */
    struct tg_list signouts;
    size_t n_signouts;
};

struct tg_signout {
    struct tg_list node; /* sessions->signouts */
    struct tg_sessions *s;
    enum tg_signout_scope scope;
    char *token; /* until it is known whose it is */
    char *address;
    struct tg_bearer_wait *wait;
    /* from then on */
    char *user;
    char *session;
    char *keys[MAX_RULES];
    size_t n_keys;
    size_t n_written; /* of the keys */
    int64_t at_sec;
    int64_t until_sec;
    bool is_known;     /* whose it is */
    bool is_under_way; /* in the store */
    bool is_told_here; /* to this process' workers, since the store is away */
};

static int64_t now_sec(void)
{
    return (int64_t)(tg_clock_wall_us() / TG_SEC(1));
}

/* ---- what is forbidden ---- */

static struct tg_control control_of(const struct tg_signout *so)
{
    return (struct tg_control){.kind = TG_CONTROL_SESSION_END,
                               .user = tg_str_of(so->user),
                               .session = tg_str_of(so->session),
                               .scope = so->scope,
                               .at_sec = so->at_sec,
                               .until_sec = so->until_sec};
}

/* What a sign-out denies. Returns how many. */
static size_t rules_of(const struct tg_control *c, struct tg_deny_rule out[MAX_RULES])
{
    size_t n = 0;

    if (c->session.n > 0 && c->scope != TG_SIGNOUT_OTHERS) {
        out[n++] = (struct tg_deny_rule){.user = c->user, .session = c->session};
    }
    if (c->scope != TG_SIGNOUT_LOCAL) {
        out[n++] = (struct tg_deny_rule){.user = c->user,
                                         .session = c->scope == TG_SIGNOUT_OTHERS ? c->session
                                                                                  : TG_STR(""),
                                         .is_user = true,
                                         .before_sec = c->at_sec};
    }
    return n;
}

static void end_streams(struct tg_worker *w, const struct tg_control *c)
{
    switch (c->scope) {
    case TG_SIGNOUT_LOCAL:
        (void)tg_clients_end_session(w, c->user, c->session, "signed_out");
        break;
    case TG_SIGNOUT_GLOBAL:
        (void)tg_clients_end_user(w, c->user, "signed_out");
        break;
    case TG_SIGNOUT_OTHERS:
        (void)tg_clients_end_others(w, c->user, c->session, "signed_out");
        break;
    }
}

void tg_session_on_end(struct tg_worker *w, const struct tg_control *c)
{
    struct tg_deny_rule rules[MAX_RULES];
    size_t n = rules_of(c, rules);
    bool is_new = false;

    for (size_t i = 0; i < n; i++) {
        TG_CLEANUP(tg_buf_fini) struct tg_buf key = {.max = TG_DENY_KEY_MAX};

        tg_deny_key(&rules[i], &key);
        if (tg_deny_put(w->deny, tg_buf_view(&key), c->until_sec, now_sec())) {
            is_new = true;
        }
    }
    tg_count_set(&w->counts.denied, tg_deny_count(w->deny));
    if (is_new) {
        end_streams(w, c);
    }
}

/* ---- the group's list ---- */

/* A rule that no word has told of. Streams of a user's newer sessions are not told apart from the
 * older ones': they all come again, those that may. */
static void apply_late(struct tg_worker *w, tg_str key)
{
    struct tg_deny_rule r = {0};

    if (tg_deny_key_parse(key, &r) != TG_OK) {
        return;
    }
    if (!r.is_user) {
        (void)tg_clients_end_session(w, r.user, r.session, "signed_out");
    } else if (r.session.n > 0) {
        (void)tg_clients_end_others(w, r.user, r.session, "recheck");
    } else {
        (void)tg_clients_end_user(w, r.user, "recheck");
    }
}

static void on_list(enum tg_rc rc, const struct tg_denied *list, size_t n, void *arg)
{
    struct tg_sessions *s = arg;

    s->is_reading = false;
    if (rc != TG_OK) {
        s->needs_list = true;
        if (!s->is_stopped) {
            tg_loop_timer_start(s->w->loop, &s->timer, LIST_RETRY);
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (tg_deny_put(s->w->deny, list[i].key, list[i].until_sec, now_sec())) {
            apply_late(s->w, list[i].key);
        }
    }
    tg_count_set(&s->w->counts.denied, tg_deny_count(s->w->deny));
}

static void read_list(struct tg_sessions *s)
{
    struct tg_store *store = tg_fanout_store(s->w->fanout, NULL);

    if (s->is_reading || store == NULL || tg_store_denied(store, on_list, s) != TG_OK) {
        return;
    }
    s->is_reading = true;
    s->needs_list = false;
    s->missed = tg_control_missed(s->w);
}

void tg_session_on_missed(struct tg_worker *w)
{
    w->sessions->needs_list = true;
    read_list(w->sessions);
    tg_loop_timer_start(w->loop, &w->sessions->timer, LIST_RETRY);
}

/* ---- on the way to the store ---- */

static void signout_free(struct tg_signout *so)
{
    tg_list_remove(&so->node);
    so->s->n_signouts--;
    for (size_t i = 0; i < so->n_keys; i++) {
        free(so->keys[i]);
    }
    free(so->token);
    free(so->address);
    free(so->user);
    free(so->session);
    free(so);
}

static void step(struct tg_signout *so);

/* The other gateways wait for the store; this one's workers need not. */
static void tell_here(struct tg_signout *so)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf payload = {.max = TG_CONTROL_MAX_BYTES};
    const struct tg_control c = control_of(so);

    if (so->is_told_here) {
        return;
    }
    so->is_told_here = true;
    tg_log_limited(TG_LOG_WARN, "signout_waits", 10, TG_KZ("for", "store"));
    if (tg_control_build(so->s->w->opts, &c, tg_clock_wall_us(), &payload) == TG_OK) {
        tg_control_tell_here(so->s->w, tg_buf_view(&payload));
    }
}

static void try_later(struct tg_signout *so)
{
    struct tg_sessions *s = so->s;

    tell_here(so);
    tg_count_add(&s->w->counts.signout_retries, 1);
    if (now_sec() >= so->until_sec) {
        signout_free(so); /* its tokens have expired meanwhile */
    } else if (!s->is_stopped) {
        tg_loop_timer_start(s->w->loop, &s->timer, RETRY);
    }
}

static void on_denied(enum tg_rc rc, void *arg)
{
    struct tg_signout *so = arg;

    so->is_under_way = false;
    if (rc == TG_OK || rc == TG_EFULL) {
        /* A full list must not keep the word from those who can act on it now. */
        so->n_written++;
        step(so);
    } else {
        try_later(so);
    }
}

static void on_told(enum tg_rc rc, void *arg)
{
    struct tg_signout *so = arg;

    so->is_under_way = false;
    if (rc == TG_OK) {
        signout_free(so);
    } else {
        try_later(so);
    }
}

/* The list first: who reads it later than the word was said must find it there. */
static void step(struct tg_signout *so)
{
    struct tg_store *store = tg_fanout_store(so->s->w->fanout, NULL);
    const struct tg_control c = control_of(so);
    enum tg_rc rc = TG_ESTORE;

    if (store != NULL && so->n_written < so->n_keys) {
        rc = tg_store_deny(store, tg_str_of(so->keys[so->n_written]), so->until_sec, on_denied, so);
    } else if (store != NULL) {
        rc = tg_control_send(so->s->w, &c, on_told, so);
    }
    if (rc == TG_OK) {
        so->is_under_way = true;
    } else {
        try_later(so);
    }
}

/* ---- whose sign-out it is ---- */

static int64_t last_expiry(const struct tg_token *t)
{
    /* Others of the session's tokens may be newer than this one, by its life at most. */
    int64_t life = t->iat_sec > 0 && t->exp_sec > t->iat_sec ? t->exp_sec - t->iat_sec : 0;

    return TG_MAX(t->exp_sec, now_sec() + TG_MIN(life, (int64_t)MAX_TOKEN_SEC));
}

static void take_rules(struct tg_signout *so)
{
    const struct tg_control c = control_of(so);
    struct tg_deny_rule rules[MAX_RULES];

    so->n_keys = rules_of(&c, rules);
    for (size_t i = 0; i < so->n_keys; i++) {
        struct tg_buf key = {.max = TG_DENY_KEY_MAX};

        tg_deny_key(&rules[i], &key);
        TG_ASSERT(tg_buf_rc(&key) == TG_OK);
        so->keys[i] = tg_buf_take(&key);
    }
}

static void on_who(enum tg_rc rc, struct tg_token *token, void *arg)
{
    struct tg_signout *so = arg;
    struct tg_worker *w = so->s->w;
    struct tg_control c = {0};

    so->wait = NULL;
    if (rc != TG_OK) {
        signout_free(so); /* nobody of ours */
        return;
    }
    so->user = tg_str_dup(tg_str_of(token->user_id));
    so->session = tg_str_dup(tg_deny_session_of(token));
    so->at_sec = now_sec();
    so->until_sec = last_expiry(token);
    /* Auth does the same for a token that names no session. */
    so->scope = so->session[0] == '\0' ? TG_SIGNOUT_GLOBAL : so->scope;
    tg_token_unref(token);
    take_rules(so);
    so->is_known = true;
    tg_count_add(&w->counts.signouts, 1);
    c = control_of(so);
    tg_session_on_end(w, &c); /* before the client reads the answer */
    step(so);
}

static bool is_signout(const struct tg_exchange *x)
{
    char path[sizeof("/auth/v1/logout/") * 3];
    bool is_whole = false;
    size_t n = 0;

    if (x->req->head.method != TG_POST || x->path.n >= sizeof(path)) {
        return false;
    }
    n = tg_str_unescape(x->path, false, path, &is_whole);
    return tg_str_eq(tg_str_make(path, n), TG_STR("/auth/v1/logout")) ||
           tg_str_eq(tg_str_make(path, n), TG_STR("/auth/v1/logout/"));
}

static enum tg_signout_scope scope_of(struct tg_exchange *x)
{
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;

    while (tg_exchange_param(x, &at, &name, &value) == TG_OK) {
        if (!tg_str_eq(name, TG_STR("scope"))) {
            continue;
        }
        if (tg_str_eq(value, TG_STR("local"))) {
            return TG_SIGNOUT_LOCAL;
        }
        return tg_str_eq(value, TG_STR("others")) ? TG_SIGNOUT_OTHERS : TG_SIGNOUT_GLOBAL;
    }
    return TG_SIGNOUT_GLOBAL;
}

struct tg_signout *tg_signout_begin(struct tg_exchange *x)
{
    struct tg_sessions *s = x->w->sessions;
    const struct tg_forward_peer peer = {tg_conn_peer(x->conn), tg_conn_peer_is_trusted(x->conn)};
    struct tg_signout *so = NULL;
    tg_str token = TG_STR_NONE;

    if (s == NULL || !is_signout(x) || tg_bearer_read(x, &token) != TG_OK || token.n == 0 ||
        token.n > TG_TOKEN_MAX_BYTES) {
        return NULL;
    }
    if (s->n_signouts == MAX_SIGNOUTS) {
        tg_log_limited(TG_LOG_WARN, "signouts_full", 10, TG_KN("max", MAX_SIGNOUTS));
        return NULL;
    }
    so = TG_NEW(struct tg_signout);
    so->s = s;
    so->scope = scope_of(x);
    so->token = tg_str_dup(token);
    so->address = tg_str_dup(tg_forward_client(x->req->head.fields, peer));
    tg_list_append(&s->signouts, &so->node);
    s->n_signouts++;
    return so;
}

void tg_signout_answered(struct tg_signout *so, unsigned status)
{
    /* SDKs take these for "there is no such session any more" (reference/supabase-http.md 2.7). */
    bool is_gone = status == 401 || status == 403 || status == 404;

    if (!is_gone && (status < 200 || status > 299)) {
        signout_free(so);
        return;
    }
    so->scope = is_gone ? TG_SIGNOUT_LOCAL : so->scope;
    tg_bearer_watch(so->s->w, tg_str_of(so->address), tg_str_of(so->token), on_who, so, &so->wait);
}

void tg_signout_drop(struct tg_signout *so)
{
    if (so != NULL) {
        signout_free(so);
    }
}

/* ---- life ---- */

static void on_look(struct tg_timer *t)
{
    struct tg_sessions *s = TG_CONTAINER_OF(t, struct tg_sessions, timer);
    tg_usec next = LOOK;

    if (tg_control_missed(s->w) != s->missed) {
        s->needs_list = true;
    }
    if (s->needs_list) {
        read_list(s);
    }
    for (struct tg_list *n = s->signouts.next, *following = NULL; n != &s->signouts;
         n = following) {
        struct tg_signout *so = TG_CONTAINER_OF(n, struct tg_signout, node);

        following = n->next;
        if (so->is_known && !so->is_under_way) {
            next = RETRY;
            step(so);
        }
    }
    tg_loop_timer_start(s->w->loop, &s->timer, s->needs_list ? LIST_RETRY : next);
}

struct tg_sessions *tg_sessions_create(struct tg_worker *w)
{
    struct tg_sessions *s = TG_NEW(struct tg_sessions);

    s->w = w;
    s->w->deny = tg_deny_create(TG_DENIED_MAX);
    s->needs_list = true;
    tg_list_init(&s->signouts);
    tg_timer_init(&s->timer, on_look);
    tg_loop_timer_start(w->loop, &s->timer, 0);
    return s;
}

void tg_sessions_stop(struct tg_sessions *s)
{
    s->is_stopped = true;
    tg_loop_timer_stop(s->w->loop, &s->timer);
}

void tg_sessions_destroy(struct tg_sessions *s)
{
    size_t n_lost = 0;

    if (s == NULL) {
        return;
    }
    if (!s->is_stopped) {
        tg_sessions_stop(s); /* its loop has never run */
    }
    while (!tg_list_empty(&s->signouts)) {
        struct tg_signout *so = TG_CONTAINER_OF(s->signouts.next, struct tg_signout, node);

        n_lost += so->is_known ? 1 : 0;
        if (so->wait != NULL) {
            tg_bearer_cancel(so->wait);
        }
        signout_free(so);
    }
    if (n_lost > 0) {
        tg_log(TG_LOG_WARN, "signouts_lost", TG_KN("n", n_lost));
    }
    tg_deny_destroy(s->w->deny);
    free(s);
}
