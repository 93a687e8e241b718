/* wsclient.h - outgoing WebSockets through libwebsockets: the only file that knows it.
 *
 * One context, one thread (the link's), which calls tg_wsc_service() until it is told to
 * stop. Names are resolved by the caller: libwebsockets would block on them. */
#ifndef TG_REALTIME_WSCLIENT_H
#define TG_REALTIME_WSCLIENT_H

#include "util/buf.h"
#include "util/clock.h"

struct tg_wsc; /* the context */
struct tg_ws;  /* one socket */

struct tg_wsc_opts {
    const char *host; /* for Host and SNI, with its port if it is not the usual one */
    unsigned port;
    bool tls;            /* certificates are always checked */
    const char *ca_file; /* NULL: the system's */
    size_t max_message_bytes;
    int wake_fd;                /* readable: on_wake. Stays the caller's. */
    void (*on_wake)(void *arg); /* also when the time of tg_wsc_wake_at() has come */
    void *arg;
};

enum tg_rc tg_wsc_create(const struct tg_wsc_opts *opts, struct tg_wsc **ret_wsc) TG_MUST_USE;
/* Waits for something to happen and handles it. False: the context is broken. */
bool tg_wsc_service(struct tg_wsc *w);
/* on_wake after so many microseconds; each call replaces the one before. */
void tg_wsc_wake_in(struct tg_wsc *w, tg_usec after);
/* All sockets must be gone or are dropped without on_close. */
void tg_wsc_destroy(struct tg_wsc *w);

struct tg_ws_handler {
    void (*on_open)(void *arg);
    /* A whole text message. [borrowed] */
    void (*on_text)(tg_str text, void *arg);
    /* Last call, exactly once, also for a socket that never opened. `code`: of the close frame, or
     * the HTTP status (below 1000) that refused the upgrade; 0: neither came. `why` is a short
     * sentence of the library or the peer. The tg_ws is gone afterwards. Never from inside
     * tg_ws_open(). */
    void (*on_close)(unsigned code, tg_str why, void *arg);
};

enum { TG_WS_TARGET_MAX = 1900 };

/* What a socket asks for, and as whom; [borrowed] until on_open or on_close. */
struct tg_ws_request {
    const char
        *target; /* path and query, at most TG_WS_TARGET_MAX bytes: longer ones are cut upstream */
    const char *api_key; /* sent as apikey and x-api-key; NULL: none */
};

/* `address`: numeric. ret_ws is valid until on_close. TG_EIO: nothing was started. */
enum tg_rc tg_ws_open(struct tg_wsc *w, const char *address, const struct tg_ws_request *r,
                      const struct tg_ws_handler *h, void *arg, struct tg_ws **ret_ws) TG_MUST_USE;
/* Queues a text message. TG_EFULL: too much waits (the peer does not read). */
enum tg_rc tg_ws_send(struct tg_ws *ws, tg_str text) TG_MUST_USE;
/* Closes soon; on_close follows. */
void tg_ws_close(struct tg_ws *ws);

#endif
