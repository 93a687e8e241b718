/* device.c - what a user may see of its devices, and forgetting one. */
#include "handlers/device.h"

#include <time.h>

#include "auth/token.h"
#include "handlers/census.h"
#include "handlers/device_touch.h"
#include "handlers/own.h"
#include "store/device.h"
#include "util/json.h"

enum { MAX_ANSWER_BYTES = 1024 * 1024, MAX_KEY_BYTES = 1024 };

static void refuse(struct tg_own *o, enum tg_rc rc)
{
    tg_own_refuse(o, tg_store_tell(rc),
                  rc == TG_ENOTFOUND ? TG_STR("there is no such device") : TG_STR(""), TG_STR(""));
}

static void answer(struct tg_own *o, const struct tg_buf *json)
{
    if (tg_buf_rc(json) == TG_OK) {
        tg_own_answer(o, 200, tg_buf_view(json));
    } else {
        refuse(o, TG_EINTERNAL);
    }
}

/* ---- what a device looks like ---- */

/* RFC 3339, as the events have it. */
static void put_time(struct tg_buf *out, const char *name, uint64_t ms)
{
    const time_t seconds = (time_t)(ms / 1000);
    char text[32];
    struct tm tm;

    (void)gmtime_r(&seconds, &tm);
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)tg_buf_printf(out, ",\"%s\":\"%s.%03uZ\"", name, text, (unsigned)(ms % 1000));
}

/* Without the closing brace. */
static void put_device(struct tg_buf *out, const struct tg_device *d)
{
    (void)tg_buf_str(out, TG_STR("{\"id\":"));
    (void)tg_json_quote(out, d->id);
    (void)tg_buf_str(out, TG_STR(",\"label\":"));
    (void)(d->label.n > 0 ? tg_json_quote(out, d->label) : tg_buf_str(out, TG_STR("null")));
    put_time(out, "created", d->created_ms);
    put_time(out, "last_seen", d->seen_ms);
    put_time(out, "expires", d->expires_ms);
}

static void put_cursor(struct tg_buf *out, const char *name, const struct tg_epoch *epoch,
                       struct tg_pos pos)
{
    char text[TG_CURSOR_MAX + 1];

    (void)tg_cursor_format(epoch, pos, text);
    (void)tg_buf_printf(out, ",\"%s\":\"%s\"", name, text);
}

/* ---- all of them ---- */

static void on_list(enum tg_rc rc, const struct tg_device *devices, size_t n, size_t n_all,
                    void *arg)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = MAX_ANSWER_BYTES};
    struct tg_own *o = tg_own_back(arg);

    if (o == NULL) {
        return;
    }
    if (rc != TG_OK) {
        refuse(o, rc);
        return;
    }
    (void)tg_buf_str(&out, TG_STR("{\"devices\":["));
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            (void)tg_buf_char(&out, ',');
        }
        put_device(&out, &devices[i]);
        (void)tg_buf_printf(&out, ",\"topics\":%zu}", devices[i].n_topics);
    }
    (void)tg_buf_printf(&out, "],\"total\":%zu}", n_all);
    answer(o, &out);
}

static void run_list(struct tg_own *o)
{
    struct tg_store *store = tg_fanout_store(o->x->w->fanout, NULL);
    struct tg_own_wait *wait = tg_own_wait(o);
    const unsigned max = TG_MIN(o->x->w->opts->max_devices, (unsigned)TG_DEVICE_LIST_MAX);
    enum tg_rc rc =
        store == NULL ? TG_ESTORE : tg_store_device_list(store, tg_own_user(o), max, on_list, wait);

    if (rc != TG_OK) {
        (void)tg_own_back(wait);
        refuse(o, rc);
    }
}

void tg_device_list_start(struct tg_exchange *x)
{
    /* Whoever is nobody has a device by knowing its id, and is told of no other. */
    static const struct tg_own_kind kind = {.run = run_list};

    tg_own_start(x, &kind);
}

/* ---- one of them ---- */

/* A device and, topic by topic, what lies behind its cursors. */
struct look {
    struct tg_device device; /* texts and topics in the arena */
    struct tg_lane lanes[TG_DEVICE_TOPICS_MAX];
    bool has_lane[TG_DEVICE_TOPICS_MAX];
    size_t at; /* the topic that is asked about */
};

static void put_lane(struct tg_buf *out, const struct tg_device_topic *t, const struct tg_lane *l)
{
    const bool is_behind = l->n > 0;

    (void)tg_buf_printf(out, ",\"depth\":%llu,\"is_capped\":%s", (unsigned long long)l->n,
                        l->is_capped ? "true" : "false");
    if (is_behind) {
        put_cursor(out, "oldest", &l->epoch, l->oldest);
        put_cursor(out, "newest", &l->epoch, l->newest);
    }
    (void)tg_buf_printf(
        out, ",\"lag_ms\":%llu",
        (unsigned long long)(is_behind && l->newest.ms > t->pos.ms ? l->newest.ms - t->pos.ms : 0));
}

/* Only where the cursor means something: it was acknowledged, in this log, of a topic that there
 * is. */
static void put_topic(struct tg_buf *out, const struct look *l, size_t i)
{
    const struct tg_device_topic *t = &l->device.topics[i];

    (void)tg_buf_str(out, TG_STR("{\"topic\":"));
    (void)tg_json_quote(out, t->name);
    if (t->has_cursor) {
        put_cursor(out, "cursor", &t->epoch, t->pos);
    } else {
        (void)tg_buf_str(out, TG_STR(",\"cursor\":null"));
    }
    if (l->has_lane[i]) {
        put_lane(out, t, &l->lanes[i]);
    }
    (void)tg_buf_char(out, '}');
}

static void on_count(size_t n, bool is_whole, void *arg)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = MAX_ANSWER_BYTES};
    struct tg_own *o = tg_own_back(arg);
    const struct look *l = NULL;

    if (o == NULL) {
        return;
    }
    l = o->data;
    put_device(&out, &l->device);
    if (is_whole) {
        (void)tg_buf_printf(&out, ",\"streams\":%zu,\"topics\":[", n);
    } else {
        (void)tg_buf_str(&out, TG_STR(",\"streams\":null,\"topics\":["));
    }
    for (size_t i = 0; i < l->device.n_topics; i++) {
        if (i > 0) {
            (void)tg_buf_char(&out, ',');
        }
        put_topic(&out, l, i);
    }
    (void)tg_buf_str(&out, TG_STR("]}"));
    answer(o, &out);
}

static void on_lane(enum tg_rc rc, const struct tg_lane *lane, void *arg);

/* The topic's key in the log, and how long it is kept. False: it is none of the gateway's topics
 * any more. */
static bool key_of(const struct tg_own *o, tg_str name, struct tg_buf *out, tg_usec *ret_retain_for)
{
    tg_str class_id = o->token == NULL ? TG_STR_NONE : tg_str_of(o->token->class_id);
    struct tg_topic_name topic = {0};
    const char *why = NULL;

    if (tg_topic_parse(o->x->w->opts->declared, name, &topic, &why) != TG_OK) {
        return false;
    }
    tg_topic_key(out, class_id, &topic);
    *ret_retain_for = tg_topic_retain_for(&topic);
    tg_topic_fini(&topic);
    return tg_buf_rc(out) == TG_OK;
}

/* Asks about the next topic that has a cursor; behind the last one how many streams
 * there are. */
static void look_on(struct tg_own *o)
{
    struct look *l = o->data;
    struct tg_store *store = tg_fanout_store(o->x->w->fanout, NULL);

    for (; l->at < l->device.n_topics; l->at++) {
        TG_CLEANUP(tg_buf_fini) struct tg_buf key = {.max = MAX_KEY_BYTES};
        const struct tg_device_topic *t = &l->device.topics[l->at];
        struct tg_own_wait *wait = NULL;
        tg_usec retain_for = 0;
        enum tg_rc rc = TG_ESTORE;

        if (!t->has_cursor || !key_of(o, t->name, &key, &retain_for)) {
            continue;
        }
        wait = tg_own_wait(o);
        if (store != NULL) {
            rc = tg_store_lane(store, tg_buf_view(&key), t->pos, retain_for, on_lane, wait);
        }
        if (rc != TG_OK) {
            (void)tg_own_back(wait);
            refuse(o, rc);
        }
        return;
    }
    tg_census_take(o->x->w, tg_own_user(o), l->device.id, on_count, tg_own_wait(o));
}

static void on_lane(enum tg_rc rc, const struct tg_lane *lane, void *arg)
{
    struct tg_own *o = tg_own_back(arg);
    struct look *l = NULL;

    if (o == NULL) {
        return;
    }
    if (rc != TG_OK) {
        refuse(o, rc);
        return;
    }
    l = o->data;
    l->lanes[l->at] = *lane;
    l->has_lane[l->at] = strcmp(lane->epoch.text, l->device.topics[l->at].epoch.text) == 0;
    l->at++;
    look_on(o);
}

static void on_device(enum tg_rc rc, const struct tg_device *d, void *arg)
{
    struct tg_own *o = tg_own_back(arg);
    struct tg_arena *arena = NULL;
    struct tg_device_topic *topics = NULL;
    struct look *l = NULL;

    if (o == NULL) {
        return;
    }
    if (rc != TG_OK) {
        refuse(o, rc);
        return;
    }
    arena = &o->x->req->arena;
    l = tg_arena_alloc(arena, sizeof(*l));
    l->device = *d;
    l->device.id = tg_arena_str(arena, d->id);
    l->device.label = tg_arena_str(arena, d->label);
    l->device.n_topics = TG_MIN(d->n_topics, (size_t)TG_DEVICE_TOPICS_MAX);
    topics = tg_arena_alloc(arena, l->device.n_topics * sizeof(*topics));
    for (size_t i = 0; i < l->device.n_topics; i++) {
        topics[i] = d->topics[i];
        topics[i].name = tg_arena_str(arena, d->topics[i].name);
    }
    l->device.topics = topics;
    o->data = l;
    look_on(o);
}

static void run_get(struct tg_own *o)
{
    struct tg_store *store = tg_fanout_store(o->x->w->fanout, NULL);
    struct tg_own_wait *wait = NULL;
    tg_str id = TG_STR_NONE;
    enum tg_rc rc = tg_device_id_of_path(o->x, &id);

    if (rc != TG_OK) {
        tg_own_refuse(o, rc, TG_STR(TG_DEVICE_ID_RULE), TG_STR(""));
        return;
    }
    wait = tg_own_wait(o);
    rc =
        store == NULL ? TG_ESTORE : tg_store_device_get(store, tg_own_user(o), id, on_device, wait);
    if (rc != TG_OK) {
        (void)tg_own_back(wait);
        refuse(o, rc);
    }
}

void tg_device_get_start(struct tg_exchange *x)
{
    static const struct tg_own_kind kind = {.run = run_get, .is_for_all = true};

    tg_own_start(x, &kind);
}
