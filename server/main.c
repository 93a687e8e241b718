/* main.c - the process: command line, signals, watchdog. It touches no live object. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "config/load.h"
#include "config/snapshot.h"
#include "server/cli.h"
#include "server/gateway.h"
#include "util/log.h"

static void block_signals(sigset_t *ret_set)
{
    (void)sigemptyset(ret_set);
    (void)sigaddset(ret_set, SIGTERM);
    (void)sigaddset(ret_set, SIGINT);
    (void)sigaddset(ret_set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, ret_set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

static void on_change(const char *key, bool is_live, void *arg)
{
    (void)arg;
    tg_log(is_live ? TG_LOG_INFO : TG_LOG_WARN, "config_changed", TG_KZ("key", key),
           TG_KZ("effect", is_live ? "now" : "after a restart"));
}

/* Reads the configuration again; what cannot be read changes nothing. */
static struct tg_snapshot *reload(struct tg_snapshot *now, int argc, char **argv)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf errors = {.max = TG_CONFIG_ERRORS_MAX};
    struct tg_cli cli = {0};
    struct tg_config *fresh = NULL;
    struct tg_snapshot *next = NULL;

    if (tg_cli_parse(argc, argv, environ, &cli, &errors) != TG_OK ||
        tg_cli_load(cli.path, environ, &fresh, &errors) != TG_OK) {
        tg_log(TG_LOG_ERROR, "reload_failed", TG_KS("errors", tg_buf_view(&errors)));
        return now;
    }
    next = tg_snapshot_reload(now, fresh, on_change, NULL);
    tg_snapshot_unref(now);
    tg_log_set_level(tg_snapshot_config(next)->log.level);
    tg_log(TG_LOG_INFO, "reloaded", TG_KN("number", tg_snapshot_number(next)));
    return next;
}

int main(int argc, char **argv)
{
    struct tg_config *cfg = NULL;
    struct tg_snapshot *first = NULL;
    struct tg_snapshot *now = NULL;
    struct tg_gateway *gateway = NULL;
    enum tg_exit status = TG_EXIT_OK;
    const struct timespec second = {.tv_sec = 1};
    sigset_t signals;
    int got = 0;

    if (!tg_cli_begin(argc, argv, environ, TG_VERSION, &cfg, &status)) {
        return (int)status;
    }
    block_signals(&signals);
    tg_log_init(STDERR_FILENO, cfg->log.level);
    first = tg_snapshot_create(cfg);
    now = tg_snapshot_ref(first);
    tg_log(TG_LOG_INFO, "start", TG_KZ("version", TG_VERSION), TG_KN("pid", getpid()));
    if (tg_gateway_start(cfg, &gateway) != TG_OK) {
        (void)fflush(NULL);
        _exit(TG_EXIT_FAILED); /* threads may run already; there is nothing to save */
    }
    while (got != SIGTERM && got != SIGINT) {
        got = sigtimedwait(&signals, NULL, &second);
        if (got == SIGHUP) {
            now = reload(now, argc, argv);
        }
        tg_gateway_watch(gateway);
    }
    tg_gateway_drain(gateway);
    tg_gateway_destroy(gateway);
    tg_log(TG_LOG_INFO, "stop", TG_KN("pid", getpid()));
    tg_snapshot_unref(now);
    tg_snapshot_unref(first);
    return (int)TG_EXIT_OK;
}
