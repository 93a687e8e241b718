/* test_chunked.c - the decoder of chunked bodies at any split. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "http1/chunked.h"
#include "util/buf.h"

/* Decodes `pieces` bytes at a time out of copies of their exact size; what came out stands in
 * `out`, *ret_used tells how many bytes it took. */
static enum tg_rc decode(tg_str text, size_t first, size_t pieces, struct tg_buf *out,
                         size_t *ret_used)
{
    struct tg_chunked d;
    enum tg_rc rc = TG_EAGAIN;
    size_t at = 0;

    tg_chunked_init(&d, 1000);
    tg_buf_init(out, 1000);
    while (rc == TG_EAGAIN && at < text.n) {
        size_t n = TG_MIN(at == 0 ? first : pieces, text.n - at);
        char *copy = malloc(n);
        tg_str in = tg_str_make(copy, n);
        tg_str data = TG_STR_NONE;

        memcpy(copy, text.p + at, n);
        while ((rc = tg_chunked_next(&d, &in, &data)) == TG_OK) {
            cr_assert_gt(data.n, 0);
            cr_assert_eq(tg_buf_str(out, data), TG_OK);
        }
        at += n - in.n;
        free(copy);
    }
    *ret_used = at;
    return rc;
}

static enum tg_rc verdict(tg_str text)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out;
    size_t used = 0;

    return decode(text, text.n, text.n, &out, &used);
}

Test(chunked, every_split_gives_the_same_body)
{
    tg_str text =
        TG_STR("5\r\nhello\r\n1;a=\"b c\";d\r\n \r\n0005\r\nworld\r\n00\r\nA: b\r\nC:\r\n\r\n");

    for (size_t first = 1; first <= text.n; first++) {
        for (size_t pieces = 1; pieces <= text.n; pieces++) {
            TG_CLEANUP(tg_buf_fini) struct tg_buf out;
            size_t used = 0;

            cr_assert_eq(decode(text, first, pieces, &out, &used), TG_EEOF);
            cr_assert_eq(used, text.n);
            cr_assert(tg_str_eq(tg_buf_view(&out), TG_STR("hello world")));
        }
    }
}

Test(chunked, what_stands_behind_the_end_is_left_alone)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out;
    size_t used = 0;
    tg_str text = TG_STR("1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n");

    cr_assert_eq(decode(text, text.n, text.n, &out, &used), TG_EEOF);
    cr_assert_eq(used, 11);
}

Test(chunked, every_cut_wants_more)
{
    tg_str text = TG_STR("3;x\r\nabc\r\n0\r\nA: b\r\n\r\n");

    for (size_t n = 1; n < text.n; n++) {
        cr_assert_eq(verdict(tg_str_make(text.p, n)), TG_EAGAIN, "%zu", n);
    }
}

Test(chunked, sizes_are_hexadecimal_digits)
{
    char text[] = "?\r\nabcdefghijklmno\r\n";

    for (int c = 0; c < 256; c++) {
        enum tg_rc rc = TG_OK;

        text[0] = (char)c;
        rc = verdict(tg_str_make(text, 3));
        cr_assert_eq(rc == TG_EAGAIN, strchr("0123456789abcdefABCDEF", c) != NULL && c != 0, "%d",
                     c);
    }
}

Test(chunked, broken_framing_is_refused)
{
    static const char *const bad[] = {
        "\r\n",         ";x\r\n",         " 1\r\nx\r\n",    "1 \r\nx\r\n", "1\nx\r\n",
        "1\r\rx\r\n",   "1\r\nxx",        "1\r\nx\n",       "1\r\nx\rx",   "1\r\nx\r\n\r\n",
        "1;\x01\r\n",   "1;a\nb\r\n",     "0\r\n\n",        "0\r\n\rx",    "0\r\n: a\r\n",
        "0\r\nA\r\n",   "0\r\nA : b\r\n", "0\r\n A: b\r\n", "0\r\nA: b\n", "0\r\nA: b\r\r",
        "0\r\nA: \x7f",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_eq(verdict(tg_str_of(bad[i])), TG_EBADREQ, "%zu", i);
    }
}

Test(chunked, sizes_add_up_to_the_limit_at_most)
{
    cr_assert_eq(verdict(TG_STR("3e8\r\n")), TG_EAGAIN);
    cr_assert_eq(verdict(TG_STR("3e9\r\n")), TG_EBODYSIZE);
    cr_assert_eq(verdict(TG_STR("1\r\nx\r\n3e7\r\n")), TG_EAGAIN);
    cr_assert_eq(verdict(TG_STR("1\r\nx\r\n3e8\r\n")), TG_EBODYSIZE);
    cr_assert_eq(verdict(TG_STR("1\r\nx\r\nffffffffffffffff\r\n")), TG_EBODYSIZE);
    cr_assert_eq(verdict(TG_STR("00000000000000000\r\n")), TG_EBODYSIZE);
}

Test(chunked, extensions_and_trailers_are_bounded)
{
    char text[TG_CHUNK_TRAILER_MAX + 64];
    size_t n = 0;

    for (size_t size = TG_CHUNK_LINE_MAX - 1; size <= TG_CHUNK_LINE_MAX + 1; size++) {
        memset(text, 'a', size);
        memcpy(text, "1;", 2);
        memcpy(text + size - 2, "\r\n", 2);
        cr_assert_eq(verdict(tg_str_make(text, size)),
                     size <= TG_CHUNK_LINE_MAX ? TG_EAGAIN : TG_EBADREQ);
    }
    memcpy(text, "0\r\nA:", 5);
    for (size_t size = TG_CHUNK_TRAILER_MAX - 1; size <= TG_CHUNK_TRAILER_MAX + 1; size++) {
        n = size + 3;
        memset(text + 5, 'a', n - 5);
        memcpy(text + n - 4, "\r\n\r\n", 4);
        cr_assert_eq(verdict(tg_str_make(text, n)),
                     size <= TG_CHUNK_TRAILER_MAX ? TG_EEOF : TG_EHEADSIZE);
    }
}

Test(chunked, each_chunk_has_a_line_of_its_own_to_fill)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf text;

    tg_buf_init(&text, 1 << 16);
    for (int i = 0; i < 300; i++) {
        (void)tg_buf_str(&text, TG_STR("1;aaaaaaaaaa\r\nx\r\n"));
    }
    (void)tg_buf_str(&text, TG_STR("0\r\n\r\n"));
    cr_assert_eq(verdict(tg_buf_view(&text)), TG_EEOF);
}
