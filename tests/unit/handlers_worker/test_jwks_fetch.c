/* test_jwks_fetch.c - one fetch for many who wait, on several workers. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "fakes.h"

struct waiter {
    struct tg_jwks_wait wait;
    unsigned n_told;
    enum tg_rc rc;
};

static void on_done(struct tg_jwks_wait *wait, enum tg_rc rc)
{
    struct waiter *w = TG_CONTAINER_OF(wait, struct waiter, wait);

    w->n_told++;
    w->rc = rc;
}

static enum tg_rc ask(struct fleet *f, size_t worker, struct waiter *w)
{
    *w = (struct waiter){.wait.done = on_done};
    tg_list_init(&w->wait.node);
    return tg_jwks_fetch_unknown(&f->workers[worker], &w->wait);
}

/* [owned] a JWKS with one new key */
static char *jwks_text(const char *kid)
{
    EVP_PKEY *key = mint_ec("P-256");
    char *jwk = mint_jwk(key, kid, TG_ALG_ES256);
    const char *const entries[] = {jwk};
    char *text = mint_jwks(entries, 1);

    free(jwk);
    EVP_PKEY_free(key);
    return text;
}

static void answer(enum tg_rc rc, unsigned status, const char *body)
{
    cr_assert_not_null(fetch_seen.done);
    fetch_seen.done(rc, status, tg_str_of(body), fetch_seen.arg);
}

static void answer_key(const char *kid)
{
    char *text = jwks_text(kid);

    answer(TG_OK, 200, text);
    free(text);
}

static void begin(struct fleet *f, size_t n)
{
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);

    fleet_make(f, n, keys);
    tg_keys_unref(keys);
    fleet_turns(f);
}

static bool has_key(const struct fleet *f, size_t worker, const char *kid)
{
    return tg_keys_find(f->workers[worker].keys, tg_str_of(kid)) != NULL;
}

Test(jwks_fetch, first_fetch_comes_without_being_asked)
{
    struct fleet f;

    begin(&f, 2);
    cr_assert_eq(fetch_seen.n, 1);
    cr_assert_str_eq(fetch_seen.target, "/auth/v1/.well-known/jwks.json");
    answer_key("k1");
    fleet_turns(&f);
    cr_assert(has_key(&f, 0, "k1"));
    cr_assert(has_key(&f, 1, "k1"));
    cr_assert_eq(f.workers[0].keys, f.workers[1].keys, "one snapshot for all");
    fleet_drop(&f);
}

Test(jwks_fetch, all_who_wait_join_the_fetch_under_way)
{
    struct fleet f;
    struct waiter w[6];

    begin(&f, 3);
    for (size_t i = 0; i < TG_ARRAY_LEN(w); i++) {
        cr_assert_eq(ask(&f, i % 3, &w[i]), TG_EAGAIN);
    }
    fleet_turns(&f);
    cr_assert_eq(fetch_seen.n, 1);
    cr_assert_eq(w[0].n_told, 0);
    answer_key("k1");
    fleet_turns(&f);
    for (size_t i = 0; i < TG_ARRAY_LEN(w); i++) {
        cr_assert_eq(w[i].n_told, 1);
        cr_assert_eq(w[i].rc, TG_OK);
    }
    cr_assert_eq(fetch_seen.n, 1);
    cr_assert_eq(tg_count_get(&f.workers[0].counts.jwks_fetches), 1);
    cr_assert_eq(tg_count_get(&f.workers[0].counts.jwks_failures), 0);
    fleet_drop(&f);
}

Test(jwks_fetch, unknown_keys_on_every_worker_cost_one_fetch)
{
    struct fleet f;
    struct waiter w[3];

    begin(&f, 3);
    answer_key("k1");
    fleet_turns(&f);
    for (size_t i = 0; i < TG_ARRAY_LEN(w); i++) {
        cr_assert_eq(ask(&f, i, &w[i]), TG_EAGAIN);
    }
    fleet_turns(&f);
    cr_assert_eq(fetch_seen.n, 2);
    answer_key("k2");
    fleet_turns(&f);
    for (size_t i = 0; i < TG_ARRAY_LEN(w); i++) {
        cr_assert_eq(w[i].rc, TG_OK);
        cr_assert_eq(w[i].n_told, 1);
        cr_assert(has_key(&f, i, "k2"));
    }
    fleet_drop(&f);
}

Test(jwks_fetch, failure_is_told_as_not_ready_and_the_keys_stay)
{
    struct fleet f;
    struct waiter first;
    struct waiter other;
    struct tg_keys *before = NULL;

    begin(&f, 2);
    before = f.workers[1].keys;
    cr_assert_eq(ask(&f, 0, &first), TG_EAGAIN);
    cr_assert_eq(ask(&f, 1, &other), TG_EAGAIN);
    fleet_turns(&f);
    answer(TG_EREFUSED, 0, "");
    fleet_turns(&f);
    cr_assert_eq(first.rc, TG_ENOTREADY);
    cr_assert_eq(other.rc, TG_ENOTREADY);
    cr_assert_eq(first.n_told + other.n_told, 2);
    cr_assert_eq(f.workers[1].keys, before);
    cr_assert_eq(tg_count_get(&f.workers[0].counts.jwks_failures), 1);
    fleet_drop(&f);
}

Test(jwks_fetch, answers_that_are_no_keys_are_failures)
{
    static const struct {
        unsigned status;
        const char *body;
    } bad[] = {{404, "{\"keys\":[]}"}, {200, "<html>"}, {200, ""}, {500, ""}};

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        struct fleet f;
        struct waiter w;

        begin(&f, 1);
        cr_assert_eq(ask(&f, 0, &w), TG_EAGAIN);
        answer(TG_OK, bad[i].status, bad[i].body);
        cr_assert_eq(w.rc, TG_ENOTREADY, "%zu", i);
        fleet_drop(&f);
    }
}

Test(jwks_fetch, fetch_that_cannot_start_is_a_failure)
{
    struct fleet f;
    struct waiter w;

    begin(&f, 1);
    answer_key("k1");
    fetch_seen.rc = TG_EBUSY;
    cr_assert_eq(ask(&f, 0, &w), TG_EAGAIN);
    cr_assert_eq(w.n_told, 0, "never from inside the call");
    fleet_turns(&f);
    cr_assert_eq(w.n_told, 1);
    cr_assert_eq(w.rc, TG_ENOTREADY);
    fleet_drop(&f);
}

Test(jwks_fetch, who_asks_again_at_once_is_answered_without_a_fetch)
{
    struct fleet f;
    struct waiter w;

    begin(&f, 2);
    answer_key("k1");
    fleet_turns(&f);
    cr_assert_eq(ask(&f, 1, &w), TG_EAGAIN);
    fleet_turns(&f);
    answer_key("k1");
    fleet_turns(&f);
    /* Fetched a moment ago, and the key was not among them. */
    cr_assert_eq(ask(&f, 1, &w), TG_EAGAIN);
    fleet_turns(&f);
    cr_assert_eq(w.rc, TG_EUNKNOWNKEY);
    cr_assert_eq(ask(&f, 1, &w), TG_EUNKNOWNKEY, "not even a mail");
    cr_assert_eq(fetch_seen.n, 2);
    fleet_drop(&f);
}

Test(jwks_fetch, gap_over_the_next_unknown_key_is_fetched_for)
{
    struct fleet f;
    struct waiter w;

    begin(&f, 1);
    answer_key("k1");
    cr_assert_eq(ask(&f, 0, &w), TG_EAGAIN);
    fleet_turns(&f);
    answer_key("k1");
    fake_now += TG_SEC(11);
    fleet_turns(&f);
    cr_assert_eq(ask(&f, 0, &w), TG_EAGAIN);
    fleet_turns(&f);
    cr_assert_eq(fetch_seen.n, 3);
    fleet_drop(&f);
}

Test(jwks_fetch, cancelled_wait_is_not_told)
{
    struct fleet f;
    struct waiter gone;
    struct waiter stays;

    begin(&f, 1);
    cr_assert_eq(ask(&f, 0, &gone), TG_EAGAIN);
    cr_assert_eq(ask(&f, 0, &stays), TG_EAGAIN);
    tg_jwks_fetch_cancel(&gone.wait);
    answer_key("k1");
    cr_assert_eq(gone.n_told, 0);
    cr_assert_eq(stays.n_told, 1);
    fleet_drop(&f);
}

Test(jwks_fetch, worker_that_missed_the_keys_gets_those_at_hand)
{
    struct fleet f;
    struct waiter w;

    begin(&f, 2);
    answer_key("k1");
    /* Worker 1 asks before it has read what it was told. */
    cr_assert_eq(ask(&f, 1, &w), TG_EAGAIN);
    turn(f.workers[0].loop);
    turn(f.workers[1].loop);
    cr_assert_eq(w.n_told, 1);
    cr_assert_eq(w.rc, TG_OK);
    cr_assert(has_key(&f, 1, "k1"));
    cr_assert_eq(fetch_seen.n, 1, "no fetch for who is only behind");
    fleet_drop(&f);
}

Test(jwks_fetch, wait_without_an_end_is_answered_by_its_timer)
{
    struct fleet f;
    struct waiter w;

    begin(&f, 2);
    cr_assert_eq(ask(&f, 1, &w), TG_EAGAIN);
    fleet_turns(&f);
    fake_now += TG_SEC(14);
    fleet_turns(&f);
    cr_assert_eq(w.n_told, 0);
    fake_now += TG_SEC(2);
    fleet_turns(&f);
    cr_assert_eq(w.n_told, 1);
    cr_assert_eq(w.rc, TG_ENOTREADY);
    fleet_drop(&f);
}

Test(jwks_fetch, keys_are_fetched_again_after_the_interval)
{
    struct fleet f;

    begin(&f, 1);
    answer_key("k1");
    fake_now += TG_SEC(200);
    fleet_turns(&f);
    cr_assert_eq(fetch_seen.n, 1);
    fake_now += TG_SEC(135); /* 300 and its jitter */
    fleet_turns(&f);
    cr_assert_eq(fetch_seen.n, 2);
    answer_key("k2");
    cr_assert(has_key(&f, 0, "k2"));
    cr_assert_not(has_key(&f, 0, "k1"));
    fleet_drop(&f);
}

Test(jwks_fetch, failed_fetch_is_tried_again_soon)
{
    struct fleet f;

    begin(&f, 1);
    answer(TG_EUPSTREAM, 0, "");
    fake_now += TG_SEC(2);
    fleet_turns(&f);
    cr_assert_eq(fetch_seen.n, 2);
    fleet_drop(&f);
}
