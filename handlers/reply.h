/* reply.h - the head of an answer that comes over a raw connection, and the end of its body
 * (RFC 9112). For the tunnel, whose upstream may refuse the upgrade. Pure. */
#ifndef TG_HANDLERS_REPLY_H
#define TG_HANDLERS_REPLY_H

#include "http1/chunked.h"
#include "upstream/client.h"
#include "util/arena.h"

enum { TG_REPLY_MAX_BYTES = 32 * 1024, TG_REPLY_MAX_FIELDS = 100 };

struct tg_reply {
    unsigned status;
    tg_str reason; /* may be empty, never NULL */
    struct tg_upstream_field *fields;
    size_t n_fields;
    size_t bytes;   /* of the head */
    int64_t length; /* of the body: a number, or -1: chunked or up to the end */
    bool is_chunked;
    /* Private: where the body is. */
    struct tg_chunked chunked;
    int64_t left;
};

/* TG_OK; TG_EAGAIN: not whole yet; TG_EUPSTREAM: no answer, or over the bounds. Texts are slices
 * of `bytes`; the array is the arena's. */
enum tg_rc tg_reply_scan(struct tg_arena *arena, tg_str bytes,
                         struct tg_reply *ret_reply) TG_MUST_USE;

/* Next piece of the body from the front of `*in`: TG_OK; TG_EAGAIN: `*in` is used up; TG_EEOF: the
 * body is whole; TG_EUPSTREAM. A body without a length is whole when the connection ends. */
enum tg_rc tg_reply_body(struct tg_reply *r, tg_str *in, tg_str *ret_piece) TG_MUST_USE;

/* The connection has ended: whether the answer was whole. */
bool tg_reply_may_end(const struct tg_reply *r);

#endif
