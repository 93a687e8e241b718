/* proxy.h - a request that goes upstream as it came (DESIGN.md 5.2). */
#ifndef TG_HANDLERS_PROXY_H
#define TG_HANDLERS_PROXY_H

#include "handlers/exchange.h"
#include "handlers/route.h"

/* From on_request: sets the request's handler, asks for the token what the route's policy wants,
 * then passes the request on and the answer back. */
void tg_proxy_start(struct tg_exchange *x, enum tg_service service);

/* What stands behind a failed call, for a client: 502, 503, 504. */
enum tg_rc tg_proxy_rc(enum tg_rc rc);

#endif
