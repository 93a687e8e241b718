/* Token buckets per address, and the table they are kept in. */
#include <criterion/criterion.h>

#include "auth/budget.h"
#include "mint.h"

static size_t take_all(struct tg_budget *b, tg_str address, tg_usec now)
{
    size_t n = 0;

    while (n < 1000 && tg_budget_take(b, address, now)) {
        n++;
    }
    return n;
}

Test(budget, fills_again_at_its_rate_up_to_its_depth)
{
    struct tg_budget b;

    tg_budget_init(&b, 8, 10, 5);
    cr_assert_eq(take_all(&b, ADDRESS, NOW), 5);
    cr_assert_eq(take_all(&b, ADDRESS, NOW + TG_MS(99)), 0);
    cr_assert_eq(take_all(&b, ADDRESS, NOW + TG_MS(100)), 1);
    cr_assert_eq(take_all(&b, ADDRESS, NOW + TG_MS(300)), 2);
    cr_assert_eq(take_all(&b, ADDRESS, NOW + TG_SEC(3600)), 5);
    tg_budget_fini(&b);
}

Test(budget, forgives_when_the_clock_is_set_back)
{
    struct tg_budget b;

    tg_budget_init(&b, 8, 10, 5);
    cr_assert_eq(take_all(&b, ADDRESS, NOW), 5);
    cr_assert_eq(take_all(&b, ADDRESS, NOW - TG_SEC(3600)), 5);
    tg_budget_fini(&b);
}

Test(budget, counts_a_client_once_however_it_writes_its_address)
{
    struct tg_budget b;

    tg_budget_init(&b, 8, 1, 2);
    cr_assert_eq(take_all(&b, TG_STR("192.0.2.1"), NOW), 2);
    cr_assert_eq(take_all(&b, TG_STR("::ffff:192.0.2.1"), NOW), 0);
    cr_assert_eq(take_all(&b, TG_STR("192.0.2.2"), NOW), 2);
    cr_assert_eq(take_all(&b, TG_STR("2001:db8:0:1::1"), NOW), 2);
    cr_assert_eq(take_all(&b, TG_STR("2001:db8:0:1:ffff::2"), NOW), 0);
    cr_assert_eq(take_all(&b, TG_STR("2001:db8:0:2::1"), NOW), 2);
    cr_assert_eq(take_all(&b, TG_STR("unix"), NOW), 2);
    cr_assert_eq(take_all(&b, TG_STR_NONE, NOW), 2);
    tg_budget_fini(&b);
}

Test(budget, keeps_a_bounded_number_of_addresses)
{
    struct tg_budget b;
    char text[32];

    tg_budget_init(&b, 4, 1, 1);
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(text, sizeof(text), "10.0.%u.%u", i / 250, i % 250);
        cr_assert(tg_budget_take(&b, tg_str_of(text), NOW));
        cr_assert_leq(b.addresses.n, 4);
    }
    cr_assert(!tg_budget_take(&b, tg_str_of(text), NOW));
    tg_budget_fini(&b);
}
