/* Headers, control frames, the UTF-8 checker and the handshake's two texts. */
#include <criterion/criterion.h>

#include "ws/frame.h"
#include "ws/handshake.h"
#include "ws/utf8.h"

static bool header_is(uint64_t n, tg_str expected)
{
    char out[TG_WS_HEADER_MAX];

    return tg_str_eq(tg_str_make(out, tg_ws_put_header(TG_WS_TEXT, n, out)), expected);
}

Test(frame, lengths_have_the_shortest_form)
{
    cr_assert(header_is(0, tg_str_make("\x81\x00", 2)));
    cr_assert(header_is(125, TG_STR("\x81\x7d")));
    cr_assert(header_is(126, tg_str_make("\x81\x7e\x00\x7e", 4)));
    cr_assert(header_is(65535, TG_STR("\x81\x7e\xff\xff")));
    cr_assert(header_is(65536, tg_str_make("\x81\x7f\0\0\0\0\0\x01\0\0", 10)));
}

Test(frame, controls_are_whole_frames)
{
    char out[TG_WS_CONTROL_FRAME_MAX];
    char full[TG_WS_CONTROL_MAX] = {0};

    cr_assert(tg_str_eq(tg_str_make(out, tg_ws_put_control(TG_WS_PONG, TG_STR("hi"), out)),
                        TG_STR("\x8a\x02hi")));
    cr_assert(tg_str_eq(tg_str_make(out, tg_ws_put_control(TG_WS_PING, TG_STR_NONE, out)),
                        tg_str_make("\x89\x00", 2)));
    cr_assert_eq(tg_ws_put_control(TG_WS_PONG, tg_str_make(full, sizeof(full)), out), 127);
}

Test(frame, a_close_has_a_code_a_reason_or_neither)
{
    char out[TG_WS_CONTROL_FRAME_MAX];
    char reason[200];
    size_t n = 0;

    n = tg_ws_put_close(TG_WS_NO_CODE, TG_STR("unheard"), out);
    cr_assert(tg_str_eq(tg_str_make(out, n), tg_str_make("\x88\x00", 2)));
    n = tg_ws_put_close(TG_WS_GOING_AWAY, TG_STR("drain"), out);
    cr_assert(tg_str_eq(tg_str_make(out, n), TG_STR("\x88\x07\x03\xe9"
                                                    "drain")));
    /* Cut before the character that would not fit. */
    memset(reason, 'a', sizeof(reason));
    memcpy(reason + 121, "\xe2\x82\xac", 3);
    n = tg_ws_put_close(TG_WS_NORMAL, tg_str_make(reason, sizeof(reason)), out);
    cr_assert_eq(n, 2 + 2 + 121);
    cr_assert_eq(out[1], 123);
}

Test(utf8, agrees_with_the_whole_check_at_any_cut)
{
    /* All pairs of bytes, and all triples around the borders, behind and before plain letters. */
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            const char text[] = {'a', (char)a, (char)b, (char)0x80, (char)0xBF, 'z'};
            for (size_t n = 1; n <= sizeof(text); n++) {
                struct tg_utf8 u = {0};
                bool is_good = true;

                for (size_t i = 0; i < n && is_good; i++) {
                    is_good = tg_utf8_push(&u, tg_str_make(text + i, 1));
                }
                is_good = is_good && tg_utf8_is_whole(&u);
                cr_assert_eq(is_good, tg_str_is_utf8(tg_str_make(text, n)), "%02x %02x", a, b);
            }
        }
    }
}

Test(utf8, sees_what_stands_behind_long_ascii)
{
    char text[100];

    for (size_t at = 0; at < sizeof(text); at++) {
        struct tg_utf8 u = {0};

        memset(text, 'x', sizeof(text));
        text[at] = (char)0xC0;
        cr_assert(!tg_utf8_push(&u, tg_str_make(text, sizeof(text))));
    }
}

Test(handshake, keys_are_sixteen_bytes_in_base64)
{
    static const char *const bad[] = {
        "",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZQQ=",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25j*Q==",
        "dGhlIHNhbXBsZSBub25j Q==",
        "dGhlIHNhbXBsZSBub25j-_==",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert(!tg_ws_key_is_good(tg_str_of(bad[i])), "%s", bad[i]);
    }
    cr_assert(!tg_ws_key_is_good(tg_str_make("dGhlIHNhbXBsZSBub25j\0Q==", 24)));
    cr_assert(tg_ws_key_is_good(TG_STR("dGhlIHNhbXBsZSBub25jZQ==")));
    cr_assert(tg_ws_key_is_good(TG_STR("+/++//AAAAAAAAAAAAAAAA==")));
}

/* The example of RFC 6455 section 1.3. */
Test(handshake, answers_a_key)
{
    static const uint8_t digest[TG_WS_DIGEST_BYTES] = {0xb3, 0x7a, 0x4f, 0x2c, 0xc0, 0x62, 0x4f,
                                                       0x16, 0x90, 0xf6, 0x46, 0x06, 0xcf, 0x38,
                                                       0x59, 0x45, 0xb2, 0xbe, 0xc4, 0xea};
    char challenge[TG_WS_CHALLENGE_BYTES];
    char accept[TG_WS_ACCEPT_BYTES];

    tg_ws_challenge(TG_STR("dGhlIHNhbXBsZSBub25jZQ=="), challenge);
    cr_assert(tg_str_eq(tg_str_make(challenge, sizeof(challenge)),
                        TG_STR("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11")));
    tg_ws_accept(digest, accept);
    cr_assert(
        tg_str_eq(tg_str_make(accept, sizeof(accept)), TG_STR("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
}
