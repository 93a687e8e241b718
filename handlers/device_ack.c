/* device_ack.c - POST /sync/v1/ack: how far a device has come, topic by topic.
 *
 *   {"device":"..","cursor":".."}                       all topics of the device
 *   {"device":"..","cursor":"..","topics":["a","b"]}    these
 *   {"device":"..","topics":{"a":"<cursor>","b":null}}  each its own; null: it leaves the device */
#include <jansson.h>

#include "handlers/device.h"
#include "handlers/device_touch.h"
#include "handlers/own.h"
#include "store/device.h"
#include "util/json.h"

enum { MAX_ANSWER_BYTES = 512 * 1024 };

struct ack {
    tg_str device;
    struct tg_device_topic topics[TG_DEVICE_TOPICS_MAX];
    size_t n_topics;
    struct tg_device_topic shared; /* the cursor for all that the device has */
    const char *why;
};

/* ---- the body ---- */

static tg_str text_of(const json_t *value)
{
    return json_is_string(value) ? tg_str_make(json_string_value(value), json_string_length(value))
                                 : TG_STR_NONE;
}

static enum tg_rc read_cursor(struct ack *a, const json_t *value, struct tg_device_topic *t)
{
    enum tg_rc rc =
        json_is_string(value) ? tg_cursor_parse(text_of(value), &t->epoch, &t->pos) : TG_EBADCURSOR;

    if (rc != TG_OK) {
        a->why = "a cursor is the id of an event";
        return rc;
    }
    t->has_cursor = true;
    return TG_OK;
}

/* As clients name it, or as it is called everywhere; one that is no topic any more stays what it
 * is, so that it can leave the device. */
static enum tg_rc add_topic(struct tg_own *o, struct ack *a, tg_str name,
                            struct tg_device_topic topic)
{
    struct tg_topic_name parsed = {0};
    const char *why = NULL;

    if (a->n_topics == TG_DEVICE_TOPICS_MAX || name.n == 0 || name.n > TG_NAME_MAX) {
        a->why = "a device has at most 256 topics, each with a name";
        return TG_EBADTOPIC;
    }
    topic.name = tg_arena_str(&o->x->req->arena, name);
    if (tg_topic_parse(o->x->w->opts->declared, name, &parsed, &why) == TG_OK) {
        topic.name = tg_arena_str(&o->x->req->arena, parsed.name);
        tg_topic_fini(&parsed);
    }
    a->topics[a->n_topics++] = topic;
    return TG_OK;
}

/* {"a":"<cursor>","b":null} */
static enum tg_rc read_each(struct tg_own *o, struct ack *a, json_t *topics)
{
    enum tg_rc rc = TG_OK;
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach(topics, name, value)
    {
        struct tg_device_topic topic = {0};

        if (rc == TG_OK && !json_is_null(value)) {
            rc = read_cursor(a, value, &topic);
        }
        if (rc == TG_OK) {
            rc = add_topic(o, a, tg_str_of(name), topic);
        }
    }
    return rc;
}

/* One cursor for `topics`, a list, or none: for those that the device has. */
static enum tg_rc read_shared(struct tg_own *o, struct ack *a, const json_t *cursor,
                              const json_t *topics)
{
    enum tg_rc rc = read_cursor(a, cursor, &a->shared);

    for (size_t i = 0; rc == TG_OK && i < json_array_size(topics); i++) {
        rc = add_topic(o, a, text_of(json_array_get(topics, i)), a->shared);
    }
    return rc;
}

static enum tg_rc read_body(struct tg_own *o, struct ack *a, const json_t *root)
{
    const json_t *cursor = json_object_get(root, "cursor");
    json_t *topics = json_object_get(root, "topics");

    if (!json_is_object(root) || !tg_device_is_id(text_of(json_object_get(root, "device")))) {
        a->why = "the body names a device: {\"device\":\"..\",\"cursor\":\"..\"}";
        return TG_EBADJSON;
    }
    a->device = tg_arena_str(&o->x->req->arena, text_of(json_object_get(root, "device")));
    if (json_is_object(topics) && cursor == NULL) {
        return read_each(o, a, topics);
    }
    if (cursor != NULL && (topics == NULL || json_is_array(topics))) {
        return read_shared(o, a, cursor, topics);
    }
    a->why = "either a cursor, with or without a list of topics, or an object of topics";
    return TG_EBADJSON;
}

/* ---- the store ---- */

static void refuse(struct tg_own *o, enum tg_rc rc)
{
    if (rc == TG_ENOTFOUND) {
        tg_own_refuse(o, rc, TG_STR("there is no such device"), TG_STR(""));
    } else {
        tg_own_refuse(o, tg_store_tell(rc), TG_STR(""), TG_STR(""));
    }
}

static const char *word_of(enum tg_ack ack)
{
    static const char *const words[] = {
        [TG_ACK_NONE] = "left",   [TG_ACK_OK] = "ok",           [TG_ACK_AHEAD] = "ahead",
        [TG_ACK_EPOCH] = "epoch", [TG_ACK_UNKNOWN] = "unknown",
    };

    return words[ack];
}

static void answer(struct tg_own *o, const struct ack *a, const enum tg_ack *acks, size_t n)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = MAX_ANSWER_BYTES};

    (void)tg_buf_str(&out, TG_STR("{\"device\":"));
    (void)tg_json_quote(&out, a->device);
    (void)tg_buf_str(&out, TG_STR(",\"topics\":{"));
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            (void)tg_buf_char(&out, ',');
        }
        (void)tg_json_quote(&out, a->topics[i].name);
        (void)tg_buf_printf(&out, ":\"%s\"", word_of(acks[i]));
    }
    (void)tg_buf_str(&out, TG_STR("}}"));
    if (tg_buf_rc(&out) == TG_OK) {
        tg_own_answer(o, 200, tg_buf_view(&out));
    } else {
        tg_own_refuse(o, TG_EINTERNAL, TG_STR(""), TG_STR(""));
    }
}

static void on_acked(enum tg_rc rc, const enum tg_ack *acks, size_t n, void *arg)
{
    struct tg_own *o = tg_own_back(arg);

    if (o == NULL) {
        return;
    }
    if (rc == TG_OK) {
        answer(o, o->data, acks, n);
    } else {
        refuse(o, rc);
    }
}

static void ack_topics(struct tg_own *o)
{
    const struct ack *a = o->data;
    const struct tg_device_acks acks = {.user = tg_own_user(o),
                                        .device = a->device,
                                        .topics = a->topics,
                                        .n_topics = a->n_topics,
                                        .ttl = o->x->w->opts->device_ttl};
    struct tg_store *store = tg_fanout_store(o->x->w->fanout, NULL);
    struct tg_own_wait *wait = tg_own_wait(o);
    enum tg_rc rc = store == NULL ? TG_ESTORE : tg_store_device_ack(store, &acks, on_acked, wait);

    if (rc != TG_OK) {
        (void)tg_own_back(wait);
        refuse(o, rc);
    }
}

/* One cursor for what the device has. */
static void on_device(enum tg_rc rc, const struct tg_device *d, void *arg)
{
    struct tg_own *o = tg_own_back(arg);
    struct ack *a = NULL;

    if (o == NULL) {
        return;
    }
    a = o->data;
    if (rc != TG_OK) {
        refuse(o, rc);
        return;
    }
    for (size_t i = 0; i < d->n_topics && a->n_topics < TG_DEVICE_TOPICS_MAX; i++) {
        struct tg_device_topic *t = &a->topics[a->n_topics++];

        *t = a->shared;
        t->name = tg_arena_str(&o->x->req->arena, d->topics[i].name);
    }
    if (a->n_topics > 0) {
        ack_topics(o);
    } else {
        answer(o, a, NULL, 0);
    }
}

static void find_topics(struct tg_own *o)
{
    const struct ack *a = o->data;
    struct tg_store *store = tg_fanout_store(o->x->w->fanout, NULL);
    struct tg_own_wait *wait = tg_own_wait(o);
    enum tg_rc rc = store == NULL
                        ? TG_ESTORE
                        : tg_store_device_get(store, tg_own_user(o), a->device, on_device, wait);

    if (rc != TG_OK) {
        (void)tg_own_back(wait);
        refuse(o, rc);
    }
}

static void run(struct tg_own *o)
{
    struct ack *a = tg_arena_alloc(&o->x->req->arena, sizeof(*a));
    json_t *root = NULL;
    enum tg_rc rc = tg_json_parse(tg_buf_view(&o->body), o->x->w->opts->own_body_bytes, &root);

    o->data = a;
    if (rc == TG_OK) {
        rc = read_body(o, a, root);
    }
    json_decref(root);
    if (rc != TG_OK) {
        tg_own_refuse(o, rc, tg_str_of(a->why), TG_STR(""));
    } else if (a->n_topics == 0 && a->shared.has_cursor) {
        find_topics(o);
    } else {
        ack_topics(o);
    }
}

void tg_device_ack_start(struct tg_exchange *x)
{
    static const struct tg_own_kind kind = {.run = run, .is_for_all = true, .has_body = true};

    tg_own_start(x, &kind);
}
