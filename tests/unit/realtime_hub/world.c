/* world.c - loop, clock, link and workers of a hub under test. */
#include "realtime_hub/world.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct world world;

struct tg_fanout {
    unsigned worker;
};
static struct tg_fanout workers[N_WORKERS] = {{0}, {1}};

static void note(char *log, size_t size, const char *format, ...) TG_PRINTF(3, 4);

static void note(char *log, size_t size, const char *format, ...)
{
    size_t n = strlen(log);
    va_list args;

    va_start(args, format);
    n += (size_t)vsnprintf(log + n, size - n, format, args);
    va_end(args);
    cr_assert_lt(n, size);
}

#define TELL(...) note(world.told, sizeof(world.told), __VA_ARGS__)
#define ORDER(...) note(world.link_told, sizeof(world.link_told), __VA_ARGS__)

/* ---- the clock and the loop ---- */

tg_usec tg_clock_mono_us(void)
{
    return world.now;
}

tg_usec tg_clock_wall_us(void)
{
    return world.now;
}

enum tg_rc tg_loop_create(const char *name, size_t max_mails, struct tg_loop **ret_loop)
{
    (void)name;
    *ret_loop = (struct tg_loop *)(void *)&world;
    tg_wheel_init(&world.wheel, world.now);
    return tg_mailbox_create(max_mails, &world.mailbox);
}

void tg_loop_set_owner(struct tg_loop *l, void *owner)
{
    (void)l;
    world.owner = owner;
}

void tg_loop_run(struct tg_loop *l)
{
    (void)l; /* the test turns it */
}

void tg_loop_stop(struct tg_loop *l)
{
    (void)l;
}

void tg_loop_destroy(struct tg_loop *l)
{
    if (l != NULL) {
        tg_mailbox_destroy(world.mailbox);
    }
}

tg_usec tg_loop_now(const struct tg_loop *l)
{
    (void)l;
    return world.now;
}

enum tg_rc tg_loop_post(struct tg_loop *l, struct tg_mail *mail)
{
    (void)l;
    return tg_mailbox_post(world.mailbox, mail);
}

enum tg_rc tg_loop_post_quiet(struct tg_loop *l, struct tg_mail *mail)
{
    (void)l;
    return tg_mailbox_post_quiet(world.mailbox, mail);
}

void tg_loop_wake(struct tg_loop *l)
{
    (void)l;
    tg_mailbox_wake(world.mailbox);
}

void tg_loop_close_mail(struct tg_loop *l)
{
    (void)l;
    tg_mailbox_close(world.mailbox);
}

void tg_loop_timer_start(struct tg_loop *l, struct tg_timer *t, tg_usec after)
{
    (void)l;
    tg_wheel_start(&world.wheel, t, world.now + after);
}

void tg_loop_timer_stop(struct tg_loop *l, struct tg_timer *t)
{
    (void)l;
    tg_wheel_stop(&world.wheel, t);
}

/* ---- the link ---- */

enum tg_rc tg_link_create(const struct tg_link_opts *opts, const struct tg_link_handler *h,
                          void *arg, struct tg_link **ret_link)
{
    (void)opts;
    world.link = *h;
    world.link_arg = arg;
    *ret_link = NULL;
    return TG_OK;
}

enum tg_rc tg_link_start(struct tg_link *l)
{
    (void)l;
    return TG_OK;
}

void tg_link_stop(struct tg_link *l)
{
    (void)l;
}

void tg_link_destroy(struct tg_link *l)
{
    (void)l;
}

const struct tg_link_counts *tg_link_counts(const struct tg_link *l)
{
    static const struct tg_link_counts none;

    (void)l;
    return &none;
}

enum tg_rc tg_link_join(struct tg_link *l, uint64_t id, const struct tg_link_channel *c)
{
    (void)l;
    ORDER("join %u %.*s.%.*s%s%.*s %.*s\n", (unsigned)id, TG_STR_ARG(c->schema),
          TG_STR_ARG(c->table), c->filter.n == 0 ? "" : ":", TG_STR_ARG(c->filter),
          TG_STR_ARG(c->token));
    return TG_OK;
}

enum tg_rc tg_link_token(struct tg_link *l, uint64_t id, tg_str token)
{
    (void)l;
    ORDER("token %u %.*s\n", (unsigned)id, TG_STR_ARG(token));
    return TG_OK;
}

enum tg_rc tg_link_leave(struct tg_link *l, uint64_t id)
{
    (void)l;
    ORDER("leave %u\n", (unsigned)id);
    return TG_OK;
}

void link_up(uint64_t id)
{
    world.link.on_up(id, world.link_arg);
    turn();
}

void link_down(uint64_t id, bool needs_token)
{
    world.link.on_down(id, TG_UP_CLOSED, needs_token, world.link_arg);
    turn();
}

void link_refuses(uint64_t id, const char *message)
{
    world.link.on_refused(id, TG_UP_SUBSCRIPTION, tg_str_of(message), world.link_arg);
    turn();
}

void link_changes(uint64_t id, int n)
{
    char text[128];

    (void)snprintf(text, sizeof(text),
                   "{\"data\":{\"type\":\"INSERT\",\"record\":{\"id\":1,\"n\":%d}}}", n);
    world.link.on_change(id, tg_str_of(text), world.link_arg);
    turn();
}

/* ---- the workers ---- */

struct tg_delivery *tg_delivery_create(struct tg_fanout *to, size_t n)
{
    struct tg_delivery *d = tg_calloc(1, sizeof(*d) + n * sizeof(d->items[0]));

    d->to = to;
    return d;
}

void tg_delivery_destroy(struct tg_delivery *d)
{
    for (size_t i = 0; i < d->n; i++) {
        tg_frame_unref(d->items[i].frame);
    }
    free(d);
}

/* From its type on. */
static void tell_json(unsigned worker, unsigned topic, tg_str json)
{
    const char *type = memmem(json.p, json.n, "\"type\":", 7);

    if (type != NULL) {
        json = tg_str_skip(json, (size_t)(type - json.p) + 7);
    }
    TELL("w%u t%u %.*s\n", worker, topic, TG_STR_ARG(json));
}

enum tg_rc tg_fanout_tell_access(struct tg_fanout *f, const struct tg_access_word *w)
{
    if (world.workers_are_full) {
        return TG_EFULL;
    }
    cr_assert_neq(w->at, (tg_usec)0);
    TELL("w%u access %.*s %.*s %.*s\n", f->worker, TG_STR_ARG(w->declared), TG_STR_ARG(w->key),
         TG_STR_ARG(w->user));
    return TG_OK;
}

enum tg_rc tg_fanout_tell_watched(struct tg_fanout *f, tg_str declared, bool is_watched)
{
    if (world.workers_are_full) {
        return TG_EFULL;
    }
    TELL("w%u %s %.*s\n", f->worker, is_watched ? "watched" : "unwatched", TG_STR_ARG(declared));
    return TG_OK;
}

/* An event is told by its record's number, a reset by its kind; each id is above the one before. */
enum tg_rc tg_fanout_deliver(struct tg_delivery *d)
{
    struct tg_pos before = {0};

    if (world.workers_are_full) {
        return TG_EFULL;
    }
    if (d->is_cut) {
        TELL("w%u cut\n", d->to->worker);
    }
    for (size_t i = 0; i < d->n; i++) {
        struct tg_frame *f = d->items[i].frame;
        tg_str json = tg_frame_json(f);
        const char *n = memmem(json.p, json.n, "\"n\":", 4);

        cr_assert_gt(tg_pos_cmp(tg_frame_pos(f), before), n == NULL ? -1 : 0, "ids ascend");
        cr_assert_leq(tg_pos_cmp(tg_frame_pos(f), d->horizon), 0);
        before = tg_frame_pos(f);
        if (world.tells_json) {
            tell_json(d->to->worker, (unsigned)d->items[i].topic, json);
        } else if (n != NULL) {
            TELL("w%u t%u event %d\n", d->to->worker, (unsigned)d->items[i].topic,
                 (int)strtol(n + 4, NULL, 10));
        } else {
            TELL("w%u t%u reset\n", d->to->worker, (unsigned)d->items[i].topic);
        }
    }
    tg_delivery_destroy(d);
    return TG_OK;
}

enum tg_rc tg_fanout_tell(struct tg_fanout *f, const struct tg_topic_news *news)
{
    static const char *const words[] = {"joining", "ready", "refused"};

    if (world.workers_are_full) {
        return TG_EFULL;
    }
    TELL("w%u t%u %s%s%s%s%.*s%s%s\n", f->worker, (unsigned)news->topic, words[news->state],
         news->rc == TG_OK ? "" : " ", news->rc == TG_OK ? "" : tg_rc_name(news->rc),
         news->message.n == 0 ? "" : " ", TG_STR_ARG(news->message), news->is_new ? " new" : "",
         news->store_down ? " store-down" : "");
    return TG_OK;
}

/* ---- what tests do ---- */

void turn(void)
{
    bool is_busy = true;

    while (is_busy) {
        is_busy = tg_mailbox_drain(world.mailbox, world.owner) > 0;
        is_busy = answer_ops(world.answer_rc) || is_busy;
        is_busy = tail_log() || is_busy;
        is_busy = (!world.holds_reads && end_read()) || is_busy;
    }
}

void answer_first(enum tg_rc rc)
{
    struct op first = {0};

    (void)tg_mailbox_drain(world.mailbox, world.owner);
    cr_assert_gt(world.n_ops, 0);
    first = world.ops[0];
    memmove(&world.ops[0], &world.ops[1], --world.n_ops * sizeof(first));
    answer_op(&first, rc);
}

/* In steps of the sweep. */
void pass(tg_usec time)
{
    tg_usec end = world.now + time;

    while (world.now < end) {
        world.now = TG_MIN(end, world.now + TG_MS(250));
        (void)tg_wheel_advance(&world.wheel, world.now);
        turn();
    }
}

void forget(void)
{
    world.told[0] = '\0';
    world.link_told[0] = '\0';
}

void start_with(const struct tg_declared_list *declared)
{
    const struct tg_hub_opts opts = {.n_workers = N_WORKERS,
                                     .max_feeds = 3,
                                     .feeds_per_user = 2,
                                     .lease = TG_SEC(30),
                                     .max_appends = 8,
                                     .declared = declared,
                                     .service_key = "service",
                                     .page_rows = 100,
                                     .max_waiting = 100,
                                     .index_rows = 100,
                                     .anon_key = "anon",
                                     .tables = world_tables(),
                                     .strict_rows = 3,
                                     .strict_rows_total = 5,
                                     .verify = TG_SEC(300),
                                     .reset_spread = TG_SEC(10)};

    memset(&world, 0, sizeof(world));
    world.now = TG_SEC(1000000);
    begin_log();
    cr_assert_eq(tg_hub_create(&opts, &world.hub), TG_OK);
    for (unsigned i = 0; i < N_WORKERS; i++) {
        tg_hub_attach(world.hub, i, &workers[i]);
    }
    cr_assert_eq(tg_hub_start(world.hub), TG_OK);
    store_up(false);
    forget();
}

void start(void)
{
    start_with(NULL);
}

void stop(void)
{
    world.workers_are_full = false;
    tg_hub_stop(world.hub);
    turn();
    pass(TG_MS(100));
    cr_assert_eq(tg_count_get(&tg_hub_counts(world.hub)->feeds), 0);
    cr_assert_eq(tg_count_get(&tg_hub_counts(world.hub)->subscriptions), 0);
    cr_assert_eq(world.hub->channels.n, 0, "a channel of a feed that is gone");
    cr_assert_eq(world.hub->users.n, 0, "a user without feeds");
    tg_hub_destroy(world.hub);
    tg_memlog_destroy(world.log);
}

void subscribe_as(const char *user, const char *topic, unsigned worker, tg_id id, unsigned secs)
{
    struct tg_topic_name name = {0};
    const char *why = NULL;
    char token[32];
    struct tg_subscription s = {.worker = worker, .topic = id, .name = &name};

    (void)snprintf(token, sizeof(token), "jwt-%u", secs);
    s.user_id = tg_str_of(user);
    s.class_id = world.class_id == NULL ? s.user_id : tg_str_of(world.class_id);
    s.token = tg_str_of(token);
    s.exp_sec = (int64_t)(world.now / TG_SEC(1)) + secs;
    cr_assert_eq(tg_topic_parse(world_topics(), tg_str_of(topic), &name, &why), TG_OK);
    cr_assert_eq(tg_hub_subscribe(world.hub, &s), TG_OK);
    tg_topic_fini(&name);
    turn();
}

void subscribe(const char *topic, tg_id id)
{
    subscribe_as("u", topic, 0, id, 3600);
}

void unsubscribe(const char *user, const char *topic, unsigned worker, tg_id id)
{
    struct tg_topic_name name = {0};
    const char *why = NULL;

    cr_assert_eq(tg_topic_parse(world_topics(), tg_str_of(topic), &name, &why), TG_OK);
    cr_assert_eq(tg_hub_unsubscribe(world.hub, worker, id, tg_str_of(user), &name), TG_OK);
    tg_topic_fini(&name);
    turn();
}

void bring_up(const char *topic, tg_id id)
{
    subscribe(topic, id);
    link_up(world.hub->next_link_id);
    forget();
}
