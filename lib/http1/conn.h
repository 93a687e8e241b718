/* conn.h - one client connection: reads requests, frames answers, hands over streams.
 *
 * A connection is in one state at a time (DESIGN.md 2.1):
 *
 *   HEAD -> (on_request) -> REQUEST -> HEAD ...            keep-alive, pipelining
 *                             |-> RAW -> CLOSING            SSE, WebSocket, tunnel
 *                             |-> LINGER -> CLOSING         answered early, framing errors
 *
 * An idle connection holds no buffer: buffers come from the server's pool when bytes
 * arrive and go back when the state needs none. All calls and callbacks are on the
 * server's loop. The connection frees itself; after on_gone (request) or on_close (raw)
 * the handler must not touch it. */
#ifndef TG_HTTP1_CONN_H
#define TG_HTTP1_CONN_H

#include "http1/head.h"
#include "loop/loop.h"
#include "util/arena.h"
#include "util/count.h"

struct tg_conn;
struct tg_http_server;
struct sockaddr_storage;
struct iovec;

/* ---- the server: one per worker ---- */

/* What on_request is given; lives in the connection until the request is over (on_gone). */
struct tg_request {
    struct tg_head head;   /* slices stay valid until on_gone */
    struct tg_arena arena; /* dropped after on_gone */
    uint64_t number;       /* on this connection, from 1 */
    tg_usec started;       /* when its first byte came */
};

/* What a handler hangs on a request. All but on_gone may be NULL. */
struct tg_request_handler {
    /* Body bytes as they come (decoded from chunks). [borrowed] for the call. The handler
     * takes them all; to slow the client down it calls tg_conn_pause_body(). Without this
     * callback the body is read and dropped. */
    void (*on_body)(struct tg_conn *c, tg_str bytes, void *ctx);
    /* The body is complete. Called once, also right after on_request when there is no body; not
     * any more once the answer is whole. */
    void (*on_body_end)(struct tg_conn *c, void *ctx);
    /* What was written has left the socket's backlog: more may be written. */
    void (*on_drain)(struct tg_conn *c, void *ctx);
    /* Last call, exactly once: the answer is finished, or the client is gone (TG_ECLOSED),
     * too slow (TG_ETIMEDOUT), or broke the framing of its body (TG_EBADREQ, TG_EBODYSIZE,
     * TG_EHEADSIZE: the connection answers these and TG_ETIMEDOUT itself, through on_refuse, if no
     * answer has begun), or the answer was cut (TG_ECANCELED: tg_conn_abort(), or an end before the
     * announced length). Frees ctx. Never from inside a call that the handler makes. */
    void (*on_gone)(struct tg_conn *c, enum tg_rc why, void *ctx);
};

struct tg_http_opts {
    struct tg_head_limits head;
    size_t max_connections; /* over it: 503 and close */
    tg_usec head_timeout;   /* first byte of a head to its end: 408 */
    tg_usec idle_timeout;   /* between requests: close */
    tg_usec body_timeout;   /* no byte of a body while it is wanted: 408 */
    tg_usec send_timeout;   /* client takes no byte of the answer: close */
    size_t max_drop_bytes;  /* rest of an upload read and dropped after an early answer */
    size_t max_backlog;     /* answer bytes kept for a slow client before on_drain is awaited */
    bool proxy_protocol;    /* PROXY v1/v2 before the first request, from trusted peers */
    /* Is this peer allowed to say whom it speaks for? NULL: nobody is. */
    bool (*is_trusted)(const struct sockaddr_storage *peer, void *arg);
    /* A whole head has come. The handler calls tg_conn_set_handler() before it returns, and
     * answers now or later. */
    void (*on_request)(struct tg_conn *c, struct tg_request *req, void *arg);
    /* A request that the connection layer refuses itself (framing, limits, timeouts):
     * writes the answer with tg_conn_answer() (JSON body, CORS fields, request id).
     * `head` is NULL when it could not be read. */
    void (*on_refuse)(struct tg_conn *c, enum tg_rc why, const struct tg_head *head, void *arg);
    void *arg;
    /* [borrowed] as long as the server lives; NULL: its own. For who reads them longer than that.
     */
    struct tg_http_counts *counts;
};

/* Counters, written by the server's loop. */
struct tg_http_counts {
    tg_count accepted, open, refused_full, requests, bad_requests, timeouts, bytes_in, bytes_out;
};

enum tg_rc tg_http_server_create(struct tg_loop *l, const struct tg_http_opts *opts,
                                 struct tg_http_server **ret_srv) TG_MUST_USE;
/* Listens on `fd` (bound, non-blocking, SO_REUSEPORT made by the caller). Takes the fd. */
enum tg_rc tg_http_server_listen(struct tg_http_server *s, int fd) TG_MUST_USE;
/* Closes the listener, idle connections at once; others after their running answer, which
 * says Connection: close. Raw connections are their handlers' affair. */
void tg_http_server_drain(struct tg_http_server *s);
/* Drops every connection (on_gone / on_close are called), then frees. */
void tg_http_server_destroy(struct tg_http_server *s);
const struct tg_http_counts *tg_http_server_counts(const struct tg_http_server *s);
/* Connections of any state. */
size_t tg_http_server_open(const struct tg_http_server *s);

/* ---- a request ---- */

void tg_conn_set_handler(struct tg_conn *c, const struct tg_request_handler *h, void *ctx);
struct tg_request *tg_conn_request(struct tg_conn *c);
struct tg_loop *tg_conn_loop(const struct tg_conn *c);
/* The opts.arg of its server. */
void *tg_conn_server_arg(const struct tg_conn *c);
/* The client as the socket (or the PROXY header) tells, "192.0.2.1", no port. Asked
 * while the request is there. [borrowed] as long as that is. */
tg_str tg_conn_peer(const struct tg_conn *c);
bool tg_conn_peer_is_trusted(const struct tg_conn *c);

/* Stops and resumes reading the request body. A body starts unpaused; a client that sent
 * Expect: 100-continue is told to go on by the first tg_conn_want_body(), or not at all
 * when the answer comes first. Other bodies flow without it. */
void tg_conn_want_body(struct tg_conn *c);
void tg_conn_pause_body(struct tg_conn *c);
void tg_conn_resume_body(struct tg_conn *c);

/* For answers that are waited for long (polls): from here on a client that ends its side of
 * the connection counts as gone. Otherwise a half-closed client still gets its answer, and only
 * a reset ends the request. */
void tg_conn_park(struct tg_conn *c);

/* ---- the answer ---- */

enum { TG_LENGTH_UNKNOWN = -1, TG_LENGTH_NONE = -2 };

struct tg_answer {
    unsigned status; /* 200..999; 1xx by tg_conn_interim() */
    tg_str reason;   /* p == NULL: the usual one of the status; may be empty */
    /* Written as they are, but for Connection, Keep-Alive, Transfer-Encoding and Content-Length
     * (the connection writes its own) and what is no field (a line break in a value), which are
     * left out. Without a Date the connection adds one. */
    struct tg_fields fields;
    /* Bytes of the body, or TG_LENGTH_UNKNOWN (chunked on 1.1, close on 1.0), or
     * TG_LENGTH_NONE: no Content-Length at all (204, 304, HEAD of an unknown length).
     * For HEAD and 304 a number is written and no body follows (RFC 9110 8.6). */
    int64_t length;
    bool close; /* ends the connection after this answer */
};

/* Makes the head, which leaves with the first bytes of the body or at the end of the turn. Once
 * per request. TG_OK or TG_ECLOSED. */
enum tg_rc tg_conn_begin(struct tg_conn *c, const struct tg_answer *a);
/* Body bytes, copied where the socket does not take them; a few are held back until the turn
 * or the answer ends. TG_OK; TG_EAGAIN: taken as well,
 * but the client is slow: write no more until on_drain; TG_ECLOSED: the client is gone (on_gone
 * follows). Bodies of HEAD, 204, 304 are swallowed. More than the announced length asserts. */
enum tg_rc tg_conn_write(struct tg_conn *c, tg_str bytes);
/* The answer is whole. If the announced length was not reached, the connection is cut. */
void tg_conn_end(struct tg_conn *c);
/* Head, body and end in one. */
void tg_conn_answer(struct tg_conn *c, const struct tg_answer *a, tg_str body);
/* The rest will never come (upstream died): the client must see a truncated answer (RST or a
 * missing last chunk), never a whole one. */
void tg_conn_abort(struct tg_conn *c);
/* A 1xx answer before the real one (103). Not for HTTP/1.0. */
void tg_conn_interim(struct tg_conn *c, unsigned status, struct tg_fields fields);

/* ---- raw: what comes after an upgrade, or a stream ---- */

/* Edge-triggered: read or write until EAGAIN. */
struct tg_raw_handler {
    void (*on_ready)(struct tg_conn *c, unsigned events, void *ctx);
    /* Last call. The socket is closed by the connection afterwards. */
    void (*on_close)(struct tg_conn *c, void *ctx);
};

/* Writes `head` (bytes of a complete answer head, e.g. a 101 or an SSE 200, plus whatever
 * should follow it at once), ends the request (on_gone with TG_OK comes later in the turn), and
 * hands the socket over. Bytes that the client already sent behind its request stand in *ret_early
 * ([borrowed] until the handler returns). on_ready comes once at the end of the turn in any case.
 * For a stream (`is_stream`) a request with a body, or bytes behind it, is a client error:
 * TG_EBADREQ, the connection answers 400 and closes. */
enum tg_rc tg_conn_go_raw(struct tg_conn *c, tg_str head, bool is_stream,
                          const struct tg_raw_handler *h, void *ctx, tg_str *ret_early) TG_MUST_USE;
/* writev() and read() on the raw socket. TG_EAGAIN: wait for on_ready. A write
 * may take a part: *ret_n. */
enum tg_rc tg_conn_raw_write(struct tg_conn *c, const struct iovec *iov, int n_iov, size_t *ret_n);
enum tg_rc tg_conn_raw_read(struct tg_conn *c, char *p, size_t n, size_t *ret_n);
/* Half-close: no more bytes from us, the client may still send. */
void tg_conn_raw_shutdown(struct tg_conn *c);
/* May be called twice. on_close comes later in the turn, never from inside the call. */
void tg_conn_close(struct tg_conn *c);

#endif
