/* shape.c - a walk over the members of an event, and over those of its rows. */
#include "handlers/shape.h"

#include "util/json.h"

/* ---- what is asked for ---- */

/* Names are compared with the text between the quotes, so they hold nothing that JSON escapes. */
static bool is_column(tg_str name)
{
    for (size_t i = 0; i < name.n; i++) {
        if ((unsigned char)name.p[i] < 0x20 || name.p[i] == '"' || name.p[i] == '\\') {
            return false;
        }
    }
    return name.n > 0;
}

static bool has_field(const struct tg_shape *s, tg_str name)
{
    for (size_t i = 0; i < s->n_fields; i++) {
        if (tg_str_eq(s->fields[i], name)) {
            return true;
        }
    }
    return false;
}

enum tg_rc tg_shape_fields(struct tg_shape *s, struct tg_arena *arena, tg_str text,
                           const char **ret_why)
{
    tg_str rest = text;

    if (rest.n == 0) {
        *ret_why = "fields names columns, joined by commas: fields=id,title";
        return TG_EBADPARAM;
    }
    s->n_fields = 0;
    s->fields = tg_arena_alloc(arena, TG_SHAPE_MAX_FIELDS * sizeof(s->fields[0]));
    while (rest.p != NULL) {
        tg_str name = tg_str_trim(tg_str_cut(&rest, ','));

        if (!is_column(name)) {
            *ret_why = "fields has an empty name, or one with a quote or a control character";
            return TG_EBADPARAM;
        }
        if (has_field(s, name)) {
            continue;
        }
        if (s->n_fields == TG_SHAPE_MAX_FIELDS) {
            *ret_why = "fields takes at most 64 columns";
            return TG_EBADPARAM;
        }
        s->fields[s->n_fields++] = name;
    }
    return TG_OK;
}

bool tg_shape_is_plain(const struct tg_shape *s)
{
    return s->n_fields == 0 && !s->is_compact;
}

/* ---- cutting ---- */

static void put_member(struct tg_buf *out, size_t from, tg_str name, tg_str value)
{
    (void)tg_buf_str(out, out->n == from + 1 ? TG_STR("\"") : TG_STR(",\""));
    (void)tg_buf_str(out, name);
    (void)tg_buf_str(out, TG_STR("\":"));
    (void)tg_buf_str(out, value);
}

/* A row with the columns that were asked for; whatever else stands there (null) stays. */
static enum tg_rc put_row(const struct tg_shape *s, tg_str row, struct tg_buf *out)
{
    size_t from = out->n;
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    enum tg_rc rc = TG_OK;

    if (row.p[0] != '{') {
        return tg_buf_str(out, row);
    }
    (void)tg_buf_char(out, '{');
    while ((rc = tg_json_next(row, &at, &name, &value)) == TG_OK) {
        if (has_field(s, name)) {
            put_member(out, from, name, value);
        }
    }
    (void)tg_buf_char(out, '}');
    return rc == TG_EEOF ? TG_OK : rc;
}

/* What a first walk over the event tells. */
struct event {
    bool is_named;
    bool is_delete;
};

static struct event look(tg_str message)
{
    struct event e = {0};
    tg_str value = TG_STR_NONE;

    e.is_named = tg_json_member(message, "event", &value) == TG_OK;
    e.is_delete =
        tg_json_member(message, "type", &value) == TG_OK && tg_str_eq(value, TG_STR("\"DELETE\""));
    return e;
}

static bool is_inferred(const struct tg_shape *s, const struct event *e, tg_str name)
{
    if (!s->is_compact) {
        return false;
    }
    if (tg_str_eq(name, TG_STR("id"))) {
        return true;
    }
    if (e->is_named) {
        return false;
    }
    if (tg_str_eq(name, TG_STR("topic"))) {
        return s->has_one_topic;
    }
    if (tg_str_eq(name, TG_STR("old_record"))) {
        return !e->is_delete;
    }
    return tg_str_eq(name, TG_STR("schema")) || tg_str_eq(name, TG_STR("table")) ||
           tg_str_eq(name, TG_STR("commit_timestamp"));
}

static bool is_row(const struct event *e, tg_str name)
{
    return !e->is_named &&
           (tg_str_eq(name, TG_STR("record")) || tg_str_eq(name, TG_STR("old_record")));
}

static enum tg_rc put_event(const struct tg_shape *s, tg_str message, struct tg_buf *out)
{
    const struct event e = look(message);
    size_t from = out->n;
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    enum tg_rc rc = TG_OK;

    (void)tg_buf_char(out, '{');
    while ((rc = tg_json_next(message, &at, &name, &value)) == TG_OK) {
        if (is_inferred(s, &e, name)) {
            continue;
        }
        if (s->n_fields == 0 || !is_row(&e, name)) {
            put_member(out, from, name, value);
            continue;
        }
        put_member(out, from, name, TG_STR(""));
        rc = put_row(s, value, out);
        if (rc != TG_OK) {
            return rc;
        }
    }
    (void)tg_buf_char(out, '}');
    return rc == TG_EEOF ? TG_OK : rc;
}

enum tg_rc tg_shape_put(const struct tg_shape *s, tg_str message, struct tg_buf *out)
{
    const size_t from = out->n;
    bool is_object = message.n > 0 && message.p[0] == '{';

    if (tg_buf_rc(out) != TG_OK) {
        return tg_buf_rc(out);
    }
    if (!tg_shape_is_plain(s) && is_object && put_event(s, message, out) == TG_OK &&
        tg_buf_rc(out) == TG_OK) {
        return TG_OK;
    }
    out->n = from;
    if (tg_buf_rc(out) == TG_OK && tg_buf_str(out, message) == TG_OK) {
        return TG_OK;
    }
    out->failed = false;
    return TG_ELIMIT;
}
