/* fuzz_ws.c - the WebSocket parser on any bytes: the same events and verdict at any cut, the limit
 * is kept, a text is UTF-8, and what it says can be sent back. The first byte chooses the size of
 * the pieces and whether binary messages are understood. */
#include <stdlib.h>

#include "util/buf.h"
#include "ws/parser.h"

enum { MAX_MESSAGE = 4096, OUT_MAX = 1 << 20 };

static void note(struct tg_buf *out, const struct tg_ws_event *e)
{
    char reply[TG_WS_CONTROL_FRAME_MAX];

    if (e->opcode == TG_WS_CLOSE) {
        TG_ASSERT(e->code == TG_WS_NO_CODE || tg_ws_code_is_good(e->code));
        TG_ASSERT(tg_ws_put_close(e->code, e->bytes, reply) <= sizeof(reply));
    } else if (e->opcode == TG_WS_PING) {
        TG_ASSERT(tg_ws_put_control(TG_WS_PONG, e->bytes, reply) == e->bytes.n + 2);
    }
    TG_ASSERT(e->bytes.n <= MAX_MESSAGE);
    TG_ASSERT((e->opcode != TG_WS_TEXT && e->opcode != TG_WS_CLOSE) || tg_str_is_utf8(e->bytes));
    (void)tg_buf_printf(out, "%u %u %zu ", (unsigned)e->opcode, (unsigned)e->code, e->bytes.n);
    TG_ASSERT(tg_buf_str(out, e->bytes) == TG_OK);
}

/* The parser changes what it reads, so it gets a copy of each piece. */
static enum tg_rc parse(tg_str text, size_t piece, bool is_text_only, struct tg_buf *out)
{
    struct tg_ws_parser p;
    enum tg_rc rc = TG_EAGAIN;

    tg_ws_parser_init(&p, MAX_MESSAGE, is_text_only);
    for (size_t at = 0; at < text.n && rc != TG_EBADREQ; at += piece) {
        size_t n = TG_MIN(piece, text.n - at);
        char *copy = tg_memdup(text.p + at, n);
        struct tg_ws_input in = {copy, n};
        struct tg_ws_event e = {0};

        while ((rc = tg_ws_parser_next(&p, &in, &e)) == TG_OK) {
            note(out, &e);
        }
        TG_ASSERT(rc == TG_EAGAIN || rc == TG_EEOF || rc == TG_EBADREQ);
        TG_ASSERT(rc == TG_EBADREQ || in.n == 0);
        TG_ASSERT(p.cap_message <= MAX_MESSAGE);
        free(copy);
    }
    if (rc == TG_EBADREQ) {
        (void)tg_buf_printf(out, "!%u %s", (unsigned)tg_ws_parser_code(&p), tg_ws_parser_why(&p));
    }
    tg_ws_parser_fini(&p);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct tg_buf whole = {0};
    struct tg_buf parts = {0};
    tg_str text = TG_STR_NONE;
    bool is_text_only = false;
    enum tg_rc rc = TG_OK;

    if (n == 0) {
        return 0;
    }
    text = tg_str_make((const char *)data + 1, n - 1);
    is_text_only = (data[0] & 0x80U) != 0;
    tg_buf_init(&whole, OUT_MAX);
    tg_buf_init(&parts, OUT_MAX);
    rc = parse(text, TG_MAX(text.n, (size_t)1), is_text_only, &whole);
    TG_ASSERT(rc == parse(text, (size_t)data[0] % 16 + 1, is_text_only, &parts));
    TG_ASSERT(tg_str_eq(tg_buf_view(&whole), tg_buf_view(&parts)));
    tg_buf_fini(&whole);
    tg_buf_fini(&parts);
    return 0;
}
