/* publish_events.c - reads the members of each event and writes the event that clients see. */
#include "handlers/publish_events.h"

#include <stdlib.h>

#include "util/json.h"

struct reading {
    const struct tg_publish_rules *rules;
    const struct tg_publish_from *from;
    struct tg_publish_batch *batch;
    const char *why;
    bool is_about_one; /* of a list: the last that was read */
};

static enum tg_rc refuse(struct reading *r, enum tg_rc rc, const char *why)
{
    r->why = why;
    return rc;
}

/* The decoded text of a string value, at most `max` bytes and not empty. */
static enum tg_rc read_text(struct reading *r, tg_str value, size_t max, struct tg_buf *out,
                            const char *why)
{
    tg_buf_init(out, max);
    if (tg_json_unquote(value, out) != TG_OK || out->n == 0) {
        return refuse(r, TG_EBADJSON, why);
    }
    return TG_OK;
}

/* ---- one event ---- */

/* What an event may carry besides topic and id; the same words as in a change of a table. */
static bool is_carried(tg_str name)
{
    static const char *const names[] = {"type",   "payload",    "schema",          "table",
                                        "record", "old_record", "commit_timestamp"};

    for (size_t i = 0; i < TG_ARRAY_LEN(names); i++) {
        if (tg_str_eq(name, tg_str_of(names[i]))) {
            return true;
        }
    }
    return false;
}

static enum tg_rc read_topic(struct reading *r, struct tg_publish_event *e, tg_str text)
{
    enum tg_rc rc = TG_OK;

    if (e->topic.text != NULL) {
        return refuse(r, TG_EBADTOPIC, "the topic is named twice");
    }
    rc = tg_topic_parse(r->rules->declared, text, &e->topic, &r->why);
    if (rc == TG_OK && e->topic.kind != TG_TOPIC_PUBLISHED) {
        return refuse(r, TG_EBADTOPIC,
                      "the changes of a table come from Supabase: publish to a declared topic");
    }
    return rc;
}

static enum tg_rc read_topic_value(struct reading *r, struct tg_publish_event *e, tg_str value)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = {0};
    enum tg_rc rc = read_text(r, value, TG_TOPIC_MAX_BYTES, &text,
                              "topic is a text of at most 512 bytes: \"<name>:<key>\"");

    return rc == TG_OK ? read_topic(r, e, tg_buf_view(&text)) : rc;
}

static enum tg_rc read_id(struct reading *r, struct tg_publish_event *e, tg_str value)
{
    if (e->once.n != 0) {
        return refuse(r, TG_EBADPARAM, "the id is given twice");
    }
    return read_text(r, value, TG_PUBLISH_ID_MAX, &e->once, "id is a text of 1 to 255 bytes");
}

static enum tg_rc read_member(struct reading *r, struct tg_publish_event *e, tg_str name,
                              tg_str value)
{
    if (tg_str_eq(name, TG_STR("topic"))) {
        return read_topic_value(r, e, value);
    }
    if (tg_str_eq(name, TG_STR("id"))) {
        return read_id(r, e, value);
    }
    if (!is_carried(name)) {
        return refuse(r, TG_EBADJSON,
                      "an event has topic, id, type and payload, or what a database webhook sends: "
                      "type, schema, table, record, old_record");
    }
    if (tg_str_eq(name, TG_STR("type")) && value.p[0] != '"') {
        return refuse(r, TG_EBADJSON, "type is a text");
    }
    return TG_OK;
}

static bool is_object(tg_str value)
{
    size_t at = 0;

    while (at < value.n && memchr(" \n\r\t", value.p[at], 4) != NULL) {
        at++;
    }
    return at < value.n && value.p[at] == '{';
}

static enum tg_rc read_members(struct reading *r, struct tg_publish_event *e, tg_str object)
{
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    enum tg_rc rc = TG_OK;

    if (r->from->topic.n > 0) {
        rc = read_topic(r, e, r->from->topic);
    }
    while (rc == TG_OK && (rc = tg_json_next(object, &at, &name, &value)) == TG_OK) {
        rc = read_member(r, e, name, value);
    }
    if (rc != TG_EEOF) {
        return rc;
    }
    if (e->topic.text == NULL) {
        return refuse(r, TG_EBADTOPIC, "the topic is missing: in the event, or as ?topic=");
    }
    return TG_OK;
}

/* {"topic":..} and the members that are carried, as they came. */
static void write_event(struct tg_buf *out, const struct tg_publish_event *e, tg_str object)
{
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;

    (void)tg_buf_str(out, TG_STR("{\"topic\":"));
    (void)tg_json_quote(out, e->topic.name);
    while (tg_json_next(object, &at, &name, &value) == TG_OK) {
        if (is_carried(name)) {
            (void)tg_buf_str(out, TG_STR(",\""));
            (void)tg_buf_str(out, name);
            (void)tg_buf_str(out, TG_STR("\":"));
            (void)tg_json_compact(out, value);
        }
    }
    (void)tg_buf_char(out, '}');
}

static enum tg_rc read_event(struct reading *r, tg_str object)
{
    struct tg_publish_batch *b = r->batch;
    struct tg_publish_event *e = &b->events[b->n];
    enum tg_rc rc = TG_OK;

    b->n++;
    if (!is_object(object)) {
        return refuse(r, TG_EBADJSON, "an event is an object");
    }
    rc = read_members(r, e, object);
    if (rc != TG_OK) {
        return rc;
    }
    e->at = b->json.n;
    write_event(&b->json, e, object);
    e->n = b->json.n - e->at;
    TG_ASSERT(tg_buf_rc(&b->json) == TG_OK);
    return e->n > r->rules->max_bytes
               ? refuse(r, TG_EBODYSIZE, "the event is larger than store.event_bytes")
               : TG_OK;
}

/* ---- the body ---- */

static enum tg_rc count_events(struct reading *r, tg_str list, size_t *ret_n)
{
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    size_t n = 0;

    while (tg_json_next(list, &at, &name, &value) == TG_OK) {
        n++;
    }
    if (n == 0 || n > r->rules->max_events) {
        return refuse(r, TG_EBADPARAM,
                      n == 0 ? "there is no event" : "more events than publish.events_max");
    }
    *ret_n = n;
    return TG_OK;
}

static void make_room(struct tg_publish_batch *b, size_t n, size_t body_bytes)
{
    /* A topic is written again, with its escapes; the rest only loses blanks. */
    tg_buf_init(&b->json, body_bytes + n * ((size_t)TG_TOPIC_MAX_BYTES * 6 + 64));
    b->events = tg_calloc(n, sizeof(b->events[0]));
}

static enum tg_rc read_list(struct reading *r, tg_str list)
{
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    size_t n = 0;
    enum tg_rc rc = count_events(r, list, &n);

    if (rc != TG_OK) {
        return rc;
    }
    make_room(r->batch, n, r->from->body.n);
    while (rc == TG_OK && (rc = tg_json_next(list, &at, &name, &value)) == TG_OK) {
        rc = read_event(r, value);
        r->is_about_one = rc != TG_OK;
    }
    return rc == TG_EEOF ? TG_OK : rc;
}

/* {"events":[..]} and nothing else; a body whose topic the query names is one event. */
static bool is_list(const struct reading *r, tg_str *ret_list)
{
    return r->from->topic.n == 0 && tg_json_member(r->from->body, "events", ret_list) == TG_OK;
}

static enum tg_rc check_list(struct reading *r, tg_str list)
{
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    size_t n = 0;

    while (tg_json_next(r->from->body, &at, &name, &value) == TG_OK) {
        n++;
    }
    if (n != 1 || list.n == 0 || list.p[0] != '[') {
        return refuse(r, TG_EBADJSON, "beside the list `events` there is nothing");
    }
    return TG_OK;
}

static enum tg_rc use_key(struct reading *r)
{
    struct tg_publish_event *e = &r->batch->events[0];

    if (r->from->once.n == 0) {
        return TG_OK;
    }
    if (r->batch->n > 1 || e->once.n > 0) {
        return refuse(r, TG_EBADPARAM, "Idempotency-Key goes with one event that has no id");
    }
    tg_buf_init(&e->once, TG_PUBLISH_ID_MAX);
    return tg_buf_str(&e->once, r->from->once) == TG_OK
               ? TG_OK
               : refuse(r, TG_EBADPARAM, "Idempotency-Key has at most 255 bytes");
}

static enum tg_rc read_body(struct reading *r)
{
    tg_str list = TG_STR_NONE;
    enum tg_rc rc = TG_OK;

    if (!tg_json_is_valid(r->from->body) || !is_object(r->from->body)) {
        return refuse(r, TG_EBADJSON, "the body is a JSON object");
    }
    if (is_list(r, &list)) {
        rc = check_list(r, list);
        return rc == TG_OK ? read_list(r, list) : rc;
    }
    make_room(r->batch, 1, r->from->body.n);
    return read_event(r, r->from->body);
}

enum tg_rc tg_publish_read(const struct tg_publish_rules *rules, const struct tg_publish_from *from,
                           struct tg_publish_batch *ret_batch, struct tg_buf *why)
{
    struct reading r = {.rules = rules, .from = from, .batch = ret_batch};
    enum tg_rc rc = TG_OK;

    *ret_batch = (struct tg_publish_batch){0};
    rc = read_body(&r);
    if (rc == TG_OK) {
        rc = use_key(&r);
    }
    if (rc != TG_OK) {
        if (r.is_about_one) {
            (void)tg_buf_printf(why, "events[%zu]: ", ret_batch->n - 1);
        }
        (void)tg_buf_str(why, tg_str_of(r.why));
    }
    return rc;
}

void tg_publish_fini(struct tg_publish_batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        tg_topic_fini(&b->events[i].topic);
        tg_buf_fini(&b->events[i].once);
    }
    free(b->events);
    tg_buf_fini(&b->json);
    *b = (struct tg_publish_batch){0};
}

tg_str tg_publish_json(const struct tg_publish_batch *b, const struct tg_publish_event *e)
{
    return tg_str_make(b->json.p + e->at, e->n);
}
