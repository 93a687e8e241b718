/* Defaults, file, environment and rules, as an operator meets them. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "config/value.h"
#include "given.h"

Test(load, defaults_and_a_file_make_a_configuration)
{
    struct given g;

    given_load(&g,
               "supabase:\n  url: https://abc.supabase.co\n  anon_key: \"a key\"\n"
               "server:\n  listen: '[::]:0'\n  trusted_proxies: [10.0.0.0/8, '::1']\n",
               NULL);
    cr_assert_eq(g.rc, TG_OK, "%s", tg_buf_cstr(&g.errors));
    cr_assert_str_eq(g.cfg->server.listen, "[::]:0");
    cr_assert_str_eq(g.cfg->supabase.anon_key, "a key");
    cr_assert_eq(g.cfg->server.trusted_proxies.n, 2);
    cr_assert_str_eq(g.cfg->server.trusted_proxies.items[1], "::1");
    cr_assert_eq(g.cfg->timeouts.head_ms, 10000);
    cr_assert_eq(g.cfg->auth.verify_rest, TG_POLICY_VERIFY);
    cr_assert_str_eq(g.cfg->store.url, "");
    given_fini(&g);
}

Test(load, the_environment_wins_over_the_file)
{
    static const char *const environment[] = {
        "PATH=/bin",
        "TIDEGATE_SUPABASE_URL=http://127.0.0.1:1",
        "TIDEGATE_SUPABASE_ANON_KEY=k=with=equals",
        "TIDEGATE_SERVER_WORKERS=3",
        "TIDEGATE_CORS_ORIGINS=https://a.b, https://c.d",
        NULL,
    };
    struct given g;

    given_load(&g, "server:\n  workers: 2\n  max_connections: 50\n", environment);
    cr_assert_eq(g.rc, TG_OK, "%s", tg_buf_cstr(&g.errors));
    cr_assert_eq(g.cfg->server.workers, 3);
    cr_assert_eq(g.cfg->server.max_connections, 50);
    cr_assert_str_eq(g.cfg->supabase.anon_key, "k=with=equals");
    cr_assert_eq(g.cfg->cors.origins.n, 2);
    cr_assert_str_eq(g.cfg->cors.origins.items[1], "https://c.d");
    given_fini(&g);
}

Test(load, an_empty_variable_counts_as_not_set)
{
    static const char *const environment[] = {"TIDEGATE_SUPABASE_URL=http://a",
                                              "TIDEGATE_SUPABASE_ANON_KEY=k",
                                              "TIDEGATE_SERVER_WORKERS=", NULL};
    struct given g;

    given_load(&g, "server:\n  workers: 2\n", environment);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert_eq(g.cfg->server.workers, 2);
    given_fini(&g);
}

Test(load, an_unknown_variable_is_refused_but_not_a_container_engines)
{
    static const char *const environment[] = {"TIDEGATE_SUPABASE_URL=http://a",
                                              "TIDEGATE_SUPABASE_ANON_KEY=k",
                                              "TIDEGATE_CONFIG=/x",
                                              "TIDEGATE_PORT_8080_TCP=tcp://10.0.0.1:8080",
                                              "TIDEGATE_SERVICE_HOST=10.0.0.1",
                                              "TIDEGATE_SERVER_LISTN=127.0.0.1:1",
                                              NULL};
    struct given g;

    given_load(&g, NULL, environment);
    cr_assert_eq(g.rc, TG_EBADPARAM);
    cr_assert_str_eq(
        tg_buf_cstr(&g.errors),
        "environment: \"TIDEGATE_SERVER_LISTN\" is not a key; docs/CONFIG.md lists them\n");
    given_fini(&g);
}

Test(load, a_bad_variable_is_named_with_what_is_allowed)
{
    static const char *const environment[] = {"TIDEGATE_SUPABASE_URL=http://a",
                                              "TIDEGATE_SUPABASE_ANON_KEY=k",
                                              "TIDEGATE_SERVER_WORKERS=many", NULL};
    struct given g;

    given_load(&g, NULL, environment);
    cr_assert_eq(g.rc, TG_EBADPARAM);
    cr_assert_str_eq(tg_buf_cstr(&g.errors),
                     "environment: TIDEGATE_SERVER_WORKERS: server.workers: \"many\" is not "
                     "allowed; allowed: a whole number from 0 to 256\n");
    given_fini(&g);
}

Test(load, an_unknown_key_is_refused_with_file_line_and_the_keys_there_are)
{
    struct given g;

    given_project(&g, "server:\n  workers: 1\n  listn: 127.0.0.1:1\n");
    cr_assert_eq(g.rc, TG_EBADPARAM);
    cr_assert(given_has_error(&g, 3, "\"server.listn\" is not a key; this section has: listen, "));
    given_fini(&g);
}

Test(load, an_unknown_section_is_told_once)
{
    struct given g;

    given_project(&g, "serve:\n  workers: 1\n  deep: {er: 1}\nempty: {}\n");
    cr_assert(given_has_error(&g, 1, "\"serve\" is not a section; there are: server, "));
    cr_assert(given_has_error(&g, 4, "\"empty\" is not a section"));
    cr_assert_not(given_has_text(&g, "serve.workers"));
    cr_assert_not(given_has_text(&g, "serve.deep"));
    given_fini(&g);
}

Test(load, a_key_or_section_that_comes_twice_is_refused)
{
    struct given g;

    given_project(&g, "server:\n  workers: 1\n  workers: 1\nserver:\n  listen: 127.0.0.1:1\n");
    cr_assert_eq(g.rc, TG_EBADPARAM);
    cr_assert(given_has_error(&g, 3, "server.workers: already given in line 2"));
    cr_assert(given_has_error(&g, 4, "server: already begun in line 1"));
    given_fini(&g);
}

Test(load, all_mistakes_are_told_at_once)
{
    struct given g;

    given_load(&g,
               "server:\n  listen: here\n  workers: 1000\n"
               "timeouts:\n  head: 10\n  idle:\n  body_idle: [1s]\n"
               "log: loud\n",
               NULL);
    cr_assert(given_has_error(&g, 2, "server.listen: \"here\" is not allowed; allowed: an IP"));
    cr_assert(given_has_error(&g, 3, "server.workers: \"1000\" is not allowed; allowed: a whole"));
    cr_assert(given_has_error(&g, 5, "timeouts.head: \"10\" is not allowed; allowed: a duration"));
    cr_assert(given_has_error(&g, 6, "timeouts.idle: one value is wanted; allowed: "));
    cr_assert(given_has_error(&g, 7, "timeouts.body_idle: one value is wanted; allowed: "));
    cr_assert(given_has_error(&g, 8, "\"log\" is not a section"));
    cr_assert(given_has_text(&g, "supabase.url is required (or TIDEGATE_SUPABASE_URL)"));
    cr_assert(given_has_text(&g, "supabase.anon_key is required"));
    given_fini(&g);
}

Test(load, a_bad_secret_is_not_repeated)
{
    struct given g;

    given_project(&g, "supabase:\n  jwt_secret: \"hush\\thush\"\n");
    cr_assert(given_has_error(&g, 2, "supabase.jwt_secret: this value is not allowed"));
    cr_assert_not(given_has_text(&g, "hush"));
    given_fini(&g);
}

Test(load, untrusted_text_in_an_error_is_short_and_printable)
{
    char yaml[512] = "server:\n  listen: \"\\e[31m";
    struct given g;

    memset(yaml + strlen(yaml), 'x', 300);
    strncat(yaml, "\"\n", 3);
    given_project(&g, yaml);
    cr_assert(given_has_error(&g, 2, "server.listen: \"?[31mxxx"));
    cr_assert(g.errors.n < 300);
    given_fini(&g);
}

Test(load, what_the_yaml_subset_leaves_out_is_refused)
{
    static const char *const files[] = {
        "server: &a\n  workers: 1\n",
        "server:\n  workers: *a\n",
        "server:\n  workers: !!int 1\n",
        "server:\n  workers: 1\n---\nlog: {}\n",
        "- server\n",
        "server\n",
        "server: [\n",
        "server:\n\tworkers: 1\n",
        "cors:\n  origins: [[a]]\n",
        "cors:\n  origins: [\"https://a,https://b\"]\n",
        "cors:\n  origins: [\"\"]\n",
        "? {a: b}\n: c\n",
        "a: {b: {c: {d: {e: 1}}}}\n",
        "server:\n  workers: \xff\n",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(files); i++) {
        struct given g;

        given_project(&g, files[i]);
        cr_expect_eq(g.rc, TG_EBADPARAM, "%s", files[i]);
        cr_expect(given_has_text(&g, g.path));
        given_fini(&g);
    }
}

Test(load, an_empty_file_or_section_is_fine)
{
    static const char *const files[] = {"",          "# nothing\n",  "---\n",
                                        "server:\n", "server: {}\n", "strict:\n  tables: []\n"};

    for (size_t i = 0; i < TG_ARRAY_LEN(files); i++) {
        struct given g;

        given_project(&g, files[i]);
        cr_expect_eq(g.rc, TG_OK, "%s: %s", files[i], tg_buf_cstr(&g.errors));
        given_fini(&g);
    }
}

Test(load, a_missing_file_is_told)
{
    struct tg_config *cfg = NULL;
    struct tg_buf errors;

    tg_buf_init(&errors, TG_CONFIG_ERRORS_MAX);
    cr_assert_eq(tg_config_load("/nowhere/tidegate.yaml", NULL, &cfg, &errors), TG_EBADPARAM);
    cr_assert(tg_str_has_prefix(tg_buf_view(&errors),
                                TG_STR("/nowhere/tidegate.yaml: there is no such file\n")));
    cr_assert_null(cfg);
    tg_buf_clear(&errors);
    cr_assert_eq(tg_config_load("/", NULL, &cfg, &errors), TG_EBADPARAM);
    cr_assert(tg_str_has_prefix(tg_buf_view(&errors), TG_STR("/: cannot be read\n")));
    tg_buf_fini(&errors);
}

Test(load, a_file_over_one_mebibyte_is_refused)
{
    size_t n = TG_CONFIG_FILE_MAX;
    char *yaml = tg_malloc(n + 2);
    struct given g;

    memset(yaml, '#', n + 1);
    yaml[n] = '\0';
    given_project(&g, yaml);
    cr_expect_eq(g.rc, TG_OK);
    given_fini(&g);
    yaml[n] = '#';
    yaml[n + 1] = '\0';
    given_project(&g, yaml);
    cr_expect_eq(g.rc, TG_EBADPARAM);
    cr_expect(given_has_text(&g, "is larger than 1 MiB"));
    given_fini(&g);
    free(yaml);
}

Test(load, addresses_of_the_project_and_the_gateways_name_are_worked_out)
{
    struct given a;
    struct given b;

    given_project(&a, NULL);
    given_project(&b, "supabase:\n  jwks_url: https://abc.supabase.co/j\n  realtime_url: ws://r/s\n"
                      "gateway:\n  id: edge-1\n");
    cr_assert_str_eq(a.cfg->supabase.jwks_url,
                     "https://abc.supabase.co/auth/v1/.well-known/jwks.json");
    cr_assert_str_eq(a.cfg->supabase.realtime_url, "wss://abc.supabase.co/realtime/v1/websocket");
    cr_assert(strlen(a.cfg->gateway.id) > 9);
    cr_assert_str_eq(b.cfg->supabase.jwks_url, "https://abc.supabase.co/j");
    cr_assert_str_eq(b.cfg->supabase.realtime_url, "ws://r/s");
    cr_assert_str_eq(b.cfg->gateway.id, "edge-1");
    given_fini(&a);
    given_fini(&b);
}

Test(load, rules_between_keys_are_told_with_their_line)
{
    static const struct {
        const char *yaml;
        unsigned line;
        const char *error;
    } cases[] = {
        {"server:\n  listen: 127.0.0.1:9000\nadmin:\n  listen: 127.0.0.1:9000\n", 4,
         "admin.listen: must differ from server.listen"},
        {"limits:\n  head_bytes: 8k\n", 2, "limits.head_bytes: must be at least"},
        {"gateway:\n  group_size: 2\n", 2, "gateway.group_size: several gateways need"},
        {"supabase:\n  forward_client_ip: on\n", 2, "supabase.forward_client_ip: needs"},
        {"supabase:\n  ca_file: /nowhere/ca.pem\n", 2, "supabase.ca_file: cannot be read"},
        {"server:\n  proxy_protocol: on\n", 2, "server.proxy_protocol: needs"},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct given g;

        given_project(&g, cases[i].yaml);
        cr_expect_eq(g.rc, TG_EBADPARAM, "%s", cases[i].yaml);
        cr_expect(given_has_error(&g, cases[i].line, cases[i].error), "%s", tg_buf_cstr(&g.errors));
        given_fini(&g);
    }
}

Test(load, a_secret_key_as_the_anon_key_is_refused)
{
    static const char *const environment[] = {"TIDEGATE_SUPABASE_URL=http://a",
                                              "TIDEGATE_SUPABASE_ANON_KEY=same",
                                              "TIDEGATE_SUPABASE_SERVICE_KEY=same", NULL};
    struct given g;

    given_load(&g, NULL, environment);
    cr_assert(given_has_text(&g, "environment: supabase.anon_key: is a secret key"));
    given_fini(&g);
    given_load(&g, "supabase:\n  url: http://a\n  anon_key: sb_secret_abc\n", NULL);
    cr_assert(given_has_error(&g, 3, "supabase.anon_key: is a secret key"));
    cr_assert_not(given_has_text(&g, "sb_secret_abc"));
    given_fini(&g);
}

Test(load, the_example_file_loads_and_holds_the_defaults)
{
    struct tg_config *example = NULL;
    struct tg_buf errors;

    tg_buf_init(&errors, TG_CONFIG_ERRORS_MAX);
    cr_assert_eq(
        tg_config_load(TG_SOURCE_DIR "/config/tidegate.example.yaml", NULL, &example, &errors),
        TG_OK, "%s", tg_buf_cstr(&errors));
    for (size_t i = 0; i < TG_CONFIG_KEYS; i++) {
        const struct tg_config_key *key = &tg_config_keys()[i];
        struct tg_buf shown;
        struct tg_buf preset;

        tg_buf_init(&shown, 4096);
        tg_buf_init(&preset, 4096);
        tg_value_render(key, example, &shown);
        cr_assert(example->origin[i].from == TG_FROM_DEFAULT ||
                  tg_value_set(key, example, tg_str_of(key->preset)) == TG_OK ||
                  tg_config_key_is_required(key));
        tg_value_render(key, example, &preset);
        cr_expect(example->origin[i].from == TG_FROM_DERIVED || tg_config_key_is_required(key) ||
                      tg_str_eq(tg_buf_view(&shown), tg_buf_view(&preset)),
                  "%s is %s", key->name, tg_buf_cstr(&shown));
        tg_buf_fini(&shown);
        tg_buf_fini(&preset);
    }
    tg_config_destroy(example);
    tg_buf_fini(&errors);
}
