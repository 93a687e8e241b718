/* hub.h - the thread that owns topics and feeds: who wants what, what upstream sends, and
 * the one way from there into the log and out of it (DESIGN.md 2, 4).
 *
 *   link --change--> hub --append--> log --tail--> hub --delivery--> workers
 *
 * Delivery starts from the tail of the log, also for the gateway that appended: one path
 * for one node and for many. */
#ifndef TG_REALTIME_HUB_H
#define TG_REALTIME_HUB_H

#include "realtime/fanout.h"
#include "realtime/link.h"
#include "upstream/client.h"

struct tg_hub_opts {
    struct tg_store_group *store;
    unsigned n_workers;
    struct tg_link_opts link;
    unsigned max_feeds;      /* upstream subscriptions in all */
    unsigned feeds_per_user; /* strict topics of one user */
    tg_usec lease;           /* one appender per feed: how long without renewal */
    unsigned max_appends;    /* under way at once; changes that come faster wait */
    /* Declared topics, for the life of the process; NULL: none. Those with a table, and the tables
     * that take access away, are followed with this key from the start on. */
    const struct tg_declared_list *declared;
    const char *service_key;
    struct tg_upstream_opts upstream; /* tables are read through it */
    size_t event_bytes;               /* that the store takes */
    unsigned page_rows;               /* at once while a table is read */
    unsigned max_waiting;             /* changes of one table, meanwhile */
    size_t index_rows;                /* of one table; more: its deletes mean a gap */
    tg_usec verify; /* a table with `catchup`, and a strict topic, is read so often; 0: never */
    /* Of strict topics the keys of the rows that a class may know, of each and of all. */
    const struct tg_table_list *tables; /* for the life of the process; NULL: all have `id` */
    const char *anon_key;
    size_t strict_rows, strict_rows_total;
    tg_usec reset_spread; /* deletes of rows that nobody knew: one gap in so long */
};

struct tg_hub_counts {
    tg_count feeds, feeds_live, topics, subscriptions, changes, appended, append_errors, gaps,
        log_entries, frames, lost, mail_full;
    /* Of tables that are followed whole. */
    tg_count rows_indexed, fills, fill_errors, repaired_inserts, repaired_updates, repaired_deletes,
        verifies, verify_differences, unknown_deletes, rows_read_again, rows_partial, access_words;
    tg_count strict_rows, hidden_deletes; /* of strict topics */
    tg_count store_up;                    /* 1 or 0 */
};

/* Before the threads start. */
enum tg_rc tg_hub_create(const struct tg_hub_opts *opts, struct tg_hub **ret_hub) TG_MUST_USE;
void tg_hub_attach(struct tg_hub *h, unsigned worker, struct tg_fanout *fanout);
/* Starts the hub's thread and the link's. */
enum tg_rc tg_hub_start(struct tg_hub *h) TG_MUST_USE;
/* After the workers have ended: leaves upstream, gives leases back, ends both threads. */
void tg_hub_stop(struct tg_hub *h);
void tg_hub_destroy(struct tg_hub *h);
const struct tg_hub_counts *tg_hub_counts(const struct tg_hub *h);
const struct tg_link_counts *tg_hub_link_counts(const struct tg_hub *h);
struct tg_loop *tg_hub_loop(const struct tg_hub *h);

/* Control entries of the log (tg_store_control), in their order among the events, on the hub's
 * thread. `is_missed`, without a payload: there may have been others (the store is up, the tail
 * was cut); what they would have said must be read from elsewhere. Before tg_hub_start(). */
typedef void tg_control_fn(tg_str payload, bool is_missed, void *arg);
void tg_hub_on_control(struct tg_hub *h, tg_control_fn *fn, void *arg);

/* ---- from the workers ---- */

/* Any thread, once the threads run. NULL: there are not so many workers. */
struct tg_fanout *tg_hub_fanout(const struct tg_hub *h, unsigned worker);

struct tg_subscription {
    unsigned worker;
    tg_id topic;     /* the worker's number: deliveries name it */
    tg_str class_id; /* of the token: strict topics belong to a class */
    tg_str user_id;
    const struct tg_topic_name *name;
    tg_str token; /* the caller's JWT, used upstream */
    int64_t exp_sec;
};

/* Any thread; copies. Answered by tg_fanout_tell(). Again with a fresher token: it is used
 * from then on. TG_EFULL, TG_ECLOSED. */
enum tg_rc tg_hub_subscribe(struct tg_hub *h, const struct tg_subscription *s) TG_MUST_USE;
enum tg_rc tg_hub_unsubscribe(struct tg_hub *h, unsigned worker, tg_id topic, tg_str class_id,
                              const struct tg_topic_name *name) TG_MUST_USE;

#endif
