/* stand.h - what stands around a worker in the tests of handlers: clocks that a test moves, a
 * connection that remembers what it was told, loops that turn when a test says so. */
#ifndef TG_TESTS_UNIT_HANDLERS_WORKER_STAND_H
#define TG_TESTS_UNIT_HANDLERS_WORKER_STAND_H

#include "handlers/exchange.h"
#include "handlers/worker.h"

struct tg_conn {
    struct tg_worker *worker;
    const struct tg_request_handler *handler;
    void *ctx;
    bool is_parked, is_closed, wants_body;
    unsigned n_answers;
    unsigned status;
    char fields[2048]; /* "Name: value\n" each */
    char body[4096];
    const struct tg_raw_handler *raw;
    char raw_head[8192];
    enum tg_rc go_raw_rc, raw_read_rc;
};

enum { MAX_MAILS = 64 }; /* that wait for one worker */

extern tg_usec fake_now;     /* monotonic */
extern int64_t fake_now_sec; /* the wall clock's */

/* Appends to a text of `room` bytes; fails the test if it does not fit. */
void put(char *out, size_t room, tg_str s);

/* Everything that waits on the loop now; then the loop stands again. */
void turn(struct tg_loop *l);
/* The same for a loop whose mailbox is full. */
void turn_full(struct tg_loop *l);

/* A zeroed worker with a loop, keys (a reference is taken) and no streams; and its end, when its
 * streams have left. */
void worker_make(struct tg_worker *w, unsigned index, const struct tg_handler_opts *opts,
                 struct tg_keys *keys);
void worker_drop(struct tg_worker *w);

#endif
