/* test_quota.c - how many one key may have, over all workers. */
#include <criterion/criterion.h>

#include "handlers/quota.h"

Test(quota, gives_as_many_places_as_there_are)
{
    struct tg_quota *q = tg_quota_create(1, 2);
    struct tg_quota_place places[3] = {0};

    cr_assert(tg_quota_take(q, 0, TG_STR("a"), &places[0]));
    cr_assert(tg_quota_take(q, 0, TG_STR("a"), &places[1]));
    cr_assert_not(tg_quota_take(q, 0, TG_STR("a"), &places[2]));
    cr_assert_not(places[2].is_taken);
    tg_quota_destroy(q);
}

Test(quota, counts_all_workers)
{
    struct tg_quota *q = tg_quota_create(3, 2);
    struct tg_quota_place places[3] = {0};

    cr_assert(tg_quota_take(q, 0, TG_STR("a"), &places[0]));
    cr_assert(tg_quota_take(q, 2, TG_STR("a"), &places[1]));
    cr_assert_not(tg_quota_take(q, 1, TG_STR("a"), &places[2]));
    tg_quota_destroy(q);
}

Test(quota, has_places_for_each_key)
{
    struct tg_quota *q = tg_quota_create(1, 1);
    struct tg_quota_place a = {0};
    struct tg_quota_place b = {0};

    cr_assert(tg_quota_take(q, 0, TG_STR("a"), &a));
    cr_assert(tg_quota_take(q, 0, TG_STR("b"), &b));
    tg_quota_destroy(q);
}

Test(quota, takes_a_place_back_once)
{
    struct tg_quota *q = tg_quota_create(1, 1);
    struct tg_quota_place a = {0};
    struct tg_quota_place never = {0};

    tg_quota_give(q, 0, &never);
    cr_assert(tg_quota_take(q, 0, TG_STR("a"), &a));
    tg_quota_give(q, 0, &a);
    tg_quota_give(q, 0, &a);
    cr_assert(tg_quota_take(q, 0, TG_STR("a"), &a));
    cr_assert_not(tg_quota_take(q, 0, TG_STR("a"), &never));
    tg_quota_destroy(q);
    tg_quota_destroy(NULL);
}
