/* backend.h - what a backend fills in, and what both share: the table of operations under way
 * with their deadlines, and the one completion of each.
 *
 * A backend's handle begins with struct tg_store, its group with struct tg_store_group. An
 * operation is known to the backend by its tg_id only: an answer that comes after the deadline,
 * after a loss or after close finds nothing and is dropped. */
#ifndef TG_STORE_BACKEND_H
#define TG_STORE_BACKEND_H

#include "store/device.h"
#include "store/store.h"
#include "util/id.h"

enum tg_verb {
    TG_VERB_APPEND,
    TG_VERB_GAP,
    TG_VERB_PAGE,
    TG_VERB_LANE,
    TG_VERB_TAKE,
    TG_VERB_RENEW,
    TG_VERB_RELEASE,
    TG_VERB_DEVICE_TOUCH,
    TG_VERB_DEVICE_ACK,
    TG_VERB_DEVICE_GET,
    TG_VERB_DEVICE_LIST,
    TG_VERB_DEVICE_DELETE,
    TG_VERB_ONCE,
    TG_VERB_CONTROL,
    TG_VERB_DENY,
    TG_VERB_DENIED,
    TG_VERB_INDEX_WRITE,
    TG_VERB_INDEX_LOAD,
};

/* One operation. Texts are borrowed for the call of submit. */
struct tg_ask {
    enum tg_verb verb;
    struct tg_epoch epoch;
    tg_str feed;
    tg_str topic;
    tg_str payload; /* gap: the reason */
    uint64_t fence;
    tg_usec ttl;
    struct tg_pos after;
    struct tg_pos up_to;
    unsigned max_entries; /* page, list */
    tg_str user;
    tg_str device;
    tg_str label;
    const struct tg_device_topic *topics;
    size_t n_topics;
    unsigned max_devices;
    unsigned max_topics;
    bool must_exist;
    tg_str once; /* append: its lifetime is `ttl`; deny: the key */
    int64_t until_sec;
    tg_usec retain_for; /* append, page, lane: of the topic; 0: as the store */
    uint64_t retain_events;
    tg_str index_pk; /* append: empty, or what changes in the feed's index */
    tg_str index_put;
    const struct tg_index_change *changes; /* index write */
    size_t n_changes;
    bool is_fresh;
    uint64_t from; /* index load */
};

/* What came of it: the fields that its verb has. */
struct tg_answer {
    enum tg_rc rc;
    struct tg_pos pos;
    uint64_t fence;
    tg_str holder;
    const struct tg_page *page;
    const struct tg_device *devices; /* one, or a list */
    const enum tg_ack *acks;
    const struct tg_denied *denied;
    struct tg_lane lane;
    const struct tg_index_change *rows;
    uint64_t next; /* of the index's rows */
    size_t n;      /* of acks, devices, denied or rows */
    size_t n_all;  /* of the user's devices */
};

/* What completes an operation: the one that its verb has. */
union tg_done {
    tg_append_fn *append;
    tg_page_fn *page;
    tg_lease_fn *lease;
    tg_done_fn *plain;
    tg_device_fn *device;
    tg_ack_fn *ack;
    tg_device_list_fn *devices;
    tg_denied_fn *denied;
    tg_lane_fn *lane;
    tg_index_load_fn *index;
};

struct tg_store_ops {
    enum tg_rc (*create)(const struct tg_store_opts *opts, struct tg_store_group **ret_group);
    void (*destroy)(struct tg_store_group *g);
    enum tg_rc (*serve)(struct tg_store_group *g, struct tg_loop *l);
    void (*unserve)(struct tg_store_group *g);
    /* ret_store: allocated and started; everything it tells comes later. */
    enum tg_rc (*open)(struct tg_store_group *g, struct tg_loop *l,
                       const struct tg_store_event_handler *h, struct tg_store **ret_store);
    void (*close)(struct tg_store *s); /* frees later, with tg_store_free */
    enum tg_rc (*submit)(struct tg_store *s, tg_id op, const struct tg_ask *ask);
    enum tg_rc (*tail)(struct tg_store *s); /* from s->tail_at on */
    void (*timed_out)(struct tg_store *s);  /* an operation had no answer in time */
};

extern const struct tg_store_ops tg_store_memory;
extern const struct tg_store_ops tg_store_redis;

struct tg_store_group {
    const struct tg_store_ops *ops;
    struct tg_store_opts opts; /* texts [owned] */
};

struct tg_store {
    unsigned magic;
    bool is_up;
    bool is_closed;
    bool is_tailing;
    struct tg_store_group *group;
    struct tg_loop *loop;
    struct tg_store_event_handler handler;
    struct tg_store_counts counts;
    struct tg_ids ids;
    struct tg_list pending;
    size_t n_pending;
    struct tg_epoch epoch; /* of the log, while up */
    struct tg_pos highest; /* the largest id known to have been in the log */
    struct tg_pos tail_at; /* the log has been told up to here */
    tg_tail_fn *on_batch;
    void *tail_arg;
};

/* How long and how many the topic keeps, and the longest that any may. */
static inline tg_usec tg_store_retain_for(const struct tg_store_opts *o, const struct tg_ask *ask)
{
    return ask->retain_for == 0 ? o->retain_for : ask->retain_for;
}
static inline uint64_t tg_store_retain_events(const struct tg_store_opts *o,
                                              const struct tg_ask *ask)
{
    return ask->retain_events == 0 ? o->retain_events : ask->retain_events;
}
static inline tg_usec tg_store_max_retain(const struct tg_store_opts *o)
{
    return TG_MAX(o->max_retain_for, o->retain_for);
}

/* Copies and checks the options. */
enum tg_rc tg_store_group_init(struct tg_store_group *g, const struct tg_store_ops *ops,
                               const struct tg_store_opts *opts) TG_MUST_USE;
void tg_store_group_fini(struct tg_store_group *g);

void tg_store_init(struct tg_store *s, struct tg_store_group *g, struct tg_loop *l,
                   const struct tg_store_event_handler *h);
void tg_store_fini(struct tg_store *s);

/* Begins an operation; what store.h says of refusals. */
enum tg_rc tg_store_start(struct tg_store *s, const struct tg_ask *ask, union tg_done done,
                          void *arg) TG_MUST_USE;

/* Completes operation `id`, if it is still waited for. Callbacks may close the handle: is_closed.
 */
void tg_store_answer(struct tg_store *s, tg_id id, const struct tg_answer *answer);

/* Up, or up again with another epoch. */
void tg_store_tell_up(struct tg_store *s, const struct tg_epoch *epoch, struct tg_pos last,
                      bool is_suspect);
/* Completes what is under way with TG_ESTORE, ends the tail, tells. No change when down. */
void tg_store_tell_down(struct tg_store *s);

/* Hands a batch of the tail on. */
void tg_store_tell_batch(struct tg_store *s, const struct tg_entry *entries, size_t n,
                         struct tg_pos last, bool is_cut);

/* 13 random characters. */
void tg_epoch_make(struct tg_epoch *ret_epoch);

#endif
