/* ws_message.c - what a client may say on its WebSocket, and the answers; ws_ack.c and ws_rows.c
 * have the rest.
 *
 * Every message is answered by `ok` or `error` with its `ref`, in any order. A question that has
 * to wait (for the store, signing keys, the topic) is a struct ws_ask on the socket's list; it is
 * taken off before it is answered, because an answer may end everything. */
#include <stdio.h>
#include <stdlib.h>

#include "auth/token.h"
#include "handlers/access.h"
#include "handlers/bearer.h"
#include "handlers/device_touch.h"
#include "handlers/exchange.h"
#include "handlers/hello.h"
#include "handlers/snapshot_query.h"
#include "handlers/ws.h"
#include "handlers/ws_int.h"
#include "store/device.h"
#include "util/json.h"

enum {
    MAX_REF_BYTES = 128, /* as it is written in JSON */
    MAX_ASKS = 80,
};

/* ---- answers ---- */

static void put_start(struct tg_buf *out, const char *event, tg_str ref)
{
    (void)tg_buf_printf(out, "{\"event\":\"%s\"", event);
    if (ref.n > 0) {
        (void)tg_buf_str(out, TG_STR(",\"ref\":"));
        (void)tg_buf_str(out, ref);
    }
}

/* `members`: more of the object, ",..." or empty. */
void ws_say_ok(struct ws *e, tg_str ref, tg_str members)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = WS_MAX_ANSWER_BYTES};

    put_start(&out, "ok", ref);
    (void)tg_buf_str(&out, members);
    (void)tg_buf_char(&out, '}');
    ws_say(e, tg_buf_view(&out));
}

void ws_say_error(struct ws *e, tg_str ref, enum tg_rc rc, tg_str details)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = WS_MAX_ANSWER_BYTES};

    put_start(&out, "error", ref);
    (void)tg_buf_char(&out, ',');
    tg_error_members(&out, rc, details);
    (void)tg_buf_char(&out, '}');
    ws_say(e, tg_buf_view(&out));
}

/* ---- questions ---- */

struct ws_ask *ws_new_ask(struct ws *e, tg_str ref)
{
    struct ws_ask *ask = tg_calloc(1, sizeof(*ask) + ref.n);

    ask->e = e;
    ask->id = ++e->last_ask;
    ask->n_ref = ref.n;
    if (ref.n > 0) {
        memcpy(ask->ref, ref.p, ref.n);
    }
    ask->next = e->asks;
    e->asks = ask;
    e->n_asks++;
    return ask;
}

static tg_str ref_of(const struct ws_ask *ask)
{
    return tg_str_make(ask->ref, ask->n_ref);
}

void ws_free_ask(struct ws_ask *ask)
{
    tg_device_touch_cancel(ask->touch);
    if (ask->wait != NULL) {
        tg_bearer_cancel(ask->wait);
    }
    tg_access_cancel(ask->access);
    tg_topic_fini(&ask->topic);
    free(ask->key);
    free(ask->failed);
    free(ask->members);
    free(ask->cursor);
    free(ask);
}

static void take_off(struct ws *e, struct ws_ask *ask)
{
    struct ws_ask **at = &e->asks;

    while (*at != ask) {
        at = &(*at)->next;
    }
    *at = ask->next;
    e->n_asks--;
}

void ws_drop_ask(struct ws_ask *ask)
{
    take_off(ask->e, ask);
    ws_free_ask(ask);
}

void ws_drop_asks(struct ws *e)
{
    ws_rows_cancel(e);
    while (e->asks != NULL) {
        struct ws_ask *ask = e->asks;

        take_off(e, ask);
        ask->e = NULL;
        if (!ask->is_with_store) {
            ws_free_ask(ask);
        }
    }
}

/* Takes `ask`. */
void ws_finish_ok(struct ws_ask *ask, tg_str members)
{
    take_off(ask->e, ask);
    ws_say_ok(ask->e, ref_of(ask), members);
    ws_free_ask(ask);
}

/* Takes `ask`. */
void ws_finish_error(struct ws_ask *ask, enum tg_rc rc, tg_str details)
{
    struct ws *e = ask->e;

    take_off(e, ask);
    e->n_topics = (uint8_t)(e->n_topics - (ask->is_subscribe ? 1 : 0));
    ws_say_error(e, ref_of(ask), rc, details);
    ws_free_ask(ask);
}

/* ---- what stands in a message ---- */

/* The text of a member; empty where there is none. TG_EBADPARAM: it is something else. */
enum tg_rc ws_read_text(tg_str json, const char *name, struct tg_buf *out)
{
    tg_str value = TG_STR_NONE;

    *out = (struct tg_buf){.max = json.n};
    if (tg_json_member(json, name, &value) != TG_OK || tg_str_eq(value, TG_STR("null"))) {
        return TG_OK;
    }
    return tg_json_unquote(value, out) == TG_OK ? TG_OK : TG_EBADPARAM;
}

static bool is_true(tg_str json, const char *name)
{
    tg_str value = TG_STR_NONE;

    return tg_json_member(json, name, &value) == TG_OK && tg_str_eq(value, TG_STR("true"));
}

/* A ref is given back as it was written: a string or a number. */
static enum tg_rc read_ref(tg_str json, tg_str *ret_ref)
{
    tg_str value = TG_STR_NONE;

    *ret_ref = TG_STR_NONE;
    if (tg_json_member(json, "ref", &value) != TG_OK) {
        return TG_OK;
    }
    if (value.n > MAX_REF_BYTES ||
        (value.p[0] != '"' && value.p[0] != '-' && (value.p[0] < '0' || value.p[0] > '9'))) {
        return TG_EBADPARAM;
    }
    *ret_ref = value;
    return TG_OK;
}

/* ---- subscribe ---- */

static void add(struct ws_ask *ask)
{
    struct ws *e = ask->e;
    const struct tg_stream_user user = tg_admission_stream_user(e->token);
    enum tg_rc rc = tg_stream_add(e->client.stream, &user, &ask->want, ask->id);

    ask->is_added = rc == TG_OK;
    if (rc == TG_OK) {
        tg_access_follow(ws_worker(e)->access, &e->client, e->token, &ask->topic);
    } else if (rc == TG_ECONFLICT) {
        ws_finish_error(ask, rc, TG_STR("this stream has the topic already"));
    } else if (rc == TG_ELIMIT) {
        ws_finish_error(ask, TG_EBADTOPIC, TG_STR("too many topics for one stream"));
    } else if (rc != TG_OK) {
        ws_finish_error(ask, rc, TG_STR(""));
    }
}

static void on_touched(enum tg_rc rc, void *arg)
{
    struct ws_ask *ask = arg;

    ask->touch = NULL;
    if (rc == TG_OK) {
        add(ask);
    } else {
        ws_finish_error(ask, rc, TG_STR(""));
    }
}

/* The device hears of the topic first: it tells where to begin, unless the client does. */
static void touch(struct ws_ask *ask)
{
    const struct ws *e = ask->e;
    const struct tg_device_ask touched = {
        .user = ws_user(e),
        .device = tg_str_of(e->device),
        .wants = &ask->want,
        .n_wants = 1,
        .has_cursor = ask->has_cursor,
    };
    enum tg_rc rc = tg_device_touch(ws_worker(e), &touched, on_touched, ask, &ask->touch);

    if (rc != TG_OK) {
        ws_finish_error(ask, rc, TG_STR(""));
    }
}

/* The column that orders the rows. */
static enum tg_rc read_key(struct ws_ask *ask, tg_str json)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf key = {0};

    if (ws_read_text(json, "snapshot_key", &key) != TG_OK ||
        (key.n > 0 && !tg_snapshot_is_column(tg_buf_view(&key)))) {
        return TG_EBADPARAM;
    }
    ask->key = tg_str_dup(key.n > 0 ? tg_buf_view(&key) : TG_STR("id"));
    return TG_OK;
}

static enum tg_rc read_subscribe(struct ws_ask *ask, tg_str json, const char **ret_why)
{
    const struct tg_handler_opts *o = ws_worker(ask->e)->opts;
    TG_CLEANUP(tg_buf_fini) struct tg_buf topic = {0};
    TG_CLEANUP(tg_buf_fini) struct tg_buf cursor = {0};
    enum tg_rc rc = TG_OK;

    if (ws_read_text(json, "topic", &topic) != TG_OK ||
        ws_read_text(json, "cursor", &cursor) != TG_OK) {
        *ret_why = "topic and cursor are strings";
        return TG_EBADPARAM;
    }
    if (is_true(json, "snapshot")) {
        rc = read_key(ask, json);
        if (rc != TG_OK) {
            *ret_why = "snapshot_key is the name of a column";
            return rc;
        }
    }
    if (ask->e->n_topics > TG_MIN(o->max_topics, (size_t)TG_STREAM_MAX_TOPICS)) {
        *ret_why = "too many topics for one stream";
        return TG_EBADTOPIC;
    }
    rc = tg_admission_topic(o, ask->e->token, tg_buf_view(&topic), &ask->topic, ret_why);
    if (rc == TG_OK) {
        rc = tg_admission_cursor(tg_buf_view(&cursor), &ask->want);
        ask->want.name = &ask->topic;
        ask->has_cursor = cursor.n > 0;
    }
    return rc;
}

static void go_on(struct ws_ask *ask)
{
    if (ask->e->device != NULL) {
        touch(ask);
    } else {
        add(ask);
    }
}

static void take_verdict(struct ws_ask *ask, enum tg_rc rc)
{
    if (rc == TG_OK) {
        go_on(ask);
    } else {
        ws_finish_error(ask, rc,
                        rc == TG_EFORBIDDEN ? TG_STR("you may not read this topic") : TG_STR(""));
    }
}

static void on_access(enum tg_rc rc, void *arg)
{
    struct ws_ask *ask = arg;

    ask->access = NULL;
    take_verdict(ask, rc);
}

/* Who resumes is asked about anew. */
static void ask_access(struct ws_ask *ask)
{
    const struct ws *e = ask->e;
    const struct tg_access_question q = {.token = e->token,
                                         .name = &ask->topic,
                                         .is_fresh = ask->want.from != TG_FROM_NOW ||
                                                     (e->device != NULL && !ask->has_cursor)};
    enum tg_rc rc = tg_access_ask(ws_worker(e)->access, &q, on_access, ask, &ask->access);

    if (rc != TG_EAGAIN) {
        take_verdict(ask, rc);
    }
}

static void subscribe(struct ws *e, tg_str json, tg_str ref)
{
    struct ws_ask *ask = ws_new_ask(e, ref);
    const char *why = NULL;
    enum tg_rc rc = TG_OK;

    ask->is_subscribe = true;
    e->n_topics++;
    rc = read_subscribe(ask, json, &why);
    if (rc != TG_OK) {
        ws_finish_error(ask, rc, tg_str_of(why));
    } else {
        ask_access(ask);
    }
}

static void say_revoked(struct ws *e, const struct tg_stream_topic *t, enum tg_rc rc,
                        tg_str message)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = WS_MAX_ANSWER_BYTES};

    (void)tg_buf_str(&out, TG_STR("{\"event\":\"revoked\","));
    tg_hello_put_revoked(&out, t->name, rc, message);
    (void)tg_buf_char(&out, '}');
    ws_say(e, tg_buf_view(&out));
}

void ws_put_verdict(struct tg_buf *out, const struct tg_stream_topic *t)
{
    (void)tg_buf_char(out, ',');
    tg_hello_put_topic(out, t);
    (void)tg_buf_str(out, TG_STR(",\"cursor\":"));
    (void)tg_json_quote(out, t->cursor);
}

/* A subscribe whose topic is meant; `must_own`: and by which the stream has it. Another one may
 * wait for the store, to be told that it came too late. */
static struct ws_ask *find_subscribe(const struct ws *e, tg_str name, bool must_own)
{
    for (struct ws_ask *ask = e->asks; ask != NULL; ask = ask->next) {
        if (ask->is_subscribe && (ask->is_added || !must_own) && tg_str_eq(ask->topic.name, name)) {
            return ask;
        }
    }
    return NULL;
}

/* A topic that worked does not any more. */
static void on_topic_end(struct ws *e, const struct tg_stream_topic *t, enum tg_rc rc,
                         tg_str message)
{
    struct ws_ask *ask = find_subscribe(e, t->name, true);

    if (ask != NULL && !ws_rows_leave(ask)) {
        ws_finish_error(ask, rc, message); /* it was waiting for its rows */
    } else {
        e->n_topics--;
        say_revoked(e, t, rc, message);
    }
    ws_rows_next(e);
}

void ws_on_topic(struct tg_stream *s, const struct tg_stream_topic *t, enum tg_rc rc,
                 tg_str message, tg_id ref, void *arg)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf members = {.max = WS_MAX_ANSWER_BYTES};
    struct ws *e = arg;
    struct ws_ask *ask = e->asks;

    (void)s;
    if (rc != TG_OK) {
        tg_access_unfollow(ws_worker(e)->access, &e->client, t->name);
    }
    if (ref == 0) {
        on_topic_end(e, t, rc, message);
        return;
    }
    while (ask != NULL && ask->id != ref) {
        ask = ask->next;
    }
    TG_ASSERT(ask != NULL);
    if (rc != TG_OK) {
        ws_finish_error(ask, rc, message);
        return;
    }
    if (ws_rows_are_wanted(ask, t)) {
        ws_rows_begin(ask, t);
        return;
    }
    ws_put_verdict(&members, t);
    if (e->device != NULL && !ask->has_cursor) {
        tg_device_begin(ws_worker(e), ws_user(e), tg_str_of(e->device), t, 1);
    }
    ws_finish_ok(ask, tg_buf_view(&members));
}

/* ---- unsubscribe ---- */

static void on_left(enum tg_rc rc, const enum tg_ack *acks, size_t n, void *arg)
{
    (void)rc; /* a device that keeps a topic too many keeps one cursor too many */
    (void)acks;
    (void)n;
    (void)arg;
}

/* The topic leaves the device, too: what it would miss from here on is nobody's. */
static void leave_device(const struct ws *e, tg_str name)
{
    const struct tg_worker *w = ws_worker(e);
    struct tg_store *store = tg_fanout_store(w->fanout, NULL);
    const struct tg_device_topic topic = {.name = name};
    const struct tg_device_acks acks = {
        .user = ws_user(e),
        .device = tg_str_of(e->device),
        .topics = &topic,
        .n_topics = 1,
        .ttl = w->opts->device_ttl,
    };

    if (e->device != NULL && store != NULL) {
        (void)!tg_store_device_ack(store, &acks, on_left, NULL);
    }
}

/* The topic leaves the stream, and with it all that was asked of it before. False: there was
 * nothing. */
static bool leave_stream(struct ws *e, tg_str name)
{
    bool has_topic = tg_stream_remove(e->client.stream, name) == TG_OK;
    bool is_any = has_topic;
    struct ws_ask *ask = NULL;

    while ((ask = find_subscribe(e, name, false)) != NULL) {
        is_any = true;
        has_topic = has_topic && !ask->is_added;
        if (ws_rows_leave(ask)) {
            e->n_topics--;
        } else {
            ws_finish_error(ask, TG_ECONFLICT, TG_STR("it was unsubscribed meanwhile"));
        }
    }
    e->n_topics = (uint8_t)(e->n_topics - (has_topic ? 1 : 0)); /* it was nobody's question */
    return is_any;
}

static void unsubscribe(struct ws *e, tg_str json, tg_str ref)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf topic = {0};
    TG_CLEANUP(tg_topic_fini) struct tg_topic_name name = {0};
    const char *why = "topic is a string";
    enum tg_rc rc = ws_read_text(json, "topic", &topic);

    if (rc == TG_OK) {
        rc = tg_admission_topic(ws_worker(e)->opts, e->token, tg_buf_view(&topic), &name, &why);
    }
    if (rc != TG_OK) {
        ws_say_error(e, ref, rc, tg_str_of(why));
        return;
    }
    if (!leave_stream(e, name.name)) {
        ws_say_error(e, ref, TG_ENOTFOUND, TG_STR("this stream does not have the topic"));
        return;
    }
    tg_access_unfollow(ws_worker(e)->access, &e->client, name.name);
    leave_device(e, name.name);
    ws_say_ok(e, ref, TG_STR(""));
    ws_rows_next(e);
}

/* ---- token ---- */

void tg_ws_keep_token(struct tg_client *c, struct tg_token *token)
{
    struct ws *e = TG_CONTAINER_OF(c, struct ws, client);

    tg_token_unref(e->token);
    e->token = tg_token_ref(token);
}

static void on_token(enum tg_rc rc, struct tg_token *token, void *arg)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf members = {.max = 64};
    struct ws_ask *ask = arg;
    struct ws *e = ask->e;

    ask->wait = NULL;
    take_off(e, ask);
    if (rc != TG_OK) {
        ws_say_error(e, ref_of(ask), rc, TG_STR(""));
        ws_free_ask(ask);
        return;
    }
    rc = tg_client_token(ws_worker(e), &e->client, token);
    if (rc == TG_OK) {
        (void)tg_buf_printf(&members, ",\"exp\":%lld", (long long)token->exp_sec);
        ws_say_ok(e, ref_of(ask), tg_buf_view(&members));
    }
    /* Another's: the stream has ended, and with it the socket. */
    tg_token_unref(token);
    ws_free_ask(ask);
}

static void take_token(struct ws *e, tg_str json, tg_str ref)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = {0};
    struct ws_ask *ask = NULL;
    char payer[32];

    if (ws_read_text(json, "token", &text) != TG_OK || text.n == 0) {
        ws_say_error(e, ref, TG_EBADPARAM, TG_STR("token is a string"));
        return;
    }
    /* Checks are paid by the address that the socket came from, by what is known of it still. */
    (void)snprintf(payer, sizeof(payer), "ws-%x-%x", (unsigned)e->client.address_place.cells[0],
                   (unsigned)e->client.address_place.cells[1]);
    ask = ws_new_ask(e, ref);
    tg_bearer_text(ws_worker(e), tg_str_of(payer), tg_buf_view(&text), on_token, ask, &ask->wait);
}

/* ---- all of them ---- */

static tg_str skip_blanks(tg_str s)
{
    while (s.n > 0 && memchr(" \t\r\n", s.p[0], 4) != NULL) {
        s = tg_str_skip(s, 1);
    }
    return s;
}

void ws_on_message(struct ws *e, tg_str text, bool is_over_rate)
{
    static const struct {
        tg_str event;
        void (*take)(struct ws *e, tg_str json, tg_str ref);
    } table[] = {
        {TG_STR_INIT("subscribe"), subscribe},
        {TG_STR_INIT("unsubscribe"), unsubscribe},
        {TG_STR_INIT("ack"), ws_ack},
        {TG_STR_INIT("token"), take_token},
    };
    TG_CLEANUP(tg_buf_fini) struct tg_buf event = {0};
    tg_str ref = TG_STR_NONE;

    text = skip_blanks(text);
    if (!tg_json_is_valid(text) || text.p[0] != '{') {
        ws_say_error(e, ref, TG_EBADJSON, TG_STR("a message is a JSON object"));
        return;
    }
    if (read_ref(text, &ref) != TG_OK) {
        ws_say_error(e, ref, TG_EBADPARAM, TG_STR("ref is a string or a number, and short"));
        return;
    }
    if (is_over_rate || e->n_asks == MAX_ASKS) {
        ws_say_error(e, ref, TG_ERATE, TG_STR("too many messages"));
        return;
    }
    if (ws_read_text(text, "event", &event) == TG_OK) {
        for (size_t i = 0; i < TG_ARRAY_LEN(table); i++) {
            if (tg_str_eq(tg_buf_view(&event), table[i].event)) {
                table[i].take(e, text, ref);
                return;
            }
        }
    }
    ws_say_error(e, ref, TG_EBADPARAM, TG_STR("event is subscribe, unsubscribe, ack or token"));
}
