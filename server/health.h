/* health.h - asks a running gateway whether it is ready: `tidegate --healthcheck`.
 *
 * For container engines, so that an image needs no HTTP client beside the gateway. */
#ifndef TG_SERVER_HEALTH_H
#define TG_SERVER_HEALTH_H

#include "util/clock.h"
#include "util/rc.h"

/* GET /readyz from the operator's port at `listen` (as in admin.listen; an address for all
 * interfaces is asked on the loopback). Blocks, at most a few times `timeout`; only for a
 * process that runs no loop. TG_OK: ready. TG_ENOTREADY: it answered otherwise.
 * TG_EREFUSED: nobody answers there. TG_EBADPARAM: no address, or port 0. */
enum tg_rc tg_health_ask(const char *listen, tg_usec timeout) TG_MUST_USE;

#endif
