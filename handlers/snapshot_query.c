/* snapshot_query.c - a topic, and where its pages are, as PostgREST is asked for them. */
#include "handlers/snapshot_query.h"

#include "realtime/filter.h"
#include "realtime/query.h"

bool tg_snapshot_is_column(tg_str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool is_digit = (c >= '0' && c <= '9') || c == '$';

        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '_' &&
            (unsigned char)c < 0x80 && (!is_digit || i == 0)) {
            return false;
        }
    }
    return name.n > 0 && name.n <= 63 && tg_str_is_utf8(name);
}

/* The columns that the topic shows of the rows with its key. */
static void put_declared(struct tg_buf *out, const struct tg_topic_name *t)
{
    const struct tg_declared *d = t->declared;

    (void)tg_buf_str(out, TG_STR("/rest/v1/"));
    tg_query_escape(out, d->table->name);
    for (size_t i = 0; i < d->n_columns; i++) {
        (void)tg_buf_str(out, i == 0 ? TG_STR("?select=") : TG_STR(","));
        tg_query_escape(out, d->columns[i]);
    }
    (void)tg_buf_char(out, '&');
    tg_query_escape(out, d->key);
    (void)tg_buf_str(out, TG_STR("=eq."));
    tg_query_escape(out, t->key);
    (void)tg_buf_char(out, '&');
    if (d->where != NULL) {
        (void)tg_buf_str(out, tg_where_query(d->where));
        (void)tg_buf_char(out, '&');
    }
}

tg_str tg_snapshot_schema(const struct tg_topic_name *t)
{
    return t->kind == TG_TOPIC_DECLARED ? t->declared->table->schema : t->schema;
}

bool tg_snapshot_has_column(const struct tg_topic_name *t, tg_str column)
{
    bool is_any = t->kind != TG_TOPIC_DECLARED;

    for (size_t i = 0; !is_any && i < t->declared->n_columns; i++) {
        is_any = tg_str_eq(t->declared->columns[i], column);
    }
    return is_any;
}

enum tg_rc tg_snapshot_target(const struct tg_topic_name *t, struct tg_buf *out,
                              const char **ret_why)
{
    enum tg_rc rc = TG_OK;

    if (t->kind == TG_TOPIC_DECLARED) {
        put_declared(out, t);
        return tg_buf_rc(out);
    }
    TG_ASSERT(t->kind == TG_TOPIC_STRICT);
    (void)tg_buf_str(out, TG_STR("/rest/v1/"));
    tg_query_escape(out, t->table);
    (void)tg_buf_str(out, TG_STR("?select=*&"));
    rc = tg_filter_query(t->filter, out, ret_why);
    if (t->filter.n > 0) {
        (void)tg_buf_char(out, '&');
    }
    return rc == TG_OK ? tg_buf_rc(out) : rc;
}

enum tg_rc tg_snapshot_page(struct tg_buf *out, tg_str key, tg_str last, unsigned limit)
{
    if (last.p != NULL) {
        tg_query_escape(out, key);
        (void)tg_buf_str(out, TG_STR("=gt."));
        tg_query_escape(out, last);
        (void)tg_buf_char(out, '&');
    }
    (void)tg_buf_str(out, TG_STR("order="));
    tg_query_escape(out, key);
    (void)tg_buf_printf(out, ".asc&limit=%u", limit);
    return tg_buf_rc(out);
}
