/* access.h - may this user read this topic? Asked of PostgREST as the user, remembered, and asked
 * again (DESIGN.md 3).
 *
 *   topic, class --> verdict remembered? --> answer
 *                          | no, or too old
 *                          v
 *          one question for all who ask here  --mail--> one for all workers, at their owner
 *                                                          |
 *                                                          +--GET as the user--> yes, no, or
 *                                                                                nobody knows
 *
 * Who reads a topic has a use of its verdict: it is asked again every `recheck`, and at once when a
 * row of `revoke_on` changes; until that is answered the stream is held. No means that the topic
 * is revoked. Nobody knows (PostgREST is away): who asks anew is told so, who reads goes on until
 * `recheck` and `access.grace` have passed, and is held then. On the worker's loop. */
#ifndef TG_HANDLERS_ACCESS_H
#define TG_HANDLERS_ACCESS_H

#include "handlers/worker.h"

struct tg_access;
struct tg_access_wait;
struct tg_client;
struct tg_token;

/* One per worker. With a fanout it follows what the hub says of access. */
struct tg_access *tg_access_create(struct tg_worker *w);
/* Ends what is outstanding without answers. After all clients have left. NULL is fine. */
void tg_access_destroy(struct tg_access *a);

/* Is there something to ask about this topic? */
bool tg_access_is_asked(const struct tg_topic_name *name);

/* TG_OK, TG_EFORBIDDEN; TG_EACCESS: nobody knows now; TG_ERATE, TG_EBUSY as below. */
typedef void tg_access_fn_done(enum tg_rc rc, void *arg);

/* [borrowed] for the call. */
struct tg_access_question {
    struct tg_token *token; /* NULL: nobody is signed in, of a public topic */
    const struct tg_topic_name *name;
    bool is_fresh; /* what was asked more than a few seconds ago does not count */
};

/* TG_OK, TG_EFORBIDDEN: known. TG_EAGAIN: `done` follows, never from inside. TG_ERATE: the user
 * asks too much; TG_EBUSY. */
enum tg_rc tg_access_ask(struct tg_access *a, const struct tg_access_question *q,
                         tg_access_fn_done *done, void *arg,
                         struct tg_access_wait **ret_wait) TG_MUST_USE;
/* `done` is not called. NULL is fine. */
void tg_access_cancel(struct tg_access_wait *wait);

/* The client's stream reads this topic from here on. What has become known since it asked is
 * applied at once: it may be held. Nothing for topics that are not asked about. */
void tg_access_follow(struct tg_access *a, struct tg_client *c, struct tg_token *token,
                      const struct tg_topic_name *name);
/* It does not any more: one topic, or all. Called again it does nothing. */
void tg_access_unfollow(struct tg_access *a, struct tg_client *c, tg_str name);
void tg_access_leave(struct tg_access *a, struct tg_client *c);
/* A fresh token of the same class, for what is asked from here on. */
void tg_access_token(struct tg_access *a, struct tg_client *c, struct tg_token *token);

#endif
