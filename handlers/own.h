/* own.h - a request to one of the gateway's own endpoints that is answered with JSON: who asks,
 * the body, and what the store says, which may come when the client has left.
 *
 *   caller known, body whole -> run -> tg_own_answer() or tg_own_refuse(), once */
#ifndef TG_HANDLERS_OWN_H
#define TG_HANDLERS_OWN_H

#include "handlers/exchange.h"

struct tg_bearer_wait;
struct tg_own_wait;
struct tg_token;

/* Lives in the request's arena, until the connection's last call about it. */
struct tg_own {
    struct tg_exchange *x;
    struct tg_token *token; /* its reference; NULL: a caller without a user */
    struct tg_buf body;
    void *data; /* the endpoint's own, in the arena */
    /* private */
    const struct tg_own_kind *kind;
    struct tg_bearer_wait *bearer;
    struct tg_own_wait *store;
    bool has_caller;
    bool has_body;
    bool is_answered;
};

/* What an endpoint takes. */
struct tg_own_kind {
    void (*run)(struct tg_own *o);
    bool is_for_all; /* also callers without a user */
    bool has_body;   /* at most limits.own_body_bytes; of others it is read and dropped */
};

void tg_own_start(struct tg_exchange *x, const struct tg_own_kind *kind);

/* Whose devices are meant: the user's id, or "anon". */
tg_str tg_own_user(const struct tg_own *o);

/* The `arg` of one call to the store; one at a time. */
struct tg_own_wait *tg_own_wait(struct tg_own *o);
/* In its `done`, or when it could not be started. NULL: the client has left meanwhile. */
struct tg_own *tg_own_back(struct tg_own_wait *wait);

/* `json` empty: no body (204). */
void tg_own_answer(struct tg_own *o, unsigned status, tg_str json);
/* `why` and `hint` are sentences, or empty. */
void tg_own_refuse(struct tg_own *o, enum tg_rc rc, tg_str why, tg_str hint);

#endif
