/* tables.c - primary keys and columns to catch up by: reading and writing down. */
#include "config/tables.h"

#include "config/text.h"

enum { GIVEN_PRIMARY_KEY = 1, GIVEN_CATCHUP = 2 };

/* ---- lists of columns ---- */

bool tg_tables_has_column(const struct tg_config_list *columns, const char *column)
{
    for (size_t i = 0; i < columns->n; i++) {
        if (strcmp(columns->items[i], column) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_repeated(tg_str first, tg_str rest)
{
    while (rest.p != NULL) {
        if (tg_str_eq(first, tg_str_cut(&rest, ','))) {
            return true;
        }
    }
    return false;
}

const char *tg_tables_check_columns(tg_str text, size_t max, const char *too_many)
{
    size_t n = 0;

    if (text.n == 0) {
        return "a list of columns is wanted, such as [id, name]";
    }
    while (text.p != NULL) {
        tg_str column = tg_str_cut(&text, ',');

        if (!tg_text_is_identifier(column)) {
            return "columns are plain names: letters, digits, _ and $; no * and nothing quoted";
        }
        if (is_repeated(column, text)) {
            return "a column stands here twice";
        }
        if (++n > max) {
            return too_many;
        }
    }
    return NULL;
}

struct tg_config_list tg_tables_columns(struct tg_arena *arena, tg_str text)
{
    struct tg_config_list list = {0};

    for (tg_str rest = text; rest.p != NULL; list.n++) {
        (void)tg_str_cut(&rest, ',');
    }
    list.items = tg_arena_alloc(arena, list.n * sizeof(*list.items));
    for (size_t i = 0; i < list.n; i++) {
        list.items[i] = tg_arena_cstr(arena, tg_str_cut(&text, ','));
    }
    return list;
}

struct tg_config_list tg_tables_copy_list(struct tg_arena *arena, const struct tg_config_list *from)
{
    struct tg_config_list list = {.n = from->n};

    list.items = tg_arena_alloc(arena, list.n * sizeof(*list.items));
    for (size_t i = 0; i < list.n; i++) {
        list.items[i] = tg_arena_cstr(arena, tg_str_of(from->items[i]));
    }
    return list;
}

void tg_tables_put_columns(const struct tg_config_list *columns, struct tg_buf *out)
{
    tg_buf_char(out, '[');
    for (size_t i = 0; i < columns->n; i++) {
        tg_buf_printf(out, "%s\"%s\"", i == 0 ? "" : ", ", columns->items[i]);
    }
    tg_buf_char(out, ']');
}

/* ---- reading ---- */

static struct tg_config_table *find(struct tg_config_tables *tables, tg_str schema, tg_str name)
{
    for (size_t i = 0; i < tables->n; i++) {
        if (tg_str_eq(tg_str_of(tables->items[i].schema), schema) &&
            tg_str_eq(tg_str_of(tables->items[i].name), name)) {
            return &tables->items[i];
        }
    }
    return NULL;
}

const struct tg_config_table *tg_tables_find(const struct tg_config *cfg, tg_str name)
{
    tg_str schema = tg_str_cut(&name, '.');

    for (size_t i = 0; i < cfg->tables.n; i++) {
        const struct tg_config_table *t = &cfg->tables.items[i];

        if (tg_str_eq(tg_str_of(t->schema), schema) && tg_str_eq(tg_str_of(t->name), name)) {
            return t;
        }
    }
    return NULL;
}

static const char *add(struct tg_config *cfg, tg_str schema, tg_str name,
                       const struct tg_yaml_item *item)
{
    struct tg_config_tables *tables = &cfg->tables;

    if (!tg_text_is_identifier(schema) || !tg_text_is_identifier(name)) {
        return "a table is written schema.table, in plain names";
    }
    if (item->kind != TG_YAML_SECTION && item->kind != TG_YAML_EMPTY) {
        return "a mapping is wanted, such as { primary_key: [id] }";
    }
    if (find(tables, schema, name) != NULL) {
        return "this table stands here already";
    }
    if (tables->n == TG_CONFIG_TABLES_MAX) {
        return "at most 256 tables can be described";
    }
    tables->items[tables->n++] = (struct tg_config_table){
        .schema = tg_arena_cstr(&cfg->arena, schema),
        .name = tg_arena_cstr(&cfg->arena, name),
        .catchup = "",
        .line = item->line,
    };
    return NULL;
}

static const char *set_primary_key(struct tg_config *cfg, struct tg_config_table *t,
                                   const struct tg_yaml_item *item)
{
    const char *why = NULL;

    if (item->kind != TG_YAML_LIST && item->kind != TG_YAML_TEXT) {
        return "a list of columns is wanted, such as [trip_id, user_id]";
    }
    why = tg_tables_check_columns(item->text, TG_CONFIG_PRIMARY_KEY_MAX,
                                  "a primary key has at most 8 columns");
    if (why == NULL) {
        t->primary_key = tg_tables_columns(&cfg->arena, item->text);
    }
    return why;
}

static const char *set_catchup(struct tg_config *cfg, struct tg_config_table *t,
                               const struct tg_yaml_item *item)
{
    if (item->kind != TG_YAML_TEXT || !tg_text_is_identifier(item->text)) {
        return "one column is wanted, which every write changes, such as updated_at";
    }
    t->catchup = tg_arena_cstr(&cfg->arena, item->text);
    return NULL;
}

static const char *set(struct tg_config *cfg, struct tg_config_table *t, tg_str key,
                       const struct tg_yaml_item *item)
{
    bool is_pk = tg_str_eq(key, TG_STR("primary_key"));
    unsigned bit = is_pk ? GIVEN_PRIMARY_KEY : GIVEN_CATCHUP;

    if (!is_pk && !tg_str_eq(key, TG_STR("catchup"))) {
        return "is not a key of a table; there are: primary_key, catchup";
    }
    if ((t->given & bit) != 0) {
        return "already given for this table";
    }
    t->given |= bit;
    return (is_pk ? set_primary_key : set_catchup)(cfg, t, item);
}

static const char *take(struct tg_config *cfg, tg_str rest, const struct tg_yaml_item *item)
{
    tg_str schema = tg_str_cut(&rest, '.');
    tg_str name = tg_str_cut(&rest, '.');
    struct tg_config_table *t = NULL;

    if (rest.p == NULL) {
        return add(cfg, schema, name, item);
    }
    t = find(&cfg->tables, schema, name);
    if (t == NULL) {
        /* Told where it was described, unless the name itself has too many dots. */
        return item->kind == TG_YAML_SECTION ? "a table is written schema.table" : NULL;
    }
    /* What is nested below a key was told with it. */
    return tg_str_find(rest, '.') < rest.n ? NULL : set(cfg, t, rest, item);
}

bool tg_tables_take(struct tg_config *cfg, const struct tg_yaml_item *item,
                    tg_tables_error_fn *on_error, void *arg)
{
    tg_str rest = item->name;
    const char *what = NULL;

    if (!tg_str_eq(tg_str_cut(&rest, '.'), TG_STR("tables"))) {
        return false;
    }
    if (rest.p != NULL) {
        what = take(cfg, rest, item);
    } else if (item->kind == TG_YAML_TEXT || item->kind == TG_YAML_LIST) {
        what = "tables by their names are wanted";
    } else if (cfg->tables.line != 0) {
        what = "already begun further up";
    } else {
        cfg->tables.line = item->line;
    }
    if (what != NULL) {
        on_error(item->line, item->name, what, arg);
    }
    return true;
}

/* ---- writing ---- */

void tg_tables_render(const struct tg_config *cfg, struct tg_buf *out)
{
    tg_buf_str(out, cfg->tables.n == 0 ? TG_STR("tables: {}\n") : TG_STR("tables:\n"));
    for (size_t i = 0; i < cfg->tables.n; i++) {
        const struct tg_config_table *t = &cfg->tables.items[i];

        tg_buf_printf(out, "  \"%s.%s\": { primary_key: ", t->schema, t->name);
        if (t->primary_key.n == 0) {
            tg_buf_str(out, TG_STR("[\"id\"]"));
        } else {
            tg_tables_put_columns(&t->primary_key, out);
        }
        if (t->catchup[0] != '\0') {
            tg_buf_printf(out, ", catchup: \"%s\"", t->catchup);
        }
        tg_buf_str(out, TG_STR(" }\n"));
    }
}

void tg_tables_copy(struct tg_config *to, const struct tg_config *from)
{
    to->tables = from->tables;
    for (size_t i = 0; i < to->tables.n; i++) {
        struct tg_config_table *t = &to->tables.items[i];

        t->schema = tg_arena_cstr(&to->arena, tg_str_of(t->schema));
        t->name = tg_arena_cstr(&to->arena, tg_str_of(t->name));
        t->catchup = tg_arena_cstr(&to->arena, tg_str_of(t->catchup));
        t->primary_key = tg_tables_copy_list(&to->arena, &t->primary_key);
    }
}

void tg_tables_doc(struct tg_buf *out)
{
    static const char text[] =
        "\n## tables\n"
        "\n"
        "What the gateway must be told of tables, because Realtime does not tell it. In the file\n"
        "only; changes need a restart. There are at most 256. [TOPICS.md](TOPICS.md) says what\n"
        "for.\n"
        "\n"
        "```yaml\n"
        "tables:\n"
        "  public.trip_members: { primary_key: [trip_id, user_id] }\n"
        "  public.tasks: { catchup: updated_at }\n"
        "```\n"
        "\n"
        "| key | default | allowed | meaning |\n"
        "|---|---|---|---|\n"
        "| `tables.<schema>.<table>.primary_key` | `[id]` | 1 to 8 columns | Its primary key, in "
        "its order. |\n"
        "| `tables.<schema>.<table>.catchup` | empty | a column | One that **every** write "
        "changes, such as `updated_at` kept by a trigger: what strict topics of this table missed "
        "is read as their users and told, and declared topics that have no `catchup` of their own "
        "take this one. |\n";

    tg_buf_str(out, TG_STR(text));
}
