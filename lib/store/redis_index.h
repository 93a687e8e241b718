/* redis_index.h - a feed's index as commands of Redis, and its replies. No state. */
#ifndef TG_STORE_REDIS_INDEX_H
#define TG_STORE_REDIS_INDEX_H

#include "store/redis_reply.h"
#include "store/redis_text.h"

/* TG_VERB_INDEX_WRITE, _LOAD. */
tg_str tg_redis_index_command(const struct tg_redis_keys *k, tg_str sha, const struct tg_ask *ask);
/* What the script says; it borrows from the reply and the arena. */
bool tg_redis_index_read(const redisReply *r, struct tg_arena *arena, struct tg_answer *ret_answer);

#endif
