/* probe.h - questions to the project, one after the other: each call returns with the answer.
 *
 * For a process that does nothing else (tidegate --check --as). It runs a loop of its own in the
 * calling thread and, once a table is asked to be followed, the link's thread. */
#ifndef TG_SERVER_PROBE_H
#define TG_SERVER_PROBE_H

#include "util/buf.h"
#include "util/rc.h"
#include "util/str.h"

struct tg_config;
struct tg_probe;
struct tg_table;

enum { TG_PROBE_MESSAGE_MAX = 512 };

/* What went wrong, if something did. */
struct tg_probe_answer {
    enum tg_rc rc;   /* as reader.h says it; TG_EREFUSED, TG_ETIMEDOUT of a follower */
    unsigned status; /* HTTP's; 0: there was no answer */
    char message[TG_PROBE_MESSAGE_MAX]; /* upstream's own, or empty */
};

/* `c` [borrowed] as long as the probe lives. ret_probe: [owned]. */
enum tg_rc tg_probe_create(const struct tg_config *c, struct tg_probe **ret_probe) TG_MUST_USE;
void tg_probe_destroy(struct tg_probe *p); /* NULL is fine */

/* A row that was read, a JSON object [borrowed]. False: enough. */
typedef bool tg_probe_row_fn(tg_str row, void *arg);

struct tg_probe_read {
    tg_str bearer;
    const struct tg_table *table;
    const tg_str *columns; /* besides the primary key */
    size_t n_columns;
    tg_str filter; /* PostgREST's form, or empty */
    unsigned page_rows;
    tg_probe_row_fn *on_row;
    void *arg;
};

/* TG_OK: all rows were told, or enough. */
struct tg_probe_answer tg_probe_read(struct tg_probe *p, const struct tg_probe_read *read);

/* What one question of many answers: TG_OK, TG_EFORBIDDEN, or why nobody knows. */
typedef void tg_probe_verdict_fn(size_t i, const struct tg_probe_answer *answer, void *arg);
/* Appends the target of question `i`; not TG_OK: that is its answer. */
typedef enum tg_rc tg_probe_target_fn(size_t i, struct tg_buf *target, void *arg);

/* `n` questions of `authorize` (realtime/template.h) as the bearer, a few at a time. */
void tg_probe_ask(struct tg_probe *p, tg_str bearer, size_t n, tg_probe_target_fn *target,
                  tg_probe_verdict_fn *verdict, void *arg);

/* Whether Realtime takes a channel on all changes of the table: with the service key, or as the
 * bearer if there is none. TG_EREFUSED, TG_ETIMEDOUT. */
struct tg_probe_answer tg_probe_follow(struct tg_probe *p, const struct tg_table *table,
                                       tg_str bearer);

#endif
