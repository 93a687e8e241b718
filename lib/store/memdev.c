/* memdev.c - devices by user and id.
 *
 * A device is on its user's list and on the list of all, both in the order in which they
 * expire. A user is there as long as it has devices. */
#include "store/memdev.h"

#include <stdlib.h>

#include "util/map.h"

enum {
    SWEEP = 64, /* expired devices forgotten with each question */
    COST = 256, /* of a user, a device or a topic beside its texts */
};

struct user {
    tg_str name;         /* [owned] */
    struct tg_map by_id; /* -> struct device */
    struct tg_list devices;
};

struct device {
    struct tg_list in_user;
    struct tg_list in_all;
    struct user *user;
    tg_str id;    /* [owned] */
    tg_str label; /* [owned] */
    tg_usec until;
    uint64_t created_ms;
    uint64_t seen_ms;
    uint64_t expires_ms;
    struct tg_device_topic *topics; /* names [owned] */
    size_t n_topics;
};

struct tg_memdev {
    struct tg_map users;
    struct tg_list all;
    size_t n_bytes;
    size_t max_bytes;
};

/* One question on its way. */
struct question {
    struct tg_memdev *m;
    const struct tg_memlog *log;
    const struct tg_ask *ask;
    struct tg_memtime now;
    struct tg_arena *arena;
};

/* ---- what is held ---- */

static tg_str keep_text(struct tg_memdev *m, tg_str text)
{
    m->n_bytes += text.n;
    return tg_str_make(tg_str_dup(text), text.n);
}

static void drop_text(struct tg_memdev *m, tg_str text)
{
    union {
        const char *borrowed;
        char *owned;
    } u = {.borrowed = text.p};

    m->n_bytes -= text.n;
    free(u.owned);
}

static void drop_user(struct tg_memdev *m, struct user *u)
{
    TG_ASSERT(tg_list_empty(&u->devices));
    (void)tg_map_remove(&m->users, u->name);
    tg_map_fini(&u->by_id);
    drop_text(m, u->name);
    free(u);
    m->n_bytes -= COST;
}

static void drop_device(struct tg_memdev *m, struct device *d)
{
    struct user *u = d->user;

    tg_list_remove(&d->in_user);
    tg_list_remove(&d->in_all);
    (void)tg_map_remove(&u->by_id, d->id);
    for (size_t i = 0; i < d->n_topics; i++) {
        drop_text(m, d->topics[i].name);
    }
    m->n_bytes -= (d->n_topics + 1) * COST;
    drop_text(m, d->id);
    drop_text(m, d->label);
    free(d->topics);
    free(d);
    if (u->by_id.n == 0) {
        drop_user(m, u);
    }
}

static struct user *get_user(struct tg_memdev *m, tg_str name)
{
    struct user *u = tg_map_find(&m->users, name);

    if (u == NULL) {
        u = TG_NEW(struct user);
        u->name = keep_text(m, name);
        tg_list_init(&u->devices);
        (void)tg_map_put(&m->users, name, u);
        m->n_bytes += COST;
    }
    return u;
}

static struct device *new_device(const struct question *q)
{
    struct user *u = get_user(q->m, q->ask->user);
    struct device *d = TG_NEW(struct device);

    d->user = u;
    d->id = keep_text(q->m, q->ask->device);
    d->label = keep_text(q->m, TG_STR(""));
    d->created_ms = q->now.wall_ms;
    tg_list_init(&d->in_user);
    tg_list_init(&d->in_all);
    (void)tg_map_put(&u->by_id, d->id, d);
    q->m->n_bytes += COST;
    return d;
}

/* Expired ones lead every list. */
static void forget_expired(const struct question *q)
{
    struct user *u = tg_map_find(&q->m->users, q->ask->user);
    size_t n_left = u == NULL ? 0 : u->by_id.n;

    for (; n_left > 0; n_left--) {
        struct device *d = TG_CONTAINER_OF(u->devices.next, struct device, in_user);

        if (d->until > q->now.mono) {
            break;
        }
        drop_device(q->m, d);
    }
    for (int i = 0; i < SWEEP && !tg_list_empty(&q->m->all); i++) {
        struct device *d = TG_CONTAINER_OF(q->m->all.next, struct device, in_all);

        if (d->until > q->now.mono) {
            break;
        }
        drop_device(q->m, d);
    }
}

static struct device *find_device(const struct question *q)
{
    const struct user *u = tg_map_find(&q->m->users, q->ask->user);

    return u == NULL ? NULL : tg_map_find(&u->by_id, q->ask->device);
}

/* Its place from the end: nearly always the end itself. */
static void refresh(const struct question *q, struct device *d)
{
    struct tg_list *at = NULL;

    d->until = q->now.mono + q->ask->ttl;
    d->seen_ms = q->now.wall_ms;
    d->expires_ms = q->now.wall_ms + q->ask->ttl / 1000;
    tg_list_remove(&d->in_user);
    tg_list_remove(&d->in_all);
    at = d->user->devices.prev;
    while (at != &d->user->devices &&
           TG_CONTAINER_OF(at, struct device, in_user)->until > d->until) {
        at = at->prev;
    }
    tg_list_append(at->next, &d->in_user);
    at = q->m->all.prev;
    while (at != &q->m->all && TG_CONTAINER_OF(at, struct device, in_all)->until > d->until) {
        at = at->prev;
    }
    tg_list_append(at->next, &d->in_all);
}

/* ---- topics ---- */

static struct tg_device_topic *find_topic(struct device *d, tg_str name)
{
    for (size_t i = 0; i < d->n_topics; i++) {
        if (tg_str_eq(d->topics[i].name, name)) {
            return &d->topics[i];
        }
    }
    return NULL;
}

static struct tg_device_topic *add_topic(struct tg_memdev *m, struct device *d, tg_str name)
{
    d->topics = tg_realloc(d->topics, d->n_topics + 1, sizeof(*d->topics));
    d->topics[d->n_topics] = (struct tg_device_topic){.name = keep_text(m, name)};
    m->n_bytes += COST;
    return &d->topics[d->n_topics++];
}

static void remove_topic(struct tg_memdev *m, struct device *d, struct tg_device_topic *t)
{
    drop_text(m, t->name);
    *t = d->topics[--d->n_topics];
    m->n_bytes -= COST;
}

static bool is_epoch(const struct tg_epoch *a, const struct tg_epoch *b)
{
    return strncmp(a->text, b->text, TG_EPOCH_MAX) == 0;
}

static enum tg_ack acknowledge(const struct tg_memlog *log, struct tg_device_topic *held,
                               const struct tg_device_topic *asked)
{
    if (!is_epoch(&asked->epoch, tg_memlog_epoch(log))) {
        return TG_ACK_EPOCH;
    }
    if (tg_pos_cmp(asked->pos, tg_memlog_last(log)) > 0) {
        return TG_ACK_AHEAD;
    }
    if (!held->has_cursor || !is_epoch(&held->epoch, &asked->epoch) ||
        tg_pos_cmp(held->pos, asked->pos) < 0) {
        held->has_cursor = true;
        held->epoch = asked->epoch;
        held->pos = asked->pos;
    }
    return TG_ACK_OK;
}

/* ---- answers ---- */

static struct tg_device_topic copy_topic(const struct question *q, const struct tg_device_topic *t)
{
    struct tg_device_topic copy = *t;

    copy.name = tg_arena_str(q->arena, t->name);
    return copy;
}

static struct tg_device copy_device(const struct question *q, const struct device *d)
{
    return (struct tg_device){.id = tg_arena_str(q->arena, d->id),
                              .label = tg_arena_str(q->arena, d->label),
                              .created_ms = d->created_ms,
                              .seen_ms = d->seen_ms,
                              .expires_ms = d->expires_ms,
                              .n_topics = d->n_topics};
}

static void answer_device(const struct question *q, const struct tg_device *like,
                          struct tg_answer *a)
{
    struct tg_device *d = tg_arena_alloc(q->arena, sizeof(*d));

    *d = *like;
    a->devices = d;
    a->n = 1;
}

static bool is_asked(const struct tg_ask *ask, tg_str name)
{
    for (size_t i = 0; i < ask->n_topics; i++) {
        if (tg_str_eq(ask->topics[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* Whole, those that were asked for first. */
static void answer_whole(const struct question *q, struct device *d, const enum tg_ack *acks,
                         bool is_new, struct tg_answer *a)
{
    struct tg_device whole = copy_device(q, d);
    struct tg_device_topic *topics =
        tg_arena_alloc(q->arena, (d->n_topics + q->ask->n_topics) * sizeof(struct tg_device_topic));
    size_t n = 0;

    for (size_t i = 0; i < q->ask->n_topics; i++) {
        topics[n] = copy_topic(q, find_topic(d, q->ask->topics[i].name));
        topics[n++].ack = acks == NULL ? TG_ACK_NONE : acks[i];
    }
    for (size_t i = 0; i < d->n_topics; i++) {
        if (!is_asked(q->ask, d->topics[i].name)) {
            topics[n++] = copy_topic(q, &d->topics[i]);
        }
    }
    whole.is_new = is_new;
    whole.topics = topics;
    whole.n_topics = n;
    answer_device(q, &whole, a);
}

/* ---- what is asked ---- */

static size_t count_new_topics(const struct question *q, struct device *d)
{
    size_t n = 0;

    for (size_t i = 0; i < q->ask->n_topics; i++) {
        struct tg_ask before = *q->ask;

        before.n_topics = i;
        n += (d == NULL || find_topic(d, q->ask->topics[i].name) == NULL) &&
             !is_asked(&before, q->ask->topics[i].name);
    }
    return n;
}

/* Whether a touch may change what it wants to; `d` is NULL for a new device. */
static enum tg_rc check_touch(const struct question *q, struct device *d,
                              enum tg_device_limit *ret_limit)
{
    const struct tg_ask *ask = q->ask;
    const struct user *u = tg_map_find(&q->m->users, ask->user);
    size_t n_new = count_new_topics(q, d);

    if (d == NULL && ask->must_exist) {
        return TG_ENOTFOUND;
    }
    if (d == NULL && (u == NULL ? 0 : u->by_id.n) >= ask->max_devices) {
        *ret_limit = TG_DEVICE_LIMIT_DEVICES;
        return TG_ELIMIT;
    }
    if (n_new > 0 && (d == NULL ? 0 : d->n_topics) + n_new > ask->max_topics) {
        *ret_limit = TG_DEVICE_LIMIT_TOPICS;
        return TG_ELIMIT;
    }
    return q->m->n_bytes > q->m->max_bytes && (d == NULL || n_new > 0) ? TG_ESTOREFULL : TG_OK;
}

static void touch(const struct question *q, struct tg_answer *a)
{
    struct device *d = find_device(q);
    struct tg_device refused = {0};
    bool is_new = d == NULL;
    enum tg_ack *acks = NULL;

    a->rc = check_touch(q, d, &refused.limit);
    if (a->rc == TG_ELIMIT) {
        answer_device(q, &refused, a);
    }
    if (a->rc != TG_OK) {
        return;
    }
    d = is_new ? new_device(q) : d;
    if (q->ask->label.p != NULL) {
        drop_text(q->m, d->label);
        d->label = keep_text(q->m, q->ask->label);
    }
    acks = tg_arena_alloc(q->arena, (q->ask->n_topics + 1) * sizeof(*acks));
    for (size_t i = 0; i < q->ask->n_topics; i++) {
        const struct tg_device_topic *asked = &q->ask->topics[i];
        struct tg_device_topic *held = find_topic(d, asked->name);

        held = held == NULL ? add_topic(q->m, d, asked->name) : held;
        acks[i] = asked->has_cursor ? acknowledge(q->log, held, asked) : TG_ACK_NONE;
    }
    refresh(q, d);
    answer_whole(q, d, acks, is_new, a);
}

static void ack(const struct question *q, struct tg_answer *a)
{
    struct device *d = find_device(q);
    enum tg_ack *acks = tg_arena_alloc(q->arena, (q->ask->n_topics + 1) * sizeof(*acks));

    if (d == NULL) {
        a->rc = TG_ENOTFOUND;
        return;
    }
    for (size_t i = 0; i < q->ask->n_topics; i++) {
        const struct tg_device_topic *asked = &q->ask->topics[i];
        struct tg_device_topic *held = find_topic(d, asked->name);

        if (held == NULL) {
            acks[i] = TG_ACK_UNKNOWN;
        } else if (asked->has_cursor) {
            acks[i] = acknowledge(q->log, held, asked);
        } else {
            acks[i] = TG_ACK_NONE;
            remove_topic(q->m, d, held);
        }
    }
    refresh(q, d);
    a->acks = acks;
    a->n = q->ask->n_topics;
}

static void list(const struct question *q, struct tg_answer *a)
{
    struct user *u = tg_map_find(&q->m->users, q->ask->user);
    struct tg_device *devices = NULL;

    if (u == NULL) {
        return;
    }
    a->n_all = u->by_id.n;
    a->n = TG_MIN(a->n_all, q->ask->max_entries);
    devices = tg_arena_alloc(q->arena, a->n * sizeof(*devices));
    a->devices = devices;
    for (struct tg_list *at = u->devices.prev; devices < a->devices + a->n; at = at->prev) {
        *devices++ = copy_device(q, TG_CONTAINER_OF(at, struct device, in_user));
    }
}

void tg_memdev_ask(struct tg_memdev *m, const struct tg_memlog *log, const struct tg_ask *ask,
                   struct tg_memtime now, struct tg_arena *arena, struct tg_answer *ret_answer)
{
    const struct question q = {.m = m, .log = log, .ask = ask, .now = now, .arena = arena};
    struct device *d = NULL;

    forget_expired(&q);
    if (ask->verb == TG_VERB_DEVICE_TOUCH) {
        touch(&q, ret_answer);
    } else if (ask->verb == TG_VERB_DEVICE_ACK) {
        ack(&q, ret_answer);
    } else if (ask->verb == TG_VERB_DEVICE_LIST) {
        list(&q, ret_answer);
    } else {
        d = find_device(&q);
        ret_answer->rc = d == NULL ? TG_ENOTFOUND : TG_OK;
        if (d != NULL && ask->verb == TG_VERB_DEVICE_GET) {
            answer_whole(&q, d, NULL, false, ret_answer);
        } else if (d != NULL) {
            drop_device(m, d);
        }
    }
}

/* ---- life ---- */

struct tg_memdev *tg_memdev_create(size_t max_bytes)
{
    struct tg_memdev *m = TG_NEW(struct tg_memdev);

    m->max_bytes = max_bytes;
    tg_list_init(&m->all);
    return m;
}

void tg_memdev_destroy(struct tg_memdev *m)
{
    if (m == NULL) {
        return;
    }
    while (!tg_list_empty(&m->all)) {
        drop_device(m, TG_CONTAINER_OF(m->all.next, struct device, in_all));
    }
    TG_ASSERT(m->n_bytes == 0 && m->users.n == 0);
    tg_map_fini(&m->users);
    free(m);
}
