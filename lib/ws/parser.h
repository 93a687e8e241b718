/* parser.h - what a WebSocket client sends (RFC 6455), out of bytes as they come.
 *
 * Incremental and pure: the same messages, controls and verdict at any cut of the bytes. What is
 * wrong is refused at the first byte that tells: a header before its payload, a text at the byte
 * that no UTF-8 continues. Payloads are unmasked where they stand; only a message or a control
 * frame that the input cuts is copied, so nothing is held between messages. */
#ifndef TG_WS_PARSER_H
#define TG_WS_PARSER_H

#include "ws/frame.h"
#include "ws/utf8.h"

/* Fields are the parser's own. */
struct tg_ws_parser {
    uint32_t max_bytes;
    uint32_t left; /* payload bytes of the frame that are still to come */
    char *message; /* [owned] what has come of a message that is not whole */
    uint32_t n_message;
    uint32_t cap_message;
    char *control; /* [owned] the same of a control frame */
    const char *why;
    uint16_t code;
    uint8_t n_control;
    uint8_t n_head; /* bytes of the header that are here */
    uint8_t head[14];
    uint8_t mask_at; /* next byte of the mask */
    uint8_t opcode;  /* of the message under way; TG_WS_CONTINUATION: none */
    uint8_t state;
    bool is_text_only;
    struct tg_utf8 utf8;
};

struct tg_ws_input {
    char *p;
    size_t n;
};

struct tg_ws_event {
    enum tg_ws_opcode opcode; /* TEXT, BINARY, PING, PONG, CLOSE */
    tg_str bytes;             /* the message, the payload, the reason of a close; [borrowed] until
                                 the next call */
    uint16_t code;            /* of a close; TG_WS_NO_CODE: none was given */
};

/* A message may have `max_bytes`. With `is_text_only` a binary one fails with TG_WS_UNSUPPORTED. */
void tg_ws_parser_init(struct tg_ws_parser *p, uint32_t max_bytes, bool is_text_only);
void tg_ws_parser_fini(struct tg_ws_parser *p);

/* Takes from `in` what belongs to the next event, and changes those bytes. TG_OK: *ret_event;
 * TG_EAGAIN: `in` is used up; TG_EEOF: the peer has sent its close frame, what follows is thrown
 * away; TG_EBADREQ: the peer broke the rules, see tg_ws_parser_code(), and so for ever. */
enum tg_rc tg_ws_parser_next(struct tg_ws_parser *p, struct tg_ws_input *in,
                             struct tg_ws_event *ret_event) TG_MUST_USE;

/* After TG_EBADREQ: the code to close with, and in some words why. */
enum tg_ws_code tg_ws_parser_code(const struct tg_ws_parser *p);
const char *tg_ws_parser_why(const struct tg_ws_parser *p);

/* Nothing is held, and nothing has begun. */
bool tg_ws_parser_is_idle(const struct tg_ws_parser *p);

#endif
