/* feed_declared.c - from a change of a row to the events of the topics that it is in.
 *
 * Invariant: what the index says of a row is what the topics' readers were told of it, and is
 * written to the store together with the event that told them. */
#include <stdio.h>
#include <time.h>

#include "realtime/change.h"
#include "realtime/rows.h"
#include "util/json.h"
#include "util/log.h"

enum { MAX_EVENT_BYTES = 4 * 1024 * 1024, SMALL_BYTES = 64 };

/* ---- events ---- */

static void put_now(struct tg_buf *out)
{
    tg_usec now = tg_clock_wall_us();
    time_t sec = (time_t)(now / TG_SEC(1));
    struct tm tm = {0};
    char text[32];

    (void)gmtime_r(&sec, &tm);
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    (void)tg_buf_printf(out, "\"%s.%03uZ\"", text, (unsigned)(now / 1000 % 1000));
}

/* As clients know it. */
static void put_topic(struct tg_buf *out, const struct rows *r, tg_str key)
{
    (void)tg_buf_str(out, r->opts.declared->name);
    if (!r->opts.is_strict) {
        (void)tg_buf_char(out, ':');
        (void)tg_buf_str(out, key);
    }
}

static void put_head(struct tg_buf *out, const struct rows *r, tg_str topic, const char *type,
                     tg_str commit)
{
    (void)tg_buf_str(out, TG_STR("{\"topic\":"));
    (void)tg_json_quote(out, topic);
    (void)tg_buf_printf(out, ",\"type\":\"%s\",\"schema\":", type);
    (void)tg_json_quote(out, r->opts.table->schema);
    (void)tg_buf_str(out, TG_STR(",\"table\":"));
    (void)tg_json_quote(out, r->opts.table->name);
    (void)tg_buf_str(out, TG_STR(",\"commit_timestamp\":"));
    if (commit.n > 0) {
        (void)tg_buf_str(out, commit);
    } else {
        put_now(out);
    }
}

/* {"id":42} from the index's [42]. */
static void put_old(struct tg_buf *out, const struct tg_table *table, tg_str pk)
{
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;

    (void)tg_buf_str(out, TG_STR(",\"old_record\":{"));
    for (size_t i = 0; i < table->n_pk && tg_json_next(pk, &at, &name, &value) == TG_OK; i++) {
        (void)tg_buf_str(out, i > 0 ? TG_STR(",") : TG_STR(""));
        (void)tg_json_quote(out, table->pk[i]);
        (void)tg_buf_char(out, ':');
        (void)tg_buf_str(out, value);
    }
    (void)tg_buf_char(out, '}');
}

static bool fits(const struct rows *r, const struct tg_buf *event)
{
    size_t max = r->feed->hub->opts.event_bytes;

    return tg_buf_rc(event) == TG_OK && (max == 0 || event->n <= max);
}

static void append(struct rows *r, tg_str topic, struct tg_buf *event, tg_str pk, tg_str value)
{
    bool is_strict = r->opts.is_strict;

    if (!fits(r, event)) {
        /* To read the table would not make it smaller. */
        tg_log_limited(TG_LOG_WARN, "change_unusable", 10,
                       TG_KS("topic", is_strict ? feed_logged_topic(r->feed) : topic),
                       TG_KZ("rc", tg_rc_name(TG_ELIMIT)));
        feed_need_gap(r->feed, "errors");
        return;
    }
    rows_append(r, is_strict ? tg_str_of(r->feed->key) : topic, tg_buf_view(event), pk, value);
}

/* The row leaves the topic that it was in. */
static void tell_gone(struct rows *r, tg_str pk, tg_str key, const struct row_change *c,
                      bool is_moved)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf event = {.max = MAX_EVENT_BYTES};
    TG_CLEANUP(tg_buf_fini) struct tg_buf topic = {.max = TG_NAME_MAX};

    put_topic(&topic, r, key);
    put_head(&event, r, tg_buf_view(&topic), "DELETE", c->commit);
    put_old(&event, r->opts.table, pk);
    (void)tg_buf_str(&event, is_moved ? TG_STR(",\"moved\":true") : TG_STR(""));
    (void)tg_buf_str(&event, c->is_repaired ? TG_STR(",\"repaired\":true}") : TG_STR("}"));
    append(r, tg_buf_view(&topic), &event, pk, TG_STR_NONE);
}

static void put_row(struct tg_buf *out, const struct rows *r, tg_str topic,
                    const struct row_change *c, bool is_new)
{
    put_head(out, r, topic, is_new ? "INSERT" : "UPDATE", c->commit);
    (void)tg_buf_str(out, TG_STR(",\"record\":"));
    (void)tg_buf_str(out, c->cut);
    if (!is_new && c->is_foreign) {
        (void)tg_buf_str(out, TG_STR(",\"old_record\":{}"));
    } else if (!is_new) {
        put_old(out, r->opts.table, c->pk);
    }
    (void)tg_buf_str(out, c->is_cut_short ? TG_STR(",\"partial\":true") : TG_STR(""));
    (void)tg_buf_str(out, c->is_repaired ? TG_STR(",\"repaired\":true}") : TG_STR("}"));
}

/* The primary key, and what else is no larger than what upstream leaves of a row that is too large
 * for it. */
static void put_small(struct tg_buf *out, const struct rows *r, tg_str record)
{
    const struct tg_table *table = r->opts.table;
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    bool is_first = true;

    (void)tg_buf_char(out, '{');
    while (tg_json_next(record, &at, &name, &value) == TG_OK) {
        bool is_wanted = value.n <= SMALL_BYTES;

        for (size_t i = 0; i < table->n_pk && !is_wanted; i++) {
            is_wanted = tg_str_eq(table->pk[i], name);
        }
        if (is_wanted) {
            (void)tg_buf_str(out, is_first ? TG_STR("\"") : TG_STR(",\""));
            (void)tg_buf_str(out, name);
            (void)tg_buf_str(out, TG_STR("\":"));
            (void)tg_buf_str(out, value);
            is_first = false;
        }
    }
    (void)tg_buf_char(out, '}');
}

static void tell_row(struct rows *r, const struct row_change *c, bool is_new)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf event = {.max = MAX_EVENT_BYTES};
    TG_CLEANUP(tg_buf_fini) struct tg_buf topic = {.max = TG_NAME_MAX};
    TG_CLEANUP(tg_buf_fini) struct tg_buf value = {.max = TG_NAME_MAX};
    TG_CLEANUP(tg_buf_fini) struct tg_buf small = {.max = MAX_EVENT_BYTES};

    put_topic(&topic, r, c->key);
    put_row(&event, r, tg_buf_view(&topic), c, is_new);
    if (!fits(r, &event)) {
        struct row_change part = *c;

        put_small(&small, r, c->cut);
        part.cut = tg_buf_view(&small);
        part.is_cut_short = true;
        tg_buf_fini(&event);
        event = (struct tg_buf){.max = MAX_EVENT_BYTES};
        put_row(&event, r, tg_buf_view(&topic), &part, is_new);
        tg_count_add(&r->feed->hub->counts.rows_partial, 1);
    }
    rows_put_value(&value, c->key, c->hash);
    append(r, tg_buf_view(&topic), &event, c->pk, tg_buf_view(&value));
}

/* ---- routing ---- */

static void count_repair(struct rows *r, const struct row_change *c, tg_count *counter)
{
    if (c->is_repaired) {
        tg_count_add(counter, 1);
    }
    (void)r;
}

void declared_route(struct rows *r, const struct row_change *c)
{
    struct tg_hub_counts *n = &r->feed->hub->counts;
    TG_CLEANUP(tg_buf_fini) struct tg_buf old_key = {.max = TG_NAME_MAX};
    struct tg_index_row old = {0};
    bool is_known = tg_index_find(r->index, c->pk, &old);
    bool is_same_topic = false;

    (void)tg_buf_str(&old_key, old.key);
    is_same_topic = is_known && tg_str_eq(old.key, c->key);
    /* Two writes of one transaction may leave the same in a class's column of `catchup`. */
    if (is_same_topic && old.hash == c->hash &&
        (c->is_repaired || (r->is_after && !r->opts.is_strict))) {
        rows_index(r, c->pk, c->key, c->hash);
        return;
    }
    rows_index(r, c->pk, c->key, c->hash);
    if (is_known && !is_same_topic && old_key.n > 0) {
        count_repair(r, c, &n->repaired_deletes);
        tell_gone(r, c->pk, tg_buf_view(&old_key), c, c->key.n > 0);
    }
    if (c->key.n > 0 && r->opts.is_strict && !c->is_repaired) {
        struct row_change told = *c; /* as Supabase says it */

        told.is_foreign = !is_same_topic;
        tell_row(r, &told, c->is_insert);
    } else if (c->key.n > 0) {
        bool is_new = !is_same_topic && (is_known || !r->is_partial || c->is_insert);

        count_repair(r, c, is_new ? &n->repaired_inserts : &n->repaired_updates);
        tell_row(r, c, is_new);
    }
}

/* A class is told the DELETE of a row that it may know, and of no other. */
static void unknown_gone(struct rows *r)
{
    bool is_told = !r->is_after || r->is_gap_before || !r->is_unsure;
    bool is_known_foreign = r->opts.is_strict && !r->is_partial && is_told;

    if (is_known_foreign) {
        tg_count_add(&r->feed->hub->counts.hidden_deletes, 1);
    } else {
        feed_unknown_delete(r->feed);
    }
}

void declared_gone(struct rows *r, const struct row_change *c)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf key = {.max = TG_NAME_MAX};
    struct tg_index_row old = {0};

    if (!tg_index_find(r->index, c->pk, &old)) {
        unknown_gone(r);
        return;
    }
    (void)tg_buf_str(&key, old.key);
    if (c->is_repaired && key.n > 0 && !r->opts.is_strict) {
        rows_index(r, c->pk, TG_STR(""), 0); /* its own DELETE, told late, will be no riddle */
    } else {
        rows_unindex(r, c->pk);
    }
    if (key.n > 0) {
        count_repair(r, c, &r->feed->hub->counts.repaired_deletes);
        tell_gone(r, c->pk, tg_buf_view(&key), c, false);
    }
}

/* ---- a row as it came ---- */

struct row_texts row_texts(void)
{
    return (struct row_texts){
        .pk = {.max = ROWS_PK_BYTES}, .key = {.max = TG_NAME_MAX}, .cut = {.max = MAX_EVENT_BYTES}};
}

void row_texts_fini(struct row_texts *t)
{
    tg_buf_fini(&t->pk);
    tg_buf_fini(&t->key);
    tg_buf_fini(&t->cut);
}

bool declared_read(const struct rows *r, tg_str record, struct row_texts *t, struct row_change *c)
{
    const struct tg_declared *d = r->opts.declared;
    bool is_known = true;
    bool is_in = true;
    enum tg_rc rc = TG_OK;
    bool is_whole = true;

    tg_buf_clear(&t->key);
    tg_buf_clear(&t->cut);
    if (r->opts.is_strict) {
        is_whole = tg_row_cut(record, d->columns, d->n_columns, &t->cut) == TG_OK;
        c->hash = tg_row_hash(tg_buf_view(&t->cut));
        c->cut = record;
        c->key = TG_STR("*");
        return is_whole;
    }
    rc = tg_row_text(record, d->key, &t->key);
    if (d->where != NULL) {
        is_in = tg_where_matches(d->where, record, &is_known);
    }
    is_whole = tg_row_cut(record, d->columns, d->n_columns, &t->cut) == TG_OK;
    c->cut = tg_buf_view(&t->cut);
    c->hash = tg_row_hash(c->cut);
    c->key = TG_STR_NONE;
    if (is_in && is_known && rc == TG_OK &&
        tg_declared_check_key(d->key_type, tg_buf_view(&t->key)) == NULL) {
        c->key = tg_buf_view(&t->key);
    }
    return is_whole && is_known && rc != TG_ENOTFOUND;
}

/* ---- changes ---- */

static bool is_object(tg_str value)
{
    return value.n > 0 && value.p[0] == '{';
}

static bool has_errors(tg_str data)
{
    tg_str errors = TG_STR_NONE;

    return tg_json_member(data, "errors", &errors) == TG_OK && !tg_str_eq(errors, TG_STR("null")) &&
           !tg_str_eq(errors, TG_STR("[]"));
}

/* The primary key itself was changed: the row that had the old one is gone. */
static void take_old_key(struct rows *r, tg_str payload, const struct row_change *c)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf pk = {.max = ROWS_PK_BYTES};
    struct row_change gone = {.commit = c->commit};
    struct tg_index_row old = {0};

    if (!rows_change_old_pk(r, payload, c->pk, &pk)) {
        return;
    }
    gone.pk = tg_buf_view(&pk);
    /* To a class that does not know it, the row comes into sight. */
    if (!r->opts.is_strict || tg_index_find(r->index, gone.pk, &old)) {
        declared_gone(r, &gone);
    }
}

bool declared_take(struct rows *r, tg_str payload)
{
    TG_CLEANUP(row_texts_fini) struct row_texts t = row_texts();
    struct row_change c = {0};
    tg_str data = TG_STR_NONE;
    tg_str type = TG_STR_NONE;
    tg_str record = TG_STR_NONE;

    if (rows_change_pk(r, payload, &t.pk) != TG_OK ||
        tg_json_member(payload, "data", &data) != TG_OK ||
        tg_json_member(data, "type", &type) != TG_OK) {
        tg_log_limited(TG_LOG_WARN, "change_unusable", 10,
                       TG_KS("topic", feed_logged_topic(r->feed)),
                       TG_KS("message", tg_change_error(payload)));
        rows_lost(r, "errors");
        return true;
    }
    c.pk = tg_buf_view(&t.pk);
    (void)!tg_json_member(data, "commit_timestamp", &c.commit);
    c.is_insert = tg_str_eq(type, TG_STR("\"INSERT\""));
    if (tg_str_eq(type, TG_STR("\"DELETE\""))) {
        declared_gone(r, &c);
        return true;
    }
    take_old_key(r, payload, &c);
    if (tg_json_member(data, "record", &record) == TG_OK && declared_read(r, record, &t, &c) &&
        !has_errors(data) && !(r->opts.is_strict && tg_change_is_cut_short(data, record))) {
        declared_route(r, &c);
        return true;
    }
    if (reread_row(r, c.pk)) {
        return false;
    }
    declared_take_read(r, payload, TG_STR_NONE);
    return true;
}

void declared_take_read(struct rows *r, tg_str payload, tg_str row)
{
    TG_CLEANUP(row_texts_fini) struct row_texts t = row_texts();
    struct row_change c = {0};
    struct tg_index_row old = {0};
    tg_str data = TG_STR_NONE;
    tg_str record = row;

    if (rows_change_pk(r, payload, &t.pk) != TG_OK ||
        tg_json_member(payload, "data", &data) != TG_OK) {
        return;
    }
    c.pk = tg_buf_view(&t.pk);
    (void)!tg_json_member(data, "commit_timestamp", &c.commit);
    if (!is_object(row)) {
        /* It could not be read: what came is told, and that it is not all. */
        (void)!tg_json_member(data, "record", &record);
        c.is_cut_short = true;
        if (!is_object(record)) {
            rows_lost(r, "errors"); /* nothing came */
            return;
        }
        tg_count_add(&r->feed->hub->counts.rows_partial, 1);
    }
    (void)!declared_read(r, record, &t, &c);
    if (!c.is_cut_short || c.key.n > 0) {
        declared_route(r, &c);
    } else if (tg_index_find(r->index, c.pk, &old) && old.key.n > 0) {
        rows_lost(r, "errors");
    }
}

void declared_take_none(struct rows *r, tg_str payload)
{
    TG_CLEANUP(row_texts_fini) struct row_texts t = row_texts();
    struct tg_index_row old = {0};

    /* Deleted since: nobody was told of it, nor shall be; but its DELETE will be no riddle. */
    if (rows_change_pk(r, payload, &t.pk) == TG_OK &&
        !tg_index_find(r->index, tg_buf_view(&t.pk), &old)) {
        rows_index(r, tg_buf_view(&t.pk), TG_STR(""), 0);
    }
}
