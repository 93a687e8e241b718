/* listener.h - the sockets that workers accept from: one each, sharing a port (SO_REUSEPORT). */
#ifndef TG_SERVER_LISTENER_H
#define TG_SERVER_LISTENER_H

#include "util/str.h"

/* Binds `n` sockets to one address; port 0 takes a free one for all of them. `fds` has room for
 * n. On an error nothing stays open, and errno tells why. */
enum tg_rc tg_listener_open(const char *host, uint16_t port, size_t n, int *fds,
                            uint16_t *ret_port) TG_MUST_USE;

#endif
