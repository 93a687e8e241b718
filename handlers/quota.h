/* quota.h - how many of something each user or address has, over all workers.
 *
 * Every worker counts its own in a table that the others only read, so nothing is locked. Keys
 * are hashed into two rows and the smaller sum counts: a key is never counted too low, and too
 * high only where both its cells are shared. Two workers that ask in the same moment may both
 * get the last place. */
#ifndef TG_HANDLERS_QUOTA_H
#define TG_HANDLERS_QUOTA_H

#include "util/base.h"
#include "util/str.h"

struct tg_quota;

/* A place that was given; keep it as long as the place is held. */
struct tg_quota_place {
    uint16_t cells[2];
    bool is_taken;
};

struct tg_quota *tg_quota_create(unsigned n_workers, unsigned max);
void tg_quota_destroy(struct tg_quota *q);

/* On the thread of `worker`. False: `key` has `max` places already. */
bool tg_quota_take(struct tg_quota *q, unsigned worker, tg_str key,
                   struct tg_quota_place *ret_place);
/* The same worker. A place that was not taken is fine. */
void tg_quota_give(struct tg_quota *q, unsigned worker, struct tg_quota_place *place);

#endif
