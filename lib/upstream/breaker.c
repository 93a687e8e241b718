/* breaker.c - counts failures in a row. */
#include "upstream/breaker.h"

void tg_breaker_init(struct tg_breaker *b, unsigned max_failures, tg_usec open)
{
    *b = (struct tg_breaker){.max_failures = max_failures, .open = open};
}

bool tg_breaker_pass(struct tg_breaker *b, tg_usec now)
{
    if (b->open_until == 0) {
        return true;
    }
    if (b->is_trying || now < b->open_until) {
        return false;
    }
    b->is_trying = true;
    return true;
}

bool tg_breaker_report(struct tg_breaker *b, bool answered, tg_usec now)
{
    bool was_open = b->open_until != 0;

    if (answered) {
        b->n_failures = 0;
        b->open_until = 0;
        b->is_trying = false;
        return false;
    }
    if (was_open) {
        /* The one that tried. Calls from before it opened change nothing. */
        if (b->is_trying) {
            b->is_trying = false;
            b->open_until = now + b->open;
        }
        return false;
    }
    b->n_failures++;
    if (b->max_failures == 0 || b->n_failures < b->max_failures) {
        return false;
    }
    b->open_until = now + b->open;
    return true;
}

void tg_breaker_forget(struct tg_breaker *b)
{
    b->is_trying = false;
}

bool tg_breaker_is_open(const struct tg_breaker *b)
{
    return b->open_until != 0;
}

unsigned tg_breaker_retry_after_sec(const struct tg_breaker *b, tg_usec now)
{
    if (b->open_until <= now) {
        return 1;
    }
    return (unsigned)((b->open_until - now + TG_SEC(1) - 1) / TG_SEC(1));
}
