/* bearers.h - a request whose caller is asked about: shared by the tests of bearer.c. */
#ifndef TG_TESTS_UNIT_HANDLERS_WORKER_BEARERS_H
#define TG_TESTS_UNIT_HANDLERS_WORKER_BEARERS_H

#include "auth/mint.h"
#include "fakes.h"
#include "handlers/bearer.h"

struct given {
    struct fleet fleet;
    struct asked_request r;
    struct tg_exchange *x;
    struct tg_bearer_wait *wait;
    EVP_PKEY *key;
    char *value; /* of Authorization */
    unsigned n_answers;
    enum tg_rc rc;
    bool has_token;
    bool has_user;
};

/* One worker whose first fetch of keys is under way. `keys` are taken. */
void bearer_begin_with(struct given *g, struct tg_keys *keys);
void bearer_begin(struct given *g);
/* Takes `token`. */
void bearer_with(struct given *g, char *token);
/* [owned] Of a user, HS256, with these claims more; ES256, by the key `k1`. */
char *user_token(const char *more);
char *es_token(const struct given *g);
void bearer_on_answer(enum tg_rc rc, struct tg_token *token, void *arg);
/* The fetch gives the test's key under this name. */
void answer_key(const struct given *g, const char *kid);
void bearer_finish(struct given *g);

#endif
