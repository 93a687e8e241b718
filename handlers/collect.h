/* collect.h - the events of some topics behind their cursors, as one answer: what a poll asks for,
 * and a device that wakes up.
 *
 * First from the worker's memory, at once (tg_collect_now). What that cannot answer goes through a
 * stream (tg_collect_start): topics that are not followed yet, older cursors, and waiting for an
 * event. Either way what does not fit is not lost: the cursor is that of the last event taken. */
#ifndef TG_HANDLERS_COLLECT_H
#define TG_HANDLERS_COLLECT_H

#include "handlers/admission.h"
#include "handlers/shape.h"

struct tg_collect;

struct tg_collect_opts {
    const struct tg_shape *shape; /* [borrowed] as long as it runs */
    size_t limit;                 /* events, at least 1 */
    size_t max_bytes;             /* of all events; one that is larger comes alone */
    tg_usec wait;                 /* for the first event */
};

/* Zeroed is a valid empty one. */
struct tg_collected {
    struct tg_buf events; /* message forms, joined by commas */
    size_t n;
    char cursor[TG_CURSOR_MAX + 1]; /* resuming here misses nothing; empty: not known */
    bool has_more;
    bool is_resume;
    bool is_recovered;
    char reason[24];      /* of a resume that was not recovered */
    struct tg_buf topics; /* objects, joined by commas, of those that something must be said of */
    uint64_t lag_ms;      /* how far the client's cursor lay behind the log's end; 0: not known */
    bool is_draining;     /* the gateway goes: come back soon, elsewhere */
};
void tg_collected_fini(struct tg_collected *c);

/* TG_OK; TG_EAGAIN: tg_collect_start(). */
enum tg_rc tg_collect_now(const struct tg_admission *a, const struct tg_collect_opts *opts,
                          struct tg_collected *ret_collected) TG_MUST_USE;

/* `c` is borrowed for the call; NULL unless rc is TG_OK. `message` is a sentence or empty. */
typedef void tg_collect_fn(enum tg_rc rc, tg_str message, struct tg_collected *c, void *arg);

/* Opens a stream for a->wants, with the places that `a` has; `a` is borrowed until it is over.
 * TG_OK: `done` follows, once, never from inside the call. As tg_client_open(). */
enum tg_rc tg_collect_start(struct tg_admission *a, const struct tg_collect_opts *opts,
                            tg_collect_fn *done, void *arg,
                            struct tg_collect **ret_collect) TG_MUST_USE;
/* Who asked has left: `done` is not called. */
void tg_collect_cancel(struct tg_collect *c);

#endif
