/* origin.h - a raw server in a thread that says exactly the bytes a test wants, and a loop that
 * runs one client against it. No sleeps: both sides wait for bytes, a stuck test runs into its
 * receive time-out and fails. */
#ifndef TG_TESTS_UPSTREAM_ORIGIN_H
#define TG_TESTS_UPSTREAM_ORIGIN_H

#include <pthread.h>
#include <semaphore.h>

#include "upstream/client.h"
#include "util/buf.h"

struct origin;
typedef void origin_fn(struct origin *o, int fd, unsigned nth);

struct origin {
    int fd;
    char url[64];
    pthread_t thread;
    origin_fn *serve;   /* each connection in turn; the descriptor is closed behind it */
    struct tg_buf seen; /* all that came in; after origin_stop() */
    unsigned n_accepted;
    sem_t go;
};

void origin_start(struct origin *o, origin_fn *serve);
void origin_stop(struct origin *o);
/* A port nobody listens on. */
void origin_refuse(struct origin *o);

/* Server thread: reads until `end` has come (false: the peer left), says bytes. */
bool origin_read(struct origin *o, int fd, const char *end);
bool origin_read_n(struct origin *o, int fd, size_t n);
void origin_say(int fd, const char *text);
/* Server thread waits for what the test thread lets go. False: it took too long. */
bool origin_await_go(struct origin *o);
void origin_go(struct origin *o);
/* Until the peer closes. */
void origin_wait_close(int fd);

/* What one call told. */
struct told {
    struct tg_loop *l;
    struct tg_call *call;
    struct tg_upstream *up;
    unsigned n_heads, n_interim, n_done, n_drains;
    unsigned status;
    int64_t length;
    enum tg_rc rc;
    bool sent_any;
    struct tg_buf reason, fields, body; /* fields: "Name: value\n" each */
    void (*after_head)(struct told *t);
    void (*after_body)(struct told *t);
    void (*after_drain)(struct told *t);
    void (*after_done)(struct told *t);
    unsigned *n_left; /* of several calls on one loop: the last stops it */
    size_t to_write;
};

extern const struct tg_call_handler told_handler;
void told_init(struct told *t, struct tg_loop *l, struct tg_upstream *up);
void told_fini(struct told *t);

/* A loop and a client. */
struct bench {
    struct tg_loop *l;
    struct tg_upstream *up;
};
void bench_open(struct bench *b, const char *url, const struct tg_upstream_opts *opts);
void bench_close(struct bench *b);
/* Starts `req` and runs the loop until it is done. */
void bench_call(struct bench *b, struct told *t, const struct tg_call_request *req);
struct tg_call_request get(const char *target);
struct tg_call_request request(const char *method, int64_t length);
/* Starts only. */
void bench_start(struct bench *b, struct told *t, const struct tg_call_request *req);
/* Server and client together. */
void bench_open_with(struct origin *o, struct bench *b, origin_fn *serve);
void bench_close_with(struct origin *o, struct bench *b, struct told *t);

#endif
