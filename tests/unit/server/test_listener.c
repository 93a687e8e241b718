/* test_listener.c - sockets that share a port. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/listener.h"

enum { N = 3 };

static void close_all(const int *fds)
{
    for (int i = 0; i < N; i++) {
        cr_assert_eq(close(fds[i]), 0);
    }
}

Test(listener, binds_all_sockets_to_one_free_port)
{
    int fds[N];
    uint16_t port = 0;

    cr_assert_eq(tg_listener_open("127.0.0.1", 0, N, fds, &port), TG_OK);
    cr_assert_neq(port, 0);
    for (int i = 0; i < N; i++) {
        struct sockaddr_in a = {0};
        socklen_t n = sizeof(a);

        cr_assert_eq(getsockname(fds[i], (struct sockaddr *)(void *)&a, &n), 0);
        cr_assert_eq(ntohs(a.sin_port), port);
    }
    close_all(fds);
}

Test(listener, serves_ipv6)
{
    int fds[N];
    uint16_t port = 0;

    cr_assert_eq(tg_listener_open("::1", 0, N, fds, &port), TG_OK);
    close_all(fds);
}

Test(listener, leaves_nothing_open_when_the_port_is_taken)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(a);
    int taken = socket(AF_INET, SOCK_STREAM, 0);
    int before = 0;
    int after = 0;
    int fds[N];
    uint16_t port = 0;

    cr_assert_eq(bind(taken, (struct sockaddr *)(void *)&a, n), 0);
    cr_assert_eq(getsockname(taken, (struct sockaddr *)(void *)&a, &n), 0);
    before = dup(taken);
    (void)close(before);
    cr_assert_eq(tg_listener_open("127.0.0.1", ntohs(a.sin_port), N, fds, &port), TG_EIO);
    cr_assert_eq(errno, EADDRINUSE);
    after = dup(taken);
    cr_assert_eq(after, before);
    (void)close(after);
    (void)close(taken);
}

Test(listener, refuses_what_is_no_address)
{
    int fds[N];
    uint16_t port = 0;

    cr_assert_eq(tg_listener_open("localhost", 0, N, fds, &port), TG_EBADPARAM);
}
