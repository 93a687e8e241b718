/* query.h - values in the query of a request to PostgREST, so that they stay values.
 *
 * Pure. */
#ifndef TG_REALTIME_QUERY_H
#define TG_REALTIME_QUERY_H

#include "util/buf.h"

/* Appends `text` with every byte percent-encoded that does not mean itself (RFC 3986 2.3). */
void tg_query_escape(struct tg_buf *out, tg_str text);

/* The same in double quotes, as values are written inside parentheses. */
void tg_query_quote(struct tg_buf *out, tg_str text);

/* A name of PostgreSQL's that needs no quotes there: letters, digits, _ and $, not beginning with a
 * digit or $, at most 63 bytes. */
bool tg_query_is_identifier(tg_str name);

/* An identifier that PostgREST takes for a column, not for one of its parameters. */
bool tg_query_is_column(tg_str name);

#endif
