/* Group 6 of the Autobahn test suite: UTF-8, whole, in fragments, and refused in time. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "ws/client.h"

#define KOSME "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"

/* As one frame, and with a fragment for each byte. */
static void text_is(tg_str text, bool is_good)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf expected = {.max = 1024};
    struct tg_buf said = {0};

    (void)tg_buf_printf(&expected, is_good ? "T(%.*s)" : "!1007", TG_STR_ARG(text));
    cr_assert_eq(tg_str_is_utf8(text), is_good);
    say(&said, FIN | TG_WS_TEXT, text);
    hears(&said, tg_buf_cstr(&expected));
    say_fragments(&said, TG_WS_TEXT, text, 1);
    hears(&said, tg_buf_cstr(&expected));
}

Test(autobahn_6, texts_of_nothing)
{
    struct tg_buf said = {0};

    text_is(TG_STR(""), true);          /* 6.1.1 */
    say(&said, TG_WS_TEXT, TG_STR("")); /* 6.1.2 */
    say(&said, TG_WS_CONTINUATION, TG_STR(""));
    say(&said, FIN | TG_WS_CONTINUATION, TG_STR(""));
    hears(&said, "T()");
    say(&said, TG_WS_TEXT, TG_STR("")); /* 6.1.3 */
    say(&said, TG_WS_CONTINUATION, TG_STR("middle frame payload"));
    say(&said, FIN | TG_WS_CONTINUATION, TG_STR(""));
    hears(&said, "T(middle frame payload)");
}

Test(autobahn_6, good_texts)
{
    tg_str text = TG_STR("Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!");
    struct tg_buf said = {0};

    text_is(text, true);                             /* 6.2.1, 6.2.3 */
    say(&said, TG_WS_TEXT, tg_str_make(text.p, 14)); /* 6.2.2 */
    say(&said, FIN | TG_WS_CONTINUATION, tg_str_skip(text, 14));
    hears(&said, "T(Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!)");
    text_is(TG_STR(KOSME), true); /* 6.2.4, 6.5.1 */
}

Test(autobahn_6, bad_texts)
{
    text_is(TG_STR(KOSME "\xed\xa0\x80"
                         "edited"),
            false); /* 6.3.1, 6.3.2 */
}

/* Refused before what follows has come. */
Test(autobahn_6, bad_texts_are_refused_at_once)
{
    tg_str bad = TG_STR(KOSME "\xf4\x90\x80\x80"
                              "edited");
    struct tg_buf said = {0};

    say(&said, TG_WS_TEXT, tg_str_make(bad.p, 11)); /* 6.4.1 */
    hears(&said, ".");
    say(&said, TG_WS_TEXT, tg_str_make(bad.p, 11));
    say(&said, TG_WS_CONTINUATION, tg_str_make(bad.p + 11, 4));
    hears(&said, "!1007");
    say(&said, TG_WS_TEXT, tg_str_make(bad.p, 12)); /* 6.4.2 */
    hears(&said, ".");
    say(&said, TG_WS_TEXT, tg_str_make(bad.p, 12));
    say(&said, TG_WS_CONTINUATION, tg_str_make(bad.p + 12, 1));
    hears(&said, "!1007");
    for (size_t n = 1; n <= bad.n; n++) { /* 6.4.3, 6.4.4: within one frame */
        say(&said, FIN | TG_WS_TEXT, bad);
        said.n -= bad.n - n;
        hears(&said, n <= 12 ? "." : "!1007");
    }
}

Test(autobahn_6, every_cut_of_a_character_is_not_a_text)
{
    for (size_t n = 1; n <= sizeof(KOSME) - 1; n++) { /* 6.6.1 to 6.6.11 */
        bool is_good = n == 2 || n == 5 || n == 7 || n == 9 || n == 11;

        text_is(tg_str_make(KOSME, n), is_good);
    }
}

static void texts_are(const tg_str *texts, size_t n, bool is_good)
{
    for (size_t i = 0; i < n; i++) {
        text_is(texts[i], is_good);
    }
}

Test(autobahn_6, the_borders_of_what_is_allowed)
{
    static const tg_str good[] = {
        TG_STR_INIT("\xc2\x80"),         TG_STR_INIT("\xe0\xa0\x80"), /* 6.7 */
        TG_STR_INIT("\xf0\x90\x80\x80"), TG_STR_INIT("\x7f"),         /* 6.9 */
        TG_STR_INIT("\xdf\xbf"),         TG_STR_INIT("\xef\xbf\xbf"),
        TG_STR_INIT("\xf4\x8f\xbf\xbf"), TG_STR_INIT("\xed\x9f\xbf"), /* 6.11 */
        TG_STR_INIT("\xee\x80\x80"),     TG_STR_INIT("\xef\xbf\xbd"),
    };
    static const tg_str bad[] = {
        TG_STR_INIT("\xf8\x88\x80\x80\x80"),     TG_STR_INIT("\xfc\x84\x80\x80\x80\x80"), /* 6.8 */
        TG_STR_INIT("\xf7\xbf\xbf\xbf"),         TG_STR_INIT("\xfb\xbf\xbf\xbf\xbf"),     /* 6.10 */
        TG_STR_INIT("\xfd\xbf\xbf\xbf\xbf\xbf"), TG_STR_INIT("\xf4\x90\x80\x80"), /* 6.11.5 */
    };

    texts_are(good, TG_ARRAY_LEN(good), true); /* 6.7.1, NUL, is among those of test_parser.c */
    texts_are(bad, TG_ARRAY_LEN(bad), false);
}

Test(autobahn_6, malformed_sequences)
{
    static const tg_str bad[] = {
        /* 6.12: continuations without a start */
        TG_STR_INIT("\x80"),
        TG_STR_INIT("\xbf"),
        TG_STR_INIT("\x80\xbf"),
        TG_STR_INIT("\x80\xbf\x80"),
        TG_STR_INIT("\x80\xbf\x80\xbf"),
        TG_STR_INIT("\x80\xbf\x80\xbf\x80"),
        TG_STR_INIT("\x80\xbf\x80\xbf\x80\xbf"),
        TG_STR_INIT("\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90"),
        /* 6.13: starts without continuations */
        TG_STR_INIT("\xc0 \xc1 \xc2 \xc3 \xc4 "),
        TG_STR_INIT("\xe0 \xe1 \xe2 \xe3 \xe4 "),
        TG_STR_INIT("\xf0 \xf1 \xf2 \xf3 \xf4 "),
        TG_STR_INIT("\xf8 \xf9 \xfa \xfb "),
        TG_STR_INIT("\xfc \xfd "),
        /* 6.14: the last continuation is missing */
        TG_STR_INIT("\xc0"),
        TG_STR_INIT("\xe0\x80"),
        TG_STR_INIT("\xf0\x80\x80"),
        TG_STR_INIT("\xf8\x80\x80\x80"),
        TG_STR_INIT("\xfc\x80\x80\x80\x80"),
        TG_STR_INIT("\xdf"),
        TG_STR_INIT("\xef\xbf"),
        TG_STR_INIT("\xf7\xbf\xbf"),
        TG_STR_INIT("\xfb\xbf\xbf\xbf"),
        TG_STR_INIT("\xfd\xbf\xbf\xbf\xbf"),
        /* 6.15: all of them */
        TG_STR_INIT("\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80\x80\x80\x80\xdf\xef\xbf"),
        /* 6.16: bytes of no text */
        TG_STR_INIT("\xfe"),
        TG_STR_INIT("\xff"),
        TG_STR_INIT("\xfe\xfe\xff\xff"),
    };

    texts_are(bad, TG_ARRAY_LEN(bad), false);
}

Test(autobahn_6, overlong_forms_and_surrogates)
{
    static const tg_str bad[] = {
        /* 6.17 */
        TG_STR_INIT("\xc0\xaf"),
        TG_STR_INIT("\xe0\x80\xaf"),
        TG_STR_INIT("\xf0\x80\x80\xaf"),
        TG_STR_INIT("\xf8\x80\x80\x80\xaf"),
        TG_STR_INIT("\xfc\x80\x80\x80\x80\xaf"),
        /* 6.18 */
        TG_STR_INIT("\xc1\xbf"),
        TG_STR_INIT("\xe0\x9f\xbf"),
        TG_STR_INIT("\xf0\x8f\xbf\xbf"),
        TG_STR_INIT("\xf8\x87\xbf\xbf\xbf"),
        TG_STR_INIT("\xfc\x83\xbf\xbf\xbf\xbf"),
        /* 6.19 */
        TG_STR_INIT("\xc0\x80"),
        TG_STR_INIT("\xe0\x80\x80"),
        TG_STR_INIT("\xf0\x80\x80\x80"),
        TG_STR_INIT("\xf8\x80\x80\x80\x80"),
        TG_STR_INIT("\xfc\x80\x80\x80\x80\x80"),
        /* 6.20 */
        TG_STR_INIT("\xed\xa0\x80"),
        TG_STR_INIT("\xed\xad\xbf"),
        TG_STR_INIT("\xed\xae\x80"),
        TG_STR_INIT("\xed\xaf\xbf"),
        TG_STR_INIT("\xed\xb0\x80"),
        TG_STR_INIT("\xed\xbe\x80"),
        TG_STR_INIT("\xed\xbf\xbf"),
        /* 6.21 */
        TG_STR_INIT("\xed\xa0\x80\xed\xb0\x80"),
        TG_STR_INIT("\xed\xa0\x80\xed\xbf\xbf"),
        TG_STR_INIT("\xed\xad\xbf\xed\xb0\x80"),
        TG_STR_INIT("\xed\xad\xbf\xed\xbf\xbf"),
        TG_STR_INIT("\xed\xae\x80\xed\xb0\x80"),
        TG_STR_INIT("\xed\xae\x80\xed\xbf\xbf"),
        TG_STR_INIT("\xed\xaf\xbf\xed\xb0\x80"),
        TG_STR_INIT("\xed\xaf\xbf\xed\xbf\xbf"),
    };

    texts_are(bad, TG_ARRAY_LEN(bad), false);
}

/* 6.22, 6.23: U+nFFFE, U+nFFFF of every plane, U+FFF9 to U+FFFF: strange, but characters. */
Test(autobahn_6, what_means_nothing_is_a_text_all_the_same)
{
    for (uint32_t plane = 1; plane <= 16; plane++) {
        for (uint32_t last = 0xFFFE; last <= 0xFFFF; last++) {
            uint32_t u = plane << 16U | last;
            const char text[4] = {(char)(0xF0U | u >> 18U), (char)(0x80U | (u >> 12U & 0x3FU)),
                                  (char)(0x80U | (u >> 6U & 0x3FU)), (char)(0x80U | (u & 0x3FU))};

            text_is(tg_str_make(text, sizeof(text)), true);
        }
    }
    for (unsigned last = 0xB9; last <= 0xBF; last++) {
        const char text[3] = {(char)0xEF, (char)0xBF, (char)last};

        text_is(tg_str_make(text, sizeof(text)), true);
    }
}
