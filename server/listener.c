/* listener.c - sockets that share an address. They listen once their worker is ready. */
#include "server/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

struct address {
    struct sockaddr_storage ss;
    socklen_t n;
};

static enum tg_rc parse(const char *host, uint16_t port, struct address *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&out->ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&out->ss;

    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        out->n = sizeof(*v4);
        return TG_OK;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        out->n = sizeof(*v6);
        return TG_OK;
    }
    errno = EINVAL;
    return TG_EBADPARAM;
}

static uint16_t *port_of(struct address *a)
{
    return a->ss.ss_family == AF_INET ? &((struct sockaddr_in *)(void *)&a->ss)->sin_port
                                      : &((struct sockaddr_in6 *)(void *)&a->ss)->sin6_port;
}

/* -1 with errno. */
static int bind_one(struct address *a)
{
    const int on = 1;
    int fd = socket(a->ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd == -1) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == -1 ||
        bind(fd, (struct sockaddr *)&a->ss, a->n) == -1 ||
        getsockname(fd, (struct sockaddr *)&a->ss, &a->n) == -1) {
        int why = errno;

        (void)close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

enum tg_rc tg_listener_open(const char *host, uint16_t port, size_t n, int *fds, uint16_t *ret_port)
{
    struct address a;
    enum tg_rc rc = parse(host, port, &a);

    for (size_t i = 0; rc == TG_OK && i < n; i++) {
        /* The first bind fills in the port that the others then share. */
        fds[i] = bind_one(&a);
        if (fds[i] == -1) {
            int why = errno;

            while (i > 0) {
                (void)close(fds[--i]);
            }
            errno = why;
            return TG_EIO;
        }
    }
    if (rc == TG_OK) {
        *ret_port = ntohs(*port_of(&a));
    }
    return rc;
}
