/* health.c - one blocking request on a socket of its own; only the status line is looked at. */
#include "server/health.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "config/text.h"

static const char request[] =
    "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
static const char ready[] = "HTTP/1.1 200 ";

struct address {
    struct sockaddr_storage storage;
    socklen_t n;
};

/* Where a listener on all interfaces can be reached from inside. */
static bool to_address(const char *host, uint16_t port, struct address *ret)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct address address = {.n = 0};

    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        if (v4.sin_addr.s_addr == htonl(INADDR_ANY)) {
            v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        }
        memcpy(&address.storage, &v4, sizeof(v4));
        address.n = sizeof(v4);
    } else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        if (IN6_IS_ADDR_UNSPECIFIED(&v6.sin6_addr)) {
            v6.sin6_addr = in6addr_loopback;
        }
        memcpy(&address.storage, &v6, sizeof(v6));
        address.n = sizeof(v6);
    } else {
        return false;
    }
    *ret = address;
    return true;
}

static bool read_status(int fd, char *out, size_t n)
{
    size_t at = 0;

    while (at < n) {
        ssize_t got = recv(fd, out + at, n - at, 0);

        if (got == 0 || (got < 0 && errno != EINTR)) {
            return false;
        }
        at += got > 0 ? (size_t)got : 0;
    }
    return true;
}

static enum tg_rc ask(int fd, const struct address *to, tg_usec timeout)
{
    const struct timeval limit = {.tv_sec = (time_t)(timeout / TG_SEC(1)),
                                  .tv_usec = (suseconds_t)(timeout % TG_SEC(1))};
    char status[sizeof(ready) - 1];

    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
        connect(fd, (const struct sockaddr *)&to->storage, to->n) != 0 ||
        send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof(request) - 1) ||
        !read_status(fd, status, sizeof(status))) {
        return TG_EREFUSED;
    }
    return memcmp(status, ready, sizeof(status)) == 0 ? TG_OK : TG_ENOTREADY;
}

enum tg_rc tg_health_ask(const char *listen, tg_usec timeout)
{
    char host[TG_HOST_MAX];
    struct address to;
    uint16_t port = 0;
    enum tg_rc rc = tg_text_address(tg_str_of(listen), host, &port);
    int fd = -1;

    if (rc != TG_OK || port == 0 || !to_address(host, port, &to)) {
        return TG_EBADPARAM;
    }
    fd = socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        return TG_EREFUSED;
    }
    rc = ask(fd, &to, timeout);
    (void)close(fd);
    return rc;
}
