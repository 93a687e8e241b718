/* key.h - the table of keys.h as data, for code that goes over all keys. */
#ifndef TG_CONFIG_KEY_H
#define TG_CONFIG_KEY_H

#include "config/config.h"

enum tg_config_type {
    TG_CONFIG_KEY_BOOL,
    TG_CONFIG_KEY_U32,
    TG_CONFIG_KEY_U64,
    TG_CONFIG_KEY_DURATION,
    TG_CONFIG_KEY_BYTES,
    TG_CONFIG_KEY_TEXT,
    TG_CONFIG_KEY_NAME,
    TG_CONFIG_KEY_ADDRESS,
    TG_CONFIG_KEY_URL,
    TG_CONFIG_KEY_PATH_URL,
    TG_CONFIG_KEY_SOCKET_URL,
    TG_CONFIG_KEY_STORE_URL,
    TG_CONFIG_KEY_CIDRS,
    TG_CONFIG_KEY_ORIGINS,
    TG_CONFIG_KEY_TABLES,
    TG_CONFIG_KEY_POLICY,
    TG_CONFIG_KEY_LEVEL,
};

/* Longest dotted name and longest variable, NUL included; a test holds them to it. */
enum { TG_CONFIG_KEY_NAME_MAX = 64, TG_CONFIG_KEY_VARIABLE_MAX = 80 };

struct tg_config_key {
    const char *section;
    const char *name; /* dotted: "server.listen" */
    const char *preset;
    const char *least;
    const char *most;
    const char *about;
    size_t offset; /* in struct tg_config */
    enum tg_config_type type;
    bool is_live;
    bool is_secret;
};

struct tg_config_section {
    const char *name;
    const char *about;
};

/* All: any thread, borrowed for ever. */
const struct tg_config_key *tg_config_keys(void); /* TG_CONFIG_KEYS of them */
size_t tg_config_key_place(const struct tg_config_key *key);
const struct tg_config_key *tg_config_key_find(tg_str name);

/* `name` must be in the table. */
const struct tg_config_key *tg_config_key_get(const char *name);

const struct tg_config_section *tg_config_sections(size_t *ret_n);
const struct tg_config_section *tg_config_section_find(tg_str name);

/* Must be given, by file or environment. */
bool tg_config_key_is_required(const struct tg_config_key *key);
bool tg_config_key_is_list(const struct tg_config_key *key);

/* "TIDEGATE_SERVER_LISTEN", NUL-terminated. */
void tg_config_key_variable(const struct tg_config_key *key,
                            char ret_name[TG_CONFIG_KEY_VARIABLE_MAX]);

#endif
