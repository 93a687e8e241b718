/* client.h - what all transports keep of one open stream, and how a worker finds its streams again:
 * by device, by session, by user.
 *
 * No texts are kept per stream, but 63 bits of keyed hashes (tg_hash): 32 of the device or session,
 * with the user among what is hashed, and 31 of the user alone. Both must collide before a
 * stranger's stream is touched. On the worker's loop. */
#ifndef TG_HANDLERS_CLIENT_H
#define TG_HANDLERS_CLIENT_H

#include "handlers/quota.h"
#include "realtime/stream.h"

struct tg_admission;
struct tg_token;
struct tg_worker;

/* A place in a table. */
struct tg_client_hook {
    struct tg_client_hook *next;
    struct tg_client_hook **at; /* what points here; NULL: in no table */
};

/* Zeroed is a valid empty table. */
struct tg_client_table {
    struct tg_client_hook **buckets;
    uint32_t n;
    uint32_t cap; /* buckets, a power of two */
};

struct tg_client_tables {
    struct tg_client_table devices;
    struct tg_client_table
        sessions; /* of all users' streams; without a session by the user alone */
};
void tg_client_tables_fini(struct tg_client_tables *t);

/* Embedded in each transport's struct; zero it before use. */
struct tg_client {
    struct tg_stream *stream; /* NULL: not yet, or over: the transport sees to that */
    struct tg_client_hook device;
    struct tg_client_hook session;
    uint32_t device_key;
    uint32_t session_key;
    uint32_t user_key : 31;
    uint32_t is_socket : 1; /* a WebSocket, which keeps its token itself (tg_ws_keep_token) */
    struct tg_quota_place user_place;
    struct tg_quota_place address_place;
};

/* Opens the stream that `a` has admitted: a->wants for a->user. The client takes over the places
 * and stands in the worker's tables, until tg_client_leave(). As tg_stream_open(), but with the
 * clients' own answer for a full gateway (TG_EALLSTREAMS). */
enum tg_rc tg_client_open(struct tg_client *c, struct tg_admission *a,
                          const struct tg_sink_ops *ops, void *arg, bool is_held) TG_MUST_USE;
/* Gives the places back. May be called twice. Does not close the stream. */
void tg_client_leave(struct tg_worker *w, struct tg_client *c);

/* A fresh token for this stream (tg_stream_token), which may belong to another session. */
enum tg_rc tg_client_token(struct tg_worker *w, struct tg_client *c, struct tg_token *token);

/* Open streams of a device on this worker. `user` is a user's id, or "anon". */
size_t tg_clients_of_device(const struct tg_worker *w, tg_str user, tg_str device);

/* What follows does something to all streams of this worker that are meant, and returns how many
 * they were. A transport's on_end may make its own client leave, and no other. `why`: the bye's
 * reason, [borrowed] for ever. */
size_t tg_clients_end_device(struct tg_worker *w, tg_str user, tg_str device, const char *why);
size_t tg_clients_end_session(struct tg_worker *w, tg_str user, tg_str session, const char *why);
size_t tg_clients_end_user(struct tg_worker *w, tg_str user, const char *why);
/* All of this user but those of `session`. */
size_t tg_clients_end_others(struct tg_worker *w, tg_str user, tg_str session, const char *why);
size_t tg_clients_token(struct tg_worker *w, tg_str user, tg_str device, struct tg_token *token);

#endif
