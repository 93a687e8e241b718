/* When the JWKS is fetched, with times passed in. */
#include <criterion/criterion.h>

#include "auth/jwks_policy.h"

#define START TG_SEC(1000)

static struct tg_jwks_policy policy(void)
{
    static const struct tg_jwks_policy_opts opts = {
        .interval = TG_SEC(300),
        .unknown_gap = TG_SEC(10),
        .backoff_min = TG_SEC(1),
        .backoff_max = TG_SEC(60),
        .jitter_percent = 10,
    };
    struct tg_jwks_policy p;

    tg_jwks_policy_init(&p, &opts, START);
    return p;
}

/* After a first good fetch at START; the next is due in the middle of the jitter. */
static struct tg_jwks_policy fetched(void)
{
    struct tg_jwks_policy p = policy();

    cr_assert_eq(tg_jwks_policy_tick(&p, START), TG_JWKS_FETCH);
    tg_jwks_policy_done(&p, START, true, (uint32_t)TG_SEC(30));
    return p;
}

Test(jwks_policy, fetches_at_once_and_then_at_the_interval)
{
    struct tg_jwks_policy p = policy();

    cr_assert_eq(tg_jwks_policy_due(&p), START);
    cr_assert_eq(tg_jwks_policy_tick(&p, START), TG_JWKS_FETCH);
    cr_assert_eq(tg_jwks_policy_due(&p), UINT64_MAX);
    cr_assert_eq(tg_jwks_policy_tick(&p, START + TG_SEC(9000)), TG_JWKS_NO);
    p = fetched();
    cr_assert_eq(tg_jwks_policy_due(&p), START + TG_SEC(300));
    cr_assert_eq(tg_jwks_policy_tick(&p, START + TG_SEC(300) - 1), TG_JWKS_NO);
    cr_assert_eq(tg_jwks_policy_tick(&p, START + TG_SEC(300)), TG_JWKS_FETCH);
}

Test(jwks_policy, jitter_stays_within_its_percent)
{
    for (uint32_t i = 0; i < 100000; i += 7) {
        struct tg_jwks_policy p = policy();

        cr_assert_eq(tg_jwks_policy_tick(&p, START), TG_JWKS_FETCH);
        tg_jwks_policy_done(&p, START, true, i * 42949U);
        cr_assert_geq(tg_jwks_policy_due(&p), START + TG_SEC(270));
        cr_assert_leq(tg_jwks_policy_due(&p), START + TG_SEC(330));
    }
}

Test(jwks_policy, fetches_once_for_many_unknown_kids)
{
    struct tg_jwks_policy p = fetched();
    tg_usec t = START + TG_SEC(20);

    cr_assert_eq(tg_jwks_policy_unknown(&p, t), TG_JWKS_FETCH);
    cr_assert_eq(tg_jwks_policy_unknown(&p, t), TG_JWKS_JOIN);
    tg_jwks_policy_done(&p, t + TG_SEC(1), true, 0);
    cr_assert_eq(tg_jwks_policy_unknown(&p, t + TG_SEC(1)), TG_JWKS_NO);
    cr_assert_eq(tg_jwks_policy_unknown(&p, t + TG_SEC(10) - 1), TG_JWKS_NO);
    cr_assert_eq(tg_jwks_policy_unknown(&p, t + TG_SEC(10)), TG_JWKS_FETCH);
}

Test(jwks_policy, a_background_fetch_leaves_the_one_for_an_unknown_kid)
{
    struct tg_jwks_policy p = fetched();

    cr_assert_eq(tg_jwks_policy_unknown(&p, START), TG_JWKS_FETCH);
}

Test(jwks_policy, backs_off_while_auth_is_failing)
{
    static const unsigned seconds[] = {1, 2, 4, 8, 16, 32, 60, 60, 60};
    struct tg_jwks_policy p = fetched();
    tg_usec t = START + TG_SEC(300);

    for (size_t i = 0; i < TG_ARRAY_LEN(seconds); i++) {
        tg_usec wait = TG_SEC(seconds[i]);

        cr_assert_eq(tg_jwks_policy_tick(&p, t), TG_JWKS_FETCH);
        tg_jwks_policy_done(&p, t, false, (uint32_t)(wait / 100 * 10));
        cr_assert_eq(tg_jwks_policy_due(&p), t + wait, "failure %zu", i);
        t += wait;
        /* An unknown kid does not go round the backoff. */
        cr_assert_eq(tg_jwks_policy_unknown(&p, t - 1), TG_JWKS_NO);
    }
    cr_assert_eq(tg_jwks_policy_tick(&p, t), TG_JWKS_FETCH);
    tg_jwks_policy_done(&p, t, true, (uint32_t)TG_SEC(30));
    cr_assert_eq(tg_jwks_policy_due(&p), t + TG_SEC(300));
}

Test(jwks_policy, has_defaults)
{
    struct tg_jwks_policy p;
    const struct tg_jwks_policy_opts none = {0};

    tg_jwks_policy_init(&p, &none, 0);
    cr_assert_eq(tg_jwks_policy_tick(&p, 0), TG_JWKS_FETCH);
    for (unsigned i = 0; i < 100; i++) {
        tg_jwks_policy_done(&p, 0, false, UINT32_MAX);
        cr_assert_leq(tg_jwks_policy_due(&p), TG_SEC(66));
        cr_assert_eq(tg_jwks_policy_tick(&p, TG_SEC(66)), TG_JWKS_FETCH);
    }
}
