/* fakes.h - what lives on a worker, as far as server/ looks at it: who is told to stop, in which
 * order, and counters that a test sets. */
#ifndef TG_TESTS_UNIT_SERVER_WORKER_FAKES_H
#define TG_TESTS_UNIT_SERVER_WORKER_FAKES_H

#include "realtime/hub.h"
#include "realtime/link.h"
#include "server/worker.h"

struct fake_seen {
    char order[512];          /* "http_drain fanout_drain ...": each call by its name */
    size_t n_open;            /* connections */
    unsigned open_looks_left; /* looks until the last connection ends; 0: it stays */
    tg_usec spread;
    tg_usec tunnel_spread;
    const char *fails;              /* the step of a start that fails, or NULL */
    struct tg_http_counts *http[2]; /* of the workers, in the order of their making */
    unsigned n_http;
    struct tg_fanout_counts fanout;
    struct tg_hub_counts hub;
    struct tg_link_counts link;
};

extern struct fake_seen seen;
extern tg_usec fake_now; /* monotonic */

/* A worker of fakes: NULL where a step fails. */
struct tg_server_worker *worker_make(unsigned index);

#endif
