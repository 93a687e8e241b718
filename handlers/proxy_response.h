/* proxy_response.h - an upstream answer as it goes to the client: what is altered, and nothing
 * else (DESIGN.md 5.2). Pure. */
#ifndef TG_HANDLERS_PROXY_RESPONSE_H
#define TG_HANDLERS_PROXY_RESPONSE_H

#include "handlers/proxy_request.h"

/* `fields`: upstream's. Room is made in the arena; texts stay upstream's, [borrowed]. */
struct tg_fields tg_proxy_response(struct tg_arena *arena, const struct tg_proxy_in *in,
                                   tg_str origin, const struct tg_upstream_field *fields, size_t n);

/* The fields of an interim answer: hop-by-hop ones removed. */
struct tg_fields tg_proxy_interim(struct tg_arena *arena, const struct tg_upstream_field *fields,
                                  size_t n);

/* A session must not end because Auth is ill: SDKs take a 5xx of some kinds for good. */
unsigned tg_proxy_status(struct tg_arena *arena, const struct tg_proxy_in *in, unsigned status);

#endif
