/* cli.c - argument parsing without the state that getopt keeps, so that tests can repeat it. */
#include "server/cli.h"

#include <errno.h>
#include <unistd.h>

#include "auth/token.h"
#include "config/config.h"
#include "config/doc.h"
#include "config/load.h"
#include "server/check_as.h"
#include "server/declare.h"
#include "server/health.h"

#define HEALTH_TIMEOUT TG_SEC(2)

static const char usage[] =
    "usage: tidegate [-c FILE]\n"
    "                [--check [--as TOKEN | --as -] | --dump | --healthcheck | "
    "--config-doc | --help | --version]\n";

static const char help[] =
    "\n"
    "An HTTP gateway in front of a Supabase project.\n"
    "\n"
    "  -c, --config FILE  read this configuration (YAML); default: $TIDEGATE_CONFIG, or none\n"
    "      --check        check the configuration and end\n"
    "      --as TOKEN     with --check: ask the project what the topics would show the user of "
    "this\n"
    "                     access token, against what the policies show, and what is missing;\n"
    "                     -: the token is read from standard input, unseen by other users\n"
    "      --dump         print the configuration in force, secrets starred, and end\n"
    "      --healthcheck  ask the gateway that runs with this configuration whether it is ready\n"
    "                     (admin.listen, /readyz), and end with 0 for yes, 1 for no\n"
    "      --config-doc   print the description of every key (docs/CONFIG.md) and end\n"
    "  -h, --help         print this and end\n"
    "  -V, --version      print the version and end\n"
    "\n"
    "Every key can be given as a variable: server.listen is TIDEGATE_SERVER_LISTEN.\n"
    "SIGTERM and SIGINT end the gateway after running requests. SIGHUP reads the file again.\n"
    "\n"
    "Exit status: 0 ended as asked, 1 failed while starting or running (--as: something was\n"
    "found), 2 wrong usage, 3 the configuration is not valid.\n";

struct option {
    const char *name;
    enum tg_cli_action action;
};

static const struct option options[] = {
    {"--check", TG_CLI_CHECK},
    {"--dump", TG_CLI_DUMP},
    {"--config-doc", TG_CLI_CONFIG_DOC},
    {"--healthcheck", TG_CLI_HEALTHCHECK},
    {"--help", TG_CLI_HELP},
    {"--version", TG_CLI_VERSION},
    {"-h", TG_CLI_HELP},
    {"-V", TG_CLI_VERSION},
};

static enum tg_rc refuse(struct tg_buf *err, const char *what, const char *arg)
{
    tg_buf_printf(err, "tidegate: %s: %s\n%s", what, arg, usage);
    return TG_EBADPARAM;
}

static const struct option *option_of(const char *arg)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(options); i++) {
        if (strcmp(arg, options[i].name) == 0) {
            return &options[i];
        }
    }
    return NULL;
}

static const char *path_from(char *const *environment)
{
    static const char name[] = "TIDEGATE_CONFIG=";

    for (char *const *entry = environment; entry != NULL && *entry != NULL; entry++) {
        if (strncmp(*entry, name, sizeof(name) - 1) == 0 && (*entry)[sizeof(name) - 1] != '\0') {
            return *entry + sizeof(name) - 1;
        }
    }
    return NULL;
}

/* NAME VALUE or --name=VALUE. Returns how many arguments it took, 0 for none. */
static int take_value(char *const *argv, const char *name, const char **ret_value)
{
    const size_t n = strlen(name);

    if (strcmp(argv[0], name) == 0) {
        *ret_value = argv[1] == NULL ? "" : argv[1];
        return 2;
    }
    if (n > 2 && strncmp(argv[0], name, n) == 0 && argv[0][n] == '=') {
        *ret_value = argv[0] + n + 1;
        return 1;
    }
    return 0;
}

/* -c FILE, --config FILE, --config=FILE. */
static int take_path(char *const *argv, const char **ret_path)
{
    const int taken = take_value(argv, "-c", ret_path);

    return taken > 0 ? taken : take_value(argv, "--config", ret_path);
}

/* What has a value. Returns how many arguments it took, 0 for none, -1: refused. */
static int take_any(char *const *argv, struct tg_cli *cli, struct tg_buf *err)
{
    const char *value = NULL;
    const char **place = &cli->path;
    int taken = take_path(argv, &value);
    const bool is_path = taken > 0;

    if (!is_path) {
        taken = take_value(argv, "--as", &value);
        place = &cli->as;
    }
    if (taken > 0 && value[0] == '\0') {
        (void)refuse(err, is_path ? "a file is wanted behind" : "a token is wanted behind",
                     argv[0]);
        return -1;
    }
    if (taken > 0 && *place != NULL) {
        (void)refuse(err, is_path ? "only one file can be given" : "only one token can be given",
                     is_path ? argv[0] : "--as");
        return -1;
    }
    if (taken > 0) {
        *place = value;
    }
    return taken;
}

enum tg_rc tg_cli_parse(int argc, char *const *argv, char *const *environment,
                        struct tg_cli *ret_cli, struct tg_buf *err)
{
    struct tg_cli cli = {.action = TG_CLI_RUN};

    for (int i = 1; i < argc; i++) {
        const struct option *option = option_of(argv[i]);
        const int taken = take_any(&argv[i], &cli, err);

        if (taken < 0) {
            return TG_EBADPARAM;
        }
        if (taken > 0) {
            i += taken - 1;
        } else if (option == NULL) {
            return refuse(err, "no such option", argv[i]);
        } else if (cli.action != TG_CLI_RUN && cli.action != option->action) {
            return refuse(err, "only one thing can be done at a time", argv[i]);
        } else {
            cli.action = option->action;
        }
    }
    if (cli.as != NULL && cli.action != TG_CLI_CHECK) {
        return refuse(err, "only together with --check", "--as");
    }
    if (cli.path == NULL) {
        cli.path = path_from(environment);
    }
    *ret_cli = cli;
    return TG_OK;
}

enum tg_rc tg_cli_load(const char *path, char *const *environment, struct tg_config **ret_cfg,
                       struct tg_buf *err)
{
    struct tg_config *cfg = NULL;
    struct tg_declare *declare = NULL;
    enum tg_rc rc = tg_config_load(path, environment, &cfg, err);

    if (rc == TG_OK) {
        rc = tg_declare_create(cfg, path, err, &declare);
    }
    tg_declare_destroy(declare); /* the gateway makes its own */
    if (rc != TG_OK) {
        tg_config_destroy(cfg);
        return rc;
    }
    *ret_cfg = cfg;
    return TG_OK;
}

/* Reads nothing but admin.listen. */
static enum tg_exit ask_health(const struct tg_config *cfg, struct tg_buf *out, struct tg_buf *err)
{
    enum tg_rc rc = tg_health_ask(cfg->admin.listen, HEALTH_TIMEOUT);

    if (rc != TG_OK) {
        tg_buf_printf(err, "tidegate: %s: %s\n", cfg->admin.listen,
                      rc == TG_ENOTREADY ? "not ready" : "no answer");
        return TG_EXIT_FAILED;
    }
    tg_buf_str(out, TG_STR("ready\n"));
    return TG_EXIT_OK;
}

static enum tg_exit check_as(const struct tg_cli *cli, const struct tg_config *cfg,
                             struct tg_buf *out, struct tg_buf *err)
{
    struct tg_declare *declare = NULL;
    size_t n_findings = 0;
    enum tg_rc rc = tg_declare_create(cfg, cli->path, err, &declare);

    if (rc != TG_OK) {
        return TG_EXIT_CONFIG;
    }
    rc = tg_check_as(cfg, declare, cli->as, out, err, &n_findings);
    tg_declare_destroy(declare);
    return rc == TG_OK && n_findings == 0 ? TG_EXIT_OK : TG_EXIT_FAILED;
}

/* The token of `--as -`: all of standard input, without the end of its line. */
static enum tg_rc read_token(struct tg_buf *out, struct tg_buf *err)
{
    char bytes[4096];
    ssize_t n = 0;

    while ((n = read(STDIN_FILENO, bytes, sizeof(bytes))) > 0 || (n < 0 && errno == EINTR)) {
        (void)tg_buf_str(out, tg_str_make(bytes, n > 0 ? (size_t)n : 0));
    }
    while (out->n > 0 && (out->p[out->n - 1] == '\n' || out->p[out->n - 1] == '\r')) {
        out->n--;
    }
    if (n < 0 || tg_buf_rc(out) != TG_OK || out->n == 0) {
        (void)tg_buf_str(err, TG_STR("tidegate: --as -: no token on standard input\n"));
        return TG_EBADTOKEN;
    }
    return TG_OK;
}

static enum tg_exit act_on_config(const struct tg_cli *cli, char *const *environment,
                                  struct tg_config **ret_cfg, struct tg_buf *out,
                                  struct tg_buf *err)
{
    struct tg_config *cfg = NULL;
    enum tg_exit status = TG_EXIT_OK;

    if (cli->as != NULL && tg_check_as_token(cli->as, err) != TG_OK) {
        return TG_EXIT_USAGE;
    }
    if (tg_cli_load(cli->path, environment, &cfg, err) != TG_OK) {
        return TG_EXIT_CONFIG;
    }
    if (cli->action == TG_CLI_RUN) {
        *ret_cfg = cfg;
        return TG_EXIT_OK;
    }
    if (cli->action == TG_CLI_DUMP) {
        tg_config_dump(cfg, out);
    } else if (cli->action == TG_CLI_HEALTHCHECK) {
        status = ask_health(cfg, out, err);
    } else {
        tg_buf_str(out, TG_STR("The configuration is valid.\n"));
        status = cli->as == NULL ? TG_EXIT_OK : check_as(cli, cfg, out, err);
    }
    tg_config_destroy(cfg);
    return status;
}

/* With the token that stands on standard input. */
static enum tg_exit act_as_told(const struct tg_cli *cli, char *const *environment,
                                struct tg_buf *out, struct tg_buf *err)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf token = {.max = TG_TOKEN_MAX_BYTES + 2};
    struct tg_cli told = *cli;
    struct tg_config *cfg = NULL; /* a check leaves none */

    if (read_token(&token, err) != TG_OK) {
        return TG_EXIT_USAGE;
    }
    told.as = tg_buf_cstr(&token);
    return act_on_config(&told, environment, &cfg, out, err);
}

enum tg_exit tg_cli_act(const struct tg_cli *cli, const char *version, char *const *environment,
                        struct tg_config **ret_cfg, struct tg_buf *out, struct tg_buf *err)
{
    *ret_cfg = NULL;
    if (cli->as != NULL && strcmp(cli->as, "-") == 0) {
        return act_as_told(cli, environment, out, err);
    }
    switch (cli->action) {
    case TG_CLI_RUN:
    case TG_CLI_CHECK:
    case TG_CLI_DUMP:
    case TG_CLI_HEALTHCHECK:
        return act_on_config(cli, environment, ret_cfg, out, err);
    case TG_CLI_CONFIG_DOC:
        tg_config_doc(out);
        return TG_EXIT_OK;
    case TG_CLI_HELP:
        tg_buf_printf(out, "%s%s", usage, help);
        return TG_EXIT_OK;
    case TG_CLI_VERSION:
        tg_buf_printf(out, "tidegate %s\n", version);
        return TG_EXIT_OK;
    }
    TG_UNREACHABLE();
}

static bool write_all(int fd, tg_str text)
{
    while (text.n > 0) {
        ssize_t n = write(fd, text.p, text.n);

        if (n < 0 && errno != EINTR) {
            return false;
        }
        text = tg_str_skip(text, n > 0 ? (size_t)n : 0);
    }
    return true;
}

bool tg_cli_begin(int argc, char *const *argv, char *const *environment, const char *version,
                  struct tg_config **ret_cfg, enum tg_exit *ret_exit)
{
    struct tg_config *cfg = NULL;
    struct tg_cli cli = {.action = TG_CLI_RUN};
    struct tg_buf out;
    struct tg_buf err;
    bool is_written = false;

    tg_buf_init(&out, TG_CLI_TEXT_MAX);
    tg_buf_init(&err, TG_CONFIG_ERRORS_MAX);
    *ret_exit = TG_EXIT_USAGE;
    if (tg_cli_parse(argc, argv, environment, &cli, &err) == TG_OK) {
        *ret_exit = tg_cli_act(&cli, version, environment, &cfg, &out, &err);
    }
    is_written = write_all(STDOUT_FILENO, tg_buf_view(&out));
    if (!write_all(STDERR_FILENO, tg_buf_view(&err)) || !is_written) {
        *ret_exit = TG_EXIT_FAILED;
    }
    tg_buf_fini(&out);
    tg_buf_fini(&err);
    if (cfg != NULL) {
        *ret_cfg = cfg;
    }
    return cfg != NULL;
}
