/* test_reply.c - answers over a raw connection. */
#include <criterion/criterion.h>

#include "handlers/reply.h"

static struct tg_arena arena;

static enum tg_rc scan(const char *text, struct tg_reply *r)
{
    return tg_reply_scan(&arena, tg_str_of(text), r);
}

Test(reply, reads_a_switch_of_protocols)
{
    struct tg_reply r = {0};

    cr_assert_eq(
        scan("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX:  a b \r\n\r\nxy", &r),
        TG_OK);
    cr_assert_eq(r.status, 101);
    cr_assert(tg_str_eq(r.reason, TG_STR("Switching Protocols")));
    cr_assert_eq(r.n_fields, 2);
    cr_assert(tg_str_eq(r.fields[1].name, TG_STR("X")));
    cr_assert(tg_str_eq(r.fields[1].value, TG_STR("a b")));
    cr_assert_eq(r.bytes, strlen("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                 "X:  a b \r\n\r\n"));
}

Test(reply, reads_a_head_of_one_line)
{
    struct tg_reply r = {0};

    cr_assert_eq(scan("HTTP/1.1 204\r\n\r\n", &r), TG_OK);
    cr_assert_eq(r.n_fields, 0);
    cr_assert_eq(r.reason.n, 0);
    cr_assert_not_null(r.reason.p);
    cr_assert(tg_reply_may_end(&r));
}

Test(reply, waits_for_the_empty_line_up_to_a_bound)
{
    static char long_head[TG_REPLY_MAX_BYTES + 1];
    struct tg_reply r = {0};

    cr_assert_eq(scan("HTTP/1.1 200 OK\r\nA: b\r\n", &r), TG_EAGAIN);
    cr_assert_eq(scan("", &r), TG_EAGAIN);
    memset(long_head, 'a', sizeof(long_head));
    cr_assert_eq(tg_reply_scan(&arena, tg_str_make(long_head, sizeof(long_head)), &r),
                 TG_EUPSTREAM);
}

Test(reply, refuses_what_is_no_answer)
{
    static const char *const all[] = {
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "\r\n\r\n"};
    struct tg_reply r = {0};

    for (size_t i = 0; i < TG_ARRAY_LEN(all); i++) {
        cr_assert_eq(scan(all[i], &r), TG_EUPSTREAM, "%s", all[i]);
    }
}

Test(reply, finds_the_end_of_a_body_by_its_length)
{
    struct tg_reply r = {0};
    tg_str in = TG_STR("abcdef");
    tg_str piece = TG_STR_NONE;

    cr_assert_eq(scan("HTTP/1.1 403 No\r\nContent-Length: 4\r\n\r\n", &r), TG_OK);
    cr_assert_not(tg_reply_may_end(&r));
    cr_assert_eq(tg_reply_body(&r, &in, &piece), TG_OK);
    cr_assert(tg_str_eq(piece, TG_STR("abcd")));
    cr_assert_eq(tg_reply_body(&r, &in, &piece), TG_EEOF);
    cr_assert(tg_reply_may_end(&r));
}

Test(reply, finds_the_end_of_a_body_by_its_chunks)
{
    struct tg_reply r = {0};
    tg_str in = TG_STR("2\r\nab\r\n0\r\n\r\n");
    tg_str piece = TG_STR_NONE;

    cr_assert_eq(scan("HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n", &r), TG_OK);
    cr_assert_eq(tg_reply_body(&r, &in, &piece), TG_OK);
    cr_assert(tg_str_eq(piece, TG_STR("ab")));
    cr_assert_not(tg_reply_may_end(&r));
    cr_assert_eq(tg_reply_body(&r, &in, &piece), TG_EEOF);
    cr_assert(tg_reply_may_end(&r));
    in = TG_STR("x\r\n");
    cr_assert_eq(scan("HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n", &r), TG_OK);
    cr_assert_eq(tg_reply_body(&r, &in, &piece), TG_EUPSTREAM);
}

Test(reply, a_body_without_a_length_ends_with_the_connection)
{
    struct tg_reply r = {0};
    tg_str in = TG_STR("abc");
    tg_str piece = TG_STR_NONE;

    cr_assert_eq(scan("HTTP/1.0 403 No\r\n\r\n", &r), TG_OK);
    cr_assert_eq(tg_reply_body(&r, &in, &piece), TG_OK);
    cr_assert_eq(piece.n, 3);
    cr_assert_eq(tg_reply_body(&r, &in, &piece), TG_EAGAIN);
    cr_assert(tg_reply_may_end(&r));
}
