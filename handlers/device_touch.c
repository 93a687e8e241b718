/* device_touch.c - one call to the store between a request and its stream. */
#include "handlers/device_touch.h"

#include <stdlib.h>

#include "auth/digest.h"
#include "handlers/exchange.h"
#include "store/device.h"

struct tg_device_touch {
    struct tg_worker *w;
    tg_device_touch_fn *done; /* NULL: canceled */
    void *arg;
    struct tg_stream_want *wants;
    size_t n_wants;
    bool has_cursor;
    bool is_anonymous;
};

bool tg_device_is_id(tg_str id)
{
    for (size_t i = 0; i < id.n; i++) {
        char c = id.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '_' || c == ':' || c == '~' || c == '-')) {
            return false;
        }
    }
    return id.n > 0 && id.n <= TG_DEVICE_MAX;
}

enum tg_rc tg_device_id_of_path(struct tg_exchange *x, tg_str *ret_id)
{
    tg_str raw = tg_str_skip(x->path, sizeof("/sync/v1/devices/") - 1);
    char *text = tg_arena_alloc(&x->req->arena, raw.n + 1);
    bool is_whole = false;
    tg_str id = tg_str_make(text, tg_str_unescape(raw, false, text, &is_whole));

    if (!is_whole || !tg_device_is_id(id)) {
        return TG_EBADPARAM;
    }
    *ret_id = id;
    return TG_OK;
}

void tg_device_make_id(char out[TG_DEVICE_NEW_CHARS + 1])
{
    unsigned char random[TG_DEVICE_NEW_CHARS / 2];

    tg_random_bytes(random, sizeof(random));
    tg_hex(random, sizeof(random), out);
}

/* The device's topics come in the order in which they were named. */
static void place_wants(struct tg_device_touch *t, const struct tg_device *d)
{
    for (size_t i = 0; i < t->n_wants && i < d->n_topics; i++) {
        if (d->topics[i].has_cursor) {
            t->wants[i].from = TG_FROM_CURSOR;
            t->wants[i].epoch = d->topics[i].epoch;
            t->wants[i].pos = d->topics[i].pos;
        }
    }
}

static enum tg_rc limit_rc(const struct tg_device_touch *t, enum tg_device_limit limit)
{
    if (limit == TG_DEVICE_LIMIT_TOPICS) {
        return TG_EDEVICETOPICS;
    }
    return t->is_anonymous ? TG_EANONDEVICES : TG_EDEVICES;
}

static void on_device(enum tg_rc rc, const struct tg_device *d, void *arg)
{
    struct tg_device_touch *t = arg;
    const struct tg_device_touch copy = *t;

    if (copy.done != NULL && rc == TG_OK && !copy.has_cursor) {
        place_wants(t, d);
    } else if (rc == TG_ELIMIT) {
        tg_count_add(&t->w->counts.device_caps, 1);
        rc = limit_rc(t, d->limit);
    }
    free(t);
    if (copy.done != NULL) {
        copy.done(tg_store_tell(rc), copy.arg);
    }
}

enum tg_rc tg_device_touch(struct tg_worker *w, const struct tg_device_ask *ask,
                           tg_device_touch_fn *done, void *arg, struct tg_device_touch **ret_touch)
{
    const struct tg_handler_opts *o = w->opts;
    const bool is_anonymous = tg_str_eq(ask->user, TG_STR("anon"));
    struct tg_store *store = tg_fanout_store(w->fanout, NULL);
    struct tg_device_topic topics[TG_STREAM_MAX_TOPICS];
    const struct tg_device_want want = {
        .user = ask->user,
        .device = ask->device,
        .label = ask->label.n > 0 ? ask->label : TG_STR_NONE,
        .topics = topics,
        .n_topics = ask->n_wants,
        .max_devices = is_anonymous ? o->max_anonymous : o->max_devices,
        .max_topics = o->max_device_topics,
        .ttl = o->device_ttl,
        .must_exist = is_anonymous && !ask->is_new,
    };
    struct tg_device_touch *t = NULL;
    enum tg_rc rc = TG_OK;

    TG_ASSERT(ask->n_wants <= TG_STREAM_MAX_TOPICS);
    if (store == NULL) {
        return TG_ESTORE;
    }
    for (size_t i = 0; i < ask->n_wants; i++) {
        const struct tg_stream_want *wanted = &ask->wants[i];

        topics[i] = (struct tg_device_topic){
            .name = wanted->name->name,
            .has_cursor = ask->has_cursor && wanted->from == TG_FROM_CURSOR,
            .epoch = wanted->epoch,
            .pos = wanted->pos,
        };
    }
    t = TG_NEW(struct tg_device_touch);
    *t = (struct tg_device_touch){.w = w,
                                  .done = done,
                                  .arg = arg,
                                  .wants = ask->wants,
                                  .n_wants = ask->n_wants,
                                  .has_cursor = ask->has_cursor,
                                  .is_anonymous = is_anonymous};
    rc = tg_store_device_touch(store, &want, on_device, t);
    if (rc != TG_OK) {
        free(t);
        return rc;
    }
    tg_count_add(&w->counts.device_touches, 1);
    *ret_touch = t;
    return TG_OK;
}

void tg_device_touch_cancel(struct tg_device_touch *t)
{
    if (t != NULL) {
        t->done = NULL;
    }
}

static void on_begun(enum tg_rc rc, const enum tg_ack *acks, size_t n, void *arg)
{
    (void)rc; /* one that is not kept begins anew when it comes back */
    (void)acks;
    (void)n;
    (void)arg;
}

void tg_device_begin(struct tg_worker *w, tg_str user, tg_str device,
                     const struct tg_stream_topic *topics, size_t n)
{
    struct tg_store *store = tg_fanout_store(w->fanout, NULL);
    struct tg_device_topic begun[TG_STREAM_MAX_TOPICS];
    struct tg_device_acks acks = {
        .user = user, .device = device, .topics = begun, .ttl = w->opts->device_ttl};

    for (size_t i = 0; i < n && acks.n_topics < TG_STREAM_MAX_TOPICS; i++) {
        struct tg_device_topic *t = &begun[acks.n_topics];

        *t = (struct tg_device_topic){.name = topics[i].name, .has_cursor = true};
        /* What was read from the log's beginning begins nowhere yet. */
        if (!topics[i].is_resume &&
            tg_cursor_parse(topics[i].cursor, &t->epoch, &t->pos) == TG_OK && t->pos.ms != 0) {
            acks.n_topics++;
        }
    }
    if (store != NULL && acks.n_topics > 0) {
        (void)!tg_store_device_ack(store, &acks, on_begun, NULL);
    }
}
