/* tunnel.h - a raw byte connection to the origin, for upgraded protocols.
 *
 * TCP, or TLS when the origin is https: libcurl resolves, connects and shakes hands, both off
 * the loop's way; then bytes pass as they are. All on the client's loop. The owner is told
 * once and then works until TG_EAGAIN, after which it is told again. */
#ifndef TG_UPSTREAM_TUNNEL_H
#define TG_UPSTREAM_TUNNEL_H

#include "upstream/client.h"

struct tg_tunnel;

/* None is called from inside a tg_tunnel_ function. `ctx` must live until on_close. */
struct tg_tunnel_handler {
    void (*on_open)(struct tg_tunnel *t, void *ctx);
    /* After on_open, and after a read that said TG_EAGAIN. */
    void (*on_readable)(struct tg_tunnel *t, void *ctx);
    /* After a write that said TG_EAGAIN. */
    void (*on_writable)(struct tg_tunnel *t, void *ctx);
    /* Last call, exactly once. Without on_open before it: TG_EREFUSED, TG_EGATEWAYTIME,
     * TG_EUPSTREAM (no TLS); otherwise, after tg_tunnel_close(), TG_OK. TG_ECANCELED: closed
     * before it was open, or the client is going away. */
    void (*on_close)(struct tg_tunnel *t, enum tg_rc rc, void *ctx);
};

/* `h` [borrowed] until on_close. TG_EBUSY: as many tunnels as connections are allowed. */
enum tg_rc tg_tunnel_open(struct tg_upstream *up, const struct tg_tunnel_handler *h, void *ctx,
                          struct tg_tunnel **ret_tunnel) TG_MUST_USE;

/* TG_OK: *ret_n bytes, at least one. TG_EAGAIN: none now, on_readable follows. TG_EEOF: upstream
 * will send no more. TG_EUPSTREAM: broken, close it. Only between on_open and tg_tunnel_close(). */
enum tg_rc tg_tunnel_read(struct tg_tunnel *t, char *p, size_t n, size_t *ret_n) TG_MUST_USE;

/* TG_OK: all was taken. TG_EAGAIN: the first *ret_n bytes (maybe none), on_writable follows.
 * TG_EUPSTREAM: broken, close it. Likewise. */
enum tg_rc tg_tunnel_write(struct tg_tunnel *t, tg_str bytes, size_t *ret_n) TG_MUST_USE;

/* We send no more (FIN; over TLS, too, without close_notify, which libcurl cannot send alone). */
void tg_tunnel_shutdown(struct tg_tunnel *t);

/* on_close follows in the deferred phase; nothing else does. May be called twice. */
void tg_tunnel_close(struct tg_tunnel *t);

#endif
