/* snapshot.h - the configuration in force, counted and immutable, swapped whole.
 *
 * main makes the first snapshot, and a new one on each reload; the others get a reference by
 * mail and hold it for as long as they read from it. */
#ifndef TG_CONFIG_SNAPSHOT_H
#define TG_CONFIG_SNAPSHOT_H

#include "config/config.h"
#include "util/buf.h"

struct tg_snapshot;

/* Takes `cfg`. [owned] one reference. */
struct tg_snapshot *tg_snapshot_create(struct tg_config *cfg);

/* Any thread that holds a reference. Unref of NULL is fine. */
struct tg_snapshot *tg_snapshot_ref(struct tg_snapshot *s);
void tg_snapshot_unref(struct tg_snapshot *s);

/* [borrowed] while the reference is held. */
const struct tg_config *tg_snapshot_config(const struct tg_snapshot *s);

/* 1 for the first, one more for each reload. */
uint64_t tg_snapshot_number(const struct tg_snapshot *s);

/* What a reload does to one key: it changes now, or only with a restart. Values are not told. */
typedef void tg_snapshot_change_fn(const char *key, bool is_live, void *arg);

/* Takes `fresh`. The snapshot that follows `s`: live keys as in `fresh`, the others as they
 * were. `on_change` hears of every key that differs. [owned] one reference. */
struct tg_snapshot *tg_snapshot_reload(const struct tg_snapshot *s, struct tg_config *fresh,
                                       tg_snapshot_change_fn *on_change, void *arg);

#endif
