/* doc.c - `tidegate --dump` and `tidegate --config-doc`. */
#include "config/doc.h"

#include "config/tables.h"
#include "config/topics.h"
#include "config/value.h"

static const char intro[] =
    "# Configuration\n"
    "\n"
    "<!-- Made by `tidegate --config-doc` from config/keys.h. Do not edit. -->\n"
    "\n"
    "The gateway reads a YAML file (`tidegate -c FILE`, or the variable `TIDEGATE_CONFIG`) and\n"
    "environment variables. A variable wins over the file: `server.listen` is\n"
    "`TIDEGATE_SERVER_LISTEN`, lists are separated by commas, and an empty variable counts as not\n"
    "set. `config/tidegate.example.yaml` shows every section.\n"
    "\n"
    "An unknown key, an unknown variable that begins with `TIDEGATE_` (other than\n"
    "`TIDEGATE_PORT*` and `TIDEGATE_SERVICE_*`, which container engines set) or a value that is\n"
    "not allowed stops the start; every mistake is listed with its file and line.\n"
    "`tidegate --check` only checks. `tidegate --dump` prints what is in force, secrets starred.\n"
    "\n"
    "Keys marked *live* change on reload (SIGHUP); all others need a restart.\n";

static tg_str short_name(const struct tg_config_key *key)
{
    tg_str name = tg_str_of(key->name);

    (void)tg_str_cut(&name, '.');
    return name;
}

static const char *from_name(const struct tg_config_origin *origin)
{
    static const char *const names[] = {
        [TG_FROM_DEFAULT] = "default",
        [TG_FROM_DERIVED] = "derived",
        [TG_FROM_FILE] = "file",
        [TG_FROM_ENVIRONMENT] = "environment",
    };

    return names[origin->from];
}

/* YAML's double quotes; controls cannot occur in a value. */
static void quote(struct tg_buf *out, tg_str text)
{
    tg_buf_char(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"' || text.p[i] == '\\') {
            tg_buf_char(out, '\\');
        }
        tg_buf_char(out, text.p[i]);
    }
    tg_buf_char(out, '"');
}

static void dump_key(const struct tg_config *cfg, const struct tg_config_key *key,
                     struct tg_buf *out)
{
    struct tg_buf value;

    tg_buf_init(&value, TG_CONFIG_DOC_MAX);
    tg_value_render(key, cfg, &value);
    tg_buf_printf(out, "  %.*s: ", TG_STR_ARG(short_name(key)));
    if (key->is_secret && value.n > 0) {
        tg_buf_str(out, TG_STR("\"****\""));
    } else {
        quote(out, tg_buf_view(&value));
    }
    tg_buf_printf(out, " # %s\n", from_name(&cfg->origin[tg_config_key_place(key)]));
    tg_buf_fini(&value);
}

void tg_config_dump(const struct tg_config *cfg, struct tg_buf *out)
{
    const struct tg_config_key *keys = tg_config_keys();
    const char *section = "";

    for (size_t i = 0; i < TG_CONFIG_KEYS; i++) {
        if (strcmp(section, keys[i].section) != 0) {
            section = keys[i].section;
            tg_buf_printf(out, "%s:\n", section);
        }
        dump_key(cfg, &keys[i], out);
    }
    tg_tables_render(cfg, out);
    tg_topics_render(cfg, out);
}

static void describe_preset(const struct tg_config_key *key, struct tg_buf *out)
{
    if (tg_config_key_is_required(key)) {
        tg_buf_str(out, TG_STR("**required**"));
    } else if (key->preset[0] == '\0') {
        tg_buf_str(out, TG_STR("empty"));
    } else {
        tg_buf_printf(out, "`%s`", key->preset);
    }
}

static void describe_key(const struct tg_config_key *key, struct tg_buf *out)
{
    tg_buf_printf(out, "| `%s` | ", key->name);
    describe_preset(key, out);
    tg_buf_str(out, TG_STR(" | "));
    tg_value_describe(key, out);
    tg_buf_printf(out, " | %s%s%s |\n", key->about, key->is_secret ? " *Secret.*" : "",
                  key->is_live ? " *Live.*" : "");
}

void tg_config_doc(struct tg_buf *out)
{
    const struct tg_config_key *keys = tg_config_keys();
    size_t n_sections = 0;
    const struct tg_config_section *sections = tg_config_sections(&n_sections);

    tg_buf_str(out, tg_str_of(intro));
    for (size_t s = 0; s < n_sections; s++) {
        tg_buf_printf(out, "\n## %s\n\n%s\n\n", sections[s].name, sections[s].about);
        tg_buf_str(out, TG_STR("| key | default | allowed | meaning |\n|---|---|---|---|\n"));
        for (size_t i = 0; i < TG_CONFIG_KEYS; i++) {
            if (strcmp(keys[i].section, sections[s].name) == 0) {
                describe_key(&keys[i], out);
            }
        }
    }
    tg_tables_doc(out);
    tg_topics_doc(out);
}
