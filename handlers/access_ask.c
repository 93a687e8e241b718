/* access_ask.c - questions on their way to PostgREST: those for which somebody is held first, all
 * within a rate, so that a change of many memberships is no storm upstream. */
#include <stdlib.h>

#include "handlers/access_int.h"
#include "util/log.h"

enum {
    MAX_TARGET_BYTES = 16 * 1024,
    MAX_BEARER_BYTES = 16 * 1024,
    MAX_ANSWER_BYTES = 1024 * 1024,
    MAX_UNDER_WAY = 64,
};

#define BURST TG_SEC(1) /* of a worker's rate that may be spent at once */

struct question {
    struct tg_access *a;
    tg_id grant;
    int64_t exp_sec; /* of the token that it bears: the grant may have a fresher one by now */
};

static void pump(struct tg_access *a);

/* ---- the rates ---- */

/* Spends one turn of a rate. False, and nothing is spent: it is used up. */
static bool pay(tg_usec *paid_until, tg_usec now, unsigned per_sec)
{
    tg_usec turn = TG_SEC(1) / TG_MAX(per_sec, 1U);

    if (*paid_until > now + BURST - TG_MIN(turn, BURST)) {
        return false;
    }
    *paid_until = TG_MAX(*paid_until, now) + turn;
    return true;
}

bool access_pay(struct tg_access *a, tg_str user)
{
    struct cell *c = &a->cells[tg_hash(user) % USER_CELLS];

    return pay(&c->paid_until, tg_loop_now(a->w->loop), a->w->opts->access_per_user);
}

/* ---- one question ---- */

static bool is_past(int64_t exp_sec)
{
    return exp_sec <= (int64_t)(tg_clock_wall_us() / TG_SEC(1));
}

bool access_is_expired(const struct grant *g)
{
    return g->token != NULL && is_past(g->token->exp_sec);
}

static enum tg_rc verdict_of(int64_t exp_sec, enum tg_rc rc, unsigned status, tg_str body)
{
    if (rc != TG_OK || status >= 500 || status == 429 || (status == 401 && is_past(exp_sec))) {
        return TG_EACCESS;
    }
    return status == 200 && tg_template_is_yes(body) ? TG_OK : TG_EFORBIDDEN;
}

/* Not an answer to the question: the query itself may be wrong. */
static void log_status(const struct grant *g, enum tg_rc rc, unsigned status)
{
    if (rc == TG_OK && status != 200 && status < 500) {
        tg_log_limited(TG_LOG_WARN, "access_refused", 1,
                       TG_KS("topic", g->topic->name.declared->name), TG_KN("status", status));
    }
}

static void finish(struct grant *g, enum tg_rc rc)
{
    struct tg_worker_counts *counts = &g->a->w->counts;

    g->is_asking = false;
    g->is_sent = false;
    if (rc != TG_OK) {
        tg_count_add(rc == TG_EFORBIDDEN ? &counts->access_refused : &counts->access_unknown, 1);
    }
    access_answer(g, rc);
}

static void on_fetched(enum tg_rc rc, unsigned status, tg_str body, void *arg)
{
    struct question *q = arg;
    struct tg_access *a = q->a;
    const tg_id id = q->grant;
    const int64_t exp_sec = q->exp_sec;
    struct grant *g = NULL;

    free(q);
    if (rc == TG_ECANCELED) {
        return; /* the worker ends, and `a` may have ended */
    }
    g = tg_ids_find(&a->ids, id);
    a->own.n_under_way--;
    if (g != NULL) {
        log_status(g, rc, status);
        finish(g, verdict_of(exp_sec, rc, status, body));
    }
    pump(a);
}

/* Without a user the project's key speaks. */
static tg_str put_bearer(struct tg_buf *out, const struct tg_token *token)
{
    if (token == NULL) {
        return TG_STR("");
    }
    (void)tg_buf_str(out, TG_STR("Bearer "));
    (void)tg_buf_str(out, token->text);
    return tg_buf_view(out);
}

/* TG_EFORBIDDEN: it asks about a user, and there is none. Else as tg_upstream_fetch(). */
static enum tg_rc fetch(const struct grant *g)
{
    const struct tg_handler_opts *o = g->a->w->opts;
    const struct tg_topic_name *name = &g->topic->name;
    TG_CLEANUP(tg_buf_fini) struct tg_buf target = {.max = MAX_TARGET_BYTES};
    TG_CLEANUP(tg_buf_fini) struct tg_buf bearer = {.max = MAX_BEARER_BYTES};
    const struct tg_upstream_field fields[] = {
        {TG_STR("Host"), o->upstream_authority},
        {TG_STR("Accept"), TG_STR("application/json")},
        {TG_STR("User-Agent"), TG_STR("tidegate")},
        {TG_STR("apikey"), o->project_key},
        {TG_STR("Authorization"), put_bearer(&bearer, g->token)},
    };
    struct tg_call_request req = {.method = TG_STR("GET"),
                                  .fields = fields,
                                  .n_fields = TG_ARRAY_LEN(fields) - (g->token == NULL ? 1 : 0),
                                  .first_byte_timeout = o->access_timeout,
                                  .service = "rest",
                                  .may_retry = true};
    const tg_str sub = g->token == NULL ? TG_STR("") : g->token->sub;
    struct question *q = NULL;
    enum tg_rc rc = tg_template_expand(name->declared->authorize, name->key, sub, &target);

    if (rc != TG_OK) {
        return rc;
    }
    req.target = tg_buf_view(&target);
    q = TG_NEW(struct question);
    *q = (struct question){g->a, g->id, g->token == NULL ? INT64_MAX : g->token->exp_sec};
    rc = tg_upstream_fetch(g->a->w->upstream, &req, TG_STR(""), MAX_ANSWER_BYTES, on_fetched, q);
    if (rc != TG_OK) {
        free(q);
    }
    return rc;
}

static void send_one(struct tg_access *a, struct grant *g)
{
    enum tg_rc rc = TG_OK;

    g->sent_at = tg_clock_mono_us(); /* not the turn's: a word of this turn may be younger */
    g->is_sent = true;
    tg_count_add(&a->w->counts.access_asked, 1);
    rc = fetch(g);
    if (rc == TG_OK) {
        a->own.n_under_way++;
        return;
    }
    finish(g, rc == TG_EFORBIDDEN || rc == TG_ELIMIT ? TG_EFORBIDDEN : TG_EACCESS);
}

static void pump(struct tg_access *a)
{
    const tg_usec now = tg_loop_now(a->w->loop);

    while (a->own.n > 0 && a->own.n_under_way < MAX_UNDER_WAY) {
        if (!pay(&a->paid_until, now, a->w->opts->access_per_sec)) {
            if (!tg_timer_is_on(&a->soon)) {
                tg_loop_timer_start(a->w->loop, &a->soon,
                                    TG_SEC(1) / TG_MAX(a->w->opts->access_per_sec, 1U));
            }
            return;
        }
        send_one(a, access_next(&a->own));
    }
}

static void on_soon(struct tg_timer *t)
{
    pump(TG_CONTAINER_OF(t, struct tg_access, soon));
}

/* ---- the lanes ---- */

struct grant *access_next(struct lane *l)
{
    const struct tg_list *from = tg_list_empty(&l->urgent) ? &l->queue : &l->urgent;
    struct grant *g = NULL;

    if (l->n > 0) {
        g = TG_CONTAINER_OF(from->next, struct grant, at_queue);
        tg_list_remove(&g->at_queue);
        l->n--;
    }
    return g;
}

void access_queue(struct lane *l, struct grant *g)
{
    tg_list_append(g->is_held ? &l->urgent : &l->queue, &g->at_queue);
    l->n++;
}

bool access_is_own(const struct grant *g)
{
    return g->owner == g->a->w->index;
}

/* It may have to go behind others, or before them: somebody may be held by now. */
static void unqueue(struct grant *g)
{
    if (g->is_asking && !g->is_sent) {
        tg_list_remove(&g->at_queue);
        (access_is_own(g) ? &g->a->own : &g->a->passed)->n--;
    }
}

void access_send(struct grant *g)
{
    struct tg_access *a = g->a;

    if (g->is_sent) {
        return;
    }
    tg_loop_timer_stop(a->w->loop, &g->timer);
    unqueue(g);
    g->is_asking = true;
    if (access_is_own(g)) {
        access_send_own(g);
    } else {
        access_pass(g);
    }
}

/* Never from inside: who asks is told later. */
void access_send_own(struct grant *g)
{
    struct tg_access *a = g->a;

    access_queue(&a->own, g);
    if (!tg_timer_is_on(&a->soon)) {
        tg_loop_timer_start(a->w->loop, &a->soon, 0);
    }
}

void access_unsend(struct grant *g)
{
    unqueue(g);
    g->is_asking = false;
    g->is_sent = false;
}

static void lane_init(struct lane *l)
{
    tg_list_init(&l->urgent);
    tg_list_init(&l->queue);
}

void access_ask_init(struct tg_access *a)
{
    lane_init(&a->own);
    lane_init(&a->passed);
    tg_timer_init(&a->soon, on_soon);
}

void access_ask_fini(struct tg_access *a)
{
    tg_loop_timer_stop(a->w->loop, &a->soon);
}
