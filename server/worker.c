/* worker.c - makes a worker, runs its thread, and takes it down in order.
 *
 *   RUNNING --drain--> DRAINING --no connection left, or time is up--> thread ends */
#include "server/worker.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/digest.h"
#include "auth/jwks.h"
#include "handlers/access.h"
#include "handlers/control.h"
#include "handlers/device_recent.h"
#include "handlers/exchange.h"
#include "handlers/jwks_fetch.h"
#include "handlers/router.h"
#include "handlers/session.h"
#include "handlers/tunnel.h"
#include "server/trust.h"
#include "util/log.h"

enum { MAX_MAILS = 65536 };

#define DRAIN_LOOK TG_MS(20)

struct tg_server_worker {
    struct tg_worker w;
    char name[8];
    pthread_t thread;
    bool is_started;
    struct tg_timer drain;
    tg_usec drain_until;
    struct tg_trust *trust;
};

/* The HTTP server's argument is the handlers' worker. */
static bool is_trusted(const struct sockaddr_storage *peer, void *arg)
{
    const struct tg_server_worker *s = TG_CONTAINER_OF(arg, struct tg_server_worker, w);

    return tg_trust_has(peer, s->trust);
}

static void end_thread(struct tg_server_worker *s)
{
    tg_census_stop(&s->w);
    tg_control_stop(&s->w);
    tg_sessions_stop(s->w.sessions);
    tg_fanout_stop(s->w.fanout);
    tg_http_server_destroy(s->w.http);
    s->w.http = NULL;
    tg_upstream_destroy(s->w.upstream);
    s->w.upstream = NULL;
    tg_access_destroy(s->w.access);
    s->w.access = NULL;
    tg_loop_close_mail(s->w.loop);
    tg_loop_stop(s->w.loop);
}

/* Connections end one by one, each for its own reason; the last one ends the thread. */
static void on_drain_look(struct tg_timer *t)
{
    struct tg_server_worker *s = TG_CONTAINER_OF(t, struct tg_server_worker, drain);
    size_t left = tg_http_server_open(s->w.http);

    if (left == 0 || tg_loop_now(s->w.loop) >= s->drain_until) {
        tg_log(left == 0 ? TG_LOG_INFO : TG_LOG_WARN, "drained", TG_KN("cut", left));
        end_thread(s);
        return;
    }
    tg_loop_timer_start(s->w.loop, t, DRAIN_LOOK);
}

struct drain_mail {
    struct tg_mail mail;
    struct tg_server_worker *to;
    tg_usec timeout;
    tg_usec spread;
};

static void drop_drain(struct tg_mail *mail)
{
    free(TG_CONTAINER_OF(mail, struct drain_mail, mail));
}

static void on_drain(struct tg_mail *mail, void *owner)
{
    struct drain_mail *m = TG_CONTAINER_OF(mail, struct drain_mail, mail);
    struct tg_server_worker *s = m->to;

    (void)owner;
    tg_http_server_drain(s->w.http);
    tg_fanout_drain(s->w.fanout, m->spread);
    /* A tunnel's end cannot be foretold to its client: leave it time to come back in peace. */
    tg_tunnel_drain(&s->w, m->spread / 2);
    s->drain_until = tg_loop_now(s->w.loop) + m->timeout;
    tg_loop_timer_start(s->w.loop, &s->drain, DRAIN_LOOK);
    free(m);
}

void tg_server_worker_drain(struct tg_server_worker *s, tg_usec timeout, tg_usec spread)
{
    struct drain_mail *m = TG_NEW(struct drain_mail);

    m->mail.run = on_drain;
    m->mail.drop = drop_drain;
    m->to = s;
    m->timeout = timeout;
    m->spread = spread;
    while (tg_loop_post(s->w.loop, &m->mail) == TG_EFULL) {
        (void)sched_yield(); /* main has nothing else to do, and the worker is at work */
    }
}

static void make_id_prefix(struct tg_worker *w)
{
    unsigned char random[5];
    char hex[2 * sizeof(random) + 1];

    tg_random_bytes(random, sizeof(random));
    tg_hex(random, sizeof(random), hex);
    (void)snprintf(w->id_prefix, sizeof(w->id_prefix), "%s-%u-", hex, w->index);
}

enum tg_rc tg_server_worker_create(const struct tg_worker_opts *opts, int fd,
                                   struct tg_server_worker **ret_worker)
{
    struct tg_server_worker *s = TG_NEW(struct tg_server_worker);
    struct tg_worker *w = &s->w;
    struct tg_http_opts http = opts->http;
    struct tg_upstream_opts upstream = opts->upstream;
    struct tg_fanout_opts fanout = opts->fanout;
    enum tg_rc rc = TG_OK;

    w->index = opts->index;
    w->opts = opts->handlers;
    w->keys = tg_keys_ref(opts->keys);
    w->auth = tg_auth_create(&opts->auth);
    make_id_prefix(w);
    tg_list_init(&w->tunnels);
    tg_list_init(&w->snapshots);
    tg_list_init(&w->control_waits);
    tg_timer_init(&s->drain, on_drain_look);
    (void)snprintf(s->name, sizeof(s->name), "%u", w->index);
    http.on_request = tg_router_on_request;
    http.on_refuse = tg_refuse_conn;
    http.is_trusted = is_trusted;
    s->trust = opts->trust;
    http.arg = w;
    http.counts = &w->http_counts;
    upstream.counts = &w->upstream_counts;
    rc = tg_loop_create(s->name, MAX_MAILS, &w->loop);
    if (rc == TG_OK) {
        tg_loop_set_owner(w->loop, w);
        rc = tg_http_server_create(w->loop, &http, &w->http);
    }
    if (rc == TG_OK) {
        rc = tg_upstream_create(w->loop, &upstream, &w->upstream);
    }
    if (rc == TG_OK) {
        fanout.upstream = w->upstream;
        rc = tg_fanout_create(w->loop, &fanout, &w->fanout);
    }
    if (rc == TG_OK) {
        rc = tg_fanout_start(w->fanout);
    }
    if (rc == TG_OK) {
        w->sessions = tg_sessions_create(w);
        w->access = tg_access_create(w);
    }
    if (rc == TG_OK) {
        rc = tg_http_server_listen(w->http, fd);
    }
    if (rc != TG_OK) {
        tg_server_worker_destroy(s);
        return rc;
    }
    *ret_worker = s;
    return TG_OK;
}

void tg_server_workers_share_keys(struct tg_server_worker *const *workers, unsigned n)
{
    struct tg_worker **inside = tg_calloc(n, sizeof(struct tg_worker *));

    for (unsigned i = 0; i < n; i++) {
        inside[i] = &workers[i]->w;
    }
    tg_jwks_fetch_setup(inside, n);
    free(inside);
}

struct tg_control_relay *tg_server_workers_relay(struct tg_server_worker *const *workers,
                                                 unsigned n)
{
    struct tg_worker **inside = tg_calloc(n, sizeof(struct tg_worker *));
    struct tg_control_relay *relay = NULL;

    for (unsigned i = 0; i < n; i++) {
        inside[i] = &workers[i]->w;
    }
    relay = tg_control_relay_create(inside, n);
    free(inside);
    return relay;
}

static void *run(void *arg)
{
    tg_loop_run(((struct tg_server_worker *)arg)->w.loop);
    return NULL;
}

enum tg_rc tg_server_worker_start(struct tg_server_worker *s)
{
    if (pthread_create(&s->thread, NULL, run, s) != 0) {
        return TG_ELIMIT;
    }
    s->is_started = true;
    return TG_OK;
}

void tg_server_worker_join(struct tg_server_worker *s)
{
    if (s != NULL && s->is_started) {
        (void)pthread_join(s->thread, NULL);
        s->is_started = false;
    }
}

void tg_server_worker_destroy(struct tg_server_worker *s)
{
    if (s == NULL) {
        return;
    }
    if (s->w.http != NULL) {
        tg_http_server_destroy(s->w.http);
    }
    if (s->w.upstream != NULL) {
        tg_upstream_destroy(s->w.upstream);
    }
    tg_access_destroy(s->w.access);
    tg_sessions_destroy(s->w.sessions);
    tg_loop_destroy(s->w.loop);
    tg_fanout_destroy(s->w.fanout);
    tg_client_tables_fini(&s->w.clients);
    tg_device_recent_drop(&s->w);
    tg_ids_fini(&s->w.snapshot_ids);
    tg_jwks_fetch_destroy(s->w.jwks);
    tg_auth_destroy(s->w.auth);
    tg_keys_unref(s->w.keys);
    free(s);
}

const struct tg_worker *tg_server_worker_inside(const struct tg_server_worker *s)
{
    return &s->w;
}
