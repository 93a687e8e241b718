/* topics.h - the section `topics`: names that the operator chooses, each with a few members.
 *
 *   topics:
 *     trip-notices: { public: true, key_type: int } */
#ifndef TG_CONFIG_TOPICS_H
#define TG_CONFIG_TOPICS_H

#include "config/config.h"
#include "config/yaml.h"

/* `name` is dotted, as the file has it, and untrusted. */
typedef void tg_topics_error_fn(unsigned line, tg_str name, const char *what, void *arg);

/* False: the item is of another section. Otherwise it has been taken, or told to `on_error`. */
bool tg_topics_take(struct tg_config *cfg, const struct tg_yaml_item *item,
                    tg_topics_error_fn *on_error, void *arg);

/* What no single item can say. */
void tg_topics_check(const struct tg_config *cfg, tg_topics_error_fn *on_error, void *arg);

/* Appends the section as YAML that is read again; the same topics always as the same text. */
void tg_topics_render(const struct tg_config *cfg, struct tg_buf *out);

/* Replaces those of `to`; texts are copied. */
void tg_topics_copy(struct tg_config *to, const struct tg_config *from);

/* Appends the section of docs/CONFIG.md. */
void tg_topics_doc(struct tg_buf *out);

/* "text", "uuid", "int". */
const char *tg_topics_key_type(enum tg_config_topic_key type);

#endif
