/* ring.c - a growing circular array of frame references. */
#include "realtime/ring.h"

#include <stdlib.h>

enum { FIRST_CAP = 8 };

void tg_ring_init(struct tg_ring *r, uint32_t max_frames, size_t max_bytes)
{
    *r = (struct tg_ring){.max_frames = max_frames, .max_bytes = max_bytes};
}

static void drop_oldest(struct tg_ring *r)
{
    struct tg_frame *f = tg_ring_at(r, 0);

    r->whole_from = tg_frame_pos(f);
    r->bytes -= tg_frame_bytes(f);
    r->first++;
    r->n--;
    tg_frame_unref(f);
}

void tg_ring_restart(struct tg_ring *r, struct tg_pos from)
{
    while (r->n > 0) {
        drop_oldest(r);
    }
    r->whole_from = from;
    r->last_reset = (struct tg_pos){0};
}

void tg_ring_fini(struct tg_ring *r)
{
    tg_ring_restart(r, (struct tg_pos){0});
    free(r->slots);
    *r = (struct tg_ring){0};
}

static void grow(struct tg_ring *r)
{
    uint32_t cap = r->cap == 0 ? FIRST_CAP : r->cap * 2;
    struct tg_frame **slots = tg_calloc(cap, sizeof(struct tg_frame *));

    for (uint32_t i = 0; i < r->n; i++) {
        slots[i] = tg_ring_at(r, i);
    }
    free(r->slots);
    r->slots = slots;
    r->cap = cap;
    r->first = 0;
}

struct tg_frame *tg_ring_at(const struct tg_ring *r, uint32_t index)
{
    TG_ASSERT(index < r->n);
    return r->slots[(r->first + index) & (r->cap - 1)];
}

void tg_ring_push(struct tg_ring *r, struct tg_frame *f)
{
    struct tg_pos newest = r->n == 0 ? r->whole_from : tg_frame_pos(tg_ring_at(r, r->n - 1));

    if (tg_pos_cmp(tg_frame_pos(f), newest) <= 0) {
        tg_frame_unref(f);
        return;
    }
    if (r->n == r->cap) {
        grow(r);
    }
    r->slots[(r->first + r->n) & (r->cap - 1)] = f;
    r->n++;
    r->bytes += tg_frame_bytes(f);
    if (tg_frame_kind(f) == TG_FRAME_RESET) {
        r->last_reset = tg_frame_pos(f);
    }
    while (r->n > r->max_frames || (r->bytes > r->max_bytes && r->n > 1)) {
        drop_oldest(r);
    }
}

uint32_t tg_ring_above(const struct tg_ring *r, struct tg_pos pos)
{
    uint32_t low = 0;
    uint32_t high = r->n;

    /* Live streams lack the newest frame or nothing: look there first. */
    if (high == 0 || tg_pos_cmp(tg_frame_pos(tg_ring_at(r, high - 1)), pos) <= 0) {
        return high;
    }
    if (high == 1 || tg_pos_cmp(tg_frame_pos(tg_ring_at(r, high - 2)), pos) <= 0) {
        return high - 1;
    }
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;

        if (tg_pos_cmp(tg_frame_pos(tg_ring_at(r, mid)), pos) <= 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

bool tg_ring_covers(const struct tg_ring *r, struct tg_pos pos)
{
    return tg_pos_cmp(pos, r->whole_from) >= 0;
}

bool tg_ring_has_reset(const struct tg_ring *r, struct tg_pos pos)
{
    return tg_pos_cmp(r->last_reset, pos) > 0;
}
