/* client.h - many streams of one topic on a server, and whoever publishes to them: what the
 * scenarios of streams.c, storm.c and load.c drive. */
#ifndef TG_BENCH_CLIENT_H
#define TG_BENCH_CLIENT_H

#include <stdbool.h>

#include "../lib/measure.h"

/* MARK stands once in each event and in nothing else that a stream gets: not `~`, which is the
 * length byte of a WebSocket frame. */
enum { DATA_BYTES = 256, MARK = '^', BURST = 10, MAX_CURSOR = 80 };

#define ROUND_NS 30000000000U /* longer than this is a loss */

struct opts {
    const char *mode;
    bool is_idle;      /* connections that wait for their next request, not streams */
    bool is_websocket; /* instead of SSE */
    bool has_devices;  /* each stream is a device */
    const char *ready; /* what ends a stream's greeting */
    const char *target;
    const char *tokens; /* separated by commas: one for every TOKEN_DEVICES streams */
    const char *service_key;
    const char *topic; /* with a service key: what is published there */
    uint16_t port;
    uint16_t realtime_port;
    int pid;
    unsigned n_streams;
    unsigned in_flight; /* streams that are opening at a time */
    unsigned rounds;
    unsigned bursts;
    unsigned idle_sec;
    unsigned storm_events;
    unsigned load_per_sec;
    unsigned load_sec;
};

struct stream {
    struct watch watch;
    struct bench *bench;
    bool is_sent;
    bool is_ready;
    unsigned n_matched; /* of opts.ready */
    uint64_t n_events;
};

struct bench {
    struct opts opts;
    int epoll;
    struct stream *streams;
    unsigned n_wanted;
    unsigned n_started;
    unsigned n_ready;
    uint64_t n_events;
    uint64_t n_bytes;
    char cursor[MAX_CURSOR];                       /* behind which new streams resume; empty: now */
    char hello_cursor[MAX_CURSOR];                 /* of the stream that became ready last */
    void (*on_event)(struct stream *s, void *arg); /* of a scenario; may be NULL */
    void *arg;
    struct source *source; /* gateway */
    struct watch publisher;
    char record[DATA_BYTES + 1];
    char data[DATA_BYTES + 1];
    char in[65536];
};

void client_init(struct bench *b);
/* Publishes `n` events in one write, BURST at most but with a service key. */
void client_publish(struct bench *b, unsigned n);
/* Opens streams until there are so many that have been greeted. */
void client_open(struct bench *b, unsigned n_streams);
/* Handles what comes until there are so many events in all. */
void client_wait(struct bench *b, uint64_t n_events);

#endif
