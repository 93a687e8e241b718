/* redis_ask.c - commands on a handle's first connection, and what becomes of their replies.
 *
 * They are pipelined and in order. An operation's command is kept until its reply has come, so
 * that after SCRIPT FLUSH all of them can go out again in their order. */
#include <stdlib.h>

#include "store/redis_device.h"
#include "store/redis_index.h"
#include "store/redis_int.h"
#include "store/redis_reply.h"
#include "util/log.h"

enum { HEARTBEAT_MS = 5000 };

enum command_kind { CMD_PLAIN, CMD_INFO, CMD_EXISTS, CMD_LOAD, CMD_OPERATION, CMD_SETTLE };

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

static bool is_written(enum tg_verb verb)
{
    return verb == TG_VERB_APPEND || verb == TG_VERB_GAP || verb == TG_VERB_CONTROL;
}

static void free_command(struct command *c)
{
    if (c->kind == CMD_OPERATION && is_written(c->verb)) {
        TG_ASSERT(c->store->n_writing > 0);
        c->store->n_writing--;
    }
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

static tg_str sha_of(enum tg_script_name script)
{
    return tg_str_make(tg_scripts[script].sha, TG_SHA_LEN);
}

static void load_scripts(struct redis_store *s)
{
    struct tg_redis_args a = {0};

    s->is_loading = true;
    tg_redis_arg(&a, TG_STR("SCRIPT"));
    tg_redis_arg(&a, TG_STR("EXISTS"));
    for (unsigned i = 0; i < TG_SCRIPT_MAX; i++) {
        tg_redis_arg(&a, sha_of((enum tg_script_name)i));
    }
    send_plain(s, CMD_EXISTS, &a);
}

/* One that the server has not. All at once would be 45 KB in three copies at each handle's start,
 * and the heap keeps their place. */
static void load_missing(struct redis_store *s)
{
    unsigned i = (unsigned)__builtin_ctz(s->missing);
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

void redis_settle(struct redis_store *s)
{
    struct redis_group *g = redis_group_of(s);
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
        tg_redis_settle_command(&g->keys, &g->base.opts, sha_of(TG_SCRIPT_SETTLE), &ask),
        TG_STR_NONE);
    tg_loop_timer_start(s->base.loop, &s->deadline, g->base.opts.timeout);
    send_command(s, c);
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

/* All that was asked has been answered. */
static void set_up_next(struct redis_store *s)
{
    if (s->missing != 0) {
        load_missing(s);
        return;
    }
    s->is_loading = false;
    if (s->stage == SETTING_UP && !s->is_settling) {
        redis_settle(s);
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
        redis_refuse(s, "INFO is not understood", TG_STR_NONE);
    } else if (major < 6 || (major == 6 && minor < 2)) {
        redis_refuse(s, "Redis 6.2 or newer is needed", version);
    } else if (policy.n != 0 && !tg_str_eq(policy, TG_STR("noeviction"))) {
        redis_refuse(s, "maxmemory-policy must be noeviction", policy);
    } else if (!tg_str_eq(role, TG_STR("master"))) {
        redis_refuse(s, "the server is a replica", role);
    } else {
        memcpy(s->run, run.p, run.n);
        s->run[run.n] = '\0';
    }
}

static void read_exists(struct redis_store *s, const redisReply *r)
{
    if (r->type != REDIS_REPLY_ARRAY || r->elements != TG_SCRIPT_MAX) {
        redis_refuse(s, "SCRIPT EXISTS is not understood", TG_STR_NONE);
        return;
    }
    s->missing = 0;
    for (unsigned i = 0; i < TG_SCRIPT_MAX; i++) {
        s->missing |= (unsigned)(r->element[i]->integer != 1) << i;
    }
}

static void read_load(struct redis_store *s, enum tg_script_name script, const redisReply *r)
{
    if (r->type != REDIS_REPLY_STRING || !tg_str_eq(tg_redis_text(r), sha_of(script))) {
        redis_refuse(s, "SCRIPT LOAD is not understood", TG_STR_NONE);
        return;
    }
    s->missing &= ~(1U << script);
}

static void read_settle(struct redis_store *s, const redisReply *r)
{
    struct tg_epoch epoch = {0};
    struct tg_pos last = {0};
    bool is_suspect = false;

    s->is_settling = false;
    tg_loop_timer_stop(s->base.loop, &s->deadline);
    if (!tg_redis_read_settle(r, &epoch, &last, &is_suspect)) {
        redis_refuse(s, "the settle script failed",
                     r->type == REDIS_REPLY_ERROR ? tg_redis_text(r) : TG_STR_NONE);
        return;
    }
    memcpy(s->last_run, s->run, sizeof(s->run));
    s->settled = last;
    tg_loop_timer_start(s->base.loop, &s->heartbeat, TG_MS(HEARTBEAT_MS));
    if (s->stage == UP && strcmp(epoch.text, s->base.epoch.text) == 0 && !is_suspect) {
        if (s->is_log_doubted) {
            redis_lose(s, "another log"); /* asked before that began: begin again */
        } else if (tg_pos_cmp(last, s->base.highest) > 0) {
            s->base.highest = last;
        }
        return;
    }
    if (s->stage == UP) {
        redis_drop_tail(s);
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

/* Reads the answer of the command's verb; it may borrow from all that is given. False: not the
 * reply that was expected. */
static bool read_answer(struct redis_store *s, const struct command *c, const redisReply *r,
                        struct tg_arena *arena, struct tg_page *page, struct tg_answer *a)
{
    switch (c->verb) {
    case TG_VERB_PAGE:
        if (!tg_redis_read_page(r, c->topic, arena, page)) {
            return false;
        }
        a->rc = TG_OK;
        a->page = page;
        tg_count_add(&s->base.counts.entries_read, page->n);
        return true;
    case TG_VERB_LANE:
        return tg_redis_read_lane(r, a);
    case TG_VERB_DEVICE_TOUCH:
    case TG_VERB_DEVICE_ACK:
    case TG_VERB_DEVICE_GET:
    case TG_VERB_DEVICE_LIST:
    case TG_VERB_DEVICE_DELETE:
        return tg_redis_device_read(r, c->verb, arena, a);
    case TG_VERB_ONCE:
        return tg_redis_read_once(r, a);
    case TG_VERB_DENY:
    case TG_VERB_DENIED:
        return tg_redis_read_denied(r, arena, a);
    case TG_VERB_INDEX_WRITE:
    case TG_VERB_INDEX_LOAD:
        return tg_redis_index_read(r, arena, a);
    case TG_VERB_APPEND:
    case TG_VERB_GAP:
    case TG_VERB_CONTROL:
    case TG_VERB_TAKE:
    case TG_VERB_RENEW:
    case TG_VERB_RELEASE:
    default:
        return tg_redis_read_answer(r, a);
    }
}

static void read_operation(struct redis_store *s, struct command *c, const redisReply *r)
{
    struct tg_answer a = {.rc = TG_ESTORE};
    struct tg_page page = {0};
    TG_CLEANUP(tg_arena_drop) struct tg_arena arena = {0};
    bool is_other_log = false;

    if (r->type == REDIS_REPLY_ERROR) {
        a.rc = tg_redis_is_error(r, "OOM") ? TG_ESTOREFULL : TG_ESTORE;
        tg_log_limited(TG_LOG_WARN, "store_error", 10, TG_KS("reply", tg_redis_text(r)));
    } else if (!read_answer(s, c, r, &arena, &page, &a)) {
        a = (struct tg_answer){.rc = TG_ESTORE};
    }
    is_other_log = a.rc == TG_EEPOCH || (a.page != NULL && page.verdict == TG_RESET_EPOCH);
    tg_store_answer(&s->base, c->op, &a);
    if (s->base.is_closed) {
        return;
    }
    if (is_other_log && strcmp(c->epoch.text, s->base.epoch.text) == 0) {
        redis_settle(s); /* the log that we knew is gone */
    }
    if (r->type == REDIS_REPLY_ERROR && is_fatal(r)) {
        redis_lose(s, "error");
    }
}

static void read_setup(struct redis_store *s, struct command *c, const redisReply *r)
{
    TG_ASSERT(s->n_setup > 0);
    s->n_setup--;
    if (r->type == REDIS_REPLY_ERROR) {
        redis_refuse(s, "the server says no", tg_redis_text(r));
        return;
    }
    if (c->kind == CMD_INFO) {
        read_info(s, tg_redis_text(r));
    } else if (c->kind == CMD_EXISTS) {
        read_exists(s, r);
    } else if (c->kind == CMD_LOAD) {
        read_load(s, c->script, r);
    }
    if (s->n_setup == 0 && s->link != NULL) {
        set_up_next(s);
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
        /* Replies come in order, and EXISTS's comes behind those of all that was sent before. */
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
    case CMD_EXISTS:
    case CMD_LOAD:
        read_setup(s, c, r);
        break;
    default:
        TG_UNREACHABLE();
    }
    free_command(c);
}
/* ---- setting up ---- */

void redis_set_up(struct redis_store *s)
{
    struct tg_redis_args a = {0};

    for (unsigned step = 0; step < TG_LOGIN_STEPS; step++) {
        if (tg_redis_login(&redis_group_of(s)->url, step, &a)) {
            send_plain(s, CMD_PLAIN, &a);
        }
    }
    tg_redis_arg(&a, TG_STR("INFO"));
    send_plain(s, CMD_INFO, &a);
    load_scripts(s);
}

/* ---- operations ---- */

enum tg_rc redis_submit(struct tg_store *base, tg_id op, const struct tg_ask *ask)
{
    struct redis_store *s = redis_store_of(base);
    struct redis_group *g = redis_group_of(s);
    enum tg_script_name script = tg_redis_script_of(ask->verb);
    tg_str sha = script == TG_SCRIPT_MAX ? TG_STR_NONE : sha_of(script);
    struct command *c = new_command(
        s, CMD_OPERATION, tg_redis_command(&g->keys, &g->base.opts, sha, ask), ask->topic);

    c->verb = ask->verb;
    c->op = op;
    c->epoch = ask->epoch;
    s->n_writing += is_written(ask->verb);
    if (!tg_list_empty(&s->held)) {
        tg_list_append(&s->held, &c->node); /* not past those that wait for the scripts */
    } else {
        send_command(s, c);
    }
    return TG_OK;
}

void redis_drop_held(struct redis_store *s)
{
    while (!tg_list_empty(&s->held)) {
        free_command(TG_CONTAINER_OF(s->held.next, struct command, node));
    }
}
