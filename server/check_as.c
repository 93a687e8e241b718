/* check_as.c - goes through topics and strict tables and says what it finds.
 *
 * Of each table first whether it can be read at all, as the gateway and as the user; only then are
 * rows compared, for without a grant every row would differ. Rows are read as the gateway before
 * they are read as the user. */
#include "server/check_as.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/claims.h"
#include "auth/token.h"
#include "config/config.h"
#include "realtime/row.h"
#include "server/compare.h"
#include "server/declare.h"
#include "server/probe.h"
#include "util/map.h"

enum {
    MAX_ROWS = 100000, /* of a table */
    MAX_KEYS = 1000,   /* that are asked about, of a topic */
    MAX_VALUE_BYTES = 65536,
    MAX_LINE_BYTES = 8192, /* of a line; the rest is cut */
    MAX_SOME_BYTES = 4096,
};

struct check {
    const struct tg_config *cfg;
    const struct tg_declare *declare;
    struct tg_token *token;
    struct tg_probe *probe;
    struct tg_map followed; /* tables that Realtime was asked about */
    struct tg_buf *out;
    size_t n_findings;
    bool is_over; /* nothing more can be learnt */
};

/* One topic's rows. */
struct topic_check {
    struct check *c;
    const struct tg_declared *t;
    struct tg_compare *compare;
    struct tg_buf pk;
    struct tg_buf key;
    size_t n_bad_keys;
    char *bad_key; /* the first */
    const char *why_bad;
    char *twice; /* a primary key that two rows have */
    bool is_cut;
    struct tg_probe_answer failure; /* of `authorize`, the first */
};

/* ---- the token ---- */

/* The header may be anything. */
static enum tg_rc read_token(tg_str text, struct tg_token **ret_token)
{
    struct tg_token *token = TG_NEW(struct tg_token);
    tg_str rest = text;
    tg_str payload = TG_STR_NONE;
    enum tg_rc rc = TG_EBADTOKEN;

    tg_ref_init(&token->ref);
    (void)tg_str_cut(&rest, '.');
    payload = tg_str_cut(&rest, '.');
    if (rest.n > 0 && text.n <= TG_TOKEN_MAX_BYTES) {
        rc = tg_claims_read(payload, text, token);
    }
    if (rc != TG_OK) {
        tg_token_unref(token);
        return rc;
    }
    *ret_token = token;
    return TG_OK;
}

enum tg_rc tg_check_as_token(const char *token, struct tg_buf *err)
{
    struct tg_token *read = NULL;
    enum tg_rc rc = read_token(tg_str_of(token), &read);

    if (rc != TG_OK) {
        (void)tg_buf_str(err,
                         TG_STR("tidegate: --as wants the access token of a signed-in user\n"));
        return rc;
    }
    if (read->sub.n == 0) {
        (void)tg_buf_str(err, TG_STR("tidegate: --as: the token names no user (no sub)\n"));
        rc = TG_EBADTOKEN;
    }
    tg_token_unref(read);
    return rc;
}

/* ---- lines ---- */

/* Text of upstream's or of a row, kept on one line. */
static void put_line(struct tg_buf *out, tg_str text)
{
    for (size_t i = 0; i < text.n; i++) {
        (void)tg_buf_char(out, (unsigned char)text.p[i] < ' ' ? ' ' : text.p[i]);
    }
}

static void TG_PRINTF(5, 6)
    say(struct check *c, const char *level, const char *code, tg_str subject, const char *fmt, ...)
{
    char text[MAX_LINE_BYTES];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    (void)tg_buf_printf(c->out, "%s %s %.*s: ", level, code, TG_STR_ARG(subject));
    put_line(c->out, tg_str_of(text));
    (void)tg_buf_char(c->out, '\n');
    c->n_findings += strcmp(level, "finding") == 0;
}

/* As SQL writes it. */
static void put_name(struct tg_buf *out, tg_str name)
{
    bool is_plain = name.n > 0 && !(name.p[0] >= '0' && name.p[0] <= '9');

    for (size_t i = 0; i < name.n; i++) {
        const char ch = name.p[i];

        is_plain = is_plain && ((ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '_');
    }
    (void)tg_buf_str(out, is_plain ? TG_STR("") : TG_STR("\""));
    (void)tg_buf_str(out, name);
    (void)tg_buf_str(out, is_plain ? TG_STR("") : TG_STR("\""));
}

/* A table in SQL, and whoever reads it. */
struct names {
    struct tg_buf table, schema, role;
};

static void names_fini(struct names *n)
{
    tg_buf_fini(&n->table);
    tg_buf_fini(&n->schema);
    tg_buf_fini(&n->role);
}

static struct names names_of(const struct check *c, const struct tg_table *table, bool is_user)
{
    struct names n = {.table = {.max = 512}, .schema = {.max = 256}, .role = {.max = 256}};
    const tg_str role = c->token->role.n > 0 ? c->token->role : TG_STR("authenticated");

    put_name(&n.schema, table->schema);
    put_name(&n.table, table->schema);
    (void)tg_buf_char(&n.table, '.');
    put_name(&n.table, table->name);
    put_name(&n.role, is_user ? role : TG_STR("service_role"));
    return n;
}

/* ---- what a failed read means ---- */

struct reader_of {
    const struct tg_table *table;
    const struct tg_declared *t; /* NULL: of a strict table or of revoke_on */
    tg_str subject;
    bool is_user;
};

static bool says_column(const char *message, tg_str column)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf what = {.max = 256};
    const char *text = NULL;

    (void)tg_buf_printf(&what, ".%.*s does not exist", TG_STR_ARG(column));
    text = tg_buf_cstr(&what);
    return text != NULL && strstr(message, text) != NULL;
}

static void explain_columns(struct check *c, const struct reader_of *r, const char *message)
{
    for (size_t i = 0; i < r->table->n_pk; i++) {
        if (says_column(message, r->table->pk[i])) {
            say(c, "finding", "primary-key", r->subject,
                "table %.*s.%.*s has no column %.*s, which is configured as its primary key. "
                "Fix: tables: { %.*s.%.*s: { primary_key: [...] } }",
                TG_STR_ARG(r->table->schema), TG_STR_ARG(r->table->name),
                TG_STR_ARG(r->table->pk[i]), TG_STR_ARG(r->table->schema),
                TG_STR_ARG(r->table->name));
            return;
        }
    }
    say(c, "finding", "column", r->subject,
        "table %.*s.%.*s cannot be read as configured (%s). Fix: name the column as the table does",
        TG_STR_ARG(r->table->schema), TG_STR_ARG(r->table->name), message);
}

static void explain_denied(struct check *c, const struct reader_of *r, const char *message)
{
    TG_CLEANUP(names_fini) struct names n = names_of(c, r->table, r->is_user);

    if (strstr(message, "for schema") != NULL) {
        say(c, "finding", "grant", r->subject,
            "%s may not use schema %s (%s). Fix: grant usage on schema %s to %s;",
            tg_buf_cstr(&n.role), tg_buf_cstr(&n.schema), message, tg_buf_cstr(&n.schema),
            tg_buf_cstr(&n.role));
    } else {
        say(c, "finding", "grant", r->subject,
            "%s may not read %s (%s). Fix: grant select on %s to %s;", tg_buf_cstr(&n.role),
            tg_buf_cstr(&n.table), message, tg_buf_cstr(&n.table), tg_buf_cstr(&n.role));
    }
}

/* Nobody is asked further. */
static void give_up(struct check *c, const char *code, tg_str subject, const char *what,
                    const struct tg_probe_answer *a)
{
    say(c, "finding", code, subject, "%s (%s)", what,
        a->message[0] != '\0' ? a->message : tg_rc_text(a->rc));
    c->is_over = true;
}

static void explain(struct check *c, const struct reader_of *r, const struct tg_probe_answer *a)
{
    TG_CLEANUP(names_fini) struct names n = names_of(c, r->table, r->is_user);
    const bool is_denied =
        a->rc == TG_EFORBIDDEN || strstr(a->message, "permission denied") != NULL;

    if (is_denied) {
        explain_denied(c, r, a->message);
    } else if (a->rc == TG_EBADTOKEN) {
        give_up(c, r->is_user ? "token" : "service-key", r->subject,
                r->is_user ? "the project does not accept the token of --as"
                           : "the project does not accept supabase.service_key",
                a);
    } else if (a->rc == TG_ENOTFOUND) {
        say(c, "finding", "table", r->subject,
            "PostgREST knows no table %s (%s). Fix: create it, then notify pgrst, 'reload schema';",
            tg_buf_cstr(&n.table), a->message);
    } else if (a->status == 406) {
        say(c, "finding", "schema", r->subject,
            "PostgREST does not expose schema %s (%s). Fix: add it to the exposed schemas of the "
            "project's API settings (pgrst.db_schemas)",
            tg_buf_cstr(&n.schema), a->message);
    } else if (a->rc == TG_EBADPARAM) {
        explain_columns(c, r, a->message);
    } else {
        give_up(c, "unreachable", r->subject, "the table could not be read", a);
    }
}

/* ---- a table ---- */

static bool enough(tg_str row, void *arg)
{
    (void)row;
    (void)arg;
    return false;
}

/* Whether these columns can be read, by one row. */
static bool can_read(struct check *c, const struct reader_of *r, const tg_str *columns, size_t n)
{
    struct tg_probe_answer a = tg_probe_read(
        c->probe,
        &(struct tg_probe_read){.bearer = r->is_user ? c->token->text
                                                     : tg_str_of(c->cfg->supabase.service_key),
                                .table = r->table,
                                .columns = columns,
                                .n_columns = n,
                                .filter = r->t == NULL ? TG_STR("") : tg_where_query(r->t->where),
                                .page_rows = 1,
                                .on_row = enough});

    if (a.rc != TG_OK) {
        explain(c, r, &a);
    }
    return a.rc == TG_OK;
}

/* Asks Realtime, once for a table. */
static void check_published(struct check *c, const struct tg_table *table, tg_str subject)
{
    TG_CLEANUP(names_fini) struct names n = names_of(c, table, false);
    struct tg_probe_answer a = {.rc = TG_OK};

    if (c->is_over || tg_map_put(&c->followed, tg_buf_view(&n.table), c) != NULL) {
        return;
    }
    a = tg_probe_follow(c->probe, table, c->token->text);
    if (a.rc == TG_EREFUSED) {
        say(c, "finding", "publication", subject,
            "Realtime tells nothing of %s (%s). Fix: alter publication supabase_realtime add table "
            "%s;",
            tg_buf_cstr(&n.table), a.message, tg_buf_cstr(&n.table));
    } else if (a.rc != TG_OK) {
        say(c, "finding", "realtime", subject, "Realtime did not take a channel on %s (%s)",
            tg_buf_cstr(&n.table), a.message[0] != '\0' ? a.message : tg_rc_text(a.rc));
    }
}

/* ---- a topic's rows ---- */

static bool on_service_row(tg_str row, void *arg)
{
    struct topic_check *k = arg;
    const char *why = NULL;
    size_t n_before = 0;

    tg_buf_clear(&k->pk);
    tg_buf_clear(&k->key);
    if (tg_row_pk(k->t->table, row, &k->pk) != TG_OK ||
        tg_row_text(row, k->t->key, &k->key) != TG_OK) {
        return true; /* no key: of no topic */
    }
    why = tg_declared_check_key(k->t->key_type, tg_buf_view(&k->key));
    if (why != NULL) {
        k->n_bad_keys++;
        if (k->bad_key == NULL) {
            k->bad_key = tg_str_dup(tg_buf_view(&k->key));
            k->why_bad = why;
        }
        return true;
    }
    n_before = tg_compare_rows(k->compare);
    if (tg_compare_row(k->compare, tg_buf_view(&k->pk), tg_buf_view(&k->key)) != TG_OK) {
        k->is_cut = true;
        return false;
    }
    if (tg_compare_rows(k->compare) == n_before && k->twice == NULL) {
        k->twice = tg_str_dup(tg_buf_view(&k->pk));
    }
    return true;
}

static bool on_user_row(tg_str row, void *arg)
{
    struct topic_check *k = arg;

    tg_buf_clear(&k->pk);
    if (tg_row_pk(k->t->table, row, &k->pk) == TG_OK) {
        tg_compare_show(k->compare, tg_buf_view(&k->pk));
    }
    return true;
}

static struct tg_probe_answer read_rows(struct topic_check *k, tg_str bearer, tg_probe_row_fn *fn)
{
    return tg_probe_read(k->c->probe,
                         &(struct tg_probe_read){.bearer = bearer,
                                                 .table = k->t->table,
                                                 .columns = &k->t->key,
                                                 .n_columns = 1,
                                                 .filter = tg_where_query(k->t->where),
                                                 .page_rows = k->c->cfg->index.page_rows,
                                                 .on_row = fn,
                                                 .arg = k});
}

static enum tg_rc put_target(size_t i, struct tg_buf *target, void *arg)
{
    struct topic_check *k = arg;

    return tg_template_expand(k->t->authorize, tg_compare_key(k->compare, i), k->c->token->sub,
                              target);
}

static void on_verdict(size_t i, const struct tg_probe_answer *answer, void *arg)
{
    struct topic_check *k = arg;

    if (answer->rc == TG_OK || answer->rc == TG_EFORBIDDEN) {
        tg_compare_say(k->compare, i, answer->rc == TG_OK);
    } else if (k->failure.rc == TG_OK) {
        k->failure = *answer;
    }
}

/* The first few, `["a"]` of key. */
static void put_some(struct tg_buf *out, const struct tg_compare_some *some)
{
    for (size_t i = 0; i < TG_MIN(some->n, (size_t)TG_COMPARE_NAMED); i++) {
        (void)tg_buf_printf(out, "%s%.*s of key %.*s", i > 0 ? ", " : "",
                            TG_STR_ARG(some->named[i].pk), TG_STR_ARG(some->named[i].key));
    }
    if (some->n > TG_COMPARE_NAMED) {
        (void)tg_buf_str(out, TG_STR(", ..."));
    }
}

static void tell_result(struct topic_check *k)
{
    TG_CLEANUP(names_fini) struct names n = names_of(k->c, k->t->table, true);
    TG_CLEANUP(tg_buf_fini) struct tg_buf some = {.max = MAX_SOME_BYTES};
    struct tg_compare_result r;

    tg_compare_result(k->compare, &r);
    if (r.hidden.n > 0) {
        const bool is_blind = r.n_both == 0 && r.extra.n == 0;

        put_some(&some, &r.hidden);
        say(k->c, "finding", is_blind ? "policy" : "wider", k->t->name,
            "the topic would show rows that policies hide from this user: %zu, %s. Fix: %s%s%s%s%s",
            r.hidden.n, tg_buf_cstr(&some),
            is_blind ? "no policy shows him any row: create policy tidegate_read on "
                     : "ask less in authorize, or create policy tidegate_read on ",
            tg_buf_cstr(&n.table), " for select to ", tg_buf_cstr(&n.role), " using (...);");
    }
    if (r.extra.n > 0) {
        tg_buf_clear(&some);
        put_some(&some, &r.extra);
        say(k->c, "warning", "narrower", k->t->name,
            "policies show this user rows that authorize keeps from him: %zu, %s", r.extra.n,
            tg_buf_cstr(&some));
    }
    say(k->c, "note", "rows", k->t->name,
        "%zu are shown by both, of %zu that were read, in %zu keys", r.n_both,
        tg_compare_rows(k->compare), tg_compare_keys(k->compare));
}

static void tell_limits(const struct topic_check *k)
{
    if (k->is_cut) {
        say(k->c, "note", "cut", k->t->name, "only the first %d rows were compared", MAX_ROWS);
    }
    if (tg_compare_keys_left_out(k->compare) > 0) {
        say(k->c, "note", "cut", k->t->name, "only %d keys were asked about, %zu were left out",
            MAX_KEYS, tg_compare_keys_left_out(k->compare));
    }
}

static void tell_shape(const struct topic_check *k)
{
    if (k->n_bad_keys > 0) {
        say(k->c, "finding", "key-type", k->t->name,
            "%zu rows have a key that is none by key_type, such as %s: %s. Fix: key_type of the "
            "topic",
            k->n_bad_keys, k->bad_key, k->why_bad);
    }
    if (k->twice != NULL) {
        say(k->c, "finding", "primary-key", k->t->name,
            "two rows have the primary key %s. Fix: tables: { %.*s.%.*s: { primary_key: [...] } }",
            k->twice, TG_STR_ARG(k->t->table->schema), TG_STR_ARG(k->t->table->name));
    }
}

static void tell_authorize(const struct topic_check *k)
{
    const struct tg_probe_answer *a = &k->failure;

    if (a->rc != TG_OK) {
        say(k->c, "finding", "authorize", k->t->name,
            "the question of authorize is not answered: status %u (%s). Fix: what it reads must be "
            "there and granted to the user's role, or ask something else",
            a->status, a->message);
    }
}

static void compare_rows(struct topic_check *k)
{
    const struct reader_of user = {k->t->table, k->t, k->t->name, true};
    const struct reader_of service = {k->t->table, k->t, k->t->name, false};
    struct tg_probe_answer a =
        read_rows(k, tg_str_of(k->c->cfg->supabase.service_key), on_service_row);

    if (a.rc != TG_OK) {
        explain(k->c, &service, &a);
        return;
    }
    tell_shape(k);
    if (k->t->authorize != NULL) {
        tg_probe_ask(k->c->probe, k->c->token->text, tg_compare_keys(k->compare), put_target,
                     on_verdict, k);
    } else {
        for (size_t i = 0; i < tg_compare_keys(k->compare); i++) {
            tg_compare_say(k->compare, i, true);
        }
    }
    tell_authorize(k);
    a = read_rows(k, k->c->token->text, on_user_row);
    if (a.rc != TG_OK) {
        explain(k->c, &user, &a);
        return;
    }
    tell_result(k);
    tell_limits(k);
}

static void check_rows(struct check *c, const struct tg_declared *t)
{
    struct topic_check k = {.c = c,
                            .t = t,
                            .compare = tg_compare_create(MAX_ROWS, MAX_KEYS),
                            .pk = {.max = MAX_VALUE_BYTES},
                            .key = {.max = MAX_VALUE_BYTES}};

    compare_rows(&k);
    tg_compare_destroy(k.compare);
    tg_buf_fini(&k.pk);
    tg_buf_fini(&k.key);
    free(k.bad_key);
    free(k.twice);
}

/* ---- all of it ---- */

static void check_revoke(struct check *c, const struct tg_declared *t)
{
    const struct reader_of r = {t->revoke_on.table, NULL, t->name, false};
    const tg_str column = t->revoke_on.key.n > 0 ? t->revoke_on.key : t->revoke_on.user;
    const tg_str columns[] = {column, t->revoke_on.user.n > 0 ? t->revoke_on.user : column};

    if (can_read(c, &r, columns, tg_str_eq(columns[0], columns[1]) ? 1 : 2)) {
        check_published(c, t->revoke_on.table, t->name);
    }
}

static void check_topic(struct check *c, const struct tg_declared *t)
{
    const struct reader_of service = {t->table, t, t->name, false};
    const struct reader_of user = {t->table, t, t->name, true};

    if (can_read(c, &service, t->columns, t->n_columns)) {
        check_published(c, t->table, t->name);
        if (!c->is_over && can_read(c, &user, t->columns, t->n_columns)) {
            check_rows(c, t);
        }
    }
}

static void check_strict(struct check *c, const char *relation)
{
    tg_str name = tg_str_of(relation);
    const tg_str schema = tg_str_cut(&name, '.');
    const struct tg_table table = tg_table_of(tg_declare_tables(c->declare), schema, name);
    const struct reader_of user = {&table, NULL, tg_str_of(relation), true};

    if (can_read(c, &user, NULL, 0)) {
        check_published(c, &table, user.subject);
    }
}

static void check_all(struct check *c)
{
    const struct tg_declared_list *topics = tg_declare_topics(c->declare);

    for (size_t i = 0; i < topics->n && !c->is_over; i++) {
        const struct tg_declared *t = &topics->items[i];

        if (t->table != NULL) {
            check_topic(c, t);
        }
        if (t->revoke_on.table != NULL && !c->is_over) {
            check_revoke(c, t);
        }
    }
    for (size_t i = 0; i < c->cfg->strict.tables.n && !c->is_over; i++) {
        check_strict(c, c->cfg->strict.tables.items[i]);
    }
}

enum tg_rc tg_check_as(const struct tg_config *cfg, const struct tg_declare *declare,
                       const char *token, struct tg_buf *out, struct tg_buf *err,
                       size_t *ret_findings)
{
    struct check c = {.cfg = cfg, .declare = declare, .out = out};
    enum tg_rc rc = read_token(tg_str_of(token), &c.token);

    if (rc == TG_OK) {
        rc = tg_probe_create(cfg, &c.probe);
    }
    if (rc == TG_OK) {
        check_all(&c);
        *ret_findings = c.n_findings;
    } else {
        (void)tg_buf_printf(err, "tidegate: %s\n", tg_rc_text(rc));
    }
    tg_probe_destroy(c.probe);
    tg_map_fini(&c.followed);
    tg_token_unref(c.token);
    return rc;
}
