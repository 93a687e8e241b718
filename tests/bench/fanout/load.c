/* load.c - events at a steady rate to all streams: how old they are when they arrive. More than
 * the server can send one by one, so that they coalesce. The age is the clock's, and includes the
 * time that this program needs for the streams before. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "scenarios.h"
#include "util/base.h"

enum { AGE_STEP_US = 1000, AGE_STEPS = 60000 };

struct ages {
    uint64_t n_before; /* events of a stream that came before the load */
    uint64_t *sent_at; /* of the load's events */
    uint64_t n_sent;
    uint64_t n_seen;
    uint64_t steps[AGE_STEPS];
};

static void on_event(struct stream *s, void *arg)
{
    struct ages *a = arg;
    uint64_t number = s->n_events - 1 - a->n_before;
    uint64_t age = number < a->n_sent ? now_ns() - a->sent_at[number] : 0;

    a->steps[TG_MIN(age / 1000 / AGE_STEP_US, (uint64_t)AGE_STEPS - 1)]++;
    a->n_seen++;
}

static double percentile(const struct ages *a, unsigned percent)
{
    uint64_t left = a->n_seen * percent / 100;

    for (unsigned i = 0; i < AGE_STEPS; i++) {
        if (a->steps[i] >= left) {
            return (double)(i + 1) * AGE_STEP_US / 1e3;
        }
        left -= a->steps[i];
    }
    return (double)AGE_STEPS * AGE_STEP_US / 1e3;
}

void load(struct bench *b)
{
    const uint64_t n = (uint64_t)b->opts.load_per_sec * b->opts.load_sec;
    const uint64_t gap = 1000000000U / TG_MAX(b->opts.load_per_sec, 1U);
    struct ages *a = tg_calloc(1, sizeof(*a));
    uint64_t until = b->n_events + n * b->opts.n_streams;
    uint64_t cpu = cpu_ns(b->opts.pid);
    uint64_t started = now_ns();
    uint64_t next = started;

    a->n_before = b->n_events / b->opts.n_streams;
    a->sent_at = tg_calloc(n, sizeof(*a->sent_at));
    b->on_event = on_event;
    b->arg = a;
    while (a->n_sent < n) {
        uint64_t now = now_ns();

        if (now >= next) {
            a->sent_at[a->n_sent++] = now;
            client_publish(b, 1);
            next += gap;
        }
        (void)watch_turn(b->epoll, now < next ? (int)((next - now) / 1000000) : 0);
    }
    client_wait(b, until);
    printf("load_per_s=%.0f\n", (double)a->n_seen / ((double)(now_ns() - started) / 1e9));
    printf("load_cpu_ns=%.0f\n", (double)(cpu_ns(b->opts.pid) - cpu) / (double)a->n_seen);
    printf("load_age_p50_ms=%.0f\n", percentile(a, 50));
    printf("load_age_p99_ms=%.0f\n", percentile(a, 99));
    b->on_event = NULL;
    free(a->sent_at);
    free(a);
}
