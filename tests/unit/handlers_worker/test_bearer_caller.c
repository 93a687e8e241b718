/* test_bearer_caller.c - callers of own endpoints: a user, a ticket, nobody. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "auth/seal.h"
#include "bearers.h"
#include "handlers/ticket.h"

#define ANON "sb_publishable_a"
#define SERVICE "sb_secret_s"

static struct tg_seal *seal;

static void begin_caller(struct given *g)
{
    bearer_begin(g);
    seal = tg_seal_create(TG_STR("0123456789abcdef0123456789abcdef"), TG_STR("ticket"));
    g->fleet.opts.keys =
        (struct tg_apikeys){.publishable = TG_STR(ANON), .secret = TG_STR(SERVICE)};
    g->fleet.opts.ticket_seal = seal;
    g->fleet.opts.ticket_life = TG_SEC(30);
    once_seen = (struct fake_once_seen){0};
    is_store_down = false;
}

static void finish_caller(struct given *g)
{
    tg_seal_destroy(seal);
    bearer_finish(g);
}

static void ask_caller(struct given *g)
{
    g->x = tg_exchange_create(&g->fleet.workers[0], &g->r.conn, &g->r.req);
    tg_bearer_caller(g->x, bearer_on_answer, g, &g->wait);
}

/* The request's target gets a ticket of this token. Takes `token`. */
static void with_ticket(struct given *g, char *token, tg_usec made)
{
    static char target[16384];
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = {.max = sizeof(target) - 64};

    (void)tg_buf_str(&text, TG_STR("/sync/v1/stream?topic=x&ticket="));
    cr_assert_eq(tg_ticket_make(&g->fleet.opts, tg_str_of(token), made, &text), TG_OK);
    memcpy(target, text.p, text.n);
    target[text.n] = '\0';
    g->r.req.head.target = tg_str_of(target);
    free(token);
}

Test(bearer, caller_may_be_a_user_by_ticket_which_is_spent)
{
    struct given g;

    begin_caller(&g);
    with_ticket(&g, user_token(""), NOW - TG_SEC(29));
    ask_caller(&g);
    cr_assert_eq(g.n_answers, 0);
    cr_assert_not_null(g.wait);
    cr_assert_eq(once_seen.n, 1);
    cr_assert_eq(strncmp(once_seen.key, "ticket:", 7), 0);
    cr_assert_geq(once_seen.ttl, TG_SEC(30));
    once_seen.done(TG_OK, once_seen.arg);
    cr_assert_eq(g.n_answers, 1);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert(g.has_user);
    finish_caller(&g);
}

Test(bearer, caller_with_a_spent_or_old_ticket_is_told_so)
{
    struct given g;

    begin_caller(&g);
    with_ticket(&g, user_token(""), NOW);
    ask_caller(&g);
    once_seen.done(TG_ECONFLICT, once_seen.arg);
    cr_assert_eq(g.rc, TG_ETICKET);
    cr_assert_not(g.has_token);
    finish_caller(&g);

    begin_caller(&g);
    with_ticket(&g, user_token(""), NOW - TG_SEC(30));
    ask_caller(&g);
    cr_assert_eq(g.rc, TG_ETICKET);
    cr_assert_eq(once_seen.n, 0);
    finish_caller(&g);
}

Test(bearer, ticket_that_nobody_can_judge_lets_nobody_in)
{
    struct given g;

    begin_caller(&g);
    is_store_down = true;
    with_ticket(&g, user_token(""), NOW);
    ask_caller(&g);
    cr_assert_eq(g.rc, TG_ESTORE);
    cr_assert_null(g.wait);
    finish_caller(&g);

    begin_caller(&g);
    once_seen.rc = TG_EBUSY;
    with_ticket(&g, user_token(""), NOW);
    ask_caller(&g);
    cr_assert_eq(g.rc, TG_EBUSY);
    finish_caller(&g);

    begin_caller(&g);
    with_ticket(&g, user_token(""), NOW);
    ask_caller(&g);
    once_seen.done(TG_ETIMEDOUT, once_seen.arg);
    cr_assert_eq(g.rc, TG_ESTORE);
    cr_assert_not(g.has_token);
    finish_caller(&g);
}

Test(bearer, ticket_with_an_expired_token_is_not_spent)
{
    struct given g;

    begin_caller(&g);
    with_ticket(&g, mint_hs("{\"sub\":\"u\",\"exp\":1790000000}"), NOW);
    ask_caller(&g);
    cr_assert_eq(g.rc, TG_EEXPIRED);
    cr_assert_eq(once_seen.n, 0);
    finish_caller(&g);
}

Test(bearer, caller_who_leaves_while_a_ticket_is_spent_hears_no_more)
{
    struct given g;

    begin_caller(&g);
    with_ticket(&g, user_token(""), NOW);
    ask_caller(&g);
    tg_bearer_cancel(g.wait);
    once_seen.done(TG_OK, once_seen.arg);
    cr_assert_eq(g.n_answers, 0);
    finish_caller(&g);
}

Test(bearer, ticket_may_wait_for_its_tokens_key)
{
    struct given g;

    begin_caller(&g);
    with_ticket(&g, es_token(&g), NOW);
    ask_caller(&g);
    cr_assert_not_null(g.wait);
    answer_key(&g, "k1");
    fleet_turns(&g.fleet);
    cr_assert_eq(g.n_answers, 0);
    cr_assert_eq(once_seen.n, 1);
    once_seen.done(TG_OK, once_seen.arg);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert(g.has_user);
    finish_caller(&g);
}

Test(bearer, caller_with_a_token_needs_no_ticket)
{
    struct given g;

    begin_caller(&g);
    with_ticket(&g, user_token(""), NOW);
    bearer_with(&g, user_token(""));
    ask_caller(&g);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert(g.has_user);
    cr_assert_eq(once_seen.n, 0);
    finish_caller(&g);
}

Test(bearer, caller_may_be_nobody_with_the_public_key_and_nothing_else)
{
    static const struct {
        const char *target;
        const char *key; /* apikey */
        const char *auth;
        enum tg_rc rc;
    } cases[] = {
        {"/s", ANON, NULL, TG_OK},
        {"/s?apikey=" ANON, NULL, NULL, TG_OK},
        {"/s?apikey=" ANON, NULL, "Bearer " ANON, TG_OK},
        {"/s", NULL, "Bearer " ANON, TG_ENOTOKEN},
        {"/s", NULL, NULL, TG_ENOTOKEN},
        {"/s", "sb_publishable_b", NULL, TG_EBADKEY},
        {"/s?apikey=x", NULL, NULL, TG_EBADKEY},
        {"/s", SERVICE, NULL, TG_ENOTOKEN},
        {"/s", ANON, "Bearer " SERVICE, TG_ENOTOKEN},
        {"/s", ANON, "Basic YTpi", TG_ENOTOKEN},
        {"/s", ANON, "Bearer a.b.c", TG_EBADTOKEN},
        {"/s?ticket=x&apikey=" ANON, NULL, NULL, TG_EBADTOKEN},
        {"/s?ticket=x&ticket=x", NULL, NULL, TG_EAMBIGUOUS},
        {"/s?apikey=" ANON "&apikey=" ANON, NULL, NULL, TG_EAMBIGUOUS},
        {"/s?ticket=%2", NULL, NULL, TG_EBADPARAM},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct given g;

        begin_caller(&g);
        g.r.req.head.target = tg_str_of(cases[i].target);
        if (cases[i].key != NULL) {
            request_field(&g.r, "apikey", cases[i].key);
        }
        if (cases[i].auth != NULL) {
            request_field(&g.r, "Authorization", cases[i].auth);
        }
        ask_caller(&g);
        cr_assert_eq(g.n_answers, 1, "%zu", i);
        cr_assert_eq(g.rc, cases[i].rc, "%zu: %s", i, tg_rc_name(g.rc));
        cr_assert_not(g.has_token);
        finish_caller(&g);
    }
}
