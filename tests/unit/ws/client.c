/* client.c - a masking client, and a parser that is fed in pieces of their exact size. */
#include "ws/client.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROUNDS = 16, SHOWN = 80, OUT_MAX = 1 << 22 };

static const uint8_t mask[4] = {0x37, 0xFA, 0x21, 0x3D};

void say_header(struct tg_buf *out, unsigned first, uint64_t n, unsigned width)
{
    if (out->max == 0) {
        tg_buf_init(out, OUT_MAX);
    }
    (void)tg_buf_char(out, (char)first);
    (void)tg_buf_char(out, (char)(0x80U | (width == 0 ? n : width == 2 ? 126U : 127U)));
    for (unsigned i = 0; i < width; i++) {
        (void)tg_buf_char(out, (char)(n >> (8 * (width - 1 - i))));
    }
    (void)tg_buf_append(out, mask, sizeof(mask));
}

void say(struct tg_buf *out, unsigned first, tg_str payload)
{
    say_header(out, first, payload.n, payload.n < 126 ? 0 : payload.n <= UINT16_MAX ? 2 : 8);
    for (size_t i = 0; i < payload.n; i++) {
        (void)tg_buf_char(out, (char)((uint8_t)payload.p[i] ^ mask[i % 4]));
    }
    cr_assert_eq(tg_buf_rc(out), TG_OK);
}

void say_close(struct tg_buf *out, unsigned code, tg_str reason)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf payload = {.max = 1024};

    (void)tg_buf_char(&payload, (char)(code >> 8U));
    (void)tg_buf_char(&payload, (char)code);
    (void)tg_buf_str(&payload, reason);
    say(out, FIN | TG_WS_CLOSE, tg_buf_view(&payload));
}

void say_fragments(struct tg_buf *out, unsigned opcode, tg_str text, size_t n)
{
    do {
        tg_str piece = tg_str_make(text.p, TG_MIN(n, text.n));

        text = tg_str_skip(text, piece.n);
        say(out, opcode | (text.n == 0 ? FIN : 0), piece);
        opcode = TG_WS_CONTINUATION;
    } while (text.n > 0);
}

/* ---- the parser's side ---- */

struct ear {
    struct tg_ws_parser parser;
    struct tg_buf out;
    enum tg_rc rc;
    size_t used; /* bytes that were looked at before the end of it */
};

static void note(struct tg_buf *out, const struct tg_ws_event *e)
{
    static const char marks[] = {
        [TG_WS_TEXT] = 'T', [TG_WS_BINARY] = 'B', [TG_WS_CLOSE] = 'C',
        [TG_WS_PING] = 'P', [TG_WS_PONG] = 'O',
    };

    (void)tg_buf_char(out, marks[e->opcode]);
    if (e->opcode == TG_WS_CLOSE) {
        (void)tg_buf_u64(out, e->code);
    }
    (void)tg_buf_char(out, '(');
    if (e->bytes.n > SHOWN) {
        (void)tg_buf_printf(out, "#%zu", e->bytes.n);
    } else {
        (void)tg_buf_str(out, e->bytes);
    }
    (void)tg_buf_char(out, ')');
}

static void feed(struct ear *ear, tg_str bytes)
{
    char *copy = tg_memdup(bytes.p, bytes.n);
    struct tg_ws_input in = {copy, bytes.n};
    struct tg_ws_event e = {0};

    while ((ear->rc = tg_ws_parser_next(&ear->parser, &in, &e)) == TG_OK) {
        note(&ear->out, &e);
    }
    cr_assert(in.n == 0 || ear->rc == TG_EBADREQ);
    ear->used += bytes.n - in.n;
    free(copy);
}

/* `piece` 0: cuts at random. */
static void listen_to(struct ear *ear, tg_str bytes, size_t piece)
{
    while (bytes.n > 0 && ear->rc != TG_EBADREQ) {
        size_t n = piece != 0 ? piece : (size_t)(rand() % 2 == 0 ? rand() % 8 : rand() % 4096) + 1;

        n = TG_MIN(n, bytes.n);
        feed(ear, tg_str_make(bytes.p, n));
        bytes = tg_str_skip(bytes, n);
    }
    if (ear->rc == TG_EBADREQ) {
        (void)tg_buf_printf(&ear->out, "!%u", (unsigned)tg_ws_parser_code(&ear->parser));
        cr_assert_not_null(tg_ws_parser_why(&ear->parser));
    } else if (ear->rc == TG_EAGAIN && !tg_ws_parser_is_idle(&ear->parser)) {
        (void)tg_buf_char(&ear->out, '.');
    }
}

static void try(tg_str bytes, size_t piece, const char *expected, uint32_t max_bytes,
                bool is_text_only, const char *where)
{
    struct ear ear = {.rc = TG_EAGAIN};

    tg_buf_init(&ear.out, 1 << 20);
    tg_ws_parser_init(&ear.parser, max_bytes, is_text_only);
    listen_to(&ear, bytes, piece);
    cr_assert(tg_str_eq(tg_buf_view(&ear.out), tg_str_of(expected)),
              "%s: pieces of %zu: '%.*s', not '%s'", where, piece,
              TG_STR_ARG(tg_buf_view(&ear.out)), expected);
    tg_ws_parser_fini(&ear.parser);
    tg_buf_fini(&ear.out);
}

void hears_with(struct tg_buf *said, const char *expected, uint32_t max_bytes, bool is_text_only,
                const char *file, int line)
{
    tg_str bytes = tg_buf_view(said);
    unsigned seed = (unsigned)time(NULL);
    char where[256];

    (void)snprintf(where, sizeof(where), "%s:%d seed %u", file, line, seed);
    srand(seed);
    try(bytes, bytes.n, expected, max_bytes, is_text_only, where);
    try(bytes, 1, expected, max_bytes, is_text_only, where);
    for (int i = 0; i < ROUNDS; i++) {
        try(bytes, 0, expected, max_bytes, is_text_only, where);
    }
    tg_buf_fini(said);
    *said = (struct tg_buf){0};
}
