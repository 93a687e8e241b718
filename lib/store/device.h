/* device.h - what the store knows of devices: topics, how far each is acknowledged, when the
 * device was here last (DESIGN.md 4).
 *
 * A device belongs to a user: the same device id of two users is two devices. It is forgotten
 * `ttl` after it was last touched or acknowledged something. Calls, completions and refusals are
 * as store.h says of every operation; TG_ESTOREFULL is the store without memory. */
#ifndef TG_STORE_DEVICE_H
#define TG_STORE_DEVICE_H

#include "store/store.h"

enum {
    TG_USER_MAX = 128,          /* bytes of a user's id; "anon": all callers without one */
    TG_DEVICE_MAX = 128,        /* bytes of a device's id */
    TG_LABEL_MAX = 256,         /* bytes of a label */
    TG_DEVICE_TOPICS_MAX = 256, /* topics of one device, and of one call */
    TG_DEVICE_LIST_MAX = 1000,
};

/* What became of a cursor that was to be acknowledged. */
enum tg_ack {
    TG_ACK_NONE,    /* no cursor was given */
    TG_ACK_OK,      /* acknowledged up to there, or further already */
    TG_ACK_AHEAD,   /* beyond the log's last id: left as it was */
    TG_ACK_EPOCH,   /* of another log: left as it was */
    TG_ACK_UNKNOWN, /* the device does not have this topic (tg_store_device_ack only) */
};

/* In: a topic, and the cursor to acknowledge if it has one.
 * Out: a topic, and the acknowledged cursor if it has one. It may be of a log that is gone. */
struct tg_device_topic {
    tg_str name; /* the canonical name, at most TG_NAME_MAX */
    bool has_cursor;
    struct tg_epoch epoch;
    struct tg_pos pos;
    enum tg_ack ack; /* out */
};

/* Which cap was met. */
enum tg_device_limit { TG_DEVICE_LIMIT_NONE, TG_DEVICE_LIMIT_DEVICES, TG_DEVICE_LIMIT_TOPICS };

/* Borrowed for the call. Times are the store's clock. */
struct tg_device {
    enum tg_device_limit limit; /* with TG_ELIMIT: nothing else is set then */
    bool is_new;                /* this touch has made it */
    tg_str id;
    tg_str label;
    uint64_t created_ms;
    uint64_t seen_ms;
    uint64_t expires_ms;
    size_t n_topics;                      /* that it has */
    const struct tg_device_topic *topics; /* after a touch: those of the call first, in its order,
                                           * with what became of their cursors. NULL in a list. */
};

/* rc TG_OK: `d`, as it is now. TG_ELIMIT: d->limit. Else NULL. */
typedef void tg_device_fn(enum tg_rc rc, const struct tg_device *d, void *arg);

/* Registers or refreshes a device: last seen, label, lifetime; topics that it does not have are
 * added; cursors are acknowledged: only forward, never beyond the log's last id; a cursor of the
 * log replaces one of another log. One step: with TG_ELIMIT nothing is changed.
 * TG_ENOTFOUND: must_exist, and it does not. */
struct tg_device_want {
    tg_str user;
    tg_str device;
    tg_str label; /* p == NULL: as it was */
    const struct tg_device_topic *topics;
    size_t n_topics;
    unsigned max_devices; /* of this user; expired ones do not count */
    unsigned max_topics;  /* of this device, at most TG_DEVICE_TOPICS_MAX */
    tg_usec ttl;
    bool must_exist;
};
enum tg_rc tg_store_device_touch(struct tg_store *s, const struct tg_device_want *want,
                                 tg_device_fn *done, void *arg) TG_MUST_USE;

/* Acknowledges cursors of topics that the device has, and refreshes it. TG_OK: acks[i] tells of
 * topics[i]. TG_ENOTFOUND: no such device. A topic without a cursor leaves the device: it was
 * unsubscribed (ack: TG_ACK_NONE, or UNKNOWN). */
typedef void tg_ack_fn(enum tg_rc rc, const enum tg_ack *acks, size_t n, void *arg);
struct tg_device_acks {
    tg_str user;
    tg_str device;
    const struct tg_device_topic *topics;
    size_t n_topics;
    tg_usec ttl;
};
enum tg_rc tg_store_device_ack(struct tg_store *s, const struct tg_device_acks *acks,
                               tg_ack_fn *done, void *arg) TG_MUST_USE;

/* TG_ENOTFOUND. Does not count as a sign of life. */
enum tg_rc tg_store_device_get(struct tg_store *s, tg_str user, tg_str device, tg_device_fn *done,
                               void *arg) TG_MUST_USE;

/* The user's devices, those last seen first, at most `max` (TG_DEVICE_LIST_MAX); n_all: how many
 * there are. Without their topics: n_topics tells how many. */
typedef void tg_device_list_fn(enum tg_rc rc, const struct tg_device *devices, size_t n,
                               size_t n_all, void *arg);
enum tg_rc tg_store_device_list(struct tg_store *s, tg_str user, unsigned max,
                                tg_device_list_fn *done, void *arg) TG_MUST_USE;

/* TG_ENOTFOUND: it was not there. */
enum tg_rc tg_store_device_delete(struct tg_store *s, tg_str user, tg_str device, tg_done_fn *done,
                                  void *arg) TG_MUST_USE;

#endif
