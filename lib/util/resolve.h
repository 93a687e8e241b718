/* resolve.h - a host's name as a numeric address. Blocks for as long as the resolver takes: never
 * on a loop, always on a thread of its own. */
#ifndef TG_UTIL_RESOLVE_H
#define TG_UTIL_RESOLVE_H

#include "util/base.h"

enum { TG_RESOLVE_MAX = 64 };

/* The address to try in the `attempt`-th attempt (from 0): a name with several addresses gives
 * them in turn, so that one which does not answer is not tried for ever. False: not found.
 * Any thread. */
bool tg_resolve(const char *host, unsigned attempt, char ret_address[TG_RESOLVE_MAX]) TG_MUST_USE;

#endif
