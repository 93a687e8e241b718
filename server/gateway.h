/* gateway.h - the whole process put together from its configuration: store, hub, workers,
 * operator's port. main.c drives it. */
#ifndef TG_SERVER_GATEWAY_H
#define TG_SERVER_GATEWAY_H

#include "util/clock.h"
#include "util/rc.h"

struct tg_config;
struct tg_gateway;

/* With all signals blocked. `cfg` [borrowed] as long as the gateway lives. Whatever stops the start
 * has been logged. */
enum tg_rc tg_gateway_start(const struct tg_config *cfg,
                            struct tg_gateway **ret_gateway) TG_MUST_USE;
/* Not ready from here on; workers drain within the configured time. Returns when all threads have
 * ended. */
void tg_gateway_drain(struct tg_gateway *g);
void tg_gateway_destroy(struct tg_gateway *g);

/* Main, once a second: says so when a loop stands still, and ends the process when it does so for
 * ten seconds (a restart serves better than a thread that hangs). */
void tg_gateway_watch(struct tg_gateway *g);

#endif
