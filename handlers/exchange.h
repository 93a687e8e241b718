/* exchange.h - one request on its way through the handlers, and how it is refused.
 *
 * Made by the router in the request's arena, so it lives until on_gone. */
#ifndef TG_HANDLERS_EXCHANGE_H
#define TG_HANDLERS_EXCHANGE_H

#include "handlers/worker.h"

enum { TG_REQUEST_ID_MAX = 64 };

struct tg_exchange {
    struct tg_worker *w;
    struct tg_conn *conn;
    struct tg_request *req;
    tg_str id;                /* X-Request-Id: a trusted peer's, or ours */
    tg_str target;            /* raw, as sent; the router makes it the origin form */
    tg_str path;              /* of the target, without the query */
    tg_str query;             /* raw, without '?'; p == NULL: none */
    bool is_query_plain;      /* nothing in it is encoded */
    tg_str origin;            /* the Origin field; p == NULL: none */
    unsigned retry_after_sec; /* of a refusal worth trying again; 0: one second */
    tg_str allow;             /* with 405: the methods there are */
    bool close;               /* a refusal ends the connection */
    unsigned status;          /* answered; 0: not yet */
};

struct tg_exchange *tg_exchange_create(struct tg_worker *w, struct tg_conn *c,
                                       struct tg_request *req);

/* Takes another form of the target. */
void tg_exchange_set_target(struct tg_exchange *x, tg_str target);

/* Answers with the gateway's own error (DESIGN.md 5): {"code","message","details","hint"},
 * X-Request-Id, CORS fields, Retry-After where it is worth trying again, WWW-Authenticate with
 * 401. `details` and `hint` are sentences for people or empty; they quote nothing internal. */
void tg_exchange_refuse(struct tg_exchange *x, enum tg_rc rc, tg_str details, tg_str hint);

/* Answers with JSON of the gateway's own: X-Request-Id, CORS fields, Retry-After where the status
 * says that it is worth trying again. */
void tg_exchange_answer(struct tg_exchange *x, unsigned status, tg_str json);

/* A request to an own endpoint is over: the line of the log. `why` as on_gone has it. */
void tg_exchange_log_end(const struct tg_exchange *x, enum tg_rc why);

/* As tg_exchange_refuse() for a request that the connection layer refuses; `head` may be NULL. Fits
 * tg_http_opts.on_refuse. */
void tg_refuse_conn(struct tg_conn *c, enum tg_rc why, const struct tg_head *head, void *arg);

/* The body alone. */
/* The members of that object, without braces; details that are too long are left out. */
void tg_error_members(struct tg_buf *out, enum tg_rc rc, tg_str details);
void tg_error_body(struct tg_buf *out, enum tg_rc rc, tg_str details, tg_str hint);

/* Query parameters, decoded ("%xx", '+' is a blank). Walks: start with *at = 0; TG_EEOF at the
 * end, TG_EBADPARAM for a broken escape. Texts live as long as the request. */
enum tg_rc tg_exchange_param(struct tg_exchange *x, size_t *at, tg_str *ret_name,
                             tg_str *ret_value) TG_MUST_USE;

#endif
