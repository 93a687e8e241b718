/* change.h - from upstream's postgres_changes payload to the event that clients see.
 *
 * Values are slices of the text that came, so every digit stays (DESIGN.md 3). Pure. */
#ifndef TG_REALTIME_CHANGE_H
#define TG_REALTIME_CHANGE_H

#include "util/buf.h"

/* Appends the event's JSON object for `topic` to `out`. `payload` is that of a
 * postgres_changes frame. Of an UPDATE's old_record only members stay whose value the new record
 * shows as well: the whole old row can leak past RLS (reference/realtime-protocol.md 8.4).
 * TG_OK; TG_EUNSUPPORTED: the event has `errors`, a sign that something was lost (nothing is
 * appended); TG_EBADJSON; TG_ELIMIT. */
enum tg_rc tg_change_event(tg_str payload, tg_str topic, struct tg_buf *out) TG_MUST_USE;

#endif
