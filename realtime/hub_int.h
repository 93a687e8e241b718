/* hub_int.h - what hub*.c (registry, delivery, tables) and feed*.c (coverage) share.
 * Everything here belongs to the hub's thread. */
#ifndef TG_REALTIME_HUB_INT_H
#define TG_REALTIME_HUB_INT_H

#include <pthread.h>
#include <sched.h>

#include "realtime/hub.h"
#include "realtime/upstream_error.h"
#include "util/map.h"

/* One upstream subscription.
 *
 *   IDLE -> LEASING -> JOINING -> LIVE       IDLE: no valid token
 *              |          ^  |      |        REMOTE: another gateway has the lease and
 *              v          |  +------+                appends; we read the log
 *            REMOTE ------+
 *
 * Whoever joins a feed writes a gap when upstream says `Subscribed`, before anything that
 * comes after it: coverage is pessimistic. */
enum feed_state { FEED_IDLE, FEED_LEASING, FEED_REMOTE, FEED_JOINING, FEED_LIVE };

struct feed {
    struct tg_hub *hub;
    struct rows *rows;     /* what is missed is read and told, or */
    struct strict *strict; /* it is not: a strict topic's without `catchup`; one of the two */
    bool is_service;       /* a whole table's, followed from the start on; else a strict topic's */
    char *key;             /* of the feed in the store; a strict topic's is the topic's */
    char *user_id;
    struct tg_topic_name name;
    struct tg_list topics; /* those it feeds that somebody wants; a strict feed has one */
    enum feed_state state;
    uint64_t link_id; /* 0: not joined; a new one for every join */
    uint64_t fence;   /* 0: no lease */
    char *token;
    int64_t exp_sec;
    struct tg_pos live_from;
    struct tg_pos gap_at;            /* the last gap since upstream was joined; {0,0}: none */
    tg_usec rejoin_at;               /* not before; 0: at once */
    unsigned n_refusals;             /* since it was up last */
    enum tg_upstream_cause why_down; /* TG_UP_NONE: it is up, or was never down */
    bool is_up;                      /* upstream says Subscribed */
    bool was_down;                   /* it did, and the subscription was lost */
    bool gap_pending;                /* a gap must be written before the feed may be called live */
    unsigned n_gaps_under_way;
    uint64_t n_appends; /* begun, ever */
    uint64_t gap_after; /* the last gap stands behind so many of them, or will */
    const char *gap_reason;
    tg_usec gap_not_before; /* for deletes of unknown rows: one in so long */
    bool owes_gap;          /* such a one */
    bool is_told_repaired;  /* what all readers of its topics were told of it */
    bool is_told_partial;
    tg_usec idle_since;    /* no worker is interested; 0: some are */
    tg_id id;              /* for completions that may come later */
    struct tg_timer timer; /* lease again, token's end */
    struct tg_list node;   /* hub->feeds */
};

struct topic {
    struct tg_hub *hub;
    char *key;
    tg_str name;         /* what clients see: slice of the feed's, or the key */
    struct feed *feed;   /* NULL: published, which is covered while the store is up */
    bool is_strict;      /* the feed ends with it */
    struct tg_list node; /* feed->topics, or hub->published */
    unsigned n_interested;
    tg_id interest[]; /* per worker: its number for the topic, 0 for none */
};

/* Frames for one worker, gathered while a read of the log is processed. */
struct outbox {
    struct tg_delivered *items;
    size_t n;
    size_t cap;
    size_t n_topics;  /* topics this worker is interested in */
    bool is_cut;      /* the delivery before could not be posted */
    bool lost_news;   /* what was said of a topic did not fit: say it again */
    bool is_behind;   /* has not been told the present horizon */
    bool lost_access; /* a word about access did not fit: everybody is asked again */
};

struct link_mail;

struct tg_hub {
    struct tg_hub_opts opts;
    struct tg_loop *loop;
    struct tg_link *link;
    struct tg_store *store;
    struct tg_upstream *upstream; /* NULL: no table was read */
    pthread_t thread;
    bool started;
    bool stopping;
    bool store_up;
    struct tg_epoch epoch;
    struct tg_pos seen; /* the log is processed up to here */
    bool has_seen;
    struct tg_map topics;    /* by key */
    struct tg_map feed_keys; /* by key */
    struct tg_map users;     /* user id -> struct user */
    struct tg_map channels;  /* link id as text -> feed */
    struct tg_list feeds;
    struct tg_list published; /* topics without a feed, while a worker is interested */
    struct tg_ids feed_ids;
    uint64_t next_link_id;
    struct tg_fanout **workers;
    struct outbox *outboxes;
    struct tg_timer sweep; /* renewals, horizons, gaps to write again */
    tg_usec renewed_at;
    unsigned n_releases;       /* of leases, under way */
    tg_usec give_up_at;        /* at the end: they are waited for until then */
    unsigned n_appends;        /* under way */
    struct link_mail *waiting; /* what upstream said, until there is room in the log */
    struct link_mail *last_waiting;
    size_t n_waiting;
    size_t waiting_bytes;
    uint64_t n_dropped;        /* changes for which there was no room there either */
    uint64_t lost_seen;        /* of `lost` */
    unsigned n_tables;         /* feeds of whole tables, among the feeds */
    unsigned n_guards;         /* of them, those that give and take access */
    tg_usec word_at;           /* of the newest word about access */
    tg_control_fn *on_control; /* NULL: nobody asked */
    void *control_arg;
    struct tg_hub_counts counts;
    tg_count lost; /* changes the link could not post: its thread writes */
};

enum { SWEEP_MS = 250 };

/* feed.c */
enum tg_rc feed_open(struct tg_hub *h, const struct tg_topic_name *name, const char *key,
                     tg_str user_id, struct feed **ret_feed);
void feed_close(struct feed *f);
/* Uses the token if it lasts longer than the present one, and joins if nothing is joined. */
void feed_offer_token(struct feed *f, tg_str token, int64_t exp_sec);
void feed_store_up(struct feed *f);
void feed_store_down(struct feed *f);
void feed_renew(struct feed *f);
void feed_need_gap(struct feed *f, const char *reason);
/* What upstream sent up to now may not be all: a gap, or the table is read. */
void feed_lost(struct feed *f, const char *reason);
/* It may be all, or not: a gap, unless the table can be compared beside what comes. */
void feed_doubt(struct feed *f, const char *reason);
/* Live, if it is covered and nothing stands before that. */
void feed_settle(struct feed *f);
/* Somebody else appends: leaves, and asks for the lease. */
void feed_fenced(struct feed *f);
/* A row is gone that nobody knew: a gap, now or when `reset_spread` is over. */
void feed_unknown_delete(struct feed *f);
/* The topic without its filter's values, for the log. */
tg_str feed_logged_topic(const struct feed *f);
/* What was said of it, likewise. */
tg_str feed_logged_message(const struct feed *f, tg_str message);
/* For completions: the feed may have been closed meanwhile (NULL). */
struct pending {
    struct tg_hub *hub;
    tg_id feed;
    const char *why; /* of a gap */
    uint64_t number; /* of an append of the feed */
};
struct pending *feed_pend(const struct feed *f);
struct feed *feed_unpend(void *arg);
struct tg_hub *feed_hub(const void *arg);
void feed_sweep(struct feed *f);
/* From the link, through the hub's mailbox. */
void feed_on_up(struct feed *f);
void feed_on_down(struct feed *f, enum tg_upstream_cause why, bool needs_token);
void feed_on_refused(struct feed *f, enum tg_upstream_cause why, tg_str words);
void feed_on_change(struct feed *f, tg_str payload);

enum tg_topic_state feed_topic_state(const struct feed *f);

/* hub.c */
void hub_forget_topic(struct topic *t);

/* hub_link.c */
/* Its calls come on the link's thread, with the hub. */
extern const struct tg_link_handler hub_link_handler;
/* An append was answered: there is room in the log again. */
void hub_drain_link(struct tg_hub *h);
/* Something of upstream was lost: a gap of every feed. false: try again. */
bool hub_note_loss(struct tg_hub *h) TG_MUST_USE;
void hub_drop_link(struct tg_hub *h);

/* hub_deliver.c */
/* The state of a topic, to one worker. `is_new`: delivery begins here. */
void hub_tell(struct topic *t, unsigned worker, enum tg_topic_state state, enum tg_rc rc,
              tg_str message, bool is_new);
/* Of all topics of a feed, to everybody. */
void hub_tell_topics(struct feed *f, enum tg_topic_state state, enum tg_rc rc, tg_str message);
/* If what is promised of a feed's topics is not as it was told: `hello` says it from then on. */
void hub_tell_promise(struct feed *f);
/* Of all published ones. */
void hub_tell_published(struct tg_hub *h);
/* Of all, to a worker that could not be told. */
void hub_tell_again(struct tg_hub *h, unsigned worker);
void hub_tell_control(struct tg_hub *h, tg_str payload, bool is_missed);
enum tg_topic_state hub_topic_state(const struct topic *t);
/* Hands a worker what its outbox holds, and the horizon. */
void hub_post(struct tg_hub *h, unsigned worker);
/* The callback of the log's tail. */
void hub_on_tail(const struct tg_entry *entries, size_t n, struct tg_pos last, bool is_cut,
                 void *arg);

/* hub_tables.c */
/* Feeds of declared topics' tables, and of those that take access away. Before the thread. */
enum tg_rc hub_open_tables(struct tg_hub *h) TG_MUST_USE;
/* h->upstream, to read tables with; made when it is needed first. */
enum tg_rc hub_open_upstream(struct tg_hub *h) TG_MUST_USE;
/* Whose access may have changed, to every worker: an entry of the log, or a word. */
void hub_access_entry(struct tg_hub *h, tg_str payload);
void hub_tell_access(struct tg_hub *h, const struct tg_access_word *word);
/* false: there are words that this worker has not got; nothing may be delivered before. */
bool hub_settle_access(struct tg_hub *h, unsigned worker);
/* Whether changes of who may read are seen as they come: to every worker. */
void hub_tell_watched(struct tg_hub *h, const struct tg_declared *d, bool is_watched);

#endif
