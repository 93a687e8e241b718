/* ws.h - GET /sync/v1/ws: a stream over a WebSocket (RFC 6455), whose client may change what it
 * follows while it runs. */
#ifndef TG_HANDLERS_WS_H
#define TG_HANDLERS_WS_H

#include "handlers/exchange.h"

void tg_ws_start(struct tg_exchange *x);

#endif
