/* test_proxyproto.c - PROXY headers, both versions. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "http1/proxyproto.h"

static enum tg_rc read_text(tg_str text, size_t *ret_used, char *ret_address, uint16_t *ret_port)
{
    struct sockaddr_storage from = {.ss_family = AF_UNIX};
    enum tg_rc rc = tg_proxyproto_read(text, ret_used, &from);

    ret_address[0] = '\0';
    if (rc == TG_OK && from.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)&from;

        (void)inet_ntop(AF_INET, &in->sin_addr, ret_address, INET6_ADDRSTRLEN);
        *ret_port = ntohs(in->sin_port);
    } else if (rc == TG_OK && from.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)&from;

        (void)inet_ntop(AF_INET6, &in->sin6_addr, ret_address, INET6_ADDRSTRLEN);
        *ret_port = ntohs(in->sin6_port);
    } else if (rc == TG_OK) {
        cr_assert_eq(from.ss_family, AF_UNSPEC);
    }
    return rc;
}

/* Whole it gives `address`; every part of it wants more. */
static void expect(tg_str text, const char *address, uint16_t port)
{
    char got[INET6_ADDRSTRLEN];
    uint16_t got_port = 0;
    size_t used = 0;
    char more[256];

    cr_assert_lt(text.n + 10, sizeof(more));
    memcpy(more, text.p, text.n);
    memset(more + text.n, 'G', 10);
    cr_assert_eq(read_text(tg_str_make(more, text.n + 10), &used, got, &got_port), TG_OK);
    cr_assert_eq(used, text.n);
    cr_assert_str_eq(got, address);
    cr_assert_eq(got_port, port);
    for (size_t n = 0; n < text.n; n++) {
        char *part = malloc(n == 0 ? 1 : n);

        memcpy(part, text.p, n);
        cr_assert_eq(read_text(tg_str_make(part, n), &used, got, &got_port), TG_EAGAIN, "%zu", n);
        free(part);
    }
}

static enum tg_rc verdict(tg_str text)
{
    char got[INET6_ADDRSTRLEN];
    uint16_t port = 0;
    size_t used = 0;

    return read_text(text, &used, got, &port);
}

#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define INET "\xc0\x00\x02\x07\x0a\x00\x00\x01\x30\x39\x00\x50"

Test(proxyproto, version_1_is_read)
{
    expect(TG_STR("PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n"), "192.0.2.7", 12345);
    expect(TG_STR("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"), "2001:db8::1", 1);
    expect(TG_STR("PROXY UNKNOWN\r\n"), "", 0);
    expect(TG_STR("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), "", 0);
}

Test(proxyproto, version_2_is_read)
{
    expect(TG_STR(V2 "\x21\x11\x00\x0c" INET), "192.0.2.7", 12345);
    expect(TG_STR(V2 "\x21\x11\x00\x10" INET "\x04\x00\x01\x00"), "192.0.2.7", 12345);
    expect(
        TG_STR(
            V2
            "\x21\x21\x00\x24"
            "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02\x01\x02\0\x50"),
        "::1", 258);
    expect(TG_STR(V2 "\x20\x00\x00\x00"), "", 0);
    expect(TG_STR(V2 "\x20\x11\x00\x0c" INET), "", 0);
    expect(TG_STR(V2 "\x21\x00\x00\x00"), "", 0);
}

Test(proxyproto, anything_else_is_refused)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\r\n",
        "PROXX",
        "PROXY \r\n",
        "PROXY TCP5 192.0.2.7 10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 1\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 1 65536\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 -1 2\r\n",
        "PROXY TCP4 192.0.2 10.0.0.1 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n",
        "PROXY  TCP4 192.0.2.7 10.0.0.1 1 2\r\n",
        "PROXY TCP4 192.0.2.7 10.0.0.1 1 2\n",
        "PROXY UNKNOWN"
        "                                                                                        "
        "          ",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_eq(verdict(tg_str_of(bad[i])), TG_EBADREQ, "%s", bad[i]);
    }
    cr_assert_eq(verdict(TG_STR(V2 "\x11\x11\x00\x0c" INET)), TG_EBADREQ); /* version 1 */
    cr_assert_eq(verdict(TG_STR(V2 "\x22\x11\x00\x0c" INET)), TG_EBADREQ); /* command 2 */
    cr_assert_eq(verdict(TG_STR(V2 "\x21\x11\x00\x0b" INET)), TG_EBADREQ); /* too short */
    cr_assert_eq(verdict(TG_STR(V2 "\x21\x21\x00\x0c" INET)), TG_EBADREQ);
    cr_assert_eq(verdict(TG_STR(V2 "\x21\x11\xff\xff")), TG_EBADREQ); /* too long */
}
