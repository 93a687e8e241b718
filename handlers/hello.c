/* hello.c - one verdict, in JSON and in header fields. */
#include "handlers/hello.h"

#include "handlers/admission.h"
#include "util/json.h"

/* How long somebody who may not read any more can still be told: what changes in the table of
 * `revoke_on` takes its feed's lag and one question; where that is not followed, `recheck`. */
static void put_bound(struct tg_buf *out, const struct tg_declared *d)
{
    if (d == NULL || d->authorize == NULL) {
        return;
    }
    (void)tg_buf_printf(out, ",\"access\":{\"recheck\":%llu,\"watched\":%s}",
                        (unsigned long long)(d->recheck / TG_MS(1)),
                        d->revoke_on.table == NULL ? "false" : "true");
}

void tg_hello_put_topic(struct tg_buf *out, const struct tg_stream_topic *t)
{
    (void)tg_buf_str(out, TG_STR("\"topic\":"));
    (void)tg_json_quote(out, t->name);
    (void)tg_buf_str(out, TG_STR(",\"guarantee\":"));
    (void)tg_buf_str(out, t->is_repaired ? TG_STR("\"catchup\"") : TG_STR("\"live\""));
    if (t->is_partial) {
        (void)tg_buf_str(out, TG_STR(",\"deletes\":\"partial\""));
    }
    (void)tg_buf_str(out, TG_STR(",\"state\":"));
    (void)tg_buf_str(out, t->state == TG_TOPIC_READY ? TG_STR("\"ready\"") : TG_STR("\"joining\""));
    if (t->is_resume) {
        (void)tg_buf_str(out, TG_STR(",\"recovered\":"));
        (void)tg_buf_str(out, t->is_recovered ? TG_STR("true") : TG_STR("false"));
    }
    if (t->reason.n > 0) {
        (void)tg_buf_str(out, TG_STR(",\"reason\":"));
        (void)tg_json_quote(out, t->reason);
    }
    if (t->is_resume) {
        (void)tg_buf_printf(out, ",\"replayed\":%u", t->n_replayed);
        (void)tg_buf_str(out, t->has_more ? TG_STR(",\"more\":true") : TG_STR(""));
    }
    put_bound(out, t->declared);
}

/* Of declared topics upstream tells all rows; a strict one's are compared where it is repaired. */
static bool tell_rows_that_leave(const struct tg_stream_start *start)
{
    for (size_t i = 0; i < start->n_topics; i++) {
        if (start->topics[i].declared == NULL && !start->topics[i].is_repaired) {
            return false;
        }
    }
    return true;
}

void tg_hello_put(struct tg_buf *out, const struct tg_handler_opts *o, tg_str device,
                  const struct tg_stream_start *start)
{
    if (start->cursor.n > 0) {
        (void)tg_buf_str(out, TG_STR("\"cursor\":"));
        (void)tg_json_quote(out, start->cursor);
        (void)tg_buf_char(out, ',');
    }
    if (device.n > 0) {
        (void)tg_buf_str(out, TG_STR("\"device\":{\"id\":"));
        (void)tg_json_quote(out, device);
        (void)tg_buf_str(out, TG_STR("},"));
    }
    (void)tg_buf_printf(out, "\"heartbeat\":%llu,\"topics\":[",
                        (unsigned long long)(o->stream_heartbeat / 1000));
    for (size_t i = 0; i < start->n_topics; i++) {
        (void)tg_buf_str(out, i > 0 ? TG_STR(",{") : TG_STR("{"));
        tg_hello_put_topic(out, &start->topics[i]);
        (void)tg_buf_char(out, '}');
    }
    /* What strict topics cannot tell, said where nobody can miss it (DESIGN.md 3). */
    (void)tg_buf_str(out, TG_STR("],\"uncovered\":["));
    if (!tell_rows_that_leave(start)) {
        (void)tg_buf_str(out,
                         TG_STR("\"a row that leaves the filter or the policy yields no event\""));
    }
    (void)tg_buf_char(out, ']');
}

void tg_hello_put_revoked(struct tg_buf *out, tg_str topic, enum tg_rc rc, tg_str message)
{
    (void)tg_buf_str(out, TG_STR("\"topic\":"));
    (void)tg_json_quote(out, topic);
    (void)tg_buf_char(out, ',');
    tg_error_members(out, rc, message);
}

void tg_hello_put_field(struct tg_buf *out, tg_str name, tg_str value)
{
    (void)tg_buf_str(out, name);
    (void)tg_buf_str(out, TG_STR(": "));
    (void)tg_buf_str(out, value);
    (void)tg_buf_str(out, TG_STR("\r\n"));
}

/* "true", or "false; reason=<word>": of the first topic that was not recovered. */
static void put_recovered(struct tg_buf *out, const struct tg_stream_start *start)
{
    (void)tg_buf_str(out, TG_STR("Tidegate-Recovered: "));
    (void)tg_buf_str(out, start->is_recovered ? TG_STR("true") : TG_STR("false"));
    for (size_t i = 0; i < start->n_topics; i++) {
        if (start->topics[i].is_resume && start->topics[i].reason.n > 0) {
            (void)tg_buf_str(out, TG_STR("; reason="));
            (void)tg_buf_str(out, start->topics[i].reason);
            break;
        }
    }
    (void)tg_buf_str(out, TG_STR("\r\n"));
}

void tg_hello_put_fields(struct tg_buf *out, const struct tg_admission *a,
                         const struct tg_stream_start *start)
{
    tg_hello_put_field(out, TG_STR("X-Request-Id"), a->x->id);
    if (start->cursor.n > 0) {
        tg_hello_put_field(out, TG_STR("Tidegate-Cursor"), start->cursor);
    }
    if (start->is_resume) {
        put_recovered(out, start);
    }
    if (a->is_device_new) {
        tg_hello_put_field(out, TG_STR("Tidegate-Device"), a->device);
    }
}
