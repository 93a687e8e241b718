/* redis_url.h - where Redis is, and its address found off the loop. */
#ifndef TG_STORE_REDIS_URL_H
#define TG_STORE_REDIS_URL_H

#include "store/port.h"
#include "util/resolve.h"
#include "util/str.h"

/* Texts [owned]; those that were not given are NULL. */
struct tg_redis_url {
    char *host;
    char *path; /* of a socket, instead of host */
    char *user;
    char *password;
    uint64_t db;
    uint16_t port;
    bool is_numeric; /* host needs no resolving */
};

/* TG_EBADPARAM; TG_EUNSUPPORTED for rediss://. */
enum tg_rc tg_redis_url_parse(tg_str text, struct tg_redis_url *ret_url) TG_MUST_USE;
void tg_redis_url_fini(struct tg_redis_url *u);

/* Asks for the address on a thread of its own and posts a struct tg_resolved to `port`. A name
 * with several addresses gives another one for each `attempt`. */
enum tg_rc tg_redis_resolve(const struct tg_redis_url *u, unsigned attempt, struct tg_port *port,
                            void (*run)(struct tg_mail *mail, void *owner)) TG_MUST_USE;

struct tg_resolved {
    struct tg_mail mail;          /* free it with mail.drop */
    char address[TG_RESOLVE_MAX]; /* numeric; empty when there is none */
};

#endif
