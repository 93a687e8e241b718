/* ws_rows.c - a subscribe that asks for the rows first (handlers/snapshot.h).
 *
 *   topic works --> its resume failed: begins anew --.
 *        |<------------------------------------------'
 *        `-> the stream is held -> its turn -> first rows: `ok` -> all rows -> the next, or
 * released
 *
 * One after the other: while any waits or is read, no changes of any topic go out; they stay in the
 * log. The question stays on the socket's list until all of its rows are told. */
#include <stdlib.h>

#include "auth/token.h"
#include "handlers/snapshot.h"
#include "handlers/ws_int.h"

bool ws_rows_are_wanted(const struct ws_ask *ask, const struct tg_stream_topic *t)
{
    return ask->key != NULL && ask->topic.kind != TG_TOPIC_PUBLISHED &&
           ask->want.from != TG_FROM_EARLIEST && !t->is_recovered;
}

/* The subscription ends with the attempt to read its rows. Takes `ask`. */
static void fail(struct ws_ask *ask, enum tg_rc rc, tg_str why)
{
    struct ws *e = ask->e;

    if (e->client.stream != NULL) {
        (void)!tg_stream_remove(e->client.stream, ask->topic.name);
    }
    ws_finish_error(ask, rc, why);
}

static bool on_first(void *arg)
{
    struct ws *e = arg;
    struct ws_ask *ask = e->rows;

    ask->is_told = true;
    ws_say_ok(e, tg_str_make(ask->ref, ask->n_ref), tg_str_of(ask->members));
    return e->end == NULL; /* otherwise the end has dropped the snapshot */
}

static void on_done(enum tg_rc rc, tg_str why, tg_str hint, bool has_begun, void *arg)
{
    struct ws *e = arg;
    struct ws_ask *ask = e->rows;

    (void)hint;
    e->snapshot = NULL;
    e->rows = NULL;
    if (rc == TG_OK) {
        ws_drop_ask(ask);
        ws_rows_next(e);
    } else if (has_begun) {
        tg_stream_end(e->client.stream, "snapshot", 0);
    } else {
        fail(ask, rc, why);
        ws_rows_next(e);
    }
}

static enum tg_rc start(struct ws_ask *ask, const char **ret_why)
{
    static const struct tg_snapshot_ops ops = {on_first, on_done};
    struct ws *e = ask->e;
    const struct tg_topic_name *topic = &ask->topic;
    const struct tg_snapshot_opts opts = {
        .w = ws_worker(e),
        .stream = e->client.stream,
        .token = e->token,
        .topics = &topic,
        .n_topics = 1,
        .key = tg_str_of(ask->key),
        .cursor = tg_str_of(ask->cursor),
        .ops = &ops,
        .arg = e,
    };

    return tg_snapshot_start(&opts, &e->snapshot, ret_why);
}

/* The list's newest stands first. */
static struct ws_ask *oldest_waiting(const struct ws *e)
{
    struct ws_ask *found = NULL;

    for (struct ws_ask *ask = e->asks; ask != NULL; ask = ask->next) {
        found = ask->is_for_rows ? ask : found;
    }
    return found;
}

void ws_rows_next(struct ws *e)
{
    struct ws_ask *ask = NULL;

    while (e->end == NULL && e->rows == NULL && (ask = oldest_waiting(e)) != NULL) {
        const char *why = "";
        enum tg_rc rc = start(ask, &why);

        if (rc == TG_OK) {
            e->rows = ask;
        } else {
            fail(ask, rc, tg_str_of(why));
        }
    }
    if (e->client.stream != NULL && e->rows == NULL) {
        tg_stream_release(e->client.stream, TG_HOLD_ROWS);
    }
}

/* A reset would come behind the rows and make them worthless: the topic begins again, now. */
static void begin_anew(struct ws_ask *ask, const struct tg_stream_topic *t)
{
    struct ws *e = ask->e;
    const struct tg_stream_user user = tg_admission_stream_user(e->token);
    enum tg_rc rc = TG_OK;

    ask->want.from = TG_FROM_NOW;
    ask->failed = tg_str_dup(t->reason);
    (void)!tg_stream_remove(e->client.stream, ask->topic.name);
    rc = tg_stream_add(e->client.stream, &user, &ask->want, ask->id);
    if (rc != TG_OK) {
        ws_finish_error(ask, rc, TG_STR(""));
    }
}

void ws_rows_begin(struct ws_ask *ask, const struct tg_stream_topic *t)
{
    struct ws *e = ask->e;
    TG_CLEANUP(tg_buf_fini) struct tg_buf members = {.max = WS_MAX_ANSWER_BYTES};
    struct tg_stream_topic said = *t;

    if (ask->want.from == TG_FROM_CURSOR) {
        begin_anew(ask, t);
        return;
    }
    if (ask->failed != NULL) {
        said.is_resume = true;
        said.reason = tg_str_of(ask->failed);
    }
    tg_stream_hold(e->client.stream, TG_HOLD_ROWS);
    ws_put_verdict(&members, &said);
    ask->members = tg_str_dup(tg_buf_view(&members));
    ask->cursor = tg_str_dup(t->cursor);
    ask->is_for_rows = true;
    if (e->rows == NULL) {
        ws_rows_next(e);
    }
}

bool ws_rows_leave(struct ws_ask *ask)
{
    struct ws *e = ask->e;
    bool is_told = ask->is_told;

    if (!ask->is_for_rows) {
        return false;
    }
    if (e->rows == ask) {
        tg_snapshot_cancel(e->snapshot);
        e->snapshot = NULL;
        e->rows = NULL;
    }
    ask->is_for_rows = false;
    if (is_told) {
        ws_drop_ask(ask);
    }
    return is_told;
}

void ws_rows_cancel(struct ws *e)
{
    tg_snapshot_cancel(e->snapshot);
    e->snapshot = NULL;
    e->rows = NULL;
}
