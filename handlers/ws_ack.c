/* ws_ack.c - `ack`: a device says how far it has come (DESIGN.md 4).
 *
 * Of one topic, of several, or by one cursor for all topics that it can speak for. */
#include <stdlib.h>

#include "auth/token.h"
#include "handlers/ws_int.h"
#include "store/device.h"
#include "util/json.h"

struct acks {
    struct tg_topic_name names[TG_STREAM_MAX_TOPICS];
    struct tg_device_topic topics[TG_STREAM_MAX_TOPICS];
    size_t n;
    struct tg_epoch epoch; /* of one cursor for all */
    struct tg_pos pos;
    const char *why;
};

static void free_acks(struct acks *a)
{
    for (size_t i = 0; i < a->n; i++) {
        tg_topic_fini(&a->names[i]);
    }
    free(a);
}

static enum tg_rc ack_topic(const struct ws *e, struct acks *a, tg_str topic, tg_str cursor)
{
    struct tg_device_topic *t = &a->topics[a->n];
    enum tg_rc rc = TG_OK;

    if (a->n == TG_STREAM_MAX_TOPICS) {
        a->why = "too many topics at once";
        return TG_EBADPARAM;
    }
    *t = (struct tg_device_topic){.has_cursor = true};
    rc = tg_cursor_parse(cursor, &t->epoch, &t->pos);
    if (rc == TG_OK) {
        rc = tg_admission_topic(ws_worker(e)->opts, e->token, topic, &a->names[a->n], &a->why);
    }
    if (rc == TG_OK) {
        t->name = a->names[a->n].name;
        a->n++;
    }
    return rc;
}

/* {"<topic>":"<cursor>",...} */
static enum tg_rc ack_each(const struct ws *e, struct acks *a, tg_str topics)
{
    tg_str raw = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    enum tg_rc rc = TG_OK;

    if (topics.p[0] != '{') {
        a->why = "topics is an object of cursors";
        return TG_EBADPARAM;
    }
    while (rc == TG_OK && (rc = tg_json_next(topics, &at, &raw, &value)) == TG_OK) {
        TG_CLEANUP(tg_buf_fini) struct tg_buf topic = {.max = topics.n};
        TG_CLEANUP(tg_buf_fini) struct tg_buf cursor = {.max = topics.n};

        /* The name with its quotes, which stand around it. */
        if (tg_json_unquote(tg_str_make(raw.p - 1, raw.n + 2), &topic) != TG_OK ||
            tg_json_unquote(value, &cursor) != TG_OK) {
            a->why = "topics is an object of cursors";
            return TG_EBADPARAM;
        }
        rc = ack_topic(e, a, tg_buf_view(&topic), tg_buf_view(&cursor));
    }
    return rc == TG_EEOF ? TG_OK : rc;
}

/* One cursor says of a topic only what came in order with the others. A topic that was added later
 * is in order from `joined` on: the client may have seen an id below on another topic, and sent
 * this, before the topic's older events came. */
static void ack_if_level(tg_str name, struct tg_pos joined, void *arg)
{
    struct acks *a = arg;

    if (a->n < TG_STREAM_MAX_TOPICS && tg_pos_cmp(a->pos, joined) > 0) {
        a->topics[a->n++] = (struct tg_device_topic){
            .name = name, .has_cursor = true, .epoch = a->epoch, .pos = a->pos};
    }
}

static enum tg_rc read_ack(const struct ws *e, tg_str json, struct acks *a)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf topic = {0};
    TG_CLEANUP(tg_buf_fini) struct tg_buf cursor = {0};
    tg_str topics = TG_STR_NONE;
    enum tg_rc rc = TG_OK;

    if (tg_json_member(json, "topics", &topics) == TG_OK) {
        return ack_each(e, a, topics);
    }
    if (ws_read_text(json, "topic", &topic) != TG_OK ||
        ws_read_text(json, "cursor", &cursor) != TG_OK) {
        a->why = "topic and cursor are strings";
        return TG_EBADPARAM;
    }
    if (topic.n > 0) {
        return ack_topic(e, a, tg_buf_view(&topic), tg_buf_view(&cursor));
    }
    rc = tg_cursor_parse(tg_buf_view(&cursor), &a->epoch, &a->pos);
    if (rc == TG_OK) {
        tg_stream_each(e->client.stream, ack_if_level, a);
    }
    return rc;
}

static const char *ack_word(enum tg_ack ack)
{
    switch (ack) {
    case TG_ACK_AHEAD:
        return "a cursor is ahead of the log";
    case TG_ACK_EPOCH:
        return "a cursor is of another log";
    case TG_ACK_UNKNOWN:
        return "the device does not have a topic";
    case TG_ACK_NONE:
    case TG_ACK_OK:
        break;
    }
    return NULL;
}

static void on_acked(enum tg_rc rc, const enum tg_ack *acks, size_t n, void *arg)
{
    struct ws_ask *ask = arg;
    const char *why = NULL;

    if (ask->e == NULL) {
        ws_free_ask(ask);
        return;
    }
    for (size_t i = 0; rc == TG_OK && i < n && why == NULL; i++) {
        why = ack_word(acks[i]);
    }
    if (rc == TG_OK && why == NULL) {
        ws_finish_ok(ask, TG_STR(""));
    } else {
        /* Of several, those that could be acknowledged are. */
        ws_finish_error(ask, rc != TG_OK ? rc : TG_EBADCURSOR, tg_str_of(why));
    }
}

static void ask_store(struct ws *e, const struct acks *a, tg_str ref)
{
    const struct tg_worker *w = ws_worker(e);
    struct tg_store *store = tg_fanout_store(w->fanout, NULL);
    const struct tg_device_acks acks = {
        .user = ws_user(e),
        .device = tg_str_of(e->device),
        .topics = a->topics,
        .n_topics = a->n,
        .ttl = w->opts->device_ttl,
    };
    struct ws_ask *ask = ws_new_ask(e, ref);
    enum tg_rc rc = store == NULL ? TG_ESTORE : tg_store_device_ack(store, &acks, on_acked, ask);

    ask->is_with_store = rc == TG_OK;
    if (rc != TG_OK) {
        ws_finish_error(ask, rc, TG_STR(""));
    }
}

void ws_ack(struct ws *e, tg_str json, tg_str ref)
{
    struct acks *a = NULL;
    enum tg_rc rc = TG_OK;

    if (e->device == NULL) {
        ws_say_error(e, ref, TG_EBADPARAM,
                     TG_STR("only a device acknowledges: open the socket with ?device="));
        return;
    }
    a = TG_NEW(struct acks);
    rc = read_ack(e, json, a);
    if (rc != TG_OK) {
        ws_say_error(e, ref, rc, tg_str_of(a->why));
    } else if (a->n == 0) {
        ws_say_ok(e, ref, TG_STR(""));
    } else {
        ask_store(e, a, ref);
    }
    free_acks(a);
}
