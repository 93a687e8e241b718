/* The promises of lib/upstream/retry.h. */
#include <criterion/criterion.h>

#include "upstream/retry.h"

Test(retry, repeats_what_changes_nothing_even_when_sent)
{
    cr_assert(tg_retry_is_allowed(TG_STR("GET"), true));
    cr_assert(tg_retry_is_allowed(TG_STR("HEAD"), true));
    cr_assert(tg_retry_is_allowed(TG_STR("OPTIONS"), true));
}

Test(retry, repeats_put_and_delete_only_when_nothing_was_sent)
{
    cr_assert(tg_retry_is_allowed(TG_STR("PUT"), false));
    cr_assert(tg_retry_is_allowed(TG_STR("DELETE"), false));
    cr_assert_not(tg_retry_is_allowed(TG_STR("PUT"), true));
    cr_assert_not(tg_retry_is_allowed(TG_STR("DELETE"), true));
}

Test(retry, never_repeats_what_may_have_an_effect_twice)
{
    cr_assert_not(tg_retry_is_allowed(TG_STR("POST"), false));
    cr_assert_not(tg_retry_is_allowed(TG_STR("PATCH"), false));
    cr_assert_not(tg_retry_is_allowed(TG_STR("get"), false));
    cr_assert_not(tg_retry_is_allowed(TG_STR("GETX"), false));
}

Test(retry, ends_when_the_budget_is_spent_and_earns_a_share_of_the_calls)
{
    struct tg_retry_budget b;

    tg_retry_init(&b, 10);
    for (unsigned i = 0; i < TG_RETRY_MAX_SAVED; i++) {
        cr_assert(tg_retry_spend(&b));
    }
    cr_assert_not(tg_retry_spend(&b));
    for (unsigned i = 0; i < 9; i++) {
        tg_retry_earn(&b);
    }
    cr_assert_not(tg_retry_spend(&b));
    tg_retry_earn(&b);
    cr_assert(tg_retry_spend(&b));
}

Test(retry, saves_no_more_than_its_maximum)
{
    struct tg_retry_budget b;
    unsigned n = 0;

    tg_retry_init(&b, 100);
    for (unsigned i = 0; i < 1000; i++) {
        tg_retry_earn(&b);
    }
    while (tg_retry_spend(&b)) {
        n++;
    }
    cr_assert_eq(n, (unsigned)TG_RETRY_MAX_SAVED);
}

Test(retry, a_budget_of_zero_never_retries)
{
    struct tg_retry_budget b;

    tg_retry_init(&b, 0);
    tg_retry_earn(&b);
    cr_assert_not(tg_retry_spend(&b));
}

Test(retry, pauses_between_20_and_60_ms)
{
    for (uint32_t i = 0; i < 100; i++) {
        tg_usec pause = tg_retry_pause(i * 2654435761U);

        cr_assert(pause >= TG_MS(20) && pause <= TG_MS(60));
    }
}
