/* peek.h - what is new on some topics, from this worker's rings alone: for a poll that does not
 * wait.
 *
 * No stream, no allocation, no callback later. What the rings cannot answer is left to a stream:
 * topics that this worker does not follow, cursors below a ring or of another log, gaps, and what
 * is new on strict topics. A topic that is peeked at counts as read: it is kept for another
 * `topic_linger`. */
#ifndef TG_REALTIME_PEEK_H
#define TG_REALTIME_PEEK_H

#include "realtime/stream.h"

/* One event, in the order of ids over all topics; `message` is [borrowed] for the call. false: it
 * was not taken, and it is enough. */
typedef bool tg_peek_fn(tg_str message, void *arg);

struct tg_peek_ask {
    const struct tg_stream_want *wants;
    size_t n_wants; /* 1..TG_STREAM_MAX_TOPICS */
    struct tg_stream_user user;
    tg_peek_fn *take;
    void *arg;
};

struct tg_peeked {
    struct tg_epoch epoch;
    struct tg_pos pos; /* resuming here misses nothing */
    bool has_more;     /* an event was not taken */
    bool is_resume;    /* some topic came with a cursor */
    /* From the oldest cursor to the end of the log: how old what the client holds has grown. */
    uint64_t lag_ms;
};

/* On the worker's loop. TG_EAGAIN: ask a stream; `take` may have been called, what it took does not
 * count. TG_EDRAINING. The user's token is offered upstream when it is fresher than what the topics
 * have. */
enum tg_rc tg_peek(struct tg_fanout *f, const struct tg_peek_ask *ask,
                   struct tg_peeked *ret_peeked) TG_MUST_USE;

#endif
