/* storm.c - devices that reconnect all at once, each some events behind: how fast are they served
 * what they missed. One stream is there from the beginning and tells the cursor. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "scenarios.h"
#include "util/base.h"

enum { EVENTS_A_REQUEST = 100, STORM_IN_FLIGHT = 1024 };

static void publish_all(struct bench *b, unsigned n)
{
    const unsigned most = b->opts.service_key != NULL ? EVENTS_A_REQUEST : BURST;

    for (unsigned left = n; left > 0;) {
        unsigned some = TG_MIN(left, most);

        client_publish(b, some);
        left -= some;
    }
}

void storm(struct bench *b)
{
    const unsigned n = b->opts.n_streams;
    const uint64_t missed = b->opts.storm_events;
    uint64_t started = 0;
    uint64_t cpu = 0;
    uint64_t took = 0;
    double n_events = (double)(n - 1) * (double)missed;

    client_open(b, 1);
    memcpy(b->cursor, b->hello_cursor, sizeof(b->cursor));
    publish_all(b, b->opts.storm_events);
    client_wait(b, missed);
    cpu = cpu_ns(b->opts.pid);
    started = now_ns();
    b->opts.in_flight = STORM_IN_FLIGHT;
    client_open(b, n);
    client_wait(b, missed * n);
    took = now_ns() - started;
    printf("storm_ms=%.1f\n", (double)took / 1e6);
    printf("storm_per_s=%.0f\n", n_events / ((double)took / 1e9));
    printf("storm_cpu_ns=%.0f\n", (double)(cpu_ns(b->opts.pid) - cpu) / n_events);
}
