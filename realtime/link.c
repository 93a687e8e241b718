/* link.c - the link's thread: orders from the hub, time, and life. */
#include "realtime/link.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "realtime/link_int.h"
#include "util/log.h"

enum { MAX_MAILS = 65536 };

#define BACKOFF_FIRST TG_MS(500)
#define BACKOFF_MAX TG_SEC(30)

/* ---- time ---- */

static void set_wake(struct tg_link *l)
{
    tg_usec next = tg_wheel_next(&l->wheel);
    tg_usec now = tg_clock_mono_us();

    if (next != UINT64_MAX) {
        tg_wsc_wake_in(l->wsc, next > now ? next - now : 1);
    }
}

void link_start_timer(struct tg_link *l, struct tg_timer *t, tg_usec after)
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

tg_usec link_random(struct tg_link *l, tg_usec most)
{
    return next_random(l) % (most + 1);
}

/* Doubles with each failure up to a limit, then half to whole of it. */
tg_usec link_backoff(struct tg_link *l, unsigned failures)
{
    tg_usec delay = BACKOFF_FIRST;

    for (unsigned i = 1; i < failures && delay < BACKOFF_MAX; i++) {
        delay *= 2;
    }
    delay = TG_MIN(delay, BACKOFF_MAX);
    return delay / 2 + link_random(l, delay / 2);
}

/* ---- mail from the hub ---- */

struct order {
    struct tg_mail mail;
    uint64_t id;
    char *schema;
    char *table;
    char *filter;
    char *token;
    bool is_service;
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
    struct channel *ch = TG_NEW(struct channel);
    bool is_service = false;

    ch->link = l;
    ch->id = o->id;
    ch->schema = o->schema;
    ch->table = o->table;
    ch->filter = o->filter;
    ch->token = o->token;
    is_service = o->is_service;
    free(o);
    name_topic(ch->topic, sizeof(ch->topic), ch->id);
    tg_timer_init(&ch->timer, channel_on_timer);
    TG_ASSERT(tg_map_put(&l->channels, tg_str_of(ch->topic), ch) == NULL);
    tg_count_add(&l->counts.channels, 1);
    channel_settle(ch, is_service);
}

static void on_token_order(struct tg_mail *mail, void *owner)
{
    struct order *o = TG_CONTAINER_OF(mail, struct order, mail);
    struct channel *ch = find_channel(owner, o->id);

    if (ch != NULL) {
        channel_take_token(ch, o->token);
        o->token = NULL;
    }
    drop_order(mail);
}

static void on_leave_order(struct tg_mail *mail, void *owner)
{
    struct order *o = TG_CONTAINER_OF(mail, struct order, mail);
    struct channel *ch = find_channel(owner, o->id);

    if (ch != NULL) {
        channel_leave(ch);
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

enum tg_rc tg_link_join(struct tg_link *l, uint64_t id, const struct tg_link_channel *c)
{
    struct order *o = new_order(id, on_join_order);

    o->schema = tg_str_dup(c->schema);
    o->table = tg_str_dup(c->table);
    o->filter = tg_str_dup(c->filter);
    o->token = tg_str_dup(c->token);
    o->is_service = c->is_service;
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
    l->h.on_turn(l->arg); /* a poll may follow before the turn ends */
}

static void drop_all(struct tg_link *l)
{
    while (!tg_list_empty(&l->sockets)) {
        struct socket *s = TG_CONTAINER_OF(l->sockets.next, struct socket, node);

        while (!tg_list_empty(&s->channels)) {
            channel_free(TG_CONTAINER_OF(s->channels.next, struct channel, node));
        }
        socket_free(s);
    }
}

static void *run_link(void *arg)
{
    struct tg_link *l = arg;

    tg_log_thread("link");
    while (!l->stopping || l->n_resolving > 0) {
        if (!tg_wsc_service(l->wsc)) {
            /* Without this thread no change arrives again; a restarted process serves better. */
            tg_log(TG_LOG_ERROR, "link_broken", TG_KN("sockets", l->n_open));
            abort();
        }
        set_wake(l);
        l->h.on_turn(l->arg);
    }
    return NULL;
}

/* [owned] */
static char *make_target(tg_str path, const char *key)
{
    struct tg_buf target = {.max = 4096};

    (void)tg_buf_char(&target, '/');
    (void)tg_buf_str(&target, path);
    (void)tg_buf_str(&target, TG_STR("?vsn=2.0.0"));
    if (key != NULL) {
        (void)tg_buf_str(&target, TG_STR("&apikey="));
        (void)tg_buf_str(&target, tg_str_of(key));
    }
    return tg_buf_take(&target);
}

/* "wss://host:port/path" taken apart. */
static enum tg_rc take_url(struct tg_link *l, tg_str url)
{
    tg_str rest = url;
    tg_str authority = TG_STR_NONE;
    tg_str host = TG_STR_NONE;
    uint64_t port = 0;

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
    l->host = tg_str_dup(host);
    l->hostport = tg_str_dup(authority);
    l->target = make_target(rest, l->opts.api_key);
    l->service_target = make_target(rest, l->opts.service_key);
    return strlen(l->target) > TG_WS_TARGET_MAX || strlen(l->service_target) > TG_WS_TARGET_MAX
               ? TG_ELIMIT
               : TG_OK;
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
    tg_timer_init(&l->rate_timer, link_on_rate_timer);
    rc = take_url(l, tg_str_of(opts->url));
    if (rc == TG_OK) {
        rc = tg_mailbox_create(MAX_MAILS, &l->mailbox);
    }
    if (rc == TG_OK) {
        wsc = (struct tg_wsc_opts){.host = l->hostport,
                                   .port = l->port,
                                   .tls = l->tls,
                                   .ca_file = opts->ca_file,
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
    free(l->service_target);
    free(l);
}

const struct tg_link_counts *tg_link_counts(const struct tg_link *l)
{
    return &l->counts;
}
