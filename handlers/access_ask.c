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

bool access_is_expired(const struct grant *g)
{
    return g->token != NULL && g->token->exp_sec <= (int64_t)(tg_clock_wall_us() / TG_SEC(1));
}

static enum tg_rc verdict_of(const struct grant *g, enum tg_rc rc, unsigned status, tg_str body)
{
    if (rc != TG_OK || status >= 500 || status == 429 || (status == 401 && access_is_expired(g))) {
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

static void on_fetched(enum tg_rc rc, unsigned status, tg_str body, void *arg)
{
    struct question *q = arg;
    struct tg_access *a = q->a;
    const tg_id id = q->grant;
    struct grant *g = NULL;

    free(q);
    if (rc == TG_ECANCELED) {
        return; /* the worker ends, and `a` may have ended */
    }
    g = tg_ids_find(&a->ids, id);
    a->n_under_way--;
    if (g != NULL) {
        g->is_asking = false;
        g->is_sent = false;
        log_status(g, rc, status);
        if (g->is_again) {
            access_send(g); /* what it says may be of before the change */
        } else {
            access_answer(g, verdict_of(g, rc, status, body));
        }
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
    struct question *q = NULL;
    enum tg_rc rc =
        tg_template_expand(name->declared->authorize, name->key, g->token->sub, &target);

    if (rc != TG_OK) {
        return rc;
    }
    req.target = tg_buf_view(&target);
    q = TG_NEW(struct question);
    *q = (struct question){g->a, g->id};
    rc = tg_upstream_fetch(g->a->w->upstream, &req, TG_STR(""), MAX_ANSWER_BYTES, on_fetched, q);
    if (rc != TG_OK) {
        free(q);
    }
    return rc;
}

static void send_one(struct tg_access *a, struct grant *g)
{
    enum tg_rc rc = TG_OK;

    tg_list_remove(&g->at_queue);
    a->n_queue--;
    g->sent_at = tg_loop_now(a->w->loop);
    g->is_sent = true;
    g->is_again = false;
    tg_count_add(&a->w->counts.access_asked, 1);
    rc = fetch(g);
    if (rc == TG_OK) {
        a->n_under_way++;
        return;
    }
    g->is_asking = false;
    g->is_sent = false;
    access_answer(g, rc == TG_EFORBIDDEN || rc == TG_ELIMIT ? TG_EFORBIDDEN : TG_EACCESS);
}

static void pump(struct tg_access *a)
{
    const tg_usec now = tg_loop_now(a->w->loop);

    while (a->n_queue > 0 && a->n_under_way < MAX_UNDER_WAY) {
        const struct tg_list *from = tg_list_empty(&a->urgent) ? &a->queue : &a->urgent;

        if (!pay(&a->paid_until, now, a->w->opts->access_per_sec)) {
            if (!tg_timer_is_on(&a->budget)) {
                tg_loop_timer_start(a->w->loop, &a->budget,
                                    TG_SEC(1) / TG_MAX(a->w->opts->access_per_sec, 1U));
            }
            return;
        }
        send_one(a, TG_CONTAINER_OF(from->next, struct grant, at_queue));
    }
}

static void on_budget(struct tg_timer *t)
{
    pump(TG_CONTAINER_OF(t, struct tg_access, budget));
}

/* Never from inside: who asks is told later. */
static bool is_soon(const struct tg_access *a)
{
    return tg_timer_is_on(&a->budget);
}

void access_send(struct grant *g)
{
    struct tg_access *a = g->a;

    if (g->is_sent) {
        g->is_again = true;
        return;
    }
    tg_loop_timer_stop(a->w->loop, &g->timer);
    if (g->is_asking) {
        tg_list_remove(&g->at_queue); /* somebody may be held by now */
        a->n_queue--;
    }
    g->is_asking = true;
    tg_list_append(g->is_held ? &a->urgent : &a->queue, &g->at_queue);
    a->n_queue++;
    if (!is_soon(a)) {
        tg_loop_timer_start(a->w->loop, &a->budget, 0);
    }
}

void access_unsend(struct grant *g)
{
    if (g->is_asking && !g->is_sent) {
        tg_list_remove(&g->at_queue);
        g->a->n_queue--;
    }
    g->is_asking = false;
}

void access_ask_init(struct tg_access *a)
{
    tg_list_init(&a->urgent);
    tg_list_init(&a->queue);
    tg_timer_init(&a->budget, on_budget);
}

void access_ask_fini(struct tg_access *a)
{
    tg_loop_timer_stop(a->w->loop, &a->budget);
}
