/* redis_reply.h - replies of Redis as answers. No state. */
#ifndef TG_STORE_REDIS_REPLY_H
#define TG_STORE_REDIS_REPLY_H

#include <hiredis/hiredis.h>

#include "store/backend.h"
#include "util/arena.h"

/* The i-th text of an array; TG_STR_NONE: it has none. */
tg_str tg_redis_text_at(const redisReply *r, size_t i);
/* Reads. False: not the reply that was expected. */
bool tg_redis_read_settle(const redisReply *r, struct tg_epoch *ret_epoch, struct tg_pos *ret_last,
                          bool *ret_is_suspect);
/* The entries are in the arena, their texts are the reply's. */
bool tg_redis_read_page(const redisReply *r, tg_str topic, struct tg_arena *arena,
                        struct tg_page *ret_page);
/* TG_VERB_APPEND, GAP and the leases. */
bool tg_redis_read_answer(const redisReply *r, struct tg_answer *ret_answer);
/* TG_VERB_LANE. */
bool tg_redis_read_lane(const redisReply *r, struct tg_answer *ret_answer);
/* TG_VERB_ONCE. */
bool tg_redis_read_once(const redisReply *r, struct tg_answer *ret_answer);
/* TG_VERB_DENY and TG_VERB_DENIED; the list is in the arena, its texts are the reply's. */
bool tg_redis_read_denied(const redisReply *r, struct tg_arena *arena,
                          struct tg_answer *ret_answer);
/* One entry of the log. `ret_before`: the id in front of it; `ret_epoch` is set instead of an
 * entry when a log starts here (is_start). */
bool tg_redis_read_entry(const redisReply *r, struct tg_entry *ret_entry, struct tg_pos *ret_before,
                         bool *ret_is_start);

/* A line "name:value" of INFO; TG_STR_NONE when it is not there. */
tg_str tg_redis_info(tg_str info, tg_str name);
/* Whether an error reply is of this kind ("NOSCRIPT", "OOM"), also from within a script. */
bool tg_redis_is_error(const redisReply *r, const char *kind);

static inline tg_str tg_redis_text(const redisReply *r)
{
    return tg_str_make(r->str, r->len);
}

#endif
