/* wheel.c - hashed timer wheel.
 *
 * Invariant: a timer that is on stands in slot due % SLOTS with due > tick, except
 * while its slot is being fired. A set bit in `occupied` may be stale, a clear one never is. */
#include "loop/wheel.h"

static unsigned slot_of(uint64_t tick)
{
    return (unsigned)(tick % TG_WHEEL_SLOTS);
}

void tg_timer_init(struct tg_timer *t, tg_timer_fn *fn)
{
    tg_list_init(&t->node);
    t->due = 0;
    t->fn = fn;
}

bool tg_timer_is_on(const struct tg_timer *t)
{
    return !tg_list_empty(&t->node);
}

void tg_wheel_init(struct tg_wheel *w, tg_usec now)
{
    *w = (struct tg_wheel){.tick = now / TG_WHEEL_TICK_US};
    for (size_t i = 0; i < TG_WHEEL_SLOTS; i++) {
        tg_list_init(&w->slots[i]);
    }
}

void tg_wheel_stop(struct tg_wheel *w, struct tg_timer *t)
{
    if (tg_timer_is_on(t)) {
        tg_list_remove(&t->node);
        w->n--;
    }
}

void tg_wheel_start(struct tg_wheel *w, struct tg_timer *t, tg_usec due)
{
    unsigned slot = 0;

    tg_wheel_stop(w, t);
    /* Rounded up, so that nothing fires early. */
    t->due = TG_MAX((due + TG_WHEEL_TICK_US - 1) / TG_WHEEL_TICK_US, w->tick + 1);
    slot = slot_of(t->due);
    tg_list_append(&w->slots[slot], &t->node);
    w->occupied[slot / 64] |= (uint64_t)1 << (slot % 64);
    w->n++;
}

/* Fires the timers of one slot that are due. The list is moved aside first, so that
 * callbacks may start and stop what they like. */
static size_t fire_slot(struct tg_wheel *w, unsigned slot)
{
    struct tg_list *from = &w->slots[slot];
    struct tg_list aside;
    size_t n = 0;

    w->occupied[slot / 64] &= ~((uint64_t)1 << (slot % 64));
    if (tg_list_empty(from)) {
        return 0;
    }
    aside = *from;
    aside.prev->next = &aside;
    aside.next->prev = &aside;
    tg_list_init(from);
    while (!tg_list_empty(&aside)) {
        struct tg_timer *t = TG_CONTAINER_OF(aside.next, struct tg_timer, node);

        tg_list_remove(&t->node);
        if (t->due > w->tick) {
            tg_list_append(from, &t->node);
            w->occupied[slot / 64] |= (uint64_t)1 << (slot % 64);
            continue;
        }
        w->n--;
        n++;
        t->fn(t);
    }
    return n;
}

size_t tg_wheel_advance(struct tg_wheel *w, tg_usec now)
{
    uint64_t target = now / TG_WHEEL_TICK_US;
    uint64_t steps = 0;
    size_t n = 0;

    if (target <= w->tick) {
        return 0;
    }
    /* After a long sleep one turn of the wheel sees every slot. */
    steps = TG_MIN(target - w->tick, (uint64_t)TG_WHEEL_SLOTS);
    for (uint64_t i = steps; i > 0; i--) {
        /* Set before firing: what a callback starts lies in the future of this tick. */
        w->tick = target - i + 1;
        n += fire_slot(w, slot_of(w->tick));
    }
    return n;
}

tg_usec tg_wheel_next(const struct tg_wheel *w)
{
    if (w->n == 0) {
        return UINT64_MAX;
    }
    for (uint64_t i = 1; i <= TG_WHEEL_SLOTS; i++) {
        unsigned slot = slot_of(w->tick + i);

        if ((w->occupied[slot / 64] >> (slot % 64)) & 1U) {
            return (w->tick + i) * TG_WHEEL_TICK_US;
        }
    }
    return (w->tick + TG_WHEEL_SLOTS) * TG_WHEEL_TICK_US;
}
