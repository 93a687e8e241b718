/* key.c - keys.h turned into two constant arrays. */
#include "config/key.h"

#include <stdio.h>

enum { RESTART_KEY = false, LIVE_KEY = true, PLAIN_KEY = false, SECRET_KEY = true };

#define KEY_ROW(sec, key, kind, preset_, least_, most_, reload, secrecy, about_)                   \
    {.section = #sec,                                                                              \
     .name = #sec "." #key,                                                                        \
     .preset = (preset_),                                                                          \
     .least = (least_),                                                                            \
     .most = (most_),                                                                              \
     .about = about_,                                                                              \
     .offset = offsetof(struct tg_config, sec.TG_MEMBER_##kind(key)),                              \
     .type = TG_CONFIG_KEY_##kind,                                                                 \
     .is_live = (bool)reload##_KEY,                                                                \
     .is_secret = (bool)secrecy##_KEY},
#define SECTION_KEYS(section, keys, about) keys(KEY_ROW)
#define SECTION_ROW(section, keys, about_) {.name = #section, .about = (about_)},

static const struct tg_config_key table[TG_CONFIG_KEYS] = {TG_CONFIG_SECTIONS(SECTION_KEYS)};
static const struct tg_config_section sections[] = {TG_CONFIG_SECTIONS(SECTION_ROW)};

const struct tg_config_key *tg_config_keys(void)
{
    return table;
}

size_t tg_config_key_place(const struct tg_config_key *key)
{
    return (size_t)(key - table);
}

const struct tg_config_key *tg_config_key_find(tg_str name)
{
    for (size_t i = 0; i < TG_CONFIG_KEYS; i++) {
        if (tg_str_eq(name, tg_str_of(table[i].name))) {
            return &table[i];
        }
    }
    return NULL;
}

const struct tg_config_key *tg_config_key_get(const char *name)
{
    const struct tg_config_key *key = tg_config_key_find(tg_str_of(name));

    TG_ASSERT(key != NULL);
    return key;
}

const struct tg_config_section *tg_config_sections(size_t *ret_n)
{
    *ret_n = TG_ARRAY_LEN(sections);
    return sections;
}

const struct tg_config_section *tg_config_section_find(tg_str name)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(sections); i++) {
        if (tg_str_eq(name, tg_str_of(sections[i].name))) {
            return &sections[i];
        }
    }
    return NULL;
}

bool tg_config_key_is_list(const struct tg_config_key *key)
{
    return key->type == TG_CONFIG_KEY_CIDRS || key->type == TG_CONFIG_KEY_ORIGINS ||
           key->type == TG_CONFIG_KEY_TABLES;
}

static bool is_text(const struct tg_config_key *key)
{
    return key->type >= TG_CONFIG_KEY_TEXT && key->type <= TG_CONFIG_KEY_STORE_URL;
}

bool tg_config_key_is_required(const struct tg_config_key *key)
{
    return is_text(key) && key->preset[0] == '\0' && key->least[0] != '0';
}

void tg_config_key_variable(const struct tg_config_key *key,
                            char ret_name[TG_CONFIG_KEY_VARIABLE_MAX])
{
    int n = snprintf(ret_name, TG_CONFIG_KEY_VARIABLE_MAX, "TIDEGATE_%s", key->name);

    TG_ASSERT(n > 0 && n < TG_CONFIG_KEY_VARIABLE_MAX);
    for (char *c = ret_name; *c != '\0'; c++) {
        if (*c == '.') {
            *c = '_';
        } else if (*c >= 'a' && *c <= 'z') {
            *c = (char)(*c - 'a' + 'A');
        }
    }
}
