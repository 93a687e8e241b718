/* parser.c - client frames of RFC 6455 section 5.
 *
 *   HEAD --header whole--> PAYLOAD --payload whole--> HEAD        any frame
 *     `--rule broken--> FAILED <--rule broken--'  `--close--> CLOSED
 *
 * A control frame may stand between the fragments of a message, so what has come of each is kept
 * apart. A payload that is whole in the input, and all of its message, is handed on where it is. */
#include "ws/parser.h"

#include <stdlib.h>

enum { FIN = 0x80, RESERVED = 0x70, OPCODE = 0x0F, IS_CONTROL = 0x08 };
enum { MASKED = 0x80, LENGTH = 0x7F, LENGTH_16 = 126, LENGTH_64 = 127, MASK_BYTES = 4 };
enum { FIRST_CAP = 512 };
enum { HEAD, PAYLOAD, CLOSED, FAILED };

void tg_ws_parser_init(struct tg_ws_parser *p, uint32_t max_bytes, bool is_text_only)
{
    *p = (struct tg_ws_parser){.max_bytes = max_bytes, .is_text_only = is_text_only};
}

static void drop_message(struct tg_ws_parser *p)
{
    free(p->message);
    p->message = NULL;
    p->n_message = 0;
    p->cap_message = 0;
}

static void drop_control(struct tg_ws_parser *p)
{
    free(p->control);
    p->control = NULL;
    p->n_control = 0;
}

void tg_ws_parser_fini(struct tg_ws_parser *p)
{
    drop_message(p);
    drop_control(p);
}

static enum tg_rc fail(struct tg_ws_parser *p, enum tg_ws_code code, const char *why)
{
    tg_ws_parser_fini(p);
    p->code = (uint16_t)code;
    p->why = why;
    p->state = FAILED;
    return TG_EBADREQ;
}

static bool is_control(const struct tg_ws_parser *p)
{
    return (p->head[0] & IS_CONTROL) != 0;
}

static bool is_final(const struct tg_ws_parser *p)
{
    return (p->head[0] & FIN) != 0;
}

/* ---- the header ---- */

static enum tg_rc check_opcode(struct tg_ws_parser *p)
{
    uint8_t opcode = p->head[0] & OPCODE;

    switch (opcode) {
    case TG_WS_CONTINUATION:
        return p->opcode != TG_WS_CONTINUATION
                   ? TG_OK
                   : fail(p, TG_WS_PROTOCOL_ERROR, "a continuation of nothing");
    case TG_WS_TEXT:
    case TG_WS_BINARY:
        if (p->opcode != TG_WS_CONTINUATION) {
            return fail(p, TG_WS_PROTOCOL_ERROR, "a message inside another one");
        }
        if (opcode == TG_WS_BINARY && p->is_text_only) {
            return fail(p, TG_WS_UNSUPPORTED, "only text messages are understood");
        }
        return TG_OK;
    case TG_WS_CLOSE:
    case TG_WS_PING:
    case TG_WS_PONG:
        return is_final(p) ? TG_OK : fail(p, TG_WS_PROTOCOL_ERROR, "a control frame in fragments");
    default:
        return fail(p, TG_WS_PROTOCOL_ERROR, "an opcode that is not defined");
    }
}

static enum tg_rc check_first(struct tg_ws_parser *p)
{
    /* No extension was agreed on, so nothing gives these bits a meaning. */
    if ((p->head[0] & RESERVED) != 0) {
        return fail(p, TG_WS_PROTOCOL_ERROR, "a reserved bit is set");
    }
    return check_opcode(p);
}

static enum tg_rc check_second(struct tg_ws_parser *p)
{
    if ((p->head[1] & MASKED) == 0) {
        return fail(p, TG_WS_PROTOCOL_ERROR, "a frame is not masked");
    }
    if (is_control(p) && (p->head[1] & LENGTH) > TG_WS_CONTROL_MAX) {
        return fail(p, TG_WS_PROTOCOL_ERROR, "a control frame is too long");
    }
    return TG_OK;
}

/* Bytes that follow the first two: the longer forms of the length. */
static size_t n_length(const struct tg_ws_parser *p)
{
    switch (p->head[1] & LENGTH) {
    case LENGTH_16:
        return 2;
    case LENGTH_64:
        return 8;
    default:
        return 0;
    }
}

static enum tg_rc check_length(struct tg_ws_parser *p)
{
    uint64_t n = p->head[1] & LENGTH;

    if (n_length(p) > 0) {
        n = 0;
        for (size_t i = 0; i < n_length(p); i++) {
            n = n << 8U | p->head[2 + i];
        }
    }
    if (n > INT64_MAX) {
        return fail(p, TG_WS_PROTOCOL_ERROR, "a length of more than 63 bits");
    }
    if (!is_control(p) && n > p->max_bytes - p->n_message) {
        return fail(p, TG_WS_TOO_BIG, "the message is too big");
    }
    p->left = (uint32_t)n;
    return TG_OK;
}

static void begin_payload(struct tg_ws_parser *p)
{
    uint8_t opcode = p->head[0] & OPCODE;

    if (opcode == TG_WS_TEXT || opcode == TG_WS_BINARY) {
        p->opcode = opcode;
        p->utf8 = (struct tg_utf8){0};
    }
    /* The mask is moved to where it is found without asking for the length's form. */
    memmove(p->head + 2, p->head + 2 + n_length(p), MASK_BYTES);
    p->mask_at = 0;
    p->n_head = 0;
    p->state = PAYLOAD;
}

static enum tg_rc read_head(struct tg_ws_parser *p, struct tg_ws_input *in)
{
    enum tg_rc rc = TG_OK;

    while (in->n > 0) {
        p->head[p->n_head++] = (uint8_t)*in->p;
        in->p++;
        in->n--;
        if (p->n_head == 1) {
            rc = check_first(p);
        } else if (p->n_head == 2) {
            rc = check_second(p);
        }
        if (rc == TG_OK && p->n_head >= 2 && p->n_head == 2 + n_length(p)) {
            rc = check_length(p);
        }
        if (rc != TG_OK) {
            return rc;
        }
        if (p->n_head >= 2 && p->n_head == 2 + n_length(p) + MASK_BYTES) {
            begin_payload(p);
            return TG_OK;
        }
    }
    return TG_EAGAIN;
}

/* ---- the payload ---- */

static void unmask(struct tg_ws_parser *p, char *bytes, size_t n)
{
    const uint8_t *mask = p->head + 2;
    uint8_t turned[sizeof(uint64_t)];
    uint64_t eight = 0;
    size_t i = 0;

    for (size_t k = 0; k < sizeof(turned); k++) {
        turned[k] = mask[(p->mask_at + k) % MASK_BYTES];
    }
    memcpy(&eight, turned, sizeof(eight));
    for (; n - i >= sizeof(eight); i += sizeof(eight)) {
        uint64_t word = 0;

        memcpy(&word, bytes + i, sizeof(word));
        word ^= eight;
        memcpy(bytes + i, &word, sizeof(word));
    }
    for (; i < n; i++) {
        bytes[i] = (char)((uint8_t)bytes[i] ^ turned[i % sizeof(turned)]);
    }
    p->mask_at = (uint8_t)((p->mask_at + n) % MASK_BYTES);
}

/* Grows with what has come, not with what was announced. */
static void keep_message(struct tg_ws_parser *p, tg_str bytes)
{
    size_t n = p->n_message + bytes.n;

    TG_ASSERT(n <= p->max_bytes);
    if (n > p->cap_message) {
        size_t cap = TG_MAX(TG_MAX(n, (size_t)FIRST_CAP), 2 * (size_t)p->cap_message);

        p->cap_message = (uint32_t)TG_MIN(cap, (size_t)p->max_bytes);
        p->message = tg_realloc(p->message, p->cap_message, 1);
    }
    if (bytes.n > 0) {
        memcpy(p->message + p->n_message, bytes.p, bytes.n);
    }
    p->n_message = (uint32_t)n;
}

static void keep_control(struct tg_ws_parser *p, tg_str bytes)
{
    if (p->control == NULL) {
        p->control = tg_malloc(TG_WS_CONTROL_MAX);
    }
    TG_ASSERT(p->n_control + bytes.n <= TG_WS_CONTROL_MAX);
    if (bytes.n > 0) {
        memcpy(p->control + p->n_control, bytes.p, bytes.n);
    }
    p->n_control = (uint8_t)(p->n_control + bytes.n);
}

/* Section 7.1.5. */
static enum tg_rc on_close(struct tg_ws_parser *p, tg_str payload, struct tg_ws_event *ret_event)
{
    struct tg_utf8 utf8 = {0};
    unsigned code = TG_WS_NO_CODE;

    if (payload.n == 1) {
        return fail(p, TG_WS_PROTOCOL_ERROR, "half a close code");
    }
    if (payload.n >= 2) {
        code = (unsigned)(uint8_t)payload.p[0] << 8U | (uint8_t)payload.p[1];
        if (!tg_ws_code_is_good(code)) {
            return fail(p, TG_WS_PROTOCOL_ERROR, "a close code that nobody may send");
        }
        payload = tg_str_skip(payload, 2);
        if (!tg_utf8_push(&utf8, payload) || !tg_utf8_is_whole(&utf8)) {
            return fail(p, TG_WS_BAD_TEXT, "the reason is not UTF-8");
        }
    }
    drop_message(p);
    p->state = CLOSED;
    *ret_event =
        (struct tg_ws_event){.opcode = TG_WS_CLOSE, .bytes = payload, .code = (uint16_t)code};
    return TG_OK;
}

static enum tg_rc end_control(struct tg_ws_parser *p, tg_str bytes, struct tg_ws_event *ret_event)
{
    enum tg_ws_opcode opcode = (enum tg_ws_opcode)(p->head[0] & OPCODE);

    if (p->control != NULL) {
        keep_control(p, bytes);
        bytes = tg_str_make(p->control, p->n_control);
    }
    if (opcode == TG_WS_CLOSE) {
        return on_close(p, bytes, ret_event);
    }
    *ret_event = (struct tg_ws_event){.opcode = opcode, .bytes = bytes};
    return TG_OK;
}

static enum tg_rc end_message(struct tg_ws_parser *p, tg_str bytes, struct tg_ws_event *ret_event)
{
    if (p->opcode == TG_WS_TEXT && !tg_utf8_is_whole(&p->utf8)) {
        return fail(p, TG_WS_BAD_TEXT, "the text ends within a character");
    }
    if (p->message != NULL) {
        keep_message(p, bytes);
        bytes = tg_str_make(p->message, p->n_message);
    }
    *ret_event = (struct tg_ws_event){.opcode = (enum tg_ws_opcode)p->opcode, .bytes = bytes};
    p->opcode = TG_WS_CONTINUATION;
    return TG_OK;
}

/* TG_OK: an event; TG_EAGAIN: none yet. */
static enum tg_rc read_payload(struct tg_ws_parser *p, struct tg_ws_input *in,
                               struct tg_ws_event *ret_event)
{
    size_t n = TG_MIN((size_t)p->left, in->n);
    tg_str bytes = tg_str_make(in->p, n);

    unmask(p, in->p, n);
    in->p += n;
    in->n -= n;
    p->left -= (uint32_t)n;
    if (!is_control(p) && p->opcode == TG_WS_TEXT && !tg_utf8_push(&p->utf8, bytes)) {
        return fail(p, TG_WS_BAD_TEXT, "the text is not UTF-8");
    }
    if (p->left == 0) {
        p->state = HEAD;
        if (is_control(p)) {
            return end_control(p, bytes, ret_event);
        }
        if (is_final(p)) {
            return end_message(p, bytes, ret_event);
        }
    }
    if (is_control(p)) {
        keep_control(p, bytes);
    } else {
        keep_message(p, bytes);
    }
    return TG_EAGAIN;
}

/* What the last event was made of. */
static void drop_delivered(struct tg_ws_parser *p)
{
    if (p->state != PAYLOAD || !is_control(p)) {
        drop_control(p);
    }
    if (p->opcode == TG_WS_CONTINUATION) {
        drop_message(p);
    }
}

enum tg_rc tg_ws_parser_next(struct tg_ws_parser *p, struct tg_ws_input *in,
                             struct tg_ws_event *ret_event)
{
    enum tg_rc rc = TG_EAGAIN;

    drop_delivered(p);
    while (rc == TG_EAGAIN) {
        switch (p->state) {
        case HEAD:
            rc = read_head(p, in);
            if (rc == TG_EAGAIN) {
                return rc;
            }
            /* A payload of nothing is whole at once. */
            if (rc == TG_OK) {
                rc = p->left == 0 ? read_payload(p, in, ret_event) : TG_EAGAIN;
            }
            break;
        case PAYLOAD:
            if (in->n == 0) {
                return TG_EAGAIN;
            }
            rc = read_payload(p, in, ret_event);
            break;
        case CLOSED:
            in->p += in->n;
            in->n = 0;
            return TG_EEOF;
        default:
            return TG_EBADREQ;
        }
    }
    return rc;
}

enum tg_ws_code tg_ws_parser_code(const struct tg_ws_parser *p)
{
    TG_ASSERT(p->state == FAILED);
    return (enum tg_ws_code)p->code;
}

const char *tg_ws_parser_why(const struct tg_ws_parser *p)
{
    TG_ASSERT(p->state == FAILED);
    return p->why;
}

bool tg_ws_parser_is_idle(const struct tg_ws_parser *p)
{
    return p->state == HEAD && p->n_head == 0 && p->opcode == TG_WS_CONTINUATION &&
           p->message == NULL && p->control == NULL;
}
