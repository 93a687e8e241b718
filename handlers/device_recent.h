/* device_recent.h - the devices that a worker has told the store of lately, so that a device that
 * polls again and again neither waits for the store nor writes to it at each turn.
 *
 * A bounded table of keyed hashes; whoever is pushed out asks the store once more. On the
 * worker's loop. */
#ifndef TG_HANDLERS_DEVICE_RECENT_H
#define TG_HANDLERS_DEVICE_RECENT_H

#include "handlers/worker.h"

enum tg_recent {
    TG_RECENT_UNKNOWN, /* the store must be asked, and its answer awaited */
    TG_RECENT_CHANGED, /* the store knows the device; it should hear of this, in its own time */
    TG_RECENT_SAME,    /* the store has just heard the same */
};

/* `query` and `tag`: where all that the store would be told stands. */
struct tg_recent_ask {
    tg_str user;
    tg_str device;
    tg_str query;
    tg_str tag;
};

enum tg_recent tg_device_recent(const struct tg_worker *w, const struct tg_recent_ask *ask);
/* The store is being told, or has been. */
void tg_device_recent_note(struct tg_worker *w, const struct tg_recent_ask *ask);
/* On the worker's way down. */
void tg_device_recent_drop(struct tg_worker *w);

#endif
