/* upstream.c - the clock, the sockets and the words of upstream. */
#include "realtime_link/upstream.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct world world;

struct tg_wsc {
    struct tg_wsc_opts opts;
};

/* ---- time ---- */

tg_usec tg_clock_mono_us(void)
{
    return world.now;
}

tg_usec tg_clock_wall_us(void)
{
    return world.now;
}

/* ---- instead of libwebsockets ---- */

enum tg_rc tg_wsc_create(const struct tg_wsc_opts *opts, struct tg_wsc **ret_wsc)
{
    *ret_wsc = TG_NEW(struct tg_wsc);
    (*ret_wsc)->opts = *opts;
    return TG_OK;
}

bool tg_wsc_service(struct tg_wsc *w)
{
    struct pollfd p = {.fd = w->opts.wake_fd, .events = POLLIN};

    cr_assert_eq(poll(&p, 1, 10000), 1, "no mail came");
    w->opts.on_wake(w->opts.arg);
    return true;
}

void tg_wsc_wake_in(struct tg_wsc *w, tg_usec after)
{
    (void)w;
    (void)after;
}

void tg_wsc_destroy(struct tg_wsc *w)
{
    free(w);
}

enum tg_rc tg_ws_open(struct tg_wsc *w, const char *address, const struct tg_ws_request *r,
                      const struct tg_ws_handler *h, void *arg, struct tg_ws **ret_ws)
{
    struct tg_ws *ws = &world.sockets[world.n_sockets];

    (void)w;
    if (world.refuses_opens) {
        return TG_EIO;
    }
    cr_assert_lt(world.n_sockets, MAX_SOCKETS);
    world.n_sockets++;
    *ws = (struct tg_ws){.h = *h, .arg = arg};
    (void)snprintf(ws->address, sizeof(ws->address), "%s", address);
    (void)snprintf(ws->key, sizeof(ws->key), "%s", r->api_key == NULL ? "" : r->api_key);
    *ret_ws = ws;
    return TG_OK;
}

enum tg_rc tg_ws_send(struct tg_ws *ws, tg_str text)
{
    size_t n = strlen(ws->sent);

    cr_assert(!ws->is_gone);
    if (world.refuses_sends) {
        return TG_EFULL;
    }
    cr_assert_lt(n + text.n + 2, sizeof(ws->sent));
    (void)snprintf(ws->sent + n, sizeof(ws->sent) - n, "%.*s\n", TG_STR_ARG(text));
    return TG_OK;
}

void tg_ws_close(struct tg_ws *ws)
{
    cr_assert(!ws->is_gone);
    ws->is_closing = true;
}

/* ---- instead of the hub ---- */

static void told(const char *format, ...) TG_PRINTF(1, 2);

static void told(const char *format, ...)
{
    size_t n = strlen(world.told);
    va_list args;

    va_start(args, format);
    n += (size_t)vsnprintf(world.told + n, sizeof(world.told) - n, format, args);
    va_end(args);
    cr_assert_lt(n, sizeof(world.told));
}

static void on_up(uint64_t id, void *arg)
{
    (void)arg;
    told("up %u\n", (unsigned)id);
}

static void on_down(uint64_t id, enum tg_upstream_cause why, bool needs_token, void *arg)
{
    (void)arg;
    told("down %u %s%s\n", (unsigned)id, tg_upstream_word(why), needs_token ? " token" : "");
}

static void on_refused(uint64_t id, enum tg_upstream_cause why, tg_str words, void *arg)
{
    (void)arg;
    told("refused %u %s: %.*s\n", (unsigned)id, tg_upstream_word(why), TG_STR_ARG(words));
}

static void on_change(uint64_t id, tg_str payload, void *arg)
{
    (void)arg;
    told("change %u %.*s\n", (unsigned)id, TG_STR_ARG(payload));
}

static void on_online(bool online, void *arg)
{
    (void)arg;
    told("%s\n", online ? "online" : "offline");
}

static void on_rate(void *arg)
{
    (void)arg;
    told("rate\n");
}

static void on_turn(void *arg)
{
    (void)arg;
}

/* ---- what tests do ---- */

void start_with(const char *url, unsigned joins_per_second)
{
    static const struct tg_link_handler h = {on_up,     on_down, on_refused, on_change,
                                             on_online, on_rate, on_turn};
    const struct tg_link_opts opts = {.url = url,
                                      .api_key = "anon",
                                      .service_key = "service",
                                      .channels_per_socket = 2,
                                      .joins_per_second = joins_per_second,
                                      .messages_per_second = 5,
                                      .heartbeat = TG_SEC(25),
                                      .max_message_bytes = 65536};

    memset(&world, 0, sizeof(world));
    world.now = TG_SEC(1000);
    cr_assert_eq(tg_link_create(&opts, &h, NULL, &world.link), TG_OK);
}

void start(void)
{
    start_with("ws://127.0.0.1:4000/socket", 10);
}

void stop(void)
{
    tg_link_destroy(world.link);
}

void turn(void)
{
    const struct tg_wsc_opts *opts = &world.link->wsc->opts;

    opts->on_wake(opts->arg);
}

void pass(tg_usec time)
{
    world.now += time;
    turn();
}

void forget(void)
{
    world.told[0] = '\0';
    for (unsigned i = 0; i < world.n_sockets; i++) {
        world.sockets[i].sent[0] = '\0';
    }
}

void join(uint64_t id)
{
    const struct tg_link_channel c = {
        .schema = TG_STR("public"), .table = TG_STR("places"), .token = TG_STR("jwt-1")};

    cr_assert_eq(tg_link_join(world.link, id, &c), TG_OK);
    turn();
}

void join_service(uint64_t id)
{
    const struct tg_link_channel c = {
        .schema = TG_STR("public"), .table = TG_STR("places"), .is_service = true};

    cr_assert_eq(tg_link_join(world.link, id, &c), TG_OK);
    turn();
}

void push_token(uint64_t id, const char *token)
{
    cr_assert_eq(tg_link_token(world.link, id, tg_str_of(token)), TG_OK);
    turn();
}

void opened(unsigned socket)
{
    struct tg_ws *ws = &world.sockets[socket];

    cr_assert_lt(socket, world.n_sockets);
    ws->h.on_open(ws->arg);
}

void hear(unsigned socket, const char *format, ...)
{
    struct tg_ws *ws = &world.sockets[socket];
    char text[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    cr_assert(!ws->is_gone);
    ws->h.on_text(tg_str_of(text), ws->arg);
}

void reply(unsigned socket, uint64_t id, unsigned ref, const char *status, const char *response)
{
    hear(socket,
         "[\"%u\",\"%u\",\"realtime:tg:%u\",\"phx_reply\",{\"status\":\"%s\",\"response\":%s}]",
         ref, ref, (unsigned)id, status, response);
}

void system_says(unsigned socket, uint64_t id, const char *status, const char *message)
{
    hear(socket,
         "[null,null,\"realtime:tg:%u\",\"system\",{\"status\":\"%s\",\"message\":\"%s\","
         "\"extension\":\"postgres_changes\"}]",
         (unsigned)id, status, message);
}

void subscribed(unsigned socket, uint64_t id)
{
    system_says(socket, id, "ok", "Subscribed to PostgreSQL");
}

void bring_up(uint64_t id)
{
    join(id);
    opened(0);
    reply(0, id, 1, "ok", "{}");
    subscribed(0, id);
    forget();
}

void lose(unsigned socket)
{
    lose_with(socket, 1006);
}

void lose_with(unsigned socket, unsigned code)
{
    struct tg_ws *ws = &world.sockets[socket];

    ws->is_gone = true;
    ws->h.on_close(code, TG_STR("gone"), ws->arg);
}

unsigned sent(unsigned socket, const char *what)
{
    unsigned n = 0;

    for (const char *at = world.sockets[socket].sent; (at = strstr(at, what)) != NULL; at++) {
        n++;
    }
    return n;
}
