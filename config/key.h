/* key.h - the table of keys.h as data, for code that goes over all keys. */
#ifndef TG_CONFIG_KEY_H
#define TG_CONFIG_KEY_H

#include "config/config.h"

enum tg_key_type {
    TG_KEY_BOOL,
    TG_KEY_U32,
    TG_KEY_U64,
    TG_KEY_DURATION,
    TG_KEY_BYTES,
    TG_KEY_TEXT,
    TG_KEY_NAME,
    TG_KEY_ADDRESS,
    TG_KEY_URL,
    TG_KEY_PATH_URL,
    TG_KEY_SOCKET_URL,
    TG_KEY_STORE_URL,
    TG_KEY_CIDRS,
    TG_KEY_ORIGINS,
    TG_KEY_TABLES,
    TG_KEY_POLICY,
    TG_KEY_LEVEL,
};

/* Longest dotted name and longest variable, NUL included; a test holds them to it. */
enum { TG_KEY_NAME_MAX = 64, TG_KEY_VARIABLE_MAX = 80 };

struct tg_key {
    const char *section;
    const char *name; /* dotted: "server.listen" */
    const char *preset;
    const char *least;
    const char *most;
    const char *about;
    size_t offset; /* in struct tg_config */
    enum tg_key_type type;
    bool is_live;
    bool is_secret;
};

struct tg_key_section {
    const char *name;
    const char *about;
};

/* All: any thread, borrowed for ever. */
const struct tg_key *tg_keys(void); /* TG_KEY_N of them */
size_t tg_key_place(const struct tg_key *key);
const struct tg_key *tg_key_find(tg_str name);

/* `name` must be in the table. */
const struct tg_key *tg_key_get(const char *name);

const struct tg_key_section *tg_key_sections(size_t *ret_n);
const struct tg_key_section *tg_key_section_find(tg_str name);

/* Must be given, by file or environment. */
bool tg_key_is_required(const struct tg_key *key);
bool tg_key_is_list(const struct tg_key *key);

/* "TIDEGATE_SERVER_LISTEN", NUL-terminated. */
void tg_key_variable(const struct tg_key *key, char ret_name[TG_KEY_VARIABLE_MAX]);

#endif
