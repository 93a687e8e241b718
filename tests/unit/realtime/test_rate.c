/* test_rate.c - what came within the last minute. */
#include <criterion/criterion.h>

#include "realtime/rate.h"

Test(rate, is_what_came_within_a_minute)
{
    struct tg_rate r = {0};
    tg_usec now = TG_SEC(1000);

    cr_assert_eq(tg_rate_sum(&r, now), 0);
    for (unsigned i = 0; i < 60; i++) {
        tg_rate_add(&r, now + TG_SEC(i));
    }
    cr_assert_eq(tg_rate_sum(&r, now + TG_SEC(59)), 60);
    cr_assert_eq(tg_rate_sum(&r, now + TG_SEC(60)), 55);
    cr_assert_eq(tg_rate_sum(&r, now + TG_SEC(90)), 25);
    cr_assert_eq(tg_rate_sum(&r, now + TG_SEC(115)), 0);
}

Test(rate, forgets_all_after_a_long_silence)
{
    struct tg_rate r = {0};

    tg_rate_add(&r, TG_SEC(10));
    tg_rate_add(&r, TG_SEC(12));
    cr_assert_eq(tg_rate_sum(&r, TG_SEC(100000)), 0);
    tg_rate_add(&r, TG_SEC(100001));
    cr_assert_eq(tg_rate_sum(&r, TG_SEC(100002)), 1);
}
