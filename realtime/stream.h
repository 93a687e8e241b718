/* stream.h - one client's ordered, resumable view of some topics (DESIGN.md 2.2).
 *
 * A stream is a set of cursors over topic logs: live is a cursor at the end, replay one
 * further back, a slow client one that lags. It holds no queue, but what the socket cut in
 * two. The transport fills tg_sink_ops; all calls and callbacks are on the worker's loop.
 *
 *   WAITING (topics covered?) -> READING (first pages: the verdict) -> LIVE -> ended
 *
 * A topic added later goes the same way by itself while the others go on. */
#ifndef TG_REALTIME_STREAM_H
#define TG_REALTIME_STREAM_H

#include "realtime/fanout.h"
#include "util/buf.h"

struct tg_stream;
struct iovec;

enum { TG_STREAM_MAX_TOPICS = 64 };

/* ---- what is wanted ---- */

enum tg_from {
    TG_FROM_NOW,
    TG_FROM_CURSOR,   /* behind `pos` of `epoch` */
    TG_FROM_EARLIEST, /* all that the log still holds; what retention took is no loss */
};

/* A topic, with a cursor of its own. */
struct tg_stream_want {
    const struct tg_topic_name *name; /* [borrowed] for the call */
    enum tg_from from;
    struct tg_epoch epoch; /* TG_FROM_CURSOR */
    struct tg_pos pos;
};

/* Anonymous: class_id, user_id and token empty, exp_sec INT64_MAX; published topics only. */
struct tg_stream_user {
    tg_str class_id;
    tg_str user_id;
    tg_str token;
    int64_t exp_sec;
};

/* ---- what it is told ---- */

/* Where a stream begins on one topic. */
struct tg_stream_topic {
    tg_str name;
    enum tg_topic_state state; /* JOINING: covered only from a later `status` on */
    enum tg_verdict verdict;   /* a reset follows in order when it is not COMPLETE */
    bool is_repaired;          /* guarantee `catchup`: gaps are repaired; else `live` */
    bool is_partial;           /* some deletes are gaps */
    bool is_resume;            /* it came with a cursor */
    bool is_recovered;         /* a resume that misses nothing */
    tg_str reason; /* of a resume that was not recovered: the verdict's word, or `joining` */
    tg_str cursor; /* where it begins on this topic */
    const struct tg_declared *declared; /* NULL: a strict one */
    uint32_t n_replayed; /* a resume: events that wait behind the cursor, as far as they are here */
    bool has_more;       /* and there are more in the store */
};

struct tg_stream_start {
    const struct tg_stream_topic *topics;
    size_t n_topics;
    bool is_resume;    /* some topic is */
    bool is_recovered; /* a resume that misses nothing on any topic that came with a cursor */
    tg_str cursor;     /* where it starts; empty: without topics, before the hub has spoken */
};

struct tg_sink_ops {
    /* Verdicts are known: write the head and `hello`. Not called when on_refused is. */
    void (*on_start)(struct tg_stream *s, const struct tg_stream_start *start, void *arg);
    /* It cannot start. Last call. */
    void (*on_refused)(enum tg_rc rc, tg_str message, void *arg);
    /* The bytes of a frame on this transport; `is_ready`: of a reset, its ready form. May be
     * empty: the frame is not for this transport. */
    tg_str (*bytes)(const struct tg_frame *f, bool is_ready);
    /* Writes a part or all; TG_EAGAIN: the transport calls tg_stream_writable() later. */
    enum tg_rc (*writev)(void *arg, const struct iovec *iov, int n, size_t *ret_n);
    /* Over, for `why` (one word); `bye` has been written if the socket took it. Last call. */
    void (*on_end)(const char *why, void *arg);
    /* The answer to tg_stream_add(). With TG_OK its events follow. Otherwise the cursor is gone,
     * and of `t` only the name is told, borrowed as `message`. `ref` 0: a topic that worked ends.
     * Without this op (NULL) a topic that is refused ends the stream. Never inside
     * tg_stream_add(). */
    void (*on_topic)(struct tg_stream *s, const struct tg_stream_topic *t, enum tg_rc rc,
                     tg_str message, tg_id ref, void *arg);
    /* Each heartbeat, but for a slow socket that takes bytes. What is told here goes out with it;
     * the stream may be closed here. May be NULL. */
    void (*on_beat)(struct tg_stream *s, void *arg);
};

struct tg_stream_opts {
    const struct tg_stream_want *wants; /* [borrowed] for the call; distinct topics */
    size_t n_wants;                     /* 0: topics come later; it starts at once */
    struct tg_stream_user user;         /* [borrowed] for the call */
    bool is_held;                       /* as after tg_stream_hold(TG_HOLD_ROWS) */
    const struct tg_sink_ops *ops;      /* [borrowed] for ever */
    void *arg;
};

/* ---- calls: the worker's loop ---- */

/* TG_OK: on_start or on_refused follows, never from inside. TG_EBUSY: too many streams;
 * TG_EDRAINING. */
enum tg_rc tg_stream_open(struct tg_fanout *f, const struct tg_stream_opts *opts,
                          struct tg_stream **ret_stream) TG_MUST_USE;
/* The socket takes bytes again. */
void tg_stream_writable(struct tg_stream *s);
/* The client has left: no callback comes any more. Also from inside a callback. */
void tg_stream_close(struct tg_stream *s);

/* One topic more, as `u` (of the stream's class: else TG_EFORBIDDEN), which needs `on_topic`;
 * `ref` (not 0) comes back with its answer. TG_OK: on_topic follows. TG_ECONFLICT: it has this
 * topic; TG_ELIMIT: too many; TG_EBUSY. Not from inside writev. */
enum tg_rc tg_stream_add(struct tg_stream *s, const struct tg_stream_user *u,
                         const struct tg_stream_want *w, tg_id ref) TG_MUST_USE;
/* Also one whose answer is outstanding: it does not come then. TG_ENOTFOUND. Not from inside
 * writev. */
enum tg_rc tg_stream_remove(struct tg_stream *s, tg_str name) TG_MUST_USE;

/* A fresh token. Delivery that was held for the old one goes on. Of another class or user:
 * TG_EFORBIDDEN, and the stream ends with `bye` token. */
enum tg_rc tg_stream_token(struct tg_stream *s, const struct tg_stream_user *u) TG_MUST_USE;

/* Puts a frame for this stream alone before what comes next, also while it is held. Takes the
 * reference. false: too many wait for the socket already, and this one is dropped. */
bool tg_stream_tell(struct tg_stream *s, struct tg_frame *f);
/* What has been told: all of it has been written, will be tried soon, or waits for the socket. */
enum tg_told { TG_TOLD_ALL, TG_TOLD_SOON, TG_TOLD_BLOCKED };
enum tg_told tg_stream_told(const struct tg_stream *s);
/* No events until it is released for each reason it is held for; what is told, and heartbeats, go
 * out. Nothing is lost: events wait in the log. */
enum tg_hold {
    TG_HOLD_ROWS = 1,   /* rows come first */
    TG_HOLD_ACCESS = 2, /* whether it may still read is being asked */
};
void tg_stream_hold(struct tg_stream *s, enum tg_hold why);
void tg_stream_release(struct tg_stream *s, enum tg_hold why);
/* This topic may not be read any more: as when it is refused (on_topic with TG_EFORBIDDEN). Nothing
 * where the stream does not have it. */
void tg_stream_revoke(struct tg_stream *s, tg_str name, tg_str message);
/* How many it has. */
size_t tg_stream_topics(const struct tg_stream *s);
/* Ends it with `bye`: `why` (one word, [borrowed] for ever) and when to come back (0: a second),
 * then on_end; one that has not started is refused with TG_EFORBIDDEN, or TG_ESIGNEDOUT. */
void tg_stream_end(struct tg_stream *s, const char *why, tg_usec retry);

/* A resume here misses nothing: of all topics, what lies up to here has been written. Returns its
 * length, 0 when there is none yet. */
size_t tg_stream_cursor(const struct tg_stream *s, char out[TG_CURSOR_MAX + 1]);
/* There is more to write right now, or to read for it. */
bool tg_stream_is_behind(const struct tg_stream *s);

/* Its topics that work. `joined`: above it, what was written of this topic stood in the order of
 * ids among that of the others ({0,0} for those it was opened with). */
typedef void tg_stream_each_fn(tg_str name, struct tg_pos joined, void *arg);
void tg_stream_each(const struct tg_stream *s, tg_stream_each_fn *fn, void *arg);

/* What was to be written before anything else: the rest of a frame that the socket cut in two, and
 * what was told, `bye` too. For a transport that says more behind its end; also in on_end. */
void tg_stream_rest(const struct tg_stream *s, struct tg_buf *out);

#endif
