/* declared.h - the topics that the configuration names: `<name>:<key>` (DESIGN.md 3).
 *
 * Made once before the threads start and never changed; everybody borrows it for the life of
 * the process. Pure. */
#ifndef TG_REALTIME_DECLARED_H
#define TG_REALTIME_DECLARED_H

#include "realtime/table.h"
#include "realtime/template.h"
#include "realtime/where.h"
#include "util/clock.h"
#include "util/rc.h"
#include "util/str.h"

enum { TG_TOPIC_KEY_MAX = 128 };

enum tg_key_type { TG_KEY_TEXT, TG_KEY_UUID, TG_KEY_INT };

/* How the end of a row becomes known. */
enum tg_deletes {
    TG_DELETES_INDEX, /* deletes carry the primary key alone: the index tells the topic */
    TG_DELETES_SOFT,  /* rows are never deleted, they leave `where` */
};

/* Whose rows say who may read: a change of one has the user's access asked again. */
struct tg_revoke {
    const struct tg_table *table; /* NULL: none */
    tg_str key;                   /* its column that holds the topic's key; empty: all of them */
    tg_str user;                  /* and the user's id; empty: all users; never both */
};

/* Without a table its events come from POST /sync/v1/publish alone, and what is said of rows is
 * empty. */
struct tg_declared {
    tg_str name;
    enum tg_key_type key_type;
    bool is_public; /* whoever has the project's key may read it */
    /* Who may; NULL only where it is public. Public and not NULL: without {sub}, and asked with the
     * project's key for whoever is not signed in. */
    const struct tg_template *authorize;
    struct tg_revoke revoke_on;
    tg_usec recheck; /* how old an answer may become; 0: nothing is asked */
    /* The rows. */
    const struct tg_table *table; /* NULL: published */
    tg_str key;                   /* the column that routes a row */
    const tg_str *columns;        /* shown; the key and the primary key are among them */
    size_t n_columns;
    const struct tg_where *where; /* NULL: all rows */
    tg_str catchup;               /* gaps are repaired: a column changed by every write; or empty */
    bool catches_inserts;         /* `catchup` tells when a row was made; rows never change */
    enum tg_deletes deletes;
    tg_usec retain_for;     /* 0: the store's */
    uint64_t retain_events; /* 0: the store's */
};

struct tg_declared_list {
    const struct tg_declared *items;
    size_t n;
};

/* NULL: there is none. `list` may be NULL. */
const struct tg_declared *tg_declared_find(const struct tg_declared_list *list, tg_str name);

/* NULL when `key` is one of the type and written as PostgreSQL would write it; else a sentence
 * ([borrowed] for ever). Another text for the same value would be another topic. */
const char *tg_declared_check_key(enum tg_key_type type, tg_str key);

#endif
