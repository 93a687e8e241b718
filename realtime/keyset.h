/* keyset.h - targets of PostgREST requests about a table's rows (reference/supabase-http.md 5.3).
 *
 *   /rest/v1/tasks?select=id,state&deleted_at=is.null     tg_keyset_rows
 *   &id=gt.17&order=id.asc&limit=200                      tg_keyset_after, tg_keyset_order
 *   &id=in.("17","18")                                    tg_keyset_keys
 *
 * Composite keys are compared column by column in an or=(...). What a row says is escaped byte by
 * byte, and quoted where PostgREST's own grammar could read it. Pure. */
#ifndef TG_REALTIME_KEYSET_H
#define TG_REALTIME_KEYSET_H

#include "realtime/table.h"
#include "util/buf.h"

enum { TG_KEYSET_TARGET_MAX = 8192 };

/* Path, the primary key and `columns` selected (`*` alone: whatever the bearer may read), the
 * filter. TG_ELIMIT. */
enum tg_rc tg_keyset_rows(const struct tg_table *table, const tg_str *columns, size_t n,
                          tg_str filter, struct tg_buf *out) TG_MUST_USE;
/* The condition of all rows behind `row`, by primary key. TG_ENOTFOUND: the row has none. */
enum tg_rc tg_keyset_after(const struct tg_table *table, tg_str row,
                           struct tg_buf *out) TG_MUST_USE;
enum tg_rc tg_keyset_order(const struct tg_table *table, unsigned limit,
                           struct tg_buf *out) TG_MUST_USE;

/* The condition of the first of these primary keys (tg_row_pk), as many as the target has room
 * for and at most `max`. TG_EBADPARAM: not a primary key of the table; TG_ELIMIT: no room for
 * one. */
enum tg_rc tg_keyset_keys(const struct tg_table *table, const tg_str *pks, size_t max,
                          struct tg_buf *out, size_t *ret_n) TG_MUST_USE;

#endif
