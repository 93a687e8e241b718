/* client.c - hash tables of the open streams of a worker, by intrusive chains. */
#include "handlers/client.h"

#include <stdlib.h>

#include "auth/token.h"
#include "handlers/access.h"
#include "handlers/admission.h"
#include "handlers/worker.h"
#include "handlers/ws.h"
#include "util/map.h"

enum { MIN_BUCKETS = 64, LOAD = 2 /* clients per bucket before it grows */ };

#define USER_KEY_MASK 0x7FFFFFFFU

/* ---- keys ---- */

static uint32_t key_of(tg_str user, tg_str text)
{
    const uint64_t both[2] = {tg_hash(user), tg_hash(text)};

    return (uint32_t)tg_hash(tg_str_make((const char *)both, sizeof(both)));
}

static uint32_t user_key_of(tg_str user)
{
    return (uint32_t)(tg_hash(user) >> 33);
}

static struct tg_client *of_device(struct tg_client_hook *h)
{
    return TG_CONTAINER_OF(h, struct tg_client, device);
}

static struct tg_client *of_session(struct tg_client_hook *h)
{
    return TG_CONTAINER_OF(h, struct tg_client, session);
}

/* The keys stand beside the hooks, where they need no padding: each table knows its own. */
typedef uint32_t key_fn(struct tg_client_hook *h);

static uint32_t device_key(struct tg_client_hook *h)
{
    return of_device(h)->device_key;
}

static uint32_t session_key(struct tg_client_hook *h)
{
    return of_session(h)->session_key;
}

/* ---- tables ---- */

static void push(struct tg_client_hook **bucket, struct tg_client_hook *h)
{
    h->next = *bucket;
    h->at = bucket;
    if (h->next != NULL) {
        h->next->at = &h->next;
    }
    *bucket = h;
}

static void grow(struct tg_client_table *t, key_fn *key)
{
    uint32_t cap = t->cap == 0 ? MIN_BUCKETS : t->cap * 2;
    struct tg_client_hook **buckets = tg_calloc(cap, sizeof(struct tg_client_hook *));

    for (uint32_t i = 0; i < t->cap; i++) {
        for (struct tg_client_hook *h = t->buckets[i], *next = NULL; h != NULL; h = next) {
            next = h->next;
            push(&buckets[key(h) & (cap - 1)], h);
        }
    }
    free(t->buckets);
    t->buckets = buckets;
    t->cap = cap;
}

/* Its key is set. */
static void link_in(struct tg_client_table *t, struct tg_client_hook *h, key_fn *key)
{
    TG_ASSERT(h->at == NULL);
    if (t->n >= t->cap * LOAD) {
        grow(t, key);
    }
    push(&t->buckets[key(h) & (t->cap - 1)], h);
    t->n++;
}

static void join_device(struct tg_worker *w, struct tg_client *c, tg_str user, tg_str device)
{
    c->device_key = key_of(user, device);
    link_in(&w->clients.devices, &c->device, device_key);
}

static void join_session(struct tg_worker *w, struct tg_client *c, tg_str user, tg_str session)
{
    c->session_key = key_of(user, session);
    link_in(&w->clients.sessions, &c->session, session_key);
}

static void unlink_from(struct tg_client_table *t, struct tg_client_hook *h)
{
    if (h->at == NULL) {
        return;
    }
    *h->at = h->next;
    if (h->next != NULL) {
        h->next->at = h->at;
    }
    h->at = NULL;
    h->next = NULL;
    t->n--;
}

void tg_client_tables_fini(struct tg_client_tables *t)
{
    TG_ASSERT(t->devices.n == 0 && t->sessions.n == 0);
    free(t->devices.buckets);
    free(t->sessions.buckets);
    *t = (struct tg_client_tables){0};
}

/* ---- walks ---- */

typedef struct tg_client *client_fn(struct tg_client_hook *h);

/* Over the open streams of one device or session. It stands one ahead: the one it has handed out
 * may leave. */
struct walk {
    key_fn *key;
    client_fn *client;
    uint32_t wanted;
    uint32_t user_key;
    struct tg_client_hook *next;
};

static void pass_others(struct walk *k)
{
    while (k->next != NULL && k->key(k->next) != k->wanted) {
        k->next = k->next->next;
    }
}

static void begin_walk(struct walk *k, const struct tg_client_table *t, tg_str user, tg_str text)
{
    k->wanted = key_of(user, text);
    k->user_key = user_key_of(user);
    k->next = t->cap == 0 ? NULL : t->buckets[k->wanted & (t->cap - 1)];
    pass_others(k);
}

static struct walk over_device(const struct tg_worker *w, tg_str user, tg_str device)
{
    struct walk k = {.key = device_key, .client = of_device};

    begin_walk(&k, &w->clients.devices, user, device);
    return k;
}

static struct walk over_session(const struct tg_worker *w, tg_str user, tg_str session)
{
    struct walk k = {.key = session_key, .client = of_session};

    begin_walk(&k, &w->clients.sessions, user, session);
    return k;
}

static bool is_open(const struct tg_client *c, uint32_t user_key)
{
    return c->user_key == user_key && c->stream != NULL;
}

/* NULL: that was all. */
static struct tg_client *next_of(struct walk *k)
{
    while (k->next != NULL) {
        struct tg_client *c = k->client(k->next);

        k->next = k->next->next;
        pass_others(k);
        if (is_open(c, k->user_key)) {
            return c;
        }
    }
    return NULL;
}

size_t tg_clients_of_device(const struct tg_worker *w, tg_str user, tg_str device)
{
    struct walk k = over_device(w, user, device);
    size_t n = 0;

    while (next_of(&k) != NULL) {
        n++;
    }
    return n;
}

/* ---- one client ---- */

enum tg_rc tg_client_open(struct tg_client *c, struct tg_admission *a,
                          const struct tg_sink_ops *ops, void *arg, bool is_held)
{
    struct tg_worker *w = a->x->w;
    const struct tg_stream_opts opts = {.wants = a->wants,
                                        .n_wants = a->n_wants,
                                        .user = a->user,
                                        .is_held = is_held,
                                        .ops = ops,
                                        .arg = arg};
    enum tg_rc rc = tg_stream_open(w->fanout, &opts, &c->stream);

    if (rc == TG_EBUSY) {
        tg_count_add(&w->counts.stream_caps, 1);
        return TG_EALLSTREAMS;
    }
    if (rc != TG_OK) {
        return rc;
    }
    c->user_place = a->user_place;
    c->address_place = a->address_place;
    a->user_place.is_taken = false;
    a->address_place.is_taken = false;
    c->user_key = user_key_of(tg_admission_user(a)) & USER_KEY_MASK;
    if (a->device.n > 0) {
        join_device(w, c, tg_admission_user(a), a->device);
    }
    if (a->token != NULL) {
        join_session(w, c, tg_admission_user(a), a->token->session_id);
    }
    for (size_t i = 0; i < a->n_wants && c->stream != NULL; i++) {
        tg_access_follow(w->access, c, a->token, a->wants[i].name);
    }
    return TG_OK;
}

void tg_client_leave(struct tg_worker *w, struct tg_client *c)
{
    tg_access_leave(w->access, c);
    unlink_from(&w->clients.devices, &c->device);
    unlink_from(&w->clients.sessions, &c->session);
    tg_quota_give(w->opts->per_user, w->index, &c->user_place);
    tg_quota_give(w->opts->per_address, w->index, &c->address_place);
}

enum tg_rc tg_client_token(struct tg_worker *w, struct tg_client *c, struct tg_token *token)
{
    const struct tg_stream_user u = tg_admission_stream_user(token);
    enum tg_rc rc = c->stream == NULL ? TG_ECLOSED : tg_stream_token(c->stream, &u);

    if (rc != TG_OK) {
        return rc;
    }
    tg_access_token(w->access, c, token);
    if (c->session.at != NULL) {
        unlink_from(&w->clients.sessions, &c->session);
        join_session(w, c, u.user_id, token->session_id);
    }
    if (c->is_socket) {
        tg_ws_keep_token(c, token);
    }
    return TG_OK;
}

/* ---- all that are meant ---- */

size_t tg_clients_token(struct tg_worker *w, tg_str user, tg_str device, struct tg_token *token)
{
    struct walk k = over_device(w, user, device);
    struct tg_client *c = NULL;
    size_t n = 0;

    while ((c = next_of(&k)) != NULL) {
        (void)tg_client_token(w, c, token); /* one that does not fit has ended by that */
        n++;
    }
    return n;
}

static size_t end_all(struct walk k, const char *why)
{
    struct tg_client *c = NULL;
    size_t n = 0;

    while ((c = next_of(&k)) != NULL) {
        tg_stream_end(c->stream, why, 0);
        n++;
    }
    return n;
}

size_t tg_clients_end_device(struct tg_worker *w, tg_str user, tg_str device, const char *why)
{
    return end_all(over_device(w, user, device), why);
}

size_t tg_clients_end_session(struct tg_worker *w, tg_str user, tg_str session, const char *why)
{
    return end_all(over_session(w, user, session), why);
}

/* All sessions are looked at: nobody signs out everywhere often. */
static size_t end_but(struct tg_worker *w, tg_str user, const uint32_t *spared, const char *why)
{
    const struct tg_client_table *t = &w->clients.sessions;
    const uint32_t user_key = user_key_of(user);
    size_t n = 0;

    for (uint32_t i = 0; i < t->cap; i++) {
        for (struct tg_client_hook *h = t->buckets[i], *next = NULL; h != NULL; h = next) {
            struct tg_client *c = of_session(h);

            next = h->next;
            if (is_open(c, user_key) && (spared == NULL || session_key(h) != *spared)) {
                tg_stream_end(c->stream, why, 0);
                n++;
            }
        }
    }
    return n;
}

size_t tg_clients_end_user(struct tg_worker *w, tg_str user, const char *why)
{
    return end_but(w, user, NULL, why);
}

size_t tg_clients_end_others(struct tg_worker *w, tg_str user, tg_str session, const char *why)
{
    const uint32_t spared = key_of(user, session);

    return end_but(w, user, &spared, why);
}
