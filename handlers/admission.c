/* admission.c - who asks, for what, from where on, and whether there is a place. */
#include "handlers/admission.h"

#include "auth/token.h"
#include "handlers/access.h"
#include "handlers/bearer.h"
#include "handlers/device_recent.h"
#include "handlers/device_touch.h"
#include "handlers/forward.h"
#include "handlers/snapshot_query.h"
#include "store/device.h"

/* ---- who ---- */

struct tg_stream_user tg_admission_stream_user(const struct tg_token *token)
{
    if (token == NULL) {
        return (struct tg_stream_user){.exp_sec = INT64_MAX};
    }
    return (struct tg_stream_user){.class_id = tg_str_of(token->class_id),
                                   .user_id = tg_str_of(token->user_id),
                                   .token = token->text,
                                   .exp_sec = token->exp_sec};
}

tg_str tg_admission_user(const struct tg_admission *a)
{
    return a->token == NULL ? TG_STR("anon") : tg_str_of(a->token->user_id);
}

/* ---- what is asked for ---- */

/* Strict topics are for the tables that the operator lists, or all of `public`. */
static bool is_served(const struct tg_handler_opts *o, const struct tg_topic_name *t)
{
    tg_str relation = tg_str_make(t->schema.p, t->schema.n + 1 + t->table.n);

    if (o->n_strict_tables == 0) {
        return tg_str_eq(t->schema, TG_STR("public"));
    }
    for (size_t i = 0; i < o->n_strict_tables; i++) {
        if (tg_str_eq(o->strict_tables[i], relation)) {
            return true;
        }
    }
    return false;
}

enum tg_rc tg_admission_topic(const struct tg_handler_opts *o, const struct tg_token *token,
                              tg_str text, struct tg_topic_name *ret_name, const char **ret_why)
{
    struct tg_topic_name name = {0};
    enum tg_rc rc = tg_topic_parse(o->declared, text, &name, ret_why);

    if (rc != TG_OK) {
        return rc;
    }
    if (token == NULL && (name.declared == NULL || !name.declared->is_public)) {
        *ret_why = "this topic needs a user";
        rc = TG_ENOTOKEN;
    } else if (name.kind == TG_TOPIC_STRICT && !is_served(o, &name)) {
        *ret_why = "this table is not served as a topic";
        rc = TG_EFORBIDDEN;
    }
    if (rc != TG_OK) {
        tg_topic_fini(&name);
        return rc;
    }
    *ret_name = name;
    return TG_OK;
}

enum tg_rc tg_admission_cursor(tg_str text, struct tg_stream_want *want)
{
    if (text.n == 0 || tg_str_eq(text, TG_STR("now"))) {
        want->from = TG_FROM_NOW;
        return TG_OK;
    }
    if (tg_str_eq(text, TG_STR("earliest"))) {
        want->from = TG_FROM_EARLIEST;
        return TG_OK;
    }
    want->from = TG_FROM_CURSOR;
    return tg_cursor_parse(text, &want->epoch, &want->pos);
}

/* The query, read once from its beginning to its end. */
struct asked {
    size_t room; /* for topics */
    tg_str cursor;
    const char *why; /* what is wrong with it */
};

static bool has_topic(const struct tg_admission *a, tg_str name)
{
    for (size_t i = 0; i < a->n_wants; i++) {
        if (tg_str_eq(a->names[i].name, name)) {
            return true;
        }
    }
    return false;
}

static enum tg_rc add_topic(struct tg_admission *a, size_t room, tg_str text, const char **ret_why)
{
    struct tg_topic_name *name = &a->names[a->n_wants];
    enum tg_rc rc = TG_OK;

    if (a->n_wants == room) {
        *ret_why = "too many topics for one stream";
        return TG_EBADTOPIC;
    }
    rc = tg_admission_topic(a->x->w->opts, a->token, text, name, ret_why);
    if (rc != TG_OK) {
        return rc;
    }
    if (has_topic(a, name->name)) {
        tg_topic_fini(name); /* twice the same is once */
        return TG_OK;
    }
    a->wants[a->n_wants] = (struct tg_stream_want){.name = name};
    a->n_wants++;
    return TG_OK;
}

/* Each pair of the query may be a topic, up to what a stream takes. Returns for how many. */
static size_t make_room(struct tg_admission *a)
{
    const size_t most = TG_MIN(a->x->w->opts->max_topics, (size_t)TG_STREAM_MAX_TOPICS);
    tg_str rest = a->x->query;
    size_t n = 0;

    while (rest.n > 0 && n < most) {
        (void)tg_str_cut(&rest, '&');
        n++;
    }
    a->names = tg_arena_alloc(&a->x->req->arena, n * sizeof(a->names[0]));
    a->wants = tg_arena_alloc(&a->x->req->arena, n * sizeof(a->wants[0]));
    return n;
}

static enum tg_rc take_param(struct tg_admission *a, struct asked *q, tg_str name, tg_str value)
{
    if (tg_str_eq(name, TG_STR("topic"))) {
        return add_topic(a, q->room, value, &q->why);
    }
    if (tg_str_eq(name, TG_STR("cursor"))) {
        q->cursor = value;
    } else if (tg_str_eq(name, TG_STR("device"))) {
        a->device = value;
        if (!tg_device_is_id(value)) {
            q->why = TG_DEVICE_ID_RULE;
            return TG_EBADPARAM;
        }
    } else if (tg_str_eq(name, TG_STR("label"))) {
        a->label = value;
        if (value.n > TG_LABEL_MAX || !tg_str_is_utf8(value)) {
            q->why = "a label is at most 256 bytes of UTF-8";
            return TG_EBADPARAM;
        }
    } else if (tg_str_eq(name, TG_STR("snapshot"))) {
        a->is_snapshot = tg_str_eq(value, TG_STR("1"));
    } else if (tg_str_eq(name, TG_STR("snapshot_key"))) {
        a->snapshot_key = value;
        if (!tg_snapshot_is_column(value)) {
            q->why = "snapshot_key is the name of a column";
            return TG_EBADPARAM;
        }
    }
    return TG_OK;
}

/* The client's own cursor is for all topics. */
static enum tg_rc place_wants(struct tg_admission *a, tg_str cursor)
{
    struct tg_stream_want from = {0};
    enum tg_rc rc = tg_admission_cursor(cursor, &from);

    a->has_cursor = cursor.n > 0;
    for (size_t i = 0; rc == TG_OK && i < a->n_wants; i++) {
        const struct tg_topic_name *name = a->wants[i].name;

        a->wants[i] = from;
        a->wants[i].name = name;
    }
    return rc;
}

static enum tg_rc read_query(struct tg_admission *a, const char **ret_why)
{
    struct tg_exchange *x = a->x;
    const struct tg_field *last = tg_fields_find(x->req->head.fields, TG_STR("Last-Event-ID"));
    struct asked q = {.room = make_room(a)};
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    enum tg_rc rc = TG_OK;

    while ((rc = tg_exchange_param(x, &at, &name, &value)) == TG_OK) {
        rc = take_param(a, &q, name, value);
        if (rc != TG_OK) {
            *ret_why = q.why;
            return rc;
        }
    }
    if (rc != TG_EEOF) {
        *ret_why = "a percent escape is broken";
        return rc;
    }
    if (a->n_wants == 0 && a->opts.needs_topic) {
        *ret_why = "name at least one topic: ?topic=table:public.tasks";
        return TG_EBADTOPIC;
    }
    /* The browser's own memory of where it was is newer than the URL it was opened with. */
    if (a->opts.takes_last_event_id && last != NULL && last->value.n > 0) {
        q.cursor = last->value;
    }
    return place_wants(a, q.cursor.n > 0 ? q.cursor : a->opts.cursor);
}

/* ---- places ---- */

/* Each cap has its own answer (DESIGN.md 5). */
static enum tg_rc take_places(struct tg_admission *a)
{
    const struct tg_exchange *x = a->x;
    const struct tg_handler_opts *o = x->w->opts;
    struct tg_forward_peer peer = {0};
    tg_str address = TG_STR_NONE;

    if (!a->opts.takes_place) {
        return TG_OK;
    }
    peer = (struct tg_forward_peer){tg_conn_peer(x->conn), tg_conn_peer_is_trusted(x->conn)};
    address = tg_forward_client(x->req->head.fields, peer);
    if (a->token != NULL &&
        !tg_quota_take(o->per_user, x->w->index, a->user.user_id, &a->user_place)) {
        tg_count_add(&x->w->counts.stream_caps, 1);
        return TG_EUSERSTREAMS;
    }
    if (!tg_quota_take(o->per_address, x->w->index, address, &a->address_place)) {
        tg_count_add(&x->w->counts.stream_caps, 1);
        return TG_EADDRESSSTREAMS;
    }
    return TG_OK;
}

static void give_places(struct tg_admission *a)
{
    const struct tg_worker *w = a->x->w;

    tg_quota_give(w->opts->per_user, w->index, &a->user_place);
    tg_quota_give(w->opts->per_address, w->index, &a->address_place);
}

/* ---- step by step ---- */

static void finish(struct tg_admission *a, enum tg_rc rc, const char *why)
{
    a->done(rc, tg_str_of(why), a, a->arg);
}

static struct tg_recent_ask recent_of(const struct tg_admission *a)
{
    return (struct tg_recent_ask){.user = tg_admission_user(a),
                                  .device = a->device,
                                  .query = a->x->query,
                                  .tag = a->opts.cursor};
}

static void note_touch(struct tg_admission *a)
{
    const struct tg_recent_ask recent = recent_of(a);

    tg_device_recent_note(a->x->w, &recent);
}

static void on_touched(enum tg_rc rc, void *arg)
{
    struct tg_admission *a = arg;

    a->touch = NULL;
    if (rc == TG_OK && a->opts.is_touch_late) {
        note_touch(a);
    }
    if (rc == TG_ENOTFOUND) {
        a->hint = TG_STR("Ask for a device with device=new and keep its id.");
        finish(a, rc, "there is no such device, or it was forgotten");
        return;
    }
    if (rc == TG_EDEVICES) {
        a->hint = TG_STR("Forget one: DELETE /sync/v1/devices/<id>.");
    }
    finish(a, rc, NULL);
}

/* `device=new` has the gateway make up an id. */
static void name_device(struct tg_admission *a)
{
    char id[TG_DEVICE_NEW_CHARS + 1];

    if (tg_str_eq(a->device, TG_STR("new"))) {
        tg_device_make_id(id);
        a->device = tg_arena_str(&a->x->req->arena, tg_str_of(id));
        a->is_device_new = true;
    }
}

/* Who brings a cursor needs no answer of the store, as long as it knows the device. */
static enum tg_recent look_up_device(const struct tg_admission *a)
{
    const struct tg_recent_ask recent = recent_of(a);

    return a->opts.is_touch_late && a->has_cursor && !a->is_device_new
               ? tg_device_recent(a->x->w, &recent)
               : TG_RECENT_UNKNOWN;
}

/* The last step. */
static void touch_device(struct tg_admission *a)
{
    const struct tg_device_ask ask = {.user = tg_admission_user(a),
                                      .device = a->device,
                                      .label = a->label,
                                      .wants = a->wants,
                                      .n_wants = a->n_wants,
                                      .has_cursor = a->has_cursor,
                                      .is_new = a->is_device_new};
    const enum tg_recent recent = look_up_device(a);
    enum tg_rc rc = TG_OK;

    if (recent != TG_RECENT_SAME) {
        rc = tg_device_touch(a->x->w, &ask, on_touched, a, &a->touch);
    }
    if (recent == TG_RECENT_CHANGED) {
        tg_device_touch_cancel(a->touch); /* only its answer */
        a->touch = NULL;
        if (rc == TG_OK) {
            note_touch(a);
        }
        rc = TG_OK; /* the store hears of it another time */
    }
    if (recent != TG_RECENT_UNKNOWN || rc != TG_OK) {
        finish(a, rc, NULL);
    }
}

static void go_on(struct tg_admission *a, enum tg_rc rc, const char *why)
{
    if (rc == TG_OK && a->device.n > 0) {
        name_device(a);
        touch_device(a);
    } else {
        finish(a, rc, why);
    }
}

/* ---- may the user read them? ---- */

struct tg_access_slot {
    struct tg_admission *a;
    const struct tg_topic_name *name;
    struct tg_access_wait *wait;
};

static void note_access(struct tg_access_slot *slot, enum tg_rc rc)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf why = {.max = (size_t)TG_TOPIC_MAX_BYTES * 2};
    struct tg_admission *a = slot->a;

    if (rc == TG_OK || a->access != TG_OK) {
        return;
    }
    (void)tg_buf_str(&why, TG_STR("you may not read "));
    (void)tg_buf_str(&why, slot->name->name);
    a->access = rc;
    a->access_why =
        rc == TG_EFORBIDDEN ? tg_arena_cstr(&a->x->req->arena, tg_buf_view(&why)) : NULL;
}

static void on_access(enum tg_rc rc, void *arg)
{
    struct tg_access_slot *slot = arg;
    struct tg_admission *a = slot->a;

    slot->wait = NULL;
    note_access(slot, rc);
    if (--a->n_asking == 0) {
        go_on(a, a->access, a->access_why);
    }
}

/* Who resumes is asked about anew: much may have changed while nobody followed. */
static bool is_resume(const struct tg_admission *a, const struct tg_stream_want *want)
{
    return want->from != TG_FROM_NOW || (a->device.n > 0 && !a->has_cursor);
}

static void ask_access(struct tg_admission *a)
{
    struct tg_access *access = a->x->w->access;
    const size_t n = a->n_wants;

    a->slots = tg_arena_alloc(&a->x->req->arena, TG_MAX(n, (size_t)1) * sizeof(*a->slots));
    a->n_asking = 1; /* this one */
    for (size_t i = 0; i < n; i++) {
        struct tg_access_slot *slot = &a->slots[i];
        const struct tg_access_question q = {.token = a->token,
                                             .name = a->wants[i].name,
                                             .is_fresh =
                                                 !a->opts.is_poll && is_resume(a, &a->wants[i])};
        enum tg_rc rc = TG_OK;

        *slot = (struct tg_access_slot){.a = a, .name = a->wants[i].name};
        rc = tg_access_ask(access, &q, on_access, slot, &slot->wait);
        if (rc == TG_EAGAIN) {
            a->n_asking++;
        } else {
            note_access(slot, rc);
        }
    }
    if (--a->n_asking == 0) {
        go_on(a, a->access, a->access_why);
    }
}

static void drop_questions(struct tg_admission *a)
{
    for (size_t i = 0; a->slots != NULL && i < a->n_wants; i++) {
        tg_access_cancel(a->slots[i].wait);
        a->slots[i].wait = NULL;
    }
}

static bool is_any_asked(const struct tg_admission *a)
{
    for (size_t i = 0; i < a->n_wants; i++) {
        if (tg_access_is_asked(a->wants[i].name)) {
            return true;
        }
    }
    return false;
}

static void on_caller(enum tg_rc rc, struct tg_token *token, void *arg)
{
    struct tg_admission *a = arg;
    const char *why = NULL;

    a->wait = NULL;
    a->token = token;
    a->user = tg_admission_stream_user(token);
    if (rc == TG_OK) {
        rc = read_query(a, &why);
    }
    if (rc == TG_OK) {
        rc = take_places(a);
    }
    if (rc == TG_OK && is_any_asked(a)) {
        ask_access(a);
    } else {
        go_on(a, rc, why);
    }
}

void tg_admit(struct tg_exchange *x, const struct tg_admit_opts *opts, tg_admit_fn *done, void *arg,
              struct tg_admission **ret_a)
{
    struct tg_admission *a = tg_arena_alloc(&x->req->arena, sizeof(*a));

    a->x = x;
    a->opts = *opts;
    a->done = done;
    a->arg = arg;
    *ret_a = a;
    tg_bearer_caller(x, on_caller, a, &a->wait);
}

void tg_admission_fini(struct tg_admission *a)
{
    if (a == NULL || a->x == NULL) {
        return;
    }
    if (a->wait != NULL) {
        tg_bearer_cancel(a->wait);
    }
    drop_questions(a);
    tg_device_touch_cancel(a->touch);
    give_places(a);
    for (size_t i = 0; i < a->n_wants; i++) {
        tg_topic_fini(&a->names[i]);
    }
    tg_token_unref(a->token);
    *a = (struct tg_admission){0};
}

void tg_admission_begun(const struct tg_admission *a, const struct tg_stream_start *start)
{
    if (a->device.n > 0 && !a->has_cursor && !a->is_snapshot) {
        tg_device_begin(a->x->w, tg_admission_user(a), a->device, start->topics, start->n_topics);
    }
}
