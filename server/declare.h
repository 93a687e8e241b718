/* declare.h - the sections `tables` and `topics` of the configuration, made into what the layers
 * below take: read once before the threads start, and immutable. */
#ifndef TG_SERVER_DECLARE_H
#define TG_SERVER_DECLARE_H

#include "realtime/declared.h"

struct tg_config;
struct tg_declare;

/* Borrows from `cfg`. What is wrong with a `where` or an `authorize` is appended to `errors`, a
 * line each, beginning with `path` and the line in it: TG_EBADPARAM. ret_declare: [owned]. */
enum tg_rc tg_declare_create(const struct tg_config *cfg, const char *path, struct tg_buf *errors,
                             struct tg_declare **ret_declare) TG_MUST_USE;
/* NULL is fine. */
void tg_declare_destroy(struct tg_declare *d);

/* [borrowed] as long as `d`. */
const struct tg_declared_list *tg_declare_topics(const struct tg_declare *d);
const struct tg_table_list *tg_declare_tables(const struct tg_declare *d);

#endif
