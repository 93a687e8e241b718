/* access_int.h - what access.c (verdicts, and who waits for them), access_use.c (who reads by them)
 * and access_ask.c (questions on their way) share. Not for anybody else. */
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

struct tg_access {
    struct tg_worker *w;
    struct tg_map grants;  /* "<topic>\n<class>" -> struct grant */
    struct tg_map topics;  /* name -> struct gtopic */
    struct tg_map readers; /* the client's address -> struct reader */
    struct tg_ids ids;     /* grants, for answers that come later */
    struct tg_list idle;   /* grants that nobody needs now, oldest first */
    size_t n_idle;
    struct tg_list urgent; /* grants to be asked about: somebody is held */
    struct tg_list queue;  /* the others */
    size_t n_queue;
    unsigned n_under_way;
    tg_usec paid_until;     /* questions of this worker, by its rate */
    struct tg_timer budget; /* the next may be asked */
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
    enum verdict verdict;
    tg_usec asked_at; /* when the question was sent that `verdict` answers */
    tg_usec sent_at;  /* that under way */
    bool is_asking;   /* queued or under way */
    bool is_sent;     /* under way */
    bool is_again;    /* something changed since it was sent */
    bool is_held;     /* its readers are */
    bool is_told;     /* and were told why */
    unsigned failures;
    struct tg_list waits;
    struct tg_list uses;
    struct tg_list at_topic;
    struct tg_list at_queue;
    struct tg_list at_idle;
    struct tg_timer timer; /* ask again */
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
void access_plan_recheck(struct grant *g);
void access_answer(struct grant *g, enum tg_rc rc); /* TG_OK, TG_EFORBIDDEN, TG_EACCESS */

/* access_use.c */
void access_hold(struct grant *g);
void access_release(struct grant *g);
void access_revoke(struct grant *g); /* takes the topic from all who read it */
/* Why nothing comes, and that it comes again. */
void access_tell_readers(const struct grant *g, const char *state);

/* access_ask.c */
/* Has it asked as soon as the budget allows. Nothing if it is queued; asked once more if it is
 * under way. */
void access_send(struct grant *g);
void access_unsend(struct grant *g); /* it goes */
/* Nobody would believe its token. */
bool access_is_expired(const struct grant *g);
/* False: this user asks too often. */
bool access_pay(struct tg_access *a, tg_str user);
void access_ask_init(struct tg_access *a);
void access_ask_fini(struct tg_access *a);

#endif
