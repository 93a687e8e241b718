/* Groups 1 to 5 and 10 of the Autobahn test suite: what a parser of frames must take and refuse.
 * The numbers are those of the suite's cases. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "ws/client.h"

enum { RSV1 = 0x40, RSV2 = 0x20, RSV3 = 0x10 };

static struct tg_buf stars(size_t n)
{
    struct tg_buf text = {.max = MAX_MESSAGE};

    for (size_t i = 0; i < n; i++) {
        (void)tg_buf_char(&text, '*');
    }
    return text;
}

static void frame_of(size_t n, unsigned opcode, const char *expected)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = stars(n);
    struct tg_buf said = {0};

    say(&said, FIN | opcode, tg_buf_view(&text));
    say_close(&said, 1000, TG_STR(""));
    hears(&said, expected);
}

Test(autobahn_1, messages_of_every_form_of_length)
{
    frame_of(0, TG_WS_TEXT, "T()C1000()");             /* 1.1.1 */
    frame_of(125, TG_WS_TEXT, "T(#125)C1000()");       /* 1.1.2 */
    frame_of(126, TG_WS_TEXT, "T(#126)C1000()");       /* 1.1.3 */
    frame_of(127, TG_WS_TEXT, "T(#127)C1000()");       /* 1.1.4 */
    frame_of(128, TG_WS_TEXT, "T(#128)C1000()");       /* 1.1.5 */
    frame_of(65535, TG_WS_TEXT, "T(#65535)C1000()");   /* 1.1.6 */
    frame_of(65536, TG_WS_TEXT, "T(#65536)C1000()");   /* 1.1.7, 1.1.8 */
    frame_of(0, TG_WS_BINARY, "B()C1000()");           /* 1.2.1 */
    frame_of(125, TG_WS_BINARY, "B(#125)C1000()");     /* 1.2.2 */
    frame_of(126, TG_WS_BINARY, "B(#126)C1000()");     /* 1.2.3 */
    frame_of(127, TG_WS_BINARY, "B(#127)C1000()");     /* 1.2.4 */
    frame_of(128, TG_WS_BINARY, "B(#128)C1000()");     /* 1.2.5 */
    frame_of(65535, TG_WS_BINARY, "B(#65535)C1000()"); /* 1.2.6 */
    frame_of(65536, TG_WS_BINARY, "B(#65536)C1000()"); /* 1.2.7, 1.2.8 */
}

static void control(unsigned opcode, tg_str payload, const char *expected)
{
    struct tg_buf said = {0};

    say(&said, FIN | opcode, payload);
    hears(&said, expected);
}

Test(autobahn_2, pings_and_pongs)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf full = stars(125);
    TG_CLEANUP(tg_buf_fini) struct tg_buf over = stars(126);
    struct tg_buf said = {0};

    control(TG_WS_PING, TG_STR(""), "P()");                                         /* 2.1 */
    control(TG_WS_PING, TG_STR("Hello, world!"), "P(Hello, world!)");               /* 2.2 */
    control(TG_WS_PING, TG_STR("\xff\xfe\xfd\xfc\xfb"), "P(\xff\xfe\xfd\xfc\xfb)"); /* 2.3 */
    control(TG_WS_PING, tg_buf_view(&full), "P(#125)");                             /* 2.4, 2.6 */
    control(TG_WS_PING, tg_buf_view(&over), "!1002");                               /* 2.5 */
    control(TG_WS_PONG, TG_STR(""), "O()");                                         /* 2.7 */
    control(TG_WS_PONG, TG_STR("unsolicited"), "O(unsolicited)");                   /* 2.8 */

    say(&said, FIN | TG_WS_PONG, TG_STR("unsolicited")); /* 2.9 */
    say(&said, FIN | TG_WS_PING, TG_STR("ping"));
    hears(&said, "O(unsolicited)P(ping)");

    for (int i = 0; i < 10; i++) { /* 2.10, 2.11 */
        char payload[2] = {(char)('0' + i), 0};

        say(&said, FIN | TG_WS_PING, tg_str_of(payload));
    }
    hears(&said, "P(0)P(1)P(2)P(3)P(4)P(5)P(6)P(7)P(8)P(9)");
}

Test(autobahn_3, reserved_bits)
{
    static const unsigned opcodes[] = {TG_WS_TEXT, TG_WS_BINARY, TG_WS_CONTINUATION,
                                       TG_WS_PING, TG_WS_PONG,   TG_WS_CLOSE};
    struct tg_buf said = {0};

    say(&said, FIN | RSV3 | TG_WS_TEXT, TG_STR("Hello, world!")); /* 3.1 */
    hears(&said, "!1002");
    say(&said, FIN | TG_WS_TEXT, TG_STR("Hello")); /* 3.2, 3.3, 3.4 */
    say(&said, FIN | RSV2 | TG_WS_TEXT, TG_STR("Hello"));
    say(&said, FIN | TG_WS_PING, TG_STR(""));
    hears(&said, "T(Hello)!1002");
    for (unsigned bits = RSV3; bits <= (RSV1 | RSV2 | RSV3); bits += RSV3) { /* 3.5, 3.6, 3.7 */
        for (size_t i = 0; i < TG_ARRAY_LEN(opcodes); i++) {
            say(&said, FIN | bits | opcodes[i], TG_STR("\x03\xe8"));
            hears(&said, "!1002");
        }
    }
}

Test(autobahn_4, opcodes_that_are_not_defined)
{
    for (unsigned opcode = 3; opcode < 16; opcode++) { /* 4.1.1, 4.1.2, 4.2.1, 4.2.2 */
        struct tg_buf said = {0};

        if (opcode >= TG_WS_CLOSE && opcode <= TG_WS_PONG) {
            continue;
        }
        say(&said, FIN | opcode, TG_STR(""));
        hears(&said, "!1002");
        say(&said, FIN | opcode, TG_STR("reserved opcode payload"));
        hears(&said, "!1002");
        say(&said, FIN | TG_WS_TEXT, TG_STR("Hello")); /* 4.x.3 to 4.x.5 */
        say(&said, FIN | opcode, TG_STR("reserved opcode payload"));
        say(&said, FIN | TG_WS_PING, TG_STR(""));
        hears(&said, "T(Hello)!1002");
    }
}

Test(autobahn_5, fragments_with_controls_between_them)
{
    struct tg_buf said = {0};

    say(&said, TG_WS_PING, TG_STR("fragment1")); /* 5.1 */
    say(&said, FIN | TG_WS_CONTINUATION, TG_STR("fragment2"));
    hears(&said, "!1002");
    say(&said, TG_WS_PONG, TG_STR("fragment1")); /* 5.2 */
    say(&said, FIN | TG_WS_CONTINUATION, TG_STR("fragment2"));
    hears(&said, "!1002");
    say(&said, TG_WS_TEXT, TG_STR("fragment1")); /* 5.3, 5.4, 5.5 */
    say(&said, FIN | TG_WS_CONTINUATION, TG_STR("fragment2"));
    hears(&said, "T(fragment1fragment2)");
    say(&said, TG_WS_TEXT, TG_STR("fragment1")); /* 5.6, 5.7, 5.8 */
    say(&said, FIN | TG_WS_PING, TG_STR("ping payload"));
    say(&said, FIN | TG_WS_CONTINUATION, TG_STR("fragment2"));
    hears(&said, "P(ping payload)T(fragment1fragment2)");
}

Test(autobahn_5, continuations_of_nothing)
{
    struct tg_buf said = {0};

    for (unsigned fin = 0; fin <= FIN; fin += FIN) { /* 5.9 to 5.14 */
        say(&said, fin | TG_WS_CONTINUATION, TG_STR("non-continuation payload"));
        say(&said, FIN | TG_WS_TEXT, TG_STR("Hello, world!"));
        hears(&said, "!1002");
        say(&said, TG_WS_TEXT, TG_STR("fragment1")); /* 5.15 */
        say(&said, FIN | TG_WS_CONTINUATION, TG_STR("fragment2"));
        say(&said, fin | TG_WS_CONTINUATION, TG_STR("fragment3"));
        say(&said, FIN | TG_WS_TEXT, TG_STR("fragment4"));
        hears(&said, "T(fragment1fragment2)!1002");
        say(&said, fin | TG_WS_CONTINUATION, TG_STR("fragment1")); /* 5.16, 5.17 */
        say(&said, TG_WS_TEXT, TG_STR("fragment2"));
        say(&said, FIN | TG_WS_CONTINUATION, TG_STR("fragment3"));
        hears(&said, "!1002");
    }
}

Test(autobahn_5, a_message_begins_behind_the_one_before)
{
    struct tg_buf said = {0};

    say(&said, TG_WS_TEXT, TG_STR("fragment1")); /* 5.18 */
    say(&said, FIN | TG_WS_TEXT, TG_STR("fragment2"));
    hears(&said, "!1002");
    say(&said, TG_WS_TEXT, TG_STR("fragment1")); /* 5.19, 5.20 */
    say(&said, TG_WS_CONTINUATION, TG_STR("fragment2"));
    say(&said, FIN | TG_WS_PING, TG_STR("pongme 1!"));
    say(&said, TG_WS_CONTINUATION, TG_STR("fragment3"));
    say(&said, FIN | TG_WS_PING, TG_STR("pongme 2!"));
    say(&said, TG_WS_CONTINUATION, TG_STR("fragment4"));
    say(&said, FIN | TG_WS_CONTINUATION, TG_STR("fragment5"));
    hears(&said, "P(pongme 1!)P(pongme 2!)T(fragment1fragment2fragment3fragment4fragment5)");
}

Test(autobahn_10, automatic_fragments)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = stars(65536);
    struct tg_buf said = {0};

    say_fragments(&said, TG_WS_TEXT, tg_buf_view(&text), 1300); /* 10.1.1 */
    hears(&said, "T(#65536)");
    say_fragments(&said, TG_WS_BINARY, tg_buf_view(&text), 1300);
    hears(&said, "B(#65536)");
}
