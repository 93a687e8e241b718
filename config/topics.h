/* topics.h - the section `topics`: names that the operator chooses, each with a few members.
 *
 *   topics:
 *     trip-notices: { public: true, key_type: int }
 *
 * topics.c reads, topics_rules.c holds rules between members, topics_write.c writes down. What
 * `where` and `authorize` say is read by who uses them: server/declare.h. */
#ifndef TG_CONFIG_TOPICS_H
#define TG_CONFIG_TOPICS_H

#include "config/config.h"
#include "config/yaml.h"

/* What tg_topics_render() appends at most. */
enum { TG_TOPICS_TEXT_MAX = 8 * 1024 * 1024 };

/* `name` is dotted, as the file has it, and untrusted. */
typedef void tg_topics_error_fn(unsigned line, tg_str name, const char *what, void *arg);

/* False: the item is of another section. Otherwise it has been taken, or told to `on_error`. */
bool tg_topics_take(struct tg_config *cfg, const struct tg_yaml_item *item,
                    tg_topics_error_fn *on_error, void *arg);

/* What no single item can say. */
void tg_topics_check(const struct tg_config *cfg, tg_topics_error_fn *on_error, void *arg);

/* After the check: what follows from other members and from `tables`. */
void tg_topics_derive(struct tg_config *cfg);

/* Appends the section as YAML that is read again; the same topics always as the same text. */
void tg_topics_render(const struct tg_config *cfg, struct tg_buf *out);

/* Replaces those of `to`; texts are copied. */
void tg_topics_copy(struct tg_config *to, const struct tg_config *from);

/* Appends the section of docs/CONFIG.md. */
void tg_topics_doc(struct tg_buf *out);

/* "text", "uuid", "int"; "index", "soft". */
const char *tg_topics_key_type(enum tg_config_topic_key type);
const char *tg_topics_deletes(enum tg_config_deletes deletes);

enum {
    TG_TOPICS_PUBLIC = 1U << 0,
    TG_TOPICS_KEY_TYPE = 1U << 1,
    TG_TOPICS_TABLE = 1U << 2,
    TG_TOPICS_KEY = 1U << 3,
    TG_TOPICS_COLUMNS = 1U << 4,
    TG_TOPICS_WHERE = 1U << 5,
    TG_TOPICS_AUTHORIZE = 1U << 6,
    TG_TOPICS_RECHECK = 1U << 7,
    TG_TOPICS_DELETES = 1U << 8,
    TG_TOPICS_CATCHUP = 1U << 9,
    TG_TOPICS_CATCHUP_COLUMN = 1U << 10,
    TG_TOPICS_CATCHUP_COVERS = 1U << 11,
    TG_TOPICS_REVOKE_ON = 1U << 12,
    TG_TOPICS_REVOKE_TABLE = 1U << 13,
    TG_TOPICS_REVOKE_KEY = 1U << 14,
    TG_TOPICS_REVOKE_USER = 1U << 15,
    TG_TOPICS_RETAIN = 1U << 16,
    TG_TOPICS_RETAIN_FOR = 1U << 17,
    TG_TOPICS_RETAIN_EVENTS = 1U << 18,
};

#endif
