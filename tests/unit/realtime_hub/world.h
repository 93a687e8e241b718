/* world.h - the world of a hub under test: its loop is turned by hand, the clock too, the store
 * is a real log (tg_memlog) whose answers wait for the turn, and link and workers are
 * lists of what they were told. Stands in for those modules at link time. */
#ifndef TG_TESTS_REALTIME_HUB_WORLD_H
#define TG_TESTS_REALTIME_HUB_WORLD_H

#include "realtime/rows.h"
#include "store/memlog.h"

enum { MAX_OPS = 64, N_WORKERS = 2, MAX_KEPT = 32, MAX_READS = 4 };

/* A row of the stored index. */
struct kept {
    char feed[64];
    char pk[32];
    char value[64];
};

/* A read of a table that is under way. */
struct tg_reader {
    const struct tg_reader_handler *h;
    void *arg;
    char table[64];
    char filter[64];
    char bearer[32];
    char columns[32]; /* the first of them */
    bool is_on;
    bool is_held;
};

struct op {
    struct tg_ask ask;
    char *feed;
    char *topic;
    char *payload;
    tg_append_fn *append;
    tg_lease_fn *lease;
    tg_done_fn *plain;
    tg_index_load_fn *load;
    bool is_index;
    struct kept put; /* with an append: what the stored index has then */
    void *arg;
};

struct world {
    struct tg_hub *hub;
    tg_usec now; /* both clocks */
    struct tg_mailbox *mailbox;
    struct tg_wheel wheel;
    void *owner;
    struct tg_link_handler link;
    void *link_arg;
    /* The store. */
    struct tg_memlog *log;
    struct tg_store_event_handler store;
    tg_tail_fn *tail;
    void *tail_arg;
    struct tg_pos tail_at;
    bool is_up;
    enum tg_rc refuse_rc; /* the next operations are not started */
    enum tg_rc answer_rc; /* they are answered so, without effect; TG_OK: as the log says */
    struct op ops[MAX_OPS];
    unsigned n_ops;
    bool workers_are_full;
    bool tells_json; /* events and resets are told as clients see them */
    struct kept kept[MAX_KEPT];
    size_t n_kept;
    struct tg_reader reads[MAX_READS];
    enum tg_rc read_rc;   /* the next reads are not started */
    bool holds_reads;     /* they go on by hand; else they end at once, without rows */
    const char *class_id; /* of the next subscriptions; NULL: the user is the class */
    char link_told[8192]; /* orders to the link, one a line */
    char told[8192];      /* news and frames to the workers, one a line */
};
extern struct world world;

/* Two workers, two feeds a user, three in all, leases of 30 s. The store is up. */
void start(void);
/* With the tables of declared topics, which are being joined:
 *   1 chat:<trip_id>   public.chat, columns id, trip_id, n; where gone=is.null
 *   2                  public.members (trip_id, user_id), which guards both
 *   3 task:<trip_id>   public.tasks, as chat, with `catchup` */
void start_tables(void);
void stop(void);
void turn(void); /* mail, answers of the store, its tail: until all is quiet */
void pass(tg_usec time);
/* Takes the mail and answers what the store was asked first. */
void answer_first(enum tg_rc rc);
void forget(void);

void store_down(void);
void store_up(bool is_other);
/* Another gateway takes or drops the lease of a feed. */
void other_takes(const char *feed);
void other_drops(const char *feed);

/* A token `jwt-<secs>` that ends `secs` from now. The worker's number for the topic is `id`. */
void subscribe_as(const char *user, const char *topic, unsigned worker, tg_id id, unsigned secs);
void subscribe(const char *topic, tg_id id); /* user u, worker 0, an hour */
void unsubscribe(const char *user, const char *topic, unsigned worker, tg_id id);
/* Subscribed, joined as link id 1, ready. */
void bring_up(const char *topic, tg_id id);

void link_up(uint64_t id);
void link_down(uint64_t id, bool needs_token);
void link_refuses(uint64_t id, const char *message);
void link_changes(uint64_t id, int n);

/* A row changed: "INSERT", "UPDATE" or "DELETE" (then it is the old record). */
void row_changes(uint64_t id, const char *type, const char *row);
/* An UPDATE, perhaps of its primary key, which was in `old`. */
void row_key_changes(uint64_t id, const char *row, const char *old);
/* The read of a table (its name) goes on, or ends. */
struct tg_reader *read_of(const char *table);
void read_rows(const char *table, const char *rows);
void read_ends(const char *table, enum tg_rc rc);
/* One of them, if there is any. */
bool end_read(void);
/* What was told since, and the stored index. */
void keep_row(const char *feed, const char *pk, const char *value);
/* NULL: none. */
const char *kept_row(const char *feed, const char *pk);

/* world.c, store.c and tables.c: */
void start_with(const struct tg_declared_list *declared);
const struct tg_declared_list *world_topics(void);
const struct tg_table_list *world_tables(void); /* public.kept has `catchup` */
enum tg_rc begin_op(struct op op);
void begin_log(void); /* an empty one, of a new epoch */
void answer_op(struct op *op, enum tg_rc forced);
bool answer_ops(enum tg_rc forced); /* what is under way now, if anything is */
bool tail_log(void);                /* one batch, if there is any */
struct kept kept_of(tg_str feed, tg_str pk, tg_str value);
void answer_load(const struct op *op, enum tg_rc rc);

#define cr_assert_told(expected) cr_assert_str_eq(world.told, expected)
#define cr_assert_link(expected) cr_assert_str_eq(world.link_told, expected)

#endif
