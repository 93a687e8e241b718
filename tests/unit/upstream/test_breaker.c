/* The promises of lib/upstream/breaker.h. */
#include <criterion/criterion.h>

#include "upstream/breaker.h"

Test(breaker, opens_after_so_many_failures_in_a_row)
{
    struct tg_breaker b;

    tg_breaker_init(&b, 3, TG_SEC(5));
    cr_assert_not(tg_breaker_report(&b, false, 1));
    cr_assert_not(tg_breaker_report(&b, false, 2));
    cr_assert(tg_breaker_pass(&b, 3));
    cr_assert(tg_breaker_report(&b, false, 3));
    cr_assert(tg_breaker_is_open(&b));
    cr_assert_not(tg_breaker_pass(&b, 4));
}

Test(breaker, forgets_failures_when_one_is_answered)
{
    struct tg_breaker b;

    tg_breaker_init(&b, 2, TG_SEC(5));
    cr_assert_not(tg_breaker_report(&b, false, 1));
    cr_assert_not(tg_breaker_report(&b, true, 2));
    cr_assert_not(tg_breaker_report(&b, false, 3));
    cr_assert(tg_breaker_pass(&b, 4));
}

Test(breaker, lets_one_try_when_its_time_has_passed)
{
    struct tg_breaker b;

    tg_breaker_init(&b, 1, TG_SEC(5));
    cr_assert(tg_breaker_report(&b, false, 0));
    cr_assert_not(tg_breaker_pass(&b, TG_SEC(5) - 1));
    cr_assert(tg_breaker_pass(&b, TG_SEC(5)));
    cr_assert_not(tg_breaker_pass(&b, TG_SEC(5)));
    cr_assert_not(tg_breaker_report(&b, true, TG_SEC(6)));
    cr_assert(tg_breaker_pass(&b, TG_SEC(6)));
    cr_assert(tg_breaker_pass(&b, TG_SEC(6)));
}

Test(breaker, stays_open_as_long_again_when_the_try_fails)
{
    struct tg_breaker b;

    tg_breaker_init(&b, 1, TG_SEC(5));
    cr_assert(tg_breaker_report(&b, false, 0));
    cr_assert(tg_breaker_pass(&b, TG_SEC(5)));
    (void)tg_breaker_report(&b, false, TG_SEC(6));
    cr_assert_not(tg_breaker_pass(&b, TG_SEC(11) - 1));
    cr_assert(tg_breaker_pass(&b, TG_SEC(11)));
}

Test(breaker, a_cancelled_try_leaves_the_next_one_the_turn)
{
    struct tg_breaker b;

    tg_breaker_init(&b, 1, TG_SEC(5));
    cr_assert(tg_breaker_report(&b, false, 0));
    cr_assert(tg_breaker_pass(&b, TG_SEC(5)));
    tg_breaker_forget(&b);
    cr_assert(tg_breaker_pass(&b, TG_SEC(5)));
}

Test(breaker, a_late_failure_from_before_the_opening_does_not_prolong_it)
{
    struct tg_breaker b;

    tg_breaker_init(&b, 1, TG_SEC(5));
    cr_assert(tg_breaker_report(&b, false, 0));
    cr_assert_not(tg_breaker_report(&b, false, TG_SEC(4)));
    cr_assert(tg_breaker_pass(&b, TG_SEC(5)));
}

Test(breaker, never_opens_with_a_bound_of_zero)
{
    struct tg_breaker b;

    tg_breaker_init(&b, 0, TG_SEC(5));
    for (unsigned i = 0; i < 1000; i++) {
        cr_assert_not(tg_breaker_report(&b, false, i));
    }
    cr_assert(tg_breaker_pass(&b, 1000));
}

Test(breaker, tells_whole_seconds_rounded_up_and_at_least_one)
{
    struct tg_breaker b;

    tg_breaker_init(&b, 1, TG_MS(4500));
    cr_assert(tg_breaker_report(&b, false, 0));
    cr_assert_eq(tg_breaker_retry_after_sec(&b, 0), 5U);
    cr_assert_eq(tg_breaker_retry_after_sec(&b, TG_MS(4400)), 1U);
    cr_assert_eq(tg_breaker_retry_after_sec(&b, TG_SEC(9)), 1U);
}
