/* gateway.c - from a configuration to a running process, and back down in order.
 *
 * Up: store, hub with its link, workers, operator's port. Down: workers drain first (they
 * use the hub), then the hub, then the port, then what they shared. */
#include "server/gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "auth/digest.h"
#include "auth/jwks.h"
#include "auth/seal.h"
#include "config/config.h"
#include "config/load.h"
#include "config/text.h"
#include "handlers/control.h"
#include "handlers/quota.h"
#include "realtime/hub.h"
#include "server/admin.h"
#include "server/declare.h"
#include "server/listener.h"
#include "server/options.h"
#include "server/report.h"
#include "server/trust.h"
#include "server/worker.h"
#include "util/log.h"

enum { MAX_WORKERS = 256, PAGE_ENTRIES = 128, MIN_PER_WORKER = 1, MAX_APPENDS = 256 };
/* Loops, mailboxes, listeners, the log, stores, and the sockets of the link. */
enum { OWN_DESCRIPTORS = 64, OWN_DESCRIPTORS_PER_WORKER = 32 };

#define STALL_WARN TG_SEC(1)
#define STALL_ABORT TG_SEC(10)

struct tg_gateway {
    const struct tg_config *cfg;
    unsigned n_workers;
    struct tg_handler_opts handlers;
    tg_str *strict_tables;
    tg_str *cors_origins;
    struct tg_declare *declare;
    char *jwks_target;
    char *authority;
    struct tg_control_relay *relay;
    struct tg_seal *ticket_seal;
    struct tg_seal *control_seal;
    struct tg_trust *trust;
    struct tg_keys *keys;
    struct tg_store_group *store;
    struct tg_hub *hub;
    struct tg_server_worker **workers;
    struct tg_report report;
    struct tg_admin_provider provider;
    struct tg_admin *admin;
};

static const char *or_null(const char *text)
{
    return text[0] == '\0' ? NULL : text;
}

/* A total shared out, rounded up so that no worker has nothing. */
static unsigned share(uint64_t total, unsigned n)
{
    return (unsigned)TG_MAX((total + n - 1) / n, (uint64_t)MIN_PER_WORKER);
}

static tg_str *to_strs(const struct tg_config_list *list)
{
    tg_str *out = tg_calloc(list->n, sizeof(*out));

    for (size_t i = 0; i < list->n; i++) {
        out[i] = tg_str_of(list->items[i]);
    }
    return out;
}

/* What stands behind scheme and authority; "/" if nothing does. */
static tg_str target_of(tg_str url)
{
    tg_str rest = url;

    (void)tg_str_cut(&rest, ':');
    rest = tg_str_skip(rest, 2);
    (void)tg_str_cut(&rest, '/');
    return rest.p == NULL ? TG_STR("/") : tg_str_make(rest.p - 1, rest.n + 1);
}

static tg_str authority_of(tg_str url)
{
    tg_str rest = url;

    (void)tg_str_cut(&rest, ':');
    rest = tg_str_skip(rest, 2);
    return tg_str_cut(&rest, '/');
}

/* ---- from keys of the configuration to the options of the layers ---- */

static void sort_key(struct tg_apikeys *keys, const char *text, bool is_service)
{
    tg_str key = tg_str_of(text);
    bool is_opaque = tg_str_has_prefix(key, TG_STR("sb_"));

    if (is_service) {
        *(is_opaque ? &keys->secret : &keys->service) = key;
    } else {
        *(is_opaque ? &keys->publishable : &keys->anon) = key;
    }
}

/* Alone, a gateway needs nobody to open what it has sealed but itself. */
static void make_seals(struct tg_gateway *g)
{
    unsigned char random[TG_SEAL_SECRET_BYTES];
    tg_str secret = tg_str_of(g->cfg->gateway.secret);

    if (secret.n == 0) {
        tg_random_bytes(random, sizeof(random));
        secret = tg_str_make((const char *)random, sizeof(random));
    }
    g->ticket_seal = tg_seal_create(secret, TG_STR("ticket"));
    g->control_seal = tg_seal_create(secret, TG_STR("control"));
    explicit_bzero(random, sizeof(random));
}

static void fill_handlers(struct tg_gateway *g)
{
    const struct tg_config *c = g->cfg;
    struct tg_handler_opts *h = &g->handlers;

    g->strict_tables = to_strs(&c->strict.tables);
    g->cors_origins = to_strs(&c->cors.origins);
    g->jwks_target = tg_str_dup(target_of(tg_str_of(c->supabase.jwks_url)));
    g->authority = tg_str_dup(authority_of(tg_str_of(c->supabase.url)));
    h->origin = tg_str_of(c->supabase.url);
    h->upstream_authority = tg_str_of(g->authority);
    h->jwks_target = tg_str_of(g->jwks_target);
    h->jwks_refresh = TG_MS(c->auth.jwks_refresh_ms);
    sort_key(&h->keys, c->supabase.anon_key, false);
    sort_key(&h->keys, c->supabase.service_key, true);
    h->project_key = tg_str_of(c->supabase.anon_key);
    h->forward_client_ip = c->supabase.forward_client_ip;
    make_seals(g);
    h->ticket_seal = g->ticket_seal;
    h->control_seal = g->control_seal;
    h->ticket_life = TG_MS(c->auth.ticket_life_ms);
    h->rest = (enum tg_policy)c->auth.verify_rest;
    h->storage = (enum tg_policy)c->auth.verify_storage;
    h->graphql = (enum tg_policy)c->auth.verify_graphql;
    h->functions = (enum tg_policy)c->auth.verify_functions;
    h->auth = (enum tg_policy)c->auth.verify_auth;
    h->issuer = tg_str_of(c->supabase.jwt_issuer);
    h->audience = tg_str_of(c->supabase.jwt_audience);
    h->skew_sec = (uint32_t)(c->auth.skew_ms / 1000);
    h->cors_origins = g->cors_origins;
    h->n_cors_origins = c->cors.origins.n;
    h->cors_max_age_sec = (uint32_t)(c->cors.max_age_ms / 1000);
    h->own_body_bytes = c->limits.own_body_bytes;
    h->strict_tables = g->strict_tables;
    h->n_strict_tables = c->strict.tables.n;
    h->publish_secret = tg_str_of(c->publish.secret);
    h->publish_tolerance = TG_MS(c->publish.tolerance_ms);
    h->publish_once = TG_MS(c->publish.once_for_ms);
    h->publish_events = c->publish.events_max;
    h->event_bytes = c->store.event_bytes;
    h->snapshot_page = c->streams.snapshot_rows;
    h->snapshot_bytes = c->streams.snapshot_bytes;
    h->snapshot_reads = c->streams.snapshot_reads;
    h->snapshot_patience = TG_MS(c->timeouts.send_idle_ms);
    h->declared = tg_declare_topics(g->declare);
    h->max_topics = c->streams.topics_max;
    h->poll_next = TG_MS(c->polls.next_ms);
    h->poll_bytes = c->polls.bytes;
    h->stream_retry = TG_MS(c->streams.retry_ms);
    h->stream_heartbeat = TG_MS(c->streams.heartbeat_ms);
    h->ws_message_bytes = c->streams.message_bytes;
    h->ws_messages_per_sec = c->streams.client_messages;
    h->access_per_sec = share(c->access.per_second, g->n_workers);
    h->access_per_user = c->access.per_user;
    h->access_waiting = share(c->access.max_waiting, g->n_workers);
    h->access_cache = share(c->access.cache, g->n_workers);
    h->access_timeout = TG_MS(c->access.timeout_ms);
    h->access_grace = TG_MS(c->access.grace_ms);
    h->access_unwatched = TG_MS(c->access.unwatched_ms);
    h->device_ttl = TG_MS(c->devices.ttl_ms);
    h->max_devices = c->devices.per_user;
    h->max_device_topics = c->devices.topics_max;
    h->max_anonymous = c->devices.anonymous_max;
    h->per_user = tg_quota_create(g->n_workers, c->streams.per_user);
    h->per_address = tg_quota_create(g->n_workers, c->streams.per_address);
}

static struct tg_http_opts http_opts(const struct tg_gateway *g)
{
    const struct tg_config *c = g->cfg;

    return (struct tg_http_opts){
        .head = {.target_bytes = c->limits.target_bytes,
                 .head_bytes = c->limits.head_bytes,
                 .fields = c->limits.fields,
                 .body_bytes = c->limits.body_bytes == 0 ? UINT64_MAX : c->limits.body_bytes},
        .max_connections = share(c->server.max_connections, g->n_workers),
        .head_timeout = TG_MS(c->timeouts.head_ms),
        .idle_timeout = TG_MS(c->timeouts.idle_ms),
        .body_timeout = TG_MS(c->timeouts.body_idle_ms),
        .send_timeout = TG_MS(c->timeouts.send_idle_ms),
        .max_drop_bytes = c->limits.drop_bytes,
        .max_backlog = c->limits.backlog_bytes,
        .proxy_protocol = c->server.proxy_protocol,
    };
}

static struct tg_fanout_opts fanout_opts(const struct tg_gateway *g, unsigned index)
{
    const struct tg_config *c = g->cfg;

    return (struct tg_fanout_opts){
        .worker = index,
        .hub = g->hub,
        .store = g->store,
        .ring_frames = c->streams.ring_events,
        .ring_bytes = c->streams.ring_bytes,
        .page_entries = PAGE_ENTRIES,
        .max_pages = c->streams.page_reads,
        .heartbeat = TG_MS(c->streams.heartbeat_ms),
        .ready_wait = TG_MS(c->streams.ready_wait_ms),
        .topic_linger = TG_MS(c->streams.topic_linger_ms),
        .retain_events = c->store.retain_events,
        .retain_for = TG_MS(c->store.retain_for_ms),
        .token_grace = TG_MS(c->streams.token_grace_ms),
        .max_age = TG_MS(c->streams.max_age_ms),
        .max_streams = share(c->streams.max, g->n_workers),
        .authority = tg_str_of(g->authority),
        .apikey = tg_str_of(c->supabase.anon_key),
        .tables = tg_declare_tables(g->declare),
    };
}

/* The longest that any topic keeps its events. */
static tg_usec max_retain_for(const struct tg_gateway *g)
{
    const struct tg_declared_list *topics = tg_declare_topics(g->declare);
    tg_usec longest = TG_MS(g->cfg->store.retain_for_ms);

    for (size_t i = 0; i < topics->n; i++) {
        longest = TG_MAX(longest, topics->items[i].retain_for);
    }
    return longest;
}

static enum tg_rc make_store(struct tg_gateway *g)
{
    const struct tg_config *c = g->cfg;
    const struct tg_store_opts opts = {
        .url = or_null(c->store.url),
        .prefix = c->store.prefix,
        .retain_for = TG_MS(c->store.retain_for_ms),
        .max_retain_for = max_retain_for(g),
        .retain_events = c->store.retain_events,
        .log_events = c->store.log_retain,
        .max_event_bytes = c->store.event_bytes,
        .max_pending = c->store.max_pending,
        .timeout = TG_MS(c->store.timeout_ms),
        .holder = c->gateway.id,
    };

    g->report.store_is_memory = opts.url == NULL;
    return tg_store_group_create(&opts, &g->store);
}

static enum tg_rc make_hub(struct tg_gateway *g)
{
    const struct tg_config *c = g->cfg;
    const struct tg_hub_opts opts = {
        .store = g->store,
        .n_workers = g->n_workers,
        .link = tg_options_link(c),
        .max_feeds = c->strict.max_feeds,
        .feeds_per_user = c->strict.per_user,
        .lease = TG_MS(c->gateway.lease_ms),
        .max_appends = TG_MIN(c->store.max_pending / 2, (uint32_t)MAX_APPENDS),
        .declared = tg_declare_topics(g->declare),
        .service_key = or_null(c->supabase.service_key),
        .upstream = tg_options_upstream(c),
        .event_bytes = c->store.event_bytes,
        .tables = tg_declare_tables(g->declare),
        .anon_key = c->supabase.anon_key,
        .strict_rows = c->strict.index_rows,
        .strict_rows_total = c->strict.index_total,
        .index_rows = c->index.max_rows,
        .page_rows = c->index.page_rows,
        .max_waiting = c->index.max_waiting,
        .verify = TG_MS(c->index.verify_ms),
        .reset_spread = TG_MS(c->streams.reset_spread_ms),
    };

    return tg_hub_create(&opts, &g->hub);
}

/* ---- workers ---- */

static enum tg_rc make_worker(struct tg_gateway *g, unsigned index, int fd)
{
    const struct tg_config *c = g->cfg;
    const struct tg_worker_opts opts = {
        .index = index,
        .handlers = &g->handlers,
        .http = http_opts(g),
        .upstream = tg_options_upstream(c),
        .auth = {.max_tokens = c->auth.cache_tokens,
                 .checks_per_sec = c->auth.checks_per_second,
                 .checks_burst = c->auth.checks_burst},
        .fanout = fanout_opts(g, index),
        .keys = g->keys,
        .trust = g->trust,
    };

    return tg_server_worker_create(&opts, fd, &g->workers[index]);
}

static enum tg_rc make_workers(struct tg_gateway *g)
{
    int fds[MAX_WORKERS];
    char host[TG_HOST_MAX];
    uint16_t port = 0;
    enum tg_rc rc = tg_text_address(tg_str_of(g->cfg->server.listen), host, &port);

    if (rc == TG_OK) {
        rc = tg_listener_open(host, port, g->n_workers, fds, &port);
    }
    if (rc != TG_OK) {
        tg_log(TG_LOG_ERROR, "listen_failed", TG_KZ("address", g->cfg->server.listen),
               TG_KZ("why", strerrordesc_np(errno)));
        return rc;
    }
    for (unsigned i = 0; i < g->n_workers; i++) {
        if (rc != TG_OK) {
            (void)close(fds[i]);
            continue;
        }
        rc = make_worker(g, i, fds[i]);
        if (rc == TG_OK) {
            tg_hub_attach(g->hub, i, tg_server_worker_inside(g->workers[i])->fanout);
        }
    }
    if (rc != TG_OK) {
        tg_log(TG_LOG_ERROR, "worker_failed", TG_KZ("rc", tg_rc_name(rc)));
        return rc;
    }
    tg_log(TG_LOG_INFO, "listen", TG_KZ("address", host), TG_KN("port", port),
           TG_KN("workers", g->n_workers));
    return TG_OK;
}

static enum tg_rc start_threads(struct tg_gateway *g)
{
    enum tg_rc rc = TG_OK;

    tg_server_workers_share_keys(g->workers, g->n_workers);
    g->relay = tg_server_workers_relay(g->workers, g->n_workers);
    tg_hub_on_control(g->hub, tg_control_on_hub, g->relay);
    rc = tg_hub_start(g->hub);
    for (unsigned i = 0; rc == TG_OK && i < g->n_workers; i++) {
        rc = tg_server_worker_start(g->workers[i]);
    }
    if (rc != TG_OK) {
        tg_log(TG_LOG_ERROR, "thread_failed", TG_KZ("rc", tg_rc_name(rc)));
    }
    return rc;
}

static enum tg_rc start_admin(struct tg_gateway *g)
{
    char host[TG_HOST_MAX];
    uint16_t port = 0;
    struct tg_admin_opts opts = {.address = host,
                                 .version = TG_VERSION,
                                 .is_ready = tg_report_is_ready,
                                 .is_ready_arg = &g->report,
                                 .providers = &g->provider,
                                 .n_providers = 1};
    enum tg_rc rc = tg_text_address(tg_str_of(g->cfg->admin.listen), host, &port);

    g->report.hub = g->hub;
    g->report.workers = g->workers;
    g->report.n_workers = g->n_workers;
    g->provider =
        (struct tg_admin_provider){"gateway", tg_report_metrics, tg_report_status, &g->report};
    opts.port = port;
    if (rc == TG_OK) {
        rc = tg_admin_start(&opts, &g->admin);
    }
    if (rc != TG_OK) {
        tg_log(TG_LOG_ERROR, "admin_failed", TG_KZ("address", g->cfg->admin.listen),
               TG_KZ("why", strerrordesc_np(errno)));
        return rc;
    }
    tg_log(TG_LOG_INFO, "admin", TG_KZ("address", host), TG_KN("port", tg_admin_port(g->admin)));
    return TG_OK;
}

/* The kernel doubles its table of our descriptors as they come, and in a process with threads it
 * waits for every CPU before it uses the new one: each time the worker stands still for 10 to
 * 20 ms, six times on the way to 9,000 clients. Before the first thread it costs nothing. */
static void reserve_descriptors(uint64_t n)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, (int)TG_MIN(n - 1, (uint64_t)INT_MAX));

    if (fd != -1) {
        (void)close(fd);
    }
}

/* As many descriptors as the system lets us have. Without one for each client that the
 * configuration promises a place, the start fails: better now than at the busiest hour. */
static enum tg_rc raise_descriptors(const struct tg_gateway *g)
{
    const struct tg_config *c = g->cfg;
    struct rlimit limit = {0};
    uint64_t needed = (uint64_t)c->server.max_connections + OWN_DESCRIPTORS +
                      (uint64_t)g->n_workers * OWN_DESCRIPTORS_PER_WORKER;
    /* Plain calls and tunnels each may take so many. */
    uint64_t wanted = needed + (uint64_t)g->n_workers * c->upstream.max_connections * 2;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return TG_OK;
    }
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < needed) {
        tg_log(TG_LOG_ERROR, "descriptors", TG_KN("limit", limit.rlim_cur), TG_KN("needed", needed),
               TG_KN("max_connections", c->server.max_connections),
               TG_KZ("means", "raise the limit of open files (ulimit -Hn, LimitNOFILE) or lower "
                              "server.max_connections"));
        return TG_ELIMIT;
    }
    if (limit.rlim_cur < wanted) {
        tg_log(TG_LOG_WARN, "descriptors", TG_KN("limit", limit.rlim_cur), TG_KN("needed", wanted),
               TG_KZ("means", "with all clients there, calls upstream may find none left"));
    }
    reserve_descriptors(TG_MIN(wanted, (uint64_t)limit.rlim_cur));
    return TG_OK;
}

enum tg_rc tg_gateway_start(const struct tg_config *cfg, struct tg_gateway **ret_gateway)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf errors = {.max = TG_CONFIG_ERRORS_MAX};
    struct tg_gateway *g = TG_NEW(struct tg_gateway);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    enum tg_rc rc = TG_OK;

    tg_crypto_init();
    g->cfg = cfg;
    g->n_workers = cfg->server.workers != 0 ? cfg->server.workers : (unsigned)TG_MAX(cpus, 1L);
    g->n_workers = TG_MIN(g->n_workers, (unsigned)MAX_WORKERS);
    g->workers = tg_calloc(g->n_workers, sizeof(struct tg_server_worker *));
    /* The command line has read them before, and told what is wrong. */
    rc = tg_declare_create(cfg, NULL, &errors, &g->declare);
    if (rc != TG_OK) {
        tg_log(TG_LOG_ERROR, "start_failed", TG_KZ("rc", tg_rc_name(rc)));
        return rc;
    }
    fill_handlers(g);
    g->trust = tg_trust_create(cfg->server.trusted_proxies.items, cfg->server.trusted_proxies.n);
    rc = raise_descriptors(g);
    if (rc == TG_OK) {
        rc = tg_keys_create(tg_str_of(cfg->supabase.jwt_secret), TG_STR(""), &g->keys);
    }
    if (rc == TG_OK) {
        rc = make_store(g);
    }
    if (rc == TG_OK) {
        rc = make_hub(g);
    }
    if (rc != TG_OK) {
        tg_log(TG_LOG_ERROR, "start_failed", TG_KZ("rc", tg_rc_name(rc)));
    } else {
        rc = make_workers(g);
    }
    if (rc == TG_OK) {
        rc = start_threads(g);
    }
    if (rc == TG_OK) {
        rc = start_admin(g);
    }
    if (rc != TG_OK) {
        /* Whatever runs ends with the process: main leaves at once. */
        return rc;
    }
    *ret_gateway = g;
    return TG_OK;
}

void tg_gateway_drain(struct tg_gateway *g)
{
    tg_usec timeout = TG_MS(g->cfg->server.drain_timeout_ms);

    tg_count_set(&g->report.draining, 1);
    tg_log(TG_LOG_INFO, "drain", TG_KN("timeout_ms", g->cfg->server.drain_timeout_ms));
    for (unsigned i = 0; i < g->n_workers; i++) {
        tg_server_worker_drain(g->workers[i], timeout, timeout);
    }
    for (unsigned i = 0; i < g->n_workers; i++) {
        tg_server_worker_join(g->workers[i]);
    }
    /* The port goes before what it reads. */
    tg_admin_destroy(g->admin);
    g->admin = NULL;
    tg_hub_stop(g->hub);
}

void tg_gateway_destroy(struct tg_gateway *g)
{
    for (unsigned i = 0; i < g->n_workers; i++) {
        tg_server_worker_destroy(g->workers[i]);
    }
    tg_hub_destroy(g->hub);
    tg_store_group_destroy(g->store);
    tg_control_relay_destroy(g->relay);
    tg_seal_destroy(g->ticket_seal);
    tg_seal_destroy(g->control_seal);
    tg_keys_unref(g->keys);
    tg_trust_destroy(g->trust);
    free(g->workers);
    tg_quota_destroy(g->handlers.per_user);
    tg_quota_destroy(g->handlers.per_address);
    free(g->strict_tables);
    free(g->cors_origins);
    tg_declare_destroy(g->declare);
    free(g->jwks_target);
    free(g->authority);
    free(g);
}

static void watch_loop(const struct tg_loop *l, const char *name)
{
    tg_usec stamp = tg_loop_stamp(l);
    tg_usec now = tg_clock_mono_us();
    tg_usec age = stamp != TG_LOOP_WAITS && now > stamp ? now - stamp : 0;

    if (age >= STALL_ABORT) {
        tg_log(TG_LOG_ERROR, "hang", TG_KZ("loop", name), TG_KN("ms", age / 1000));
        abort();
    }
    if (age >= STALL_WARN) {
        tg_log(TG_LOG_WARN, "stall", TG_KZ("loop", name), TG_KN("ms", age / 1000));
    }
}

void tg_gateway_watch(struct tg_gateway *g)
{
    watch_loop(tg_hub_loop(g->hub), "hub");
    for (unsigned i = 0; i < g->n_workers; i++) {
        watch_loop(tg_server_worker_inside(g->workers[i])->loop, "worker");
    }
}
