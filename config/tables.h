/* tables.h - the section `tables`: what the gateway must be told of tables.
 *
 *   tables:
 *     public.trip_members: { primary_key: [trip_id, user_id], catchup: updated_at } */
#ifndef TG_CONFIG_TABLES_H
#define TG_CONFIG_TABLES_H

#include "config/config.h"
#include "config/yaml.h"

/* `name` is dotted, as the file has it, and untrusted. */
typedef void tg_tables_error_fn(unsigned line, tg_str name, const char *what, void *arg);

/* False: the item is of another section. Otherwise it has been taken, or told to `on_error`. */
bool tg_tables_take(struct tg_config *cfg, const struct tg_yaml_item *item,
                    tg_tables_error_fn *on_error, void *arg);

/* NULL: nothing is said of it. `name` is "schema.table". */
const struct tg_config_table *tg_tables_find(const struct tg_config *cfg, tg_str name);

/* Whether a list of columns, separated by commas, can be taken; NULL, or a sentence. */
const char *tg_tables_check_columns(tg_str text, size_t max, const char *too_many);
/* Copies such a list. */
struct tg_config_list tg_tables_columns(struct tg_arena *arena, tg_str text);
bool tg_tables_has_column(const struct tg_config_list *columns, const char *column);

/* Appends the section as YAML that is read again; the same tables always as the same text. */
void tg_tables_render(const struct tg_config *cfg, struct tg_buf *out);
/* "[a, b]" */
void tg_tables_put_columns(const struct tg_config_list *columns, struct tg_buf *out);

/* Replaces those of `to`; texts are copied. */
void tg_tables_copy(struct tg_config *to, const struct tg_config *from);
struct tg_config_list tg_tables_copy_list(struct tg_arena *arena,
                                          const struct tg_config_list *from);

/* Appends the section of docs/CONFIG.md. */
void tg_tables_doc(struct tg_buf *out);

#endif
