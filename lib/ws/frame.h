/* frame.h - words of RFC 6455 and what a server sends: frame headers, control frames.
 *
 * Pure: no sockets, no state. A server's frames are not masked. */
#ifndef TG_WS_FRAME_H
#define TG_WS_FRAME_H

#include "util/str.h"

/* Section 11.8. */
enum tg_ws_opcode {
    TG_WS_CONTINUATION = 0,
    TG_WS_TEXT = 1,
    TG_WS_BINARY = 2,
    TG_WS_CLOSE = 8,
    TG_WS_PING = 9,
    TG_WS_PONG = 10,
};

/* Section 7.4.1, and 1012-1014 of the IANA registry. All of ours are below 4000: some clients
 * never come back after a code above. */
enum tg_ws_code {
    TG_WS_NORMAL = 1000,
    TG_WS_GOING_AWAY = 1001,
    TG_WS_PROTOCOL_ERROR = 1002,
    TG_WS_UNSUPPORTED = 1003,
    TG_WS_NO_CODE = 1005, /* never sent: a close frame without a code */
    TG_WS_BAD_TEXT = 1007,
    TG_WS_POLICY = 1008,
    TG_WS_TOO_BIG = 1009,
    TG_WS_INTERNAL = 1011,
    TG_WS_TRY_LATER = 1013,
};

enum {
    TG_WS_HEADER_MAX = 10, /* of a server's frame */
    TG_WS_CONTROL_MAX = 125,
    TG_WS_REASON_MAX = TG_WS_CONTROL_MAX - 2,
    TG_WS_CONTROL_FRAME_MAX = 2 + TG_WS_CONTROL_MAX,
};

/* Whether a peer may put `code` into a close frame. */
bool tg_ws_code_is_good(unsigned code);

/* The header of an unfragmented frame with `n` bytes behind it; returns its length. */
size_t tg_ws_put_header(enum tg_ws_opcode opcode, uint64_t n, char out[TG_WS_HEADER_MAX]);

/* A whole control frame; `payload` of at most TG_WS_CONTROL_MAX bytes. Returns its length. */
size_t tg_ws_put_control(enum tg_ws_opcode opcode, tg_str payload,
                         char out[TG_WS_CONTROL_FRAME_MAX]);

/* A whole close frame. TG_WS_NO_CODE: an empty one. The reason (UTF-8) is cut at a character
 * where it is too long. Returns its length. */
size_t tg_ws_put_close(unsigned code, tg_str reason, char out[TG_WS_CONTROL_FRAME_MAX]);

#endif
