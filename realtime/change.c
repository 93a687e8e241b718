/* change.c - slices an upstream change and puts the pieces into our event. */
#include "realtime/change.h"

#include "util/json.h"

/* {"name":value,...} of the members of `old` whose value `record` has too. */
static enum tg_rc put_shown(struct tg_buf *out, tg_str old, tg_str record)
{
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    bool is_first = true;
    enum tg_rc rc = TG_OK;

    (void)tg_buf_char(out, '{');
    while ((rc = tg_json_next(old, &at, &name, &value)) == TG_OK) {
        tg_str other_name = TG_STR_NONE;
        tg_str other = TG_STR_NONE;
        size_t other_at = 0;

        while (tg_json_next(record, &other_at, &other_name, &other) == TG_OK) {
            if (!tg_str_eq(other_name, name) || !tg_str_eq(other, value)) {
                continue;
            }
            (void)tg_buf_str(out, is_first ? TG_STR("\"") : TG_STR(",\""));
            (void)tg_buf_str(out, name);
            (void)tg_buf_str(out, TG_STR("\":"));
            (void)tg_buf_str(out, value);
            is_first = false;
            break;
        }
    }
    (void)tg_buf_char(out, '}');
    return rc == TG_EEOF ? TG_OK : rc;
}

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

enum tg_rc tg_change_event(tg_str payload, tg_str topic, struct tg_buf *out)
{
    tg_str data = TG_STR_NONE;
    tg_str type = TG_STR_NONE;
    tg_str errors = TG_STR_NONE;
    tg_str record = TG_STR_NONE;
    tg_str old = TG_STR_NONE;
    enum tg_rc rc = TG_OK;

    if (tg_json_member(payload, "data", &data) != TG_OK ||
        tg_json_member(data, "type", &type) != TG_OK) {
        return TG_EBADJSON;
    }
    if (tg_json_member(data, "errors", &errors) == TG_OK && !tg_str_eq(errors, TG_STR("null")) &&
        !tg_str_eq(errors, TG_STR("[]"))) {
        return TG_EUNSUPPORTED;
    }
    (void)tg_buf_str(out, TG_STR("{\"topic\":"));
    (void)tg_json_quote(out, topic);
    put_member(out, data, "type");
    put_member(out, data, "schema");
    put_member(out, data, "table");
    put_member(out, data, "commit_timestamp");
    put_member(out, data, "record");
    if (tg_json_member(data, "old_record", &old) == TG_OK) {
        (void)tg_buf_str(out, TG_STR(",\"old_record\":"));
        if (tg_json_member(data, "record", &record) == TG_OK) {
            rc = put_shown(out, old, record);
        } else {
            (void)tg_buf_str(out, old);
        }
    }
    (void)tg_buf_char(out, '}');
    return rc == TG_OK ? tg_buf_rc(out) : rc;
}
