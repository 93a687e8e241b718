/* access.c - what is known of whose access, who waits for it, and what the hub says about it.
 *
 * Invariant: a grant is idle, or somebody waits, reads or is answered. */
#include <stdlib.h>

#include "handlers/access_int.h"
#include "util/log.h"

#define FRESH TG_SEC(5) /* so old an answer is as good as asked now */
#define ANY_AGE UINT64_MAX
#define RETRY_MIN TG_MS(500)
#define RETRY_MAX TG_SEC(30)

/* ---- how old an answer may be ---- */

static tg_usec now_of(const struct grant *g)
{
    return tg_loop_now(g->a->w->loop);
}

tg_usec access_recheck(const struct grant *g)
{
    const struct tg_declared *d = g->topic->name.declared;

    if (d->revoke_on.table != NULL && !tg_fanout_is_watched(g->a->w->fanout, d->name)) {
        return TG_MIN(d->recheck, g->a->w->opts->access_unwatched);
    }
    return d->recheck;
}

/* Another loop's time may be ahead of this turn's. */
static tg_usec age_of(const struct grant *g)
{
    return now_of(g) > g->asked_at ? now_of(g) - g->asked_at : 0;
}

/* An answer of PostgREST that was asked for at `at` or later is there. */
static bool is_asked_since(const struct grant *g, tg_usec at)
{
    return g->verdict != UNASKED && g->asked_at >= at;
}

bool access_is_known(const struct grant *g, tg_usec max_age)
{
    if (!is_asked_since(g, g->since) || g->is_asking || g->is_held) {
        return false;
    }
    /* Who was refused may have been let in since: no row of theirs was there to be followed. */
    return age_of(g) <= (g->verdict == NO ? FRESH : max_age);
}

/* A tenth sooner at random, so that what was asked together parts. */
void access_plan_recheck(struct grant *g)
{
    tg_usec recheck = access_recheck(g);
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
    return g->is_asking || g->is_answering || !tg_list_empty(&g->waits) || !tg_list_empty(&g->uses);
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

    if (g->is_asking) {
        access_pass_late(g);
    } else if (access_is_expired(g)) {
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
        g->owner = access_owner(a, token, name);
        g->max_age = ANY_AGE;
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

/* A question more: is there room, and has the user any left? The owner keeps the account. */
static enum tg_rc may_ask(const struct grant *g)
{
    struct tg_access *a = g->a;
    const struct lane *l = access_is_own(g) ? &a->own : &a->passed;
    const tg_str user = g->token == NULL ? TG_STR("") : tg_str_of(g->token->user_id);

    if (l == &a->own && !access_pay(a, user)) {
        return TG_ERATE;
    }
    return l->n >= a->w->opts->access_waiting ? TG_EBUSY : TG_OK;
}

static struct tg_access_wait *wait_for(struct grant *g, tg_access_fn_done *done, void *arg)
{
    struct tg_access_wait *wait = TG_NEW(struct tg_access_wait);

    *wait = (struct tg_access_wait){.grant = g, .done = done, .arg = arg};
    access_need(g);
    tg_list_append(&g->waits, &wait->node);
    return wait;
}

enum tg_rc access_join(struct grant *g, bool is_charged, tg_access_fn_done *done, void *arg,
                       struct tg_access_wait **ret_wait)
{
    enum tg_rc rc = g->is_asking || !is_charged ? TG_OK : may_ask(g);

    if (rc != TG_OK) {
        return rc;
    }
    *ret_wait = wait_for(g, done, arg);
    if (g->is_asking) {
        tg_count_add(&g->a->w->counts.access_shared, 1);
    } else {
        access_send(g);
    }
    return TG_EAGAIN;
}

enum tg_rc tg_access_ask(struct tg_access *a, const struct tg_access_question *q,
                         tg_access_fn_done *done, void *arg, struct tg_access_wait **ret_wait)
{
    struct grant *g = NULL;
    tg_usec max_age = 0;

    if (!tg_access_is_asked(q->name)) {
        return TG_OK;
    }
    g = access_grant_of(a, q->token, q->name);
    max_age = q->is_fresh ? FRESH : access_recheck(g);
    if (access_is_known(g, max_age)) {
        tg_count_add(&a->w->counts.access_known, 1);
        return g->verdict == YES ? TG_OK : TG_EFORBIDDEN;
    }
    g->max_age = TG_MIN(g->max_age, max_age);
    return access_join(g, true, done, arg, ret_wait);
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

/* Those that wait now: who is told may ask again. */
static void answer_waits(struct grant *g, enum tg_rc rc)
{
    struct tg_list waits;

    tg_list_init(&waits);
    while (!tg_list_empty(&g->waits)) {
        struct tg_list *n = g->waits.next;

        tg_list_remove(n);
        tg_list_append(&waits, n);
    }
    while (!tg_list_empty(&waits)) {
        struct tg_access_wait *wait = TG_CONTAINER_OF(waits.next, struct tg_access_wait, node);
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

static void on_unknown(struct grant *g, enum tg_rc rc)
{
    g->failures++;
    if (!tg_list_empty(&g->uses)) {
        hold_unverified(g);
        plan_retry(g);
    }
    answer_waits(g, rc);
}

void access_answer(struct grant *g, enum tg_rc rc)
{
    const bool is_verdict = rc == TG_OK || rc == TG_EFORBIDDEN;

    if (is_verdict && g->sent_at < g->since) {
        access_send(g); /* what it says may be of before the change */
        return;
    }
    g->is_answering = true;
    g->max_age = ANY_AGE;
    if (rc == TG_OK) {
        on_yes(g);
    } else if (rc == TG_EFORBIDDEN) {
        on_no(g);
    } else {
        on_unknown(g, rc);
    }
    g->is_answering = false;
    access_settle(g);
}

/* ---- what the hub says ---- */

/* A row that decides about this one has changed. */
static void change(struct grant *g)
{
    if (!tg_list_empty(&g->uses)) {
        access_hold(g);
        access_send(g);
    } else if (!g->is_asking) {
        g->verdict = UNASKED;
    }
}

/* Something may have changed of anybody: asked again, but nobody is held for a suspicion. */
static void suspect(struct grant *g)
{
    if (!tg_list_empty(&g->uses)) {
        access_send(g);
    } else if (!g->is_asking) {
        g->verdict = UNASKED;
    }
}

/* What was asked when the word had been told is told of what changed: by another worker, to which
 * the word came first. */
static void on_topic_word(struct gtopic *t, const struct tg_access_word *word,
                          void (*fn)(struct grant *g))
{
    for (struct tg_list *n = t->grants.next, *next = NULL; n != &t->grants; n = next) {
        struct grant *g = TG_CONTAINER_OF(n, struct grant, at_topic);

        next = n->next;
        if ((word->user.n == 0 || (g->token != NULL && tg_str_eq(g->token->sub, word->user))) &&
            !is_asked_since(g, word->at)) {
            g->since = TG_MAX(g->since, word->at);
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

    a->word_at = word->at;
    if (word->key.n > 0) {
        (void)tg_buf_str(&name, word->declared);
        (void)tg_buf_char(&name, ':');
        (void)tg_buf_str(&name, word->key);
        value = tg_map_find(&a->topics, tg_buf_view(&name));
        if (value != NULL) {
            on_topic_word(value, word, change);
        }
        return;
    }
    while (tg_map_next(&a->topics, &at, &text, &value)) {
        struct gtopic *t = value;

        if (word->declared.n == 0 || tg_str_eq(t->name.declared->name, word->declared)) {
            on_topic_word(t, word, word->user.n > 0 ? change : suspect);
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
    access_pass_init(a);
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
            access_pass_cancel(wait->done, wait->arg);
            free(wait);
        }
        TG_ASSERT(tg_list_empty(&g->uses));
        free_grant(g);
    }
    access_pass_fini(a);
    access_ask_fini(a);
    tg_map_fini(&a->grants);
    tg_map_fini(&a->topics);
    tg_map_fini(&a->readers);
    tg_ids_fini(&a->ids);
    free(a);
}
