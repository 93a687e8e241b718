/* topics.c - declared topics: reading, rules, and writing down. */
#include "config/topics.h"

#include "config/text.h"

static const char *const key_types[] = {
    [TG_TOPIC_BY_TEXT] = "text",
    [TG_TOPIC_BY_UUID] = "uuid",
    [TG_TOPIC_BY_INT] = "int",
};

const char *tg_topics_key_type(enum tg_config_topic_key type)
{
    return key_types[type];
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

/* ---- reading ---- */

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
    topics->items[topics->n++] =
        (struct tg_config_topic){.name = tg_arena_cstr(&cfg->arena, name), .line = item->line};
    return NULL;
}

static const char *set_public(struct tg_config_topic *t, tg_str text)
{
    t->is_public = tg_str_eq(text, TG_STR("true")) || tg_str_eq(text, TG_STR("on"));
    if (!t->is_public && !tg_str_eq(text, TG_STR("false")) && !tg_str_eq(text, TG_STR("off"))) {
        return "allowed: on or off";
    }
    return NULL;
}

static const char *set_key_type(struct tg_config_topic *t, tg_str text)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(key_types); i++) {
        if (tg_str_eq(text, tg_str_of(key_types[i]))) {
            t->key_type = (enum tg_config_topic_key)i;
            return NULL;
        }
    }
    return "allowed: text, uuid or int";
}

static const char *set(struct tg_config_topic *t, tg_str key, const struct tg_yaml_item *item)
{
    static const struct {
        const char *key;
        const char *(*set)(struct tg_config_topic *t, tg_str text);
    } members[] = {{"public", set_public}, {"key_type", set_key_type}};

    for (size_t i = 0; i < TG_ARRAY_LEN(members); i++) {
        if (!tg_str_eq(key, tg_str_of(members[i].key))) {
            continue;
        }
        if ((t->given & (1U << i)) != 0) {
            return "already given for this topic";
        }
        t->given |= 1U << i;
        return item->kind == TG_YAML_TEXT ? members[i].set(t, item->text) : "one value is wanted";
    }
    return "is not a key of a topic; there are: public, key_type";
}

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
        return item->kind == TG_YAML_SECTION ? "a topic's name has no dots" : NULL;
    }
    /* What is nested below an unknown key was told with it. */
    return tg_str_find(rest, '.') < rest.n ? NULL : set(t, rest, item);
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

void tg_topics_check(const struct tg_config *cfg, tg_topics_error_fn *on_error, void *arg)
{
    for (size_t i = 0; i < cfg->topics.n; i++) {
        const struct tg_config_topic *t = &cfg->topics.items[i];

        if (!t->is_public) {
            on_error(t->line, tg_str_of(t->name),
                     "nothing says who may read this topic: give it public: true", arg);
        }
    }
}

/* ---- writing ---- */

void tg_topics_render(const struct tg_config *cfg, struct tg_buf *out)
{
    tg_buf_str(out, cfg->topics.n == 0 ? TG_STR("topics: {}\n") : TG_STR("topics:\n"));
    for (size_t i = 0; i < cfg->topics.n; i++) {
        const struct tg_config_topic *t = &cfg->topics.items[i];

        tg_buf_printf(out, "  %s: { public: %s, key_type: %s }\n", t->name,
                      t->is_public ? "on" : "off", tg_topics_key_type(t->key_type));
    }
}

void tg_topics_copy(struct tg_config *to, const struct tg_config *from)
{
    to->topics = from->topics;
    for (size_t i = 0; i < to->topics.n; i++) {
        to->topics.items[i].name = tg_arena_cstr(&to->arena, tg_str_of(from->topics.items[i].name));
    }
}

void tg_topics_doc(struct tg_buf *out)
{
    static const char text[] =
        "\n## topics\n"
        "\n"
        "Declared topics: what clients name `<name>:<key>`. Their events come from\n"
        "`POST /sync/v1/publish`. In the file only; changes need a restart.\n"
        "\n"
        "```yaml\n"
        "topics:\n"
        "  trip-notices: { public: true, key_type: int } # trip-notices:42\n"
        "```\n"
        "\n"
        "A name is made of lower-case letters, digits, dashes and underscores, at most 63, and\n"
        "begins with a letter; `table` and `inbox` are taken. There are at most 128.\n"
        "\n"
        "| key | default | allowed | meaning |\n"
        "|---|---|---|---|\n"
        "| `topics.<name>.public` | `off` | on or off | Whoever has the project's anon or "
        "publishable key may read it, signed in or not. A topic that is not public is refused: "
        "nothing would say who may read it. |\n"
        "| `topics.<name>.key_type` | `text` | text, uuid or int | What stands behind the colon: "
        "1 to 128 bytes without blanks and controls, a UUID in lower case, or a whole number "
        "without leading zeros. Another spelling is answered 400. |\n";

    tg_buf_str(out, TG_STR(text));
}
