/* topics_write.c - declared topics: as the file could say them, as a copy, and as documentation. */
#include "config/tables.h"
#include "config/topics.h"
#include "config/value.h"

static void put_text(struct tg_buf *out, const char *name, const char *text)
{
    if (text[0] == '\0') {
        return;
    }
    tg_buf_printf(out, ", %s: \"", name);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            tg_buf_char(out, '\\');
        }
        tg_buf_char(out, *c);
    }
    tg_buf_char(out, '"');
}

static void put_revoke_on(struct tg_buf *out, const struct tg_config_revoke *r)
{
    if (r->table[0] == '\0') {
        return;
    }
    tg_buf_printf(out, ", revoke_on: { table: \"%s\"", r->table);
    put_text(out, "key", r->key);
    put_text(out, "user", r->user);
    tg_buf_str(out, TG_STR(" }"));
}

static void put_catchup(struct tg_buf *out, const struct tg_config_topic *t)
{
    if (t->catches_inserts) {
        tg_buf_printf(out, ", catchup: { column: \"%s\", covers: inserts }", t->catchup);
    } else {
        put_text(out, "catchup", t->catchup);
    }
}

static void put_retain(struct tg_buf *out, const struct tg_config_topic *t)
{
    const char *sep = "";

    if (t->retain_for_ms == 0 && t->retain_events == 0) {
        return;
    }
    tg_buf_str(out, TG_STR(", retain: { "));
    if (t->retain_for_ms != 0) {
        tg_buf_str(out, TG_STR("for: "));
        tg_value_put_duration(t->retain_for_ms, out);
        sep = ", ";
    }
    if (t->retain_events != 0) {
        tg_buf_printf(out, "%sevents: ", sep);
        tg_buf_u64(out, t->retain_events);
    }
    tg_buf_str(out, TG_STR(" }"));
}

static void put_rows(struct tg_buf *out, const struct tg_config_topic *t)
{
    if (t->table[0] == '\0') {
        return;
    }
    put_text(out, "table", t->table);
    put_text(out, "key", t->key);
    tg_buf_str(out, TG_STR(", columns: "));
    tg_tables_put_columns(&t->columns, out);
    put_text(out, "where", t->where);
    put_catchup(out, t);
    tg_buf_printf(out, ", deletes: %s", tg_topics_deletes(t->deletes));
}

void tg_topics_render(const struct tg_config *cfg, struct tg_buf *out)
{
    tg_buf_str(out, cfg->topics.n == 0 ? TG_STR("topics: {}\n") : TG_STR("topics:\n"));
    for (size_t i = 0; i < cfg->topics.n; i++) {
        const struct tg_config_topic *t = &cfg->topics.items[i];

        tg_buf_printf(out, "  %s: { public: %s, key_type: %s", t->name, t->is_public ? "on" : "off",
                      tg_topics_key_type(t->key_type));
        put_rows(out, t);
        put_text(out, "authorize", t->authorize);
        put_revoke_on(out, &t->revoke_on);
        if (t->recheck_ms != 0) {
            tg_buf_str(out, TG_STR(", recheck: "));
            tg_value_put_duration(t->recheck_ms, out);
        }
        put_retain(out, t);
        tg_buf_str(out, TG_STR(" }\n"));
    }
}

static void copy_topic(struct tg_arena *arena, struct tg_config_topic *t)
{
    const char **texts[] = {&t->name,          &t->table,          &t->key,
                            &t->where,         &t->authorize,      &t->revoke_on.table,
                            &t->revoke_on.key, &t->revoke_on.user, &t->catchup};

    for (size_t i = 0; i < TG_ARRAY_LEN(texts); i++) {
        *texts[i] = tg_arena_cstr(arena, tg_str_of(*texts[i]));
    }
    t->columns = tg_tables_copy_list(arena, &t->columns);
}

void tg_topics_copy(struct tg_config *to, const struct tg_config *from)
{
    to->topics = from->topics;
    for (size_t i = 0; i < to->topics.n; i++) {
        copy_topic(&to->arena, &to->topics.items[i]);
    }
}

void tg_topics_doc(struct tg_buf *out)
{
    static const char intro[] =
        "\n## topics\n"
        "\n"
        "Declared topics: what clients name `<name>:<key>`. With a `table` its rows are followed\n"
        "for all readers at once, without one the events come from `POST /sync/v1/publish`. In "
        "the\n"
        "file only; changes need a restart. [TOPICS.md](TOPICS.md) explains them.\n"
        "\n"
        "```yaml\n"
        "topics:\n"
        "  trip-notices: { public: true, key_type: int } # trip-notices:42\n"
        "  trip-messages:\n"
        "    table: public.trip_chat_messages\n"
        "    key: trip_id\n"
        "    key_type: uuid\n"
        "    columns: [id, trip_id, sender_id, content, created_at, updated_at]\n"
        "    where: deleted_at=is.null\n"
        "    authorize: trip_members?select=user_id&trip_id=eq.{key}&user_id=eq.{sub}\n"
        "    revoke_on: { table: public.trip_members, key: trip_id, user: user_id }\n"
        "    catchup: updated_at\n"
        "    retain: { for: 7d, events: 10000 }\n"
        "```\n"
        "\n"
        "A name is made of lower-case letters, digits, dashes and underscores, at most 63, and\n"
        "begins with a letter; `table` and `inbox` are taken. There are at most 128. A topic that\n"
        "has neither `public: on` nor `authorize` is refused.\n"
        "\n"
        "| key | default | allowed | meaning |\n"
        "|---|---|---|---|\n";
    static const char keys[] =
        "| `topics.<name>.public` | `off` | on or off | Whoever has the project's anon or "
        "publishable key may read it, signed in or not. |\n"
        "| `topics.<name>.key_type` | `text` | text, uuid or int | What stands behind the colon: "
        "1 to 128 bytes without blanks and controls, a UUID in lower case, or a whole number "
        "without leading zeros. Another spelling is answered 400. |\n"
        "| `topics.<name>.authorize` | empty | a query to PostgREST | Asked as the user: a row, or "
        "`true` from a function, means yes. `{key}` and `{sub}` stand for whole values. |\n"
        "| `topics.<name>.revoke_on` | empty | `{ table, key, user }` | The table whose changes "
        "have `authorize` asked again at once, and its columns with the topic's key and the "
        "user's id, one of them at least. |\n"
        "| `topics.<name>.recheck` | `10m`, without `revoke_on` `1m` | a duration from 1s to 1d | "
        "How old an answer to `authorize` may become while a stream is open. |\n"
        "| `topics.<name>.table` | empty | schema.table | Whose rows the topic shows. Needs "
        "`supabase.service_key`. |\n"
        "| `topics.<name>.key` | | a column | Its value is the topic's key. **Required** with "
        "`table`. |\n"
        "| `topics.<name>.columns` | | columns | Which are shown; the key and the primary key are "
        "among them. **Required** with `table`. |\n"
        "| `topics.<name>.where` | empty | conditions in PostgREST's form joined by `&`, with eq, "
        "neq, in, is, not | Which rows are shown. |\n"
        "| `topics.<name>.catchup` | that of `tables` | a column, or `{ column, covers: inserts }` "
        "| One that every write changes, so that gaps are repaired; with `covers: inserts` one "
        "that is set once, for rows that never change. |\n"
        "| `topics.<name>.deletes` | `index` | index or soft | How the end of a row becomes known: "
        "by an index of all rows, or rows are never deleted, they leave `where`. |\n"
        "| `topics.<name>.retain` | the store's | `{ for: 1m to 365d, events: 10 to 10000000 }` | "
        "How long and how many of its events can be replayed. |\n";

    tg_buf_str(out, TG_STR(intro));
    tg_buf_str(out, TG_STR(keys));
}
