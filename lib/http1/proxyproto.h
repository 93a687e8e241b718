/* proxyproto.h - the PROXY protocol header, versions 1 and 2, strict.
 *
 * Pure. Read only from peers that may say whom they speak for. */
#ifndef TG_HTTP1_PROXYPROTO_H
#define TG_HTTP1_PROXYPROTO_H

#include "util/str.h"

struct sockaddr_storage;

/* A longer version 2 header (its TLVs) is refused. */
enum { TG_PROXYPROTO_MAX = 2048 };

/* TG_OK: *ret_used bytes are the header, *ret_from the client (ss_family AF_UNSPEC: the
 * balancer speaks for itself or does not know). TG_EAGAIN: more bytes are wanted.
 * TG_EBADREQ: it is none. */
enum tg_rc tg_proxyproto_read(tg_str bytes, size_t *ret_used,
                              struct sockaddr_storage *ret_from) TG_MUST_USE;

#endif
