/* upstream_error.h - what Realtime says against us, sorted: one table for the answers to joins
 * and tokens, `system` messages, ends of channels, refused upgrades and close codes
 * (reference/realtime-protocol.md 2.2, 4.3, 4.5, 4.6, 6). Pure.
 *
 * docs/TOPICS.md has the same table for those who read `reason` and `message`. */
#ifndef TG_REALTIME_UPSTREAM_ERROR_H
#define TG_REALTIME_UPSTREAM_ERROR_H

#include "util/rc.h"
#include "util/str.h"

/* What helps. */
enum tg_upstream_class {
    TG_UPSTREAM_RETRY,    /* the same again, on the same socket, after a backoff */
    TG_UPSTREAM_BACK_OFF, /* the project has enough: the whole socket asks for nothing for longer */
    TG_UPSTREAM_MOVE,     /* another socket */
    TG_UPSTREAM_TOKEN,    /* another token */
    TG_UPSTREAM_GIVE_UP,  /* nothing that we could do: it is told */
    TG_UPSTREAM_CLASSES
};

/*        name            word                  class     what a client is told who is refused */
#define TG_UPSTREAM_CAUSES(X)                                                                      \
    X(TG_UP_UNKNOWN, "unknown", RETRY, TG_EUPSTREAM)                                               \
    X(TG_UP_RESTARTING, "restarting", RETRY, TG_EUPSTREAM)                                         \
    X(TG_UP_DATABASE, "database", RETRY, TG_EUPSTREAM)                                             \
    X(TG_UP_CLUSTER, "cluster", RETRY, TG_EUPSTREAM)                                               \
    X(TG_UP_CRASHED, "crashed", RETRY, TG_EUPSTREAM)                                               \
    X(TG_UP_CLOSED, "closed", RETRY, TG_EUPSTREAM)                                                 \
    X(TG_UP_UNMATCHED, "unmatched", RETRY, TG_EUPSTREAM)                                           \
    X(TG_UP_PRESENCE, "presence", RETRY, TG_EUPSTREAM)                                             \
    X(TG_UP_SOCKET, "socket", RETRY, TG_EUPSTREAM)                                                 \
    X(TG_UP_UNREACHABLE, "unreachable", RETRY, TG_EUPSTREAM)                                       \
    X(TG_UP_SILENT, "silent", RETRY, TG_EUPSTREAM)                                                 \
    X(TG_UP_CONNECTIONS, "connections", BACK_OFF, TG_EUPSTREAM)                                    \
    X(TG_UP_JOIN_RATE, "join_rate", BACK_OFF, TG_EUPSTREAM)                                        \
    X(TG_UP_MESSAGE_RATE, "message_rate", BACK_OFF, TG_EUPSTREAM)                                  \
    X(TG_UP_CHANNELS, "channels", MOVE, TG_EUPSTREAM)                                              \
    X(TG_UP_EXPIRED, "token_expired", TOKEN, TG_EEXPIRED)                                          \
    X(TG_UP_TOKEN, "token", TOKEN, TG_EBADTOKEN)                                                   \
    X(TG_UP_SUBSCRIPTION, "subscription", GIVE_UP, TG_EBADTOPIC)                                   \
    X(TG_UP_FILTER, "filter", GIVE_UP, TG_EBADTOPIC)                                               \
    X(TG_UP_TOPIC, "topic", GIVE_UP, TG_EBADTOPIC)                                                 \
    X(TG_UP_REPLAY, "replay", GIVE_UP, TG_EBADTOPIC)                                               \
    X(TG_UP_FORBIDDEN, "forbidden", GIVE_UP, TG_EFORBIDDEN)                                        \
    X(TG_UP_TENANT, "tenant", GIVE_UP, TG_EREALTIME)                                               \
    X(TG_UP_DISABLED, "disabled", GIVE_UP, TG_EREALTIME)                                           \
    X(TG_UP_PRIVATE, "private_only", GIVE_UP, TG_EREALTIME)                                        \
    X(TG_UP_API_KEY, "api_key", GIVE_UP, TG_EREALTIME)

enum tg_upstream_cause {
    TG_UP_NONE,
#define TG_UPSTREAM_ENUM(name, word, class, rc) name,
    TG_UPSTREAM_CAUSES(TG_UPSTREAM_ENUM)
#undef TG_UPSTREAM_ENUM
        TG_UP_CAUSES
};

/* The reason of a refused join or push, or the message of a `system` frame; as JSON or bare. What
 * is not in the table is TG_UP_UNKNOWN. */
enum tg_upstream_cause tg_upstream_words(tg_str text);
/* The HTTP status of an upgrade that was refused. */
enum tg_upstream_cause tg_upstream_upgrade(unsigned status);
/* The code of a close frame; 0: the connection was cut, or never came about. */
enum tg_upstream_cause tg_upstream_close(unsigned code);

/* Of any cause but none; borrowed for ever. */
const char *tg_upstream_word(enum tg_upstream_cause cause);
enum tg_upstream_class tg_upstream_class(enum tg_upstream_cause cause);
const char *tg_upstream_class_name(enum tg_upstream_class class);
enum tg_rc tg_upstream_rc(enum tg_upstream_cause cause);

#endif
