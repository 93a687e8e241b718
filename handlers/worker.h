/* worker.h - what a handler finds on its worker. One per worker thread; nothing in it is
 * touched by another thread. server/worker.c fills it. */
#ifndef TG_HANDLERS_WORKER_H
#define TG_HANDLERS_WORKER_H

#include "auth/apikey.h"
#include "auth/memory.h"
#include "handlers/census.h"
#include "handlers/client.h"
#include "http1/conn.h"
#include "loop/loop.h"
#include "realtime/stream.h"
#include "upstream/client.h"

struct tg_access;
struct tg_control_relay;
struct tg_deny;
struct tg_jwks_fetch;
struct tg_keys;
struct tg_quota;
struct tg_recent_slot;
struct tg_seal;
struct tg_sessions;

/* What is done with a token on a route. */
enum tg_policy { TG_TOKEN_OFF, TG_TOKEN_VERIFY, TG_TOKEN_REQUIRE };

/* Settings of the handlers, made once from the configuration; shared by all workers, never
 * changed. Texts are borrowed for the life of the process. */
struct tg_handler_opts {
    /* Upstream. */
    tg_str origin;             /* "https://ref.supabase.co" */
    tg_str upstream_authority; /* its host[:port], what Host says upstream */
    tg_str jwks_target;        /* request target on the same origin */
    tg_usec jwks_refresh;
    struct tg_apikeys keys;
    tg_str project_key; /* added where the client sent no apikey */
    bool forward_client_ip;
    /* What leaves the gateway closed; from gateway.secret. */
    const struct tg_seal *ticket_seal;
    const struct tg_seal *control_seal;
    tg_usec ticket_life;
    /* Tokens. */
    enum tg_policy rest, storage, graphql, functions, auth;
    uint32_t skew_sec;
    tg_str issuer, audience;
    /* CORS. No origins: upstream's fields pass. "*" is an origin like others. */
    const tg_str *cors_origins;
    size_t n_cors_origins;
    uint32_t cors_max_age_sec;
    /* Own endpoints. */
    size_t own_body_bytes;
    /* Publishing. No secret: only by key. */
    tg_str publish_secret;
    tg_usec publish_tolerance;
    tg_usec publish_once;
    size_t publish_events;
    size_t event_bytes;
    const tg_str *strict_tables; /* "schema.table"; none: all of public */
    size_t n_strict_tables;
    const struct tg_declared_list *declared; /* NULL: none */
    size_t max_topics;                       /* on one stream */
    unsigned snapshot_page;                  /* rows of one page */
    unsigned snapshot_reads;                 /* pages read at once by one worker */
    size_t snapshot_bytes;                   /* of one page */
    tg_usec snapshot_patience;               /* without a byte taken of a page */
    tg_usec stream_retry;
    tg_usec stream_heartbeat;
    size_t ws_message_bytes;      /* a WebSocket client's message */
    uint32_t ws_messages_per_sec; /* of one WebSocket client; not 0 */
    tg_usec poll_next;            /* what a poll without news is told */
    size_t poll_bytes;            /* events of one answer */
    /* Devices. */
    tg_usec device_ttl;         /* since it was last here */
    unsigned max_devices;       /* of a user */
    unsigned max_device_topics; /* that a device has ever named */
    unsigned max_anonymous;     /* anonymous devices in all */
    /* Questions about access (handlers/access.h). */
    unsigned access_per_sec;   /* of one worker */
    unsigned access_per_user;  /* a second */
    unsigned access_waiting;   /* questions that wait, of one worker */
    unsigned access_cache;     /* verdicts kept that nobody needs now, of one worker */
    tg_usec access_timeout;    /* of an answer */
    tg_usec access_unwatched;  /* recheck, while nobody follows the rows that decide */
    tg_usec access_grace;      /* beyond `recheck`, while nobody answers */
    struct tg_quota *per_user; /* open streams; shared, each worker writes its own part */
    struct tg_quota *per_address;
};

struct tg_worker_counts {
    tg_count proxied, proxy_errors, tunnels, refused, streams_opened, polls, polls_at_once,
        jwks_fetches, jwks_failures, controls, signouts, signout_retries, denied, tickets,
        published, publish_duplicates, publish_failures, snapshots, snapshot_rows,
        snapshot_failures, snapshots_stuck, stream_caps, device_touches, device_caps, access_asked,
        access_known, access_shared, access_passed, access_pass_full, access_refused,
        access_unknown, access_held, access_revoked;
};

struct tg_worker {
    unsigned index;
    struct tg_loop *loop;
    const struct tg_handler_opts *opts;
    struct tg_http_server *http;
    struct tg_upstream *upstream;
    struct tg_auth *auth;
    struct tg_keys *keys; /* this worker's reference; swapped whole */
    struct tg_jwks_fetch *jwks;
    struct tg_fanout *fanout;
    struct tg_client_tables clients;
    struct tg_census census;
    struct tg_deny *deny; /* handlers/session.c fills it; NULL: nobody is refused */
    struct tg_access *access;
    struct tg_sessions *sessions; /* handlers/session.c's */
    struct tg_control_relay *relay;
    struct tg_list control_waits; /* handlers/control.c's */
    struct tg_list tunnels;       /* handlers/tunnel.c's */
    struct tg_list snapshots;     /* handlers/snapshot.c's: those that wait for a read */
    struct tg_ids snapshot_ids;
    unsigned n_snapshot_reads;
    struct tg_recent_slot *recent_devices; /* handlers/device_recent.c's */
    uint64_t next_request;                 /* of request ids */
    char id_prefix[20];                    /* of request ids: tells process and worker */
    struct tg_worker_counts counts;
    /* Here, because the operator's port reads them until the last worker has ended. */
    struct tg_http_counts http_counts;
    struct tg_upstream_counts upstream_counts;
};

#endif
