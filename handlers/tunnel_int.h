/* tunnel_int.h - what tunnel.c (how a tunnel begins and ends) and tunnel_pump.c (its bytes) share.
 * Not for anybody else. */
#ifndef TG_HANDLERS_TUNNEL_INT_H
#define TG_HANDLERS_TUNNEL_INT_H

#include "handlers/exchange.h"
#include "handlers/proxy_request.h"
#include "handlers/reply.h"
#include "handlers/worker.h"
#include "upstream/tunnel.h"

enum { TUNNEL_CHUNK = 16384 };

enum tunnel_state { ASKING, OPEN, REFUSED };

struct tunnel {
    struct tg_list node; /* of the worker's tunnels */
    struct tg_worker *w;
    struct tg_conn *conn;  /* NULL: gone */
    struct tg_tunnel *up;  /* NULL: closed */
    struct tg_exchange *x; /* NULL behind the request */
    struct tg_proxy_in in;
    enum tunnel_state state;
    bool is_raw;
    struct tg_buf ask; /* what upstream is told, from `asked` on */
    size_t asked;
    struct tg_buf down; /* to the client; ASKING: the answer's head */
    struct tg_buf to_up;
    struct tg_reply reply;
    bool up_ended, client_ended;
    struct tg_task more; /* a direction used up its rounds */
    struct tg_timer timer;
    tg_usec last, started;
    tg_usec ends_at; /* the worker drains; 0: it does not */
    uint64_t n_in, n_out;
    char id[TG_REQUEST_ID_MAX + 1];
    const char *why; /* of its end */
};

/* tunnel.c */
/* Both sides are told to close; their last calls come later. `why`: one word; the first counts. */
void tunnel_close_both(struct tunnel *t, const char *why);

/* tunnel_pump.c */
/* TG_OK: all of `bytes` is upstream or kept. */
enum tg_rc tunnel_send_up(struct tunnel *t, tg_str bytes) TG_MUST_USE;
bool tunnel_is_broken(enum tg_rc rc);
/* Both directions, as far as they go. */
void tunnel_pump(struct tunnel *t);
bool tunnel_on_more(struct tg_task *task); /* and on, next turn */

#endif
