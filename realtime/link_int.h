/* link_int.h - what link.c (thread, orders), link_channel.c (channels), link_socket.c (sockets,
 * names), link_error.c (what is done about upstream's errors) and link_rate.c (the project's
 * message rate) share. Everything here belongs to
 * the link's thread.
 *
 *   channel:  WAITING -> JOINING -> JOINED -> UP
 *                ^          |         |       |       lost or refused for now: WAITING again,
 *                +----------+---------+-------+       after a delay with jitter
 *             PARKED: the token is no longer accepted; waits for another
 *
 *   socket:   RESOLVING -> CONNECTING -> OPEN;  BACKOFF after a loss */
#ifndef TG_REALTIME_LINK_INT_H
#define TG_REALTIME_LINK_INT_H

#include <pthread.h>

#include "loop/mailbox.h"
#include "loop/wheel.h"
#include "realtime/link.h"
#include "realtime/rate.h"
#include "realtime/wsclient.h"
#include "util/id.h"
#include "util/map.h"

enum channel_state { CH_WAITING, CH_JOINING, CH_JOINED, CH_UP, CH_PARKED };
enum socket_state { SO_BACKOFF, SO_RESOLVING, SO_CONNECTING, SO_OPEN };

struct socket;
struct tg_phoenix;

struct channel {
    struct tg_list node; /* in its socket's list */
    struct socket *socket;
    struct tg_link *link;
    uint64_t id;
    char topic[32];
    char *schema;
    char *table;
    char *filter;
    char *token;
    enum channel_state state;
    uint64_t join_ref;
    bool has_new_token;      /* came while joining with another */
    tg_usec token_pushed_at; /* the last one whose `Subscribed` may still come; 0: none */
    tg_usec token_taken_at;  /* a `Subscribed` was taken as its answer; 0: none lately */
    unsigned failures;
    enum tg_upstream_cause trouble; /* until it is up */
    tg_usec not_before;
    struct tg_timer timer; /* join or subscribe timeout; next try */
};

struct socket {
    struct tg_list node;
    struct tg_link *link;
    tg_id id;
    bool is_service;
    enum socket_state state;
    struct tg_ws *ws;
    struct tg_list channels;
    unsigned n_channels;
    unsigned room; /* for so many: what upstream has let in, if that is less than configured */
    struct channel *joining;
    uint64_t ref;
    uint64_t heartbeat_ref; /* 0: answered */
    unsigned failures;
    enum tg_upstream_cause trouble; /* until a channel is joined */
    enum tg_upstream_cause closing; /* why we close it; nothing is joined any more */
    unsigned n_holds;               /* times that the project had enough, since a join went well */
    tg_usec hold_until;             /* nothing is joined before */
    struct tg_timer timer;          /* heartbeat when open, next try when not */
    struct tg_timer pace;           /* the next join is allowed */
};

struct tg_link {
    struct tg_link_opts opts;
    struct tg_link_handler h;
    void *arg;
    char *host; /* without port, for resolving */
    char *hostport;
    char *target;
    char *service_target;
    bool tls;
    unsigned port;
    struct tg_mailbox *mailbox;
    struct tg_wsc *wsc;
    struct tg_wheel wheel;
    struct tg_list sockets;
    struct tg_ids socket_ids;
    struct tg_map channels; /* by topic */
    unsigned n_open;
    unsigned n_resolving;
    tg_usec next_join;
    tg_usec anew_at;      /* upstream subscribed a channel anew for a reason of its own; 0: never */
    struct tg_rate rate;  /* of changes, over all sockets */
    tg_usec rate_told_at; /* 0: it is not near the limit */
    struct tg_timer rate_timer;
    uint64_t random;
    struct {
        unsigned n; /* channels and sockets that have it */
        bool is_logged;
        uint64_t words; /* so */
    } troubles[TG_UP_CAUSES];
    enum tg_upstream_cause trouble; /* the project's, until a channel is up */
    pthread_t thread;
    bool stopping;
    bool started;
    struct tg_link_counts counts;
};

enum { LINK_MAX_FRAME = 64 * 1024 };

/* link.c */
void link_start_timer(struct tg_link *l, struct tg_timer *t, tg_usec after);
/* Doubles with each failure up to a limit, then half to whole of it. */
tg_usec link_backoff(struct tg_link *l, unsigned failures);
/* 0 to `most`. */
tg_usec link_random(struct tg_link *l, tg_usec most);

/* link_channel.c */
void channel_on_timer(struct tg_timer *t);
bool channel_is_on_wire(const struct channel *ch);
/* The channel is no longer on the wire. */
void channel_lose(struct channel *ch, enum tg_upstream_cause why, bool needs_token,
                  tg_usec retry_in);
void channel_free(struct channel *ch);
/* Gives it a socket with room: a new one, or one that was moved. */
void channel_settle(struct channel *ch, bool is_service);
/* To another socket; it is not on the wire. */
void channel_move(struct channel *ch);
void channel_leave(struct channel *ch);
/* A token to go on with; takes it. */
void channel_take_token(struct channel *ch, char *token);
/* Begins the next join if the socket is free and the pace allows it. */
void channel_join_next(struct socket *s);
void channel_on_frame(struct socket *s, const struct tg_phoenix *f);
/* Sends a frame and frees it. A socket whose peer does not read is closed. */
void link_send(struct socket *s, struct tg_buf *frame);

/* link_error.c */
/* What upstream said about a channel, or to it: counted, told, and acted on. The channel may be
 * gone afterwards, or on another socket. */
void channel_on_error(struct channel *ch, enum tg_upstream_cause cause, tg_str words);
/* Counted and told only: more will follow. */
void channel_note(struct channel *ch, enum tg_upstream_cause cause, tg_str words);
/* A socket that was lost; its channels may be gone afterwards. */
void socket_on_error(struct socket *s, enum tg_upstream_cause cause, tg_str words);
/* Before it is dialled again. */
tg_usec socket_backoff(struct socket *s, enum tg_upstream_cause cause);
/* The trouble is over. */
void link_clear(struct tg_link *l, enum tg_upstream_cause *slot);

/* link_rate.c */
void link_count_change(struct tg_link *l);
/* Upstream says that it is over the limit. */
void link_over_rate(struct tg_link *l);
void link_on_rate_timer(struct tg_timer *t);

/* link_socket.c */
void socket_dial(struct socket *s);
/* Closes soon; its channels come back on a new one. */
void socket_close(struct socket *s, enum tg_upstream_cause why);
void socket_free(struct socket *s);
/* One with room for another channel, new if need be. */
struct socket *socket_with_room(struct tg_link *l, bool is_service);

#endif
