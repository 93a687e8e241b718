/* strict.h - a strict topic's feed: which rows its class may know of, and what it is told of them
 * (DESIGN.md 3).
 *
 * Realtime tells the DELETE of a row to everybody who follows the table; no policy is asked
 * (reference/realtime-protocol.md 8.4). So the feed keeps the primary keys of the rows that its
 * class can see: read through PostgREST as the user after `Subscribed`, and kept by the changes
 * that pass. A DELETE of one of them is told. One of another row is not, once the table has been
 * read to its end; until then it means a gap, at most one in `reset_spread`.
 *
 *   Subscribed -> read as the user -> gap -> live     Changes before the gap are covered by it:
 *        |            ^   |                           whoever is told `reset` reads the table, and
 *        |            |   | fails, or takes long      sees no row that the feed does not know.
 *        |            |   v
 *        +--> gap -> live, every unknown DELETE a gap
 *
 * Of two reads `verify` apart, a row that neither has shown is forgotten: who lost a row by a
 * policy is told its DELETE no longer. Everything here belongs to the hub's thread. */
#ifndef TG_REALTIME_STRICT_H
#define TG_REALTIME_STRICT_H

#include "realtime/hub_int.h"
#include "realtime/table.h"

struct strict *strict_create(struct feed *f);
/* NULL is fine. */
void strict_destroy(struct strict *s);
/* Something that upstream told, or should have, is lost: the rows are read, and a gap is behind. */
void strict_lost(struct strict *s, const char *why);
/* Upstream is gone. */
void strict_down(struct strict *s);
/* There is a fresher token to read with. */
void strict_on_token(struct strict *s);
/* false: a gap is still to come behind the read. */
bool strict_is_read(const struct strict *s);
/* Some DELETEs are gaps or are not told at all: there are more rows than may be kept, or the filter
 * has columns that Supabase does not know of a deleted row (reference/realtime-protocol.md 8.3). */
bool strict_is_partial(const struct strict *s);
/* A filter that Supabase cannot apply to a DELETE, which shows the primary key alone. */
bool strict_is_blind(const struct tg_table *t, tg_str filter);
void strict_on_change(struct strict *s, tg_str payload);
void strict_sweep(struct strict *s);

#endif
