/* config.h - the configuration as a plain struct: cfg->server.listen, cfg->timeouts.head_ms.
 *
 * Its members are made from keys.h. Once loaded it never changes, so any thread may read it
 * as long as it holds the snapshot (config/snapshot.h). Only server/ includes config/. */
#ifndef TG_CONFIG_CONFIG_H
#define TG_CONFIG_CONFIG_H

#include "config/keys.h"
#include "util/arena.h"
#include "util/log.h"

enum tg_config_policy { TG_POLICY_OFF, TG_POLICY_VERIFY, TG_POLICY_REQUIRE };

/* Texts are never NULL; an unset one is "". */
struct tg_config_list {
    const char **items;
    size_t n;
};

/* Where a value came from; DERIVED ones were worked out from others. */
enum tg_config_from {
    TG_FROM_DEFAULT,
    TG_FROM_DERIVED,
    TG_FROM_FILE,
    TG_FROM_ENVIRONMENT,
};

struct tg_config_origin {
    enum tg_config_from from;
    unsigned line; /* in the file */
};

/* What the key of a declared topic is, and how it must be spelt. */
enum tg_config_topic_key { TG_TOPIC_BY_TEXT, TG_TOPIC_BY_UUID, TG_TOPIC_BY_INT };

enum {
    TG_CONFIG_TOPICS_MAX = 128,
    TG_CONFIG_TABLES_MAX = 256,
    TG_CONFIG_PRIMARY_KEY_MAX = 8,
    TG_CONFIG_COLUMNS_MAX = 256,
};

enum tg_config_deletes { TG_DELETES_BY_INDEX, TG_DELETES_BY_SOFT };

struct tg_config_revoke {
    const char *table;
    const char *key;
    const char *user;
};

/* What its texts mean beyond their form, server/declare.c reads. */
struct tg_config_topic {
    const char *name;
    bool is_public;
    enum tg_config_topic_key key_type;
    const char *table; /* schema.table; empty: the topic is published */
    const char *key;   /* column */
    struct tg_config_list columns;
    const char *where;
    const char *authorize;
    struct tg_config_revoke revoke_on;
    uint64_t recheck_ms;
    const char *catchup; /* column */
    bool catches_inserts;
    enum tg_config_deletes deletes;
    uint64_t retain_for_ms; /* 0: the store's, as below */
    uint64_t retain_events;
    unsigned given; /* members that the file has, as bits: config/topics.c */
    unsigned line;
    unsigned where_line;
    unsigned authorize_line;
};

struct tg_config_table {
    const char *schema;
    const char *name;
    struct tg_config_list primary_key; /* none given: id */
    const char *catchup;               /* column; may be empty */
    unsigned given;
    unsigned line;
};

struct tg_config_tables {
    struct tg_config_table items[TG_CONFIG_TABLES_MAX];
    size_t n;
    unsigned line; /* of the section; 0: there is none */
};

struct tg_config_topics {
    struct tg_config_topic items[TG_CONFIG_TOPICS_MAX];
    size_t n;
    unsigned line; /* of the section; 0: there is none */
};

#define TG_CTYPE_BOOL bool
#define TG_CTYPE_U32 uint32_t
#define TG_CTYPE_U64 uint64_t
#define TG_CTYPE_DURATION uint64_t
#define TG_CTYPE_BYTES uint64_t
#define TG_CTYPE_TEXT const char *
#define TG_CTYPE_NAME const char *
#define TG_CTYPE_ADDRESS const char *
#define TG_CTYPE_URL const char *
#define TG_CTYPE_PATH_URL const char *
#define TG_CTYPE_SOCKET_URL const char *
#define TG_CTYPE_STORE_URL const char *
#define TG_CTYPE_CIDRS struct tg_config_list
#define TG_CTYPE_ORIGINS struct tg_config_list
#define TG_CTYPE_TABLES struct tg_config_list
#define TG_CTYPE_POLICY enum tg_config_policy
#define TG_CTYPE_LEVEL enum tg_log_level

/* The member of a key: its name, with the unit where the name does not tell it. */
#define TG_MEMBER_BOOL(name) name
#define TG_MEMBER_U32(name) name
#define TG_MEMBER_U64(name) name
#define TG_MEMBER_DURATION(name) name##_ms
#define TG_MEMBER_BYTES(name) name
#define TG_MEMBER_TEXT(name) name
#define TG_MEMBER_NAME(name) name
#define TG_MEMBER_ADDRESS(name) name
#define TG_MEMBER_URL(name) name
#define TG_MEMBER_PATH_URL(name) name
#define TG_MEMBER_SOCKET_URL(name) name
#define TG_MEMBER_STORE_URL(name) name
#define TG_MEMBER_CIDRS(name) name
#define TG_MEMBER_ORIGINS(name) name
#define TG_MEMBER_TABLES(name) name
#define TG_MEMBER_POLICY(name) name
#define TG_MEMBER_LEVEL(name) name

#define TG_CONFIG_ONE(...) +1
#define TG_CONFIG_COUNT(section, keys, about) keys(TG_CONFIG_ONE)
enum { TG_CONFIG_KEYS = 0 TG_CONFIG_SECTIONS(TG_CONFIG_COUNT) };

#define TG_CONFIG_FIELD(section, name, type, ...) TG_CTYPE_##type TG_MEMBER_##type(name);
#define TG_CONFIG_STRUCT(section, keys, about)                                                     \
    struct {                                                                                       \
        keys(TG_CONFIG_FIELD)                                                                      \
    } section;

struct tg_config {
    TG_CONFIG_SECTIONS(TG_CONFIG_STRUCT)
    struct tg_config_tables tables;                 /* names are the operator's, */
    struct tg_config_topics topics;                 /* here too */
    struct tg_config_origin origin[TG_CONFIG_KEYS]; /* by the key's place in keys.h */
    struct tg_arena arena;                          /* holds the texts */
};

#endif
