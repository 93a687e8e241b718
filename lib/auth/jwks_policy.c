/* jwks_policy.c - when the JWKS is fetched; see the picture in jwks_policy.h. */
#include "auth/jwks_policy.h"

enum { DEFAULT_JITTER_PERCENT = 10, MAX_JITTER_PERCENT = 50, MAX_DOUBLINGS = 20 };

static tg_usec or_default(tg_usec t, tg_usec otherwise)
{
    return t == 0 ? otherwise : t;
}

void tg_jwks_policy_init(struct tg_jwks_policy *p, const struct tg_jwks_policy_opts *opts,
                         tg_usec now)
{
    *p = (struct tg_jwks_policy){.opts = *opts, .next = now, .next_unknown = now};
    p->opts.interval = or_default(opts->interval, TG_SEC(300));
    p->opts.unknown_gap = or_default(opts->unknown_gap, TG_SEC(10));
    p->opts.backoff_min = or_default(opts->backoff_min, TG_SEC(1));
    p->opts.backoff_max = or_default(opts->backoff_max, TG_SEC(60));
    if (p->opts.jitter_percent == 0) {
        p->opts.jitter_percent = DEFAULT_JITTER_PERCENT;
    }
    p->opts.jitter_percent = TG_MIN(p->opts.jitter_percent, MAX_JITTER_PERCENT);
}

tg_usec tg_jwks_policy_due(const struct tg_jwks_policy *p)
{
    return p->is_fetching ? UINT64_MAX : p->next;
}

enum tg_jwks_step tg_jwks_policy_tick(struct tg_jwks_policy *p, tg_usec now)
{
    if (p->is_fetching || now < p->next) {
        return TG_JWKS_NO;
    }
    p->is_fetching = true;
    return TG_JWKS_FETCH;
}

enum tg_jwks_step tg_jwks_policy_unknown(struct tg_jwks_policy *p, tg_usec now)
{
    if (p->is_fetching) {
        return TG_JWKS_JOIN;
    }
    /* While Auth is failing its backoff holds for these too: `next` is then the earliest. */
    if (now < p->next_unknown || (p->n_failures > 0 && now < p->next)) {
        return TG_JWKS_NO;
    }
    p->is_fetching = true;
    p->next_unknown = now + p->opts.unknown_gap;
    return TG_JWKS_FETCH;
}

/* t +- jitter_percent, by `random`. */
static tg_usec spread(const struct tg_jwks_policy *p, tg_usec t, uint32_t random)
{
    tg_usec width = t / 100 * p->opts.jitter_percent;

    return t - width + (width == 0 ? 0 : random % (2 * width + 1));
}

static tg_usec backoff(const struct tg_jwks_policy *p)
{
    unsigned doublings = TG_MIN(p->n_failures - 1, (uint32_t)MAX_DOUBLINGS);

    return TG_MIN(p->opts.backoff_min << doublings, p->opts.backoff_max);
}

void tg_jwks_policy_done(struct tg_jwks_policy *p, tg_usec now, bool ok, uint32_t random)
{
    TG_ASSERT(p->is_fetching);
    p->is_fetching = false;
    p->n_failures = ok ? 0 : p->n_failures + 1;
    p->next = now + spread(p, ok ? p->opts.interval : backoff(p), random);
}
