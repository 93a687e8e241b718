/* test_store.c - what store.h promises, said once and asked of both backends. */
#include <stdio.h>
#include <stdlib.h>

#include "store/fixture.h"

static struct fixture f;

static void start_memory(void)
{
    fixture_start(&f, false);
    fixture_open(&f);
}

static void start_redis(void)
{
    fixture_start(&f, true);
    fixture_open(&f);
}

static void stop(void)
{
    fixture_stop(&f);
}

#define BOTH(name)                                                                                 \
    static void name(void);                                                                        \
    Test(memory, name, .init = start_memory, .fini = stop)                                         \
    {                                                                                              \
        name();                                                                                    \
    }                                                                                              \
    Test(redis, name, .init = start_redis, .fini = stop)                                           \
    {                                                                                              \
        name();                                                                                    \
    }                                                                                              \
    static void name(void)

static const struct tg_pos begin = {0, 0};
static const struct tg_pos all = {0, 0};

BOTH(an_event_comes_back_under_its_id)
{
    struct tg_pos first = f.last;

    cr_assert_eq(append(&f, "a", "{1}"), TG_OK);
    cr_assert(tg_pos_cmp(f.pos, first) > 0);
    cr_assert_eq(page(&f, "a", "", first, all, 10), TG_OK);
    cr_assert_eq(f.verdict, TG_COMPLETE);
    cr_assert_eq(f.n, 1);
    POS_EQ(f.seen[0].pos, f.pos);
    cr_assert_str_eq(f.seen[0].name, "a");
    cr_assert_str_eq(f.seen[0].payload, "{1}");
    cr_assert_not(f.has_more);
    POS_EQ(f.resume, first);
}

BOTH(the_tail_tells_every_entry_in_order)
{
    tail(&f, f.last);
    for (int i = 0; i < 20; i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%d", i);
        cr_assert_eq(append(&f, i % 2 == 0 ? "even" : "odd", text), TG_OK);
    }
    wait_tail(&f, 20);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(strtol(f.seen[i].payload, NULL, 10), i);
        cr_assert(i == 0 || tg_pos_cmp(f.seen[i].pos, f.seen[i - 1].pos) > 0);
    }
    cr_assert_eq(f.n_cuts, 0);
    POS_EQ(f.tail_last, f.seen[19].pos);
}

BOTH(one_holder_at_a_time_and_its_fence_lets_write)
{
    cr_assert_eq(append_as(&f, "feed", 1, "a", "x"), TG_EFENCED);
    cr_assert_eq(take(&f, "feed", TG_SEC(10)), TG_OK);
    cr_assert_eq(append_as(&f, "feed", f.fence, "a", "x"), TG_OK);
    cr_assert_eq(append_as(&f, "feed", f.fence + 1, "a", "x"), TG_EFENCED);
}

BOTH(a_cursor_before_everything_reads_all_and_says_so)
{
    cr_assert_eq(append(&f, "a", "1"), TG_OK);
    cr_assert_eq(page(&f, "a", "", begin, all, 10), TG_OK);
    cr_assert_eq(f.verdict, TG_RESET_EXPIRED);
    cr_assert_eq(f.n, 1);
}
