/* snapshot.c - one page after the other, topic after topic.
 *
 *   QUEUED (for one of the worker's reads) -> READING -> TOLD (until the socket has it) -> QUEUED
 *
 * A client that takes no byte of a page for a while is given up: each page is memory of ours.
 *
 * A topic's end is an empty page, not a short one: PostgREST may be set to give fewer rows than
 * it is asked for (db-max-rows). */
#include "handlers/snapshot.h"

#include <stdlib.h>

#include "auth/token.h"
#include "handlers/exchange.h"
#include "handlers/snapshot_query.h"
#include "util/json.h"
#include "util/log.h"
#include "util/map.h"

enum { MAX_KEY_BYTES = 1024, MAX_BEARER_BYTES = 16 * 1024, MAX_WORDS = 1024 };

struct part {
    struct tg_topic_name name;
    struct tg_buf target; /* up to the key's condition */
};

struct tg_snapshot {
    struct tg_worker *w;
    tg_id id;
    struct tg_list queue; /* worker->snapshots */
    struct tg_task task;  /* looks whether the socket has the page */
    struct tg_timer slow; /* the socket has taken nothing of it */
    struct tg_stream *stream;
    struct tg_token *token;
    const struct tg_snapshot_ops *ops;
    void *arg;
    tg_str key;
    char *texts; /* [owned] behind the key */
    struct tg_epoch epoch;
    struct tg_pos pos;
    struct tg_buf last; /* key of the last row that was told */
    uint64_t first;     /* hash of the key of its page's first row */
    bool has_last;
    bool has_begun;
    bool is_told;  /* a page is on its way to the socket */
    bool is_stuck; /* the socket does not take it now */
    unsigned rows;
    size_t at; /* the part that is read */
    size_t n_parts;
    struct part parts[];
};

static void free_snapshot(void *arg)
{
    struct tg_snapshot *s = arg;

    for (size_t i = 0; i < s->n_parts; i++) {
        tg_topic_fini(&s->parts[i].name);
        tg_buf_fini(&s->parts[i].target);
    }
    tg_buf_fini(&s->last);
    tg_token_unref(s->token);
    free(s->texts);
    free(s);
}

static void set_stuck(struct tg_snapshot *s, bool is_stuck)
{
    if (s->is_stuck != is_stuck) {
        s->is_stuck = is_stuck;
        if (is_stuck) {
            tg_count_add(&s->w->counts.snapshots_stuck, 1);
        } else {
            tg_count_sub(&s->w->counts.snapshots_stuck, 1);
        }
    }
}

/* Perhaps from inside its own task. */
static void drop(struct tg_snapshot *s)
{
    set_stuck(s, false);
    tg_ids_remove(&s->w->snapshot_ids, s->id);
    tg_list_remove(&s->queue);
    tg_loop_task_stop(s->w->loop, &s->task);
    tg_loop_timer_stop(s->w->loop, &s->slow);
    tg_loop_defer(s->w->loop, free_snapshot, s);
}

/* ---- the end ---- */

static void end(struct tg_snapshot *s, enum tg_rc rc, tg_str why, tg_str hint)
{
    const struct tg_snapshot_ops *ops = s->ops;
    void *arg = s->arg;
    bool has_begun = s->has_begun;

    drop(s);
    ops->on_done(rc, why, hint, has_begun, arg);
}

/* Why a stream that has begun ends: its `bye` has one word only. */
static void tell_error(struct tg_snapshot *s, enum tg_rc rc, tg_str why, tg_str hint)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf json = {.max = (size_t)16 * 1024};

    (void)tg_buf_str(&json, TG_STR("{\"topic\":"));
    (void)tg_json_quote(&json, s->parts[s->at].name.name);
    (void)tg_buf_str(&json, TG_STR(",\"error\":"));
    tg_error_body(&json, rc, why, hint);
    (void)tg_buf_char(&json, '}');
    if (tg_buf_rc(&json) == TG_OK) {
        (void)tg_stream_tell(s->stream, tg_frame_named(TG_STR("snapshot"), tg_buf_view(&json)));
    }
}

static void fail(struct tg_snapshot *s, enum tg_rc rc, tg_str why, tg_str hint)
{
    tg_count_add(&s->w->counts.snapshot_failures, 1);
    tg_log_limited(TG_LOG_WARN, "snapshot_failed", 10, TG_KS("table", s->parts[s->at].name.table),
                   TG_KZ("rc", tg_rc_name(rc)));
    if (s->has_begun) {
        tell_error(s, rc, why, hint);
    }
    end(s, rc, why, hint);
}

/* ---- one read ---- */

struct read {
    struct tg_worker *w;
    tg_id snapshot;
};

static void on_fetched(enum tg_rc rc, unsigned status, tg_str body, void *arg);

static enum tg_rc start_read(struct tg_snapshot *s)
{
    const struct tg_handler_opts *o = s->w->opts;
    const struct part *part = &s->parts[s->at];
    TG_CLEANUP(tg_buf_fini) struct tg_buf target = {.max = TG_SNAPSHOT_TARGET_MAX};
    TG_CLEANUP(tg_buf_fini) struct tg_buf bearer = {.max = MAX_BEARER_BYTES};
    struct tg_upstream_field fields[] = {
        {TG_STR("Host"), o->upstream_authority},
        {TG_STR("Accept"), TG_STR("application/json")},
        {TG_STR("User-Agent"), TG_STR("tidegate")},
        {TG_STR("apikey"), o->project_key},
        {TG_STR("Accept-Profile"), tg_snapshot_schema(&part->name)},
        {TG_STR("Authorization"), TG_STR_NONE}, /* the last: without a user the key speaks */
    };
    struct tg_call_request req = {.method = TG_STR("GET"),
                                  .fields = fields,
                                  .n_fields = TG_ARRAY_LEN(fields) - (s->token == NULL ? 1 : 0),
                                  .service = "rest",
                                  .may_retry = true};
    struct read *r = NULL;
    enum tg_rc rc = TG_OK;

    if (s->token != NULL) {
        (void)tg_buf_str(&bearer, TG_STR("Bearer "));
        (void)tg_buf_str(&bearer, s->token->text);
        fields[TG_ARRAY_LEN(fields) - 1].value = tg_buf_view(&bearer);
    }
    (void)tg_buf_str(&target, tg_buf_view(&part->target));
    rc = tg_snapshot_page(&target, s->key, s->has_last ? tg_buf_view(&s->last) : TG_STR_NONE,
                          s->rows);
    if (rc != TG_OK || tg_buf_rc(&bearer) != TG_OK) {
        return TG_ELIMIT;
    }
    req.target = tg_buf_view(&target);
    r = TG_NEW(struct read);
    *r = (struct read){s->w, s->id};
    rc = tg_upstream_fetch(s->w->upstream, &req, TG_STR(""), o->snapshot_bytes, on_fetched, r);
    if (rc != TG_OK) {
        free(r);
        return rc;
    }
    s->w->n_snapshot_reads++;
    return TG_OK;
}

/* Those that wait, as long as there is room. */
static void read_next(struct tg_worker *w)
{
    while (!tg_list_empty(&w->snapshots) && w->n_snapshot_reads < w->opts->snapshot_reads) {
        struct tg_snapshot *s = TG_CONTAINER_OF(w->snapshots.next, struct tg_snapshot, queue);
        enum tg_rc rc = TG_OK;

        tg_list_remove(&s->queue);
        rc = start_read(s);
        if (rc != TG_OK) {
            fail(s, rc == TG_ELIMIT ? TG_EBADTOPIC : rc, TG_STR(""), TG_STR(""));
        }
    }
}

/* From the loop, never from inside a call of the transport. */
static void want_page(struct tg_snapshot *s)
{
    s->is_told = false;
    tg_loop_timer_stop(s->w->loop, &s->slow);
    tg_list_append(&s->w->snapshots, &s->queue);
    read_next(s->w);
}

/* ---- what came ---- */

static enum tg_rc rc_of(unsigned status)
{
    if (status == 401 || status == 403) {
        return TG_EFORBIDDEN;
    }
    if (status == 429) {
        return TG_ERATE;
    }
    return status >= 400 && status < 500 ? TG_EBADTOPIC : TG_EUPSTREAM;
}

static void read_words(tg_str body, const char *member, struct tg_buf *out)
{
    tg_str value = TG_STR_NONE;

    if (tg_json_member(body, member, &value) != TG_OK || tg_json_unquote(value, out) != TG_OK) {
        tg_buf_clear(out);
    }
}

/* PostgREST's {"code","message","details","hint"}. */
static void refuse(struct tg_snapshot *s, unsigned status, tg_str body)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf why = {.max = MAX_WORDS};
    TG_CLEANUP(tg_buf_fini) struct tg_buf hint = {.max = MAX_WORDS};

    if (status >= 400 && status < 500 && tg_json_is_valid(body)) {
        read_words(body, "message", &why);
        read_words(body, "hint", &hint);
    }
    fail(s, rc_of(status), tg_buf_view(&why), tg_buf_view(&hint));
}

/* Upstream's fault; all else that is wrong with rows is a matter of the key. */
static const char same_again[] = "the same rows came again";

/* Counts the rows and keeps the last one's key. NULL, or what is wrong with them. */
static const char *walk_rows(struct tg_snapshot *s, tg_str rows, size_t *ret_n)
{
    char key[64 + 1];
    tg_str name = TG_STR_NONE;
    tg_str row = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    tg_str before = TG_STR_NONE;
    uint64_t first = 0;
    size_t at = 0;

    memcpy(key, s->key.p, s->key.n);
    key[s->key.n] = '\0';
    *ret_n = 0;
    while (tg_json_next(rows, &at, &name, &row) == TG_OK) {
        if (tg_json_member(row, key, &value) != TG_OK || tg_str_eq(value, TG_STR("null")) ||
            value.p[0] == '{' || value.p[0] == '[') {
            return "the rows have no such key: name one by snapshot_key=";
        }
        if (tg_str_eq(value, before)) {
            return "two rows have the same key: snapshot_key= must name a column that is unique";
        }
        if (*ret_n == 0) {
            first = tg_hash(value);
        }
        before = value;
        ++*ret_n;
    }
    if (*ret_n > 0 && s->has_last && first == s->first) {
        return same_again;
    }
    s->first = first;
    if (*ret_n > 0) {
        tg_buf_clear(&s->last);
        if (value.p[0] != '"') {
            (void)tg_buf_str(&s->last, value);
        } else if (tg_json_unquote(value, &s->last) != TG_OK) {
            return "the key of a row is too long";
        }
        s->has_last = true;
        return tg_buf_rc(&s->last) == TG_OK ? NULL : "the key of a row is too long";
    }
    return NULL;
}

static struct tg_frame *make_frame(const struct tg_snapshot *s, tg_str rows, bool more)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf json = {0};
    bool is_last = !more && s->at + 1 == s->n_parts;

    tg_buf_init(&json, rows.n + (size_t)TG_TOPIC_MAX_BYTES * 6 + 64);
    (void)tg_buf_str(&json, TG_STR("{\"topic\":"));
    (void)tg_json_quote(&json, s->parts[s->at].name.name);
    (void)tg_buf_str(&json, TG_STR(",\"rows\":"));
    (void)tg_json_compact(&json, rows);
    (void)tg_buf_str(&json, more ? TG_STR(",\"more\":true}") : TG_STR(",\"more\":false}"));
    TG_ASSERT(tg_buf_rc(&json) == TG_OK);
    return is_last ? tg_frame_create(TG_FRAME_CONTROL, &s->epoch, s->pos, TG_STR("snapshot"),
                                     tg_buf_view(&json))
                   : tg_frame_named(TG_STR("snapshot"), tg_buf_view(&json));
}

static void take_page(struct tg_snapshot *s, tg_str rows)
{
    size_t n = 0;
    const char *wrong = walk_rows(s, rows, &n);

    if (wrong != NULL) {
        fail(s, wrong == same_again ? TG_EUPSTREAM : TG_EBADPARAM, tg_str_of(wrong), TG_STR(""));
        return;
    }
    if (!s->has_begun) {
        s->has_begun = true;
        tg_count_add(&s->w->counts.snapshots, 1);
        if (!s->ops->on_first(s->arg)) {
            return;
        }
    }
    tg_count_add(&s->w->counts.snapshot_rows, n);
    if (!tg_stream_tell(s->stream, make_frame(s, rows, n > 0))) {
        fail(s, TG_EFULL, TG_STR(""), TG_STR(""));
        return;
    }
    if (n == 0) {
        s->first = 0;
        s->has_last = false;
        s->rows = s->w->opts->snapshot_page;
        s->at++;
    }
    if (s->at == s->n_parts) {
        end(s, TG_OK, TG_STR(""), TG_STR(""));
        return;
    }
    s->is_told = true;
    tg_loop_task_start(s->w->loop, &s->task);
    tg_loop_timer_start(s->w->loop, &s->slow, s->w->opts->snapshot_patience);
}

static void on_fetched(enum tg_rc rc, unsigned status, tg_str body, void *arg)
{
    struct read *r = arg;
    struct tg_worker *w = r->w;
    struct tg_snapshot *s = tg_ids_find(&w->snapshot_ids, r->snapshot);
    tg_str rows = tg_str_trim(body);

    free(r);
    w->n_snapshot_reads--;
    if (s == NULL) {
        read_next(w); /* its stream is gone */
        return;
    }
    if (rc == TG_ELIMIT && s->rows > 1) {
        s->rows = (s->rows + 3) / 4; /* wide rows: fewer at once */
        want_page(s);
        return;
    }
    if (rc == TG_ELIMIT) {
        fail(s, TG_EUPSTREAM, TG_STR("a row is larger than streams.snapshot_bytes"), TG_STR(""));
    } else if (rc != TG_OK) {
        fail(s, rc, TG_STR(""), TG_STR(""));
    } else if (status != 200 && status != 206) {
        refuse(s, status, body);
    } else if (rows.n == 0 || rows.p[0] != '[' || !tg_json_is_valid(rows)) {
        fail(s, TG_EUPSTREAM, TG_STR(""), TG_STR(""));
    } else {
        take_page(s, rows);
    }
    read_next(w);
}

/* ---- between two pages ---- */

static void on_slow(struct tg_timer *timer)
{
    fail(TG_CONTAINER_OF(timer, struct tg_snapshot, slow), TG_EFULL, TG_STR(""), TG_STR(""));
}

static bool look(struct tg_task *task)
{
    struct tg_snapshot *s = TG_CONTAINER_OF(task, struct tg_snapshot, task);
    enum tg_told told = s->has_begun ? tg_stream_told(s->stream) : TG_TOLD_ALL;

    set_stuck(s, told == TG_TOLD_BLOCKED);
    if (told == TG_TOLD_ALL) {
        want_page(s);
    }
    return told == TG_TOLD_SOON; /* blocked: tg_snapshot_writable() follows */
}

void tg_snapshot_writable(struct tg_snapshot *s)
{
    if (s->is_told && s->has_begun) {
        tg_loop_task_start(s->w->loop, &s->task);
        tg_loop_timer_start(s->w->loop, &s->slow, s->w->opts->snapshot_patience);
    }
}

/* ---- start ---- */

enum tg_rc tg_snapshot_start(const struct tg_snapshot_opts *opts, struct tg_snapshot **ret_snapshot,
                             const char **ret_why)
{
    struct tg_snapshot *s = tg_calloc(1, sizeof(*s) + opts->n_topics * sizeof(s->parts[0]));
    enum tg_rc rc = TG_OK;

    TG_ASSERT(opts->n_topics > 0 && opts->key.n <= 64);
    s->w = opts->w;
    s->id = tg_ids_add(&s->w->snapshot_ids, s);
    tg_list_init(&s->queue);
    tg_task_init(&s->task, look);
    tg_timer_init(&s->slow, on_slow);
    s->stream = opts->stream;
    s->token = opts->token == NULL ? NULL : tg_token_ref(opts->token);
    s->ops = opts->ops;
    s->arg = opts->arg;
    s->texts = tg_str_dup(opts->key);
    s->key = tg_str_make(s->texts, opts->key.n);
    s->rows = s->w->opts->snapshot_page;
    tg_buf_init(&s->last, MAX_KEY_BYTES);
    s->n_parts = opts->n_topics;
    TG_ASSERT(tg_cursor_parse(opts->cursor, &s->epoch, &s->pos) == TG_OK);
    for (size_t i = 0; i < s->n_parts; i++) {
        struct part *part = &s->parts[i];

        tg_topic_copy(opts->topics[i], &part->name);
        tg_buf_init(&part->target, TG_SNAPSHOT_TARGET_MAX);
        if (rc == TG_OK && !tg_snapshot_has_column(&part->name, s->key)) {
            *ret_why = "a topic does not show the column snapshot_key";
            rc = TG_EBADTOPIC;
        }
        rc = rc == TG_OK ? tg_snapshot_target(&part->name, &part->target, ret_why) : rc;
    }
    if (rc != TG_OK) {
        drop(s);
        return rc;
    }
    s->is_told = true; /* nothing yet: the task asks for the first page, from the loop */
    tg_loop_task_start(s->w->loop, &s->task);
    *ret_snapshot = s;
    return TG_OK;
}

void tg_snapshot_cancel(struct tg_snapshot *s)
{
    if (s != NULL) {
        drop(s); /* a read that is under way frees its place when it comes back */
    }
}
