/* topics_rules.c - declared topics: what no single member can say. */
#include "config/tables.h"
#include "config/topics.h"

#define RECHECK_WATCHED_MS (UINT64_C(10) * 60 * 1000)
#define RECHECK_MS (UINT64_C(60) * 1000)

static bool has(const struct tg_config_topic *t, unsigned bits)
{
    return (t->given & bits) != 0;
}

static const char *check_readers(const struct tg_config_topic *t)
{
    if (!t->is_public && !has(t, TG_TOPICS_AUTHORIZE)) {
        return "nothing says who may read this topic: give it authorize, or public: true";
    }
    if (has(t, TG_TOPICS_RECHECK | TG_TOPICS_REVOKE_ON) && !has(t, TG_TOPICS_AUTHORIZE)) {
        return "recheck and revoke_on need authorize: there is nothing to ask again";
    }
    if (!has(t, TG_TOPICS_REVOKE_ON)) {
        return NULL;
    }
    if (!has(t, TG_TOPICS_REVOKE_TABLE)) {
        return "revoke_on needs table: whose rows say who may read";
    }
    if (!has(t, TG_TOPICS_REVOKE_KEY | TG_TOPICS_REVOKE_USER)) {
        return "revoke_on needs key, user, or both: the columns that say whose access changed";
    }
    return NULL;
}

static const char *check_published(const struct tg_config_topic *t)
{
    if (has(t, TG_TOPICS_KEY | TG_TOPICS_COLUMNS | TG_TOPICS_WHERE | TG_TOPICS_DELETES |
                   TG_TOPICS_CATCHUP)) {
        return "key, columns, where, catchup and deletes need table: this topic has no rows";
    }
    return NULL;
}

static bool shows_primary_key(const struct tg_config_topic *t, const struct tg_config_table *table)
{
    if (table == NULL || table->primary_key.n == 0) {
        return tg_tables_has_column(&t->columns, "id");
    }
    for (size_t i = 0; i < table->primary_key.n; i++) {
        if (!tg_tables_has_column(&t->columns, table->primary_key.items[i])) {
            return false;
        }
    }
    return true;
}

static const char *check_rows(const struct tg_config *cfg, const struct tg_config_topic *t)
{
    if (t->key[0] == '\0') {
        return "a topic with a table needs key: the column that routes its rows";
    }
    if (t->columns.n == 0) {
        return "a topic with a table needs columns: which ones its readers see";
    }
    if (!tg_tables_has_column(&t->columns, t->key)) {
        return "columns must contain the topic's key";
    }
    if (!shows_primary_key(t, tg_tables_find(cfg, tg_str_of(t->table)))) {
        return "columns must contain the table's primary key, which is id unless the section "
               "tables gives another";
    }
    if (has(t, TG_TOPICS_CATCHUP) && t->catchup[0] == '\0') {
        return "catchup needs a column: { column: created_at, covers: inserts }";
    }
    return NULL;
}

void tg_topics_check(const struct tg_config *cfg, tg_topics_error_fn *on_error, void *arg)
{
    for (size_t i = 0; i < cfg->topics.n; i++) {
        const struct tg_config_topic *t = &cfg->topics.items[i];
        tg_str name = tg_str_of(t->name);
        const char *readers = check_readers(t);
        const char *rows = has(t, TG_TOPICS_TABLE) ? check_rows(cfg, t) : check_published(t);

        if (readers != NULL) {
            on_error(t->line, name, readers, arg);
        }
        if (rows != NULL) {
            on_error(t->line, name, rows, arg);
        }
        if (has(t, TG_TOPICS_TABLE | TG_TOPICS_REVOKE_TABLE) &&
            cfg->supabase.service_key[0] == '\0') {
            on_error(t->line, name, "table and revoke_on need supabase.service_key", arg);
        }
    }
}

void tg_topics_derive(struct tg_config *cfg)
{
    for (size_t i = 0; i < cfg->topics.n; i++) {
        struct tg_config_topic *t = &cfg->topics.items[i];
        const struct tg_config_table *table = tg_tables_find(cfg, tg_str_of(t->table));

        if (has(t, TG_TOPICS_AUTHORIZE) && !has(t, TG_TOPICS_RECHECK)) {
            t->recheck_ms = has(t, TG_TOPICS_REVOKE_ON) ? RECHECK_WATCHED_MS : RECHECK_MS;
        }
        if (has(t, TG_TOPICS_TABLE) && !has(t, TG_TOPICS_CATCHUP) && table != NULL) {
            t->catchup = table->catchup;
        }
    }
}
