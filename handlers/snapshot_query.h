/* snapshot_query.h - a topic in PostgREST's grammar: the request targets whose pages are the rows
 * that the topic is about.
 *
 *   table:public.tasks:state=eq."a, b"   with the key id, 200 rows behind 17:
 *   /rest/v1/tasks?select=*&state=eq.a%2C%20b&id=gt.17&order=id.asc&limit=200
 *
 * The filter says the same in both grammars or it is refused. Of a declared topic they are the rows
 * with its key, and the columns that it shows. Pure. */
#ifndef TG_HANDLERS_SNAPSHOT_QUERY_H
#define TG_HANDLERS_SNAPSHOT_QUERY_H

#include "realtime/topic.h"

enum { TG_SNAPSHOT_TARGET_MAX = 8192 };

/* Is it the name of a column? */
bool tg_snapshot_is_column(tg_str name);

/* Whether rows can be ordered by this column: a declared topic shows only some. */
bool tg_snapshot_has_column(const struct tg_topic_name *t, tg_str column);

/* Of the table that has the rows. */
tg_str tg_snapshot_schema(const struct tg_topic_name *t);

/* Appends the target up to where the key's condition goes: "/rest/v1/tasks?select=*&...&".
 * TG_EBADTOPIC, with *ret_why a sentence ([borrowed] for ever); TG_ELIMIT: the buffer's maximum. */
enum tg_rc tg_snapshot_target(const struct tg_topic_name *t, struct tg_buf *out,
                              const char **ret_why) TG_MUST_USE;

/* Appends the rest: behind `last` (p == NULL: from the beginning), by `key`, `limit` rows. */
enum tg_rc tg_snapshot_page(struct tg_buf *out, tg_str key, tg_str last,
                            unsigned limit) TG_MUST_USE;

#endif
