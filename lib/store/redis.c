/* redis.c - the log in Redis: a handle with two connections, and its way up and down.
 *
 *   waiting --timer--> resolving --mail--> connecting --> setting up --> up
 *      ^                                                                  |
 *      +------------------- anything goes wrong: lose() ------------------+
 *
 * The first connection carries all operations, pipelined and in order; the second one the tail's
 * XREAD BLOCK. Both are one thing: the loss of either is the loss of the store. An operation's
 * command is kept until its reply has come, so that after SCRIPT FLUSH all of them can go out
 * again in their order. */
#include <stdlib.h>
#include <sys/random.h>

#include "store/redis_device.h"
#include "store/redis_link.h"
#include "store/redis_tail.h"
#include "store/redis_text.h"
#include "store/redis_url.h"
#include "util/log.h"

enum {
    HEARTBEAT_MS = 5000,
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 5000,
    RUN_ID_MAX = 64,
    PORT_MAX = 8,
};

struct redis_group {
    struct tg_store_group base;
    struct tg_redis_url url;
    struct tg_redis_keys keys;
};

enum stage { WAITING, RESOLVING, CONNECTING, SETTING_UP, UP };

struct redis_store {
    struct tg_store base;
    enum stage stage;
    struct tg_redis_link *link; /* operations */
    struct tg_redis_tail *tail;
    struct tg_port *port; /* for the resolver */
    struct tg_watch watch;
    struct tg_timer backoff;
    struct tg_timer deadline; /* of setting up, and of a heartbeat */
    struct tg_timer heartbeat;
    unsigned n_losses;         /* in a row */
    bool is_settling;          /* the script was asked and has not answered */
    bool is_log_doubted;       /* the tail has met another log's beginning */
    bool is_loading;           /* scripts are on their way */
    unsigned n_setup;          /* commands before UP that have not been answered */
    struct tg_pos settled;     /* the log's last id when the epoch was last asked for */
    struct tg_list held;       /* commands that wait for the scripts, in order */
    char address[64];          /* of the host's name */
    char run[RUN_ID_MAX];      /* of the server that this connection has */
    char last_run[RUN_ID_MAX]; /* of the one that was settled with before */
    char shas[TG_SCRIPT_MAX][TG_SHA_LEN];
    struct tg_entry entries[TG_PAGE_MAX];
};

enum command_kind { CMD_PLAIN, CMD_INFO, CMD_LOAD, CMD_OPERATION, CMD_SETTLE };

/* From its sending until its reply; one that met NOSCRIPT is on `held` meanwhile. */
struct command {
    struct tg_list node;
    struct redis_store *store;
    enum command_kind kind;
    enum tg_script_name script; /* CMD_LOAD */
    enum tg_verb verb;          /* CMD_OPERATION */
    tg_id op;
    struct tg_epoch epoch;
    tg_str wire; /* [owned] */
    tg_str topic;
    char text[]; /* the topic */
};

static struct redis_group *group_of(struct tg_store_group *g)
{
    return TG_CONTAINER_OF(g, struct redis_group, base);
}

static struct redis_store *store_of(struct tg_store *s)
{
    return TG_CONTAINER_OF(s, struct redis_store, base);
}

static struct redis_group *my_group(const struct redis_store *s)
{
    return group_of(s->base.group);
}

static void free_command(struct command *c)
{
    tg_list_remove(&c->node);
    tg_redis_wire_free(c->wire);
    free(c);
}

static struct command *new_command(struct redis_store *s, enum command_kind kind, tg_str wire,
                                   tg_str topic)
{
    struct command *c = tg_calloc(1, sizeof(*c) + topic.n);

    tg_list_init(&c->node);
    c->store = s;
    c->kind = kind;
    c->wire = wire;
    c->topic = tg_str_make(c->text, topic.n);
    if (topic.n != 0) {
        memcpy(c->text, topic.p, topic.n);
    }
    return c;
}

/* ---- losing and waiting ---- */

static void drop_held(struct redis_store *s)
{
    while (!tg_list_empty(&s->held)) {
        free_command(TG_CONTAINER_OF(s->held.next, struct command, node));
    }
}

static void drop_tail(struct redis_store *s)
{
    struct tg_redis_tail *t = s->tail;

    s->tail = NULL;
    tg_redis_tail_close(t);
}

static void drop_links(struct redis_store *s)
{
    struct tg_redis_link *link = s->link;

    s->link = NULL;
    tg_redis_link_close(link);
    drop_tail(s);
    drop_held(s);
    s->is_settling = false;
    s->is_log_doubted = false;
    s->is_loading = false;
    s->n_setup = 0;
    tg_loop_timer_stop(s->base.loop, &s->deadline);
    tg_loop_timer_stop(s->base.loop, &s->heartbeat);
}

/* Doubles from loss to loss; a random half, so that gateways do not come in step. */
static tg_usec backoff_of(const struct redis_store *s)
{
    unsigned shift = TG_MIN(s->n_losses, 10U);
    uint64_t ms = TG_MIN((uint64_t)BACKOFF_MIN_MS << shift, (uint64_t)BACKOFF_MAX_MS);
    uint32_t random = 0;

    TG_ASSERT(getrandom(&random, sizeof(random), 0) == (ssize_t)sizeof(random));
    return TG_MS(ms / 2 + random % (ms / 2 + 1));
}

static void lose(struct redis_store *s, const char *why)
{
    if (s->base.is_closed || s->stage == WAITING) {
        return;
    }
    tg_log_limited(TG_LOG_DEBUG, "store_lost", 60, TG_KZ("why", why));
    drop_links(s);
    s->stage = WAITING;
    tg_loop_timer_start(s->base.loop, &s->backoff, backoff_of(s));
    s->n_losses++;
    tg_store_tell_down(&s->base);
}

/* What an operator must put right; asked again all the while. */
static void refuse(struct redis_store *s, const char *why, tg_str detail)
{
    tg_log_limited(TG_LOG_ERROR, "store_refused", 2, TG_KZ("why", why), TG_KS("detail", detail));
    s->n_losses = TG_MAX(s->n_losses, 5U);
    lose(s, why);
}

static void on_deadline(struct tg_timer *t)
{
    lose(TG_CONTAINER_OF(t, struct redis_store, deadline), "timeout");
}

static void on_link_lost(struct tg_redis_link *k, void *arg)
{
    (void)k;
    lose(arg, "connection");
}

/* ---- sending ---- */

static void on_reply(redisAsyncContext *context, void *reply, void *arg);

static void send_command(struct redis_store *s, struct command *c)
{
    if (s->link == NULL || tg_redis_link_send(s->link, c->wire, on_reply, c) != TG_OK) {
        /* The connection is gone; its loss is on its way and completes the operation. */
        free_command(c);
    }
}

static void send_plain(struct redis_store *s, enum command_kind kind, struct tg_redis_args *a)
{
    s->n_setup += kind != CMD_SETTLE;
    send_command(s, new_command(s, kind, tg_redis_args_format(a), TG_STR_NONE));
}

static tg_str sha_of(const struct redis_store *s, enum tg_script_name script)
{
    return tg_str_make(s->shas[script], TG_SHA_LEN);
}

static void load_scripts(struct redis_store *s)
{
    s->is_loading = true;
    for (unsigned i = 0; i < TG_SCRIPT_MAX; i++) {
        struct tg_redis_args a = {0};
        struct command *c = NULL;

        tg_redis_arg(&a, TG_STR("SCRIPT"));
        tg_redis_arg(&a, TG_STR("LOAD"));
        tg_redis_arg(&a, tg_str_make(tg_scripts[i].text, tg_scripts[i].n));
        c = new_command(s, CMD_LOAD, tg_redis_args_format(&a), TG_STR_NONE);
        c->script = (enum tg_script_name)i;
        s->n_setup++;
        send_command(s, c);
    }
}

static void settle(struct redis_store *s)
{
    struct redis_group *g = my_group(s);
    struct tg_settle ask = {.run = tg_str_of(s->run),
                            .my_epoch = tg_str_of(s->base.epoch.text),
                            .my_run = tg_str_of(s->last_run),
                            .highest = s->base.highest};
    struct command *c = NULL;

    if (s->is_settling || s->stage < SETTING_UP) {
        return;
    }
    s->is_settling = true;
    tg_epoch_make(&ask.spare);
    c = new_command(
        s, CMD_SETTLE,
        tg_redis_settle_command(&g->keys, &g->base.opts, sha_of(s, TG_SCRIPT_SETTLE), &ask),
        TG_STR_NONE);
    tg_loop_timer_start(s->base.loop, &s->deadline, g->base.opts.timeout);
    send_command(s, c);
}

static void on_heartbeat(struct tg_timer *t)
{
    settle(TG_CONTAINER_OF(t, struct redis_store, heartbeat));
}

/* ---- replies ---- */

static void resend_held(struct redis_store *s)
{
    while (!tg_list_empty(&s->held) && s->link != NULL) {
        struct command *c = TG_CONTAINER_OF(s->held.next, struct command, node);

        tg_list_remove(&c->node);
        send_command(s, c);
    }
}

static void set_up_done(struct redis_store *s)
{
    if (s->stage == SETTING_UP) {
        settle(s);
    } else {
        resend_held(s);
    }
}

static void read_info(struct redis_store *s, tg_str info)
{
    tg_str run = tg_redis_info(info, TG_STR("run_id"));
    tg_str version = tg_redis_info(info, TG_STR("redis_version"));
    tg_str policy = tg_redis_info(info, TG_STR("maxmemory_policy"));
    tg_str role = tg_redis_info(info, TG_STR("role"));
    tg_str rest = version;
    tg_str major_text = tg_str_cut(&rest, '.');
    tg_str minor_text = tg_str_cut(&rest, '.');
    uint64_t major = 0;
    uint64_t minor = 0;

    if (run.n == 0 || run.n >= RUN_ID_MAX || tg_str_to_u64(major_text, &major) != TG_OK ||
        tg_str_to_u64(minor_text, &minor) != TG_OK) {
        refuse(s, "INFO is not understood", TG_STR_NONE);
    } else if (major < 6 || (major == 6 && minor < 2)) {
        refuse(s, "Redis 6.2 or newer is needed", version);
    } else if (policy.n != 0 && !tg_str_eq(policy, TG_STR("noeviction"))) {
        refuse(s, "maxmemory-policy must be noeviction", policy);
    } else if (!tg_str_eq(role, TG_STR("master"))) {
        refuse(s, "the server is a replica", role);
    } else {
        memcpy(s->run, run.p, run.n);
        s->run[run.n] = '\0';
    }
}

static void read_settle(struct redis_store *s, const redisReply *r)
{
    struct tg_epoch epoch = {0};
    struct tg_pos last = {0};
    bool is_suspect = false;

    s->is_settling = false;
    tg_loop_timer_stop(s->base.loop, &s->deadline);
    if (!tg_redis_read_settle(r, &epoch, &last, &is_suspect)) {
        refuse(s, "the settle script failed",
               r->type == REDIS_REPLY_ERROR ? tg_redis_text(r) : TG_STR_NONE);
        return;
    }
    memcpy(s->last_run, s->run, sizeof(s->run));
    s->settled = last;
    tg_loop_timer_start(s->base.loop, &s->heartbeat, TG_MS(HEARTBEAT_MS));
    if (s->stage == UP && strcmp(epoch.text, s->base.epoch.text) == 0 && !is_suspect) {
        if (s->is_log_doubted) {
            lose(s, "another log"); /* asked before that began: begin again */
        } else if (tg_pos_cmp(last, s->base.highest) > 0) {
            s->base.highest = last;
        }
        return;
    }
    if (s->stage == UP) {
        drop_tail(s);
        tg_store_tell_down(&s->base); /* what is under way on the other log ends with it */
        if (s->base.is_closed) {
            return;
        }
    } else {
        tg_count_add(&s->base.counts.reconnects, s->base.epoch.text[0] != '\0');
    }
    s->is_log_doubted = false;
    s->stage = UP;
    s->n_losses = 0;
    tg_store_tell_up(&s->base, &epoch, last, is_suspect);
}

/* Errors after which this connection is of no use. */
static bool is_fatal(const redisReply *r)
{
    return tg_redis_is_error(r, "READONLY") || tg_redis_is_error(r, "LOADING") ||
           tg_redis_is_error(r, "MASTERDOWN") || tg_redis_is_error(r, "NOAUTH") ||
           tg_redis_is_error(r, "NOPERM") || tg_redis_is_error(r, "WRONGPASS");
}

static void read_operation(struct redis_store *s, struct command *c, const redisReply *r)
{
    struct tg_answer a = {.rc = TG_ESTORE};
    struct tg_page page = {0};
    struct tg_arena arena = {0}; /* of what the answer points to */
    bool is_other_log = false;

    if (r->type == REDIS_REPLY_ERROR) {
        a.rc = tg_redis_is_error(r, "OOM") ? TG_EFULL : TG_ESTORE;
        tg_log_limited(TG_LOG_WARN, "store_error", 10, TG_KS("reply", tg_redis_text(r)));
    } else if (c->verb == TG_VERB_PAGE) {
        if (tg_redis_read_page(r, c->topic, s->entries, &page)) {
            a.rc = TG_OK;
            a.page = &page;
            tg_count_add(&s->base.counts.entries_read, page.n);
            is_other_log = page.verdict == TG_RESET_EPOCH;
        }
    } else if (c->verb >= TG_VERB_DEVICE_TOUCH && c->verb <= TG_VERB_DEVICE_DELETE) {
        (void)tg_redis_device_read(r, c->verb, &arena, &a);
    } else if (c->verb == TG_VERB_DENY || c->verb == TG_VERB_DENIED) {
        (void)tg_redis_read_denied(r, &arena, &a);
    } else if (c->verb == TG_VERB_LANE) {
        is_other_log = tg_redis_read_lane(r, &a) && a.rc == TG_EEPOCH;
    } else if (c->verb == TG_VERB_ONCE) {
        (void)tg_redis_read_once(r, &a);
    } else if (tg_redis_read_answer(r, &a)) {
        is_other_log = a.rc == TG_EEPOCH;
    }
    tg_store_answer(&s->base, c->op, &a);
    tg_arena_drop(&arena);
    if (s->base.is_closed) {
        return;
    }
    if (is_other_log && strcmp(c->epoch.text, s->base.epoch.text) == 0) {
        settle(s); /* the log that we knew is gone */
    }
    if (r->type == REDIS_REPLY_ERROR && is_fatal(r)) {
        lose(s, "error");
    }
}

static void read_setup(struct redis_store *s, struct command *c, const redisReply *r)
{
    TG_ASSERT(s->n_setup > 0);
    s->n_setup--;
    if (r->type == REDIS_REPLY_ERROR) {
        refuse(s, "the server says no", tg_redis_text(r));
        return;
    }
    if (c->kind == CMD_INFO) {
        read_info(s, tg_redis_text(r));
    } else if (c->kind == CMD_LOAD) {
        if (r->type != REDIS_REPLY_STRING || r->len != TG_SHA_LEN) {
            refuse(s, "SCRIPT LOAD is not understood", TG_STR_NONE);
            return;
        }
        memcpy(s->shas[c->script], r->str, TG_SHA_LEN);
    }
    if (s->n_setup == 0 && s->link != NULL) {
        s->is_loading = false;
        set_up_done(s);
    }
}

static void on_reply(redisAsyncContext *context, void *reply, void *arg)
{
    struct command *c = arg;
    struct redis_store *s = c->store;
    const redisReply *r = reply;

    (void)context;
    if (r == NULL || s->base.is_closed || s->link == NULL) {
        free_command(c);
        return;
    }
    if (r->type == REDIS_REPLY_ERROR && tg_redis_is_error(r, "NOSCRIPT")) {
        /* Replies come in order, and LOAD's come behind those of all that was sent before. */
        tg_list_append(&s->held, &c->node);
        if (!s->is_loading) {
            load_scripts(s);
        }
        return;
    }
    switch (c->kind) {
    case CMD_OPERATION:
        read_operation(s, c, r);
        break;
    case CMD_SETTLE:
        read_settle(s, r);
        break;
    case CMD_PLAIN:
    case CMD_INFO:
    case CMD_LOAD:
        read_setup(s, c, r);
        break;
    default:
        TG_UNREACHABLE();
    }
    free_command(c);
}

/* ---- connecting ---- */

static void on_link_up(struct tg_redis_link *k, void *arg)
{
    struct redis_store *s = arg;
    struct tg_redis_args a = {0};

    (void)k;
    s->stage = SETTING_UP;
    for (unsigned step = 0; step < TG_LOGIN_STEPS; step++) {
        if (tg_redis_login(&my_group(s)->url, step, &a)) {
            send_plain(s, CMD_PLAIN, &a);
        }
    }
    tg_redis_arg(&a, TG_STR("INFO"));
    send_plain(s, CMD_INFO, &a);
    load_scripts(s);
}

static struct tg_redis_link_address address_of(const struct redis_store *s)
{
    const struct tg_redis_url *u = &my_group(s)->url;

    return (struct tg_redis_link_address){
        .host = u->is_numeric ? u->host : s->address, .port = u->port, .path = u->path};
}

static void connect_now(struct redis_store *s)
{
    const struct tg_redis_link_address to = address_of(s);
    const struct tg_redis_link_handler h = {.on_up = on_link_up, .on_lost = on_link_lost, .arg = s};

    s->stage = CONNECTING;
    tg_loop_timer_start(s->base.loop, &s->deadline, s->base.group->opts.timeout);
    if (tg_redis_link_open(s->base.loop, &to, &h, &s->link) != TG_OK) {
        lose(s, "refused");
    }
}

static void on_resolved(struct tg_mail *mail, void *owner)
{
    struct tg_resolved *found = TG_CONTAINER_OF(mail, struct tg_resolved, mail);
    struct redis_store *s = owner;

    if (!s->base.is_closed && s->stage == RESOLVING) {
        if (found->address[0] == '\0') {
            refuse(s, "the name has no address", tg_str_of(my_group(s)->url.host));
        } else {
            memcpy(s->address, found->address, sizeof(s->address));
            connect_now(s);
        }
    }
    mail->drop(mail);
}

static void on_backoff(struct tg_timer *t)
{
    struct redis_store *s = TG_CONTAINER_OF(t, struct redis_store, backoff);
    const struct tg_redis_url *u = &my_group(s)->url;

    if (u->path != NULL || u->is_numeric) {
        connect_now(s);
        return;
    }
    s->stage = RESOLVING;
    if (tg_redis_resolve(u, s->n_losses, s->port, on_resolved) != TG_OK) {
        lose(s, "no thread");
    }
}

static void on_port(struct tg_watch *w, unsigned events)
{
    struct redis_store *s = TG_CONTAINER_OF(w, struct redis_store, watch);

    (void)events;
    (void)tg_mailbox_drain(s->port->box, s);
}

/* ---- handles ---- */

static enum tg_rc submit(struct tg_store *base, tg_id op, const struct tg_ask *ask)
{
    struct redis_store *s = store_of(base);
    struct redis_group *g = my_group(s);
    enum tg_script_name script = tg_redis_script_of(ask->verb);
    tg_str sha = script == TG_SCRIPT_MAX ? TG_STR_NONE : sha_of(s, script);
    struct command *c = new_command(
        s, CMD_OPERATION, tg_redis_command(&g->keys, &g->base.opts, sha, ask), ask->topic);

    c->verb = ask->verb;
    c->op = op;
    c->epoch = ask->epoch;
    if (!tg_list_empty(&s->held)) {
        tg_list_append(&s->held, &c->node); /* not past those that wait for the scripts */
    } else {
        send_command(s, c);
    }
    return TG_OK;
}

static void on_tail_batch(const struct tg_entry *entries, size_t n, struct tg_pos last, bool is_cut,
                          bool is_new_log, void *arg)
{
    struct redis_store *s = arg;

    if (is_new_log) {
        s->is_log_doubted = true;
        settle(s); /* these entries are of a log that nobody here knows yet */
        return;
    }
    tg_store_tell_batch(&s->base, entries, n, last, is_cut);
}

static void on_tail_lost(const char *why, void *arg)
{
    lose(arg, why);
}

static enum tg_rc tail(struct tg_store *base)
{
    struct redis_store *s = store_of(base);
    const struct redis_group *g = my_group(s);
    const struct tg_redis_tail_opts opts = {.loop = base->loop,
                                            .address = address_of(s),
                                            .url = &g->url,
                                            .log = g->keys.log,
                                            .run = s->run,
                                            .timeout = g->base.opts.timeout,
                                            .after = base->tail_at,
                                            .known = s->settled,
                                            .on_batch = on_tail_batch,
                                            .on_lost = on_tail_lost,
                                            .arg = s};
    enum tg_rc rc = tg_redis_tail_open(&opts, &s->tail);

    base->is_tailing = rc == TG_OK;
    return rc;
}

static void timed_out(struct tg_store *base)
{
    /* One connection, in order: nothing behind it would come in time. */
    lose(store_of(base), "timeout");
}

static void free_store(void *arg)
{
    struct redis_store *s = arg;

    tg_port_unref(s->port);
    tg_store_fini(&s->base);
    free(s);
}

static void close_store(struct tg_store *base)
{
    struct redis_store *s = store_of(base);

    drop_links(s);
    tg_loop_timer_stop(base->loop, &s->backoff);
    (void)tg_watch_release(base->loop, &s->watch);
    tg_mailbox_close(s->port->box);
    tg_loop_defer(base->loop, free_store, s);
}

static enum tg_rc open_store(struct tg_store_group *g, struct tg_loop *l,
                             const struct tg_store_event_handler *h, struct tg_store **ret_store)
{
    struct redis_store *s = TG_NEW(struct redis_store);
    enum tg_rc rc = TG_OK;

    tg_store_init(&s->base, g, l, h);
    tg_list_init(&s->held);
    tg_timer_init(&s->backoff, on_backoff);
    tg_timer_init(&s->deadline, on_deadline);
    tg_timer_init(&s->heartbeat, on_heartbeat);
    rc = tg_port_create(PORT_MAX, &s->port);
    if (rc == TG_OK) {
        rc = tg_watch_mailbox(l, &s->watch, s->port->box, on_port);
    }
    if (rc != TG_OK) {
        free_store(s);
        return rc;
    }
    tg_loop_timer_start(l, &s->backoff, 0);
    *ret_store = &s->base;
    return TG_OK;
}

/* ---- groups ---- */

static enum tg_rc serve(struct tg_store_group *g, struct tg_loop *l)
{
    (void)g; /* the server carries the log */
    (void)l;
    return TG_OK;
}

static void unserve(struct tg_store_group *g)
{
    (void)g;
}

static void destroy_group(struct tg_store_group *base)
{
    struct redis_group *g = group_of(base);

    tg_redis_keys_fini(&g->keys);
    tg_redis_url_fini(&g->url);
    tg_store_group_fini(base);
    free(g);
}

static enum tg_rc create_group(const struct tg_store_opts *opts, struct tg_store_group **ret_group)
{
    struct redis_group *g = TG_NEW(struct redis_group);
    enum tg_rc rc = tg_store_group_init(&g->base, &tg_store_redis, opts);

    if (rc == TG_OK) {
        rc = tg_redis_url_parse(tg_str_of(opts->url), &g->url);
        if (rc != TG_OK) {
            tg_store_group_fini(&g->base);
        }
    }
    if (rc != TG_OK) {
        free(g);
        return rc;
    }
    tg_redis_keys_init(&g->keys, tg_str_of(opts->prefix));
    *ret_group = &g->base;
    return TG_OK;
}

const struct tg_store_ops tg_store_redis = {
    .create = create_group,
    .destroy = destroy_group,
    .serve = serve,
    .unserve = unserve,
    .open = open_store,
    .close = close_store,
    .submit = submit,
    .tail = tail,
    .timed_out = timed_out,
};
