/* topics.c - declared topics: reading. */
#include "config/topics.h"

#include "config/tables.h"
#include "config/text.h"
#include "config/value.h"

enum { MAX_TEXT = 2048 };

#define MIN_RECHECK_MS UINT64_C(1000)
#define MAX_RECHECK_MS (UINT64_C(24) * 60 * 60 * 1000)
#define MIN_RETAIN_MS (UINT64_C(60) * 1000)
#define MAX_RETAIN_MS (UINT64_C(365) * 24 * 60 * 60 * 1000)
#define MIN_RETAIN_EVENTS UINT64_C(10)
#define MAX_RETAIN_EVENTS UINT64_C(10000000)

static const char *const key_types[] = {
    [TG_TOPIC_BY_TEXT] = "text",
    [TG_TOPIC_BY_UUID] = "uuid",
    [TG_TOPIC_BY_INT] = "int",
};
static const char *const deletes_words[] = {
    [TG_DELETES_BY_INDEX] = "index",
    [TG_DELETES_BY_SOFT] = "soft",
};

const char *tg_topics_key_type(enum tg_config_topic_key type)
{
    return key_types[type];
}

const char *tg_topics_deletes(enum tg_config_deletes deletes)
{
    return deletes_words[deletes];
}

static struct tg_config_topic *find(struct tg_config_topics *topics, tg_str name)
{
    for (size_t i = 0; i < topics->n; i++) {
        if (tg_str_eq(tg_str_of(topics->items[i].name), name)) {
            return &topics->items[i];
        }
    }
    return NULL;
}

static const char *add(struct tg_config *cfg, tg_str name, const struct tg_yaml_item *item)
{
    struct tg_config_topics *topics = &cfg->topics;

    if (item->kind != TG_YAML_SECTION && item->kind != TG_YAML_EMPTY) {
        return "a mapping is wanted, such as { public: true }";
    }
    if (!tg_text_is_topic(name)) {
        return "a topic's name is made of lower-case letters, digits, dashes and underscores, at "
               "most 63, begins with a letter, and is neither table nor inbox";
    }
    if (find(topics, name) != NULL) {
        return "this topic is already declared";
    }
    if (topics->n == TG_CONFIG_TOPICS_MAX) {
        return "at most 128 topics can be declared";
    }
    topics->items[topics->n++] = (struct tg_config_topic){
        .name = tg_arena_cstr(&cfg->arena, name),
        .table = "",
        .key = "",
        .where = "",
        .authorize = "",
        .revoke_on = {"", "", ""},
        .catchup = "",
        .line = item->line,
    };
    return NULL;
}

/* ---- members ---- */

/* What a member is set from. */
struct given {
    struct tg_config *cfg;
    struct tg_config_topic *topic;
    tg_str text;
    unsigned line;
};

static const char *copy(const struct given *g, const char **member)
{
    *member = tg_arena_cstr(&g->cfg->arena, g->text);
    return NULL;
}

static const char *set_public(const struct given *g)
{
    bool is_on = tg_str_eq(g->text, TG_STR("true")) || tg_str_eq(g->text, TG_STR("on"));

    g->topic->is_public = is_on;
    if (!is_on && !tg_str_eq(g->text, TG_STR("false")) && !tg_str_eq(g->text, TG_STR("off"))) {
        return "allowed: on or off";
    }
    return NULL;
}

static const char *set_key_type(const struct given *g)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(key_types); i++) {
        if (tg_str_eq(g->text, tg_str_of(key_types[i]))) {
            g->topic->key_type = (enum tg_config_topic_key)i;
            return NULL;
        }
    }
    return "allowed: text, uuid or int";
}

static const char *set_deletes(const struct given *g)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(deletes_words); i++) {
        if (tg_str_eq(g->text, tg_str_of(deletes_words[i]))) {
            g->topic->deletes = (enum tg_config_deletes)i;
            return NULL;
        }
    }
    return "allowed: index or soft";
}

static const char *check_table(tg_str text)
{
    tg_str schema = tg_str_cut(&text, '.');

    return text.p != NULL && tg_text_is_identifier(schema) && tg_text_is_identifier(text)
               ? NULL
               : "a table is written schema.table, in plain names";
}

static const char *set_table(const struct given *g)
{
    const char *why = check_table(g->text);

    return why == NULL ? copy(g, &g->topic->table) : why;
}

static const char *set_revoke_table(const struct given *g)
{
    const char *why = check_table(g->text);

    return why == NULL ? copy(g, &g->topic->revoke_on.table) : why;
}

static const char *set_column(const struct given *g, const char **member)
{
    return tg_text_is_identifier(g->text)
               ? copy(g, member)
               : "one column is wanted, a plain name: letters, digits, _ and $";
}

static const char *set_key(const struct given *g)
{
    return set_column(g, &g->topic->key);
}

static const char *set_revoke_key(const struct given *g)
{
    return set_column(g, &g->topic->revoke_on.key);
}

static const char *set_revoke_user(const struct given *g)
{
    return set_column(g, &g->topic->revoke_on.user);
}

static const char *set_catchup(const struct given *g)
{
    return set_column(g, &g->topic->catchup);
}

static const char *set_covers(const struct given *g)
{
    g->topic->catches_inserts = tg_str_eq(g->text, TG_STR("inserts"));
    return g->topic->catches_inserts ? NULL : "allowed: inserts";
}

static const char *set_columns(const struct given *g)
{
    const char *why =
        tg_tables_check_columns(g->text, TG_CONFIG_COLUMNS_MAX, "at most 256 columns");

    if (why == NULL) {
        g->topic->columns = tg_tables_columns(&g->cfg->arena, g->text);
    }
    return why;
}

static const char *set_plain(const struct given *g, const char **member)
{
    return g->text.n == 0 || g->text.n > MAX_TEXT || !tg_text_is_plain(g->text)
               ? "printable text of 1 to 2048 bytes is wanted"
               : copy(g, member);
}

static const char *set_where(const struct given *g)
{
    g->topic->where_line = g->line;
    return set_plain(g, &g->topic->where);
}

static const char *set_authorize(const struct given *g)
{
    g->topic->authorize_line = g->line;
    return set_plain(g, &g->topic->authorize);
}

static const char *set_duration(const struct given *g, uint64_t least, uint64_t most,
                                const char *allowed, uint64_t *member)
{
    uint64_t ms = 0;

    if (tg_value_duration(g->text, &ms) != TG_OK || ms < least || ms > most) {
        return allowed;
    }
    *member = ms;
    return NULL;
}

static const char *set_recheck(const struct given *g)
{
    return set_duration(g, MIN_RECHECK_MS, MAX_RECHECK_MS,
                        "allowed: a duration from 1s to 1d (units ms, s, m, h, d)",
                        &g->topic->recheck_ms);
}

static const char *set_retain_for(const struct given *g)
{
    return set_duration(g, MIN_RETAIN_MS, MAX_RETAIN_MS,
                        "allowed: a duration from 1m to 365d (units ms, s, m, h, d)",
                        &g->topic->retain_for_ms);
}

static const char *set_retain_events(const struct given *g)
{
    uint64_t n = 0;

    if (tg_str_to_u64(g->text, &n) != TG_OK || n < MIN_RETAIN_EVENTS || n > MAX_RETAIN_EVENTS) {
        return "allowed: a number from 10 to 10000000";
    }
    g->topic->retain_events = n;
    return NULL;
}

/* Which kinds of items a member may be. */
enum { ONE = 1, LIST = 2, GROUP = 4 };

static const struct member {
    const char *name;
    unsigned bit;
    unsigned kinds;
    const char *(*set)(const struct given *g);
} members[] = {
    {"public", TG_TOPICS_PUBLIC, ONE, set_public},
    {"key_type", TG_TOPICS_KEY_TYPE, ONE, set_key_type},
    {"table", TG_TOPICS_TABLE, ONE, set_table},
    {"key", TG_TOPICS_KEY, ONE, set_key},
    {"columns", TG_TOPICS_COLUMNS, LIST, set_columns},
    {"where", TG_TOPICS_WHERE, ONE, set_where},
    {"authorize", TG_TOPICS_AUTHORIZE, ONE, set_authorize},
    {"recheck", TG_TOPICS_RECHECK, ONE, set_recheck},
    {"deletes", TG_TOPICS_DELETES, ONE, set_deletes},
    {"catchup", TG_TOPICS_CATCHUP, ONE | GROUP, set_catchup},
    {"catchup.column", TG_TOPICS_CATCHUP_COLUMN, ONE, set_catchup},
    {"catchup.covers", TG_TOPICS_CATCHUP_COVERS, ONE, set_covers},
    {"revoke_on", TG_TOPICS_REVOKE_ON, GROUP, NULL},
    {"revoke_on.table", TG_TOPICS_REVOKE_TABLE, ONE, set_revoke_table},
    {"revoke_on.key", TG_TOPICS_REVOKE_KEY, ONE, set_revoke_key},
    {"revoke_on.user", TG_TOPICS_REVOKE_USER, ONE, set_revoke_user},
    {"retain", TG_TOPICS_RETAIN, GROUP, NULL},
    {"retain.for", TG_TOPICS_RETAIN_FOR, ONE, set_retain_for},
    {"retain.events", TG_TOPICS_RETAIN_EVENTS, ONE, set_retain_events},
};

static const struct member *member_of(tg_str name)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(members); i++) {
        if (tg_str_eq(name, tg_str_of(members[i].name))) {
            return &members[i];
        }
    }
    return NULL;
}

static const char *complain_kind(const struct member *m)
{
    if (m->kinds == LIST) {
        return "a list of columns is wanted, such as [id, name]";
    }
    if (m->kinds == GROUP) {
        return m->bit == TG_TOPICS_RETAIN ? "a mapping is wanted: { for: 7d, events: 10000 }"
                                          : "a mapping is wanted: { table: public.trip_members, "
                                            "key: trip_id, user: user_id }";
    }
    return "one value is wanted";
}

/* What is below a key that is none was told with that. */
static const char *complain_unknown(tg_str name)
{
    const struct member *group = member_of(tg_str_cut(&name, '.'));

    if (name.p == NULL) {
        return "is not a key of a topic; there are: public, key_type, table, key, columns, where, "
               "authorize, revoke_on, recheck, catchup, deletes, retain";
    }
    if (group == NULL || (group->kinds & GROUP) == 0) {
        return NULL;
    }
    if (group->bit == TG_TOPICS_REVOKE_ON) {
        return "is not a key of revoke_on; there are: table, key, user";
    }
    return group->bit == TG_TOPICS_RETAIN ? "is not a key of retain; there are: for, events"
                                          : "is not a key of catchup; there are: column, covers";
}

static const char *set(struct tg_config *cfg, struct tg_config_topic *t, tg_str name,
                       const struct tg_yaml_item *item)
{
    static const unsigned kinds[] = {[TG_YAML_TEXT] = ONE,
                                     [TG_YAML_LIST] = LIST,
                                     [TG_YAML_EMPTY] = 0,
                                     [TG_YAML_SECTION] = GROUP};
    const struct member *m = member_of(name);
    const struct given given = {cfg, t, item->text, item->line};

    if (m == NULL) {
        return complain_unknown(name);
    }
    if ((t->given & m->bit) != 0) {
        return "already given for this topic";
    }
    t->given |= m->bit;
    if ((kinds[item->kind] & m->kinds) == 0) {
        return complain_kind(m);
    }
    return item->kind == TG_YAML_SECTION ? NULL : m->set(&given);
}

/* ---- the section ---- */

static const char *take(struct tg_config *cfg, tg_str rest, const struct tg_yaml_item *item)
{
    tg_str name = tg_str_cut(&rest, '.');
    struct tg_config_topic *t = NULL;

    if (rest.p == NULL) {
        return add(cfg, name, item);
    }
    t = find(&cfg->topics, name);
    if (t == NULL) {
        /* Told where it was declared, unless the name itself has a dot. */
        return item->kind == TG_YAML_SECTION && tg_str_find(rest, '.') == rest.n &&
                       member_of(rest) == NULL
                   ? "a topic's name has no dots"
                   : NULL;
    }
    return set(cfg, t, rest, item);
}

bool tg_topics_take(struct tg_config *cfg, const struct tg_yaml_item *item,
                    tg_topics_error_fn *on_error, void *arg)
{
    tg_str rest = item->name;
    const char *what = NULL;

    if (!tg_str_eq(tg_str_cut(&rest, '.'), TG_STR("topics"))) {
        return false;
    }
    if (rest.p != NULL) {
        what = take(cfg, rest, item);
    } else if (item->kind == TG_YAML_TEXT || item->kind == TG_YAML_LIST) {
        what = "topics by their names are wanted";
    } else if (cfg->topics.line != 0) {
        what = "already begun further up";
    } else {
        cfg->topics.line = item->line;
    }
    if (what != NULL) {
        on_error(item->line, item->name, what, arg);
    }
    return true;
}
