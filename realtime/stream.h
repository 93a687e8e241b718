/* stream.h - one client's ordered, resumable view of some topics (DESIGN.md 2.2).
 *
 * A stream is a set of cursors over topic logs: live is a cursor at the end, replay one
 * further back, a slow client one that lags. It holds no queue, but what the socket cut in
 * two. The transport fills tg_sink_ops; all calls and callbacks are on the worker's loop.
 *
 *   WAITING (topics covered?) -> READING (first pages: the verdict) -> LIVE -> ended */
#ifndef TG_REALTIME_STREAM_H
#define TG_REALTIME_STREAM_H

#include "realtime/fanout.h"

struct tg_stream;
struct iovec;

enum { TG_STREAM_MAX_TOPICS = 64 };

/* Where a stream begins on one topic. */
struct tg_stream_topic {
    tg_str name;
    enum tg_topic_state state; /* JOINING: covered only from a later `status` on */
    enum tg_verdict verdict;   /* of a resume; a reset follows in order when it is not COMPLETE */
};

struct tg_stream_start {
    const struct tg_stream_topic *topics;
    size_t n_topics;
    bool is_resume;
    bool is_recovered; /* a resume that misses nothing on any topic */
    tg_str cursor;     /* where it starts */
};

struct tg_sink_ops {
    /* Verdicts are known: write the head and `hello`. Not called when on_refused is. */
    void (*on_start)(struct tg_stream *s, const struct tg_stream_start *start, void *arg);
    /* It cannot start. Last call. */
    void (*on_refused)(enum tg_rc rc, tg_str message, void *arg);
    /* The bytes of a frame on this transport; `is_ready`: of a reset, its ready form. */
    tg_str (*bytes)(const struct tg_frame *f, bool is_ready);
    /* Writes a part or all; TG_EAGAIN: the transport calls tg_stream_writable() later. */
    enum tg_rc (*writev)(void *arg, const struct iovec *iov, int n, size_t *ret_n);
    /* Over, for `why` (one word); `bye` has been written if the socket took it. Last call. */
    void (*on_end)(const char *why, void *arg);
};

struct tg_stream_opts {
    const struct tg_topic_name *topics; /* [borrowed] for the call; distinct */
    size_t n_topics;
    tg_str class_id;
    tg_str user_id;
    tg_str token;
    int64_t exp_sec;
    bool has_cursor; /* resume behind `pos` of `epoch`; otherwise it starts now */
    struct tg_epoch epoch;
    struct tg_pos pos;
    const struct tg_sink_ops *ops; /* [borrowed] for ever */
    void *arg;
};

/* TG_OK: on_start or on_refused follows, never from inside. TG_EBUSY: too many streams;
 * TG_EDRAINING. */
enum tg_rc tg_stream_open(struct tg_fanout *f, const struct tg_stream_opts *opts,
                          struct tg_stream **ret_stream) TG_MUST_USE;
/* The socket takes bytes again. */
void tg_stream_writable(struct tg_stream *s);
/* The client has left: no callback comes any more. Also from inside a callback. */
void tg_stream_close(struct tg_stream *s);

#endif
