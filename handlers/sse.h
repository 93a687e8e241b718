/* sse.h - GET /sync/v1/stream: server-sent events (WHATWG HTML 9.2, DESIGN.md 5). */
#ifndef TG_HANDLERS_SSE_H
#define TG_HANDLERS_SSE_H

#include "handlers/exchange.h"

void tg_sse_start(struct tg_exchange *x);

#endif
