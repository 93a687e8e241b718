/* world.h - workers that are asked who may read, a PostgREST that the test answers for, streams
 * that remember whether they are held, and a hub whose words the test speaks.
 *
 * Users are named by their sub, topics by `trip:<key>`; a question is recognised by its target. */
#ifndef TG_TESTS_UNIT_HANDLERS_ACCESS_WORLD_H
#define TG_TESTS_UNIT_HANDLERS_ACCESS_WORLD_H

#include "handlers/access.h"
#include "handlers_worker/stand.h"

enum { WORKERS = 3, MAX_ASKED = 64, MAX_READERS = 8, MAX_ASKS = 32 };

#define RECHECK TG_SEC(100)
#define GRACE TG_SEC(50)
#define YES_BODY "[{}]"
#define NO_BODY "[]"

/* A question to PostgREST. */
struct asked {
    unsigned worker;
    char target[160];
    char bearer[1024]; /* empty: without */
    tg_fetch_fn *done;
    void *arg;
    bool is_answered;
    tg_usec at;
};

/* A question of ours, and what became of it. */
struct ask {
    enum tg_rc now; /* at once */
    enum tg_rc rc;  /* later; TG_EAGAIN: not yet */
    unsigned n_done;
    struct tg_access_wait *wait;
};

/* An open stream. */
struct reader {
    struct tg_client client;
    unsigned worker;
    bool is_held;
    unsigned n_holds, n_revoked;
    char revoked[64]; /* the last topic */
    char told[256];   /* the last event of its own */
};

struct world {
    struct tg_handler_opts opts;
    struct tg_worker workers[WORKERS];
    size_t n;
    struct tg_timer nudges[WORKERS];
    struct reader readers[MAX_READERS];
    size_t n_readers;
    struct ask asks[MAX_ASKS];
    size_t n_asks;
    struct asked asked[MAX_ASKED];
    size_t n_asked;
    enum tg_rc fetch_rc; /* of the next starts */
    bool is_watched;     /* the table that decides */
};

extern struct world world;

/* `n` workers. */
void world_make(size_t n);
void world_drop(void);
/* All mail arrives, and timers that are due ring; `ms` pass and a little more. */
void world_turn(unsigned ms);
/* The same in steps: for what follows from each other. */
void world_pass(unsigned ms);
/* A worker's way down, as server/worker.c has it. */
void world_end_worker(unsigned k);

/* Worker `k` is asked whether `sub` (NULL: nobody is signed in) may read trip:<key>. */
struct ask *may_read(unsigned k, const char *sub, const char *key, bool is_fresh);
/* What it was answered, at once or later. */
enum tg_rc answer_of(const struct ask *a);
/* Fails the test unless so many were asked of PostgREST. */
void cr_assert_asked(size_t n);
/* Answers the oldest question that is open; none: fails. */
void postgrest_says(unsigned status, const char *body);
void postgrest_is_away(void);
/* All that is open, also what follows from that. */
void postgrest_says_all(const char *body);

/* A stream of `sub` on worker `k` that reads trip:<key>. */
struct reader *reads(unsigned k, const char *sub, const char *key);
void reads_also(struct reader *r, const char *sub, const char *key);
void leaves(struct reader *r);

/* The hub's word to worker `k`, told at `at`; empty key or user: all. */
void hear(unsigned k, const char *key, const char *user, tg_usec at);
/* To all of them, told now. */
void hear_all(const char *key, const char *user);

/* The worker that asks about this user. */
unsigned owner_of(const char *sub);
/* Another one: the next. */
unsigned other_than(unsigned k);
/* [owned] reference; ends in so many seconds. */
struct tg_token *token_of(const char *sub, unsigned life_sec);

#endif
