/* fanout.h - one worker's topics: rings of frames, who reads them, and what to write next.
 *
 * The hub's thread hands frames over by mail; everything else is on the worker's loop.
 *
 *   hub --delivery--> fanout --ring per topic--> cursor of each stream --writev--> socket
 *
 * A walk over the readers of a topic is cut into slices of 1 ms; the rest continues from
 * the loop's idle phase (DESIGN.md 2.2). */
#ifndef TG_REALTIME_FANOUT_H
#define TG_REALTIME_FANOUT_H

#include "loop/loop.h"
#include "realtime/access_word.h"
#include "realtime/frame.h"
#include "realtime/topic.h"
#include "store/store.h"
#include "util/count.h"
#include "util/id.h"

struct tg_fanout;
struct tg_hub;
struct tg_table_list;
struct tg_upstream;

struct tg_fanout_opts {
    unsigned worker; /* index */
    struct tg_hub *hub;
    struct tg_store_group *store;
    uint32_t ring_frames;
    size_t ring_bytes;
    unsigned page_entries;
    unsigned max_pages; /* page reads under way for all streams together */
    tg_usec heartbeat;
    tg_usec ready_wait;     /* a new stream waits so long for its topics to be covered */
    tg_usec topic_linger;   /* a topic without readers is kept so long */
    uint64_t retain_events; /* of the log, per topic: rings promise no more */
    tg_usec retain_for;
    tg_usec token_grace;  /* a stream whose token has ended waits so long for a fresh one */
    tg_usec max_age;      /* of a stream, less up to a tenth at random; 0: none */
    unsigned max_streams; /* of this worker */
    /* By which replays of strict topics are checked against the policies. */
    struct tg_upstream *upstream; /* of the worker; outlives what runs */
    tg_str authority;             /* of the project; borrowed, as all here */
    tg_str apikey;
    const struct tg_table_list *tables; /* NULL: all primary keys are `id` */
};

struct tg_fanout_counts {
    tg_count streams, subscriptions, topics, deliveries, frames, sent, slices, pages, resets,
        slow_consumers, heartbeats, cuts, opened, ended, expired, aged, checks, hidden, unverified;
    tg_count store_up; /* 1 or 0: this worker's handle */
};

enum tg_rc tg_fanout_create(struct tg_loop *l, const struct tg_fanout_opts *opts,
                            struct tg_fanout **ret_fanout) TG_MUST_USE;
/* On the worker's loop, when it runs: opens the store. */
enum tg_rc tg_fanout_start(struct tg_fanout *f) TG_MUST_USE;
/* Tells every stream `bye` with a reconnect time spread over `spread`, and ends it. */
void tg_fanout_drain(struct tg_fanout *f, tg_usec spread);
/* Ends what is left; the store's handle closes. The fanout itself lives until destroy. */
void tg_fanout_stop(struct tg_fanout *f);
void tg_fanout_destroy(struct tg_fanout *f);
const struct tg_fanout_counts *tg_fanout_counts(const struct tg_fanout *f);
struct tg_loop *tg_fanout_loop(const struct tg_fanout *f);
/* This worker's handle, for who has something else to ask of the store; NULL while it is down.
 * ret_epoch: of the log; may be NULL. What is under way ends with TG_ECANCELED in
 * tg_fanout_stop(). */
struct tg_store *tg_fanout_store(const struct tg_fanout *f, struct tg_epoch *ret_epoch);

/* Access to a declared topic may have changed. On the worker's loop, before anything that the log
 * has behind it. `at` is the same on all workers, and ascends. The word is borrowed for the call.
 * One listener, set before the threads start or on the loop. */
typedef void tg_access_fn(const struct tg_access_word *word, void *arg);
void tg_fanout_on_access(struct tg_fanout *f, tg_access_fn *fn, void *arg);
/* Whether the topic's `revoke_on` table is covered: changes of it are told as they come. Without,
 * who was let in is asked again more often. */
bool tg_fanout_is_watched(const struct tg_fanout *f, tg_str declared);

/* ---- from the hub's thread ---- */

enum tg_rc tg_fanout_tell_access(struct tg_fanout *f, const struct tg_access_word *w) TG_MUST_USE;
enum tg_rc tg_fanout_tell_watched(struct tg_fanout *f, tg_str declared,
                                  bool is_watched) TG_MUST_USE;

enum tg_topic_state {
    TG_TOPIC_JOINING, /* no coverage yet; `message`: the word of what is in the way, or empty */
    TG_TOPIC_READY,   /* covered from `pos` on */
    TG_TOPIC_REFUSED, /* can not work; `message` says why */
};

struct tg_delivered {
    tg_id topic; /* the worker's number for it */
    struct tg_frame *frame;
};

/* Frames of one read of the log. */
struct tg_delivery {
    struct tg_mail mail;
    struct tg_fanout *to;
    bool is_cut; /* something between this and the delivery before is missing: read pages */
    struct tg_epoch epoch;
    struct tg_pos horizon; /* the log is processed up to here */
    size_t n;
    struct tg_delivered items[]; /* a reference each */
};
struct tg_delivery *tg_delivery_create(struct tg_fanout *to, size_t n);
void tg_delivery_destroy(struct tg_delivery *d);
/* TG_OK takes it. */
enum tg_rc tg_fanout_deliver(struct tg_delivery *d) TG_MUST_USE;

/* What the hub says about a topic, first in answer to a subscription and then at each change. `rc`
 * with TG_TOPIC_REFUSED. `whole_from`: frames above it are all delivered. */
struct tg_topic_news {
    tg_id topic;
    enum tg_topic_state state;
    struct tg_epoch epoch;
    struct tg_pos whole_from;
    struct tg_pos ready_from;
    enum tg_rc rc;
    tg_str message;
    bool store_down;
    bool is_repaired; /* what a gap hid is found and told (`catchup`), rather than announced */
    bool is_partial;  /* the index does not know all rows: some deletes are gaps */
    bool is_new;      /* delivery begins here: what the ring held before is not whole */
};
enum tg_rc tg_fanout_tell(struct tg_fanout *f, const struct tg_topic_news *news) TG_MUST_USE;

#endif
