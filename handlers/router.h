/* router.h - the first handler of every request: finds out whose it is. */
#ifndef TG_HANDLERS_ROUTER_H
#define TG_HANDLERS_ROUTER_H

#include "handlers/worker.h"

/* Fits tg_http_opts.on_request; `arg` is the struct tg_worker. */
void tg_router_on_request(struct tg_conn *c, struct tg_request *req, void *arg);

#endif
