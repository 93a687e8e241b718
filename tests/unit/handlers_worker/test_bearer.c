/* test_bearer.c - what each kind of Authorization means, with and without keys to wait for. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "auth/jwks.h"
#include "auth/token.h"
#include "bearers.h"
#include "handlers/deny.h"

static void ask_user(struct given *g)
{
    g->x = tg_exchange_create(&g->fleet.workers[0], &g->r.conn, &g->r.req);
    tg_bearer_user(g->x, bearer_on_answer, g, &g->wait);
}

static void ask_route(struct given *g, enum tg_policy policy)
{
    g->x = tg_exchange_create(&g->fleet.workers[0], &g->r.conn, &g->r.req);
    tg_bearer_route(g->x, policy, bearer_on_answer, g, &g->wait);
}

Test(bearer, user_is_let_in)
{
    struct given g;

    bearer_begin(&g);
    bearer_with(&g, user_token(""));
    ask_user(&g);
    cr_assert_eq(g.n_answers, 1);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert(g.has_user);
    cr_assert_null(g.wait);
    bearer_finish(&g);
}

Test(bearer, own_endpoints_need_a_token)
{
    static const char *const values[] = {NULL, "", "Basic dXNlcjpwYXNz", "Bearer ",
                                         "Bearer sb_publishable_abc"};

    for (size_t i = 0; i < TG_ARRAY_LEN(values); i++) {
        struct given g;

        bearer_begin(&g);
        if (values[i] != NULL) {
            request_field(&g.r, "Authorization", values[i]);
        }
        ask_user(&g);
        cr_assert_eq(g.rc, TG_ENOTOKEN, "%zu", i);
        cr_assert_eq(g.n_answers, 1);
        bearer_finish(&g);
    }
}

Test(bearer, two_authorizations_are_ambiguous)
{
    struct given g;

    bearer_begin(&g);
    bearer_with(&g, user_token(""));
    request_field(&g.r, "authorization", g.value);
    ask_user(&g);
    cr_assert_eq(g.rc, TG_EAMBIGUOUS);
    bearer_finish(&g);
}

Test(bearer, projects_own_key_is_no_user)
{
    struct given g;
    char *token = user_token("");

    bearer_begin(&g);
    bearer_with(&g, tg_strdup(token));
    g.fleet.opts.keys.anon = tg_str_of(token);
    ask_user(&g);
    cr_assert_eq(g.rc, TG_ENOTOKEN);
    bearer_finish(&g);
    free(token);
}

Test(bearer, service_role_is_no_user)
{
    struct given g;

    bearer_begin(&g);
    bearer_with(&g, mint_hs("{\"iss\":\"supabase\",\"role\":\"service_role\",\"exp\":1890000000}"));
    ask_user(&g);
    cr_assert_eq(g.rc, TG_ENOTOKEN);
    cr_assert_not(g.has_token);
    bearer_finish(&g);
}

Test(bearer, own_endpoints_allow_no_skew_and_routes_the_configured_one)
{
    struct given g;
    const char *claims = "{\"sub\":\"u\",\"role\":\"authenticated\",\"exp\":1789999990}";

    bearer_begin(&g);
    g.fleet.opts.skew_sec = 30;
    bearer_with(&g, mint_hs(claims));
    ask_user(&g);
    cr_assert_eq(g.rc, TG_EEXPIRED);
    ask_route(&g, TG_TOKEN_REQUIRE);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert_eq(g.n_answers, 2);
    bearer_finish(&g);
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

        bearer_begin(&g);
        if (table[i].value != NULL) {
            request_field(&g.r, "Authorization", table[i].value);
        }
        ask_route(&g, table[i].policy);
        cr_assert_eq(g.rc, table[i].rc, "%zu", i);
        cr_assert_eq(g.n_answers, 1);
        cr_assert_not(g.has_token);
        bearer_finish(&g);
    }
}

Test(bearer, hmac_is_the_upstreams_affair_without_a_secret)
{
    struct given g;
    struct tg_keys *keys = NULL;

    cr_assert_eq(tg_keys_create(TG_STR(""), TG_STR(""), &keys), TG_OK);
    bearer_begin_with(&g, keys);
    bearer_with(&g, user_token(""));
    ask_route(&g, TG_TOKEN_VERIFY);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert_not(g.has_token);
    ask_route(&g, TG_TOKEN_REQUIRE);
    cr_assert_neq(g.rc, TG_OK, "where a user is required nobody else judges");
    bearer_finish(&g);
}

Test(bearer, unknown_key_waits_for_the_fetch)
{
    struct given g;

    bearer_begin(&g);
    bearer_with(&g, es_token(&g));
    ask_user(&g);
    cr_assert_eq(g.n_answers, 0);
    cr_assert_not_null(g.wait);
    answer_key(&g, "k1");
    cr_assert_eq(g.n_answers, 1);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert(g.has_user);
    bearer_finish(&g);
}

Test(bearer, key_that_the_fetch_does_not_give_is_a_bad_token)
{
    struct given g;

    bearer_begin(&g);
    bearer_with(&g, es_token(&g));
    ask_user(&g);
    answer_key(&g, "k2");
    cr_assert_eq(g.n_answers, 1);
    cr_assert_eq(g.rc, TG_EBADTOKEN);
    bearer_finish(&g);
}

Test(bearer, failed_fetch_says_nothing_about_the_token)
{
    struct given g;

    bearer_begin(&g);
    bearer_with(&g, es_token(&g));
    ask_route(&g, TG_TOKEN_VERIFY);
    fetch_seen.done(TG_EREFUSED, 0, TG_STR(""), fetch_seen.arg);
    cr_assert_eq(g.n_answers, 1);
    cr_assert_eq(g.rc, TG_ENOTREADY);
    bearer_finish(&g);
}

Test(bearer, cancelled_wait_is_not_answered)
{
    struct given g;

    bearer_begin(&g);
    bearer_with(&g, es_token(&g));
    ask_user(&g);
    tg_bearer_cancel(g.wait);
    answer_key(&g, "k1");
    cr_assert_eq(g.n_answers, 0);
    bearer_finish(&g);
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

    bearer_begin(&g);
    g.fleet.workers[0].deny = deny;
    bearer_with(&g, text);
    ask_user(&g);
    cr_assert_eq(g.rc, TG_ESIGNEDOUT);
    cr_assert_not(g.has_token);
    tg_bearer_route(g.x, TG_TOKEN_REQUIRE, bearer_on_answer, &g, &g.wait);
    cr_assert_eq(g.rc, TG_OK);
    bearer_finish(&g);

    bearer_begin(&g);
    g.fleet.workers[0].deny = deny;
    bearer_with(&g, user_token(",\"session_id\":\"s2\""));
    ask_user(&g);
    cr_assert_eq(g.rc, TG_OK);
    bearer_finish(&g);
    tg_deny_destroy(deny);
}

/* ---- tokens in messages ---- */

Test(bearer, text_of_a_message_is_asked_the_same)
{
    struct given g;
    char *good = user_token("");
    char *service = mint_hs("{\"iss\":\"supabase\",\"role\":\"service_role\"}");

    bearer_begin(&g);
    tg_bearer_text(&g.fleet.workers[0], ADDRESS, tg_str_of(good), bearer_on_answer, &g, &g.wait);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert(g.has_user);
    tg_bearer_text(&g.fleet.workers[0], ADDRESS, tg_str_of(service), bearer_on_answer, &g, &g.wait);
    cr_assert_eq(g.rc, TG_ENOTOKEN);
    tg_bearer_text(&g.fleet.workers[0], ADDRESS, TG_STR(""), bearer_on_answer, &g, &g.wait);
    cr_assert_eq(g.rc, TG_EBADTOKEN);
    cr_assert_eq(g.n_answers, 3);
    free(good);
    free(service);
    bearer_finish(&g);
}

Test(bearer, text_outlives_its_message_while_it_waits_for_keys)
{
    struct given g;
    char *text = NULL;

    bearer_begin(&g);
    text = es_token(&g);
    tg_bearer_text(&g.fleet.workers[0], ADDRESS, tg_str_of(text), bearer_on_answer, &g, &g.wait);
    cr_assert_not_null(g.wait);
    memset(text, 'x', strlen(text));
    answer_key(&g, "k1");
    fleet_turns(&g.fleet);
    cr_assert_eq(g.rc, TG_OK);
    free(text);
    bearer_finish(&g);
}

Test(bearer, watch_forgives_the_skew_and_asks_for_a_user)
{
    struct given g;
    char *late = mint_hs("{\"sub\":\"u\",\"exp\":1789999990}");

    bearer_begin(&g);
    g.fleet.opts.skew_sec = 30;
    tg_bearer_watch(&g.fleet.workers[0], ADDRESS, tg_str_of(late), bearer_on_answer, &g, &g.wait);
    cr_assert_eq(g.rc, TG_OK);
    tg_bearer_text(&g.fleet.workers[0], ADDRESS, tg_str_of(late), bearer_on_answer, &g, &g.wait);
    cr_assert_eq(g.rc, TG_EEXPIRED);
    free(late);
    bearer_finish(&g);
}
