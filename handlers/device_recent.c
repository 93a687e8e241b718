/* device_recent.c - a direct-mapped table: one slot per hash, the newest stays. */
#include "handlers/device_recent.h"

#include <stdlib.h>

#include "util/map.h"

enum { SLOTS = 1024 /* a power of two */ };

static const tg_usec same_for = TG_SEC(60);   /* last seen is as exact as this */
static const tg_usec known_for = TG_SEC(600); /* then caps and existence are asked again */

struct tg_recent_slot {
    uint64_t device;
    uint64_t what;
    tg_usec asked; /* the store was awaited */
    tg_usec told;
};

static uint64_t hash_two(tg_str a, tg_str b)
{
    const uint64_t both[2] = {tg_hash(a), tg_hash(b)};

    return tg_hash(tg_str_make((const char *)both, sizeof(both)));
}

enum tg_recent tg_device_recent(const struct tg_worker *w, const struct tg_recent_ask *ask)
{
    const uint64_t key = hash_two(ask->user, ask->device);
    const tg_usec now = tg_loop_now(w->loop);
    const struct tg_recent_slot *s = NULL;

    if (w->recent_devices == NULL) {
        return TG_RECENT_UNKNOWN;
    }
    s = &w->recent_devices[key & (SLOTS - 1)];
    if (s->asked == 0 || s->device != key || now - s->asked >= known_for) {
        return TG_RECENT_UNKNOWN;
    }
    return s->what == hash_two(ask->query, ask->tag) && now - s->told < same_for
               ? TG_RECENT_SAME
               : TG_RECENT_CHANGED;
}

void tg_device_recent_note(struct tg_worker *w, const struct tg_recent_ask *ask)
{
    const enum tg_recent was = tg_device_recent(w, ask);
    const uint64_t key = hash_two(ask->user, ask->device);
    const tg_usec now = tg_loop_now(w->loop);
    struct tg_recent_slot *s = NULL;

    if (w->recent_devices == NULL) {
        w->recent_devices = tg_calloc(SLOTS, sizeof(w->recent_devices[0]));
    }
    s = &w->recent_devices[key & (SLOTS - 1)];
    s->asked = was == TG_RECENT_UNKNOWN ? now : s->asked;
    s->device = key;
    s->what = hash_two(ask->query, ask->tag);
    s->told = now;
}

void tg_device_recent_drop(struct tg_worker *w)
{
    free(w->recent_devices);
    w->recent_devices = NULL;
}
