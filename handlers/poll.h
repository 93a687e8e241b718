/* poll.h - GET /sync/v1/poll: what is new since a cursor, as one JSON answer; at once, or when
 * something comes. */
#ifndef TG_HANDLERS_POLL_H
#define TG_HANDLERS_POLL_H

#include "handlers/exchange.h"

void tg_poll_start(struct tg_exchange *x);

#endif
