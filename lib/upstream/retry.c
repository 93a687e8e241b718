/* retry.c - the budget of retries, and what may be repeated. */
#include "upstream/retry.h"

enum { WHOLE = 100 };

void tg_retry_init(struct tg_retry_budget *b, uint32_t percent)
{
    b->percent = percent;
    b->saved = percent == 0 ? 0 : TG_RETRY_MAX_SAVED * WHOLE;
}

void tg_retry_earn(struct tg_retry_budget *b)
{
    b->saved = TG_MIN(b->saved + b->percent, (uint32_t)TG_RETRY_MAX_SAVED * WHOLE);
}

bool tg_retry_spend(struct tg_retry_budget *b)
{
    if (b->saved < WHOLE) {
        return false;
    }
    b->saved -= WHOLE;
    return true;
}

bool tg_retry_is_allowed(tg_str method, bool sent_any)
{
    static const tg_str safe[] = {TG_STR_INIT("GET"), TG_STR_INIT("HEAD"), TG_STR_INIT("OPTIONS")};
    static const tg_str idempotent[] = {TG_STR_INIT("PUT"), TG_STR_INIT("DELETE")};

    for (size_t i = 0; i < TG_ARRAY_LEN(safe); i++) {
        if (tg_str_eq(method, safe[i])) {
            return true;
        }
    }
    for (size_t i = 0; !sent_any && i < TG_ARRAY_LEN(idempotent); i++) {
        if (tg_str_eq(method, idempotent[i])) {
            return true;
        }
    }
    return false;
}

tg_usec tg_retry_pause(uint32_t random)
{
    return TG_MS(20) + random % TG_MS(40);
}
