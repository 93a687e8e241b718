/* test_bearer.c - what each kind of Authorization means, with and without keys to wait for. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "auth/seal.h"
#include "auth/token.h"
#include "fakes.h"
#include "handlers/bearer.h"
#include "handlers/deny.h"
#include "handlers/ticket.h"

struct given {
    struct fleet fleet;
    struct asked_request r;
    struct tg_exchange *x;
    struct tg_bearer_wait *wait;
    EVP_PKEY *key;
    char *value; /* of Authorization */
    unsigned n_answers;
    enum tg_rc rc;
    bool has_token;
    bool has_user;
};

static void begin_with(struct given *g, struct tg_keys *keys)
{
    *g = (struct given){.key = mint_ec("P-256")};
    fleet_make(&g->fleet, 1, keys);
    fleet_turns(&g->fleet); /* the first fetch is under way */
    tg_keys_unref(keys);
    request_make(&g->r, TG_GET, "/sync/v1/stream");
}

static void begin(struct given *g)
{
    begin_with(g, mint_keys(NULL, NULL, TG_ALG_NONE));
}

/* Takes `token`. */
static void with_token(struct given *g, char *token)
{
    g->value = bearer(token);
    free(token);
    request_field(&g->r, "Authorization", g->value);
}

static char *user_token(const char *more)
{
    char *claims = mint_claims(more);
    char *token = mint_hs(claims);

    free(claims);
    return token;
}

static char *es_token(const struct given *g)
{
    char *claims = mint_claims("");
    char *token = mint_signed(TG_ALG_ES256, "k1", g->key, claims);

    free(claims);
    return token;
}

static void on_answer(enum tg_rc rc, struct tg_token *token, void *arg)
{
    struct given *g = arg;

    g->n_answers++;
    g->rc = rc;
    g->has_token = token != NULL;
    g->has_user = token != NULL && token->has_user;
    tg_token_unref(token);
}

static void ask_user(struct given *g)
{
    g->x = tg_exchange_create(&g->fleet.workers[0], &g->r.conn, &g->r.req);
    tg_bearer_user(g->x, on_answer, g, &g->wait);
}

static void ask_route(struct given *g, enum tg_policy policy)
{
    g->x = tg_exchange_create(&g->fleet.workers[0], &g->r.conn, &g->r.req);
    tg_bearer_route(g->x, policy, on_answer, g, &g->wait);
}

static void answer_key(const struct given *g, const char *kid)
{
    char *jwk = mint_jwk(g->key, kid, TG_ALG_ES256);
    const char *const entries[] = {jwk};
    char *text = mint_jwks(entries, 1);

    fetch_seen.done(TG_OK, 200, tg_str_of(text), fetch_seen.arg);
    free(text);
    free(jwk);
}

static void finish(struct given *g)
{
    request_drop(&g->r);
    fleet_drop(&g->fleet);
    EVP_PKEY_free(g->key);
    free(g->value);
}

Test(bearer, user_is_let_in)
{
    struct given g;

    begin(&g);
    with_token(&g, user_token(""));
    ask_user(&g);
    cr_assert_eq(g.n_answers, 1);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert(g.has_user);
    cr_assert_null(g.wait);
    finish(&g);
}

Test(bearer, own_endpoints_need_a_token)
{
    static const char *const values[] = {NULL, "", "Basic dXNlcjpwYXNz", "Bearer ",
                                         "Bearer sb_publishable_abc"};

    for (size_t i = 0; i < TG_ARRAY_LEN(values); i++) {
        struct given g;

        begin(&g);
        if (values[i] != NULL) {
            request_field(&g.r, "Authorization", values[i]);
        }
        ask_user(&g);
        cr_assert_eq(g.rc, TG_ENOTOKEN, "%zu", i);
        cr_assert_eq(g.n_answers, 1);
        finish(&g);
    }
}

Test(bearer, two_authorizations_are_ambiguous)
{
    struct given g;

    begin(&g);
    with_token(&g, user_token(""));
    request_field(&g.r, "authorization", g.value);
    ask_user(&g);
    cr_assert_eq(g.rc, TG_EAMBIGUOUS);
    finish(&g);
}

Test(bearer, projects_own_key_is_no_user)
{
    struct given g;
    char *token = user_token("");

    begin(&g);
    with_token(&g, tg_strdup(token));
    g.fleet.opts.keys.anon = tg_str_of(token);
    ask_user(&g);
    cr_assert_eq(g.rc, TG_ENOTOKEN);
    finish(&g);
    free(token);
}

Test(bearer, service_role_is_no_user)
{
    struct given g;

    begin(&g);
    with_token(&g, mint_hs("{\"iss\":\"supabase\",\"role\":\"service_role\",\"exp\":1890000000}"));
    ask_user(&g);
    cr_assert_eq(g.rc, TG_ENOTOKEN);
    cr_assert_not(g.has_token);
    finish(&g);
}

Test(bearer, own_endpoints_allow_no_skew_and_routes_the_configured_one)
{
    struct given g;
    const char *claims = "{\"sub\":\"u\",\"role\":\"authenticated\",\"exp\":1789999990}";

    begin(&g);
    g.fleet.opts.skew_sec = 30;
    with_token(&g, mint_hs(claims));
    ask_user(&g);
    cr_assert_eq(g.rc, TG_EEXPIRED);
    ask_route(&g, TG_TOKEN_REQUIRE);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert_eq(g.n_answers, 2);
    finish(&g);
}

Test(bearer, routes_ask_what_their_policy_says)
{
    static const struct {
        enum tg_policy policy;
        const char *value;
        enum tg_rc rc;
    } table[] = {
        {TG_TOKEN_OFF, NULL, TG_OK},
        {TG_TOKEN_OFF, "Bearer a.b.c", TG_OK},
        {TG_TOKEN_VERIFY, NULL, TG_OK},
        {TG_TOKEN_VERIFY, "Basic dXNlcjpwYXNz", TG_OK},
        {TG_TOKEN_VERIFY, "Bearer sb_secret_abc", TG_OK},
        {TG_TOKEN_VERIFY, "Bearer a.b.c", TG_EBADTOKEN},
        {TG_TOKEN_REQUIRE, NULL, TG_ENOTOKEN},
        {TG_TOKEN_REQUIRE, "Bearer sb_publishable_abc", TG_ENOTOKEN},
        {TG_TOKEN_REQUIRE, "Bearer a.b.c", TG_EBADTOKEN},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(table); i++) {
        struct given g;

        begin(&g);
        if (table[i].value != NULL) {
            request_field(&g.r, "Authorization", table[i].value);
        }
        ask_route(&g, table[i].policy);
        cr_assert_eq(g.rc, table[i].rc, "%zu", i);
        cr_assert_eq(g.n_answers, 1);
        cr_assert_not(g.has_token);
        finish(&g);
    }
}

Test(bearer, hmac_is_the_upstreams_affair_without_a_secret)
{
    struct given g;
    struct tg_keys *keys = NULL;

    cr_assert_eq(tg_keys_create(TG_STR(""), TG_STR(""), &keys), TG_OK);
    begin_with(&g, keys);
    with_token(&g, user_token(""));
    ask_route(&g, TG_TOKEN_VERIFY);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert_not(g.has_token);
    ask_route(&g, TG_TOKEN_REQUIRE);
    cr_assert_neq(g.rc, TG_OK, "where a user is required nobody else judges");
    finish(&g);
}

Test(bearer, unknown_key_waits_for_the_fetch)
{
    struct given g;

    begin(&g);
    with_token(&g, es_token(&g));
    ask_user(&g);
    cr_assert_eq(g.n_answers, 0);
    cr_assert_not_null(g.wait);
    answer_key(&g, "k1");
    cr_assert_eq(g.n_answers, 1);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert(g.has_user);
    finish(&g);
}

Test(bearer, key_that_the_fetch_does_not_give_is_a_bad_token)
{
    struct given g;

    begin(&g);
    with_token(&g, es_token(&g));
    ask_user(&g);
    answer_key(&g, "k2");
    cr_assert_eq(g.n_answers, 1);
    cr_assert_eq(g.rc, TG_EBADTOKEN);
    finish(&g);
}

Test(bearer, failed_fetch_says_nothing_about_the_token)
{
    struct given g;

    begin(&g);
    with_token(&g, es_token(&g));
    ask_route(&g, TG_TOKEN_VERIFY);
    fetch_seen.done(TG_EREFUSED, 0, TG_STR(""), fetch_seen.arg);
    cr_assert_eq(g.n_answers, 1);
    cr_assert_eq(g.rc, TG_ENOTREADY);
    finish(&g);
}

Test(bearer, cancelled_wait_is_not_answered)
{
    struct given g;

    begin(&g);
    with_token(&g, es_token(&g));
    ask_user(&g);
    tg_bearer_cancel(g.wait);
    answer_key(&g, "k1");
    cr_assert_eq(g.n_answers, 0);
    finish(&g);
}

/* ---- callers: a user, a ticket, nobody ---- */

#define ANON "sb_publishable_a"
#define SERVICE "sb_secret_s"

static struct tg_seal *seal;

static void begin_caller(struct given *g)
{
    begin(g);
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
    finish(g);
}

static void ask_caller(struct given *g)
{
    g->x = tg_exchange_create(&g->fleet.workers[0], &g->r.conn, &g->r.req);
    tg_bearer_caller(g->x, on_answer, g, &g->wait);
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
    with_token(&g, user_token(""));
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

/* ---- who has signed out ---- */

Test(bearer, who_has_signed_out_is_refused_here_and_passed_upstream)
{
    struct given g;
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *text = user_token(",\"session_id\":\"s1\"");
    const struct tg_token_opts opts = {.now = NOW};
    TG_CLEANUP(tg_buf_fini) struct tg_buf key = {.max = TG_DENY_KEY_MAX};
    struct tg_token *t = NULL;
    struct tg_deny *deny = tg_deny_create(4);

    cr_assert_eq(tg_token_verify(keys, tg_str_of(text), &opts, &t), TG_OK);
    tg_deny_key(&(struct tg_deny_rule){.user = tg_str_of(t->user_id), .session = t->session_id},
                &key);
    cr_assert(tg_deny_put(deny, tg_buf_view(&key), t->exp_sec, NOW_SEC));
    tg_token_unref(t);
    tg_keys_unref(keys);

    begin(&g);
    g.fleet.workers[0].deny = deny;
    with_token(&g, text);
    ask_user(&g);
    cr_assert_eq(g.rc, TG_ESIGNEDOUT);
    cr_assert_not(g.has_token);
    tg_bearer_route(g.x, TG_TOKEN_REQUIRE, on_answer, &g, &g.wait);
    cr_assert_eq(g.rc, TG_OK);
    finish(&g);

    begin(&g);
    g.fleet.workers[0].deny = deny;
    with_token(&g, user_token(",\"session_id\":\"s2\""));
    ask_user(&g);
    cr_assert_eq(g.rc, TG_OK);
    finish(&g);
    tg_deny_destroy(deny);
}

/* ---- tokens in messages ---- */

Test(bearer, text_of_a_message_is_asked_the_same)
{
    struct given g;
    char *good = user_token("");
    char *service = mint_hs("{\"iss\":\"supabase\",\"role\":\"service_role\"}");

    begin(&g);
    tg_bearer_text(&g.fleet.workers[0], ADDRESS, tg_str_of(good), on_answer, &g, &g.wait);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert(g.has_user);
    tg_bearer_text(&g.fleet.workers[0], ADDRESS, tg_str_of(service), on_answer, &g, &g.wait);
    cr_assert_eq(g.rc, TG_ENOTOKEN);
    tg_bearer_text(&g.fleet.workers[0], ADDRESS, TG_STR(""), on_answer, &g, &g.wait);
    cr_assert_eq(g.rc, TG_EBADTOKEN);
    cr_assert_eq(g.n_answers, 3);
    free(good);
    free(service);
    finish(&g);
}

Test(bearer, text_outlives_its_message_while_it_waits_for_keys)
{
    struct given g;
    char *text = NULL;

    begin(&g);
    text = es_token(&g);
    tg_bearer_text(&g.fleet.workers[0], ADDRESS, tg_str_of(text), on_answer, &g, &g.wait);
    cr_assert_not_null(g.wait);
    memset(text, 'x', strlen(text));
    answer_key(&g, "k1");
    fleet_turns(&g.fleet);
    cr_assert_eq(g.rc, TG_OK);
    free(text);
    finish(&g);
}

Test(bearer, watch_forgives_the_skew_and_asks_for_a_user)
{
    struct given g;
    char *late = mint_hs("{\"sub\":\"u\",\"exp\":1789999990}");

    begin(&g);
    g.fleet.opts.skew_sec = 30;
    tg_bearer_watch(&g.fleet.workers[0], ADDRESS, tg_str_of(late), on_answer, &g, &g.wait);
    cr_assert_eq(g.rc, TG_OK);
    tg_bearer_text(&g.fleet.workers[0], ADDRESS, tg_str_of(late), on_answer, &g, &g.wait);
    cr_assert_eq(g.rc, TG_EEXPIRED);
    free(late);
    finish(&g);
}
