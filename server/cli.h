/* cli.h - the command line: what to do, and the things to do that need no threads. */
#ifndef TG_SERVER_CLI_H
#define TG_SERVER_CLI_H

#include "util/buf.h"

struct tg_config;

/* Exit statuses; stable, and told by --help. */
enum tg_exit {
    TG_EXIT_OK = 0,
    TG_EXIT_FAILED = 1, /* while starting or running */
    TG_EXIT_USAGE = 2,
    TG_EXIT_CONFIG = 3,
};

enum tg_cli_action {
    TG_CLI_RUN,
    TG_CLI_CHECK,
    TG_CLI_DUMP,
    TG_CLI_HEALTHCHECK,
    TG_CLI_CONFIG_DOC,
    TG_CLI_HELP,
    TG_CLI_VERSION,
};

struct tg_cli {
    enum tg_cli_action action;
    const char *path; /* of the configuration, or NULL; [borrowed] from argv or the environment */
    const char *as;   /* of a check: a user's token, or "-" for standard input, or NULL; [borrowed]
                       * from argv */
};

enum { TG_CLI_TEXT_MAX = 2 * 1024 * 1024 };

/* Without -c the path is TIDEGATE_CONFIG's, if that is set. TG_EBADPARAM: `err` tells why. */
enum tg_rc tg_cli_parse(int argc, char *const *argv, char *const *environment,
                        struct tg_cli *ret_cli, struct tg_buf *err) TG_MUST_USE;

/* tg_config_load(), and what the layers below have to say of its texts (server/declare.h). */
enum tg_rc tg_cli_load(const char *path, char *const *environment, struct tg_config **ret_cfg,
                       struct tg_buf *err) TG_MUST_USE;

/* Does what `cli` says and appends what belongs on standard output and standard error. For
 * TG_CLI_RUN it only loads the configuration: ret_cfg, [owned], is set when the answer is
 * TG_EXIT_OK, and NULL for every other action. */
enum tg_exit tg_cli_act(const struct tg_cli *cli, const char *version, char *const *environment,
                        struct tg_config **ret_cfg, struct tg_buf *out, struct tg_buf *err);

/* Both of the above with real output. True: run the gateway with *ret_cfg, [owned]. False: end
 * the process with *ret_exit. */
bool tg_cli_begin(int argc, char *const *argv, char *const *environment, const char *version,
                  struct tg_config **ret_cfg, enum tg_exit *ret_exit);

#endif
