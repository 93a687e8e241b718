/* group.h - workers with a store that the test answers for, streams that remember how they ended,
 * and a connection that carries a sign-out. */
#ifndef TG_TESTS_UNIT_HANDLERS_SESSION_GROUP_H
#define TG_TESTS_UNIT_HANDLERS_SESSION_GROUP_H

#include "handlers/admission.h"
#include "handlers/control.h"
#include "handlers/session.h"
#include "handlers_worker/stand.h"

enum { WORKERS = 2, MAX_ASKED = 32, MAX_CLIENTS = 8 };

/* Something that was asked of the store. */
struct asked {
    enum { ASKED_DENY, ASKED_LIST, ASKED_CONTROL } what;
    char text[512]; /* the key, the payload */
    int64_t until_sec;
    tg_done_fn *done;
    tg_denied_fn *list;
    tg_append_fn *written;
    void *arg;
    bool is_answered;
};

extern struct asked asked[MAX_ASKED];
extern size_t n_asked;
extern bool is_store_down;
extern enum tg_rc store_rc; /* of the next starts */

struct client {
    struct tg_client c;
    struct tg_worker *w;
    char ended[32]; /* why; empty: it is open */
    char token[64]; /* the class of the newest that its stream was given */
    bool is_kept;   /* the same, by a WebSocket */
};

struct group {
    struct tg_handler_opts opts;
    struct tg_seal *seal;
    struct tg_worker workers[WORKERS];
    struct tg_control_relay *relay;
    struct client clients[MAX_CLIENTS];
    size_t n_clients;
};

void group_make(struct group *g);
void group_drop(struct group *g);
/* All mail arrives, and timers that are due ring; `ms` pass. */
void group_turn(struct group *g, unsigned ms);
/* The same for mailboxes that are full. */
void group_make_room(struct group *g);

/* A stream of this user, session and device on worker `k`. */
struct client *group_stream(struct group *g, unsigned k, const char *sub, const char *session,
                            const char *device);
/* The token of a user; [owned] reference. */
struct tg_token *token_of(const char *sub, const char *session, int64_t iat_sec);
const char *user_of(const char *sub);

/* A request over worker `k`, named by its token, which Auth answers with `status` (0: the client
 * leaves before). */
void group_signout(struct group *g, unsigned k, const char *target, const char *sub,
                   const char *session, unsigned status);

/* The newest unanswered question of this kind; fails the test if there is none. */
struct asked *next_asked(int what);
bool has_asked(int what);
/* TG_OK to all that is asked of the deny list and the log, also what follows from that; what is
 * written comes back by the tail; an empty list. */
void answer_all(struct group *g);

#endif
