/* test_own.c - an own endpoint: caller and body in any order, one answer, clients that leave. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "auth/token.h"
#include "fakes.h"
#include "handlers/own.h"

struct given {
    struct fleet fleet;
    struct asked_request r;
    char *value;
};

static struct tg_own *running; /* the last that ran */
static unsigned n_runs;

static void run(struct tg_own *o)
{
    running = o;
    n_runs++;
}

static const struct tg_own_kind with_body = {.run = run, .has_body = true};
static const struct tg_own_kind without = {.run = run};

static void begin(struct given *g)
{
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *claims = mint_claims("");
    char *token = mint_hs(claims);

    *g = (struct given){.value = bearer(token)};
    fleet_make(&g->fleet, 1, keys);
    g->fleet.opts.own_body_bytes = 16;
    request_make(&g->r, TG_POST, "/sync/v1/x");
    tg_keys_unref(keys);
    free(claims);
    free(token);
}

static void start(struct given *g, const struct tg_own_kind *kind)
{
    request_field(&g->r, "Authorization", g->value);
    tg_own_start(tg_exchange_create(&g->fleet.workers[0], &g->r.conn, &g->r.req), kind);
}

static void send(struct given *g, const char *text)
{
    g->r.conn.handler->on_body(&g->r.conn, tg_str_of(text), g->r.conn.ctx);
}

static void end_body(struct given *g)
{
    g->r.conn.handler->on_body_end(&g->r.conn, g->r.conn.ctx);
}

static void drop(struct given *g)
{
    request_drop(&g->r);
    fleet_drop(&g->fleet);
    free(g->value);
}

static void finish(struct given *g)
{
    request_gone(&g->r);
    drop(g);
}

Test(own, runs_once_with_the_whole_body_and_its_caller)
{
    struct given g;

    begin(&g);
    start(&g, &with_body);
    cr_assert(g.r.conn.wants_body);
    send(&g, "{\"a\"");
    send(&g, ":1}");
    cr_assert_eq(n_runs, 0);
    end_body(&g);
    cr_assert_eq(n_runs, 1);
    cr_assert(tg_str_eq(tg_buf_view(&running->body), TG_STR("{\"a\":1}")));
    cr_assert(tg_str_eq(tg_own_user(running), tg_str_of(running->token->user_id)));
    tg_own_answer(running, 200, TG_STR("{}"));
    cr_assert_eq(g.r.conn.status, 200);
    cr_assert_str_eq(g.r.conn.body, "{}");
    cr_assert_not_null(strstr(g.r.conn.fields, "Content-Type: application/json\n"));
    cr_assert_not_null(strstr(g.r.conn.fields, "Cache-Control: no-store\n"));
    cr_assert_not_null(strstr(g.r.conn.fields, "X-Request-Id: "));
    finish(&g);
}

Test(own, answer_without_a_body_names_no_type)
{
    struct given g;

    begin(&g);
    start(&g, &without);
    end_body(&g);
    tg_own_answer(running, 204, TG_STR_NONE);
    cr_assert_eq(g.r.conn.status, 204);
    cr_assert_null(strstr(g.r.conn.fields, "Content-Type"));
    finish(&g);
}

Test(own, body_over_the_limit_is_refused_once_and_nothing_runs)
{
    struct given g;

    begin(&g);
    start(&g, &with_body);
    send(&g, "0123456789");
    send(&g, "0123456789");
    cr_assert_eq(g.r.conn.status, 413);
    send(&g, "more");
    end_body(&g);
    cr_assert_eq(g.r.conn.n_answers, 1);
    cr_assert_eq(n_runs, 0);
    finish(&g);
}

Test(own, body_that_nobody_asked_for_is_dropped)
{
    struct given g;

    begin(&g);
    start(&g, &without);
    send(&g, "0123456789");
    send(&g, "0123456789");
    end_body(&g);
    cr_assert_eq(n_runs, 1);
    cr_assert_eq(running->body.n, 0);
    finish(&g);
}

Test(own, stranger_is_refused_before_the_body_has_come)
{
    struct given g;

    begin(&g);
    memset(g.value + strlen("Bearer "), 'x', 8);
    start(&g, &with_body);
    cr_assert_eq(g.r.conn.status, 401);
    cr_assert_not(g.r.conn.wants_body);
    end_body(&g);
    cr_assert_eq(n_runs, 0);
    cr_assert_eq(g.r.conn.n_answers, 1);
    finish(&g);
}

Test(own, store_that_answers_finds_the_request_or_that_it_is_gone)
{
    struct given g;
    struct tg_own_wait *wait = NULL;

    begin(&g);
    start(&g, &without);
    end_body(&g);
    wait = tg_own_wait(running);
    cr_assert_eq(tg_own_back(wait), running);
    wait = tg_own_wait(running);
    request_gone(&g.r);
    cr_assert_null(tg_own_back(wait));
    drop(&g);
}

Test(own, refusal_has_the_form_of_all_errors)
{
    struct given g;

    begin(&g);
    start(&g, &without);
    end_body(&g);
    tg_own_refuse(running, TG_ENOTFOUND, TG_STR("gone for good"), TG_STR("try another"));
    cr_assert_eq(g.r.conn.status, 404);
    cr_assert_not_null(strstr(g.r.conn.body, "\"code\":\"TG440\""));
    cr_assert_not_null(strstr(g.r.conn.body, "gone for good"));
    cr_assert_not_null(strstr(g.r.conn.body, "try another"));
    finish(&g);
}
