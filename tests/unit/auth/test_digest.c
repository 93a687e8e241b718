/* Digests, hexadecimal, base64url. */
#include <criterion/criterion.h>

#include "auth/b64url.h"
#include "auth/digest.h"

Test(digest, of_known_texts)
{
    char hex[2 * TG_SHA256_BYTES + 1];
    struct tg_sha256 d = tg_sha256(TG_STR("abc"));

    tg_hex(d.b, sizeof(d.b), hex);
    cr_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    d = tg_sha256(TG_STR_NONE);
    tg_hex(d.b, sizeof(d.b), hex);
    cr_assert_str_eq(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    tg_hex("", 0, hex);
    cr_assert_str_eq(hex, "");
}

Test(digest, of_a_handshake)
{
    char hex[2 * TG_SHA1_BYTES + 1];
    uint8_t d[TG_SHA1_BYTES];

    tg_sha1(TG_STR("abc"), d);
    tg_hex(d, sizeof(d), hex);
    cr_assert_str_eq(hex, "a9993e364706816aba3e25717850c26c9cd0d89d");
}

Test(digest, random_bytes_differ)
{
    uint8_t a[64] = {0};
    uint8_t b[64] = {0};

    tg_random_bytes(a, sizeof(a));
    tg_random_bytes(b, sizeof(b));
    cr_assert_arr_neq(a, b, sizeof(a));
    tg_random_bytes(NULL, 0);
}

static enum tg_rc decode(const char *text)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out;

    tg_buf_init(&out, 64);
    return tg_b64url_decode(tg_str_of(text), &out);
}

Test(b64url, has_one_text_for_one_value)
{
    static const char *const bad[] = {
        "A", "AAAAA", "AA==", "AAA=", "A A", "AA\n", "+/", "A/AA", "AB", "AAB", "-_-_*", "AA.",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_eq(decode(bad[i]), TG_ESYNTAX, "%s", bad[i]);
    }
    cr_assert_eq(decode(""), TG_OK);
    cr_assert_eq(decode("AA"), TG_OK);
    cr_assert_eq(decode("-_-_"), TG_OK);
}

Test(b64url, gives_back_what_was_put_in)
{
    uint8_t bytes[40];

    tg_random_bytes(bytes, sizeof(bytes));
    for (size_t n = 0; n <= sizeof(bytes); n++) {
        TG_CLEANUP(tg_buf_fini) struct tg_buf text;
        TG_CLEANUP(tg_buf_fini) struct tg_buf back;
        tg_str in = tg_str_make((const char *)bytes, n);

        tg_buf_init(&text, 100);
        tg_buf_init(&back, 100);
        cr_assert_eq(tg_b64url_encode(in, &text), TG_OK);
        cr_assert_eq(text.n, (n * 8 + 5) / 6);
        cr_assert_eq(tg_b64url_decode(tg_buf_view(&text), &back), TG_OK);
        cr_assert(tg_str_eq(tg_buf_view(&back), in));
    }
}

Test(b64url, is_bounded_by_the_buffer)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out;

    tg_buf_init(&out, 8);
    cr_assert_eq(tg_b64url_decode(TG_STR("AAAAAAAAAAAAAAAAAAAAAAAA"), &out), TG_ELIMIT);
    cr_assert_eq(tg_b64url_encode(TG_STR("123456789"), &out), TG_ELIMIT);
}
