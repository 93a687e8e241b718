/* clock.h - time, with its unit in the name. Modules under test take `now` as a parameter. */
#ifndef TG_UTIL_CLOCK_H
#define TG_UTIL_CLOCK_H

#include <stdint.h>

/* Microseconds; what they count from depends on the function. */
typedef uint64_t tg_usec;

#define TG_MS(n) ((tg_usec)(n)*1000U)
#define TG_SEC(n) ((tg_usec)(n)*1000000U)

/* Monotonic: for timeouts and measuring. Any thread. */
tg_usec tg_clock_mono_us(void);

/* Since 1970 UTC: for tokens, log lines and what people read. Any thread. */
tg_usec tg_clock_wall_us(void);

#endif
