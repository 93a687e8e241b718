/* store.h - the log, its topics, gaps and leases (DESIGN.md 4). One interface, two backends.
 *
 * A topic is a named ordered log; every stored event has an id <ms>-<seq> given by the
 * store, increasing over all topics of a gateway group. A feed is one upstream subscription;
 * what it may have lost is a gap under an id like any event.
 *
 * Each thread opens its own handle on its own loop; calls and callbacks are on that loop.
 * Every operation completes exactly once through its `done`, never from inside the call. */
#ifndef TG_STORE_STORE_H
#define TG_STORE_STORE_H

#include "loop/loop.h"
#include "util/count.h"
#include "util/str.h"

struct tg_store;

/* ---- positions ---- */

/* An id of the log. {0,0} lies before everything. */
struct tg_pos {
    uint64_t ms;
    uint64_t seq;
};

static inline int tg_pos_cmp(struct tg_pos a, struct tg_pos b)
{
    if (a.ms != b.ms) {
        return a.ms < b.ms ? -1 : 1;
    }
    return a.seq < b.seq ? -1 : a.seq > b.seq;
}

enum {
    TG_EPOCH_MAX = 16,
    TG_POS_MAX = 20 + 1 + 20,
    TG_CURSOR_MAX = TG_EPOCH_MAX + 1 + TG_POS_MAX,
};

/* The life of one log, as text: lower-case letters and digits. A log that was lost gets another. */
struct tg_epoch {
    char text[TG_EPOCH_MAX + 1];
};

/* "<ms>-<seq>", strictly: decimal, no leading zeros, both within 64 bits. */
enum tg_rc tg_pos_parse(tg_str text, struct tg_pos *ret_pos) TG_MUST_USE;
/* Writes it with a NUL, at most TG_POS_MAX + 1 bytes; returns its length. */
size_t tg_pos_format(struct tg_pos pos, char *out);
/* A cursor: "<epoch>.<ms>-<seq>". TG_EBADCURSOR. */
enum tg_rc tg_cursor_parse(tg_str text, struct tg_epoch *ret_epoch,
                           struct tg_pos *ret_pos) TG_MUST_USE;
/* Writes the cursor with a NUL, at most TG_CURSOR_MAX + 1 bytes; returns its length. */
size_t tg_cursor_format(const struct tg_epoch *epoch, struct tg_pos pos, char *out);

/* ---- what a log holds ---- */

enum { TG_NAME_MAX = 1024, TG_PAGE_MAX = 1000 }; /* bytes of a topic or feed; entries of a page */

enum tg_entry_kind {
    TG_ENTRY_EVENT,   /* `payload` is the event's JSON object */
    TG_ENTRY_GAP,     /* a feed may have lost something up to here; `payload` is the reason's word.
                       * An empty `name`: every feed, and topics without one (a restart). */
    TG_ENTRY_CONTROL, /* what gateways tell each other; no topic has it. Tails only. */
};

struct tg_entry {
    struct tg_pos pos;
    enum tg_entry_kind kind;
    tg_str name; /* the topic (event) or the feed (gap) */
    tg_str payload;
};

/* ---- opening ---- */

struct tg_store_opts {
    /* "redis://[[user]:password@]host[:port][/db]", "unix:/path[?db=n]"; NULL: memory. A host name
     * is resolved when the group is created, and again off the loop before each reconnect. */
    const char *url;
    const char *prefix;     /* of all keys; also the hash tag */
    tg_usec retain_for;     /* a topic's events */
    tg_usec max_retain_for; /* the longest that a write may ask for; 0: retain_for */
    uint64_t retain_events; /* per topic, approximate (trimming by MINID of the surplus) */
    uint64_t log_events;    /* entries kept in the group's `log` */
    size_t max_event_bytes;
    size_t max_pending; /* operations under way per handle; more: TG_EBUSY */
    tg_usec timeout;    /* of one operation */
    const char *holder; /* this gateway's name on leases */
    size_t max_bytes;   /* memory backend: of all entries; the oldest leave. Devices, and keys that
                         * are used once, may have a quarter of it more each. 0: 256 MiB */
};

/* The shared state behind the handles of one process (memory: the log itself, an actor on the
 * loop given to tg_store_group_serve; redis: the options and the address). Made by main before
 * the threads start, destroyed after they ended. `opts` is copied. TG_EBADPARAM: an option or
 * the url is not usable; TG_EUNSUPPORTED: rediss://. SIGPIPE must be ignored (hiredis 0.14). */
struct tg_store_group;
enum tg_rc tg_store_group_create(const struct tg_store_opts *opts,
                                 struct tg_store_group **ret_group) TG_MUST_USE;
void tg_store_group_destroy(struct tg_store_group *g);

/* Once, on the thread that lives longest (the hub): with the memory backend it carries the log.
 * Other threads may open before or after; they are told TG_STORE_UP when it serves. */
enum tg_rc tg_store_group_serve(struct tg_store_group *g, struct tg_loop *l) TG_MUST_USE;
void tg_store_group_unserve(struct tg_store_group *g); /* the same thread, at the end */

/* Whether the store answers, and from which log. Told on the handle's loop: at every
 * connect once epoch and run are settled, and at every loss. A log that was replaced while the
 * connection stood (FLUSHALL) is a loss and a connect: down, then up with another epoch. */
enum tg_store_state { TG_STORE_DOWN, TG_STORE_UP };
struct tg_store_event_handler {
    /* `epoch` is the log's present one (valid when up). `is_suspect`: the server restarted and it
     * could not be shown that nothing is lost: everything before `last` is a gap of every feed
     * (DESIGN.md 4, epoch and run). The store has written that gap itself, so that pages and the
     * other gateways know it too. `last` is the log's last id. */
    void (*on_state)(enum tg_store_state state, const struct tg_epoch *epoch, struct tg_pos last,
                     bool is_suspect, void *arg);
    void *arg;
};
enum tg_rc tg_store_open(struct tg_store_group *g, struct tg_loop *l,
                         const struct tg_store_event_handler *h,
                         struct tg_store **ret_store) TG_MUST_USE;
/* What is under way completes with TG_ECANCELED inside the call; nothing is called afterwards.
 * The handle is freed at the end of the turn. NULL is fine. */
void tg_store_close(struct tg_store *s);

struct tg_store_counts {
    tg_count appends, pages, entries_read, errors, reconnects, fenced, epoch_changes;
};
const struct tg_store_counts *tg_store_counts(const struct tg_store *s);

/* Every operation below returns TG_ESTORE while the store is down, TG_EBUSY over max_pending,
 * TG_ELIMIT for a payload over max_event_bytes, TG_EBADPARAM for a name that is empty or over
 * TG_NAME_MAX; then it has not started and `done` is not called. What is under way when the
 * store is lost completes with TG_ESTORE, before on_state says so. */

/* What a client is told of an operation that ended so, or was refused: what is the store's own
 * affair (a deadline, another log, a fence) is TG_ESTORE. */
enum tg_rc tg_store_tell(enum tg_rc rc);

/* ---- leases (one appender per feed) ---- */

/* TG_OK: held until `ttl` from now, with a fence that is larger than every one given before.
 * The same holder gets it again (with a new fence). TG_ECONFLICT: somebody else holds it;
 * *holder tells who. */
typedef void tg_lease_fn(enum tg_rc rc, uint64_t fence, tg_str holder, void *arg);
enum tg_rc tg_store_lease_take(struct tg_store *s, tg_str feed, tg_usec ttl, tg_lease_fn *done,
                               void *arg) TG_MUST_USE;
/* TG_EFENCED: it is somebody else's now. */
typedef void tg_done_fn(enum tg_rc rc, void *arg);
enum tg_rc tg_store_lease_renew(struct tg_store *s, tg_str feed, uint64_t fence, tg_usec ttl,
                                tg_done_fn *done, void *arg) TG_MUST_USE;
enum tg_rc tg_store_lease_release(struct tg_store *s, tg_str feed, uint64_t fence, tg_done_fn *done,
                                  void *arg) TG_MUST_USE;

/* ---- writing ---- */

/* done: TG_OK and the id; TG_EFENCED (nothing written); TG_EEPOCH (the log is another one or is
 * gone: nothing written); TG_ESTOREFULL (nothing written); TG_ESTORE,
 * TG_ETIMEDOUT: unknown whether it was written. Appends of one handle are written in the order
 * of the calls. */
typedef void tg_append_fn(enum tg_rc rc, struct tg_pos pos, void *arg);

/* Texts are borrowed for the call. An empty `feed` (topics without one: published): `fence` is
 * ignored. */
struct tg_write {
    const struct tg_epoch *epoch; /* of the log that the writer knows */
    tg_str feed;
    uint64_t fence;
    tg_str topic;   /* append only */
    tg_str payload; /* gap: its reason in one word */
    /* Append only. The topic takes an event with this key once within `once_ttl`: after that
     * TG_ECONFLICT, with the id that the first one got; nothing is written. Empty: as often as it
     * is asked. */
    tg_str once;
    tg_usec once_ttl;
    /* Append only: what changes with the event in the feed's index, in the same step. An empty
     * index_pk: nothing. An empty index_put: the row goes. */
    tg_str index_pk;
    tg_str index_put;
    /* Append only: how long, and how many, the topic keeps; 0: as the store. Not longer than the
     * store's max_retain_for. */
    tg_usec retain_for;
    uint64_t retain_events;
};
/* Bytes of a key that is used once; it lives for at least 1 ms, at most TG_ONCE_TTL_MAX. */
enum { TG_ONCE_MAX = 512 };
#define TG_ONCE_TTL_MAX TG_SEC(7 * 86400)
enum tg_rc tg_store_append(struct tg_store *s, const struct tg_write *w, tg_append_fn *done,
                           void *arg) TG_MUST_USE;
/* A gap of the feed. An empty feed: of every feed and of topics without one. */
enum tg_rc tg_store_gap(struct tg_store *s, const struct tg_write *w, tg_append_fn *done,
                        void *arg) TG_MUST_USE;

/* A word to every gateway of the group: each one's tail has it once, in its place among the
 * events. A tail that was cut (is_cut), or that was not open, cannot have seen it: what must
 * hold then is read from elsewhere (tg_store_denied). */
enum tg_rc tg_store_control(struct tg_store *s, const struct tg_epoch *epoch, tg_str payload,
                            tg_append_fn *done, void *arg) TG_MUST_USE;

/* ---- the index of a feed (DESIGN.md 3): primary key -> what the feed's writer knows of the row
 * ----
 *
 * Kept with the log so that a writer that starts finds what happened meanwhile. Not read by
 * anybody else. It lives TG_INDEX_TTL from the last time it was written or loaded, and is
 * dropped whole when the memory backend has no room for it: no rows does not mean an empty table;
 * a writer that must know leaves a row of its own (primary keys begin with a bracket). */
#define TG_INDEX_TTL TG_SEC(30 * 86400)
enum { TG_INDEX_FIELD_MAX = 1024, TG_INDEX_VALUE_MAX = 2048, TG_INDEX_BATCH_MAX = 1000 };
struct tg_index_change {
    tg_str pk;
    tg_str put; /* empty: the row goes */
};

/* Without an event; fenced like an append. TG_EBADPARAM: no feed, over TG_INDEX_BATCH_MAX changes,
 * or texts over their maximum. */
struct tg_index_batch {
    const struct tg_epoch *epoch;
    tg_str feed;
    uint64_t fence;
    const struct tg_index_change *changes;
    size_t n;
    bool is_fresh; /* the whole index goes first */
};
enum tg_rc tg_store_index_write(struct tg_store *s, const struct tg_index_batch *batch,
                                tg_done_fn *done, void *arg) TG_MUST_USE;

/* A part of it: start with `from` 0, go on with `next` until that is 0. Rows [borrowed] for the
 * call; what changes meanwhile may be in it or not, and a row may come twice. */
typedef void tg_index_load_fn(enum tg_rc rc, const struct tg_index_change *rows, size_t n,
                              uint64_t next, void *arg);
enum tg_rc tg_store_index_load(struct tg_store *s, tg_str feed, uint64_t from,
                               tg_index_load_fn *done, void *arg) TG_MUST_USE;

/* ---- what must happen once, and who is not let in ---- */

enum { TG_DENIED_MAX = 16384 }; /* entries of the deny list; a key has TG_ONCE_MAX bytes at most */

/* TG_OK the first time within `ttl`, TG_ECONFLICT after. */
enum tg_rc tg_store_once(struct tg_store *s, tg_str key, tg_usec ttl, tg_done_fn *done,
                         void *arg) TG_MUST_USE;

/* Puts `key` on the group's deny list until then (Unix time, before TG_DENY_UNTIL_MAX; what is
 * past is not kept; the later one of two counts). TG_EFULL: TG_DENIED_MAX are on it. */
#define TG_DENY_UNTIL_MAX ((int64_t)100000000000) /* the year 5138 */
enum tg_rc tg_store_deny(struct tg_store *s, tg_str key, int64_t until_sec, tg_done_fn *done,
                         void *arg) TG_MUST_USE;

/* The whole list [borrowed] for the call. Who follows it by control entries reads it at every
 * TG_STORE_UP and after a cut. */
struct tg_denied {
    tg_str key;
    int64_t until_sec;
};
typedef void tg_denied_fn(enum tg_rc rc, const struct tg_denied *list, size_t n, void *arg);
enum tg_rc tg_store_denied(struct tg_store *s, tg_denied_fn *done, void *arg) TG_MUST_USE;

/* ---- reading ---- */

enum tg_verdict {
    TG_COMPLETE,      /* nothing between the cursor and the page is missing */
    TG_RESET_EXPIRED, /* trimmed, or older than retain_for */
    TG_RESET_EPOCH,   /* the cursor is from another log */
    TG_RESET_GAP,     /* the feed lost something in between */
    TG_RESET_AHEAD,   /* the cursor lies beyond the log's last id */
};
const char *tg_verdict_word(enum tg_verdict v); /* "", "expired", "epoch", "gap", "ahead" */

struct tg_page_request {
    tg_str topic;
    tg_str feed;           /* empty: a topic without a feed */
    struct tg_epoch epoch; /* of the cursor */
    struct tg_pos after;   /* exclusive */
    struct tg_pos up_to;   /* inclusive: the horizon */
    unsigned max_entries;
    tg_usec retain_for; /* as the topic's events are written with; 0: the store's */
};

/* One page, read and judged in one step of the store. With TG_COMPLETE resume == after. With a
 * reset verdict `entries` are those behind `resume`, the first position from which the topic is
 * whole again: GAP: the last gap up to `up_to`; EXPIRED: the floor, the age limit or the last gap,
 * whichever is latest, at most up_to (so a page after {0,0} reads all there is); EPOCH and AHEAD:
 * up_to. A cursor at the log's very end is complete at any age.
 * `has_skipped`: EXPIRED, and `resume` is a gap before which the log still holds entries: who asks
 * for all that it holds, from {0,0} on, has lost something too.
 * `has_more`: entries up to up_to are left; go on behind the last one. A page may have fewer than
 * max_entries (at most TG_PAGE_MAX) and still has_more. Entries [borrowed] for the call,
 * ascending. */
struct tg_page {
    enum tg_verdict verdict;
    struct tg_pos resume;
    const struct tg_entry *entries;
    size_t n;
    bool has_more;
    bool has_skipped;
};
typedef void tg_page_fn(enum tg_rc rc, const struct tg_page *page, void *arg);
enum tg_rc tg_store_page(struct tg_store *s, const struct tg_page_request *req, tg_page_fn *done,
                         void *arg) TG_MUST_USE;

/* What a topic holds behind a position: what pages with this `retain_for` would hand out.
 * TG_EEPOCH: the log is gone
 * (the store says so presently). */
enum { TG_LANE_MAX = 1000 };
struct tg_lane {
    uint64_t n;            /* entries behind it; is_capped: at least so many */
    bool is_capped;        /* more than TG_LANE_MAX, or than a mebibyte */
    struct tg_pos oldest;  /* the first of them; {0,0}: none */
    struct tg_pos newest;  /* the last of them; {0,0}: none */
    struct tg_pos last;    /* of the whole log */
    struct tg_epoch epoch; /* of the log: a position of another one says nothing */
};
typedef void tg_lane_fn(enum tg_rc rc, const struct tg_lane *lane, void *arg);
enum tg_rc tg_store_lane(struct tg_store *s, tg_str topic, struct tg_pos after, tg_usec retain_for,
                         tg_lane_fn *done, void *arg) TG_MUST_USE;

/* The tail of the group's log, from `after` on (exclusive): every entry once, in order, for as
 * long as the store is up. One per handle. `on_batch` is told whole reads: `last` is the id up to
 * which the log has been seen. If the log no longer holds `after`, on_batch comes with is_cut =
 * true first (rings must be dropped). Ends at TG_STORE_DOWN; start it again at TG_STORE_UP. */
typedef void tg_tail_fn(const struct tg_entry *entries, size_t n, struct tg_pos last, bool is_cut,
                        void *arg);
enum tg_rc tg_store_tail(struct tg_store *s, struct tg_pos after, tg_tail_fn *on_batch,
                         void *arg) TG_MUST_USE;

#endif
