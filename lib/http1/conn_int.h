/* conn_int.h - what the modules of a connection share. Not for anybody outside lib/http1.
 *
 * Handlers' calls (answer.c, body.c, raw.c) only note and send; tg_conn_advance() alone moves
 * the state and calls handlers. A call from outside the running callback asks for it with
 * tg_conn_kick(), so that no handler is called from inside its own call. */
#ifndef TG_HTTP1_CONN_INT_H
#define TG_HTTP1_CONN_INT_H

#include <netinet/in.h>
#include <stdalign.h>

#include "http1/chunked.h"
#include "http1/conn.h"
#include "http1/pool.h"

#define TG_CONN_MAGIC 0x636f6e6eU

enum {
    TG_CONN_SCRATCH = 65536, /* one read */
    TG_CONN_BUFFER = 16384,  /* a pooled buffer */
    TG_CONN_EXCHANGE = 4096, /* a pooled exchange with its head */
    TG_ALL_READY = TG_READABLE | TG_WRITABLE | TG_HANGUP,
    TG_CONN_BUDGET = 64, /* reads and requests of one connection in one turn */
};

enum tg_conn_state {
    TG_CONN_PROXY,   /* the PROXY header is awaited */
    TG_CONN_HEAD,    /* idle, or a head has begun */
    TG_CONN_REQUEST, /* x is with its handler */
    TG_CONN_DROP,    /* answered; the rest of the body is read and dropped */
    TG_CONN_LINGER,  /* we are done and said so; reads until the client is, too */
    TG_CONN_RAW,
    TG_CONN_CLOSED,
};

/* What the deadline is for. */
enum tg_conn_wait {
    TG_WAIT_NOTHING,
    TG_WAIT_IDLE,
    TG_WAIT_HEAD,
    TG_WAIT_BODY,
    TG_WAIT_SEND,
    TG_WAIT_LINGER,
};

/* One request and its answer. Only while they run. */
struct tg_exchange {
    struct tg_request req;
    const struct tg_request_handler *h;
    void *ctx;
    char *big;        /* the head, where `store` is too small */
    uint64_t left;    /* TG_BODY_LENGTH: bytes to come */
    uint64_t dropped; /* body bytes that nobody wanted */
    struct tg_chunked chunked;
    enum tg_rc failed; /* why the request must end; TG_OK: it need not */

    int64_t out_left; /* announced bytes to come; -1: no length announced */
    bool out_chunked;
    bool out_until_close;
    bool out_swallow; /* HEAD, 204, 304 */
    bool begun;
    bool ended;
    bool close;      /* after this answer */
    bool reset;      /* cut with RST: a FIN would look like an end */
    bool want_drain; /* told TG_EAGAIN */

    bool body_done;
    bool told_end;
    bool paused;
    bool owes_continue; /* Expect: 100-continue, nothing said yet */
    bool gone;          /* on_gone was called */
    bool is_refusal;
    bool is_parked;                        /* FIN means gone */
    uint8_t peer_n;                        /* 0: not asked for yet */
    char peer[INET6_ADDRSTRLEN];           /* of the connection, as text */
    alignas(struct tg_field) char store[]; /* fields, then the head's bytes */
};

struct tg_http_server {
    unsigned magic;
    struct tg_loop *loop;
    struct tg_http_opts opts;
    struct tg_http_counts *counts; /* own_counts unless the options say otherwise */
    struct tg_http_counts own_counts;
    struct tg_watch listener;
    struct tg_timer accept_again;
    struct tg_list conns;
    size_t n_open;
    struct tg_list kicked; /* advance before the turn ends */
    struct tg_list more;   /* advance in the next turn: they used up their budget */
    struct tg_task more_task;
    bool is_kick_deferred;
    bool is_draining;
    bool has_accepts; /* the listener may hold more */
    int reserve_fd;   /* given up to say no when descriptors run out */
    unsigned budget;  /* of the connection that is being advanced */
    struct tg_pool buffers;
    struct tg_pool exchanges;
    struct tg_field *fields; /* for the scanner */
    char *scratch;           /* for reads that no connection keeps */
    tg_usec date_until;
    char date[32]; /* IMF-fixdate, 29 bytes */
};

/* Held against 512 bytes with its allocator overhead by a test: nothing else is there
 * for an idle connection. */
struct tg_conn {
    unsigned magic;
    uint8_t state;
    uint8_t wait;
    bool readable : 1; /* the socket may hold bytes or an end */
    bool writable : 1;
    bool hup : 1;     /* FIN or worse has come */
    bool moved : 1;   /* bytes went through since the deadline was set */
    bool is_busy : 1; /* tg_conn_advance() is running */
    bool is_trusted : 1;
    bool is_over : 1;     /* over the limit: only here to be told so */
    bool is_closing : 1;  /* raw: on_close is due */
    bool shut_wanted : 1; /* raw: half-close when `out` is empty */
    bool is_ipv4 : 1;     /* what `peer` holds, if not IPv6 or nothing */
    bool is_ipv6 : 1;
    unsigned raw_events : 3; /* raw: what the handler is still to be told */
    struct tg_watch watch;
    struct tg_timer timer; /* may be earlier than the deadline: it then starts again */
    struct tg_list node;   /* server's conns */
    struct tg_list todo;   /* server's kicked or more */
    struct tg_http_server *server;
    struct tg_exchange *x;
    const struct tg_raw_handler *raw;
    void *raw_ctx;
    struct tg_iobuf in;
    struct tg_iobuf out;
    tg_usec deadline;
    tg_usec first_byte;
    size_t resume; /* of the head scanner */
    uint64_t n_requests;
    uint8_t peer[16]; /* as text it would be most of what a stream needs here */
};

/* ---- conn.c ---- */
struct tg_conn *tg_conn_create(struct tg_http_server *s, int fd,
                               const struct sockaddr_storage *peer);
void tg_conn_set_peer(struct tg_conn *c, const struct sockaddr_storage *peer);
void tg_conn_advance(struct tg_conn *c);
/* Advances before the turn ends, unless it is being advanced anyway. */
void tg_conn_kick(struct tg_conn *c);

/* ---- steps.c ---- */
/* Each does one thing; true: it did, ask again. */
bool tg_conn_step_proxy(struct tg_conn *c);
bool tg_conn_step_head(struct tg_conn *c);
bool tg_conn_step_request(struct tg_conn *c);
bool tg_conn_step_drop(struct tg_conn *c);
bool tg_conn_step_linger(struct tg_conn *c);
bool tg_conn_step_raw(struct tg_conn *c);
/* Answers without a handler, then closes with linger. */
void tg_conn_refuse(struct tg_conn *c, enum tg_rc rc, const struct tg_head *head);
/* At once; tells handlers that are owed a last call. Frees at the end of the turn. */
void tg_conn_kill(struct tg_conn *c);

/* ---- io.c ---- */
/* Reads once, behind what `in` holds (at most up to `max` bytes there). TG_OK, TG_EAGAIN,
 * TG_EEOF, TG_ECLOSED. */
enum tg_rc tg_conn_fill(struct tg_conn *c, size_t max);
/* Sends what `out` holds. TG_OK: empty; TG_EAGAIN; TG_ECLOSED. */
enum tg_rc tg_conn_flush(struct tg_conn *c);
/* Sends `out` and the pieces in one call; what the socket does not take stays in `out`. */
enum tg_rc tg_conn_send(struct tg_conn *c, const tg_str *pieces, size_t n);
/* Reset or closed by both sides; a mere FIN is not. */
bool tg_conn_is_dead(const struct tg_conn *c);

/* ---- body.c ---- */
/* Prepares for the body that the head announces. */
void tg_body_init(struct tg_exchange *x, uint64_t max_bytes);
/* Next piece out of `in`: TG_OK, TG_EAGAIN (more must be read), TG_EEOF, or a final error. */
enum tg_rc tg_body_next(struct tg_conn *c, tg_str *ret_piece);
bool tg_body_exceeds(const struct tg_exchange *x, uint64_t n);

/* ---- server.c ---- */
tg_str tg_http_server_date(struct tg_http_server *s);
void tg_http_server_forget(struct tg_http_server *s, struct tg_conn *c);

/* ---- answer.c ---- */
/* Smallest answer there is, when nobody else gives one. */
void tg_conn_answer_plain(struct tg_conn *c, unsigned status);

#endif
