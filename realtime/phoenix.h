/* phoenix.h - the text frames of Phoenix channels, vsn 2.0.0
 * (reference/realtime-protocol.md 3.2, 4, 5, 7). Pure: builds and slices text. */
#ifndef TG_REALTIME_PHOENIX_H
#define TG_REALTIME_PHOENIX_H

#include "util/buf.h"

/* [join_ref, ref, topic, event, payload]. Refs without their quotes, empty for null; topic and
 * event are raw text between quotes (names of ours need no escapes); payload is raw JSON. */
struct tg_phoenix {
    tg_str join_ref;
    tg_str ref;
    tg_str topic;
    tg_str event;
    tg_str payload;
};

/* Slices of `text`, which must be UTF-8 JSON. TG_EBADJSON: not a frame. */
enum tg_rc tg_phoenix_parse(tg_str text, struct tg_phoenix *ret_frame) TG_MUST_USE;

/* {"status":"ok"|"error","response":...} of a phx_reply. */
enum tg_rc tg_phoenix_reply(tg_str payload, bool *ret_ok, tg_str *ret_response) TG_MUST_USE;

/* What a postgres_changes subscription asks for. */
struct tg_phoenix_changes {
    tg_str schema;
    tg_str table;
    tg_str filter; /* empty: none */
};

/* All append one frame. `ref` is also the join_ref of a join; an empty `token` is left out of it:
 * the socket's key speaks. */
void tg_phoenix_join(struct tg_buf *out, uint64_t ref, tg_str topic,
                     const struct tg_phoenix_changes *changes, tg_str token);
void tg_phoenix_leave(struct tg_buf *out, uint64_t join_ref, uint64_t ref, tg_str topic);
void tg_phoenix_token(struct tg_buf *out, uint64_t join_ref, uint64_t ref, tg_str topic,
                      tg_str token);
void tg_phoenix_heartbeat(struct tg_buf *out, uint64_t ref);

#endif
