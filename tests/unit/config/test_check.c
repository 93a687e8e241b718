/* Derived values and rules, without a file. */
#include <criterion/criterion.h>

#include "config/check.h"
#include "given.h"

static void count(const char *key, const char *what, void *arg)
{
    unsigned *n = arg;

    cr_assert(key != NULL && what != NULL);
    (*n)++;
}

Test(check, a_loaded_configuration_breaks_no_rule)
{
    struct given g;
    unsigned n = 0;

    given_project(&g, NULL);
    tg_check_rules(g.cfg, count, &n);
    cr_assert_eq(n, 0);
    given_fini(&g);
}

Test(check, deriving_again_changes_nothing)
{
    struct given g;
    const char *id = NULL;
    const char *url = NULL;

    given_project(&g, NULL);
    id = g.cfg->gateway.id;
    url = g.cfg->supabase.jwks_url;
    tg_check_derive(g.cfg);
    cr_assert_eq(g.cfg->gateway.id, id);
    cr_assert_eq(g.cfg->supabase.jwks_url, url);
    given_fini(&g);
}

Test(check, port_zero_on_both_listeners_is_no_clash)
{
    struct given g;

    given_project(&g, "server:\n  listen: 127.0.0.1:0\nadmin:\n  listen: 127.0.0.1:0\n");
    cr_assert_eq(g.rc, TG_OK, "%s", tg_buf_cstr(&g.errors));
    given_fini(&g);
}

Test(check, the_signing_keys_come_from_the_project)
{
    struct given g;

    given_project(&g, "supabase:\n  jwks_url: https://abc.supabase.co.evil.example/jwks.json\n");
    cr_expect_eq(g.rc, TG_EBADPARAM);
    cr_expect(given_has_text(&g, "must be a URL of supabase.url's"));
    given_fini(&g);
}

static enum tg_rc rc_of_secret(const char *yaml, const char *error)
{
    struct given g;
    enum tg_rc rc = TG_OK;

    given_project(&g, yaml);
    rc = g.rc;
    if (error != NULL) {
        cr_expect(given_has_text(&g, error), "%s", tg_buf_cstr(&g.errors));
    }
    given_fini(&g);
    return rc;
}

#define GROUP "store:\n  url: redis://127.0.0.1\ngateway:\n  group_size: 2\n"
#define LONG_ENOUGH "  secret: 0123456789abcdef0123456789abcdef\n"

Test(check, a_group_shares_a_secret_that_is_long_enough)
{
    cr_expect_eq(rc_of_secret(GROUP, "gateway.secret: several gateways need"), TG_EBADPARAM);
    cr_expect_eq(rc_of_secret(GROUP "  secret: short\n", "gateway.secret: must have at least 32"),
                 TG_EBADPARAM);
    cr_expect_eq(rc_of_secret(GROUP LONG_ENOUGH, NULL), TG_OK);
    cr_expect_eq(rc_of_secret("gateway:\n" LONG_ENOUGH, NULL), TG_OK);
}
