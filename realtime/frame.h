/* frame.h - one event, serialised once, immutable, counted, shared by all threads.
 *
 *   sse:      id: <cursor>\n[event: <name>\n]data: {json}\n\n
 *   json:                                          ^^^^^^ a slice of it
 *   ws:       [header]{"id":"<cursor>",...json}            a change
 *             [header]{"event":"<name>","id":"<cursor>",...json}
 *   message:          ^^^^^^^^^ a slice of it
 *   ready:    both again: what a stream that was still joining is told instead of a join's gap
 *
 * The WebSocket form is a server's text frame, whole and unmasked (RFC 6455 section 5.2).
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

/* All builders: any thread; the caller owns one reference. `json` is one JSON object without line
 * ends, and is copied. */

/* A change, or with a name (snapshot, hello) another event that has an id. */
struct tg_frame *tg_frame_create(enum tg_frame_kind kind, const struct tg_epoch *epoch,
                                 struct tg_pos pos, tg_str name, tg_str json);
/* The reset that a gap of its feed means for `topic`; `reason` is one word. */
struct tg_frame *tg_frame_reset(const struct tg_epoch *epoch, struct tg_pos pos, tg_str topic,
                                tg_str reason);
/* A named event without an id (status, expiring): it says nothing about positions. */
struct tg_frame *tg_frame_named(tg_str name, tg_str json);
/* `bye`: why it ends (one word), and when to come back. In SSE with a `retry` line. */
struct tg_frame *tg_frame_bye(tg_str reason, uint64_t retry_ms);
/* Bytes as they are, for each transport its own (heartbeats, pongs, close frames); either may be
 * empty. */
struct tg_frame *tg_frame_pair(struct tg_pos pos, tg_str sse, tg_str ws);
/* Where the log stands, told to who has seen all of it: an id line, a `heartbeat` message. */
struct tg_frame *tg_frame_position(const struct tg_epoch *epoch, struct tg_pos pos);

/* Any thread. */
struct tg_frame *tg_frame_ref(struct tg_frame *f);
void tg_frame_unref(struct tg_frame *f); /* NULL is fine */

/* [borrowed] as long as the reference is held. */
struct tg_pos tg_frame_pos(const struct tg_frame *f);
enum tg_frame_kind tg_frame_kind(const struct tg_frame *f);
tg_str tg_frame_sse(const struct tg_frame *f);
tg_str tg_frame_json(const struct tg_frame *f);
tg_str tg_frame_ws(const struct tg_frame *f);
tg_str tg_frame_message(const struct tg_frame *f);
/* Of a reset: a `status` event that says the topic is ready from here on. */
tg_str tg_frame_ready_sse(const struct tg_frame *f);
tg_str tg_frame_ready_ws(const struct tg_frame *f);
size_t tg_frame_bytes(const struct tg_frame *f);

#endif
