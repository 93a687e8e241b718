/* load.c - defaults, file, environment, rules. One pass over each; errors are collected, so
 * that an operator corrects a file once. */
#include "config/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "config/check.h"
#include "config/tables.h"
#include "config/topics.h"
#include "config/value.h"
#include "config/yaml.h"

enum { MAX_SHOWN = 80, MAX_SECTIONS = 32, MAX_UNKNOWN = 1024 };

struct loader {
    struct tg_config *cfg;
    const char *path;
    struct tg_buf *errors;
    unsigned n_errors;
    unsigned section_lines[MAX_SECTIONS]; /* 0: not seen */
    struct tg_buf unknown;                /* the last mapping that is no section */
};

static void at_line(struct loader *l, unsigned line)
{
    l->n_errors++;
    tg_buf_printf(l->errors, "%s:%u: ", l->path, line);
}

static void end_line(struct loader *l)
{
    tg_buf_char(l->errors, '\n');
}

/* Untrusted text in a message: short and printable. */
static void show(struct loader *l, tg_str text)
{
    size_t n = TG_MIN(text.n, (size_t)MAX_SHOWN);

    tg_buf_char(l->errors, '"');
    for (size_t i = 0; i < n; i++) {
        tg_buf_char(l->errors, text.p[i] >= ' ' && text.p[i] < 0x7f ? text.p[i] : '?');
    }
    tg_buf_str(l->errors, n < text.n ? TG_STR("...\"") : TG_STR("\""));
}

static void complain_value(struct loader *l, const struct tg_config_key *key, tg_str text)
{
    tg_buf_printf(l->errors, "%s: ", key->name);
    if (key->is_secret) {
        tg_buf_str(l->errors, TG_STR("this value"));
    } else {
        show(l, text);
    }
    tg_buf_str(l->errors, TG_STR(" is not allowed; allowed: "));
    tg_value_describe(key, l->errors);
    end_line(l);
}

/* What may stand where an unknown name stands: the keys of its section, or the sections. */
static void complain_unknown(struct loader *l, tg_str name)
{
    tg_str rest = name;
    tg_str first = tg_str_cut(&rest, '.');
    const struct tg_config_section *section = tg_config_section_find(first);
    const struct tg_config_key *keys = tg_config_keys();
    size_t n_sections = 0;
    const struct tg_config_section *sections = tg_config_sections(&n_sections);
    const char *sep = "";

    show(l, name);
    if (section == NULL || rest.p == NULL) {
        tg_buf_str(l->errors, TG_STR(" is not a section; there are: "));
        for (size_t i = 0; i < n_sections; i++) {
            tg_buf_printf(l->errors, "%s%s", sep, sections[i].name);
            sep = ", ";
        }
        tg_buf_printf(l->errors, "%stables, topics", sep);
    } else {
        tg_buf_str(l->errors, TG_STR(" is not a key; this section has: "));
        for (size_t i = 0; i < TG_CONFIG_KEYS; i++) {
            if (strcmp(keys[i].section, section->name) == 0) {
                tg_buf_printf(l->errors, "%s%s", sep, strchr(keys[i].name, '.') + 1);
                sep = ", ";
            }
        }
    }
    end_line(l);
}

/* The members of what is no section are not worth a line each. */
static bool is_below_unknown(const struct loader *l, tg_str name)
{
    return l->unknown.n > 0 && name.n > l->unknown.n && name.p[l->unknown.n] == '.' &&
           tg_str_has_prefix(name, tg_buf_view(&l->unknown));
}

static void on_unknown(struct loader *l, const struct tg_yaml_item *item)
{
    at_line(l, item->line);
    complain_unknown(l, item->name);
    tg_buf_clear(&l->unknown);
    if (item->kind == TG_YAML_SECTION) {
        tg_buf_str(&l->unknown, item->name);
    }
}

static void on_section(struct loader *l, const struct tg_config_section *section, unsigned line)
{
    size_t n = 0;
    size_t place = (size_t)(section - tg_config_sections(&n));

    TG_ASSERT(n <= MAX_SECTIONS);
    if (l->section_lines[place] != 0) {
        at_line(l, line);
        tg_buf_printf(l->errors, "%s: already begun in line %u", section->name,
                      l->section_lines[place]);
        end_line(l);
        return;
    }
    l->section_lines[place] = line;
}

static void on_key(struct loader *l, const struct tg_config_key *key,
                   const struct tg_yaml_item *item)
{
    struct tg_config_origin *origin = &l->cfg->origin[tg_config_key_place(key)];

    if (origin->line != 0) {
        at_line(l, item->line);
        tg_buf_printf(l->errors, "%s: already given in line %u", key->name, origin->line);
        end_line(l);
        return;
    }
    *origin = (struct tg_config_origin){TG_FROM_FILE, item->line};
    if (item->kind == TG_YAML_EMPTY || item->kind == TG_YAML_SECTION ||
        (item->kind == TG_YAML_LIST && !tg_config_key_is_list(key))) {
        at_line(l, item->line);
        tg_buf_printf(l->errors, "%s: one value is wanted; allowed: ", key->name);
        tg_value_describe(key, l->errors);
        end_line(l);
    } else if (tg_value_set(key, l->cfg, item->text) != TG_OK) {
        at_line(l, item->line);
        complain_value(l, key, item->text);
    }
}

static void on_topic(unsigned line, tg_str name, const char *what, void *arg)
{
    struct loader *l = arg;

    at_line(l, line);
    show(l, name);
    tg_buf_printf(l->errors, ": %s", what);
    end_line(l);
}

static void on_item(const struct tg_yaml_item *item, void *arg)
{
    struct loader *l = arg;
    const struct tg_config_key *key = tg_config_key_find(item->name);
    const struct tg_config_section *section = tg_config_section_find(item->name);

    if (tg_topics_take(l->cfg, item, on_topic, l) || tg_tables_take(l->cfg, item, on_topic, l)) {
        return;
    }
    if (key != NULL) {
        on_key(l, key, item);
    } else if (section != NULL && (item->kind == TG_YAML_SECTION || item->kind == TG_YAML_EMPTY)) {
        on_section(l, section, item->line);
    } else if (!is_below_unknown(l, item->name)) {
        on_unknown(l, item);
    }
}

static void on_syntax(unsigned line, const char *what, void *arg)
{
    struct loader *l = arg;

    at_line(l, line);
    tg_buf_str(l->errors, tg_str_of(what));
    end_line(l);
}

static void complain_file(struct loader *l, const char *what)
{
    l->n_errors++;
    tg_buf_printf(l->errors, "%s: %s\n", l->path, what);
}

/* One byte more than allowed tells that there are too many. */
static bool slurp(int fd, struct tg_buf *text)
{
    for (;;) {
        ssize_t n = 0;

        if (text->n > TG_CONFIG_FILE_MAX || tg_buf_reserve(text, 4096) != TG_OK) {
            return true;
        }
        n = read(fd, text->p + text->n, 4096);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return n == 0;
        }
        text->n += n > 0 ? (size_t)n : 0;
    }
}

static void load_file(struct loader *l)
{
    int fd = open(l->path, O_RDONLY | O_CLOEXEC);
    struct tg_buf text;

    if (fd < 0) {
        complain_file(l, errno == ENOENT ? "there is no such file" : "cannot be opened");
        return;
    }
    tg_buf_init(&text, TG_CONFIG_FILE_MAX + 8192);
    if (!slurp(fd, &text)) {
        complain_file(l, "cannot be read");
    } else if (text.n > TG_CONFIG_FILE_MAX) {
        complain_file(l, "is larger than 1 MiB");
    } else if (!tg_str_is_utf8(tg_buf_view(&text))) {
        complain_file(l, "is not UTF-8");
    } else {
        /* Its one failure has been told by then. */
        (void)!tg_yaml_read(tg_buf_view(&text), on_item, on_syntax, l);
    }
    if (text.n > 0) {
        explicit_bzero(text.p, text.n);
    }
    tg_buf_fini(&text);
    (void)close(fd);
}

static const struct tg_config_key *key_of_variable(tg_str variable)
{
    const struct tg_config_key *keys = tg_config_keys();
    char name[TG_CONFIG_KEY_VARIABLE_MAX];

    for (size_t i = 0; i < TG_CONFIG_KEYS; i++) {
        tg_config_key_variable(&keys[i], name);
        if (tg_str_eq(variable, tg_str_of(name))) {
            return &keys[i];
        }
    }
    return NULL;
}

/* Variables that are not meant for us: the path of the file, which the command line has read,
 * and what container engines set for a service named "tidegate". */
static bool is_foreign(tg_str variable)
{
    return tg_str_eq(variable, TG_STR("TIDEGATE_CONFIG")) ||
           tg_str_has_prefix(variable, TG_STR("TIDEGATE_PORT")) ||
           tg_str_has_prefix(variable, TG_STR("TIDEGATE_SERVICE_"));
}

static void load_variable(struct loader *l, tg_str variable, tg_str text)
{
    const struct tg_config_key *key = key_of_variable(variable);

    if (key == NULL) {
        if (!is_foreign(variable)) {
            l->n_errors++;
            tg_buf_str(l->errors, TG_STR("environment: "));
            show(l, variable);
            tg_buf_str(l->errors, TG_STR(" is not a key; docs/CONFIG.md lists them"));
            end_line(l);
        }
        return;
    }
    /* Compose files pass unset variables on as empty ones. */
    if (text.n == 0) {
        return;
    }
    l->cfg->origin[tg_config_key_place(key)].from = TG_FROM_ENVIRONMENT;
    if (tg_value_set(key, l->cfg, text) != TG_OK) {
        l->n_errors++;
        tg_buf_printf(l->errors, "environment: %.*s: ", TG_STR_ARG(variable));
        complain_value(l, key, text);
    }
}

static void load_environment(struct loader *l, char *const *environment)
{
    for (char *const *entry = environment; entry != NULL && *entry != NULL; entry++) {
        tg_str text = tg_str_of(*entry);

        if (tg_str_has_prefix(text, TG_STR("TIDEGATE_"))) {
            tg_str variable = tg_str_cut(&text, '=');

            load_variable(l, variable, text);
        }
    }
}

static void load_presets(struct tg_config *cfg)
{
    const struct tg_config_key *keys = tg_config_keys();

    for (size_t i = 0; i < TG_CONFIG_KEYS; i++) {
        if (tg_config_key_is_required(&keys[i])) {
            const char **member = (void *)((char *)cfg + keys[i].offset);

            *member = "";
        } else {
            TG_ASSERT(tg_value_set(&keys[i], cfg, tg_str_of(keys[i].preset)) == TG_OK);
        }
    }
}

static void check_required(struct loader *l)
{
    const struct tg_config_key *keys = tg_config_keys();
    char variable[TG_CONFIG_KEY_VARIABLE_MAX];

    for (size_t i = 0; i < TG_CONFIG_KEYS; i++) {
        if (tg_config_key_is_required(&keys[i]) && l->cfg->origin[i].from == TG_FROM_DEFAULT) {
            tg_config_key_variable(&keys[i], variable);
            l->n_errors++;
            tg_buf_printf(l->errors, "%s: %s is required (or %s); allowed: ",
                          l->path == NULL ? "environment" : l->path, keys[i].name, variable);
            tg_value_describe(&keys[i], l->errors);
            end_line(l);
        }
    }
}

static void on_rule(const char *name, const char *what, void *arg)
{
    struct loader *l = arg;
    const struct tg_config_origin *origin =
        &l->cfg->origin[tg_config_key_place(tg_config_key_get(name))];

    if (origin->from == TG_FROM_FILE) {
        at_line(l, origin->line);
    } else {
        l->n_errors++;
        tg_buf_printf(l->errors,
                      "%s: ", origin->from == TG_FROM_ENVIRONMENT ? "environment" : "default");
    }
    tg_buf_printf(l->errors, "%s: %s", name, what);
    end_line(l);
}

enum tg_rc tg_config_load(const char *path, char *const *environment, struct tg_config **ret_cfg,
                          struct tg_buf *errors)
{
    struct loader l = {.cfg = TG_NEW(struct tg_config), .path = path, .errors = errors};

    tg_buf_init(&l.unknown, MAX_UNKNOWN);
    load_presets(l.cfg);
    if (path != NULL) {
        load_file(&l);
    }
    load_environment(&l, environment);
    check_required(&l);
    tg_check_rules(l.cfg, on_rule, &l);
    tg_topics_check(l.cfg, on_topic, &l);
    tg_buf_fini(&l.unknown);
    if (l.n_errors > 0) {
        tg_config_destroy(l.cfg);
        return TG_EBADPARAM;
    }
    tg_check_derive(l.cfg);
    tg_topics_derive(l.cfg);
    *ret_cfg = l.cfg;
    return TG_OK;
}

void tg_config_destroy(struct tg_config *cfg)
{
    if (cfg != NULL) {
        tg_arena_drop(&cfg->arena);
        free(cfg);
    }
}
