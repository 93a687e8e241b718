/* redis_link.h - one connection to Redis on a loop: hiredis' asynchronous mode over tg_poll.
 *
 * Single use: opened, up, lost, closed. Tells a refused connect, which hiredis' own libuv adapter
 * does not. No timeouts and no reconnects: whoever opens it has the timers. */
#ifndef TG_STORE_REDIS_LINK_H
#define TG_STORE_REDIS_LINK_H

#include <hiredis/async.h>

#include "loop/loop.h"
#include "util/str.h"

struct tg_redis_link;

/* Where to: a numeric address and port, or the path of a socket. */
struct tg_redis_link_address {
    const char *host;
    uint16_t port;
    const char *path; /* instead of host */
};

/* `on_up` and `on_lost` are told at most once each, later than the open; nothing after lost. */
struct tg_redis_link_handler {
    void (*on_up)(struct tg_redis_link *k, void *arg);
    void (*on_lost)(struct tg_redis_link *k, void *arg);
    void *arg;
};

/* TG_EREFUSED: at once, nothing is told. */
enum tg_rc tg_redis_link_open(struct tg_loop *l, const struct tg_redis_link_address *to,
                              const struct tg_redis_link_handler *h,
                              struct tg_redis_link **ret_link) TG_MUST_USE;

/* Nothing is told any more, but each command's callback, with NULL, before the turn ends. */
void tg_redis_link_close(struct tg_redis_link *k);

/* `command` is a whole command in Redis' own form. `on_reply` is called exactly once, with NULL
 * when the connection is gone; the reply is [borrowed] for the call. */
enum tg_rc tg_redis_link_send(struct tg_redis_link *k, tg_str command, redisCallbackFn *on_reply,
                              void *arg) TG_MUST_USE;

#endif
