/* declare.c - from the configuration's words to declared topics and tables.
 *
 * Every table that a topic names is in the list, also when the section `tables` is silent on it:
 * two topics of one table point to the same one. */
#include "server/declare.h"

#include <stdlib.h>

#include "config/config.h"
#include "util/arena.h"

struct tg_declare {
    struct tg_arena arena;
    struct tg_table *tables;
    struct tg_declared *topics;
    struct tg_where **wheres;
    struct tg_template **templates;
    struct tg_table_list table_list;
    struct tg_declared_list topic_list;
};

struct maker {
    struct tg_declare *d;
    const char *path;
    struct tg_buf *errors;
    bool has_failed;
};

static void complain(struct maker *m, unsigned line, const char *topic, const char *member,
                     const char *why)
{
    m->has_failed = true;
    (void)tg_buf_printf(m->errors, "%s:%u: \"topics.%s.%s\": %s\n", m->path, line, topic, member,
                        why);
}

static const tg_str *to_strs(struct tg_arena *arena, const struct tg_config_list *list)
{
    tg_str *out = tg_arena_alloc(arena, list->n * sizeof(*out));

    for (size_t i = 0; i < list->n; i++) {
        out[i] = tg_str_of(list->items[i]);
    }
    return out;
}

/* ---- tables ---- */

static void add_tables(struct tg_declare *d, const struct tg_config_tables *tables)
{
    for (size_t i = 0; i < tables->n; i++) {
        const struct tg_config_table *t = &tables->items[i];
        struct tg_table *table = &d->tables[d->table_list.n++];

        *table = tg_table_of(NULL, tg_str_of(t->schema), tg_str_of(t->name));
        if (t->primary_key.n > 0) {
            table->pk = to_strs(&d->arena, &t->primary_key);
            table->n_pk = t->primary_key.n;
        }
        table->catchup = tg_str_of(t->catchup);
    }
}

/* `text` is "schema.table"; empty: NULL. */
static const struct tg_table *table_of(struct tg_declare *d, const char *text)
{
    tg_str name = tg_str_of(text);
    tg_str schema = tg_str_cut(&name, '.');
    const struct tg_table *known = tg_table_find(&d->table_list, schema, name);

    if (known != NULL || schema.n == 0) {
        return known;
    }
    d->tables[d->table_list.n] = tg_table_of(NULL, schema, name);
    return &d->tables[d->table_list.n++];
}

/* ---- topics ---- */

static const struct tg_where *where_of(struct maker *m, size_t i, const struct tg_config_topic *t)
{
    const char *why = NULL;

    if (t->where[0] != '\0' &&
        tg_where_parse(tg_str_of(t->where), &m->d->wheres[i], &why) != TG_OK) {
        complain(m, t->where_line, t->name, "where", why);
    }
    return m->d->wheres[i];
}

static const struct tg_template *authorize_of(struct maker *m, size_t i,
                                              const struct tg_config_topic *t)
{
    const char *why = NULL;
    struct tg_template **template = &m->d->templates[i];

    if (t->authorize[0] == '\0') {
        return NULL;
    }
    if (tg_template_parse(tg_str_of(t->authorize), template, &why) != TG_OK) {
        complain(m, t->authorize_line, t->name, "authorize", why);
    } else if (t->is_public && tg_template_has_sub(*template)) {
        complain(m, t->authorize_line, t->name, "authorize",
                 "asks about the user, {sub}, but this topic is public: leave out one of both");
    }
    return *template;
}

/* Its own, or that of its table. */
static tg_str catchup_of(const struct tg_config_topic *t, const struct tg_table *table)
{
    return t->catchup[0] == '\0' && table != NULL ? table->catchup : tg_str_of(t->catchup);
}

static void make_topic(struct maker *m, size_t i, const struct tg_config_topic *t)
{
    const struct tg_table *table = table_of(m->d, t->table);
    static const enum tg_key_type types[] = {
        [TG_TOPIC_BY_TEXT] = TG_KEY_TEXT,
        [TG_TOPIC_BY_UUID] = TG_KEY_UUID,
        [TG_TOPIC_BY_INT] = TG_KEY_INT,
    };
    static const enum tg_deletes deletes[] = {
        [TG_DELETES_BY_INDEX] = TG_DELETES_INDEX,
        [TG_DELETES_BY_SOFT] = TG_DELETES_SOFT,
    };

    m->d->topics[i] = (struct tg_declared){
        .name = tg_str_of(t->name),
        .key_type = types[t->key_type],
        .is_public = t->is_public,
        .authorize = authorize_of(m, i, t),
        .revoke_on = {.table = table_of(m->d, t->revoke_on.table),
                      .key = tg_str_of(t->revoke_on.key),
                      .user = tg_str_of(t->revoke_on.user)},
        .recheck = TG_MS(t->recheck_ms),
        .table = table,
        .key = tg_str_of(t->key),
        .columns = to_strs(&m->d->arena, &t->columns),
        .n_columns = t->columns.n,
        .where = where_of(m, i, t),
        .catchup = catchup_of(t, table),
        .catches_inserts = t->catches_inserts,
        .deletes = deletes[t->deletes],
        .retain_for = TG_MS(t->retain_for_ms),
        .retain_events = t->retain_events,
    };
}

enum tg_rc tg_declare_create(const struct tg_config *cfg, const char *path, struct tg_buf *errors,
                             struct tg_declare **ret_declare)
{
    struct tg_declare *d = tg_calloc(1, sizeof(*d));
    struct maker m = {.d = d, .path = path == NULL ? "environment" : path, .errors = errors};
    size_t n = cfg->topics.n;

    /* Each topic names two at most; they do not move once they are there. */
    d->tables = tg_calloc(cfg->tables.n + 2 * n, sizeof(*d->tables));
    d->table_list.items = d->tables;
    d->topics = tg_calloc(n, sizeof(*d->topics));
    d->wheres = tg_calloc(n, sizeof(struct tg_where *));
    d->templates = tg_calloc(n, sizeof(struct tg_template *));
    d->topic_list = (struct tg_declared_list){d->topics, n};
    add_tables(d, &cfg->tables);
    for (size_t i = 0; i < n; i++) {
        make_topic(&m, i, &cfg->topics.items[i]);
    }
    if (m.has_failed) {
        tg_declare_destroy(d);
        return TG_EBADPARAM;
    }
    *ret_declare = d;
    return TG_OK;
}

void tg_declare_destroy(struct tg_declare *d)
{
    if (d == NULL) {
        return;
    }
    for (size_t i = 0; i < d->topic_list.n; i++) {
        tg_where_destroy(d->wheres[i]);
        tg_template_destroy(d->templates[i]);
    }
    free(d->wheres);
    free(d->templates);
    free(d->topics);
    free(d->tables);
    tg_arena_drop(&d->arena);
    free(d);
}

const struct tg_declared_list *tg_declare_topics(const struct tg_declare *d)
{
    return &d->topic_list;
}

const struct tg_table_list *tg_declare_tables(const struct tg_declare *d)
{
    return &d->table_list;
}
