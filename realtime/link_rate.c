/* link_rate.c - the project's message rate, beyond which Realtime drops changes without a sign
 * (protocol page, 8.6): from near it until a minute after, what came may not be all. */
#include "realtime/link_int.h"
#include "util/log.h"

/* Others of the project count as well, and we do not see them. */
enum { NEAR_PERCENT = 80 };

#define TELL_EVERY TG_SEC(60)

static bool is_near(struct tg_link *l, tg_usec now)
{
    const uint64_t most = (uint64_t)l->opts.messages_per_second * 60 * NEAR_PERCENT / 100;

    return most > 0 && tg_rate_sum(&l->rate, now) >= most;
}

static void tell(struct tg_link *l, tg_usec now)
{
    l->rate_told_at = now;
    tg_count_add(&l->counts.rates_near, 1);
    l->h.on_rate(l->arg);
}

static void begin(struct tg_link *l, tg_usec now)
{
    if (l->rate_told_at != 0) {
        return;
    }
    tg_log(TG_LOG_WARN, "rate_near", TG_KN("per_minute", tg_rate_sum(&l->rate, now)),
           TG_KN("limit", l->opts.messages_per_second));
    tell(l, now);
    link_start_timer(l, &l->rate_timer, TELL_EVERY);
}

void link_count_change(struct tg_link *l)
{
    tg_usec now = tg_clock_mono_us();

    tg_rate_add(&l->rate, now);
    if (is_near(l, now)) {
        begin(l, now);
    }
}

void link_over_rate(struct tg_link *l)
{
    begin(l, tg_clock_mono_us());
}

void link_on_rate_timer(struct tg_timer *t)
{
    struct tg_link *l = TG_CONTAINER_OF(t, struct tg_link, rate_timer);
    tg_usec now = tg_clock_mono_us();

    tell(l, now); /* what was lost since the last time */
    if (is_near(l, now)) {
        link_start_timer(l, t, TELL_EVERY);
    } else {
        l->rate_told_at = 0;
        tg_log(TG_LOG_INFO, "rate_calm", TG_KN("per_minute", tg_rate_sum(&l->rate, now)));
    }
}
