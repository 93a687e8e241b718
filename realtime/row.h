/* row.h - a table's row as JSON text: its primary key, one column, the cut that a topic shows,
 * and a hash by which two spellings of one row are equal.
 *
 * Realtime and PostgREST write the same row differently: blanks, the order of members in nested
 * jsonb, escapes, the form of numbers, bytea with and without its \x. Text that is passed on
 * keeps its digits; only the hash sees through the spelling. Pure.
 *
 * Realtime says null where a number is NaN or infinite: such rows differ, and the one that was read
 * is right. A bytea primary key has two texts (\x6162 and 6162) and is two rows here: not
 * supported. */
#ifndef TG_REALTIME_ROW_H
#define TG_REALTIME_ROW_H

#include "util/buf.h"

struct tg_table;

/* Appends the canonical JSON array of the primary key's values: [42], ["a","b"]. TG_ENOTFOUND: a
 * column of it is missing or null. */
enum tg_rc tg_row_pk(const struct tg_table *table, tg_str record, struct tg_buf *out) TG_MUST_USE;

/* Appends a column as text: a string without quotes and escapes, everything else as JSON without
 * blanks. TG_ENOTFOUND: the record has no such column; TG_EEOF: it is null. */
enum tg_rc tg_row_text(tg_str record, tg_str column, struct tg_buf *out) TG_MUST_USE;

/* The column's JSON text: a slice of `record`. TG_ENOTFOUND. */
enum tg_rc tg_row_value(tg_str record, tg_str column, tg_str *ret_value) TG_MUST_USE;

/* Appends an object of these columns, in this order, digits untouched, without blanks.
 * TG_ENOTFOUND: some are missing; the others are there. */
enum tg_rc tg_row_cut(tg_str record, const tg_str *columns, size_t n,
                      struct tg_buf *out) TG_MUST_USE;

/* Of the row, whatever its spelling; the same in every process. */
uint64_t tg_row_hash(tg_str record);

#endif
