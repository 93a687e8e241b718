/* access.c - what is known of whose access, who waits for it, and what the hub says about it.
 *
 * Invariant: a grant is idle, or somebody waits, reads or is answered. */
#include <stdlib.h>

#include "handlers/access_int.h"
#include "util/log.h"

#define FRESH TG_SEC(5) /* so old an answer is as good as asked now */
#define RETRY_MIN TG_MS(500)
#define RETRY_MAX TG_SEC(30)

/* ---- how old an answer may be ---- */

static tg_usec now_of(const struct grant *g)
{
    return tg_loop_now(g->a->w->loop);
}

static tg_usec recheck_of(const struct grant *g)
{
    const struct tg_declared *d = g->topic->name.declared;

    if (d->revoke_on.table != NULL && !tg_fanout_is_watched(g->a->w->fanout, d->name)) {
        return TG_MIN(d->recheck, g->a->w->opts->access_unwatched);
    }
    return d->recheck;
}

static bool is_known(const struct grant *g, bool is_fresh)
{
    tg_usec age = now_of(g) - g->asked_at;

    if (g->verdict == UNASKED || g->is_asking || g->is_held) {
        return false;
    }
    /* Who was refused may have been let in since: no row of theirs was there to be followed. */
    return age <= (is_fresh || g->verdict == NO ? FRESH : recheck_of(g));
}

/* A tenth sooner at random, so that what was asked together parts. */
void access_plan_recheck(struct grant *g)
{
    tg_usec recheck = recheck_of(g);
    tg_usec due = g->asked_at + recheck - g->id * 2654435761U % (recheck / 10 + 1);

    tg_loop_timer_start(g->a->w->loop, &g->timer, due > now_of(g) ? due - now_of(g) : 0);
}

static void plan_retry(struct grant *g)
{
    tg_usec most = TG_MIN(RETRY_MIN << TG_MIN(g->failures, 6U), RETRY_MAX);

    tg_loop_timer_start(g->a->w->loop, &g->timer,
                        most / 2 + (g->id * 2654435761U + now_of(g)) % (most / 2 + 1));
}

/* ---- the life of a grant ---- */

static void free_grant(struct grant *g)
{
    struct tg_access *a = g->a;

    access_unsend(g);
    tg_loop_timer_stop(a->w->loop, &g->timer);
    if (!tg_list_empty(&g->at_idle)) {
        tg_list_remove(&g->at_idle);
        a->n_idle--;
    }
    tg_list_remove(&g->at_topic);
    if (tg_list_empty(&g->topic->grants)) {
        (void)tg_map_remove(&a->topics, g->topic->name.name);
        tg_topic_fini(&g->topic->name);
        free(g->topic);
    }
    (void)tg_map_remove(&a->grants, tg_str_of(g->key));
    tg_ids_remove(&a->ids, g->id);
    tg_token_unref(g->token);
    free(g->key);
    free(g);
}

static bool is_needed(const struct grant *g)
{
    return g->is_asking || !tg_list_empty(&g->waits) || !tg_list_empty(&g->uses);
}

/* Nobody may need it any more: it is kept for who comes a moment later. */
void access_settle(struct grant *g)
{
    struct tg_access *a = g->a;

    if (is_needed(g) || !tg_list_empty(&g->at_idle)) {
        return;
    }
    g->is_held = false;
    tg_loop_timer_stop(a->w->loop, &g->timer);
    tg_list_append(&a->idle, &g->at_idle);
    a->n_idle++;
    if (a->n_idle > a->w->opts->access_cache) {
        free_grant(TG_CONTAINER_OF(a->idle.next, struct grant, at_idle));
    }
}

void access_need(struct grant *g)
{
    if (!tg_list_empty(&g->at_idle)) {
        tg_list_remove(&g->at_idle);
        g->a->n_idle--;
    }
}

static void on_timer(struct tg_timer *t)
{
    struct grant *g = TG_CONTAINER_OF(t, struct grant, timer);

    if (access_is_expired(g)) {
        g->failures++; /* its streams wait for a fresh token themselves */
        plan_retry(g);
    } else {
        access_send(g);
    }
}

void access_take_token(struct grant *g, struct tg_token *token)
{
    if (token != NULL && token->exp_sec > g->token->exp_sec) {
        tg_token_unref(g->token);
        g->token = tg_token_ref(token);
    }
}

static struct gtopic *topic_of(struct tg_access *a, const struct tg_topic_name *name)
{
    struct gtopic *t = tg_map_find(&a->topics, name->name);

    if (t == NULL) {
        t = TG_NEW(struct gtopic);
        tg_topic_copy(name, &t->name);
        tg_list_init(&t->grants);
        (void)tg_map_put(&a->topics, t->name.name, t);
    }
    return t;
}

struct grant *access_grant_of(struct tg_access *a, struct tg_token *token,
                              const struct tg_topic_name *name)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf key = {.max = (size_t)TG_TOPIC_MAX_BYTES * 2};
    struct grant *g = NULL;

    (void)tg_buf_str(&key, name->name);
    (void)tg_buf_char(&key, '\n');
    (void)tg_buf_str(&key, token == NULL ? TG_STR("") : tg_str_of(token->class_id));
    g = tg_map_find(&a->grants, tg_buf_view(&key));
    if (g == NULL) {
        g = TG_NEW(struct grant);
        g->a = a;
        g->key = tg_str_dup(tg_buf_view(&key));
        g->token = token == NULL ? NULL : tg_token_ref(token);
        g->topic = topic_of(a, name);
        tg_list_init(&g->waits);
        tg_list_init(&g->uses);
        tg_list_init(&g->at_queue);
        tg_list_init(&g->at_idle);
        tg_list_append(&g->topic->grants, &g->at_topic);
        tg_timer_init(&g->timer, on_timer);
        g->id = tg_ids_add(&a->ids, g);
        (void)tg_map_put(&a->grants, tg_str_of(g->key), g);
        access_settle(g);
    } else {
        access_take_token(g, token);
    }
    return g;
}

/* ---- asking ---- */

bool tg_access_is_asked(const struct tg_topic_name *name)
{
    return name->declared != NULL && name->declared->authorize != NULL;
}

/* A question more: is there room, and has the user any left? */
static enum tg_rc may_ask(struct tg_access *a, const struct tg_token *token)
{
    if (!access_pay(a, token == NULL ? TG_STR("") : tg_str_of(token->user_id))) {
        return TG_ERATE;
    }
    return a->n_queue >= a->w->opts->access_waiting ? TG_EBUSY : TG_OK;
}

static struct tg_access_wait *wait_for(struct grant *g, tg_access_fn_done *done, void *arg)
{
    struct tg_access_wait *wait = TG_NEW(struct tg_access_wait);

    *wait = (struct tg_access_wait){.grant = g, .done = done, .arg = arg};
    access_need(g);
    tg_list_append(&g->waits, &wait->node);
    return wait;
}

enum tg_rc tg_access_ask(struct tg_access *a, const struct tg_access_question *q,
                         tg_access_fn_done *done, void *arg, struct tg_access_wait **ret_wait)
{
    struct grant *g = NULL;
    enum tg_rc rc = TG_OK;

    if (!tg_access_is_asked(q->name)) {
        return TG_OK;
    }
    g = access_grant_of(a, q->token, q->name);
    if (is_known(g, q->is_fresh)) {
        tg_count_add(&a->w->counts.access_known, 1);
        return g->verdict == YES ? TG_OK : TG_EFORBIDDEN;
    }
    rc = g->is_asking ? TG_OK : may_ask(a, q->token);
    if (rc != TG_OK) {
        return rc;
    }
    *ret_wait = wait_for(g, done, arg);
    if (g->is_asking) {
        tg_count_add(&a->w->counts.access_shared, 1);
    } else {
        access_send(g);
    }
    return TG_EAGAIN;
}

void tg_access_cancel(struct tg_access_wait *wait)
{
    struct grant *g = NULL;

    if (wait == NULL) {
        return;
    }
    g = wait->grant;
    tg_list_remove(&wait->node);
    free(wait);
    access_settle(g);
}

/* ---- answers ---- */

static void answer_waits(struct grant *g, enum tg_rc rc)
{
    while (!tg_list_empty(&g->waits)) {
        struct tg_access_wait *wait = TG_CONTAINER_OF(g->waits.next, struct tg_access_wait, node);
        tg_access_fn_done *done = wait->done;
        void *arg = wait->arg;

        tg_list_remove(&wait->node);
        free(wait);
        done(rc, arg);
    }
}

static void on_yes(struct grant *g)
{
    g->verdict = YES;
    g->asked_at = g->sent_at;
    g->failures = 0;
    if (g->is_told) {
        g->is_told = false;
        access_tell_readers(g, "ready");
    }
    access_release(g);
    if (!tg_list_empty(&g->uses)) {
        access_plan_recheck(g);
    }
    answer_waits(g, TG_OK);
}

static void on_no(struct grant *g)
{
    g->verdict = NO;
    g->asked_at = g->sent_at;
    g->failures = 0;
    tg_count_add(&g->a->w->counts.access_refused, 1);
    access_revoke(g);
    answer_waits(g, TG_EFORBIDDEN);
}

/* Nobody could say for longer than anybody wants to believe the last answer. */
static void hold_unverified(struct grant *g)
{
    const tg_usec recheck = g->topic->name.declared->recheck;

    if (g->is_held || now_of(g) < g->asked_at + recheck + g->a->w->opts->access_grace) {
        return;
    }
    tg_log_limited(TG_LOG_WARN, "access_unknown", 1, TG_KS("topic", g->topic->name.declared->name));
    access_hold(g);
    g->is_told = true;
    access_tell_readers(g, "unverified");
}

static void on_unknown(struct grant *g)
{
    g->failures++;
    tg_count_add(&g->a->w->counts.access_unknown, 1);
    if (!tg_list_empty(&g->uses)) {
        hold_unverified(g);
        plan_retry(g);
    }
    answer_waits(g, TG_EACCESS);
}

void access_answer(struct grant *g, enum tg_rc rc)
{
    const tg_id id = g->id;
    struct tg_access *a = g->a;

    if (rc == TG_OK) {
        on_yes(g);
    } else if (rc == TG_EFORBIDDEN) {
        on_no(g);
    } else {
        on_unknown(g);
    }
    /* Whoever was told may have done anything but to end what is needed. */
    g = tg_ids_find(&a->ids, id);
    if (g != NULL) {
        access_settle(g);
    }
}

/* ---- what the hub says ---- */

/* A row that decides about this one has changed. */
static void change(struct grant *g)
{
    if (!tg_list_empty(&g->uses)) {
        access_hold(g);
        access_send(g);
    } else if (g->is_asking) {
        access_send(g);
    } else {
        g->verdict = UNASKED;
    }
}

/* Something may have changed of anybody: asked again, but nobody is held for a suspicion. */
static void suspect(struct grant *g)
{
    if (!tg_list_empty(&g->uses) || g->is_asking) {
        access_send(g);
    } else {
        g->verdict = UNASKED;
    }
}

static void on_topic_word(struct gtopic *t, tg_str user, void (*fn)(struct grant *g))
{
    for (struct tg_list *n = t->grants.next, *next = NULL; n != &t->grants; n = next) {
        struct grant *g = TG_CONTAINER_OF(n, struct grant, at_topic);

        next = n->next;
        if (user.n == 0 || (g->token != NULL && tg_str_eq(g->token->sub, user))) {
            fn(g);
        }
    }
}

static void on_word(const struct tg_access_word *word, void *arg)
{
    struct tg_access *a = arg;
    TG_CLEANUP(tg_buf_fini) struct tg_buf name = {.max = TG_TOPIC_MAX_BYTES};
    size_t at = 0;
    tg_str text = TG_STR_NONE;
    void *value = NULL;

    if (word->key.n > 0) {
        (void)tg_buf_str(&name, word->declared);
        (void)tg_buf_char(&name, ':');
        (void)tg_buf_str(&name, word->key);
        value = tg_map_find(&a->topics, tg_buf_view(&name));
        if (value != NULL) {
            on_topic_word(value, word->user, change);
        }
        return;
    }
    while (tg_map_next(&a->topics, &at, &text, &value)) {
        struct gtopic *t = value;

        if (word->declared.n == 0 || tg_str_eq(t->name.declared->name, word->declared)) {
            on_topic_word(t, word->user, word->user.n > 0 ? change : suspect);
        }
    }
}

/* ---- life ---- */

struct tg_access *tg_access_create(struct tg_worker *w)
{
    struct tg_access *a = TG_NEW(struct tg_access);

    a->w = w;
    tg_list_init(&a->idle);
    access_ask_init(a);
    if (w->fanout != NULL) {
        tg_fanout_on_access(w->fanout, on_word, a);
    }
    return a;
}

void tg_access_destroy(struct tg_access *a)
{
    size_t at = 0;
    tg_str key = TG_STR_NONE;
    void *value = NULL;

    if (a == NULL) {
        return;
    }
    while (tg_map_next(&a->grants, &at, &key, &value)) {
        struct grant *g = value;

        while (!tg_list_empty(&g->waits)) {
            struct tg_access_wait *wait =
                TG_CONTAINER_OF(g->waits.next, struct tg_access_wait, node);

            tg_list_remove(&wait->node);
            free(wait);
        }
        TG_ASSERT(tg_list_empty(&g->uses));
        free_grant(g);
    }
    access_ask_fini(a);
    tg_map_fini(&a->grants);
    tg_map_fini(&a->topics);
    tg_map_fini(&a->readers);
    tg_ids_fini(&a->ids);
    free(a);
}
