/* proxy_request.h - a client's request as it goes upstream: what is altered, and nothing else
 * (DESIGN.md 5.2). Pure. */
#ifndef TG_HANDLERS_PROXY_REQUEST_H
#define TG_HANDLERS_PROXY_REQUEST_H

#include "handlers/forward.h"
#include "handlers/route.h"
#include "http1/head.h"
#include "upstream/client.h"

struct tg_handler_opts;

/* What the rules look at. */
struct tg_proxy_in {
    const struct tg_handler_opts *opts;
    enum tg_service service;
    const struct tg_head *head;
    tg_str target; /* origin form */
    tg_str path;
    tg_str query; /* p == NULL: none */
    tg_str id;    /* the request's */
    struct tg_forward_peer peer;
    bool is_upgrade; /* Connection and Upgrade pass: the tunnel */
};

struct tg_proxy_out {
    tg_str target;
    struct tg_upstream_field *fields; /* in the arena */
    size_t n;
};

/* TG_EAMBIGUOUS: what may stand there once stands there twice. TG_EBADPARAM: an apikey parameter
 * that cannot be a field. */
enum tg_rc tg_proxy_request(struct tg_arena *arena, const struct tg_proxy_in *in,
                            struct tg_proxy_out *ret_out) TG_MUST_USE;

/* Removes every parameter named `name` (written in whatever way) from the query of `target`;
 * the other bytes stay as they are. ret_value: the first one's, decoded; p == NULL: none.
 * TG_EAMBIGUOUS: several that differ. TG_EBADPARAM: a broken escape in its value. */
enum tg_rc tg_proxy_take_param(struct tg_arena *arena, tg_str target, tg_str name,
                               tg_str *ret_target, tg_str *ret_value) TG_MUST_USE;

/* Whether a field ends at each hop (RFC 9110 7.6.1), by its own name or because one of `fields`
 * named Connection lists it. Connection cannot take away authorization, apikey, host, content-*. */
bool tg_proxy_is_hop_field(tg_str name);
bool tg_proxy_is_listed(struct tg_fields fields, tg_str name);

#endif
