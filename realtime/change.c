/* change.c - slices an upstream change and puts the pieces into our event. */
#include "realtime/change.h"

#include "realtime/row.h"
#include "realtime/table.h"
#include "util/json.h"

static void put_member(struct tg_buf *out, tg_str data, const char *name)
{
    tg_str value = TG_STR_NONE;

    if (tg_json_member(data, name, &value) == TG_OK) {
        (void)tg_buf_str(out, TG_STR(",\""));
        (void)tg_buf_str(out, tg_str_of(name));
        (void)tg_buf_str(out, TG_STR("\":"));
        (void)tg_buf_str(out, value);
    }
}

static size_t count_of(tg_str list)
{
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    size_t n = 0;

    while (tg_json_next(list, &at, &name, &value) == TG_OK) {
        n++;
    }
    return n;
}

bool tg_change_is_cut_short(tg_str data, tg_str record)
{
    tg_str columns = TG_STR_NONE;

    return tg_json_member(data, "columns", &columns) == TG_OK &&
           count_of(record) < count_of(columns);
}

/* Nothing of it is missing but what was too large. */
static bool is_usable(tg_str data)
{
    tg_str errors = TG_STR_NONE;
    tg_str name = TG_STR_NONE;
    tg_str error = TG_STR_NONE;
    size_t at = 0;

    if (tg_json_member(data, "errors", &errors) != TG_OK || tg_str_eq(errors, TG_STR("null"))) {
        return true;
    }
    while (tg_json_next(errors, &at, &name, &error) == TG_OK) {
        if (!tg_str_has_prefix(error, TG_STR("\"Error 413"))) {
            return false;
        }
    }
    return errors.p[0] == '[';
}

tg_str tg_change_error(tg_str payload)
{
    tg_str data = TG_STR_NONE;
    tg_str errors = TG_STR_NONE;
    tg_str name = TG_STR_NONE;
    tg_str error = TG_STR_NONE;
    size_t at = 0;

    if (tg_json_member(payload, "data", &data) != TG_OK ||
        tg_json_member(data, "errors", &errors) != TG_OK ||
        tg_json_next(errors, &at, &name, &error) != TG_OK || error.n < 2 || error.p[0] != '"') {
        return TG_STR("");
    }
    return tg_str_make(error.p + 1, error.n - 2);
}

static bool is_type(tg_str type)
{
    return tg_str_eq(type, TG_STR("\"INSERT\"")) || tg_str_eq(type, TG_STR("\"UPDATE\"")) ||
           tg_str_eq(type, TG_STR("\"DELETE\""));
}

enum tg_rc tg_change_parse(tg_str payload, struct tg_change *ret_change)
{
    struct tg_change c = {0};
    tg_str type = TG_STR_NONE;

    if (tg_json_member(payload, "data", &c.data) != TG_OK ||
        tg_json_member(c.data, "type", &type) != TG_OK) {
        return TG_EBADJSON;
    }
    if (!is_type(type) || !is_usable(c.data)) {
        return TG_EUNSUPPORTED;
    }
    c.is_delete = tg_str_eq(type, TG_STR("\"DELETE\""));
    if (!c.is_delete &&
        (tg_json_member(c.data, "record", &c.record) != TG_OK || c.record.p[0] != '{')) {
        return TG_EBADJSON;
    }
    c.is_cut_short = !c.is_delete && tg_change_is_cut_short(c.data, c.record);
    if (tg_json_member(c.data, "old_record", &c.old) != TG_OK || c.old.p[0] != '{') {
        c.old = TG_STR_NONE;
    }
    *ret_change = c;
    return TG_OK;
}

enum tg_rc tg_change_event(const struct tg_change *c, tg_str topic, const struct tg_table *table,
                           struct tg_buf *out)
{
    (void)tg_buf_str(out, TG_STR("{\"topic\":"));
    (void)tg_json_quote(out, topic);
    put_member(out, c->data, "type");
    put_member(out, c->data, "schema");
    put_member(out, c->data, "table");
    put_member(out, c->data, "commit_timestamp");
    if (!c->is_delete) {
        (void)tg_buf_str(out, TG_STR(",\"record\":"));
        (void)tg_buf_str(out, c->record);
    }
    if (c->old.n > 0) {
        (void)tg_buf_str(out, TG_STR(",\"old_record\":"));
        /* Columns that are not there are left out. */
        (void)!tg_row_cut(c->old, table == NULL ? NULL : table->pk, table == NULL ? 0 : table->n_pk,
                          out);
    }
    (void)tg_buf_str(out, c->is_cut_short ? TG_STR(",\"partial\":true}") : TG_STR("}"));
    return tg_buf_rc(out);
}
