/* keyset.c - what is asked of PostgREST about rows, as text. */
#include "realtime/keyset.h"

#include "realtime/query.h"
#include "realtime/row.h"
#include "util/json.h"

/* A column's name; in quotes where PostgREST could not read it without. */
static void put_column(struct tg_buf *out, tg_str name)
{
    if (tg_query_is_identifier(name)) {
        tg_query_escape(out, name);
    } else {
        tg_query_quote(out, name);
    }
}

/* The key is one column whose name can stand before the = of a condition. */
static bool is_simple(const struct tg_table *table)
{
    return table->n_pk == 1 && tg_query_is_column(table->pk[0]);
}

/* ---- rows ---- */

static bool is_in(const tg_str *columns, size_t n, tg_str name)
{
    for (size_t i = 0; i < n; i++) {
        if (tg_str_eq(columns[i], name)) {
            return true;
        }
    }
    return false;
}

static void put_select(const struct tg_table *table, const tg_str *columns, size_t n,
                       struct tg_buf *out)
{
    for (size_t i = 0; i < table->n_pk; i++) {
        if (i > 0) {
            (void)tg_buf_char(out, ',');
        }
        put_column(out, table->pk[i]);
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_in(table->pk, table->n_pk, columns[i]) && !is_in(columns, i, columns[i])) {
            (void)tg_buf_char(out, ',');
            put_column(out, columns[i]);
        }
    }
}

enum tg_rc tg_keyset_rows(const struct tg_table *table, const tg_str *columns, size_t n,
                          tg_str filter, struct tg_buf *out)
{
    (void)tg_buf_str(out, TG_STR("/rest/v1/"));
    tg_query_escape(out, table->name);
    (void)tg_buf_str(out, TG_STR("?select="));
    if (n == 1 && tg_str_eq(columns[0], TG_STR("*"))) {
        (void)tg_buf_char(out, '*');
    } else {
        put_select(table, columns, n, out);
    }
    if (filter.n > 0) {
        (void)tg_buf_char(out, '&');
        (void)tg_buf_str(out, filter);
    }
    return tg_buf_rc(out);
}

enum tg_rc tg_keyset_order(const struct tg_table *table, unsigned limit, struct tg_buf *out)
{
    (void)tg_buf_str(out, TG_STR("&order="));
    for (size_t i = 0; i < table->n_pk; i++) {
        if (i > 0) {
            (void)tg_buf_char(out, ',');
        }
        put_column(out, table->pk[i]);
        (void)tg_buf_str(out, TG_STR(".asc"));
    }
    (void)tg_buf_printf(out, "&limit=%u", limit);
    return tg_buf_rc(out);
}

/* ---- behind a row ---- */

/* column.op."value" with the row's value. */
static void put_term(struct tg_buf *out, tg_str column, const char *op, const struct tg_buf *value)
{
    put_column(out, column);
    (void)tg_buf_str(out, tg_str_of(op));
    tg_query_quote(out, tg_buf_view(value));
}

static void put_behind(const struct tg_table *table, const struct tg_buf *values,
                       struct tg_buf *out)
{
    (void)tg_buf_str(out, TG_STR("&or=("));
    for (size_t i = 0; i < table->n_pk; i++) {
        if (i > 0) {
            (void)tg_buf_str(out, TG_STR(",and("));
        }
        for (size_t k = 0; k < i; k++) {
            put_term(out, table->pk[k], ".eq.", &values[k]);
            (void)tg_buf_char(out, ',');
        }
        put_term(out, table->pk[i], ".gt.", &values[i]);
        if (i > 0) {
            (void)tg_buf_char(out, ')');
        }
    }
    (void)tg_buf_char(out, ')');
}

static void fini_values(struct tg_buf *values)
{
    for (size_t i = 0; i < TG_TABLE_PK_MAX; i++) {
        tg_buf_fini(&values[i]);
    }
}

static enum tg_rc read_values(const struct tg_table *table, tg_str row, struct tg_buf *values)
{
    for (size_t i = 0; i < table->n_pk; i++) {
        enum tg_rc rc = TG_OK;

        values[i].max = TG_KEYSET_TARGET_MAX;
        rc = tg_row_text(row, table->pk[i], &values[i]);
        if (rc != TG_OK) {
            return rc == TG_EEOF ? TG_ENOTFOUND : rc;
        }
    }
    return TG_OK;
}

enum tg_rc tg_keyset_after(const struct tg_table *table, tg_str row, struct tg_buf *out)
{
    struct tg_buf values[TG_TABLE_PK_MAX] = {0};
    enum tg_rc rc = TG_OK;

    TG_ASSERT(table->n_pk > 0 && table->n_pk <= TG_TABLE_PK_MAX);
    rc = read_values(table, row, values);
    if (rc == TG_OK && !is_simple(table)) {
        put_behind(table, values, out);
    } else if (rc == TG_OK) {
        (void)tg_buf_char(out, '&');
        put_column(out, table->pk[0]);
        (void)tg_buf_str(out, TG_STR("=gt."));
        tg_query_escape(out, tg_buf_view(&values[0]));
    }
    fini_values(values);
    return rc == TG_OK ? tg_buf_rc(out) : rc;
}

/* ---- by their keys ---- */

static enum tg_rc put_value(tg_str value, struct tg_buf *out)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = {.max = value.n};
    enum tg_rc rc = TG_OK;

    if (value.n > 0 && value.p[0] == '"') {
        rc = tg_json_unquote(value, &text);
        value = tg_buf_view(&text);
    }
    tg_query_quote(out, value);
    return rc;
}

/* One primary key: a value of the list, or and(a.eq."x",b.eq."y"). */
static enum tg_rc put_key(const struct tg_table *table, tg_str pk, struct tg_buf *out)
{
    bool is_list = is_simple(table);
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    size_t n = 0;
    enum tg_rc rc = TG_OK;

    if (!is_list) {
        (void)tg_buf_str(out, TG_STR("and("));
    }
    while (rc == TG_OK && tg_json_next(pk, &at, &name, &value) == TG_OK) {
        if (n == table->n_pk) {
            return TG_EBADPARAM;
        }
        if (!is_list) {
            (void)tg_buf_str(out, n > 0 ? TG_STR(",") : TG_STR(""));
            put_column(out, table->pk[n]);
            (void)tg_buf_str(out, TG_STR(".eq."));
        }
        rc = put_value(value, out);
        n++;
    }
    if (!is_list) {
        (void)tg_buf_char(out, ')');
    }
    return rc == TG_OK && n == table->n_pk ? TG_OK : TG_EBADPARAM;
}

enum tg_rc tg_keyset_keys(const struct tg_table *table, const tg_str *pks, size_t max,
                          struct tg_buf *out, size_t *ret_n)
{
    size_t n = 0;

    (void)tg_buf_char(out, '&');
    if (is_simple(table)) {
        put_column(out, table->pk[0]);
    }
    (void)tg_buf_str(out, is_simple(table) ? TG_STR("=in.(") : TG_STR("or=("));
    if (tg_buf_rc(out) != TG_OK) {
        return TG_ELIMIT;
    }
    for (; n < max; n++) {
        TG_CLEANUP(tg_buf_fini) struct tg_buf one = {.max = TG_KEYSET_TARGET_MAX};
        enum tg_rc rc = put_key(table, pks[n], &one);

        if (rc != TG_OK) {
            return rc;
        }
        /* The comma before it and the parenthesis behind. */
        if (tg_buf_rc(&one) != TG_OK || one.n + 2 > out->max - out->n) {
            break;
        }
        (void)tg_buf_str(out, n > 0 ? TG_STR(",") : TG_STR(""));
        (void)tg_buf_str(out, tg_buf_view(&one));
    }
    if (n == 0) {
        return TG_ELIMIT;
    }
    *ret_n = n;
    return tg_buf_char(out, ')');
}
