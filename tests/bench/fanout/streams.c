/* streams.c - opens many streams of one topic on a server, has events published, and tells
 * what that cost the server.
 *
 *   streams -m gateway|nchan|sendloop|idle -p PORT -P PID -n STREAMS
 *           [-e ROUNDS] [-b BURSTS] [-i SECONDS] [-u TARGET] [-t TOKEN,...] [-r REALTIME-PORT]
 *           [-k SERVICE-KEY -c TOPIC] [-w] [-d] [-s EVENTS] [-l PER-SECOND -L SECONDS]
 *
 * An event has DATA_BYTES behind `data: `, one of them a MARK, by which deliveries are counted.
 * A round publishes one event (a burst: BURST of them in one write) and ends when every stream
 * has it. With `idle` there are no streams but connections that asked once and are kept alive.
 * -k publishes by the gateway's own endpoint instead of being its upstream; -w: WebSockets;
 * -d: each stream is a device; -s: storm.c; -l: load.c. Prints name=value lines. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "scenarios.h"
#include "util/base.h"

enum { WARM_ROUNDS = 5, IN_FLIGHT = 128 };

/* ---- opening ---- */

static void open_streams(struct bench *b)
{
    const unsigned n = b->opts.n_streams;
    uint64_t started = now_ns();
    uint64_t cpu = cpu_ns(b->opts.pid);
    uint64_t rss = rss_bytes(b->opts.pid);
    uint64_t rss_half = 0;
    uint64_t took = 0;

    client_open(b, n / 2);
    rss_half = rss_bytes(b->opts.pid);
    client_open(b, n);
    took = now_ns() - started;
    printf("start_rss=%" PRIu64 "\n", rss);
    printf("open_ms=%.1f\n", (double)took / 1e6);
    printf("open_cpu_us=%.2f\n", (double)(cpu_ns(b->opts.pid) - cpu) / 1e3 / n);
    /* All of it, and without what any first stream needs: buffers that wait for the next. */
    printf("stream_rss=%.0f\n", ((double)rss_bytes(b->opts.pid) - (double)rss) / n);
    printf("stream_rss_half=%.0f\n",
           ((double)rss_bytes(b->opts.pid) - (double)rss_half) / TG_MAX(n - n / 2, 1U));
}

/* ---- rounds ---- */

static void round_of(struct bench *b, unsigned n)
{
    uint64_t until = b->n_events + (uint64_t)n * b->opts.n_streams;

    client_publish(b, n);
    client_wait(b, until);
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
    sort_u64(took, rounds);
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
    struct opts o = {.mode = "", .target = "/", .tokens = "", .topic = "", .in_flight = IN_FLIGHT};
    int c = 0;

    while ((c = getopt(argc, argv, "m:p:P:n:e:b:i:u:t:r:k:c:wds:l:L:")) != -1) {
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
            o.tokens = text;
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
        case 'k':
            o.service_key = text;
            break;
        case 'c':
            o.topic = text;
            break;
        case 'w':
            o.is_websocket = true;
            break;
        case 'd':
            o.has_devices = true;
            break;
        case 's':
            o.storm_events = number;
            break;
        case 'l':
            o.load_per_sec = number;
            break;
        case 'L':
            o.load_sec = number;
            break;
        default:
            exit(2);
        }
    }
    o.is_idle = strcmp(o.mode, "idle") == 0;
    o.ready = o.is_idle                      ? "\r\n\r\n"
              : strcmp(o.mode, "nchan") == 0 ? ": hi"
              : o.is_websocket               ? "\"event\":\"hello\""
                                             : "event: hello";
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
    (void)setvbuf(stdout, NULL, _IOLBF, 0); /* a script waits for single figures */
    client_init(b);
    if (b->opts.storm_events > 0) {
        storm(b);
        return 0;
    }
    open_streams(b);
    measure_idle(b);
    measure_rounds(b, "single", b->opts.rounds, 1);
    measure_rounds(b, "burst", b->opts.bursts, BURST);
    if (b->opts.load_sec > 0) {
        load(b);
    }
    return 0;
}
