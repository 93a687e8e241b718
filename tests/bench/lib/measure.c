/* measure.c - sockets, the clock, and /proc for the benchmark programs. */
#include "measure.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_EVENTS = 512 };

_Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- sockets ---- */

static void control(int epoll, int op, struct watch *w, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = w};

    if (epoll_ctl(epoll, op, w->fd, &ev) == -1) {
        fail("epoll_ctl");
    }
}

void watch_add(int epoll, struct watch *w, uint32_t events)
{
    control(epoll, EPOLL_CTL_ADD, w, events);
}

void watch_change(int epoll, struct watch *w, uint32_t events)
{
    control(epoll, EPOLL_CTL_MOD, w, events);
}

int watch_turn(int epoll, int timeout_ms)
{
    struct epoll_event events[MAX_EVENTS];
    int n = epoll_wait(epoll, events, MAX_EVENTS, timeout_ms);

    if (n == -1 && errno != EINTR) {
        fail("epoll_wait");
    }
    for (int i = 0; i < n; i++) {
        struct watch *w = events[i].data.ptr;

        w->on_ready(w, events[i].events);
    }
    return n;
}

static int local_socket(uint16_t port, struct sockaddr_in *ret_addr)
{
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd == -1) {
        fail("socket");
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    *ret_addr = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return fd;
}

int listen_local(uint16_t port)
{
    struct sockaddr_in addr;
    int fd = local_socket(port, &addr);

    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == -1 || listen(fd, 4096) == -1) {
        fail("listen");
    }
    return fd;
}

int connect_local(uint16_t port)
{
    struct sockaddr_in addr;
    int fd = local_socket(port, &addr);

    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == -1 && errno != EINPROGRESS) {
        fail("connect");
    }
    return fd;
}

void send_all(int fd, const void *p, size_t n)
{
    const char *at = p;

    while (n > 0) {
        ssize_t sent = send(fd, at, n, MSG_NOSIGNAL);

        if (sent > 0) {
            at += sent;
            n -= (size_t)sent;
        } else if (errno == EAGAIN) {
            struct pollfd full = {.fd = fd, .events = POLLOUT};

            (void)poll(&full, 1, 1000);
        } else if (errno != EINTR) {
            fail("send");
        }
    }
}

/* ---- numbers, the clock and /proc ---- */

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

void sort_u64(uint64_t *values, size_t n)
{
    qsort(values, n, sizeof(*values), by_size);
}

uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

uint64_t cpu_ns(int pid)
{
    char path[320];
    uint64_t sum = 0;
    struct dirent *e = NULL;
    DIR *dir = NULL;

    (void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
    dir = opendir(path);
    if (dir == NULL) {
        fail("the server's process");
    }
    while ((e = readdir(dir)) != NULL) {
        FILE *f = NULL;

        (void)snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", pid, e->d_name);
        f = e->d_name[0] == '.' ? NULL : fopen(path, "re");
        if (f != NULL) {
            sum += fgets(path, sizeof(path), f) != NULL ? strtoull(path, NULL, 10) : 0;
            (void)fclose(f);
        }
    }
    (void)closedir(dir);
    return sum;
}

uint64_t rss_bytes(int pid)
{
    char line[256];
    uint64_t kb = 0;
    FILE *f = NULL;

    (void)snprintf(line, sizeof(line), "/proc/%d/status", pid);
    f = fopen(line, "re");
    if (f == NULL) {
        fail("the server's process");
    }
    while (kb == 0 && fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "RssAnon:", 8) == 0) {
            kb = strtoull(line + 8, NULL, 10);
        }
    }
    (void)fclose(f);
    return kb * 1024;
}
