/* redis_device.h - the operations of device.h as commands of Redis, and their replies. No state. */
#ifndef TG_STORE_REDIS_DEVICE_H
#define TG_STORE_REDIS_DEVICE_H

#include "store/redis_reply.h"
#include "store/redis_text.h"

/* TG_VERB_DEVICE_*. */
tg_str tg_redis_device_command(const struct tg_redis_keys *k, tg_str sha, const struct tg_ask *ask);

/* What the answer points to is in the arena or borrowed from the reply. False: not the reply that
 * was expected. */
bool tg_redis_device_read(const redisReply *r, enum tg_verb verb, struct tg_arena *arena,
                          struct tg_answer *ret_answer);

#endif
