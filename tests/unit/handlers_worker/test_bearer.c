/* test_bearer.c - what each kind of Authorization means, with and without keys to wait for. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "auth/token.h"
#include "fakes.h"
#include "handlers/bearer.h"

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
