/* client.h - HTTP calls to Supabase through libcurl multi, on the caller's loop.
 *
 * Byte-faithful (DESIGN.md 5.2): raw target, fields in their order and case, nothing
 * of libcurl's own added, no redirects, no cookies, no netrc, no environment proxy,
 * no content decoding. Bodies stream both ways with back-pressure. One client per
 * worker; all calls and callbacks on its loop. */
#ifndef TG_UPSTREAM_CLIENT_H
#define TG_UPSTREAM_CLIENT_H

#include "loop/loop.h"
#include "util/count.h"
#include "util/str.h"

struct tg_upstream; /* the client: a pool of connections to one origin */
struct tg_call;     /* one request and its answer */

/* One header field; the same shape as lib/http1 has (siblings do not know each other). */
struct tg_upstream_field {
    tg_str name;
    tg_str value;
};

struct tg_upstream_opts {
    const char
        *origin; /* "https://ref.supabase.co", "http://127.0.0.1:54321": scheme, host, port only */
    const char *ca_file; /* NULL: the system's */
    bool http2;          /* offer HTTP/2 (over TLS); else HTTP/1.1 */
    unsigned max_connections;
    unsigned max_waiting; /* calls that wait for a connection; more: TG_EBUSY */
    tg_usec connect_timeout, first_byte_timeout, idle_timeout;
    size_t max_head_bytes;     /* of an answer's head */
    size_t send_buffer;        /* request body bytes kept per call before TG_EAGAIN */
    unsigned retry_percent;    /* retries per hundred calls; 0: none (retry.h) */
    unsigned breaker_failures; /* in a row, per service; 0: no breaker (breaker.h) */
    tg_usec breaker_open;
    /* [borrowed] as long as it lives; NULL: its own. For who reads them longer than that. */
    struct tg_upstream_counts *counts;
};

/* What a call tells its owner. Never from inside tg_upstream_start() or a tg_call_ function. */
struct tg_call_handler {
    /* The final answer's head (interim answers go to on_interim, which may be NULL). All
     * texts [borrowed] for the call. `length` is Content-Length or -1. The hop-by-hop fields are
     * still among `fields`. `reason` as sent, may be empty. */
    void (*on_head)(struct tg_call *call, unsigned status, tg_str reason,
                    const struct tg_upstream_field *fields, size_t n, int64_t length, void *ctx);
    void (*on_interim)(struct tg_call *call, unsigned status,
                       const struct tg_upstream_field *fields, size_t n, void *ctx);
    /* Body bytes (chunked already decoded). [borrowed]. tg_call_pause() stops them. */
    void (*on_body)(struct tg_call *call, tg_str bytes, void *ctx);
    /* The request body may be written again after TG_EAGAIN. */
    void (*on_drain)(struct tg_call *call, void *ctx);
    /* Last call, exactly once. TG_OK: the answer is complete. TG_EREFUSED, TG_EGATEWAYTIME,
     * TG_EUPSTREAM (died, broke the protocol, cut short), TG_ECANCELED.
     * `sent_any`: whether any byte of the request may have reached upstream. */
    void (*on_done)(struct tg_call *call, enum tg_rc rc, bool sent_any, void *ctx);
};

struct tg_call_request {
    tg_str method;
    tg_str target; /* raw request target */
    const struct tg_upstream_field
        *fields; /* complete and final, Host included or added from the origin */
    size_t n_fields;
    /* Body: 0 none; > 0 that many bytes follow by tg_call_write(); TG_CALL_CHUNKED unknown. A
     * Content-Length: 0 of the client is given by has_zero_length. */
    int64_t body_length;
    bool has_zero_length;
    tg_usec first_byte_timeout; /* 0: the client's */
    const char *service;        /* breaker's name: "rest", "auth", ... [borrowed] for ever */
    bool may_retry; /* once more if it failed before an answer, and the method allows it */
};
enum { TG_CALL_CHUNKED = -1 };

struct tg_upstream_counts {
    tg_count calls, open_calls, failed, refused, timed_out, connects, reused, retried, breaker_open;
    tg_count bytes_out, bytes_in;
};

enum tg_rc tg_upstream_create(struct tg_loop *l, const struct tg_upstream_opts *opts,
                              struct tg_upstream **ret_up) TG_MUST_USE;
/* Cancels what runs (on_done with TG_ECANCELED, before this returns), then frees. Not from inside
 * on_head, on_interim, on_body or on_drain. NULL is fine. */
void tg_upstream_destroy(struct tg_upstream *up);
const struct tg_upstream_counts *tg_upstream_counts(const struct tg_upstream *up);

/* Copies what it needs of `req`; `h` [borrowed] until on_done. TG_EBUSY: too many waiting.
 * TG_EOPEN: the service's breaker is open. TG_EBADREQ: HEAD with a body, or a method, target or
 * field that would not be one on the wire. ret_call is valid until on_done.
 *
 * Fields go out as given, but: Host first; Transfer-Encoding and Expect never; Content-Length
 * in its place, or at the end, with the value of `body_length`. */
enum tg_rc tg_upstream_start(struct tg_upstream *up, const struct tg_call_request *req,
                             const struct tg_call_handler *h, void *ctx,
                             struct tg_call **ret_call) TG_MUST_USE;

/* Whole seconds until a service whose breaker is open is asked again; 0: it is not open. */
unsigned tg_upstream_retry_after_sec(const struct tg_upstream *up, const char *service);

/* Request body. TG_EAGAIN: taken, write no more until on_drain. TG_ECLOSED: upstream does not
 * want it any more (it answered already): drop the rest. TG_ELIMIT: not taken, more than
 * `body_length` or 1 MiB more than `send_buffer`. */
enum tg_rc tg_call_write(struct tg_call *call, tg_str bytes);
void tg_call_end_body(struct tg_call *call);

/* Answer body. */
void tg_call_pause(struct tg_call *call);
void tg_call_resume(struct tg_call *call);

/* on_done(TG_ECANCELED) follows in the deferred phase. The handler's ctx must live until then. */
void tg_call_cancel(struct tg_call *call);

/* A small whole call: for JWKS, probes, queries. The body up to max_bytes is collected. */
typedef void tg_fetch_fn(enum tg_rc rc, unsigned status, tg_str body, void *arg);
enum tg_rc tg_upstream_fetch(struct tg_upstream *up, const struct tg_call_request *req, tg_str body,
                             size_t max_bytes, tg_fetch_fn *done, void *arg) TG_MUST_USE;

#endif
