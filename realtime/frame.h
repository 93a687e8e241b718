/* frame.h - one event, serialised once, immutable, counted, shared by all threads.
 *
 *   sse:   id: <cursor>\n[event: <name>\n]data: {json}\n\n
 *   json:                                       ^^^^^^ a slice of it
 *   alt:   what a stream that was still joining is told instead of a join's gap
 *
 * A stream holds references, never copies. */
#ifndef TG_REALTIME_FRAME_H
#define TG_REALTIME_FRAME_H

#include "store/store.h"
#include "util/str.h"

struct tg_frame;

enum tg_frame_kind {
    TG_FRAME_EVENT,   /* a change; unnamed in SSE */
    TG_FRAME_RESET,   /* something may be missing up to here */
    TG_FRAME_CONTROL, /* hello, status, bye: for one stream */
};

/* All builders: any thread; the caller owns one reference. `json` is copied. */

/* A change, or with a name (reset, status, bye, hello) another event. */
struct tg_frame *tg_frame_create(enum tg_frame_kind kind, const struct tg_epoch *epoch,
                                 struct tg_pos pos, tg_str name, tg_str json);
/* The reset that a gap of its feed means for `topic`; `reason` is one word. */
struct tg_frame *tg_frame_reset(const struct tg_epoch *epoch, struct tg_pos pos, tg_str topic,
                                tg_str reason);
/* Bytes as they are (a comment, a bare id), without a JSON slice. */
struct tg_frame *tg_frame_raw(struct tg_pos pos, tg_str bytes);

/* Any thread. */
struct tg_frame *tg_frame_ref(struct tg_frame *f);
void tg_frame_unref(struct tg_frame *f); /* NULL is fine */

/* [borrowed] as long as the reference is held. */
struct tg_pos tg_frame_pos(const struct tg_frame *f);
enum tg_frame_kind tg_frame_kind(const struct tg_frame *f);
tg_str tg_frame_sse(const struct tg_frame *f);
tg_str tg_frame_json(const struct tg_frame *f);
/* Of a reset: a `status` event that says the topic is ready from here on. */
tg_str tg_frame_ready_sse(const struct tg_frame *f);
size_t tg_frame_bytes(const struct tg_frame *f);

#endif
