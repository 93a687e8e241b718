/* The command line. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "config/config.h"
#include "config/load.h"
#include "server/check_as.h"
#include "server/cli.h"

enum { MAX_WORDS = 8 };

/* argv or environment as main gets them. */
struct words {
    char *v[MAX_WORDS + 1];
    int n;
};

static void words_init(struct words *w, const char *const *from)
{
    *w = (struct words){.n = 0};
    for (; from[w->n] != NULL; w->n++) {
        TG_ASSERT(w->n < MAX_WORDS);
        w->v[w->n] = tg_strdup(from[w->n]);
    }
}

static void words_fini(struct words *w)
{
    while (w->n > 0) {
        free(w->v[--w->n]);
    }
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
static const char *const nothing[] = {NULL};

struct parsed {
    enum tg_rc rc;
    enum tg_cli_action action;
    char path[64];
};

static struct parsed parse(const char *const *args, const char *const *environment)
{
    struct words argv;
    struct words env;
    struct tg_cli cli = {.action = TG_CLI_RUN};
    struct tg_buf err;
    struct parsed parsed = {.path = ""};

    words_init(&argv, args);
    words_init(&env, environment);
    tg_buf_init(&err, 4096);
    parsed.rc = tg_cli_parse(argv.n, argv.v, env.v, &cli, &err);
    parsed.action = cli.action;
    if (cli.path != NULL) {
        TG_ASSERT(strlen(cli.path) < sizeof(parsed.path));
        memcpy(parsed.path, cli.path, strlen(cli.path) + 1);
    }
    cr_expect_eq(err.n == 0, parsed.rc == TG_OK);
    tg_buf_fini(&err);
    words_fini(&env);
    words_fini(&argv);
    return parsed;
}

Test(cli, without_arguments_the_gateway_runs_without_a_file)
{
    struct parsed p = parse(WORDS("tidegate"), nothing);

    cr_assert_eq(p.rc, TG_OK);
    cr_assert_eq(p.action, TG_CLI_RUN);
    cr_assert_str_eq(p.path, "");
}

Test(cli, the_file_is_given_in_three_ways_or_by_the_environment)
{
    cr_expect_str_eq(parse(WORDS("tidegate", "-c", "a.yaml"), nothing).path, "a.yaml");
    cr_expect_str_eq(parse(WORDS("tidegate", "--config", "a.yaml"), nothing).path, "a.yaml");
    cr_expect_str_eq(parse(WORDS("tidegate", "--config=a.yaml"), nothing).path, "a.yaml");
    cr_expect_str_eq(parse(WORDS("tidegate"), WORDS("TIDEGATE_CONFIG=b.yaml")).path, "b.yaml");
    cr_expect_str_eq(parse(WORDS("tidegate"), WORDS("TIDEGATE_CONFIG=")).path, "");
    cr_expect_str_eq(parse(WORDS("tidegate", "-c", "a.yaml"), WORDS("TIDEGATE_CONFIG=b.yaml")).path,
                     "a.yaml");
}

Test(cli, each_option_is_an_action)
{
    cr_expect_eq(parse(WORDS("tidegate", "--check"), nothing).action, TG_CLI_CHECK);
    cr_expect_eq(parse(WORDS("tidegate", "-c", "a", "--dump"), nothing).action, TG_CLI_DUMP);
    cr_expect_eq(parse(WORDS("tidegate", "--config-doc"), nothing).action, TG_CLI_CONFIG_DOC);
    cr_expect_eq(parse(WORDS("tidegate", "-h"), nothing).action, TG_CLI_HELP);
    cr_expect_eq(parse(WORDS("tidegate", "--help"), nothing).action, TG_CLI_HELP);
    cr_expect_eq(parse(WORDS("tidegate", "-V"), nothing).action, TG_CLI_VERSION);
    cr_expect_eq(parse(WORDS("tidegate", "--version"), nothing).action, TG_CLI_VERSION);
}

Test(cli, what_makes_no_sense_is_refused)
{
    cr_expect_eq(parse(WORDS("tidegate", "--chek"), nothing).rc, TG_EBADPARAM);
    cr_expect_eq(parse(WORDS("tidegate", "a.yaml"), nothing).rc, TG_EBADPARAM);
    cr_expect_eq(parse(WORDS("tidegate", "-c"), nothing).rc, TG_EBADPARAM);
    cr_expect_eq(parse(WORDS("tidegate", "--config="), nothing).rc, TG_EBADPARAM);
    cr_expect_eq(parse(WORDS("tidegate", "-c", "a", "-c", "b"), nothing).rc, TG_EBADPARAM);
    cr_expect_eq(parse(WORDS("tidegate", "--check", "--dump"), nothing).rc, TG_EBADPARAM);
}

Test(cli, a_check_as_a_user_takes_a_token)
{
    cr_expect_eq(parse(WORDS("tidegate", "--check", "--as", "a.b.c"), nothing).rc, TG_OK);
    cr_expect_eq(parse(WORDS("tidegate", "--as=a.b.c", "--check"), nothing).rc, TG_OK);
    cr_expect_eq(parse(WORDS("tidegate", "--as", "a.b.c"), nothing).rc, TG_EBADPARAM);
    cr_expect_eq(parse(WORDS("tidegate", "--dump", "--as", "a"), nothing).rc, TG_EBADPARAM);
    cr_expect_eq(parse(WORDS("tidegate", "--check", "--as"), nothing).rc, TG_EBADPARAM);
    cr_expect_eq(parse(WORDS("tidegate", "--check", "--as="), nothing).rc, TG_EBADPARAM);
    cr_expect_eq(parse(WORDS("tidegate", "--check", "--as=a", "--as=b"), nothing).rc, TG_EBADPARAM);
}

static enum tg_rc read_as(const char *token)
{
    struct tg_buf err = {.max = 4096};
    enum tg_rc rc = tg_check_as_token(token, &err);

    cr_expect_eq(err.n == 0, rc == TG_OK);
    tg_buf_fini(&err);
    return rc;
}

Test(cli, the_token_of_a_check_must_name_a_user)
{
    /* {"sub":"u","role":"authenticated","exp":1}, {"role":"anon","exp":1} */
    cr_expect_eq(read_as("e30.eyJzdWIiOiJ1Iiwicm9sZSI6ImF1dGhlbnRpY2F0ZWQiLCJleHAiOjF9.x"), TG_OK);
    cr_expect_eq(read_as("e30.eyJyb2xlIjoiYW5vbiIsImV4cCI6MX0.x"), TG_EBADTOKEN);
    cr_expect_eq(read_as("e30.eyJzdWIiOiJ1"), TG_EBADTOKEN);
    cr_expect_eq(read_as("sb_secret_x"), TG_EBADTOKEN);
    cr_expect_eq(read_as(""), TG_EBADTOKEN);
}

struct acted {
    enum tg_exit status;
    struct tg_config *cfg;
    struct tg_buf out;
    struct tg_buf err;
};

static void act(struct acted *a, enum tg_cli_action action, const char *const *environment)
{
    struct tg_cli cli = {.action = action};
    struct words env;

    *a = (struct acted){.cfg = NULL};
    tg_buf_init(&a->out, TG_CLI_TEXT_MAX);
    tg_buf_init(&a->err, TG_CLI_TEXT_MAX);
    words_init(&env, environment);
    a->status = tg_cli_act(&cli, "1.2.3", env.v, &a->cfg, &a->out, &a->err);
    words_fini(&env);
}

static void acted_fini(struct acted *a)
{
    tg_config_destroy(a->cfg);
    tg_buf_fini(&a->out);
    tg_buf_fini(&a->err);
}

static const char *const project[] = {"TIDEGATE_SUPABASE_URL=http://a",
                                      "TIDEGATE_SUPABASE_ANON_KEY=secret-enough", NULL};

Test(cli, help_and_version_need_no_configuration)
{
    struct acted a;

    act(&a, TG_CLI_VERSION, nothing);
    cr_assert_eq(a.status, TG_EXIT_OK);
    cr_assert_str_eq(tg_buf_cstr(&a.out), "tidegate 1.2.3\n");
    acted_fini(&a);
    act(&a, TG_CLI_HELP, nothing);
    cr_assert_eq(a.status, TG_EXIT_OK);
    cr_assert(tg_str_has_prefix(tg_buf_view(&a.out), TG_STR("usage: tidegate ")));
    acted_fini(&a);
    act(&a, TG_CLI_CONFIG_DOC, nothing);
    cr_assert_eq(a.status, TG_EXIT_OK);
    cr_assert(tg_str_has_prefix(tg_buf_view(&a.out), TG_STR("# Configuration\n")));
    acted_fini(&a);
}

Test(cli, check_and_dump_end_with_a_status_that_tells)
{
    struct acted a;

    act(&a, TG_CLI_CHECK, project);
    cr_assert_eq(a.status, TG_EXIT_OK);
    cr_assert_eq(a.err.n, 0);
    acted_fini(&a);
    act(&a, TG_CLI_CHECK, nothing);
    cr_assert_eq(a.status, TG_EXIT_CONFIG);
    cr_assert_eq(a.out.n, 0);
    cr_assert(strstr(tg_buf_cstr(&a.err), "supabase.url is required"));
    acted_fini(&a);
    act(&a, TG_CLI_DUMP, project);
    cr_assert_eq(a.status, TG_EXIT_OK);
    cr_assert_null(a.cfg);
    cr_assert(strstr(tg_buf_cstr(&a.out), "  url: \"http://a\" # environment\n"));
    cr_assert_null(strstr(tg_buf_cstr(&a.out), "secret-enough"));
    acted_fini(&a);
}

Test(cli, run_hands_the_configuration_over)
{
    struct acted a;

    act(&a, TG_CLI_RUN, project);
    cr_assert_eq(a.status, TG_EXIT_OK);
    cr_assert_str_eq(a.cfg->supabase.url, "http://a");
    cr_assert_eq(a.out.n, 0);
    acted_fini(&a);
    act(&a, TG_CLI_RUN, nothing);
    cr_assert_eq(a.status, TG_EXIT_CONFIG);
    cr_assert_null(a.cfg);
    acted_fini(&a);
}

Test(cli, begin_says_whether_to_run)
{
    struct words argv;
    struct words env;
    struct tg_config *cfg = NULL;
    enum tg_exit status = TG_EXIT_FAILED;

    words_init(&argv, WORDS("tidegate"));
    words_init(&env, project);
    cr_assert(tg_cli_begin(argv.n, argv.v, env.v, "1", &cfg, &status));
    cr_assert_eq(status, TG_EXIT_OK);
    cr_assert_not_null(cfg);
    tg_config_destroy(cfg);
    words_fini(&argv);
    words_init(&argv, WORDS("tidegate", "--version"));
    cr_assert_not(tg_cli_begin(argv.n, argv.v, env.v, "1", &cfg, &status));
    cr_assert_eq(status, TG_EXIT_OK);
    words_fini(&argv);
    words_init(&argv, WORDS("tidegate", "--nonsense"));
    cr_assert_not(tg_cli_begin(argv.n, argv.v, env.v, "1", &cfg, &status));
    cr_assert_eq(status, TG_EXIT_USAGE);
    words_fini(&argv);
    words_fini(&env);
}
