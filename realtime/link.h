/* link.h - the thread that holds the upstream Realtime sockets (DESIGN.md 2).
 *
 * It opens sockets as channels ask for them (at most so many channels a socket), joins
 * channels one at a time per socket (a join blocks the whole socket upstream), keeps
 * them alive, and joins again with backoff and jitter when they are lost. What happens is
 * told by callbacks on the link's thread; the hub posts itself mails from them. */
#ifndef TG_REALTIME_LINK_H
#define TG_REALTIME_LINK_H

#include "realtime/upstream_error.h"
#include "util/clock.h"
#include "util/count.h"
#include "util/str.h"

struct tg_link;

struct tg_link_opts {
    const char *url;         /* "wss://ref.supabase.co/realtime/v1/websocket" */
    const char *api_key;     /* anon or publishable */
    const char *service_key; /* of the service's own channels; NULL: there are none */
    const char *ca_file;     /* NULL: the system's */
    unsigned channels_per_socket;
    unsigned joins_per_second;
    unsigned messages_per_second; /* of the project; 0: not known */
    tg_usec heartbeat;
    size_t max_message_bytes;
};

/* On the link's thread. `id` is the channel's, given by tg_link_join(). */
struct tg_link_handler {
    /* `Subscribed to PostgreSQL`: changes flow from here on. Told again when upstream
     * subscribed anew without a reason of ours: something may be lost before it. */
    void (*on_up)(uint64_t id, void *arg);
    /* Nothing comes any more; it is joined again by itself, unless needs_token: then
     * tg_link_token() must come first, which is never so of the service's. */
    void (*on_down)(uint64_t id, enum tg_upstream_cause why, bool needs_token, void *arg);
    /* It can not work as asked (no such table, bad filter), or the project does not let anybody
     * in: left, not tried again. `words` are upstream's, or empty. */
    void (*on_refused)(uint64_t id, enum tg_upstream_cause why, tg_str words, void *arg);
    /* The payload of a postgres_changes event. [borrowed] */
    void (*on_change)(uint64_t id, tg_str payload, void *arg);
    /* Whether at least one socket is open, when that changes. */
    void (*on_online)(bool online, void *arg);
    /* So much comes that upstream may have dropped something, in silence, of any channel: told at
     * first, every minute and when it is over. */
    void (*on_rate)(void *arg);
    /* After everything that the sockets brought at once, before the thread waits again. */
    void (*on_turn)(void *arg);
};

struct tg_link_counts {
    tg_count sockets, channels, joins, join_errors, reconnects, changes, heartbeats_missed, refused,
        rates_near;
    tg_count online;                      /* 1 or 0 */
    tg_count errors[TG_UPSTREAM_CLASSES]; /* of channels and sockets */
};

/* Before the threads start. */
enum tg_rc tg_link_create(const struct tg_link_opts *opts, const struct tg_link_handler *h,
                          void *arg, struct tg_link **ret_link) TG_MUST_USE;
enum tg_rc tg_link_start(struct tg_link *l) TG_MUST_USE;
/* Leaves the sockets and ends the thread; no callback comes after it has returned. */
void tg_link_stop(struct tg_link *l);
void tg_link_destroy(struct tg_link *l);
const struct tg_link_counts *tg_link_counts(const struct tg_link *l);

/* What a channel follows, and as whom. Copied. */
struct tg_link_channel {
    tg_str schema;
    tg_str table;
    tg_str filter; /* empty: all rows */
    tg_str token;  /* of the user; the service's may be empty: its key speaks for it */
    /* The gateway's own, with the service key: on sockets that users' channels do not share, for a
     * join that fails stops its socket for seconds. */
    bool is_service;
};

/* Any thread. TG_EFULL: too much waits; TG_ECLOSED: stopping. `id` is new and never used again. */
enum tg_rc tg_link_join(struct tg_link *l, uint64_t id,
                        const struct tg_link_channel *c) TG_MUST_USE;
enum tg_rc tg_link_token(struct tg_link *l, uint64_t id, tg_str token) TG_MUST_USE;
enum tg_rc tg_link_leave(struct tg_link *l, uint64_t id) TG_MUST_USE;

#endif
