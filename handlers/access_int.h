/* access_int.h - what access.c (verdicts, and who waits for them), access_use.c (who reads by them)
 * access_pass.c (questions to the worker whose they are) and access_ask.c (those to PostgREST)
 * share. Not for anybody else. */
#ifndef TG_HANDLERS_ACCESS_INT_H
#define TG_HANDLERS_ACCESS_INT_H

#include "auth/token.h"
#include "handlers/access.h"
#include "handlers/client.h"
#include "util/id.h"
#include "util/map.h"

enum { USER_CELLS = 4096 };

/* Who asks how often; users share a cell where their hashes meet. */
struct cell {
    tg_usec paid_until;
};

/* Grants that wait to be asked about, and how many are asked about now. */
struct lane {
    struct tg_list urgent; /* somebody is held */
    struct tg_list queue;  /* the others */
    size_t n;              /* in both */
    unsigned n_under_way;
};

struct tg_access {
    struct tg_worker *w;
    struct tg_map grants;  /* "<topic>\n<class>" -> struct grant */
    struct tg_map topics;  /* name -> struct gtopic */
    struct tg_map readers; /* the client's address -> struct reader */
    struct tg_ids ids;     /* grants, for answers that come later */
    struct tg_list idle;   /* grants that nobody needs now, oldest first */
    size_t n_idle;
    struct lane own;       /* questions to PostgREST */
    struct lane passed;    /* to the worker whose they are */
    struct tg_list late;   /* answers to other workers whose mailbox was full */
    struct tg_timer again; /* they are tried again */
    tg_usec word_at;       /* of the newest word from the hub */
    tg_usec paid_until;    /* questions of this worker, by its rate */
    struct tg_timer soon;  /* the next may be asked */
    struct cell cells[USER_CELLS];
};

/* A topic with grants. */
struct gtopic {
    struct tg_topic_name name;
    struct tg_list grants;
};

enum verdict { UNASKED, YES, NO };

/* What is known of one class and one topic. It lives while somebody waits, reads or is answered,
 * and for a while after that. */
struct grant {
    struct tg_access *a;
    struct gtopic *topic;
    char *key;
    struct tg_token *token; /* the newest of the class; NULL: nobody is signed in */
    tg_id id;
    unsigned owner; /* the worker that asks PostgREST, and remembers for all */
    enum verdict verdict;
    tg_usec asked_at; /* when the question was sent that `verdict` answers */
    tg_usec sent_at;  /* that under way */
    tg_usec since;    /* something changed: who was asked before that does not count */
    tg_usec max_age;  /* so old an answer will do, of one that the owner remembers */
    bool is_asking;   /* queued or under way */
    bool is_sent;     /* under way */
    bool is_answering;
    bool is_held; /* its readers are */
    bool is_told; /* and were told why */
    unsigned failures;
    struct tg_list waits;
    struct tg_list uses;
    struct tg_list at_topic;
    struct tg_list at_queue;
    struct tg_list at_idle;
    struct tg_timer timer; /* ask again; while the owner is asked: no answer came */
};

struct tg_access_wait {
    struct tg_list node;
    struct grant *grant;
    tg_access_fn_done *done;
    void *arg;
};

/* A client reads a topic. */
struct use {
    struct tg_list at_grant;
    struct tg_list at_reader;
    struct grant *grant;
    struct reader *reader;
};

struct reader {
    struct tg_client *client;
    struct tg_list uses;
    unsigned n_held;
};

/* access.c */
/* The one of this class and topic; idle, if it was not there. */
struct grant *access_grant_of(struct tg_access *a, struct tg_token *token,
                              const struct tg_topic_name *name);
void access_take_token(struct grant *g, struct tg_token *token); /* if it lives longer */
void access_need(struct grant *g);                               /* somebody does, from here on */
void access_settle(struct grant *g);                             /* nobody may, any more */
tg_usec access_recheck(const struct grant *g);                   /* how old an answer may become */
void access_plan_recheck(struct grant *g);
/* Whether `verdict` is one that may be given to who asks now. */
bool access_is_known(const struct grant *g, tg_usec max_age);
/* Waits for the answer that is on its way, or asks; `is_charged`: on the user's account, if this
 * worker is the owner. TG_EAGAIN; TG_ERATE, TG_EBUSY: `done` will not be called. */
enum tg_rc access_join(struct grant *g, bool is_charged, tg_access_fn_done *done, void *arg,
                       struct tg_access_wait **ret_wait) TG_MUST_USE;
/* To all that wait, of the question sent at g->sent_at; TG_OK, TG_EFORBIDDEN, else: not known. Asks
 * again instead if something has changed since. */
void access_answer(struct grant *g, enum tg_rc rc);

/* access_use.c */
void access_hold(struct grant *g);
void access_release(struct grant *g);
void access_revoke(struct grant *g); /* takes the topic from all who read it */
/* Why nothing comes, and that it comes again. */
void access_tell_readers(const struct grant *g, const char *state);

/* access_ask.c */
bool access_is_own(const struct grant *g);
/* Has it asked as soon as the budget allows. Nothing if it is under way: the answer will be looked
 * at. Never answers from inside. */
void access_send(struct grant *g);
/* Is asked about by this worker, whosever it is. */
void access_send_own(struct grant *g);
void access_unsend(struct grant *g); /* it goes */
/* The next of the lane that is to be asked, off its queue; NULL: there is none. */
struct grant *access_next(struct lane *l);
void access_queue(struct lane *l, struct grant *g);
/* Nobody would believe its token. */
bool access_is_expired(const struct grant *g);
/* False: this user asks too often. */
bool access_pay(struct tg_access *a, tg_str user);
void access_ask_init(struct tg_access *a);
void access_ask_fini(struct tg_access *a);

/* access_pass.c */
unsigned access_owner(const struct tg_access *a, const struct tg_token *token,
                      const struct tg_topic_name *name);
/* Asks the owner, as soon as there is room. Never answers from inside. */
void access_pass(struct grant *g);
/* Nothing came for too long. */
void access_pass_late(struct grant *g);
void access_pass_init(struct tg_access *a);
/* Whoever waits for an answer of this worker is told that there will be none. */
void access_pass_cancel(tg_access_fn_done *done, void *arg);
void access_pass_fini(struct tg_access *a);

#endif
