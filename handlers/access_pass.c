/* access_pass.c - questions to the worker whose they are, and its answers.
 *
 * A user's questions belong to one worker, so that equal ones are asked once and one account is
 * kept of them. A question is one mail that goes to the owner, waits there like any other, and
 * comes home with the answer:
 *
 *   grant of the asker --pass--> grant of the owner --GET--> PostgREST
 *                      <--pass--
 *
 * Full mailboxes: of the owner, the question is not answered (TG_EBUSY), and asked again for who
 * reads; of the asker, the answer waits at the owner. An owner that has ended leaves its questions
 * to who asks them. What is lost with a worker nevertheless is not answered within PATIENCE. */
#include <stdlib.h>

#include "handlers/access_int.h"
#include "handlers/control.h"

enum { MAX_PASSED = 1024 }; /* of one worker; more of them wait */

#define PATIENCE TG_SEC(120) /* the owner's queue may be long */
#define AGAIN TG_MS(20)

struct pass {
    struct tg_mail mail;
    struct tg_list node; /* owner: access->late */
    struct tg_worker *asker;
    tg_id grant; /* the asker's */
    struct tg_topic_name name;
    struct tg_token *token; /* a reference; NULL: nobody is signed in */
    tg_usec since;          /* who was asked before that does not count */
    tg_usec word_at;        /* the newest word that the asker has heard */
    tg_usec max_age;
    bool is_charged;
    struct grant *of; /* owner: while it waits */
    enum tg_rc rc;    /* the answer */
    tg_usec asked_at;
};

static void free_pass(struct pass *p)
{
    tg_topic_fini(&p->name);
    tg_token_unref(p->token);
    free(p);
}

/* ---- answers ---- */

static void drop_answer(struct tg_mail *mail)
{
    free_pass(TG_CONTAINER_OF(mail, struct pass, mail));
}

static void on_answer(struct tg_mail *mail, void *owner);

/* False: there is no room now. */
static bool post_answer(struct pass *p)
{
    enum tg_rc rc = TG_OK;

    p->mail.run = on_answer;
    p->mail.drop = drop_answer;
    rc = tg_loop_post(p->asker->loop, &p->mail);
    if (rc == TG_EFULL) {
        return false;
    }
    if (rc != TG_OK) {
        free_pass(p); /* the asker has ended */
    }
    return true;
}

/* Of a worker that ends: there is no later. */
static void disown(struct pass *p)
{
    p->rc = TG_ECANCELED;
    if (!post_answer(p)) {
        free_pass(p);
    }
}

static void answer(struct tg_access *a, struct pass *p, enum tg_rc rc, tg_usec asked_at)
{
    p->rc = rc;
    p->asked_at = asked_at;
    if (post_answer(p)) {
        return;
    }
    tg_list_append(&a->late, &p->node);
    if (!tg_timer_is_on(&a->again)) {
        tg_loop_timer_start(a->w->loop, &a->again, AGAIN);
    }
}

static void on_again(struct tg_timer *t)
{
    struct tg_access *a = TG_CONTAINER_OF(t, struct tg_access, again);

    for (struct tg_list *n = a->late.next, *next = NULL; n != &a->late; n = next) {
        struct pass *p = TG_CONTAINER_OF(n, struct pass, node);

        next = n->next;
        tg_list_remove(n);
        if (!post_answer(p)) {
            tg_list_append(next, n); /* where it was */
        }
    }
    if (!tg_list_empty(&a->late)) {
        tg_loop_timer_start(a->w->loop, t, AGAIN);
    }
}

/* ---- at the owner ---- */

static void drop_question(struct tg_mail *mail)
{
    disown(TG_CONTAINER_OF(mail, struct pass, mail));
}

static void on_verdict(enum tg_rc rc, void *arg)
{
    struct pass *p = arg;

    answer(p->of->a, p, rc, p->of->asked_at);
}

/* A word that the asker has heard and this worker has not may be about this grant. */
static tg_usec since_of(const struct tg_access *a, const struct pass *p)
{
    return a->word_at < p->word_at ? TG_MAX(p->since, p->word_at) : p->since;
}

static void on_question(struct tg_mail *mail, void *owner)
{
    struct pass *p = TG_CONTAINER_OF(mail, struct pass, mail);
    struct tg_access *a = ((struct tg_worker *)owner)->access;
    struct tg_access_wait *wait = NULL;
    struct grant *g = NULL;
    enum tg_rc rc = TG_OK;

    if (a == NULL) {
        disown(p);
        return;
    }
    g = access_grant_of(a, p->token, &p->name);
    g->since = TG_MAX(g->since, since_of(a, p));
    if (access_is_known(g, p->max_age)) {
        tg_count_add(&a->w->counts.access_known, 1);
        answer(a, p, g->verdict == YES ? TG_OK : TG_EFORBIDDEN, g->asked_at);
        return;
    }
    p->of = g;
    rc = access_join(g, p->is_charged, on_verdict, p, &wait);
    if (rc != TG_EAGAIN) {
        answer(a, p, rc, 0);
    }
}

/* ---- at the asker ---- */

static void unpass(struct grant *g)
{
    tg_loop_timer_stop(g->a->w->loop, &g->timer);
    g->a->passed.n_under_way--;
    g->is_sent = false;
    g->is_asking = false;
}

static void on_home(struct tg_access *a, struct grant *g, const struct pass *p)
{
    const tg_usec now = tg_loop_now(a->w->loop);
    const tg_usec age = now > p->asked_at ? now - p->asked_at : 0;
    const bool is_verdict = p->rc == TG_OK || p->rc == TG_EFORBIDDEN;

    unpass(g);
    if (p->rc == TG_ECANCELED) {
        g->owner = a->w->index;
        access_send(g);
    } else if (is_verdict && p->max_age > g->max_age && age > g->max_age) {
        access_send(g); /* somebody joined who must have a younger one */
    } else {
        g->sent_at = is_verdict ? p->asked_at : g->sent_at;
        access_answer(g, p->rc);
    }
}

static void pump(struct tg_access *a);

static void on_answer(struct tg_mail *mail, void *owner)
{
    struct pass *p = TG_CONTAINER_OF(mail, struct pass, mail);
    struct tg_access *a = ((struct tg_worker *)owner)->access;
    struct grant *g = a == NULL ? NULL : tg_ids_find(&a->ids, p->grant);

    /* Not sent: it is the answer of a question that was given up. */
    if (g != NULL && g->is_sent && !access_is_own(g)) {
        on_home(a, g, p);
        pump(a);
    }
    free_pass(p);
}

static struct pass *new_pass(const struct grant *g)
{
    struct pass *p = TG_NEW(struct pass);

    p->mail.run = on_question;
    p->mail.drop = drop_question;
    p->asker = g->a->w;
    p->grant = g->id;
    tg_topic_copy(&g->topic->name, &p->name);
    p->token = g->token == NULL ? NULL : tg_token_ref(g->token);
    p->since = g->since;
    p->word_at = g->a->word_at;
    /* Then it will do for half of the time until it must be asked again. */
    p->max_age = TG_MIN(g->max_age, access_recheck(g) / 2);
    p->is_charged = tg_list_empty(&g->uses);
    return p;
}

static void post_question(struct tg_access *a, struct grant *g)
{
    const struct tg_worker *owner = tg_control_peer(a->w, g->owner);
    struct pass *p = new_pass(g);
    enum tg_rc rc = tg_loop_post(owner->loop, &p->mail);

    if (rc != TG_OK) {
        free_pass(p);
    }
    if (rc == TG_ECLOSED) {
        g->owner = a->w->index;
        access_send_own(g);
        return;
    }
    g->is_sent = true;
    a->passed.n_under_way++;
    tg_count_add(rc == TG_OK ? &a->w->counts.access_passed : &a->w->counts.access_pass_full, 1);
    tg_loop_timer_start(a->w->loop, &g->timer, rc == TG_OK ? PATIENCE : 0);
}

static void pump(struct tg_access *a)
{
    while (a->passed.n > 0 && a->passed.n_under_way < MAX_PASSED) {
        post_question(a, access_next(&a->passed));
    }
}

void access_pass(struct grant *g)
{
    access_queue(&g->a->passed, g);
    pump(g->a);
}

void access_pass_late(struct grant *g)
{
    struct tg_access *a = g->a;

    unpass(g);
    access_answer(g, TG_EBUSY);
    pump(a);
}

/* By the user, so that there is one account of each; where there is none, by the topic. */
unsigned access_owner(const struct tg_access *a, const struct tg_token *token,
                      const struct tg_topic_name *name)
{
    const size_t n = tg_control_n_peers(a->w);

    if (n < 2) {
        return a->w->index;
    }
    return (unsigned)(tg_hash(token == NULL ? name->name : tg_str_of(token->user_id)) % n);
}

/* ---- life ---- */

void access_pass_init(struct tg_access *a)
{
    tg_list_init(&a->late);
    tg_timer_init(&a->again, on_again);
}

void access_pass_cancel(tg_access_fn_done *done, void *arg)
{
    if (done == on_verdict) {
        disown(arg);
    }
}

void access_pass_fini(struct tg_access *a)
{
    tg_loop_timer_stop(a->w->loop, &a->again);
    while (!tg_list_empty(&a->late)) {
        struct pass *p = TG_CONTAINER_OF(a->late.next, struct pass, node);

        tg_list_remove(&p->node);
        if (!post_answer(p)) {
            free_pass(p);
        }
    }
}
