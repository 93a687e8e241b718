/* fixture.h - a store on a loop of this thread, driven call by call: each helper starts one
 * operation and runs the loop until its done has come. */
#ifndef TG_TESTS_STORE_FIXTURE_H
#define TG_TESTS_STORE_FIXTURE_H

#include <criterion/criterion.h>

#include "store/store.h"
#include "util/buf.h"

struct seen_entry {
    struct tg_pos pos;
    enum tg_entry_kind kind;
    char name[64];
    char payload[64];
};

enum { MAX_SEEN = 2048 };

struct fixture {
    struct tg_store_opts opts;
    struct tg_loop *loop;
    struct tg_store_group *group;
    struct tg_store *store;
    struct tg_timer guard;
    bool is_done;
    /* on_state */
    enum tg_store_state state;
    unsigned n_up, n_down;
    struct tg_epoch epoch;
    struct tg_pos last;
    bool is_suspect;
    /* the operation's answer */
    enum tg_rc rc;
    struct tg_pos pos;
    uint64_t fence;
    char holder[64];
    enum tg_verdict verdict;
    struct tg_pos resume;
    bool has_more;
    bool has_skipped;
    /* a page's or a tail's entries */
    size_t n;
    struct seen_entry seen[MAX_SEEN];
    struct tg_pos tail_last;
    unsigned n_cuts;
    unsigned n_batches;
    size_t n_wanted;
    /* append_many */
    size_t n_started;
    size_t n_finished;
    size_t n_by_rc[TG_RC_MAX];
    /* redis: the private server */
    char dir[64];
    char socket[96];
    char url[128];
    unsigned port;
    long server;
};

/* `is_redis`: a server of its own in a folder of its own. */
void fixture_start(struct fixture *f, bool is_redis);
void fixture_stop(struct fixture *f);
/* Opens group and handle, with f->opts, and waits for TG_STORE_UP. */
void fixture_open(struct fixture *f);
void fixture_close(struct fixture *f);
/* With other f->opts: the same log in redis, another one in memory. */
void fixture_reopen(struct fixture *f);

/* Runs the loop until it is there, or fails the test after 10 s. */
void run_until(struct fixture *f, bool (*is_there)(struct fixture *f));
void wait_up(struct fixture *f, unsigned n_up);
void wait_down(struct fixture *f, unsigned n_down);

enum tg_rc append(struct fixture *f, const char *topic, const char *payload);
enum tg_rc append_as(struct fixture *f, const char *feed, uint64_t fence, const char *topic,
                     const char *payload);
/* Appends "0", "1", ...; returns the id of the last one. */
struct tg_pos fill(struct fixture *f, const char *topic, int n);
/* With a key that is used once. */
enum tg_rc append_once(struct fixture *f, const char *topic, const char *payload, const char *key,
                       tg_usec ttl);
enum tg_rc once(struct fixture *f, const char *key, tg_usec ttl);
enum tg_rc control(struct fixture *f, const char *payload);
enum tg_rc gap(struct fixture *f, const char *feed, uint64_t fence, const char *reason);
enum tg_rc page(struct fixture *f, const char *topic, const char *feed, struct tg_pos after,
                struct tg_pos up_to, unsigned max);
/* What the last page was. */
void is_page(struct fixture *f, enum tg_verdict verdict, struct tg_pos resume, size_t n);
enum tg_rc take(struct fixture *f, const char *feed, tg_usec ttl);
enum tg_rc renew(struct fixture *f, const char *feed, uint64_t fence, tg_usec ttl);
enum tg_rc release(struct fixture *f, const char *feed, uint64_t fence);
/* Starts `n` appends to `topic` at once, payloads "0", "1", ...; returns how many were taken. */
size_t append_many(struct fixture *f, const char *topic, size_t n);
/* Waits for all of them; they are counted by result in f->n_by_rc. */
void wait_many(struct fixture *f);
void tail(struct fixture *f, struct tg_pos after);
void wait_tail(struct fixture *f, size_t n);
/* Runs the loop for so long: for what must not come, and for ages. */
void pass_time(struct fixture *f, tg_usec time);

/* Redis only. A command over a connection of its own; returns what is a number. */
long long server(struct fixture *f, const char *format, ...);
/* The same of what is a text. [owned] */
char *server_text(struct fixture *f, const char *format, ...);
/* From the next start on by TCP, on a free port, by name. */
void server_use_port(struct fixture *f);
void server_start(struct fixture *f);
void server_kill(struct fixture *f);

#define POS_EQ(a, b) cr_assert(tg_pos_cmp((a), (b)) == 0)

#endif
