/* redis.c - the log in Redis: a handle with two connections, and its way up and down.
 *
 *   waiting --timer--> resolving --mail--> connecting --> setting up --> up
 *      ^                                                                  |
 *      +------------------- anything goes wrong: lose() ------------------+
 *
 * The first connection carries all operations, pipelined and in order; the second one the tail's
 * XREAD BLOCK. Both are one thing: the loss of either is the loss of the store. */
#include <stdlib.h>
#include <sys/random.h>

#include "store/redis_int.h"
#include "util/log.h"

enum {
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 5000,
    PORT_MAX = 8,
};

static struct redis_group *group_of(struct tg_store_group *g)
{
    return TG_CONTAINER_OF(g, struct redis_group, base);
}

/* ---- losing and waiting ---- */

void redis_drop_tail(struct redis_store *s)
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
    redis_drop_tail(s);
    redis_drop_held(s);
    s->is_settling = false;
    s->is_log_doubted = false;
    s->is_loading = false;
    s->missing = 0;
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

void redis_lose(struct redis_store *s, const char *why)
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

void redis_refuse(struct redis_store *s, const char *why, tg_str detail)
{
    tg_log_limited(TG_LOG_ERROR, "store_refused", 2, TG_KZ("why", why), TG_KS("detail", detail));
    s->n_losses = TG_MAX(s->n_losses, 5U);
    redis_lose(s, why);
}

static void on_deadline(struct tg_timer *t)
{
    redis_lose(TG_CONTAINER_OF(t, struct redis_store, deadline), "timeout");
}

static void on_link_lost(struct tg_redis_link *k, void *arg)
{
    (void)k;
    redis_lose(arg, "connection");
}
/* ---- connecting ---- */

static void on_link_up(struct tg_redis_link *k, void *arg)
{
    struct redis_store *s = arg;

    (void)k;
    s->stage = SETTING_UP;
    redis_set_up(s);
}

static struct tg_redis_link_address address_of(const struct redis_store *s)
{
    const struct tg_redis_url *u = &redis_group_of(s)->url;

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
        redis_lose(s, "refused");
    }
}

static void on_resolved(struct tg_mail *mail, void *owner)
{
    struct tg_resolved *found = TG_CONTAINER_OF(mail, struct tg_resolved, mail);
    struct redis_store *s = owner;

    if (!s->base.is_closed && s->stage == RESOLVING) {
        if (found->address[0] == '\0') {
            redis_refuse(s, "the name has no address", tg_str_of(redis_group_of(s)->url.host));
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
    const struct tg_redis_url *u = &redis_group_of(s)->url;

    if (u->path != NULL || u->is_numeric) {
        connect_now(s);
        return;
    }
    s->stage = RESOLVING;
    if (tg_redis_resolve(u, s->n_losses, s->port, on_resolved) != TG_OK) {
        redis_lose(s, "no thread");
    }
}

static void on_port(struct tg_watch *w, unsigned events)
{
    struct redis_store *s = TG_CONTAINER_OF(w, struct redis_store, watch);

    (void)events;
    (void)tg_mailbox_drain(s->port->box, s);
}

/* ---- handles ---- */

static void on_tail_batch(const struct tg_entry *entries, size_t n, struct tg_pos last, bool is_cut,
                          bool is_new_log, void *arg)
{
    struct redis_store *s = arg;

    if (is_new_log) {
        s->is_log_doubted = true;
        redis_settle(s); /* these entries are of a log that nobody here knows yet */
        return;
    }
    tg_store_tell_batch(&s->base, entries, n, last, is_cut);
}

/* What was written here is in the log, or about to be; the answers may be read later than this. */
static bool has_tail_more(size_t n, struct tg_pos last, void *arg)
{
    const struct redis_store *s = arg;

    return s->n_writing > n || tg_pos_cmp(s->base.highest, last) > 0;
}

static void on_tail_lost(const char *why, void *arg)
{
    redis_lose(arg, why);
}

static enum tg_rc tail(struct tg_store *base)
{
    struct redis_store *s = redis_store_of(base);
    const struct redis_group *g = redis_group_of(s);
    const struct tg_redis_tail_opts opts = {.loop = base->loop,
                                            .address = address_of(s),
                                            .url = &g->url,
                                            .log = g->keys.log,
                                            .run = s->run,
                                            .timeout = g->base.opts.timeout,
                                            .after = base->tail_at,
                                            .known = s->settled,
                                            .on_batch = on_tail_batch,
                                            .has_more = has_tail_more,
                                            .on_lost = on_tail_lost,
                                            .arg = s};
    enum tg_rc rc = tg_redis_tail_open(&opts, &s->tail);

    base->is_tailing = rc == TG_OK;
    return rc;
}

static void timed_out(struct tg_store *base)
{
    /* One connection, in order: nothing behind it would come in time. */
    redis_lose(redis_store_of(base), "timeout");
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
    struct redis_store *s = redis_store_of(base);

    drop_links(s);
    tg_loop_timer_stop(base->loop, &s->backoff);
    (void)tg_watch_release(base->loop, &s->watch);
    tg_mailbox_close(s->port->box);
    tg_loop_defer(base->loop, free_store, s);
}

static void on_heartbeat(struct tg_timer *t)
{
    redis_settle(TG_CONTAINER_OF(t, struct redis_store, heartbeat));
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
    .submit = redis_submit,
    .tail = tail,
    .timed_out = timed_out,
};
