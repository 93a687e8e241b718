/* streams.c - opens many streams of one topic on a server, has events published, and tells
 * what that cost the server.
 *
 *   streams -m gateway|nchan|sendloop|idle -p PORT -P PID -n STREAMS
 *           [-e ROUNDS] [-b BURSTS] [-i SECONDS] [-u TARGET] [-t TOKEN] [-r REALTIME-PORT]
 *
 * An event has DATA_BYTES behind `data: `, one of them a MARK, by which deliveries are counted.
 * A round publishes one event (a burst: BURST of them in one write) and ends when every stream
 * has it. With `idle` there are no streams but connections that asked once and are kept alive.
 * Prints name=value lines. */
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "../lib/measure.h"
#include "source.h"
#include "util/base.h"

enum { DATA_BYTES = 256, MARK = '~', BURST = 10, WARM_ROUNDS = 5, IN_FLIGHT = 128 };

#define ROUND_NS 30000000000U /* longer than this is a loss */

struct opts {
    const char *mode;
    bool is_idle;      /* connections that wait for their next request, not streams */
    const char *ready; /* what ends a stream's greeting */
    const char *target;
    const char *token;
    uint16_t port;
    uint16_t realtime_port;
    int pid;
    unsigned n_streams;
    unsigned rounds;
    unsigned bursts;
    unsigned idle_sec;
};

struct bench {
    struct opts opts;
    int epoll;
    struct stream *streams;
    unsigned n_started;
    unsigned n_ready;
    uint64_t n_events;
    uint64_t n_bytes;
    struct source *source; /* gateway */
    struct watch publisher;
    char record[DATA_BYTES + 1];
    char data[DATA_BYTES + 1];
    char in[65536];
};

struct stream {
    struct watch watch;
    struct bench *bench;
    bool is_sent;
    bool is_ready;
    unsigned n_matched; /* of opts.ready */
};

/* ---- the event ---- */

/* A row that makes the gateway's JSON DATA_BYTES long; the others publish that very text. */
static void make_event(struct bench *b)
{
    char text[1024];
    char pad[DATA_BYTES] = {MARK};
    int n = 0;

    for (size_t len = 1; n != DATA_BYTES && len < sizeof(pad) - 1; len++) {
        (void)snprintf(b->record, sizeof(b->record), "{\"id\":1,\"pad\":\"%s\"}", pad);
        n = snprintf(text, sizeof(text),
                     "{\"topic\":\"table:public.bench\"," SOURCE_EVENT_FORMAT "}", b->record);
        pad[len] = 'x';
    }
    memcpy(b->data, text, DATA_BYTES);
}

static void publish(struct bench *b, unsigned n)
{
    if (b->source != NULL) {
        source_publish(b->source, b->record, n);
    } else if (strcmp(b->opts.mode, "sendloop") == 0) {
        char bytes[BURST] = {0};

        send_all(b->publisher.fd, bytes, n);
    } else {
        char text[BURST * (DATA_BYTES + 128)];
        size_t at = 0;

        for (unsigned i = 0; i < n; i++) {
            at += (size_t)snprintf(text + at, sizeof(text) - at,
                                   "POST /pub HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                   "Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
                                   DATA_BYTES, b->data);
        }
        send_all(b->publisher.fd, text, at);
    }
}

/* What the server answers the publisher is of no interest. */
static void on_publisher(struct watch *w, uint32_t events)
{
    char text[4096];

    (void)events;
    if (recv(w->fd, text, sizeof(text), 0) == 0) {
        fail("the publisher's connection ended");
    }
}

static void open_publisher(struct bench *b)
{
    if (b->opts.is_idle) {
        return;
    }
    if (strcmp(b->opts.mode, "gateway") == 0) {
        b->source = source_open(b->epoll, b->opts.realtime_port);
        return;
    }
    b->publisher = (struct watch){connect_local(b->opts.port), on_publisher};
    watch_add(b->epoll, &b->publisher, EPOLLIN);
    if (strcmp(b->opts.mode, "sendloop") == 0) {
        send_all(b->publisher.fd, "PUB", 3);
    }
}

/* ---- streams ---- */

static void start_stream(struct bench *b);

static void greet(struct stream *s, const char *p, size_t n)
{
    struct bench *b = s->bench;

    for (size_t i = 0; i < n && !s->is_ready; i++) {
        s->n_matched = p[i] == b->opts.ready[s->n_matched] ? s->n_matched + 1
                                                           : (p[i] == b->opts.ready[0] ? 1U : 0U);
        s->is_ready = b->opts.ready[s->n_matched] == '\0';
    }
    if (s->is_ready) {
        b->n_ready++;
        if (b->n_started < b->opts.n_streams) {
            start_stream(b);
        }
    }
}

static void on_stream(struct watch *w, uint32_t events)
{
    struct stream *s = (struct stream *)w;
    struct bench *b = s->bench;
    ssize_t n = 0;

    if (!s->is_sent && (events & EPOLLOUT) != 0) {
        char text[2048];
        bool has_token = b->opts.token[0] != '\0';
        int len = snprintf(text, sizeof(text),
                           "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n"
                           "%s%s%s\r\n",
                           b->opts.target, has_token ? "Authorization: Bearer " : "", b->opts.token,
                           has_token ? "\r\n" : "");

        send_all(w->fd, text, (size_t)len);
        s->is_sent = true;
        watch_change(b->epoll, w, EPOLLIN);
        return;
    }
    n = recv(w->fd, b->in, sizeof(b->in), 0);
    if (n <= 0) {
        fail("a stream ended");
    }
    if (!s->is_ready) {
        if (!b->opts.is_idle && memcmp(b->in, "HTTP/1.1 ", 9) == 0 &&
            memcmp(b->in, "HTTP/1.1 200", 12) != 0) {
            (void)fprintf(stderr, "bench: refused: %.*s\n", (int)n, b->in);
            exit(1);
        }
        greet(s, b->in, (size_t)n);
        return;
    }
    b->n_bytes += (uint64_t)n;
    for (const char *at = b->in, *end = at + n; (at = memchr(at, MARK, (size_t)(end - at))) != NULL;
         at++) {
        b->n_events++;
    }
}

static void start_stream(struct bench *b)
{
    struct stream *s = &b->streams[b->n_started++];

    *s = (struct stream){.watch = {connect_local(b->opts.port), on_stream}, .bench = b};
    watch_add(b->epoll, &s->watch, EPOLLIN | EPOLLOUT);
}

static void open_streams(struct bench *b)
{
    uint64_t started = now_ns();
    uint64_t cpu = cpu_ns(b->opts.pid);
    uint64_t rss = rss_bytes(b->opts.pid);
    uint64_t rss_half = 0;
    unsigned n_half = 0;
    uint64_t took = 0;

    while (b->n_started < b->opts.n_streams && b->n_started < IN_FLIGHT) {
        start_stream(b);
    }
    while (b->n_ready < b->opts.n_streams) {
        if (now_ns() - started > ROUND_NS) {
            fail("streams do not open");
        }
        (void)watch_turn(b->epoll, 1000);
        if (rss_half == 0 && b->n_ready >= b->opts.n_streams / 2) {
            rss_half = rss_bytes(b->opts.pid);
            n_half = b->opts.n_streams - b->n_ready;
        }
    }
    took = now_ns() - started;
    printf("start_rss=%" PRIu64 "\n", rss);
    printf("open_ms=%.1f\n", (double)took / 1e6);
    printf("open_cpu_us=%.2f\n", (double)(cpu_ns(b->opts.pid) - cpu) / 1e3 / b->opts.n_streams);
    /* All of it, and without what any first stream needs: buffers that wait for the next. */
    printf("stream_rss=%.0f\n", ((double)rss_bytes(b->opts.pid) - (double)rss) / b->opts.n_streams);
    printf("stream_rss_half=%.0f\n",
           ((double)rss_bytes(b->opts.pid) - (double)rss_half) / TG_MAX(n_half, 1U));
}

/* ---- rounds ---- */

static void round_of(struct bench *b, unsigned n)
{
    uint64_t until = b->n_events + (uint64_t)n * b->opts.n_streams;
    uint64_t started = now_ns();

    publish(b, n);
    while (b->n_events < until) {
        if (now_ns() - started > ROUND_NS) {
            fail("events were lost");
        }
        (void)watch_turn(b->epoll, 1000);
    }
    if (b->n_events > until) {
        fail("events came twice");
    }
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void measure_rounds(struct bench *b, const char *name, unsigned rounds, unsigned n)
{
    uint64_t *took = tg_calloc(rounds + 1U, sizeof(*took));
    double n_events = (double)rounds * n * b->opts.n_streams;
    uint64_t started = 0;
    uint64_t cpu = 0;
    uint64_t all = 0;
    const uint64_t *middle = &took[rounds / 2];
    const uint64_t *late = &took[rounds * 99 / 100];

    if (rounds == 0) {
        free(took);
        return;
    }
    for (unsigned i = 0; i < WARM_ROUNDS; i++) {
        round_of(b, n);
    }
    b->n_bytes = 0;
    cpu = cpu_ns(b->opts.pid);
    started = now_ns();
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t from = now_ns();

        round_of(b, n);
        took[i] = now_ns() - from;
    }
    all = now_ns() - started;
    cpu = cpu_ns(b->opts.pid) - cpu;
    qsort(took, rounds, sizeof(*took), by_size);
    printf("%s_cpu_ns=%.0f\n", name, (double)cpu / n_events);
    printf("%s_per_s=%.0f\n", name, n_events / ((double)all / 1e9));
    printf("%s_p50_us=%.0f\n", name, (double)*middle / 1e3);
    printf("%s_p99_us=%.0f\n", name, (double)*late / 1e3);
    printf("%s_bytes=%.0f\n", name, (double)b->n_bytes / n_events);
    free(took);
}

/* What the streams cost when nothing happens but heartbeats. */
static void measure_idle(struct bench *b)
{
    uint64_t cpu = cpu_ns(b->opts.pid);
    uint64_t until = now_ns() + b->opts.idle_sec * UINT64_C(1000000000);

    if (b->opts.idle_sec == 0) {
        return;
    }
    while (now_ns() < until) {
        (void)watch_turn(b->epoll, (int)((until - now_ns()) / 1000000 + 1));
    }
    printf("idle_us=%.3f\n",
           (double)(cpu_ns(b->opts.pid) - cpu) / 1e3 / b->opts.n_streams / b->opts.idle_sec);
}

/* ---- the start ---- */

static struct opts read_opts(int argc, char **argv)
{
    struct opts o = {.mode = "", .target = "/", .token = ""};
    int c = 0;

    while ((c = getopt(argc, argv, "m:p:P:n:e:b:i:u:t:r:")) != -1) {
        const char *text = optarg == NULL ? "" : optarg;
        unsigned number = (unsigned)strtoul(text, NULL, 10);

        switch (c) {
        case 'm':
            o.mode = text;
            break;
        case 'u':
            o.target = text;
            break;
        case 't':
            o.token = text;
            break;
        case 'p':
            o.port = (uint16_t)number;
            break;
        case 'r':
            o.realtime_port = (uint16_t)number;
            break;
        case 'P':
            o.pid = (int)number;
            break;
        case 'n':
            o.n_streams = number;
            break;
        case 'e':
            o.rounds = number;
            break;
        case 'b':
            o.bursts = number;
            break;
        case 'i':
            o.idle_sec = number;
            break;
        default:
            exit(2);
        }
    }
    o.is_idle = strcmp(o.mode, "idle") == 0;
    o.ready = o.is_idle ? "\r\n\r\n" : strcmp(o.mode, "nchan") == 0 ? ": hi" : "event: hello";
    if (o.n_streams == 0 || o.pid == 0 || o.port == 0) {
        (void)fprintf(stderr, "streams: the head of streams.c tells the options\n");
        exit(2);
    }
    return o;
}

int main(int argc, char **argv)
{
    struct bench *b = tg_calloc(1, sizeof(*b));

    b->opts = read_opts(argc, argv);
    b->epoll = epoll_create1(EPOLL_CLOEXEC);
    b->streams = tg_calloc(b->opts.n_streams, sizeof(*b->streams));
    make_event(b);
    open_publisher(b);
    open_streams(b);
    measure_idle(b);
    measure_rounds(b, "single", b->opts.rounds, 1);
    measure_rounds(b, "burst", b->opts.bursts, BURST);
    return 0;
}
