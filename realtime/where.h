/* where.h - which rows of a table a declared topic shows: conditions in PostgREST's grammar, which
 * the gateway evaluates on every change and PostgREST on every row that is read.
 *
 *   deleted_at=is.null&kind=in.(chat,note)          all of them must hold
 *
 * column=[not.]op.value with `is` (null, not_null, true, false, unknown), `eq`, `neq`, `in`, as
 * text without percent-encoding. Others are refused: both sides must see the same rows. Numbers are
 * compared by value, digit by digit, other values as text, so they are written as PostgreSQL writes
 * them. NULL meets none but `is`. Pure; immutable once parsed. */
#ifndef TG_REALTIME_WHERE_H
#define TG_REALTIME_WHERE_H

#include "util/buf.h"

enum { TG_WHERE_MAX_BYTES = 1024, TG_WHERE_MAX_CONDITIONS = 16, TG_WHERE_MAX_IN = 100 };

struct tg_where;

/* TG_EBADPARAM: *ret_why is a sentence ([borrowed] for ever). ret_where: tg_where_destroy(). */
enum tg_rc tg_where_parse(tg_str text, struct tg_where **ret_where,
                          const char **ret_why) TG_MUST_USE;
void tg_where_destroy(struct tg_where *w); /* NULL is fine */

/* Whether a row, a JSON object, meets it. *ret_known false: a column that decides is missing in the
 * record, and the answer says nothing. NULL is met by every row. */
bool tg_where_matches(const struct tg_where *w, tg_str record, bool *ret_known);

/* For a query of PostgREST, escaped. Empty for NULL. */
tg_str tg_where_query(const struct tg_where *w);

#endif
