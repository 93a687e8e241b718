/* sendloop.c - the floor: one send() per stream and event, and nothing else.
 *
 *   sendloop PORT BYTES
 *
 * A connection that begins with "PUB" is the publisher: every later byte of it is one event
 * for all streams. Any other request is answered with the head of a stream and `hello`. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/measure.h"

enum { MAX_STREAMS = 20000, MAX_EVENT = 4096 };

struct send_loop {
    struct watch listener;
    int epoll;
    int streams[MAX_STREAMS];
    size_t n_streams;
    char event[MAX_EVENT];
    size_t n_event;
};

struct peer {
    struct watch watch;
    struct send_loop *loop;
    bool is_publisher;
};

static void send_to_all(const struct send_loop *l)
{
    for (size_t i = 0; i < l->n_streams; i++) {
        if (send(l->streams[i], l->event, l->n_event, MSG_NOSIGNAL) != (ssize_t)l->n_event) {
            fail("a stream's send");
        }
    }
}

static void on_peer(struct watch *w, uint32_t events)
{
    static const char hello[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
                                "event: hello\n\n";
    struct peer *p = (struct peer *)w;
    char text[4096];
    ssize_t n = recv(w->fd, text, sizeof(text), 0);

    (void)events;
    if (n <= 0) {
        if (p->is_publisher) {
            exit(0); /* the run is over */
        }
        /* Streams end only after it; this was somebody who tried the port. */
        (void)close(w->fd);
        free(p);
        return;
    }
    if (p->is_publisher) {
        for (ssize_t i = 0; i < n; i++) {
            send_to_all(p->loop);
        }
    } else if (n >= 3 && memcmp(text, "PUB", 3) == 0) {
        p->is_publisher = true;
    } else if (p->loop->n_streams < MAX_STREAMS) {
        send_all(w->fd, hello, sizeof(hello) - 1);
        p->loop->streams[p->loop->n_streams++] = w->fd;
    }
}

static void on_accept(struct watch *w, uint32_t events)
{
    struct send_loop *l = (struct send_loop *)w;
    int fd = -1;

    (void)events;
    while ((fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
        struct peer *p = calloc(1, sizeof(*p));

        p->watch = (struct watch){fd, on_peer};
        p->loop = l;
        watch_add(l->epoll, &p->watch, EPOLLIN);
    }
}

int main(int argc, char **argv)
{
    struct send_loop *l = calloc(1, sizeof(*l));

    if (l == NULL || argc != 3) {
        (void)fprintf(stderr, "usage: sendloop PORT BYTES\n");
        return 2;
    }
    l->n_event = strtoul(argv[2], NULL, 10);
    if (l->n_event < 8 || l->n_event > sizeof(l->event)) {
        (void)fprintf(stderr, "sendloop: an event has 8 to %d bytes\n", MAX_EVENT);
        return 2;
    }
    memset(l->event, 'x', l->n_event);
    memcpy(l->event, "data: ^", 7);
    memcpy(l->event + l->n_event - 2, "\n\n", 2);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->listener = (struct watch){listen_local((uint16_t)strtoul(argv[1], NULL, 10)), on_accept};
    watch_add(l->epoll, &l->listener, EPOLLIN);
    for (;;) {
        (void)watch_turn(l->epoll, -1);
    }
}
