/* trust.h - which peers may say whom they speak for: a list of networks (CIDR). */
#ifndef TG_SERVER_TRUST_H
#define TG_SERVER_TRUST_H

#include "util/str.h"

struct sockaddr_storage;
struct tg_trust;

/* `cidrs`: texts that the configuration has checked ("10.0.0.0/8", "::1"). */
struct tg_trust *tg_trust_create(const char *const *cidrs, size_t n);
void tg_trust_destroy(struct tg_trust *t);

/* Any thread. Fits tg_http_opts.is_trusted; `arg` is the struct tg_trust. IPv4 addresses inside
 * IPv6 (::ffff:a.b.c.d) match IPv4 networks. */
bool tg_trust_has(const struct sockaddr_storage *peer, void *arg);

#endif
