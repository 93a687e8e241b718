/* admin.h - the operator's port: /healthz, /readyz, /metrics, /status. The only libmicrohttpd.
 *
 * It runs on a thread of its own, on which all callbacks below are called. So they read
 * counters (util/count.h) and constants, and nothing else. The port trusts its network. */
#ifndef TG_SERVER_ADMIN_H
#define TG_SERVER_ADMIN_H

#include "util/buf.h"

struct tg_admin;

/* One part of the process that has something to tell. Either callback may be NULL. */
struct tg_admin_provider {
    const char *name; /* of its member in /status */
    /* Appends lines, see server/metric.h. */
    void (*metrics)(struct tg_buf *out, void *arg);
    /* Appends one JSON value. */
    void (*status)(struct tg_buf *out, void *arg);
    void *arg;
};

/* [borrowed] until destroy, strings and providers included. */
struct tg_admin_opts {
    const char *address; /* an IP address, without brackets */
    uint16_t port;       /* 0: any free one */
    const char *version;
    /* False: appends why, in a few words for people. */
    bool (*is_ready)(struct tg_buf *reason, void *arg);
    void *is_ready_arg;
    const struct tg_admin_provider *providers;
    size_t n_providers;
};

/* From main, with signals blocked (the thread inherits the mask). ret_admin: [owned].
 * TG_EBADPARAM: not an IP address. TG_EIO: cannot listen there; errno tells why. */
enum tg_rc tg_admin_start(const struct tg_admin_opts *opts,
                          struct tg_admin **ret_admin) TG_MUST_USE;

/* The port that it listens on. */
uint16_t tg_admin_port(const struct tg_admin *admin);

/* From the thread that started it. Returns once its thread has ended. NULL is fine. */
void tg_admin_destroy(struct tg_admin *admin);

#endif
