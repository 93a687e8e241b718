/* change.h - from upstream's postgres_changes payload to the event that clients see.
 *
 * Values are slices of the text that came, so every digit stays (DESIGN.md 3). Pure. */
#ifndef TG_REALTIME_CHANGE_H
#define TG_REALTIME_CHANGE_H

#include "util/buf.h"

struct tg_table;

/* All [borrowed] from the payload. */
struct tg_change {
    tg_str data;
    tg_str record; /* of an INSERT and an UPDATE */
    tg_str old;    /* empty: there is none */
    bool is_delete;
    bool is_cut_short; /* columns that its reader may see are not in `record` */
};

/* `payload` is that of a postgres_changes frame. TG_OK; TG_EUNSUPPORTED: the event has `errors`
 * other than that it was too large, or is of another type than we know: something was lost;
 * TG_EBADJSON. */
enum tg_rc tg_change_parse(tg_str payload, struct tg_change *ret_change) TG_MUST_USE;

/* The first of upstream's `errors`, as it is written there; empty: there is none. */
tg_str tg_change_error(tg_str payload);

/* Upstream left columns out: unchanged TOASTed ones, and whatever is long in a row that is too
 * large (reference/realtime-protocol.md 8.4). `data` is the payload's. */
bool tg_change_is_cut_short(tg_str data, tg_str record);

/* Appends the event's JSON object for `topic` to `out`; `"partial":true` if it is cut short. Of the
 * old record only the primary key of `table` stays: the whole old row can leak past RLS
 * (reference/realtime-protocol.md 8.4); NULL: nothing of it. TG_OK; TG_EBADJSON; TG_ELIMIT. */
enum tg_rc tg_change_event(const struct tg_change *c, tg_str topic, const struct tg_table *table,
                           struct tg_buf *out) TG_MUST_USE;

#endif
