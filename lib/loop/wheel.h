/* wheel.h - many coarse timers: starting and stopping one is a list operation.
 *
 * A hashed wheel of 512 slots of 10 ms. A timer further away than one turn stays
 * in its slot until its time has come. Fires never early, late by up to a tick.
 * Pure data with `now` passed in; lib/loop/loop.h drives the one of each loop. */
#ifndef TG_LOOP_WHEEL_H
#define TG_LOOP_WHEEL_H

#include "util/base.h"
#include "util/clock.h"

struct tg_timer;
typedef void tg_timer_fn(struct tg_timer *timer);

/* Embedded in what it times (TG_CONTAINER_OF). tg_timer_init() before use. */
struct tg_timer {
    struct tg_list node;
    uint64_t due; /* tick */
    tg_timer_fn *fn;
};

enum { TG_WHEEL_SLOTS = 512, TG_WHEEL_TICK_US = 10000 };

struct tg_wheel {
    struct tg_list slots[TG_WHEEL_SLOTS];
    uint64_t occupied[TG_WHEEL_SLOTS / 64];
    uint64_t tick; /* all ticks up to here have fired */
    size_t n;
};

void tg_timer_init(struct tg_timer *t, tg_timer_fn *fn);
bool tg_timer_is_on(const struct tg_timer *t);

void tg_wheel_init(struct tg_wheel *w, tg_usec now);

/* Moves a running timer. */
void tg_wheel_start(struct tg_wheel *w, struct tg_timer *t, tg_usec due);
void tg_wheel_stop(struct tg_wheel *w, struct tg_timer *t);

/* Fires what is due. A timer is off when its fn runs and may be started again there;
 * fn may stop or free any other timer. Returns how many fired. */
size_t tg_wheel_advance(struct tg_wheel *w, tg_usec now);

/* When tg_wheel_advance() has something to do next; UINT64_MAX if there is no timer. */
tg_usec tg_wheel_next(const struct tg_wheel *w);

#endif
