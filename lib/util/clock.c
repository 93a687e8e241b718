/* clock.c - the two system clocks. */
#include "util/clock.h"

#include <time.h>

static tg_usec read_clock(clockid_t id)
{
    struct timespec ts = {0};

    (void)clock_gettime(id, &ts);
    return TG_SEC(ts.tv_sec) + (tg_usec)ts.tv_nsec / 1000U;
}

tg_usec tg_clock_mono_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

tg_usec tg_clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}
