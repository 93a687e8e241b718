/* redis_index.c - lua/index.lua, asked and answered. */
#include "store/redis_index.h"

tg_str tg_redis_index_command(const struct tg_redis_keys *k, tg_str sha, const struct tg_ask *ask)
{
    struct tg_redis_args a = {0};
    bool is_load = ask->verb == TG_VERB_INDEX_LOAD;

    tg_redis_begin(&a, sha, is_load ? 1 : 4);
    tg_redis_arg_key(&a, k, TG_STR("pk:"), ask->feed);
    if (!is_load) {
        tg_redis_arg(&a, k->meta);
        tg_redis_arg(&a, k->log);
        tg_redis_arg_key(&a, k, TG_STR("lease:"), ask->feed);
    }
    tg_redis_arg(&a, is_load ? TG_STR("load") : TG_STR("write"));
    tg_redis_arg_u64(&a, TG_INDEX_TTL / 1000);
    if (is_load) {
        tg_redis_arg_u64(&a, ask->from);
        return tg_redis_args_format(&a);
    }
    tg_redis_arg(&a, tg_str_of(ask->epoch.text));
    tg_redis_arg_u64(&a, ask->fence);
    tg_redis_arg(&a, ask->is_fresh ? TG_STR("1") : TG_STR("0"));
    for (size_t i = 0; i < ask->n_changes; i++) {
        tg_redis_arg(&a, ask->changes[i].pk);
        tg_redis_arg(&a, ask->changes[i].put);
    }
    return tg_redis_args_format(&a);
}

static bool read_rows(const redisReply *r, struct tg_arena *arena, struct tg_answer *ret_answer)
{
    size_t n = r->elements / 2 - 1;
    struct tg_index_change *rows = tg_arena_alloc(arena, n * sizeof(*rows));
    uint64_t next = 0;

    if (r->elements % 2 != 0 || tg_str_to_u64(tg_redis_text_at(r, 1), &next) != TG_OK) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        rows[i] = (struct tg_index_change){.pk = tg_redis_text_at(r, 2 + 2 * i),
                                           .put = tg_redis_text_at(r, 3 + 2 * i)};
    }
    *ret_answer = (struct tg_answer){.rc = TG_OK, .rows = rows, .n = n, .next = next};
    return true;
}

bool tg_redis_index_read(const redisReply *r, struct tg_arena *arena, struct tg_answer *ret_answer)
{
    tg_str word = tg_redis_text_at(r, 0);

    if (tg_str_eq(word, TG_STR("EPOCH"))) {
        *ret_answer = (struct tg_answer){.rc = TG_EEPOCH};
    } else if (tg_str_eq(word, TG_STR("FENCED"))) {
        *ret_answer = (struct tg_answer){.rc = TG_EFENCED};
    } else if (!tg_str_eq(word, TG_STR("OK"))) {
        return false;
    } else if (r->elements > 1) {
        return read_rows(r, arena, ret_answer);
    } else {
        *ret_answer = (struct tg_answer){.rc = TG_OK};
    }
    return true;
}
