/* trust.c - networks as 128-bit prefixes; IPv4 is kept in its IPv6 form. */
#include "server/trust.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { V4_PREFIX = 96 };

struct network {
    unsigned char address[16];
    unsigned bits;
};

struct tg_trust {
    size_t n;
    struct network networks[];
};

static void map_v4(const void *v4, unsigned char *out)
{
    static const unsigned char prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    memcpy(out, prefix, sizeof(prefix));
    memcpy(out + sizeof(prefix), v4, 4);
}

static bool parse(tg_str text, struct network *out)
{
    tg_str rest = text;
    char *address = tg_str_dup(tg_str_cut(&rest, '/'));
    struct in_addr v4 = {0};
    uint64_t bits = 0;
    bool is_v4 = inet_pton(AF_INET, address, &v4) == 1;
    bool ok = true;

    if (is_v4) {
        map_v4(&v4, out->address);
    } else {
        ok = inet_pton(AF_INET6, address, out->address) == 1;
    }
    free(address);
    out->bits = 128;
    if (ok && rest.p != NULL) {
        ok = tg_str_to_u64(rest, &bits) == TG_OK && bits <= (is_v4 ? 32U : 128U);
        out->bits = (unsigned)bits + (is_v4 ? V4_PREFIX : 0U);
    }
    return ok;
}

struct tg_trust *tg_trust_create(const char *const *cidrs, size_t n)
{
    struct tg_trust *t = tg_calloc(1, sizeof(*t) + n * sizeof(t->networks[0]));

    for (size_t i = 0; i < n; i++) {
        if (parse(tg_str_of(cidrs[i]), &t->networks[t->n])) {
            t->n++;
        }
    }
    return t;
}

void tg_trust_destroy(struct tg_trust *t)
{
    free(t);
}

static bool is_inside(const struct network *net, const unsigned char *address)
{
    unsigned bytes = net->bits / 8;
    unsigned rest = net->bits % 8;
    unsigned mask = 0xFFU << (8 - rest) & 0xFFU;

    return memcmp(net->address, address, bytes) == 0 &&
           (rest == 0 || ((net->address[bytes] ^ address[bytes]) & mask) == 0);
}

bool tg_trust_has(const struct sockaddr_storage *peer, void *arg)
{
    const struct tg_trust *t = arg;
    unsigned char address[16];

    if (peer->ss_family == AF_INET) {
        map_v4(&((const struct sockaddr_in *)(const void *)peer)->sin_addr, address);
    } else if (peer->ss_family == AF_INET6) {
        memcpy(address, &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr,
               sizeof(address));
    } else {
        return false;
    }
    for (size_t i = 0; i < t->n; i++) {
        if (is_inside(&t->networks[i], address)) {
            return true;
        }
    }
    return false;
}
