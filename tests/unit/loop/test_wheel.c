/* test_wheel.c - what timers promise, with time passed in. */
#include <criterion/criterion.h>

#include "loop/wheel.h"

struct probe {
    struct tg_timer timer;
    struct tg_wheel *wheel;
    struct probe *other; /* stopped by fn_stop_other */
    unsigned fired;
};

static void fn_count(struct tg_timer *t)
{
    TG_CONTAINER_OF(t, struct probe, timer)->fired++;
}

static void fn_again(struct tg_timer *t)
{
    struct probe *p = TG_CONTAINER_OF(t, struct probe, timer);

    p->fired++;
    tg_wheel_start(p->wheel, t, p->wheel->tick * TG_WHEEL_TICK_US);
}

static void fn_stop_other(struct tg_timer *t)
{
    struct probe *p = TG_CONTAINER_OF(t, struct probe, timer);

    p->fired++;
    tg_wheel_stop(p->wheel, &p->other->timer);
}

static struct tg_wheel wheel;

static struct probe make(tg_timer_fn *fn)
{
    struct probe p = {.wheel = &wheel};

    tg_timer_init(&p.timer, fn);
    return p;
}

Test(wheel, never_fires_early_and_late_by_at_most_a_tick)
{
    for (tg_usec after = 1; after < TG_SEC(12); after = after * 2 + 777) {
        struct probe p = make(fn_count);
        tg_usec now = 123456;

        tg_wheel_init(&wheel, now);
        tg_timer_init(&p.timer, fn_count);
        tg_wheel_start(&wheel, &p.timer, now + after);
        (void)tg_wheel_advance(&wheel, now + after - 1);
        cr_assert_eq(p.fired, 0, "early at %lu", (unsigned long)after);
        (void)tg_wheel_advance(&wheel, now + after + TG_WHEEL_TICK_US);
        cr_assert_eq(p.fired, 1, "late at %lu", (unsigned long)after);
    }
}

Test(wheel, a_timer_beyond_one_turn_waits_for_its_own_turn)
{
    struct probe p = make(fn_count);

    tg_wheel_init(&wheel, 0);
    tg_timer_init(&p.timer, fn_count);
    tg_wheel_start(&wheel, &p.timer, TG_SEC(60));
    for (tg_usec now = 0; now < TG_SEC(60); now += TG_MS(500)) {
        (void)tg_wheel_advance(&wheel, now);
    }
    cr_assert_eq(p.fired, 0);
    (void)tg_wheel_advance(&wheel, TG_SEC(60));
    cr_assert_eq(p.fired, 1);
    cr_assert_eq(wheel.n, 0);
}

Test(wheel, a_long_sleep_fires_everything_that_is_due_once)
{
    struct probe p[100];

    tg_wheel_init(&wheel, 0);
    for (unsigned i = 0; i < 100; i++) {
        p[i] = make(fn_count);
        tg_timer_init(&p[i].timer, fn_count);
        tg_wheel_start(&wheel, &p[i].timer, TG_MS(i * 100));
    }
    cr_assert_eq(tg_wheel_advance(&wheel, TG_SEC(3600)), 100);
    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(p[i].fired, 1);
    }
}

Test(wheel, a_callback_may_start_its_timer_again_without_firing_twice_in_a_turn)
{
    struct probe p = make(fn_again);

    tg_wheel_init(&wheel, 0);
    tg_timer_init(&p.timer, fn_again);
    tg_wheel_start(&wheel, &p.timer, TG_MS(10));
    (void)tg_wheel_advance(&wheel, TG_MS(10));
    cr_assert_eq(p.fired, 1);
    cr_assert(tg_timer_is_on(&p.timer));
    (void)tg_wheel_advance(&wheel, TG_MS(20));
    cr_assert_eq(p.fired, 2);
}

Test(wheel, a_callback_may_stop_a_timer_that_is_due_in_the_same_tick)
{
    struct probe first = make(fn_stop_other);
    struct probe second = make(fn_count);

    tg_wheel_init(&wheel, 0);
    tg_timer_init(&first.timer, fn_stop_other);
    tg_timer_init(&second.timer, fn_count);
    first.other = &second;
    tg_wheel_start(&wheel, &first.timer, TG_MS(10));
    tg_wheel_start(&wheel, &second.timer, TG_MS(10));
    cr_assert_eq(tg_wheel_advance(&wheel, TG_MS(10)), 1);
    cr_assert_eq(second.fired, 0);
    cr_assert_eq(wheel.n, 0);
}

Test(wheel, next_is_never_later_than_the_first_timer)
{
    struct probe p = make(fn_count);

    tg_wheel_init(&wheel, 0);
    cr_assert_eq(tg_wheel_next(&wheel), UINT64_MAX);
    tg_timer_init(&p.timer, fn_count);
    tg_wheel_start(&wheel, &p.timer, TG_SEC(2));
    cr_assert_leq(tg_wheel_next(&wheel), TG_SEC(2));
    tg_wheel_stop(&wheel, &p.timer);
    tg_wheel_start(&wheel, &p.timer, TG_SEC(600));
    cr_assert_leq(tg_wheel_next(&wheel), TG_SEC(600));
}
