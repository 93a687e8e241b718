/* Group 7 of the Autobahn test suite: the close frame, and what follows it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "ws/client.h"

static struct tg_buf letters(size_t n)
{
    struct tg_buf text = {.max = MAX_MESSAGE};

    for (size_t i = 0; i < n; i++) {
        (void)tg_buf_char(&text, (char)('a' + i % 26));
    }
    return text;
}

Test(autobahn_7, nothing_is_heard_behind_a_close)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf big = letters((size_t)256 * 1024);
    struct tg_buf said = {0};

    say(&said, FIN | TG_WS_TEXT, TG_STR("Hello World!")); /* 7.1.1 */
    say_close(&said, 1000, TG_STR(""));
    hears(&said, "T(Hello World!)C1000()");
    say_close(&said, 1000, TG_STR("")); /* 7.1.2 */
    say_close(&said, 1000, TG_STR(""));
    hears(&said, "C1000()");
    say_close(&said, 1000, TG_STR("")); /* 7.1.3 */
    say(&said, FIN | TG_WS_PING, TG_STR(""));
    hears(&said, "C1000()");
    say_close(&said, 1000, TG_STR("")); /* 7.1.4 */
    say(&said, FIN | TG_WS_TEXT, TG_STR("Hello World!"));
    hears(&said, "C1000()");
    say(&said, TG_WS_TEXT, TG_STR("fragment1")); /* 7.1.5 */
    say_close(&said, 1000, TG_STR(""));
    say(&said, FIN | TG_WS_CONTINUATION, TG_STR("fragment2"));
    hears(&said, "C1000()");
    say(&said, FIN | TG_WS_TEXT, tg_buf_view(&big)); /* 7.1.6 */
    say(&said, FIN | TG_WS_TEXT, TG_STR("Hello World!"));
    say_close(&said, 1000, TG_STR(""));
    say(&said, FIN | TG_WS_PING, TG_STR(""));
    hears(&said, "T(#262144)T(Hello World!)C1000()");
}

Test(autobahn_7, payloads_of_a_close)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf full = letters(123);
    TG_CLEANUP(tg_buf_fini) struct tg_buf over = letters(124);
    struct tg_buf said = {0};

    say(&said, FIN | TG_WS_CLOSE, TG_STR("")); /* 7.3.1 */
    hears(&said, "C1005()");
    say(&said, FIN | TG_WS_CLOSE, TG_STR("a")); /* 7.3.2 */
    hears(&said, "!1002");
    say_close(&said, 1000, TG_STR("")); /* 7.3.3 */
    hears(&said, "C1000()");
    say_close(&said, 1000, TG_STR("Hello World!")); /* 7.3.4 */
    hears(&said, "C1000(Hello World!)");
    say_close(&said, 1000, tg_buf_view(&full)); /* 7.3.5 */
    hears(&said, "C1000(#123)");
    say_close(&said, 1000, tg_buf_view(&over)); /* 7.3.6 */
    hears(&said, "!1002");
    say_close(&said, 1000,
              TG_STR("\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80"
                     "edited")); /* 7.5.1 */
    hears(&said, "!1007");
    say_close(&said, 1000, TG_STR("\xce\xba\xe1\xbd"));
    hears(&said, "!1007");
}

Test(autobahn_7, codes_of_a_close)
{
    static const unsigned good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, /* 7.7 */
                                    1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};
    static const unsigned bad[] = {0,    999,  1004, 1005, 1006, 1015, 1016, /* 7.9 */
                                   1100, 2000, 2999, 5000, 65535};           /* 7.13 */

    for (size_t i = 0; i < TG_ARRAY_LEN(good); i++) {
        struct tg_buf said = {0};
        char expected[32];

        (void)snprintf(expected, sizeof(expected), "C%u(why)", good[i]);
        say_close(&said, good[i], TG_STR("why"));
        hears(&said, expected);
        cr_assert(tg_ws_code_is_good(good[i]));
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        struct tg_buf said = {0};

        say_close(&said, bad[i], TG_STR(""));
        hears(&said, "!1002");
        cr_assert(!tg_ws_code_is_good(bad[i]));
    }
}
