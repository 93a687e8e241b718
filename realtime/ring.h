/* ring.h - the newest frames of one topic on one worker, by reference, bounded.
 *
 * Invariant: every frame of the topic with an id above `whole_from` is in the ring, and
 * ids ascend. Positions are compared by id, never by index. One worker's own. */
#ifndef TG_REALTIME_RING_H
#define TG_REALTIME_RING_H

#include "realtime/frame.h"

struct tg_ring {
    struct tg_frame **slots; /* power of two, grows up to the maximum */
    uint32_t cap;
    uint32_t first; /* index of the oldest, counting without wrap */
    uint32_t n;
    uint32_t max_frames;
    size_t bytes;
    size_t max_bytes;
    struct tg_pos whole_from;
    struct tg_pos last_reset; /* the newest reset that was ever pushed; {0,0}: none */
};

void tg_ring_init(struct tg_ring *r, uint32_t max_frames, size_t max_bytes);
void tg_ring_fini(struct tg_ring *r);

/* Empties it; from now on it is whole above `from`. */
void tg_ring_restart(struct tg_ring *r, struct tg_pos from);

/* Takes the reference. Frames at or below the newest one are dropped (seen already). The oldest
 * leave when a bound is passed, and whole_from moves on to the newest one that left. */
void tg_ring_push(struct tg_ring *r, struct tg_frame *f);

/* Index (0..n) of the first frame above `pos`; n if there is none. O(1) for the newest. */
uint32_t tg_ring_above(const struct tg_ring *r, struct tg_pos pos);
/* [borrowed] until the ring changes. */
struct tg_frame *tg_ring_at(const struct tg_ring *r, uint32_t index);

/* Whether nothing above `pos` is missing in the ring. */
bool tg_ring_covers(const struct tg_ring *r, struct tg_pos pos);

/* Whether a reset stands above `pos`, which the ring covers. */
bool tg_ring_has_reset(const struct tg_ring *r, struct tg_pos pos);

#endif
