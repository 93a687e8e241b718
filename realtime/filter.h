/* filter.h - the filter of a strict topic in PostgREST's grammar.
 *
 *   state=eq."a, b",kind=in.(x,y)   ->   state=eq.a%2C%20b&kind=in.(%22x%22,%22y%22)
 *
 * It says the same in both grammars or it is refused. Pure. */
#ifndef TG_REALTIME_FILTER_H
#define TG_REALTIME_FILTER_H

#include "util/buf.h"

/* Appends the conditions of a canonical filter, joined by `&`. TG_EBADTOPIC, with *ret_why a
 * sentence ([borrowed] for ever); TG_ELIMIT: the buffer's maximum. */
enum tg_rc tg_filter_query(tg_str filter, struct tg_buf *out, const char **ret_why) TG_MUST_USE;

#endif
