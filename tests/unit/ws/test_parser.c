/* What the Autobahn suite does not ask of the parser. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>

#include "ws/client.h"
#include "ws/parser.h"

Test(parser, wants_frames_that_are_masked)
{
    struct tg_buf said = {.max = 16};

    (void)tg_buf_str(&said, TG_STR("\x81"));
    hears(&said, ".");
    said.max = 16;
    (void)tg_buf_str(&said, TG_STR("\x81\x02hi"));
    hears(&said, "!1002");
    said.max = 16;
    (void)tg_buf_str(&said, tg_str_make("\x88\x00", 2));
    hears(&said, "!1002");
}

Test(parser, takes_longer_forms_of_a_length)
{
    struct tg_buf said = {0};

    say_header(&said, FIN | TG_WS_TEXT, 0, 2);
    say_header(&said, FIN | TG_WS_TEXT, 0, 8);
    say(&said, FIN | TG_WS_TEXT, TG_STR("x"));
    hears(&said, "T()T()T(x)");
    say_header(&said, FIN | TG_WS_PING, 0, 2); /* a control frame has no other form */
    hears(&said, "!1002");
}

Test(parser, refuses_by_the_header_alone)
{
    struct tg_buf said = {0};

    say_header(&said, FIN | TG_WS_TEXT, UINT64_C(1) << 63U, 8);
    said.n -= 4; /* before the mask */
    hears(&said, "!1002");
    say_header(&said, FIN | TG_WS_TEXT, INT64_MAX, 8);
    said.n -= 4;
    hears(&said, "!1009");
    say_header(&said, FIN | TG_WS_TEXT, MAX_MESSAGE + 1, 8);
    said.n -= 4;
    hears(&said, "!1009");
    say_header(&said, FIN | TG_WS_TEXT, MAX_MESSAGE, 8);
    hears(&said, ".");
}

Test(parser, bounds_a_message_over_all_its_fragments)
{
    struct tg_buf said = {0};

    say_fragments(&said, TG_WS_TEXT, TG_STR("0123456789"), 3);
    hears_with(&said, "T(0123456789)", 10, false, __FILE__, __LINE__);
    say_fragments(&said, TG_WS_TEXT, TG_STR("0123456789A"), 3);
    hears_with(&said, "!1009", 10, false, __FILE__, __LINE__);
    say(&said, TG_WS_TEXT, TG_STR("0123456789"));
    say(&said, TG_WS_CONTINUATION, TG_STR(""));
    say(&said, FIN | TG_WS_CONTINUATION, TG_STR(""));
    say(&said, FIN | TG_WS_TEXT, TG_STR("0123456789"));
    hears_with(&said, "T(0123456789)T(0123456789)", 10, false, __FILE__, __LINE__);
}

Test(parser, can_understand_text_only)
{
    struct tg_buf said = {0};

    say(&said, FIN | TG_WS_TEXT, TG_STR("a"));
    say(&said, FIN | TG_WS_BINARY, TG_STR("b"));
    hears_with(&said, "T(a)!1003", 10, true, __FILE__, __LINE__);
}

Test(parser, binary_messages_are_no_text)
{
    struct tg_buf said = {0};

    say_fragments(&said, TG_WS_BINARY, TG_STR("\xff\xfe\xc0"), 1);
    hears(&said, "B(\xff\xfe\xc0)");
}

Test(parser, controls_between_the_halves_of_a_character)
{
    struct tg_buf said = {0};

    say(&said, TG_WS_TEXT, TG_STR("\xe2\x82"));
    say(&said, FIN | TG_WS_PING, TG_STR("\xff"));
    say(&said, FIN | TG_WS_PONG, TG_STR("\xff"));
    say(&said, FIN | TG_WS_CONTINUATION, TG_STR("\xac"));
    hears(&said, "P(\xff)O(\xff)T(\xe2\x82\xac)");
    say(&said, FIN | TG_WS_TEXT, TG_STR("\xe2\x82"));
    say(&said, FIN | TG_WS_TEXT, TG_STR("\xac"));
    hears(&said, "!1007");
}

static bool next_is(struct tg_ws_parser *p, struct tg_ws_input *in, tg_str expected)
{
    struct tg_ws_event e = {0};

    while (tg_ws_parser_next(p, in, &e) == TG_OK) {
        if (e.opcode == TG_WS_TEXT) {
            return tg_str_eq(e.bytes, expected);
        }
    }
    return false;
}

Test(parser, hands_on_what_was_said_byte_by_byte)
{
    unsigned seed = (unsigned)time(NULL);

    srand(seed);
    for (int i = 0; i < 300; i++) {
        TG_CLEANUP(tg_buf_fini) struct tg_buf text = {.max = MAX_MESSAGE};
        TG_CLEANUP(tg_buf_fini) struct tg_buf said = {0};
        size_t n = (size_t)rand() % (i % 10 == 0 ? 100000 : 300);
        struct tg_ws_parser p;
        struct tg_ws_input in;
        size_t cut = 0;

        for (size_t k = 0; k < n; k++) {
            (void)tg_buf_char(&text, (char)(rand() % 128));
        }
        say_fragments(&said, TG_WS_TEXT, tg_buf_view(&text), 1 + (size_t)rand() % (n + 1));
        cut = (size_t)rand() % said.n;
        tg_ws_parser_init(&p, MAX_MESSAGE, true);
        in = (struct tg_ws_input){said.p, cut};
        cr_assert(!next_is(&p, &in, TG_STR_NONE), "seed %u", seed);
        cr_assert_eq(in.n, 0);
        in = (struct tg_ws_input){said.p + cut, said.n - cut};
        cr_assert(next_is(&p, &in, tg_buf_view(&text)), "seed %u", seed);
        cr_assert(!next_is(&p, &in, TG_STR_NONE));
        cr_assert(tg_ws_parser_is_idle(&p));
    }
}

Test(parser, holds_what_has_come_not_what_was_announced)
{
    struct tg_ws_parser p;
    struct tg_buf said = {0};
    struct tg_ws_input in;

    tg_ws_parser_init(&p, MAX_MESSAGE, true);
    say_header(&said, TG_WS_TEXT, MAX_MESSAGE, 8);
    (void)tg_buf_char(&said, 0x37 ^ 'x'); /* masked */
    in = (struct tg_ws_input){said.p, said.n};
    cr_assert(!next_is(&p, &in, TG_STR_NONE));
    cr_assert_leq(p.cap_message, 512);
    tg_ws_parser_fini(&p);
    cr_assert_leq(sizeof(struct tg_ws_parser), 80); /* of every open WebSocket */
    tg_buf_fini(&said);
}

Test(parser, failed_once_fails_for_ever)
{
    struct tg_ws_parser p;
    struct tg_buf said = {0};
    struct tg_ws_input in;
    struct tg_ws_event e = {0};

    tg_ws_parser_init(&p, MAX_MESSAGE, true);
    say(&said, FIN | 3, TG_STR(""));
    say(&said, FIN | TG_WS_TEXT, TG_STR("x"));
    in = (struct tg_ws_input){said.p, said.n};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(tg_ws_parser_next(&p, &in, &e), TG_EBADREQ);
        cr_assert_eq(tg_ws_parser_code(&p), TG_WS_PROTOCOL_ERROR);
    }
    tg_buf_fini(&said);
}
