/* link.c - upstream sockets, their channels, and the thread that serves both.
 *
 *   channel:  WAITING -> JOINING -> JOINED -> UP
 *                ^          |         |       |       lost or refused for now: WAITING again,
 *                +----------+---------+-------+       after a delay with jitter
 *             PARKED: the token is no longer accepted; waits for another
 *
 *   socket:   RESOLVING -> CONNECTING -> OPEN;  BACKOFF after a loss
 *
 * Everything but the posting functions runs on the link's thread. */
#include "realtime/link.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "loop/mailbox.h"
#include "loop/wheel.h"
#include "realtime/phoenix.h"
#include "realtime/wsclient.h"
#include "util/id.h"
#include "util/json.h"
#include "util/log.h"
#include "util/map.h"

enum { MAX_MAILS = 65536, MAX_ADDRESS = 64, MAX_FRAME = 64 * 1024 };

#define JOIN_TIMEOUT TG_SEC(30)
#define SUBSCRIBE_TIMEOUT TG_SEC(60)
#define BACKOFF_FIRST TG_MS(500)
#define BACKOFF_MAX TG_SEC(30)
#define EMPTY_SOCKET_LINGER TG_SEC(30)

enum channel_state { CH_WAITING, CH_JOINING, CH_JOINED, CH_UP, CH_PARKED };
enum socket_state { SO_BACKOFF, SO_RESOLVING, SO_CONNECTING, SO_OPEN };

struct socket;

struct channel {
    struct tg_list node; /* in its socket's list */
    struct socket *socket;
    struct tg_link *link;
    uint64_t id;
    char topic[32];
    char *schema;
    char *table;
    char *filter;
    char *token;
    enum channel_state state;
    uint64_t join_ref;
    unsigned tokens_pushed; /* each brings one more `Subscribed`, which means no loss */
    unsigned failures;
    tg_usec not_before;
    struct tg_timer timer; /* join or subscribe timeout; next try */
};

struct socket {
    struct tg_list node;
    struct tg_link *link;
    tg_id id;
    enum socket_state state;
    struct tg_ws *ws;
    struct tg_list channels;
    unsigned n_channels;
    struct channel *joining;
    uint64_t ref;
    uint64_t heartbeat_ref; /* 0: answered */
    unsigned failures;
    struct tg_timer timer; /* heartbeat when open, next try when not */
    struct tg_timer pace;  /* the next join is allowed */
};

struct tg_link {
    struct tg_link_opts opts;
    struct tg_link_handler h;
    void *arg;
    char *host; /* without port, for resolving */
    char *hostport;
    char *target;
    char service[8];
    bool tls;
    unsigned port;
    struct tg_mailbox *mailbox;
    struct tg_wsc *wsc;
    struct tg_wheel wheel;
    struct tg_list sockets;
    struct tg_ids socket_ids;
    struct tg_map channels; /* by topic */
    unsigned n_open;
    unsigned n_resolving;
    tg_usec next_join;
    uint64_t random;
    pthread_t thread;
    bool stopping;
    bool started;
    struct tg_link_counts counts;
};

static void dial(struct socket *s);
static void join_next(struct socket *s);

/* ---- time ---- */

static void set_wake(struct tg_link *l)
{
    tg_usec next = tg_wheel_next(&l->wheel);
    tg_usec now = tg_clock_mono_us();

    if (next != UINT64_MAX) {
        tg_wsc_wake_in(l->wsc, next > now ? next - now : 1);
    }
}

static void start_timer(struct tg_link *l, struct tg_timer *t, tg_usec after)
{
    tg_wheel_start(&l->wheel, t, tg_clock_mono_us() + after);
}

/* xorshift: spreads retries, decides nothing that an attacker would like to know. */
static uint64_t next_random(struct tg_link *l)
{
    l->random ^= l->random << 13U;
    l->random ^= l->random >> 7U;
    l->random ^= l->random << 17U;
    return l->random;
}

/* Doubles with each failure up to a limit, then half to whole of it. */
static tg_usec backoff(struct tg_link *l, unsigned failures)
{
    tg_usec delay = BACKOFF_FIRST;

    for (unsigned i = 1; i < failures && delay < BACKOFF_MAX; i++) {
        delay *= 2;
    }
    delay = TG_MIN(delay, BACKOFF_MAX);
    return delay / 2 + next_random(l) % (delay / 2 + 1);
}

/* ---- sending ---- */

static void lose_socket(struct socket *s, const char *why);

/* Builds one frame and sends it. A socket whose peer does not read is closed. */
static void send_frame(struct socket *s, struct tg_buf *frame)
{
    if (tg_buf_rc(frame) != TG_OK || tg_ws_send(s->ws, tg_buf_view(frame)) != TG_OK) {
        tg_ws_close(s->ws);
    }
    tg_buf_fini(frame);
}

static void send_join(struct channel *ch)
{
    struct socket *s = ch->socket;
    struct tg_phoenix_changes changes = {tg_str_of(ch->schema), tg_str_of(ch->table),
                                         tg_str_of(ch->filter)};
    struct tg_buf frame = {.max = MAX_FRAME};

    ch->join_ref = ++s->ref;
    ch->tokens_pushed = 0;
    tg_phoenix_join(&frame, ch->join_ref, tg_str_of(ch->topic), &changes, tg_str_of(ch->token));
    send_frame(s, &frame);
}

static void send_leave(struct channel *ch)
{
    struct tg_buf frame = {.max = MAX_FRAME};

    tg_phoenix_leave(&frame, ch->join_ref, ++ch->socket->ref, tg_str_of(ch->topic));
    send_frame(ch->socket, &frame);
}

/* ---- channels ---- */

static bool is_on_wire(const struct channel *ch)
{
    return ch->state == CH_JOINING || ch->state == CH_JOINED || ch->state == CH_UP;
}

/* Leaves JOINING: the socket may join its next channel. */
static void end_joining(struct channel *ch)
{
    if (ch->socket->joining == ch) {
        ch->socket->joining = NULL;
    }
    tg_wheel_stop(&ch->link->wheel, &ch->timer);
}

/* The channel is no longer on the wire. */
static void lose_channel(struct channel *ch, const char *why, bool needs_token, tg_usec retry_in)
{
    bool was_up = ch->state == CH_UP;

    end_joining(ch);
    ch->state = needs_token ? CH_PARKED : CH_WAITING;
    if (!needs_token) {
        ch->not_before = tg_clock_mono_us() + retry_in;
        start_timer(ch->link, &ch->timer, retry_in);
    }
    if (was_up || needs_token) {
        ch->link->h.on_down(ch->id, why, needs_token, ch->link->arg);
    }
}

static void free_channel(struct channel *ch)
{
    struct tg_link *l = ch->link;

    end_joining(ch);
    (void)tg_map_remove(&l->channels, tg_str_of(ch->topic));
    tg_list_remove(&ch->node);
    ch->socket->n_channels--;
    tg_count_sub(&l->counts.channels, 1);
    free(ch->schema);
    free(ch->table);
    free(ch->filter);
    free(ch->token);
    free(ch);
}

static void leave_channel(struct channel *ch)
{
    struct socket *s = ch->socket;

    if (s->state == SO_OPEN && is_on_wire(ch)) {
        send_leave(ch);
    }
    free_channel(ch);
    if (s->n_channels == 0) {
        /* Upstream cuts sockets without channels in its own time; ours ends sooner. */
        start_timer(s->link, &s->pace, EMPTY_SOCKET_LINGER);
    } else if (s->state == SO_OPEN) {
        join_next(s);
    }
}

static void refuse_channel(struct channel *ch, tg_str message)
{
    struct tg_link *l = ch->link;
    uint64_t id = ch->id;

    tg_count_add(&l->counts.refused, 1);
    l->h.on_refused(id, message, l->arg);
    leave_channel(ch);
}

static void on_channel_timer(struct tg_timer *t)
{
    struct channel *ch = TG_CONTAINER_OF(t, struct channel, timer);
    struct socket *s = ch->socket;

    if (ch->state == CH_WAITING) {
        join_next(s);
        return;
    }
    /* No answer to a join, or no `Subscribed`: the socket is stuck. */
    tg_log(TG_LOG_WARN, "link_stuck", TG_KN("channel", ch->id));
    tg_ws_close(s->ws);
}

/* Begins the next join if the socket is free and the pace allows it. */
static void join_next(struct socket *s)
{
    struct tg_link *l = s->link;
    tg_usec now = tg_clock_mono_us();
    struct channel *next = NULL;

    if (s->state != SO_OPEN || s->joining != NULL) {
        return;
    }
    for (struct tg_list *n = s->channels.next; n != &s->channels && next == NULL; n = n->next) {
        struct channel *ch = TG_CONTAINER_OF(n, struct channel, node);

        if (ch->state == CH_WAITING && ch->not_before <= now) {
            next = ch;
        }
    }
    if (next == NULL) {
        return;
    }
    if (l->next_join > now) {
        start_timer(l, &s->pace, l->next_join - now);
        return;
    }
    l->next_join = now + TG_SEC(1) / l->opts.joins_per_second;
    tg_count_add(&l->counts.joins, 1);
    next->state = CH_JOINING;
    s->joining = next;
    start_timer(l, &next->timer, JOIN_TIMEOUT);
    send_join(next);
}

/* ---- what upstream says ---- */

static bool says(tg_str text, const char *what)
{
    return memmem(text.p, text.n, what, strlen(what)) != NULL;
}

static bool is_token_trouble(tg_str text)
{
    return says(text, "InvalidJWT") || says(text, "Token has expired") || says(text, "JwtSig") ||
           says(text, "MalformedJWT") || says(text, "`role` and `exp`") ||
           says(text, "not a valid JWT");
}

/* Errors of a subscription that trying again cannot mend (protocol page, section 6). */
static bool is_final(tg_str text)
{
    return says(text, "Unable to subscribe to changes") || says(text, "Error parsing") ||
           says(text, "Column selection") || says(text, "No subscription params") ||
           says(text, "Unauthorized") || says(text, "TopicNameRequired");
}

static void on_reply(struct channel *ch, const struct tg_phoenix *f)
{
    bool ok = false;
    tg_str response = TG_STR_NONE;
    struct socket *s = ch->socket;
    uint64_t ref = 0;

    if (ch->state != CH_JOINING || tg_str_to_u64(f->ref, &ref) != TG_OK || ref != ch->join_ref ||
        tg_phoenix_reply(f->payload, &ok, &response) != TG_OK) {
        return;
    }
    end_joining(ch);
    if (ok) {
        ch->state = CH_JOINED;
        s->failures = 0;
        start_timer(ch->link, &ch->timer, SUBSCRIBE_TIMEOUT);
    } else if (is_final(response)) {
        tg_count_add(&ch->link->counts.join_errors, 1);
        refuse_channel(ch, response);
        return;
    } else {
        tg_count_add(&ch->link->counts.join_errors, 1);
        ch->failures++;
        tg_log_limited(TG_LOG_WARN, "join_refused", 10, TG_KN("channel", ch->id),
                       TG_KS("reason", response));
        lose_channel(ch, "refused", is_token_trouble(response), backoff(ch->link, ch->failures));
    }
    join_next(s);
}

static void on_subscribed(struct channel *ch)
{
    tg_wheel_stop(&ch->link->wheel, &ch->timer);
    if (ch->state == CH_UP && ch->tokens_pushed > 0) {
        ch->tokens_pushed--;
        return;
    }
    if (ch->state != CH_JOINED && ch->state != CH_UP) {
        return;
    }
    ch->state = CH_UP;
    ch->failures = 0;
    ch->link->h.on_up(ch->id, ch->link->arg);
}

static void on_system(struct channel *ch, tg_str payload)
{
    tg_str status = TG_STR_NONE;
    tg_str message = TG_STR_NONE;

    if (tg_json_member(payload, "status", &status) != TG_OK ||
        tg_json_member(payload, "message", &message) != TG_OK) {
        return;
    }
    if (tg_str_eq(status, TG_STR("\"ok\""))) {
        if (says(message, "Subscribed to PostgreSQL")) {
            on_subscribed(ch);
        }
        return;
    }
    if (is_final(message)) {
        refuse_channel(ch, message);
    } else if (is_token_trouble(message)) {
        /* phx_close follows; by then the channel is parked and the close is ignored. */
        lose_channel(ch, "token", true, 0);
    } else if (ch->state == CH_UP) {
        tg_log_limited(TG_LOG_WARN, "channel_error", 10, TG_KN("channel", ch->id),
                       TG_KS("message", message));
    }
}

static void on_channel_gone(struct channel *ch, const struct tg_phoenix *f)
{
    uint64_t join_ref = 0;
    struct socket *s = ch->socket;

    if (!is_on_wire(ch) || tg_str_to_u64(f->join_ref, &join_ref) != TG_OK ||
        join_ref != ch->join_ref) {
        return;
    }
    ch->failures++;
    lose_channel(ch, "closed", false, backoff(ch->link, ch->failures));
    join_next(s);
}

static void on_frame(struct socket *s, const struct tg_phoenix *f)
{
    struct tg_link *l = s->link;
    struct channel *ch = NULL;

    if (tg_str_eq(f->topic, TG_STR("phoenix"))) {
        s->heartbeat_ref = 0;
        return;
    }
    ch = tg_map_find(&l->channels, f->topic);
    if (ch == NULL || ch->socket != s) {
        return; /* left already */
    }
    if (tg_str_eq(f->event, TG_STR("postgres_changes"))) {
        if (ch->state == CH_UP) {
            tg_count_add(&l->counts.changes, 1);
            l->h.on_change(ch->id, f->payload, l->arg);
        }
    } else if (tg_str_eq(f->event, TG_STR("phx_reply"))) {
        on_reply(ch, f);
    } else if (tg_str_eq(f->event, TG_STR("system"))) {
        on_system(ch, f->payload);
    } else if (tg_str_eq(f->event, TG_STR("phx_close")) ||
               tg_str_eq(f->event, TG_STR("phx_error"))) {
        on_channel_gone(ch, f);
    }
}

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
    on_frame(s, &f);
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
    start_timer(s->link, &s->timer, s->link->opts.heartbeat);
    tell_online(s->link);
    join_next(s);
}

static void free_socket(struct socket *s)
{
    struct tg_link *l = s->link;

    tg_wheel_stop(&l->wheel, &s->timer);
    tg_wheel_stop(&l->wheel, &s->pace);
    tg_list_remove(&s->node);
    tg_ids_remove(&l->socket_ids, s->id);
    tg_count_sub(&l->counts.sockets, 1);
    free(s);
}

/* The socket is gone: its channels wait, and it is dialled again if it has any. */
static void lose_socket(struct socket *s, const char *why)
{
    struct tg_link *l = s->link;
    bool was_open = s->state == SO_OPEN;

    s->ws = NULL;
    s->state = SO_BACKOFF;
    s->joining = NULL;
    l->n_open -= was_open;
    if (was_open) {
        tell_online(l);
    }
    for (struct tg_list *n = s->channels.next; n != &s->channels; n = n->next) {
        struct channel *ch = TG_CONTAINER_OF(n, struct channel, node);

        if (is_on_wire(ch)) {
            lose_channel(ch, "socket", false, 0);
        }
    }
    if (s->n_channels == 0 || l->stopping) {
        free_socket(s);
        return;
    }
    s->failures++;
    tg_count_add(&l->counts.reconnects, 1);
    tg_log_limited(TG_LOG_WARN, "link_lost", 20, TG_KZ("why", why),
                   TG_KN("channels", s->n_channels));
    start_timer(l, &s->timer, backoff(l, s->failures));
}

static void on_close(unsigned code, tg_str why, void *arg)
{
    char text[160];

    (void)snprintf(text, sizeof(text), "%u %.*s", code, TG_STR_ARG(why));
    lose_socket(arg, text);
}

static void on_heartbeat(struct socket *s)
{
    struct tg_buf frame = {.max = MAX_FRAME};

    if (s->heartbeat_ref != 0) {
        tg_count_add(&s->link->counts.heartbeats_missed, 1);
        tg_ws_close(s->ws);
        return;
    }
    s->heartbeat_ref = ++s->ref;
    tg_phoenix_heartbeat(&frame, s->heartbeat_ref);
    start_timer(s->link, &s->timer, s->link->opts.heartbeat);
    send_frame(s, &frame);
}

static void on_socket_timer(struct tg_timer *t)
{
    struct socket *s = TG_CONTAINER_OF(t, struct socket, timer);

    if (s->state == SO_OPEN) {
        on_heartbeat(s);
    } else if (s->state == SO_BACKOFF) {
        dial(s);
    }
}

static void on_pace(struct tg_timer *t)
{
    struct socket *s = TG_CONTAINER_OF(t, struct socket, pace);

    if (s->n_channels > 0) {
        join_next(s);
    } else if (s->ws != NULL) {
        tg_ws_close(s->ws);
    } else if (s->state == SO_BACKOFF) {
        free_socket(s);
    }
}

static void connect_to(struct socket *s, const char *address)
{
    static const struct tg_ws_handler handler = {on_open, on_text, on_close};

    s->state = SO_CONNECTING;
    if (tg_ws_open(s->link->wsc, address, &handler, s, &s->ws) != TG_OK) {
        lose_socket(s, "connect");
    }
}

/* ---- names ---- */

/* One look-up on a thread of its own, because it may take seconds; its result comes as mail. */
struct lookup {
    struct tg_mail mail;
    struct tg_link *link; /* waits for all look-ups before it ends */
    tg_id socket;
    pthread_t thread;
    char address[MAX_ADDRESS]; /* empty: not found */
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
        if (look->address[0] == '\0') {
            lose_socket(s, "name not found");
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
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;

    if (getaddrinfo(look->link->host, look->link->service, &hints, &found) == 0) {
        (void)getnameinfo(found->ai_addr, found->ai_addrlen, look->address, MAX_ADDRESS, NULL, 0,
                          NI_NUMERICHOST);
        freeaddrinfo(found);
    }
    /* The mailbox holds far more than there are sockets, and is open until no look-up is left. */
    TG_ASSERT(tg_mailbox_post(look->link->mailbox, &look->mail) == TG_OK);
    return NULL;
}

static void dial(struct socket *s)
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
    s->state = SO_RESOLVING;
    l->n_resolving++;
    if (pthread_create(&look->thread, NULL, look_up, look) != 0) {
        l->n_resolving--;
        free(look);
        lose_socket(s, "no thread for the name");
    }
}

static struct socket *socket_with_room(struct tg_link *l)
{
    struct socket *s = NULL;

    for (struct tg_list *n = l->sockets.next; n != &l->sockets; n = n->next) {
        s = TG_CONTAINER_OF(n, struct socket, node);
        if (s->n_channels < l->opts.channels_per_socket) {
            return s;
        }
    }
    s = TG_NEW(struct socket);
    s->link = l;
    s->id = tg_ids_add(&l->socket_ids, s);
    tg_list_init(&s->channels);
    tg_timer_init(&s->timer, on_socket_timer);
    tg_timer_init(&s->pace, on_pace);
    tg_list_append(&l->sockets, &s->node);
    tg_count_add(&l->counts.sockets, 1);
    return s;
}

/* ---- mail from the hub ---- */

struct order {
    struct tg_mail mail;
    uint64_t id;
    char *schema;
    char *table;
    char *filter;
    char *token;
};

static void drop_order(struct tg_mail *mail)
{
    struct order *o = TG_CONTAINER_OF(mail, struct order, mail);

    free(o->schema);
    free(o->table);
    free(o->filter);
    free(o->token);
    free(o);
}

static void name_topic(char *topic, size_t n, uint64_t id)
{
    (void)snprintf(topic, n, "realtime:tg:%llu", (unsigned long long)id);
}

static struct channel *find_channel(struct tg_link *l, uint64_t id)
{
    char topic[32];

    name_topic(topic, sizeof(topic), id);
    return tg_map_find(&l->channels, tg_str_of(topic));
}

static void on_join_order(struct tg_mail *mail, void *owner)
{
    struct order *o = TG_CONTAINER_OF(mail, struct order, mail);
    struct tg_link *l = owner;
    struct socket *s = NULL;
    struct channel *ch = TG_NEW(struct channel);

    ch->link = l;
    ch->id = o->id;
    ch->schema = o->schema;
    ch->table = o->table;
    ch->filter = o->filter;
    ch->token = o->token;
    free(o);
    name_topic(ch->topic, sizeof(ch->topic), ch->id);
    tg_timer_init(&ch->timer, on_channel_timer);
    s = socket_with_room(l);
    ch->socket = s;
    tg_list_append(&s->channels, &ch->node);
    s->n_channels++;
    TG_ASSERT(tg_map_put(&l->channels, tg_str_of(ch->topic), ch) == NULL);
    tg_count_add(&l->counts.channels, 1);
    if (s->state == SO_BACKOFF && !tg_timer_is_on(&s->timer)) {
        dial(s);
    } else {
        join_next(s);
    }
}

static void on_token_order(struct tg_mail *mail, void *owner)
{
    struct order *o = TG_CONTAINER_OF(mail, struct order, mail);
    struct channel *ch = find_channel(owner, o->id);

    if (ch != NULL) {
        free(ch->token);
        ch->token = o->token;
        o->token = NULL;
        if (ch->state == CH_UP || ch->state == CH_JOINED) {
            struct tg_buf frame = {.max = MAX_FRAME};

            ch->tokens_pushed++;
            tg_phoenix_token(&frame, ch->join_ref, ++ch->socket->ref, tg_str_of(ch->topic),
                             tg_str_of(ch->token));
            send_frame(ch->socket, &frame);
        } else if (ch->state == CH_PARKED) {
            ch->state = CH_WAITING;
            ch->not_before = 0;
            join_next(ch->socket);
        }
    }
    drop_order(mail);
}

static void on_leave_order(struct tg_mail *mail, void *owner)
{
    struct order *o = TG_CONTAINER_OF(mail, struct order, mail);
    struct channel *ch = find_channel(owner, o->id);

    if (ch != NULL) {
        leave_channel(ch);
    }
    drop_order(mail);
}

static void on_stop_order(struct tg_mail *mail, void *owner)
{
    struct tg_link *l = owner;

    l->stopping = true;
    drop_order(mail);
}

static struct order *new_order(uint64_t id, void (*run)(struct tg_mail *, void *))
{
    struct order *o = TG_NEW(struct order);

    o->mail.run = run;
    o->mail.drop = drop_order;
    o->id = id;
    return o;
}

static enum tg_rc post_order(struct tg_link *l, struct order *o)
{
    enum tg_rc rc = tg_mailbox_post(l->mailbox, &o->mail);

    if (rc != TG_OK) {
        drop_order(&o->mail);
    }
    return rc;
}

enum tg_rc tg_link_join(struct tg_link *l, uint64_t id, tg_str schema, tg_str table, tg_str filter,
                        tg_str token)
{
    struct order *o = new_order(id, on_join_order);

    o->schema = tg_str_dup(schema);
    o->table = tg_str_dup(table);
    o->filter = tg_str_dup(filter);
    o->token = tg_str_dup(token);
    return post_order(l, o);
}

enum tg_rc tg_link_token(struct tg_link *l, uint64_t id, tg_str token)
{
    struct order *o = new_order(id, on_token_order);

    o->token = tg_str_dup(token);
    return post_order(l, o);
}

enum tg_rc tg_link_leave(struct tg_link *l, uint64_t id)
{
    return post_order(l, new_order(id, on_leave_order));
}

/* ---- life ---- */

static void on_wake(void *arg)
{
    struct tg_link *l = arg;

    (void)tg_mailbox_drain(l->mailbox, l);
    (void)tg_wheel_advance(&l->wheel, tg_clock_mono_us());
    set_wake(l);
}

static void drop_all(struct tg_link *l)
{
    while (!tg_list_empty(&l->sockets)) {
        struct socket *s = TG_CONTAINER_OF(l->sockets.next, struct socket, node);

        while (!tg_list_empty(&s->channels)) {
            free_channel(TG_CONTAINER_OF(s->channels.next, struct channel, node));
        }
        free_socket(s);
    }
}

static void *run_link(void *arg)
{
    struct tg_link *l = arg;

    tg_log_thread("link");
    while (!l->stopping || l->n_resolving > 0) {
        if (!tg_wsc_service(l->wsc)) {
            tg_log(TG_LOG_ERROR, "link_broken", TG_KN("sockets", l->n_open));
            break;
        }
        set_wake(l);
    }
    return NULL;
}

/* "wss://host:port/path" taken apart. */
static enum tg_rc take_url(struct tg_link *l, tg_str url)
{
    tg_str rest = url;
    tg_str authority = TG_STR_NONE;
    tg_str host = TG_STR_NONE;
    uint64_t port = 0;
    struct tg_buf target = {.max = 4096};

    if (tg_str_has_prefix(url, TG_STR("wss://")) || tg_str_has_prefix(url, TG_STR("https://"))) {
        l->tls = true;
    } else if (!tg_str_has_prefix(url, TG_STR("ws://")) &&
               !tg_str_has_prefix(url, TG_STR("http://"))) {
        return TG_ESYNTAX;
    }
    (void)tg_str_cut(&rest, ':');
    rest = tg_str_skip(rest, 2);
    authority = tg_str_cut(&rest, '/');
    host = authority;
    if (host.n > 0 && host.p[0] == '[') {
        host = tg_str_skip(host, 1);
        host = tg_str_cut(&host, ']');
    } else {
        host = tg_str_cut(&host, ':');
    }
    l->port = l->tls ? 443 : 80;
    if (authority.n > host.n && authority.p[authority.n - 1] != ']') {
        const char *colon = memrchr(authority.p, ':', authority.n);

        if (colon == NULL ||
            tg_str_to_u64(tg_str_skip(authority, (size_t)(colon + 1 - authority.p)), &port) !=
                TG_OK ||
            port == 0 || port > 65535) {
            return TG_ESYNTAX;
        }
        l->port = (unsigned)port;
    }
    if (host.n == 0) {
        return TG_ESYNTAX;
    }
    while (rest.n > 0 && rest.p[rest.n - 1] == '/') {
        rest.n--;
    }
    (void)tg_buf_char(&target, '/');
    (void)tg_buf_str(&target, rest);
    (void)tg_buf_str(&target, TG_STR("?vsn=2.0.0"));
    if (l->opts.api_key != NULL) {
        (void)tg_buf_str(&target, TG_STR("&apikey="));
        (void)tg_buf_str(&target, tg_str_of(l->opts.api_key));
    }
    l->host = tg_str_dup(host);
    l->hostport = tg_str_dup(authority);
    l->target = tg_buf_take(&target);
    (void)snprintf(l->service, sizeof(l->service), "%u", l->port);
    return TG_OK;
}

enum tg_rc tg_link_create(const struct tg_link_opts *opts, const struct tg_link_handler *h,
                          void *arg, struct tg_link **ret_link)
{
    struct tg_link *l = TG_NEW(struct tg_link);
    struct tg_wsc_opts wsc = {0};
    enum tg_rc rc = TG_OK;

    l->opts = *opts;
    l->h = *h;
    l->arg = arg;
    l->random = tg_hash(TG_STR("link")) | 1U;
    tg_list_init(&l->sockets);
    tg_wheel_init(&l->wheel, tg_clock_mono_us());
    rc = take_url(l, tg_str_of(opts->url));
    if (rc == TG_OK) {
        rc = tg_mailbox_create(MAX_MAILS, &l->mailbox);
    }
    if (rc == TG_OK) {
        wsc = (struct tg_wsc_opts){.host = l->hostport,
                                   .port = l->port,
                                   .tls = l->tls,
                                   .ca_file = opts->ca_file,
                                   .target = l->target,
                                   .api_key = opts->api_key,
                                   .max_message_bytes = opts->max_message_bytes,
                                   .wake_fd = tg_mailbox_fd(l->mailbox),
                                   .on_wake = on_wake,
                                   .arg = l};
        rc = tg_wsc_create(&wsc, &l->wsc);
    }
    if (rc != TG_OK) {
        tg_link_destroy(l);
        return rc;
    }
    *ret_link = l;
    return TG_OK;
}

enum tg_rc tg_link_start(struct tg_link *l)
{
    if (pthread_create(&l->thread, NULL, run_link, l) != 0) {
        return TG_ELIMIT;
    }
    l->started = true;
    return TG_OK;
}

void tg_link_stop(struct tg_link *l)
{
    if (l->started) {
        struct order *o = new_order(0, on_stop_order);

        while (tg_mailbox_post(l->mailbox, &o->mail) == TG_EFULL) {
            /* Full means that the thread has work waiting: it will make room. */
            (void)sched_yield();
        }
        (void)pthread_join(l->thread, NULL);
        l->started = false;
    }
}

void tg_link_destroy(struct tg_link *l)
{
    if (l == NULL) {
        return;
    }
    if (l->mailbox != NULL) {
        tg_mailbox_close(l->mailbox);
    }
    l->stopping = true;
    drop_all(l);
    tg_wsc_destroy(l->wsc);
    tg_mailbox_destroy(l->mailbox);
    tg_map_fini(&l->channels);
    tg_ids_fini(&l->socket_ids);
    free(l->host);
    free(l->hostport);
    free(l->target);
    free(l);
}

const struct tg_link_counts *tg_link_counts(const struct tg_link *l)
{
    return &l->counts;
}
