/* table.h - what the gateway must know of a database table: its name and its primary key.
 *
 * Upstream does not tell which columns are the primary key (reference/realtime-protocol.md 8.4), so
 * the configuration does, where it is not `id`. Made once before the threads start. Pure. */
#ifndef TG_REALTIME_TABLE_H
#define TG_REALTIME_TABLE_H

#include "util/str.h"

enum { TG_TABLE_PK_MAX = 8 };

struct tg_table {
    tg_str schema;
    tg_str name;
    const tg_str *pk; /* column names; at least one */
    size_t n_pk;
    tg_str catchup; /* a column changed by every write: its topics are repaired; empty: none */
};

struct tg_table_list {
    const struct tg_table *items;
    size_t n;
};

/* NULL: the configuration says nothing of it. `list` may be NULL. */
const struct tg_table *tg_table_find(const struct tg_table_list *list, tg_str schema, tg_str name);

/* Also one that it says nothing of: its primary key is `id`. Borrows schema and name. */
struct tg_table tg_table_of(const struct tg_table_list *list, tg_str schema, tg_str name);

#endif
