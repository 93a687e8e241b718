/* shape.h - cuts an event down to what a small client asked for.
 *
 * Works on slices of the event's JSON text: what stays is copied byte by byte, so numbers keep
 * their digits. What goes out is never longer than what came in. Pure.
 *
 *   fields=id,content   of `record` and `old_record` only these columns
 *   compact=1           without what the client can infer: `id` (the answer has a cursor),
 *                       `schema`, `table`, `commit_timestamp`, `old_record` of anything but a
 *                       DELETE, and `topic` when the answer is about one topic
 *
 * A named event (reset, status) has no columns; compact takes only its `id`. */
#ifndef TG_HANDLERS_SHAPE_H
#define TG_HANDLERS_SHAPE_H

#include "util/arena.h"
#include "util/buf.h"

enum { TG_SHAPE_MAX_FIELDS = 64 };

/* Zeroed: events stay as they are. */
struct tg_shape {
    tg_str *fields;  /* in the arena; slices of what was parsed */
    size_t n_fields; /* 0: all columns */
    bool is_compact;
    bool has_one_topic;
};

/* `text` is decoded: names joined by commas. TG_EBADPARAM with *ret_why, a sentence ([borrowed] for
 * ever): an empty name, one that cannot be a plain column's, or too many. */
enum tg_rc tg_shape_fields(struct tg_shape *s, struct tg_arena *arena, tg_str text,
                           const char **ret_why) TG_MUST_USE;

/* Whether anything is cut at all. */
bool tg_shape_is_plain(const struct tg_shape *s);

/* Appends `message`, one JSON object, in this shape; as it is if it is none. TG_ELIMIT over the
 * maximum of `out`, which then is as before. */
enum tg_rc tg_shape_put(const struct tg_shape *s, tg_str message, struct tg_buf *out);

#endif
