/* listeners.h - which topics have readers on this gateway, asked of all its workers.
 *
 * The question is one mail that goes from worker to worker and home again. What other gateways
 * have is not known here. */
#ifndef TG_REALTIME_LISTENERS_H
#define TG_REALTIME_LISTENERS_H

#include "realtime/fanout.h"

/* `has`: of each topic, in the order of the question; NULL: the answer did not come within a
 * second, or the worker ends. [borrowed] for the call. */
typedef void tg_listened_fn(const bool *has, size_t n, void *arg);

/* `keys` as tg_topic_key() makes them; copied. `done` comes once, never from inside. */
void tg_listeners_ask(struct tg_fanout *f, const tg_str *keys, size_t n, tg_listened_fn *done,
                      void *arg);

#endif
