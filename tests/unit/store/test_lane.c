/* test_lane.c - how much a topic holds behind a position, asked of both backends. */
#define SUITE lane
#include "store/both.h"

static struct tg_lane seen_lane;

static bool is_done(struct fixture *fixture)
{
    return fixture->is_done;
}

static void on_lane(enum tg_rc rc, const struct tg_lane *lane, void *arg)
{
    (void)arg;
    cr_assert_eq(lane != NULL, rc == TG_OK);
    if (lane != NULL) {
        seen_lane = *lane;
    }
    f.rc = rc;
    f.is_done = true;
    tg_loop_stop(f.loop);
}

static enum tg_rc lane(const char *topic, struct tg_pos after)
{
    f.is_done = false;
    cr_assert_eq(tg_store_lane(f.store, tg_str_of(topic), after, 0, on_lane, NULL), TG_OK);
    run_until(&f, is_done);
    return f.rc;
}

static void is_lane(uint64_t n, struct tg_pos oldest, struct tg_pos newest)
{
    cr_assert_eq(seen_lane.n, n);
    cr_assert_not(seen_lane.is_capped);
    POS_EQ(seen_lane.oldest, oldest);
    POS_EQ(seen_lane.newest, newest);
    cr_assert_str_eq(seen_lane.epoch.text, f.epoch.text);
}

BOTH(a_lane_tells_what_lies_behind_a_position)
{
    struct tg_pos none = {0};
    struct tg_pos first = fill(&f, "a", 1);
    struct tg_pos second = fill(&f, "a", 1);
    struct tg_pos other = fill(&f, "b", 1);
    struct tg_pos last = fill(&f, "a", 50);

    cr_assert_eq(lane("a", begin), TG_OK);
    is_lane(52, first, last);
    POS_EQ(seen_lane.last, last);
    cr_assert_eq(lane("a", first), TG_OK);
    is_lane(51, second, last);
    cr_assert_eq(lane("a", other), TG_OK);
    cr_assert_eq(seen_lane.n, 50);
    cr_assert_eq(lane("a", last), TG_OK);
    is_lane(0, none, none);
    cr_assert_eq(lane("b", first), TG_OK);
    is_lane(1, other, other);
    POS_EQ(seen_lane.last, last);
    cr_assert_eq(lane("b", other), TG_OK);
    is_lane(0, none, none);
    cr_assert_eq(lane("never written", begin), TG_OK);
    is_lane(0, none, none);
    cr_assert_eq(tg_store_lane(f.store, TG_STR(""), begin, 0, on_lane, NULL), TG_EBADPARAM);
}

BOTH(a_lane_counts_no_further_than_its_cap)
{
    struct tg_pos first = fill(&f, "a", 1);

    (void)fill(&f, "a", TG_LANE_MAX);
    cr_assert_eq(lane("a", first), TG_OK);
    cr_assert_eq(seen_lane.n, TG_LANE_MAX);
    cr_assert_not(seen_lane.is_capped);
    cr_assert_eq(lane("a", begin), TG_OK);
    cr_assert_eq(seen_lane.n, TG_LANE_MAX);
    cr_assert(seen_lane.is_capped);
    POS_EQ(seen_lane.oldest, first);
    (void)fill(&f, "a", 1);
    cr_assert_eq(lane("a", first), TG_OK);
    cr_assert(seen_lane.is_capped);
    POS_EQ(seen_lane.newest, f.pos);
}

BOTH(a_lane_has_nothing_that_is_too_old)
{
    f.opts.retain_for = TG_SEC(1);
    fixture_reopen(&f);
    (void)fill(&f, "a", 3);
    cr_assert_eq(lane("a", begin), TG_OK);
    cr_assert_eq(seen_lane.n, 3);
    pass_time(&f, TG_MS(1100));
    cr_assert_eq(lane("a", begin), TG_OK);
    cr_assert_eq(seen_lane.n, 0);
}

ON_REDIS(a_lane_of_a_log_that_is_gone_is_no_lane)
{
    struct tg_pos last = fill(&f, "a", 3);

    (void)server(&f, "DEL {test}:1:log {test}:1:epoch");
    cr_assert_eq(lane("a", begin), TG_EEPOCH);
    wait_up(&f, 2);
    cr_assert_eq(lane("a", begin), TG_OK);
    cr_assert_eq(seen_lane.n, 0, "what the old log left does not count");
    cr_assert_lt(tg_pos_cmp(last, seen_lane.last), 0);
}
