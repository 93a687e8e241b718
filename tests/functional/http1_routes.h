/* http1_routes.h - what http1_server answers. */
#ifndef TG_TESTS_FUNCTIONAL_HTTP1_ROUTES_H
#define TG_TESTS_FUNCTIONAL_HTTP1_ROUTES_H

#include "http1/conn.h"
#include "util/buf.h"

/* The HTTP server's argument. */
struct app {
    struct tg_loop *loop;
    struct tg_http_server *server;
    struct tg_watch signals;
    struct tg_buf gone;   /* "<target>=<rc>" per ended request, comma-separated */
    struct tg_conn *held; /* waits for /release */
    uint64_t raw_open;
    uint64_t no_trust;      /* peers are not trusted */
    uint64_t describes_all; /* whatever the target is */
};

void routes_on_request(struct tg_conn *c, struct tg_request *req, void *arg);
void routes_on_refuse(struct tg_conn *c, enum tg_rc rc, const struct tg_head *head, void *arg);

#endif
