/* admission.h - the one way of all transports from a request to "may open" (DESIGN.md 3, 4, 5).
 *
 *   caller -> what is asked for (topics, cursor, device) -> places -> may the user read them?
 *          -> the device's step -> wants
 *
 * Where a stream begins on a topic: at the client's own cursor; without one where this device has
 * acknowledged; a topic that it has not acknowledged begins now. */
#ifndef TG_HANDLERS_ADMISSION_H
#define TG_HANDLERS_ADMISSION_H

#include "handlers/exchange.h"
#include "handlers/quota.h"
#include "realtime/stream.h"

struct tg_access_slot;
struct tg_bearer_wait;
struct tg_device_touch;
struct tg_token;

struct tg_admit_opts {
    bool needs_topic;         /* SSE, poll: at least one in the query */
    bool takes_place;         /* of the user's and the address' open streams */
    bool takes_last_event_id; /* which is newer than `cursor` */
    bool is_poll;             /* what is known of access is fresh enough, even for a resume */
    bool is_touch_late;       /* a device that the store has heard of lately does not wait for it */
    tg_str cursor;            /* where to begin, if the query does not say */
};

/* Lives in the request's arena: until its on_gone, and no longer than tg_admission_fini(). */
struct tg_admission {
    struct tg_exchange *x;
    struct tg_token *token;     /* the admission's reference; NULL: an anonymous caller */
    struct tg_stream_user user; /* texts of `token` */
    struct tg_stream_want *wants;
    size_t n_wants;
    bool has_cursor;     /* the client said where to begin (an id, `now`, `earliest`) */
    bool is_snapshot;    /* snapshot=1 */
    tg_str snapshot_key; /* the column that orders its rows; empty: id */
    void *kept;          /* the transport's own, in the arena */
    bool is_device_new;  /* `device` has just been issued: tell it */
    tg_str device;       /* empty: none */
    tg_str label;        /* what the user calls it; empty: not told */
    tg_str hint;         /* of a refusal; may be empty */
    struct tg_quota_place user_place; /* tg_client_open() takes them over */
    struct tg_quota_place address_place;
    /* private */
    struct tg_admit_opts opts;
    struct tg_topic_name *names;
    struct tg_bearer_wait *wait;
    struct tg_access_slot *slots; /* a question about each topic */
    size_t n_asking;
    enum tg_rc access; /* the first answer that is not yes */
    const char *access_why;
    struct tg_device_touch *touch;
    void (*done)(enum tg_rc rc, tg_str why, struct tg_admission *a, void *arg);
    void *arg;
};

/* `why`: a sentence for the refusal, may be empty; a->hint stands beside it. */
typedef void tg_admit_fn(enum tg_rc rc, tg_str why, struct tg_admission *a, void *arg);

/* *ret_a is set before `done` is called, which may happen inside the call. Once; not after
 * tg_admission_fini(). */
void tg_admit(struct tg_exchange *x, const struct tg_admit_opts *opts, tg_admit_fn *done, void *arg,
              struct tg_admission **ret_a);
/* Ends what is outstanding, gives back what is still held. Once it has been called, or with NULL,
 * nothing happens. */
void tg_admission_fini(struct tg_admission *a);

/* Its stream has begun: a device without a cursor is told where. Not where rows come first: it has
 * begun when it has those. */
void tg_admission_begun(const struct tg_admission *a, const struct tg_stream_start *start);

/* Whose devices these are: a user's id, or "anon". */
tg_str tg_admission_user(const struct tg_admission *a);
/* The same user for a stream; texts of `token`. NULL: anonymous. */
struct tg_stream_user tg_admission_stream_user(const struct tg_token *token);

/* ---- in parts, for messages of an open WebSocket ---- */

/* May this caller (NULL: anonymous) follow this topic? TG_EBADTOPIC, TG_EFORBIDDEN; *ret_why is a
 * sentence ([borrowed] for ever). ret_name: tg_topic_fini(). */
enum tg_rc tg_admission_topic(const struct tg_handler_opts *o, const struct tg_token *token,
                              tg_str text, struct tg_topic_name *ret_name,
                              const char **ret_why) TG_MUST_USE;
/* An id, `now`, `earliest`, or empty, which is now. TG_EBADCURSOR. */
enum tg_rc tg_admission_cursor(tg_str text, struct tg_stream_want *want) TG_MUST_USE;

#endif
