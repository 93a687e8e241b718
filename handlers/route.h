/* route.h - whose request it is, told from its raw target (DESIGN.md 5.2). Pure.
 *
 * The target goes upstream as it came, so what stands behind us resolves it once more. A path
 * that would belong to another service after that is refused: what was checked here must be
 * what is served there. */
#ifndef TG_HANDLERS_ROUTE_H
#define TG_HANDLERS_ROUTE_H

#include "util/str.h"

enum tg_service {
    TG_SERVICE_NONE,
    TG_SERVICE_OWN, /* /sync/v1/ */
    TG_SERVICE_AUTH,
    TG_SERVICE_REST,
    TG_SERVICE_STORAGE,
    TG_SERVICE_FUNCTIONS,
    TG_SERVICE_GRAPHQL,
    TG_SERVICE_REALTIME, /* /realtime/v1/websocket: tunnelled */
    TG_SERVICE_BROADCAST,
    TG_SERVICE_MAX
};

/* "rest", "auth", ...; borrowed for ever. */
const char *tg_service_name(enum tg_service s);

/* The origin form of `target` (what begins with its path's '/'): absolute form only for the own
 * authority, which is what `host` says. TG_EBADTARGET. ret_target: a slice of `target`, or "/". */
enum tg_rc tg_route_origin_form(tg_str target, tg_str host, tg_str *ret_target) TG_MUST_USE;

/* `path`: raw, from its '/', without the query. TG_ENOTFOUND: nobody's. TG_EBADTARGET: it would be
 * somebody else's once dot segments, %2e, %2f, %5c, '\' or repeated slashes are resolved. */
enum tg_rc tg_route(tg_str path, enum tg_service *ret_service) TG_MUST_USE;

#endif
