/* frame.c - the encoder: headers of RFC 6455 section 5.2 with the shortest length there is. */
#include "ws/frame.h"

enum { FIN = 0x80, LENGTH_16 = 126, LENGTH_64 = 127 };

bool tg_ws_code_is_good(unsigned code)
{
    if (code >= 3000 && code <= 4999) {
        return true;
    }
    /* 1004 to 1006 and 1015 must not stand in a frame; what else is below 3000 is not given out. */
    return code >= 1000 && code <= 1014 && (code < 1004 || code > 1006);
}

static void put_be(char *out, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (char)(v >> (8 * (n - 1 - i)));
    }
}

size_t tg_ws_put_header(enum tg_ws_opcode opcode, uint64_t n, char out[TG_WS_HEADER_MAX])
{
    out[0] = (char)(FIN | (unsigned)opcode);
    if (n < LENGTH_16) {
        out[1] = (char)n;
        return 2;
    }
    if (n <= UINT16_MAX) {
        out[1] = LENGTH_16;
        put_be(out + 2, n, 2);
        return 4;
    }
    TG_ASSERT(n <= INT64_MAX);
    out[1] = LENGTH_64;
    put_be(out + 2, n, 8);
    return 10;
}

size_t tg_ws_put_control(enum tg_ws_opcode opcode, tg_str payload,
                         char out[TG_WS_CONTROL_FRAME_MAX])
{
    TG_ASSERT(payload.n <= TG_WS_CONTROL_MAX);
    out[0] = (char)(FIN | (unsigned)opcode);
    out[1] = (char)payload.n;
    if (payload.n > 0) {
        memcpy(out + 2, payload.p, payload.n);
    }
    return 2 + payload.n;
}

size_t tg_ws_put_close(unsigned code, tg_str reason, char out[TG_WS_CONTROL_FRAME_MAX])
{
    char payload[TG_WS_CONTROL_MAX];
    size_t n = TG_MIN(reason.n, (size_t)TG_WS_REASON_MAX);

    if (code == TG_WS_NO_CODE) {
        return tg_ws_put_control(TG_WS_CLOSE, TG_STR(""), out);
    }
    while (n > 0 && n < reason.n && ((uint8_t)reason.p[n] & 0xC0U) == 0x80) {
        n--;
    }
    put_be(payload, code, 2);
    if (n > 0) {
        memcpy(payload + 2, reason.p, n);
    }
    return tg_ws_put_control(TG_WS_CLOSE, tg_str_make(payload, 2 + n), out);
}
