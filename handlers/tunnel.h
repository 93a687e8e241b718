/* tunnel.h - /realtime/v1/websocket as it is: the upgrade goes upstream under the rules of other
 * requests, then bytes pass both ways (DESIGN.md 5). */
#ifndef TG_HANDLERS_TUNNEL_H
#define TG_HANDLERS_TUNNEL_H

#include "handlers/exchange.h"

/* Whether the request asks for a WebSocket. */
bool tg_tunnel_is_upgrade(const struct tg_head *head);

/* From on_request. What upstream answers instead of 101 goes to the client like any answer. */
void tg_tunnel_start(struct tg_exchange *x);

/* The worker goes away: open tunnels end one by one within `spread`, so that their clients come
 * back one by one, too. */
void tg_tunnel_drain(struct tg_worker *w, tg_usec spread);

#endif
