/* declared.h - the topics that the configuration names: `<name>:<key>` (DESIGN.md 3).
 *
 * Made once before the threads start and never changed; everybody borrows it for the life of
 * the process. Pure. */
#ifndef TG_REALTIME_DECLARED_H
#define TG_REALTIME_DECLARED_H

#include "util/rc.h"
#include "util/str.h"

enum { TG_TOPIC_KEY_MAX = 128 };

enum tg_key_type { TG_KEY_TEXT, TG_KEY_UUID, TG_KEY_INT };

/* A topic without a table: events come from POST /sync/v1/publish alone. */
struct tg_declared {
    tg_str name;
    enum tg_key_type key_type;
    bool is_public; /* whoever has the project's key may read it */
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
