/* link_socket.c - upstream sockets: dialling, heartbeats, losing them, and looking up names. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "realtime/link_int.h"
#include "realtime/phoenix.h"
#include "util/json.h"
#include "util/log.h"
#include "util/resolve.h"

/* ---- sockets ---- */

static void on_text(tg_str text, void *arg)
{
    struct socket *s = arg;
    struct tg_phoenix f = {0};

    /* One check of the whole text lets everything behind it slice without fear. */
    if (!tg_json_is_valid(text) || tg_phoenix_parse(text, &f) != TG_OK) {
        tg_log_limited(TG_LOG_WARN, "bad_frame", 10, TG_KN("bytes", text.n));
        return;
    }
    channel_on_frame(s, &f);
}

static void tell_online(struct tg_link *l)
{
    bool online = l->n_open > 0;

    if (online != (tg_count_get(&l->counts.online) != 0)) {
        tg_count_set(&l->counts.online, online);
        l->h.on_online(online, l->arg);
    }
}

static void on_open(void *arg)
{
    struct socket *s = arg;

    s->state = SO_OPEN;
    s->ref = 0;
    s->heartbeat_ref = 0;
    s->link->n_open++;
    tg_log(TG_LOG_INFO, "link_open", TG_KN("channels", s->n_channels));
    link_start_timer(s->link, &s->timer, s->link->opts.heartbeat);
    tell_online(s->link);
    channel_join_next(s);
}

void socket_free(struct socket *s)
{
    struct tg_link *l = s->link;

    tg_wheel_stop(&l->wheel, &s->timer);
    tg_wheel_stop(&l->wheel, &s->pace);
    tg_list_remove(&s->node);
    tg_ids_remove(&l->socket_ids, s->id);
    link_clear(l, &s->trouble);
    tg_count_sub(&l->counts.sockets, 1);
    free(s);
}

/* The socket is gone: its channels wait, and it is dialled again if it has any. */
static void lose_socket(struct socket *s, enum tg_upstream_cause cause, tg_str words)
{
    struct tg_link *l = s->link;
    bool was_open = s->state == SO_OPEN;

    s->ws = NULL;
    s->state = SO_BACKOFF;
    s->joining = NULL;
    s->closing = TG_UP_NONE;
    l->n_open -= was_open;
    if (was_open) {
        tell_online(l);
    }
    for (struct tg_list *n = s->channels.next; n != &s->channels; n = n->next) {
        struct channel *ch = TG_CONTAINER_OF(n, struct channel, node);

        if (channel_is_on_wire(ch)) {
            channel_lose(ch, cause, false, 0);
        }
    }
    if (l->stopping) {
        tg_wheel_stop(&l->wheel, &s->timer);
        return; /* all are freed together */
    }
    if (s->n_channels > 0) {
        socket_on_error(s, cause, words);
    }
    if (s->n_channels == 0) {
        socket_free(s);
        return;
    }
    s->failures++;
    tg_count_add(&l->counts.reconnects, 1);
    link_start_timer(l, &s->timer, socket_backoff(s, cause));
}

static enum tg_upstream_cause cause_of(const struct socket *s, unsigned code)
{
    if (s->closing != TG_UP_NONE) {
        return s->closing;
    }
    if (s->state == SO_OPEN) {
        return tg_upstream_close(code);
    }
    return tg_upstream_upgrade(code);
}

static void on_close(unsigned code, tg_str why, void *arg)
{
    char text[160];

    (void)snprintf(text, sizeof(text), "%u %.*s", code, TG_STR_ARG(why));
    lose_socket(arg, cause_of(arg, code), tg_str_of(text));
}

void socket_close(struct socket *s, enum tg_upstream_cause why)
{
    s->closing = s->closing == TG_UP_NONE ? why : s->closing;
    tg_ws_close(s->ws);
}

static void on_heartbeat(struct socket *s)
{
    struct tg_buf frame = {.max = LINK_MAX_FRAME};

    if (s->heartbeat_ref != 0) {
        tg_count_add(&s->link->counts.heartbeats_missed, 1);
        socket_close(s, TG_UP_SILENT);
        return;
    }
    s->heartbeat_ref = ++s->ref;
    tg_phoenix_heartbeat(&frame, s->heartbeat_ref);
    link_start_timer(s->link, &s->timer, s->link->opts.heartbeat);
    link_send(s, &frame);
}

static void on_socket_timer(struct tg_timer *t)
{
    struct socket *s = TG_CONTAINER_OF(t, struct socket, timer);

    if (s->state == SO_OPEN) {
        on_heartbeat(s);
    } else if (s->state == SO_BACKOFF) {
        socket_dial(s);
    }
}

static void on_pace(struct tg_timer *t)
{
    struct socket *s = TG_CONTAINER_OF(t, struct socket, pace);

    if (s->n_channels > 0) {
        channel_join_next(s);
    } else if (s->ws != NULL) {
        tg_ws_close(s->ws);
    } else if (s->state == SO_BACKOFF) {
        socket_free(s);
    }
}

static void connect_to(struct socket *s, const char *address)
{
    static const struct tg_ws_handler handler = {on_open, on_text, on_close};

    const struct tg_link *l = s->link;
    const struct tg_ws_request r = {s->is_service ? l->service_target : l->target,
                                    s->is_service ? l->opts.service_key : l->opts.api_key};

    s->state = SO_CONNECTING;
    if (tg_ws_open(l->wsc, address, &r, &handler, s, &s->ws) != TG_OK) {
        lose_socket(s, TG_UP_UNREACHABLE, TG_STR("connect"));
    }
}

/* ---- names ---- */

/* One look-up on a thread of its own, because it may take seconds; its result comes as mail. */
struct lookup {
    struct tg_mail mail;
    struct tg_link *link; /* waits for all look-ups before it ends */
    tg_id socket;
    pthread_t thread;
    unsigned attempt;
    char address[TG_RESOLVE_MAX]; /* empty: not found */
};

static void end_lookup(struct lookup *look)
{
    (void)pthread_join(look->thread, NULL);
    look->link->n_resolving--;
    free(look);
}

static void on_looked_up(struct tg_mail *mail, void *owner)
{
    struct lookup *look = TG_CONTAINER_OF(mail, struct lookup, mail);
    struct tg_link *l = owner;
    struct socket *s = tg_ids_find(&l->socket_ids, look->socket);

    if (s != NULL && s->state == SO_RESOLVING) {
        if (s->n_channels == 0) {
            socket_free(s); /* its time to linger may be over */
        } else if (look->address[0] == '\0') {
            lose_socket(s, TG_UP_UNREACHABLE, TG_STR("name not found"));
        } else {
            connect_to(s, look->address);
        }
    }
    end_lookup(look);
}

static void drop_lookup(struct tg_mail *mail)
{
    end_lookup(TG_CONTAINER_OF(mail, struct lookup, mail));
}

static void *look_up(void *arg)
{
    struct lookup *look = arg;

    if (!tg_resolve(look->link->host, look->attempt, look->address)) {
        look->address[0] = '\0';
    }
    /* The mailbox holds far more than there are sockets, and is open until no look-up is left. */
    TG_ASSERT(tg_mailbox_post(look->link->mailbox, &look->mail) == TG_OK);
    return NULL;
}

void socket_dial(struct socket *s)
{
    struct tg_link *l = s->link;
    unsigned char numeric[sizeof(struct in6_addr)];
    struct lookup *look = NULL;

    if (inet_pton(AF_INET, l->host, numeric) == 1 || inet_pton(AF_INET6, l->host, numeric) == 1) {
        connect_to(s, l->host);
        return;
    }
    look = TG_NEW(struct lookup);
    look->mail.run = on_looked_up;
    look->mail.drop = drop_lookup;
    look->link = l;
    look->socket = s->id;
    look->attempt = s->failures;
    s->state = SO_RESOLVING;
    l->n_resolving++;
    if (pthread_create(&look->thread, NULL, look_up, look) != 0) {
        l->n_resolving--;
        free(look);
        lose_socket(s, TG_UP_UNREACHABLE, TG_STR("no thread for the name"));
    }
}

struct socket *socket_with_room(struct tg_link *l, bool is_service)
{
    struct socket *s = NULL;

    for (struct tg_list *n = l->sockets.next; n != &l->sockets; n = n->next) {
        s = TG_CONTAINER_OF(n, struct socket, node);
        if (s->is_service == is_service && s->n_channels < s->room) {
            return s;
        }
    }
    s = TG_NEW(struct socket);
    s->link = l;
    s->is_service = is_service;
    s->room = l->opts.channels_per_socket;
    s->id = tg_ids_add(&l->socket_ids, s);
    tg_list_init(&s->channels);
    tg_timer_init(&s->timer, on_socket_timer);
    tg_timer_init(&s->pace, on_pace);
    tg_list_append(&l->sockets, &s->node);
    tg_count_add(&l->counts.sockets, 1);
    return s;
}
