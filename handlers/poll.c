/* poll.c - one poll: what it asks for, and its answer.
 *
 *   parameters -> admission -> from memory? -> answer
 *                                   | no, or nothing yet and `wait`
 *                                   v
 *                               a stream, the connection parked -> answer -> its next request
 *
 * The answer of a poll that does not wait is made inside the worker, in the turn of its request. */
#include "handlers/poll.h"

#include <stdio.h>
#include <stdlib.h>

#include "handlers/collect.h"
#include "handlers/cors.h"
#include "util/json.h"

enum {
    DEFAULT_LIMIT = 100,
    MAX_LIMIT = 1000,
    MAX_WAIT_SEC = 60,
    MAX_FIELDS = 16,
    SAFE_AGE_MS = 60 * 60 * 1000, /* a cursor so old is given back by a newer one */
    DRAIN_NEXT_SEC = 1,
};

struct poll {
    struct tg_exchange *x;
    struct tg_admission *a;
    struct tg_collect *collect; /* under way */
    struct tg_collect_opts opts;
    struct tg_shape shape;
    tg_str known; /* the cursor of If-None-Match */
};

/* ---- what is asked for ---- */

static enum tg_rc read_number(tg_str text, uint64_t min, uint64_t max, uint64_t *ret)
{
    uint64_t n = 0;

    if (tg_str_to_u64(text, &n) != TG_OK || n < min || n > max) {
        return TG_EBADPARAM;
    }
    *ret = n;
    return TG_OK;
}

static enum tg_rc take_param(struct poll *p, tg_str name, tg_str value, const char **ret_why)
{
    uint64_t n = 0;
    enum tg_rc rc = TG_OK;

    if (tg_str_eq(name, TG_STR("wait"))) {
        *ret_why = "wait is a number of seconds from 0 to 60";
        rc = read_number(value, 0, MAX_WAIT_SEC, &n);
        p->opts.wait = TG_SEC(n);
    } else if (tg_str_eq(name, TG_STR("limit"))) {
        *ret_why = "limit is a number of events from 1 to 1000";
        rc = read_number(value, 1, MAX_LIMIT, &n);
        p->opts.limit = n;
    } else if (tg_str_eq(name, TG_STR("fields"))) {
        rc = tg_shape_fields(&p->shape, &p->x->req->arena, value, ret_why);
    } else if (tg_str_eq(name, TG_STR("compact"))) {
        *ret_why = "compact is 0 or 1";
        rc = read_number(value, 0, 1, &n);
        p->shape.is_compact = n == 1;
    } else if (tg_str_eq(name, TG_STR("snapshot"))) {
        *ret_why = "a poll has no snapshot: poll for a cursor, read the rows by REST, poll on";
        rc = read_number(value, 0, 0, &n);
    }
    return rc;
}

static enum tg_rc read_query(struct poll *p, const char **ret_why)
{
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    enum tg_rc rc = TG_OK;

    while ((rc = tg_exchange_param(p->x, &at, &name, &value)) == TG_OK) {
        rc = take_param(p, name, value, ret_why);
        if (rc != TG_OK) {
            return rc;
        }
    }
    *ret_why = "a percent escape is broken";
    return rc == TG_EEOF ? TG_OK : rc;
}

/* The cursor that we gave as an entity tag (RFC 9110 section 8.8.3); others are nobody's. */
static tg_str known_cursor(const struct tg_exchange *x)
{
    const struct tg_field *f = tg_fields_find(x->req->head.fields, TG_STR("If-None-Match"));
    struct tg_epoch epoch;
    struct tg_pos pos;
    tg_str tag = f == NULL ? TG_STR_NONE : f->value;

    if (tag.n < 2 || tag.p[0] != '"' || tag.p[tag.n - 1] != '"') {
        return TG_STR_NONE;
    }
    tag = tg_str_make(tag.p + 1, tag.n - 2);
    return tg_cursor_parse(tag, &epoch, &pos) == TG_OK ? tag : TG_STR_NONE;
}

/* Whether it asks with the very cursor of its tag: another one in the query wins, and then the tag
 * says nothing. */
static bool is_tag_asked(const struct poll *p)
{
    const struct tg_stream_want *w = &p->a->wants[0];
    struct tg_stream_want known = {.from = TG_FROM_NOW};

    return p->known.n > 0 && tg_admission_cursor(p->known, &known) == TG_OK &&
           w->from == TG_FROM_CURSOR && tg_pos_cmp(w->pos, known.pos) == 0 &&
           strcmp(w->epoch.text, known.epoch.text) == 0;
}

/* ---- the answer ---- */

/* The fields of an answer, and room for what some of them say. */
struct out {
    struct tg_field fields[MAX_FIELDS];
    size_t n;
    char tag[TG_CURSOR_MAX + 2];
    char verdict[48];
    char next[20];
};

static void put_field(struct out *o, tg_str name, tg_str value)
{
    TG_ASSERT(o->n < MAX_FIELDS);
    o->fields[o->n++] = (struct tg_field){name, value};
}

static void put_number(struct out *o, tg_str name, uint64_t n)
{
    struct tg_buf text = {.p = o->next, .cap = sizeof(o->next), .max = sizeof(o->next)};

    (void)tg_buf_u64(&text, n);
    put_field(o, name, tg_buf_view(&text));
}

static void put_tag(struct out *o, tg_str tag)
{
    struct tg_buf text = {.p = o->tag, .cap = sizeof(o->tag), .max = sizeof(o->tag)};

    (void)tg_buf_char(&text, '"');
    (void)tg_buf_str(&text, tag);
    (void)tg_buf_char(&text, '"');
    put_field(o, TG_STR("ETag"), tg_buf_view(&text));
}

static void put_verdict(struct out *o, const struct tg_collected *c)
{
    tg_str text = TG_STR("true");

    if (!c->is_recovered) {
        int n = snprintf(o->verdict, sizeof(o->verdict), "false; reason=%s", c->reason);

        text = tg_str_make(o->verdict, (size_t)n);
    }
    put_field(o, TG_STR("Tidegate-Recovered"), text);
}

/* A tenth more or less, so that devices that woke up together part. */
static unsigned next_poll_sec(struct tg_worker *w, const struct tg_collected *c)
{
    uint64_t next = w->opts->poll_next / TG_SEC(1);
    uint64_t spread = next / 5 + 1;

    if (c->is_draining) {
        return DRAIN_NEXT_SEC;
    }
    return (unsigned)TG_MAX(next - next / 10 + tg_loop_now(w->loop) % spread, 1U);
}

static void put_fields(struct out *o, const struct poll *p, const struct tg_collected *c,
                       unsigned status)
{
    struct tg_exchange *x = p->x;
    tg_str cursor = tg_str_of(c->cursor);

    if (status == 200) {
        put_field(o, TG_STR("Content-Type"), TG_STR("application/json"));
    } else {
        put_number(o, TG_STR("Next-Poll"), next_poll_sec(x->w, c));
    }
    put_field(o, TG_STR("Cache-Control"), TG_STR("no-store"));
    if (cursor.n > 0) {
        put_tag(o, status == 304 ? p->known : cursor);
        put_field(o, TG_STR("Tidegate-Cursor"), cursor);
    }
    if (c->is_resume) {
        put_verdict(o, c);
    }
    if (p->a->is_device_new) {
        put_field(o, TG_STR("Tidegate-Device"), p->a->device);
    }
    put_field(o, TG_STR("X-Request-Id"), x->id);
    /* Only a browser reads these, and it says Origin: others are spared 400 bytes a turn. */
    if (x->origin.n > 0) {
        o->n += tg_cors_own(x->w->opts, x->origin, o->fields + o->n, MAX_FIELDS - o->n);
    }
}

static void put_body(struct tg_buf *body, const struct tg_collected *c)
{
    tg_buf_init(body, SIZE_MAX / 2); /* the events are bounded, and what is beside them is small */
    (void)!tg_buf_reserve(body, c->events.n + c->topics.n + 128);
    (void)tg_buf_str(body, TG_STR("{\"events\":["));
    (void)tg_buf_str(body, tg_buf_view(&c->events));
    (void)tg_buf_str(body, TG_STR("],\"cursor\":\""));
    (void)tg_buf_str(body, tg_str_of(c->cursor));
    (void)tg_buf_str(body, c->has_more ? TG_STR("\",\"more\":true") : TG_STR("\",\"more\":false"));
    if (c->topics.n > 0) {
        (void)tg_buf_str(body, TG_STR(",\"topics\":["));
        (void)tg_buf_str(body, tg_buf_view(&c->topics));
        (void)tg_buf_char(body, ']');
    }
    (void)tg_buf_char(body, '}');
}

/* Nothing new is 204, or 304 for a client that named its cursor as a tag. An old one gets 204 and a
 * newer tag: on a quiet topic it would grow older than what the log keeps. */
static unsigned status_of(const struct poll *p, const struct tg_collected *c)
{
    if (c->n > 0 || c->has_more || c->topics.n > 0) {
        return 200;
    }
    return c->is_recovered && c->lag_ms <= SAFE_AGE_MS && is_tag_asked(p) ? 304 : 204;
}

static void answer(struct poll *p, const struct tg_collected *c)
{
    struct out o;
    unsigned status = status_of(p, c);
    TG_CLEANUP(tg_buf_fini) struct tg_buf body = {0};
    struct tg_answer a = {.status = status, .length = TG_LENGTH_NONE};

    o.n = 0;
    put_fields(&o, p, c, status);
    if (status == 200) {
        put_body(&body, c);
        a.length = (int64_t)body.n;
    }
    a.fields = (struct tg_fields){o.fields, o.n};
    tg_count_add(&p->x->w->counts.polls, 1);
    p->x->status = status;
    tg_conn_answer(p->x->conn, &a, tg_buf_view(&body));
}

/* ---- the way there ---- */

static void on_collected(enum tg_rc rc, tg_str message, struct tg_collected *c, void *arg)
{
    struct poll *p = arg;

    p->collect = NULL;
    if (rc != TG_OK) {
        tg_exchange_refuse(p->x, rc, message, TG_STR(""));
    } else {
        answer(p, c);
    }
}

/* It never waits longer than its token is good for: what came later it may not see. */
static void cap_wait(struct poll *p)
{
    const int64_t now = (int64_t)(tg_clock_wall_us() / TG_SEC(1));
    const int64_t left = p->a->user.exp_sec - now;

    if (left < MAX_WAIT_SEC) {
        p->opts.wait = TG_MIN(p->opts.wait, left > 0 ? TG_SEC(left) : 0);
    }
}

static enum tg_rc serve(struct poll *p)
{
    struct tg_collected c;
    enum tg_rc rc = TG_OK;

    p->shape.has_one_topic = p->a->n_wants == 1;
    if (p->opts.wait > 0) {
        cap_wait(p);
    }
    rc = tg_collect_now(p->a, &p->opts, &c);
    if (rc == TG_EAGAIN) {
        tg_conn_park(p->x->conn);
        return tg_collect_start(p->a, &p->opts, on_collected, p, &p->collect);
    }
    if (rc == TG_OK) {
        tg_count_add(&p->x->w->counts.polls_at_once, 1);
        answer(p, &c);
        tg_collected_fini(&c);
    }
    return rc;
}

static void on_admitted(enum tg_rc rc, tg_str why, struct tg_admission *a, void *arg)
{
    struct poll *p = arg;

    if (rc == TG_OK) {
        rc = serve(p);
    }
    if (rc != TG_OK) {
        tg_exchange_refuse(p->x, rc, why, a->hint);
    }
}

static void on_gone(struct tg_conn *c, enum tg_rc why, void *ctx)
{
    struct poll *p = ctx;

    (void)c;
    if (p->collect != NULL) {
        tg_collect_cancel(p->collect);
    }
    tg_exchange_log_end(p->x, why);
    tg_admission_fini(p->a);
}

void tg_poll_start(struct tg_exchange *x)
{
    static const struct tg_request_handler handler = {.on_gone = on_gone};
    struct tg_admit_opts opts = {.needs_topic = true, .is_poll = true, .is_touch_late = true};
    struct poll *p = tg_arena_alloc(&x->req->arena, sizeof(*p));
    const char *why = "a poll takes no body";
    enum tg_rc rc = TG_EBADREQ;

    p->x = x;
    p->opts = (struct tg_collect_opts){
        .shape = &p->shape, .limit = DEFAULT_LIMIT, .max_bytes = x->w->opts->poll_bytes};
    tg_conn_set_handler(x->conn, &handler, p);
    x->close = x->req->head.body != TG_BODY_NONE; /* where it ends is not looked for */
    if (!x->close) {
        rc = read_query(p, &why);
    }
    if (rc != TG_OK) {
        tg_exchange_refuse(x, rc, tg_str_of(why), TG_STR(""));
        return;
    }
    p->known = known_cursor(x);
    opts.takes_place = p->opts.wait > 0;
    opts.cursor = p->known;
    tg_admit(x, &opts, on_admitted, p, &p->a);
}
