/* http1_server.c - lib/http1 alone behind a socket, for its protocol tests and its bench.
 *
 *   http1_server [name=value]...      prints "listening <port>", ends on SIGTERM or SIGINT
 *
 * The path chooses what is done; see http1_routes.c. `/stats` tells counters, what on_gone said
 * and how much memory is in use. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http1_routes.h"
#include "util/log.h"

enum { LOG_MAX = 1 << 20 };

static bool is_trusted(const struct sockaddr_storage *peer, void *arg)
{
    const struct app *app = arg;
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)peer;

    return app->no_trust == 0 && peer->ss_family == AF_INET &&
           ntohl(in->sin_addr.s_addr) >> 24 == 127;
}

/* ---- start and end ---- */

struct setting {
    const char *name;
    uint64_t value;
};

enum {
    PORT,
    TARGET,
    HEAD,
    FIELDS,
    BODY,
    CONNECTIONS,
    HEAD_MS,
    IDLE_MS,
    BODY_MS,
    SEND_MS,
    DROP,
    BACKLOG,
    PROXY,
    UNTRUSTED,
    NOFILE,
    DESCRIBE,
    N_SETTINGS
};

static struct setting settings[N_SETTINGS] = {
    [PORT] = {"port", 0},
    [TARGET] = {"target", 8192},
    [HEAD] = {"head", 32768},
    [FIELDS] = {"fields", 100},
    [BODY] = {"body", UINT64_C(1) << 40},
    [CONNECTIONS] = {"connections", 10000},
    [HEAD_MS] = {"head_ms", 10000},
    [IDLE_MS] = {"idle_ms", 60000},
    [BODY_MS] = {"body_ms", 30000},
    [SEND_MS] = {"send_ms", 30000},
    [DROP] = {"drop", 1 << 20},
    [BACKLOG] = {"backlog", 65536},
    [PROXY] = {"proxy", 0},
    [UNTRUSTED] = {"untrusted", 0},
    [NOFILE] = {"nofile", 0},
    [DESCRIBE] = {"describe", 0},
};

static bool read_setting(char *arg)
{
    tg_str value = tg_str_of(arg);
    tg_str name = tg_str_cut(&value, '=');

    for (size_t i = 0; i < N_SETTINGS; i++) {
        if (tg_str_eq(name, tg_str_of(settings[i].name))) {
            return value.p != NULL && tg_str_to_u64(value, &settings[i].value) == TG_OK;
        }
    }
    return false;
}

static int bound_socket(uint16_t port, uint16_t *ret_port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;

    TG_ASSERT(fd != -1 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0);
    TG_ASSERT(bind(fd, (struct sockaddr *)(void *)&in, n) == 0);
    TG_ASSERT(getsockname(fd, (struct sockaddr *)(void *)&in, &n) == 0);
    *ret_port = ntohs(in.sin_port);
    return fd;
}

static void on_signal(struct tg_watch *w, unsigned events)
{
    struct app *app = TG_CONTAINER_OF(w, struct app, signals);

    (void)events;
    tg_watch_close(app->loop, w);
    tg_http_server_destroy(app->server);
    tg_loop_stop(app->loop);
}

static void watch_signals(struct app *app)
{
    sigset_t set;
    int fd = -1;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    TG_ASSERT(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    TG_ASSERT(fd != -1 && tg_watch_open(app->loop, &app->signals, fd, on_signal) == TG_OK);
}

static tg_usec ms(int setting)
{
    return TG_MS(settings[setting].value);
}

int main(int argc, char **argv)
{
    struct app app = {0};
    struct tg_http_opts opts = {0};
    uint16_t port = 0;
    int fd = -1;

    for (int i = 1; i < argc; i++) {
        if (!read_setting(argv[i])) {
            (void)fprintf(stderr, "http1_server: %s is not known\n", argv[i]);
            return 2;
        }
    }
    if (settings[NOFILE].value != 0) {
        struct rlimit lim = {.rlim_cur = settings[NOFILE].value,
                             .rlim_max = settings[NOFILE].value};

        TG_ASSERT(setrlimit(RLIMIT_NOFILE, &lim) == 0);
    }
    opts = (struct tg_http_opts){
        .head = {.target_bytes = settings[TARGET].value,
                 .head_bytes = settings[HEAD].value,
                 .fields = settings[FIELDS].value,
                 .body_bytes = settings[BODY].value},
        .max_connections = settings[CONNECTIONS].value,
        .head_timeout = ms(HEAD_MS),
        .idle_timeout = ms(IDLE_MS),
        .body_timeout = ms(BODY_MS),
        .send_timeout = ms(SEND_MS),
        .max_drop_bytes = settings[DROP].value,
        .max_backlog = settings[BACKLOG].value,
        .proxy_protocol = settings[PROXY].value != 0,
        .is_trusted = is_trusted,
        .on_request = routes_on_request,
        .on_refuse = routes_on_refuse,
        .arg = &app,
    };
    app.no_trust = settings[UNTRUSTED].value;
    app.describes_all = settings[DESCRIBE].value;
    tg_log_init(2, TG_LOG_INFO);
    tg_buf_init(&app.gone, LOG_MAX);
    TG_ASSERT(tg_loop_create("http1", 16, &app.loop) == TG_OK);
    watch_signals(&app);
    TG_ASSERT(tg_http_server_create(app.loop, &opts, &app.server) == TG_OK);
    fd = bound_socket((uint16_t)settings[PORT].value, &port);
    TG_ASSERT(tg_http_server_listen(app.server, fd) == TG_OK);
    (void)printf("listening %u\n", (unsigned)port);
    (void)fflush(stdout);
    tg_loop_run(app.loop);
    tg_loop_destroy(app.loop);
    tg_buf_fini(&app.gone);
    return 0;
}
