/* redis_device.c - device.lua and devices.lua: what they are asked and what they say. */
#include "store/redis_device.h"

/* ---- commands ---- */

/* "d:<user>:<device>", or without device what stands before all of the user's; "u:<user>". */
static void arg_key(struct tg_redis_args *a, const struct tg_redis_keys *k, tg_str kind,
                    const struct tg_ask *ask, bool has_device)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf b = {0};

    tg_buf_init(&b, k->base.n + kind.n + 3 * (ask->user.n + ask->device.n) + 2);
    (void)tg_buf_str(&b, k->base);
    (void)tg_buf_str(&b, kind);
    tg_redis_put_part(&b, ask->user);
    if (has_device) {
        (void)tg_buf_char(&b, ':');
        tg_redis_put_part(&b, ask->device);
    }
    TG_ASSERT(tg_buf_rc(&b) == TG_OK);
    tg_redis_arg(a, tg_arena_str(&a->arena, tg_buf_view(&b)));
}

static void arg_member(struct tg_redis_args *a, tg_str device)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf b = {0};

    tg_buf_init(&b, 3 * device.n + 1);
    tg_redis_put_part(&b, device);
    TG_ASSERT(tg_buf_rc(&b) == TG_OK);
    tg_redis_arg(a, tg_arena_str(&a->arena, tg_buf_view(&b)));
}

static void arg_topics(struct tg_redis_args *a, const struct tg_ask *ask)
{
    for (size_t i = 0; i < ask->n_topics; i++) {
        const struct tg_device_topic *t = &ask->topics[i];
        char cursor[TG_CURSOR_MAX + 1] = "";
        size_t n = t->has_cursor ? tg_cursor_format(&t->epoch, t->pos, cursor) : 0;

        tg_redis_arg(a, t->name);
        tg_redis_arg(a, tg_arena_str(&a->arena, tg_str_make(cursor, n)));
    }
}

static void arg_touch(struct tg_redis_args *a, const struct tg_ask *ask)
{
    tg_redis_arg_u64(a, ask->ttl / 1000);
    tg_redis_arg(a, ask->device);
    tg_redis_arg_u64(a, ask->label.p != NULL);
    tg_redis_arg(a, ask->label);
    tg_redis_arg_u64(a, ask->max_devices);
    tg_redis_arg_u64(a, ask->max_topics);
    tg_redis_arg_u64(a, ask->must_exist);
    arg_topics(a, ask);
}

static tg_str list_command(const struct tg_redis_keys *k, tg_str sha, const struct tg_ask *ask)
{
    struct tg_redis_args a = {0};

    tg_redis_begin(&a, sha, 1);
    arg_key(&a, k, TG_STR("u:"), ask, false);
    arg_key(&a, k, TG_STR("d:"), ask, true); /* no device: up to its colon */
    tg_redis_arg_u64(&a, ask->max_entries);
    return tg_redis_args_format(&a);
}

static tg_str word_of(enum tg_verb verb)
{
    switch ((int)verb) {
    case TG_VERB_DEVICE_TOUCH:
        return TG_STR("touch");
    case TG_VERB_DEVICE_ACK:
        return TG_STR("ack");
    case TG_VERB_DEVICE_GET:
        return TG_STR("get");
    case TG_VERB_DEVICE_DELETE:
        return TG_STR("delete");
    default:
        TG_UNREACHABLE();
    }
}

tg_str tg_redis_device_command(const struct tg_redis_keys *k, tg_str sha, const struct tg_ask *ask)
{
    struct tg_redis_args a = {0};

    if (ask->verb == TG_VERB_DEVICE_LIST) {
        return list_command(k, sha, ask);
    }
    tg_redis_begin(&a, sha, 4);
    tg_redis_arg(&a, k->meta);
    tg_redis_arg(&a, k->log);
    arg_key(&a, k, TG_STR("d:"), ask, true);
    arg_key(&a, k, TG_STR("u:"), ask, false);
    tg_redis_arg(&a, word_of(ask->verb));
    arg_member(&a, ask->device);
    if (ask->verb == TG_VERB_DEVICE_TOUCH) {
        arg_touch(&a, ask);
    } else if (ask->verb == TG_VERB_DEVICE_ACK) {
        tg_redis_arg_u64(&a, ask->ttl / 1000);
        arg_topics(&a, ask);
    }
    return tg_redis_args_format(&a);
}

/* ---- replies ---- */

static bool read_ack(tg_str word, enum tg_ack *ret_ack)
{
    static const struct {
        tg_str word;
        enum tg_ack ack;
    } words[] = {{TG_STR_INIT("NONE"), TG_ACK_NONE},
                 {TG_STR_INIT("OK"), TG_ACK_OK},
                 {TG_STR_INIT("AHEAD"), TG_ACK_AHEAD},
                 {TG_STR_INIT("EPOCH"), TG_ACK_EPOCH},
                 {TG_STR_INIT("UNKNOWN"), TG_ACK_UNKNOWN}};

    for (size_t i = 0; i < TG_ARRAY_LEN(words); i++) {
        if (tg_str_eq(word, words[i].word)) {
            *ret_ack = words[i].ack;
            return true;
        }
    }
    return false;
}

/* topic, cursor or nothing, ack */
static bool read_topic(const redisReply *r, size_t i, struct tg_device_topic *t)
{
    tg_str cursor = tg_redis_text_at(r, i + 1);

    t->name = tg_redis_text_at(r, i);
    t->has_cursor = cursor.n != 0;
    return t->name.p != NULL && cursor.p != NULL &&
           (!t->has_cursor || tg_cursor_parse(cursor, &t->epoch, &t->pos) == TG_OK) &&
           read_ack(tg_redis_text_at(r, i + 2), &t->ack);
}

/* OK, is new, id, label, created, seen, expires, then topics. */
static bool read_whole(const redisReply *r, struct tg_arena *arena, struct tg_answer *a)
{
    enum { HEAD = 7, EACH = 3 };
    struct tg_device *d = tg_arena_alloc(arena, sizeof(*d));
    struct tg_device_topic *topics = NULL;

    if (r->elements < HEAD || (r->elements - HEAD) % EACH != 0) {
        return false;
    }
    d->is_new = tg_str_eq(tg_redis_text_at(r, 1), TG_STR("1"));
    d->id = tg_redis_text_at(r, 2);
    d->label = tg_redis_text_at(r, 3);
    if (tg_str_to_u64(tg_redis_text_at(r, 4), &d->created_ms) != TG_OK ||
        tg_str_to_u64(tg_redis_text_at(r, 5), &d->seen_ms) != TG_OK ||
        tg_str_to_u64(tg_redis_text_at(r, 6), &d->expires_ms) != TG_OK) {
        return false;
    }
    d->n_topics = (r->elements - HEAD) / EACH;
    topics = tg_arena_alloc(arena, d->n_topics * sizeof(*topics));
    for (size_t i = 0; i < d->n_topics; i++) {
        if (!read_topic(r, HEAD + i * EACH, &topics[i])) {
            return false;
        }
    }
    d->topics = topics;
    a->devices = d;
    a->n = 1;
    return true;
}

static bool read_acks(const redisReply *r, struct tg_arena *arena, struct tg_answer *a)
{
    enum tg_ack *acks = tg_arena_alloc(arena, r->elements * sizeof(*acks));

    a->n = r->elements - 1;
    a->acks = acks;
    for (size_t i = 0; i < a->n; i++) {
        if (!read_ack(tg_redis_text_at(r, i + 1), &acks[i])) {
            return false;
        }
    }
    return true;
}

/* OK, how many in all, then id, label, created, seen, expires, topics of each. */
static bool read_list(const redisReply *r, struct tg_arena *arena, struct tg_answer *a)
{
    enum { HEAD = 2, EACH = 6 };
    struct tg_device *devices = NULL;
    uint64_t n_all = 0;

    if (r->elements < HEAD || (r->elements - HEAD) % EACH != 0 ||
        tg_str_to_u64(tg_redis_text_at(r, 1), &n_all) != TG_OK) {
        return false;
    }
    a->n_all = n_all;
    a->n = (r->elements - HEAD) / EACH;
    devices = tg_arena_alloc(arena, a->n * sizeof(*devices));
    a->devices = devices;
    for (size_t i = 0; i < a->n; i++) {
        size_t at = HEAD + i * EACH;
        uint64_t n_topics = 0;

        devices[i] =
            (struct tg_device){.id = tg_redis_text_at(r, at), .label = tg_redis_text_at(r, at + 1)};
        if (tg_str_to_u64(tg_redis_text_at(r, at + 2), &devices[i].created_ms) != TG_OK ||
            tg_str_to_u64(tg_redis_text_at(r, at + 3), &devices[i].seen_ms) != TG_OK ||
            tg_str_to_u64(tg_redis_text_at(r, at + 4), &devices[i].expires_ms) != TG_OK ||
            tg_str_to_u64(tg_redis_text_at(r, at + 5), &n_topics) != TG_OK) {
            return false;
        }
        devices[i].n_topics = n_topics;
    }
    return true;
}

static bool read_limit(const redisReply *r, struct tg_arena *arena, struct tg_answer *a)
{
    struct tg_device *d = tg_arena_alloc(arena, sizeof(*d));

    d->limit = tg_str_eq(tg_redis_text_at(r, 1), TG_STR("devices")) ? TG_DEVICE_LIMIT_DEVICES
                                                                    : TG_DEVICE_LIMIT_TOPICS;
    a->rc = TG_ELIMIT;
    a->devices = d;
    return true;
}

bool tg_redis_device_read(const redisReply *r, enum tg_verb verb, struct tg_arena *arena,
                          struct tg_answer *ret_answer)
{
    tg_str word = tg_redis_text_at(r, 0);
    struct tg_answer a = {.rc = TG_OK};
    bool is_good = false;

    if (tg_str_eq(word, TG_STR("NOTFOUND"))) {
        a.rc = TG_ENOTFOUND;
        is_good = true;
    } else if (tg_str_eq(word, TG_STR("LIMIT"))) {
        is_good = read_limit(r, arena, &a);
    } else if (!tg_str_eq(word, TG_STR("OK"))) {
        return false;
    } else if (verb == TG_VERB_DEVICE_DELETE) {
        is_good = true;
    } else if (verb == TG_VERB_DEVICE_ACK) {
        is_good = read_acks(r, arena, &a);
    } else if (verb == TG_VERB_DEVICE_LIST) {
        is_good = read_list(r, arena, &a);
    } else {
        is_good = read_whole(r, arena, &a);
    }
    if (is_good) {
        *ret_answer = a;
    }
    return is_good;
}
