/* index.h - which rows a table has: primary key -> (topic key, hash of the row) (DESIGN.md 3).
 *
 * It routes deletes, finds rows that moved to another key, and what a gap hid. Bounded by rows;
 * keys are kept once however many rows have them: about 110 bytes for a uuid's row. It grows in
 * parts, so that no call takes longer for a large table, but clear and destroy, which free row by
 * row. Pure, one thread at a time. */
#ifndef TG_REALTIME_INDEX_H
#define TG_REALTIME_INDEX_H

#include "util/str.h"

struct tg_index;

struct tg_index_row {
    tg_str key; /* [borrowed] until the index changes */
    uint64_t hash;
};

struct tg_index *tg_index_create(size_t max_rows);
/* NULL is fine. */
void tg_index_destroy(struct tg_index *x);
void tg_index_clear(struct tg_index *x);

/* False: it has no such row. */
bool tg_index_find(const struct tg_index *x, tg_str pk, struct tg_index_row *ret_row);

/* Enters the row or changes it; the present sweep has seen it. TG_EFULL: a new row over max_rows;
 * TG_ELIMIT: a primary key over TG_INDEX_PK_MAX or a key over TG_INDEX_KEY_MAX. Then nothing has
 * changed. */
enum { TG_INDEX_PK_MAX = 1024, TG_INDEX_KEY_MAX = 1024 };
enum tg_rc tg_index_put(struct tg_index *x, tg_str pk, tg_str key, uint64_t hash) TG_MUST_USE;

/* False: there was none. */
bool tg_index_remove(struct tg_index *x, tg_str pk);

/* ---- what a full read did not show ---- */

/* From here on no row has been seen. */
void tg_index_sweep(struct tg_index *x);
/* The row is there, as it was. False: there is none. */
bool tg_index_see(struct tg_index *x, tg_str pk);
/* A row that has not been seen since the sweep began, or false. Remove it (or see it) and ask
 * again; the index may change in between. pk and key [borrowed] until it does. */
bool tg_index_unseen(const struct tg_index *x, tg_str *ret_pk, struct tg_index_row *ret_row);

size_t tg_index_rows(const struct tg_index *x);
/* About as much memory as it holds. */
size_t tg_index_bytes(const struct tg_index *x);

#endif
