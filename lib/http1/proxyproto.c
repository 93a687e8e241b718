/* proxyproto.c - haproxy's doc/proxy-protocol.txt, sections 2.1 and 2.2. */
#include "http1/proxyproto.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum {
    V1_MAX = 107,
    V2_HEAD = 16,
    V2_INET_BYTES = 12,
    V2_INET6_BYTES = 36,
};

static const tg_str v1_start = TG_STR_INIT("PROXY ");
static const tg_str v2_start = TG_STR_INIT("\r\n\r\n\0\r\nQUIT\n");

static bool may_become(tg_str bytes, tg_str start)
{
    size_t n = TG_MIN(bytes.n, start.n);

    return n == 0 || memcmp(bytes.p, start.p, n) == 0;
}

static void set_inet(struct sockaddr_storage *ss, const void *address, uint16_t port)
{
    struct sockaddr_in *to = (struct sockaddr_in *)(void *)ss;

    *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
    memcpy(&to->sin_addr, address, sizeof(to->sin_addr));
}

static void set_inet6(struct sockaddr_storage *ss, const void *address, uint16_t port)
{
    struct sockaddr_in6 *to = (struct sockaddr_in6 *)(void *)ss;

    *to = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
    memcpy(&to->sin6_addr, address, sizeof(to->sin6_addr));
}

/* ---- version 1: "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n" ---- */

static bool read_port(tg_str s, uint16_t *ret_port)
{
    uint64_t n = 0;

    if (s.p == NULL || s.n > 5 || tg_str_to_u64(s, &n) != TG_OK || n > UINT16_MAX) {
        return false;
    }
    *ret_port = htons((uint16_t)n);
    return true;
}

static bool read_address(tg_str s, int family, unsigned char address[16])
{
    char text[INET6_ADDRSTRLEN];

    if (s.p == NULL || s.n >= sizeof(text)) {
        return false;
    }
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return strlen(text) == s.n && inet_pton(family, text, address) == 1;
}

static enum tg_rc read_v1_line(tg_str line, struct sockaddr_storage *ret_from)
{
    tg_str kind = tg_str_cut(&line, ' ');
    tg_str from = TG_STR_NONE;
    tg_str to = TG_STR_NONE;
    tg_str from_port = TG_STR_NONE;
    unsigned char address[16];
    unsigned char other[16];
    uint16_t port = 0;
    uint16_t other_port = 0;
    int family = 0;

    if (tg_str_eq(kind, TG_STR("UNKNOWN"))) {
        ret_from->ss_family = AF_UNSPEC;
        return TG_OK;
    }
    if (tg_str_eq(kind, TG_STR("TCP4"))) {
        family = AF_INET;
    } else if (tg_str_eq(kind, TG_STR("TCP6"))) {
        family = AF_INET6;
    } else {
        return TG_EBADREQ;
    }
    from = tg_str_cut(&line, ' ');
    to = tg_str_cut(&line, ' ');
    from_port = tg_str_cut(&line, ' ');
    if (!read_address(from, family, address) || !read_address(to, family, other) ||
        !read_port(from_port, &port) || !read_port(line, &other_port)) {
        return TG_EBADREQ;
    }
    if (family == AF_INET) {
        set_inet(ret_from, address, port);
    } else {
        set_inet6(ret_from, address, port);
    }
    return TG_OK;
}

static enum tg_rc read_v1(tg_str bytes, size_t *ret_used, struct sockaddr_storage *ret_from)
{
    tg_str head = tg_str_make(bytes.p, TG_MIN(bytes.n, (size_t)V1_MAX));
    size_t lf = tg_str_find(head, '\n');
    enum tg_rc rc = TG_OK;

    if (lf == head.n) {
        return bytes.n >= V1_MAX ? TG_EBADREQ : TG_EAGAIN;
    }
    if (lf <= v1_start.n || head.p[lf - 1] != '\r') {
        return TG_EBADREQ;
    }
    rc = read_v1_line(tg_str_make(head.p + v1_start.n, lf - 1 - v1_start.n), ret_from);
    if (rc == TG_OK) {
        *ret_used = lf + 1;
    }
    return rc;
}

/* ---- version 2: binary ---- */

static enum tg_rc read_v2(tg_str bytes, size_t *ret_used, struct sockaddr_storage *ret_from)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    size_t len = 0;
    uint16_t port = 0;

    if (bytes.n < V2_HEAD) {
        return TG_EAGAIN;
    }
    len = (size_t)p[14] << 8 | p[15];
    /* Version 2; command LOCAL (0) or PROXY (1). */
    if (p[12] >> 4 != 2 || (p[12] & 0x0fU) > 1 || V2_HEAD + len > TG_PROXYPROTO_MAX) {
        return TG_EBADREQ;
    }
    if (bytes.n < V2_HEAD + len) {
        return TG_EAGAIN;
    }
    ret_from->ss_family = AF_UNSPEC;
    if ((p[12] & 0x0fU) == 1 && p[13] == 0x11) {
        if (len < V2_INET_BYTES) {
            return TG_EBADREQ;
        }
        memcpy(&port, p + V2_HEAD + 8, sizeof(port));
        set_inet(ret_from, p + V2_HEAD, port);
    } else if ((p[12] & 0x0fU) == 1 && p[13] == 0x21) {
        if (len < V2_INET6_BYTES) {
            return TG_EBADREQ;
        }
        memcpy(&port, p + V2_HEAD + 32, sizeof(port));
        set_inet6(ret_from, p + V2_HEAD, port);
    }
    *ret_used = V2_HEAD + len;
    return TG_OK;
}

enum tg_rc tg_proxyproto_read(tg_str bytes, size_t *ret_used, struct sockaddr_storage *ret_from)
{
    if (bytes.n == 0) {
        return TG_EAGAIN;
    }
    if (may_become(bytes, v2_start)) {
        return bytes.n < v2_start.n ? TG_EAGAIN : read_v2(bytes, ret_used, ret_from);
    }
    if (may_become(bytes, v1_start)) {
        return bytes.n < v1_start.n ? TG_EAGAIN : read_v1(bytes, ret_used, ret_from);
    }
    return TG_EBADREQ;
}
