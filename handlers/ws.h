/* ws.h - GET /sync/v1/ws: a stream over a WebSocket (RFC 6455), whose client may change what it
 * follows while it runs. */
#ifndef TG_HANDLERS_WS_H
#define TG_HANDLERS_WS_H

#include "handlers/exchange.h"

struct tg_client;
struct tg_token;

void tg_ws_start(struct tg_exchange *x);

/* Its stream has a fresh token, with which it subscribes from now on. For client.c. */
void tg_ws_keep_token(struct tg_client *c, struct tg_token *token);

#endif
