/* worker.h - one worker: a thread, its loop, and everything that lives on it. */
#ifndef TG_SERVER_WORKER_H
#define TG_SERVER_WORKER_H

#include "handlers/worker.h"

struct tg_control_relay;
struct tg_trust;

struct tg_worker_opts {
    unsigned index;
    const struct tg_handler_opts *handlers; /* [borrowed] as long as the worker lives */
    struct tg_http_opts http;               /* without callbacks and arg */
    struct tg_upstream_opts upstream;
    struct tg_auth_limits auth;
    struct tg_fanout_opts fanout;
    struct tg_keys *keys;   /* a reference is taken */
    struct tg_trust *trust; /* [borrowed] as long as the worker lives */
};

struct tg_server_worker;

/* From main, before the thread: makes the loop and what lives on it. `fd`: bound; taken. */
enum tg_rc tg_server_worker_create(const struct tg_worker_opts *opts, int fd,
                                   struct tg_server_worker **ret_worker) TG_MUST_USE;
/* Once, when all workers are made and before the first is started: the signing keys are fetched by
 * the first one and shared. */
void tg_server_workers_share_keys(struct tg_server_worker *const *workers, unsigned n);
/* The same, for words from other gateways: what tg_hub_on_control() is given. [owned] */
struct tg_control_relay *tg_server_workers_relay(struct tg_server_worker *const *workers,
                                                 unsigned n);
/* Accepts from here on. */
enum tg_rc tg_server_worker_start(struct tg_server_worker *s) TG_MUST_USE;
/* Any thread: no new connections; running requests finish, streams get `bye` with reconnect times
 * over `spread`; what is left after `timeout` is cut. The thread then ends. */
void tg_server_worker_drain(struct tg_server_worker *s, tg_usec timeout, tg_usec spread);
/* Waits for the thread to end, then frees. NULL is fine. */
void tg_server_worker_join(struct tg_server_worker *s);
void tg_server_worker_destroy(struct tg_server_worker *s);

/* For counters and the watchdog only. */
const struct tg_worker *tg_server_worker_inside(const struct tg_server_worker *s);

#endif
