/* test_ring.c - whole above `whole_from`, ascending, bounded. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "realtime/ring.h"

static struct tg_pos at(uint64_t seq)
{
    return (struct tg_pos){1000, seq};
}

static void push(struct tg_ring *r, uint64_t seq)
{
    tg_ring_push(r, tg_frame_pair(at(seq), TG_STR("0123456789"), TG_STR("")));
}

static uint64_t seq_at(const struct tg_ring *r, uint32_t i)
{
    return tg_frame_pos(tg_ring_at(r, i)).seq;
}

Test(ring, gives_frames_in_the_order_of_their_ids)
{
    struct tg_ring r;

    tg_ring_init(&r, 64, SIZE_MAX);
    for (uint64_t i = 1; i <= 40; i++) {
        push(&r, i * 10);
    }
    cr_assert_eq(r.n, 40);
    for (uint32_t i = 0; i < r.n; i++) {
        cr_assert_eq(seq_at(&r, i), (i + 1) * 10);
    }
    tg_ring_fini(&r);
}

Test(ring, drops_what_it_has_seen)
{
    struct tg_ring r;

    tg_ring_init(&r, 64, SIZE_MAX);
    tg_ring_restart(&r, at(5));
    push(&r, 5);
    push(&r, 4);
    cr_assert_eq(r.n, 0);
    push(&r, 6);
    push(&r, 6);
    cr_assert_eq(r.n, 1);
    tg_ring_fini(&r);
}

Test(ring, keeps_the_newest_within_its_count)
{
    struct tg_ring r;

    tg_ring_init(&r, 10, SIZE_MAX);
    for (uint64_t i = 1; i <= 1000; i++) {
        push(&r, i);
        cr_assert_leq(r.n, 10);
    }
    cr_assert_eq(seq_at(&r, 0), 991);
    cr_assert_eq(seq_at(&r, 9), 1000);
    cr_assert_eq(r.whole_from.seq, 990);
    tg_ring_fini(&r);
}

Test(ring, keeps_within_its_bytes_but_always_the_newest)
{
    struct tg_ring r;
    struct tg_frame *f = tg_frame_pair(at(1), TG_STR("0123456789"), TG_STR(""));
    size_t one = tg_frame_bytes(f);

    tg_frame_unref(f);
    tg_ring_init(&r, 100, 3 * one);
    for (uint64_t i = 1; i <= 5; i++) {
        push(&r, i);
    }
    cr_assert_eq(r.n, 3);
    cr_assert_eq(r.bytes, 3 * one);
    tg_ring_fini(&r);
    tg_ring_init(&r, 100, 1);
    push(&r, 1);
    push(&r, 2);
    cr_assert_eq(r.n, 1);
    cr_assert_eq(seq_at(&r, 0), 2);
    tg_ring_fini(&r);
}

Test(ring, covers_positions_from_what_left_it_on)
{
    struct tg_ring r;

    tg_ring_init(&r, 2, SIZE_MAX);
    tg_ring_restart(&r, at(7));
    cr_assert(tg_ring_covers(&r, at(7)));
    cr_assert_not(tg_ring_covers(&r, at(6)));
    push(&r, 8);
    push(&r, 9);
    cr_assert(tg_ring_covers(&r, at(7)));
    push(&r, 10);
    cr_assert_not(tg_ring_covers(&r, at(7)));
    cr_assert(tg_ring_covers(&r, at(8)));
    tg_ring_fini(&r);
}

Test(ring, finds_the_first_frame_above_any_position)
{
    struct tg_ring r;

    tg_ring_init(&r, 50, SIZE_MAX);
    for (uint64_t i = 1; i <= 120; i++) {
        push(&r, 2 * i);
    }
    for (uint64_t seq = 138; seq <= 245; seq++) {
        uint32_t above = tg_ring_above(&r, at(seq));
        uint32_t expected = 0;

        while (expected < r.n && seq_at(&r, expected) <= seq) {
            expected++;
        }
        cr_assert_eq(above, expected);
    }
    tg_ring_fini(&r);
}

Test(ring, restarted_is_empty_and_whole_from_there)
{
    struct tg_ring r;

    tg_ring_init(&r, 50, SIZE_MAX);
    push(&r, 1);
    push(&r, 2);
    tg_ring_restart(&r, at(9));
    cr_assert_eq(r.n, 0);
    cr_assert_eq(r.bytes, 0);
    cr_assert_eq(tg_ring_above(&r, at(0)), 0);
    cr_assert(tg_ring_covers(&r, at(9)));
    cr_assert_not(tg_ring_covers(&r, at(8)));
    tg_ring_fini(&r);
}
