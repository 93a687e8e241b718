/* forward.h - for whom a request speaks, and how that is told upstream (DESIGN.md 5.2).
 *
 * Forwarding fields count only from trusted peers (server.trusted_proxies); from anybody else
 * they are dropped, for PostgREST shows every field to SQL and Auth counts by them. Pure. */
#ifndef TG_HANDLERS_FORWARD_H
#define TG_HANDLERS_FORWARD_H

#include "http1/field.h"
#include "util/arena.h"

/* The peer of the connection. */
struct tg_forward_peer {
    tg_str address; /* no port */
    bool is_trusted;
};

/* Fields that say for whom a request speaks: X-Forwarded-*, Forwarded. */
bool tg_forward_is_field(tg_str name);

/* Fields that only an edge may set and no client ever: Sb-Forwarded-For, sb-api-key, x-api-key,
 * X-JWT-AUD (reference/supabase-http.md 11.3). */
bool tg_forward_is_reserved(tg_str name);

/* The client's address: the last entry of X-Forwarded-For from a trusted peer (who put it there),
 * else the peer itself. */
tg_str tg_forward_client(struct tg_fields fields, struct tg_forward_peer peer);

/* The scheme that the client used, "http" or "https". */
tg_str tg_forward_scheme(struct tg_fields fields, struct tg_forward_peer peer);
/* The authority that the client used; `host`: the Host field. */
tg_str tg_forward_host(struct tg_fields fields, struct tg_forward_peer peer, tg_str host);

/* X-Forwarded-For as it goes upstream: what a trusted peer said, and the peer. */
tg_str tg_forward_for(struct tg_arena *arena, struct tg_fields fields, struct tg_forward_peer peer);
/* One Forwarded field (RFC 7239) as it goes upstream: what a trusted peer said, and the peer. */
tg_str tg_forward_forwarded(struct tg_arena *arena, tg_str value, tg_str address);

#endif
