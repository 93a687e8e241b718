/* test_link_rate.c - the project's message rate: 5 a second in this world, so near is 240 a
 * minute. */
#include <criterion/criterion.h>

#include "realtime_link/upstream.h"

TestSuite(link_rate, .init = start, .fini = stop);

static uint64_t n_told(void)
{
    return tg_count_get(&tg_link_counts(world.link)->rates_near);
}

static void hear_changes(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        world.told[0] = '\0'; /* there is room for some */
        hear(0, "[null,null,\"realtime:tg:1\",\"postgres_changes\",{}]");
    }
}

static void beat(void)
{
    hear(0, "[null,\"2\",\"phoenix\",\"phx_reply\",{\"status\":\"ok\",\"response\":{}}]");
}

static void pass_a_minute(void)
{
    for (unsigned i = 0; i < 6; i++) {
        pass(TG_MS(10100));
        beat();
    }
}

Test(link_rate, below_the_limit_says_nothing)
{
    bring_up(1);
    hear_changes(239);
    pass_a_minute();
    pass(TG_SEC(10));
    hear_changes(239);
    cr_assert_eq(n_told(), 0);
}

Test(link_rate, near_the_limit_is_told_at_once_and_when_it_is_over)
{
    bring_up(1);
    hear_changes(240);
    cr_assert_told("rate\nchange 1 {}\n");
    hear_changes(20);
    forget();
    pass(TG_SEC(20));
    beat();
    cr_assert_str_eq(world.told, "", "once");
    pass_a_minute();
    cr_assert_told("rate\n");
    pass_a_minute();
    cr_assert_str_eq(world.told, "rate\n", "not again");
    cr_assert_eq(n_told(), 2);
}

Test(link_rate, that_stays_near_the_limit_is_told_every_minute)
{
    bring_up(1);
    for (unsigned i = 0; i < 30; i++) {
        forget();
        hear_changes(30);
        pass(TG_SEC(5));
        beat();
    }
    /* From the eighth step on: at once, and in the two minutes since. */
    cr_assert_eq(n_told(), 2);
}

Test(link_rate, is_told_once_when_upstream_closes_all_channels_for_it)
{
    bring_up(1);
    join(2);
    pass(TG_MS(200));
    reply(0, 2, 2, "ok", "{}");
    subscribed(0, 2);
    forget();
    system_says(0, 1, "error", "Too many messages per second");
    hear(0, "[\"1\",null,\"realtime:tg:1\",\"phx_close\",{}]");
    system_says(0, 2, "error", "Too many messages per second");
    hear(0, "[\"2\",null,\"realtime:tg:2\",\"phx_close\",{}]");
    cr_assert_told("rate\ndown 1 message_rate\ndown 2 message_rate\n");
    forget();
    pass_a_minute();
    cr_assert_not_null(strstr(world.told, "rate\n"));
    cr_assert_eq(n_told(), 2);
}
