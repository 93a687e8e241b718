/* test_head.c - what the scanner of request heads promises. The refusals one by one, through a
 * socket, stand in tests/functional/http1-framing.test.mjs. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "http1/head.h"

static const struct tg_head_limits limits = {
    .target_bytes = 100, .head_bytes = 1000, .fields = 8, .body_bytes = 1000};
static struct tg_field fields[8];

static enum tg_rc scan(tg_str text, struct tg_head *ret_head)
{
    size_t resume = 0;

    return tg_head_scan(text, &resume, &limits, fields, ret_head);
}

static enum tg_rc verdict(tg_str text)
{
    struct tg_head h;

    return scan(text, &h);
}

static struct tg_head good(tg_str text)
{
    struct tg_head h = {0};

    cr_assert_eq(scan(text, &h), TG_OK, "%.*s", TG_STR_ARG(text));
    return h;
}

#define HOST "Host: a\r\n"
#define HEAD(rest) TG_STR("POST /x HTTP/1.1\r\n" HOST rest "\r\n")
#define cr_assert_text(s, lit) cr_assert(tg_str_eq((s), TG_STR(lit)), "%.*s", TG_STR_ARG(s))

Test(head, everything_is_reported_as_it_was_sent)
{
    tg_str text = TG_STR("PATCH /a%2Fb?c=%20d HTTP/1.1\r\nhOsT:  a:8080\t\r\nX-A: 1 , 2\r\n"
                         "x-a:\r\n\r\nbody");
    struct tg_head h = good(text);

    cr_assert_eq(h.method, TG_PATCH);
    cr_assert_text(h.method_text, "PATCH");
    cr_assert_text(h.target, "/a%2Fb?c=%20d");
    cr_assert_text(h.host, "a:8080");
    cr_assert_eq(h.minor, 1);
    cr_assert_eq(h.fields.n, 3);
    cr_assert_text(h.fields.v[0].name, "hOsT");
    cr_assert_text(h.fields.v[1].value, "1 , 2");
    cr_assert_text(h.fields.v[2].name, "x-a");
    cr_assert_eq(h.fields.v[2].value.n, 0);
    cr_assert_eq(h.body, TG_BODY_NONE);
    cr_assert(h.keep_alive);
    cr_assert_not(h.expect_continue);
    cr_assert_eq(h.bytes, text.n - 4);
}

Test(head, every_split_gives_the_same_head)
{
    tg_str text = TG_STR("\r\nPOST /x HTTP/1.1\r\n" HOST "Content-Length: 3\r\nA: b\r\n\r\nabc");
    const size_t whole = text.n - 3;

    for (size_t first = 0; first < whole; first++) {
        /* A copy of its exact size: a read beyond the end is seen by the address sanitizer. */
        char *part = malloc(first == 0 ? 1 : first);
        struct tg_head h = {0};
        size_t resume = 0;

        memcpy(part, text.p, first);
        cr_assert_eq(tg_head_scan(tg_str_make(part, first), &resume, &limits, fields, &h),
                     TG_EAGAIN);
        free(part);
        cr_assert_leq(resume, first);
        cr_assert_eq(tg_head_scan(text, &resume, &limits, fields, &h), TG_OK);
        cr_assert_eq(h.bytes, whole);
        cr_assert_eq(h.content_length, 3);
        cr_assert_eq(h.fields.n, 3);
    }
}

Test(head, a_refusal_writes_nothing)
{
    struct tg_head h = {.bytes = 12345};

    cr_assert_eq(scan(HEAD("A b: c\r\n"), &h), TG_EBADREQ);
    cr_assert_eq(h.bytes, 12345);
}

Test(head, the_methods_that_are_known)
{
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};

    for (size_t m = 0; m < TG_ARRAY_LEN(known); m++) {
        char text[64];
        int n = snprintf(text, sizeof(text), "%s / HTTP/1.1\r\n" HOST "\r\n", known[m]);

        cr_assert_eq(good(tg_str_make(text, (size_t)n)).method, m);
    }
    cr_assert_eq(verdict(TG_STR("TRACE / HTTP/1.1\r\n" HOST "\r\n")), TG_EBADREQ);
    cr_assert_eq(verdict(TG_STR("CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n")), TG_EBADREQ);
    cr_assert_eq(verdict(TG_STR("GETS / HTTP/1.1\r\n" HOST "\r\n")), TG_EBADREQ);
    cr_assert_eq(verdict(TG_STR("GE / HTTP/1.1\r\n" HOST "\r\n")), TG_EBADREQ);
}

Test(head, a_target_is_visible_ascii_without_a_fragment)
{
    char text[] = "GET /x HTTP/1.1\r\n" HOST "\r\n";

    for (int c = 0; c < 256; c++) {
        enum tg_rc rc = TG_EBADREQ;

        text[5] = (char)c;
        rc = verdict(tg_str_make(text, sizeof(text) - 1));
        cr_assert_eq(rc == TG_OK, c > 0x20 && c < 0x7f && c != '#', "%d", c);
    }
    cr_assert_eq(verdict(TG_STR("GET * HTTP/1.1\r\n" HOST "\r\n")), TG_EBADTARGET);
    cr_assert_eq(verdict(TG_STR("OPTIONS ** HTTP/1.1\r\n" HOST "\r\n")), TG_EBADTARGET);
    cr_assert_eq(verdict(TG_STR("OPTIONS * HTTP/1.1\r\n" HOST "\r\n")), TG_OK);
    cr_assert_eq(verdict(TG_STR("GET http://a/ HTTP/1.1\r\n" HOST "\r\n")), TG_OK);
}

Test(head, only_1_0_and_1_1_are_spoken)
{
    char text[] = "GET / HTTP/1.1\r\n" HOST "\r\n";

    for (int c = 0; c < 256; c++) {
        bool is_digit = c >= '0' && c <= '9';

        text[13] = (char)c;
        cr_assert_eq(verdict(tg_str_make(text, sizeof(text) - 1)), c == '0' || c == '1' ? TG_OK
                                                                   : is_digit ? TG_EVERSION
                                                                              : TG_EBADREQ);
    }
    cr_assert_eq(verdict(TG_STR("GET / HTTP/0.9\r\n\r\n")), TG_EVERSION);
    cr_assert_eq(verdict(TG_STR("GET / HTTP/11\r\n\r\n")), TG_EBADREQ);
    cr_assert_eq(verdict(TG_STR("GET / http/1.1\r\n" HOST "\r\n")), TG_EBADREQ);
    cr_assert_eq(verdict(TG_STR("GET /\r\n\r\n")), TG_EBADREQ);
}

Test(head, framing_has_one_reading)
{
    cr_assert_eq(good(HEAD("Content-Length: 0\r\n")).body, TG_BODY_LENGTH);
    cr_assert_eq(good(HEAD("content-length:0010\r\n")).content_length, 10);
    cr_assert_eq(good(HEAD("Transfer-Encoding: Chunked\r\n")).body, TG_BODY_CHUNKED);
    cr_assert_eq(verdict(HEAD("Content-Length: 1\r\nContent-Length: 1\r\n")), TG_EAMBIGUOUS);
    cr_assert_eq(verdict(HEAD("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")),
                 TG_EAMBIGUOUS);
    cr_assert_eq(verdict(HEAD("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")),
                 TG_EAMBIGUOUS);
    cr_assert_eq(verdict(HEAD("Transfer-Encoding: gzip\r\n")), TG_EAMBIGUOUS);
    cr_assert_eq(verdict(HEAD("Transfer-Encoding:\r\n")), TG_EAMBIGUOUS);
    cr_assert_eq(verdict(HEAD("Content-Length: 1 1\r\n")), TG_EBADREQ);
    cr_assert_eq(verdict(HEAD("Content-Length: 1001\r\n")), TG_EBODYSIZE);
    cr_assert_eq(verdict(HEAD("Content-Length: 18446744073709551616\r\n")), TG_EBODYSIZE);
    cr_assert_eq(verdict(TG_STR("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")),
                 TG_EAMBIGUOUS);
}

Test(head, host_is_there_once_and_is_a_host)
{
    cr_assert_eq(verdict(TG_STR("GET / HTTP/1.1\r\n\r\n")), TG_EBADREQ);
    cr_assert_null(good(TG_STR("GET / HTTP/1.0\r\n\r\n")).host.p);
    cr_assert_eq(verdict(HEAD("Host: a\r\n")), TG_EAMBIGUOUS);
    cr_assert_eq(verdict(TG_STR("GET / HTTP/1.0\r\n" HOST HOST "\r\n")), TG_EAMBIGUOUS);
    for (const char *const *bad =
             (const char *const[]){"", "a@b", "a/b", "a b", "a,\"b", "[::1", "[]", "[g]", "::1",
                                   "a:b", "a:1:2", "a\\b", NULL};
         *bad != NULL; bad++) {
        char text[64];
        int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", *bad);

        cr_assert_eq(verdict(tg_str_make(text, (size_t)n)), TG_EBADREQ, "%s", *bad);
    }
    for (const char *const *fine = (const char *const[]){"a", "A.b-c_d~", "127.0.0.1:80", "[::1]",
                                                         "[::1]:80", "a:", NULL};
         *fine != NULL; fine++) {
        char text[64];
        int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", *fine);

        cr_assert_eq(verdict(tg_str_make(text, (size_t)n)), TG_OK, "%s", *fine);
    }
}

Test(head, who_keeps_the_connection)
{
    cr_assert_not(good(HEAD("Connection: close\r\n")).keep_alive);
    cr_assert_not(good(HEAD("Connection: a\r\nConnection: x, CLOSE\r\n")).keep_alive);
    cr_assert_not(good(HEAD("Connection: keep-alive, close\r\n")).keep_alive);
    cr_assert(good(HEAD("Connection: upgrade\r\n")).keep_alive);
    cr_assert(good(HEAD("Upgrade: h2c\r\n")).keep_alive);
    cr_assert_not(good(HEAD("Upgrade: h2c\r\nConnection: x, Upgrade\r\n")).keep_alive);
    cr_assert_not(good(TG_STR("GET / HTTP/1.0\r\n\r\n")).keep_alive);
    cr_assert(good(TG_STR("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")).keep_alive);
}

Test(head, who_waits_for_100)
{
    cr_assert(good(HEAD("Expect: 100-Continue\r\nContent-Length: 1\r\n")).expect_continue);
    cr_assert(good(HEAD("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n")).expect_continue);
    cr_assert_not(good(HEAD("Expect: 100-continue\r\n")).expect_continue);
    cr_assert_not(good(HEAD("Expect: 200\r\nContent-Length: 1\r\n")).expect_continue);
    cr_assert_not(
        good(TG_STR("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"))
            .expect_continue);
}

Test(head, limits_hold_to_the_byte)
{
    char text[2000];
    char many[200];
    int n = 0;

    for (int target = 99; target <= 101; target++) {
        n = snprintf(text, sizeof(text), "GET /%0*d HTTP/1.1\r\n" HOST "\r\n", target - 1, 0);
        cr_assert_eq(verdict(tg_str_make(text, (size_t)n)), target <= 100 ? TG_OK : TG_ETARGETSIZE);
    }
    for (int head = 999; head <= 1001; head++) {
        n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST "A: %0*d\r\n\r\n", head - 32, 0);
        cr_assert_eq(n, head);
        cr_assert_eq(verdict(tg_str_make(text, (size_t)n)), head <= 1000 ? TG_OK : TG_EHEADSIZE);
    }
    for (int count = 7; count <= 9; count++) {
        many[0] = '\0';
        for (int i = 1; i < count; i++) {
            memcpy(many + (size_t)(i - 1) * 6, "A: b\r\n", 7);
        }
        n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST "%s\r\n", many);
        cr_assert_eq(verdict(tg_str_make(text, (size_t)n)), count <= 8 ? TG_OK : TG_EHEADSIZE);
    }
}

Test(head, what_cannot_become_good_is_not_waited_for)
{
    char text[2000];
    int n = snprintf(text, sizeof(text), "GET /%0200d", 0);

    cr_assert_eq(verdict(tg_str_make(text, (size_t)n)), TG_ETARGETSIZE);
    n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nA: %01200d", 0);
    cr_assert_eq(verdict(tg_str_make(text, (size_t)n)), TG_EHEADSIZE);
    cr_assert_eq(verdict(TG_STR("GET / HTTP/1.1\n")), TG_EBADREQ);
    cr_assert_eq(verdict(TG_STR("\x16\x03\x01")), TG_EBADREQ);
    cr_assert_eq(verdict(TG_STR("GETGETGETGET")), TG_EBADREQ);
    cr_assert_eq(verdict(TG_STR("\r\n\r\n")), TG_EBADREQ);
    cr_assert_eq(verdict(TG_STR("")), TG_EAGAIN);
    cr_assert_eq(verdict(TG_STR("\r")), TG_EAGAIN);
    cr_assert_eq(verdict(TG_STR("\r\nGET")), TG_EAGAIN);
}
