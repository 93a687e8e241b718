/* snapshot.c - counted configuration. Invariant: `cfg` never changes once a second thread
 * can see it. */
#include "config/snapshot.h"

#include <stdlib.h>

#include "config/load.h"
#include "config/tables.h"
#include "config/topics.h"
#include "config/value.h"
#include "util/ref.h"

enum { SNAPSHOT_MAGIC = 0x534e4150 };

struct tg_snapshot {
    unsigned magic;
    tg_ref refs;
    uint64_t number;
    struct tg_config *cfg;
};

static struct tg_snapshot *create(struct tg_config *cfg, uint64_t number)
{
    struct tg_snapshot *s = TG_NEW(struct tg_snapshot);

    s->magic = SNAPSHOT_MAGIC;
    tg_ref_init(&s->refs);
    s->number = number;
    s->cfg = cfg;
    return s;
}

struct tg_snapshot *tg_snapshot_create(struct tg_config *cfg)
{
    return create(cfg, 1);
}

struct tg_snapshot *tg_snapshot_ref(struct tg_snapshot *s)
{
    TG_CHECK(s, SNAPSHOT_MAGIC);
    tg_ref_take(&s->refs);
    return s;
}

void tg_snapshot_unref(struct tg_snapshot *s)
{
    if (s == NULL) {
        return;
    }
    TG_CHECK(s, SNAPSHOT_MAGIC);
    if (tg_ref_drop(&s->refs)) {
        tg_config_destroy(s->cfg);
        s->magic = 0;
        free(s);
    }
}

const struct tg_config *tg_snapshot_config(const struct tg_snapshot *s)
{
    TG_CHECK(s, SNAPSHOT_MAGIC);
    return s->cfg;
}

uint64_t tg_snapshot_number(const struct tg_snapshot *s)
{
    TG_CHECK(s, SNAPSHOT_MAGIC);
    return s->number;
}

/* A value that was worked out anew (the gateway's random name) is no change of the operator's. */
static bool is_derived_twice(const struct tg_config *a, const struct tg_config *b, size_t i)
{
    return a->origin[i].from == TG_FROM_DERIVED && b->origin[i].from == TG_FROM_DERIVED;
}

/* A section whose names are the operator's: as a whole, and not live. */
struct named {
    const char *section;
    void (*render)(const struct tg_config *cfg, struct tg_buf *out);
    void (*copy)(struct tg_config *to, const struct tg_config *from);
};

static void take_named(const struct tg_config *old, struct tg_config *fresh,
                       const struct named *section, tg_snapshot_change_fn *on_change, void *arg)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf before = {.max = TG_TOPICS_TEXT_MAX};
    TG_CLEANUP(tg_buf_fini) struct tg_buf after = {.max = TG_TOPICS_TEXT_MAX};

    section->render(old, &before);
    section->render(fresh, &after);
    if (!tg_str_eq(tg_buf_view(&before), tg_buf_view(&after))) {
        on_change(section->section, false, arg);
    }
    section->copy(fresh, old);
}

struct tg_snapshot *tg_snapshot_reload(const struct tg_snapshot *s, struct tg_config *fresh,
                                       tg_snapshot_change_fn *on_change, void *arg)
{
    static const struct named tables = {"tables", tg_tables_render, tg_tables_copy};
    static const struct named topics = {"topics", tg_topics_render, tg_topics_copy};
    const struct tg_config_key *keys = tg_config_keys();
    struct tg_buf before;
    struct tg_buf after;

    TG_CHECK(s, SNAPSHOT_MAGIC);
    tg_buf_init(&before, TG_CONFIG_FILE_MAX);
    tg_buf_init(&after, TG_CONFIG_FILE_MAX);
    for (size_t i = 0; i < TG_CONFIG_KEYS; i++) {
        tg_buf_clear(&before);
        tg_buf_clear(&after);
        tg_value_render(&keys[i], s->cfg, &before);
        tg_value_render(&keys[i], fresh, &after);
        if (tg_str_eq(tg_buf_view(&before), tg_buf_view(&after))) {
            continue;
        }
        if (!is_derived_twice(s->cfg, fresh, i)) {
            on_change(keys[i].name, keys[i].is_live, arg);
        }
        if (!keys[i].is_live) {
            TG_ASSERT(tg_value_set(&keys[i], fresh, tg_buf_view(&before)) == TG_OK);
            fresh->origin[i] = s->cfg->origin[i];
        }
    }
    take_named(s->cfg, fresh, &tables, on_change, arg);
    take_named(s->cfg, fresh, &topics, on_change, arg);
    tg_buf_fini(&before);
    tg_buf_fini(&after);
    return create(fresh, s->number + 1);
}
