/* What is remembered, for how long, and what it may cost. Read from the counters. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "auth/jwks.h"
#include "auth/memory.h"
#include "mint.h"
#include "util/buf.h"

/* Checks `text`, gives a token back at once. */
static enum tg_rc check_at(struct tg_auth *a, const struct tg_keys *keys, const char *text,
                           tg_usec now)
{
    struct tg_token_opts opts = {.now = now};
    struct tg_token *t = NULL;
    enum tg_rc rc = tg_auth_check(a, keys, tg_str_of(text), ADDRESS, &opts, &t);

    cr_assert_eq(rc == TG_OK, t != NULL);
    tg_token_unref(t);
    return rc;
}

static uint64_t checks(const struct tg_auth *a)
{
    return tg_count_get(&tg_auth_counts(a)->checks);
}

static struct tg_auth *small(size_t max)
{
    struct tg_auth_limits limits = {.max_tokens = max, .max_failed = max, .max_addresses = max};

    limits.checks_burst = 1000;
    return tg_auth_create(&limits);
}

/* [owned] A good token, different for each `n`. */
static char *user_token(unsigned n)
{
    char more[32];
    char *claims = NULL;
    char *text = NULL;

    (void)snprintf(more, sizeof(more), ",\"n\":%u", n);
    claims = mint_claims(more);
    text = mint_hs(claims);
    free(claims);
    return text;
}

Test(memory, checks_a_good_token_once)
{
    struct tg_auth *a = small(8);
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *text = user_token(1);

    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(check_at(a, keys, text, NOW + TG_SEC(i)), TG_OK);
    }
    cr_assert_eq(checks(a), 1);
    cr_assert_eq(tg_count_get(&tg_auth_counts(a)->hits), 99);
    free(text);
    tg_keys_unref(keys);
    tg_auth_destroy(a);
}

Test(memory, gives_the_same_token_again)
{
    struct tg_auth *a = small(8);
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *text = user_token(1);
    struct tg_token_opts opts = {.now = NOW};
    struct tg_token *first = NULL;
    struct tg_token *second = NULL;

    cr_assert_eq(tg_auth_check(a, keys, tg_str_of(text), ADDRESS, &opts, &first), TG_OK);
    cr_assert_eq(tg_auth_check(a, keys, tg_str_of(text), ADDRESS, &opts, &second), TG_OK);
    cr_assert_eq(first, second);
    tg_auth_destroy(a);
    cr_assert_str_eq(second->text.p, text);
    tg_token_unref(first);
    tg_token_unref(second);
    free(text);
    tg_keys_unref(keys);
}

/* They are found by their ends, and told apart by the whole. */
Test(memory, takes_no_text_for_a_known_one_because_it_ends_like_it)
{
    struct tg_auth *a = small(8);
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *text = user_token(1);
    char *forged = tg_strdup(text);

    cr_assert_eq(check_at(a, keys, text, NOW), TG_OK);
    forged[strlen(forged) / 2] ^= 1;
    cr_assert_eq(check_at(a, keys, forged, NOW), TG_EBADTOKEN);
    cr_assert_eq(check_at(a, keys, text + 1, NOW), TG_EBADTOKEN);
    cr_assert_eq(check_at(a, keys, text, NOW), TG_OK);
    cr_assert_eq(tg_count_get(&tg_auth_counts(a)->hits), 1);
    free(forged);
    free(text);
    tg_keys_unref(keys);
    tg_auth_destroy(a);
}

Test(memory, asks_each_route_its_own_questions)
{
    static const tg_str admins[] = {TG_STR_INIT("admin")};
    struct tg_auth *a = small(8);
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *text = user_token(1);
    struct tg_token_opts admin = {.now = NOW, .roles = admins, .n_roles = 1};
    struct tg_token_opts skewed = {.now = TG_SEC(NOW_SEC + 3610), .skew_sec = 30};
    struct tg_token *t = NULL;

    cr_assert_eq(tg_auth_check(a, keys, tg_str_of(text), ADDRESS, &admin, &t), TG_EBADTOKEN);
    cr_assert_eq(check_at(a, keys, text, NOW), TG_OK);
    cr_assert_eq(check_at(a, keys, text, skewed.now), TG_EEXPIRED);
    cr_assert_eq(tg_auth_check(a, keys, tg_str_of(text), ADDRESS, &skewed, &t), TG_OK);
    tg_token_unref(t);
    cr_assert_eq(checks(a), 1);
    free(text);
    tg_keys_unref(keys);
    tg_auth_destroy(a);
}

Test(memory, knows_a_token_that_has_become_valid)
{
    struct tg_auth *a = small(8);
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *text = mint_hs("{\"sub\":\"u\",\"exp\":1790000009,\"nbf\":1790000001}");

    cr_assert_eq(check_at(a, keys, text, NOW), TG_EEARLY);
    cr_assert_eq(check_at(a, keys, text, NOW + TG_SEC(1)), TG_OK);
    cr_assert_eq(check_at(a, keys, text, NOW + TG_SEC(9)), TG_EEXPIRED);
    cr_assert_eq(checks(a), 1);
    free(text);
    tg_keys_unref(keys);
    tg_auth_destroy(a);
}

Test(memory, refuses_an_expired_token_without_checking_it_each_time)
{
    struct tg_auth *a = small(8);
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *known = mint_hs("{\"sub\":\"u\",\"exp\":1790000001}");
    char *old = mint_hs("{\"sub\":\"u\",\"exp\":1}");

    cr_assert_eq(check_at(a, keys, known, NOW), TG_OK);
    for (unsigned i = 0; i < 20; i++) {
        cr_assert_eq(check_at(a, keys, known, NOW + TG_SEC(1000 + i)), TG_EEXPIRED);
        cr_assert_eq(check_at(a, keys, old, NOW + TG_SEC(i)), TG_EEXPIRED);
    }
    cr_assert_eq(checks(a), 2);
    free(old);
    free(known);
    tg_keys_unref(keys);
    tg_auth_destroy(a);
}

Test(memory, remembers_a_failure_for_thirty_seconds)
{
    struct tg_auth *a = small(8);
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *claims = mint_claims("");
    char *text = mint_raw("{\"alg\":\"HS256\"}", claims, TG_ALG_HS256, NULL, "wrong");

    cr_assert_eq(check_at(a, keys, text, NOW), TG_EBADTOKEN);
    cr_assert_eq(check_at(a, keys, text, NOW + TG_SEC(30) - 1), TG_EBADTOKEN);
    cr_assert_eq(checks(a), 1);
    cr_assert_eq(tg_count_get(&tg_auth_counts(a)->failed_hits), 1);
    cr_assert_eq(check_at(a, keys, text, NOW + TG_SEC(30)), TG_EBADTOKEN);
    cr_assert_eq(checks(a), 2);
    /* A clock that is set back does not stretch the thirty seconds. */
    cr_assert_eq(check_at(a, keys, text, NOW - TG_SEC(86400)), TG_EBADTOKEN);
    cr_assert_eq(checks(a), 3);
    free(text);
    free(claims);
    tg_keys_unref(keys);
    tg_auth_destroy(a);
}

Test(memory, is_bounded_and_drops_what_was_used_longest_ago)
{
    struct tg_auth *a = small(3);
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *texts[4];

    for (unsigned i = 0; i < 4; i++) {
        texts[i] = user_token(i);
    }
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(check_at(a, keys, texts[i], NOW), TG_OK);
    }
    cr_assert_eq(check_at(a, keys, texts[0], NOW), TG_OK);
    cr_assert_eq(check_at(a, keys, texts[3], NOW), TG_OK);
    cr_assert_eq(checks(a), 4);
    cr_assert_eq(tg_count_get(&tg_auth_counts(a)->evicted), 1);
    cr_assert_eq(check_at(a, keys, texts[0], NOW), TG_OK);
    cr_assert_eq(checks(a), 4);
    cr_assert_eq(check_at(a, keys, texts[1], NOW), TG_OK);
    cr_assert_eq(checks(a), 5);
    for (unsigned i = 0; i < 4; i++) {
        free(texts[i]);
    }
    tg_keys_unref(keys);
    tg_auth_destroy(a);
}

Test(memory, garbage_does_not_push_good_tokens_out)
{
    struct tg_auth *a = small(4);
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *text = user_token(1);
    char garbage[32];

    cr_assert_eq(check_at(a, keys, text, NOW), TG_OK);
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(garbage, sizeof(garbage), "a.b.%u", i);
        cr_assert_eq(check_at(a, keys, garbage, NOW), TG_EBADTOKEN);
    }
    cr_assert_eq(check_at(a, keys, text, NOW), TG_OK);
    cr_assert_eq(checks(a), 1);
    cr_assert_eq(tg_count_get(&tg_auth_counts(a)->evicted), 996);
    free(text);
    tg_keys_unref(keys);
    tg_auth_destroy(a);
}

Test(memory, forgets_a_token_with_its_key_and_no_other)
{
    EVP_PKEY *key = mint_ec("P-256");
    struct tg_auth *a = small(8);
    struct tg_keys *both = mint_keys(key, "k1", TG_ALG_ES256);
    struct tg_keys *secret_only = NULL;
    char *claims = mint_claims("");
    char *es = mint_signed(TG_ALG_ES256, "k1", key, claims);
    char *hs = user_token(1);

    cr_assert_eq(tg_keys_renew(both, TG_STR("{\"keys\":[]}"), &secret_only), TG_OK);
    cr_assert_eq(check_at(a, both, es, NOW), TG_OK);
    cr_assert_eq(check_at(a, both, hs, NOW), TG_OK);
    cr_assert_eq(check_at(a, secret_only, hs, NOW), TG_OK);
    cr_assert_eq(checks(a), 2);
    cr_assert_eq(check_at(a, secret_only, es, NOW), TG_EUNKNOWNKEY);
    /* Forgotten, not merely hidden: with its key back it is checked again. */
    cr_assert_eq(check_at(a, both, es, NOW), TG_OK);
    cr_assert_eq(checks(a), 3);
    free(hs);
    free(es);
    free(claims);
    tg_keys_unref(secret_only);
    tg_keys_unref(both);
    tg_auth_destroy(a);
    EVP_PKEY_free(key);
}

Test(memory, takes_a_new_key_of_the_old_name_seriously)
{
    EVP_PKEY *first = mint_ec("P-256");
    EVP_PKEY *second = mint_ec("P-256");
    struct tg_auth *a = small(8);
    struct tg_keys *before = mint_keys(first, "k1", TG_ALG_ES256);
    struct tg_keys *after = mint_keys(second, "k1", TG_ALG_ES256);
    char *claims = mint_claims("");
    char *text = mint_signed(TG_ALG_ES256, "k1", first, claims);

    cr_assert_eq(check_at(a, before, text, NOW), TG_OK);
    cr_assert_eq(check_at(a, after, text, NOW), TG_EBADTOKEN);
    cr_assert_eq(check_at(a, before, text, NOW), TG_OK);
    free(text);
    free(claims);
    tg_keys_unref(after);
    tg_keys_unref(before);
    tg_auth_destroy(a);
    EVP_PKEY_free(second);
    EVP_PKEY_free(first);
}

Test(memory, unknown_kid_is_a_failure_only_after_a_fetch)
{
    EVP_PKEY *key = mint_ec("P-256");
    struct tg_auth *a = small(8);
    struct tg_keys *without = mint_keys(NULL, NULL, TG_ALG_NONE);
    struct tg_keys *with = mint_keys(key, "k1", TG_ALG_ES256);
    char *claims = mint_claims("");
    char *good = mint_signed(TG_ALG_ES256, "k1", key, claims);
    char *never = mint_signed(TG_ALG_ES256, "k2", key, claims);
    char *later = mint_signed(TG_ALG_ES256, "k3", key, claims);

    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(check_at(a, without, good, NOW), TG_EUNKNOWNKEY);
        cr_assert_eq(check_at(a, without, never, NOW), TG_EUNKNOWNKEY);
    }
    tg_auth_keys_refreshed(a);
    cr_assert_eq(check_at(a, without, never, NOW + TG_SEC(1)), TG_EBADTOKEN);
    cr_assert_eq(check_at(a, with, good, NOW + TG_SEC(1)), TG_OK);
    cr_assert_eq(check_at(a, without, later, NOW + TG_SEC(1)), TG_EUNKNOWNKEY);
    cr_assert_eq(checks(a), 1);
    /* Asked again when the failure is forgotten. */
    cr_assert_eq(check_at(a, without, never, NOW + TG_SEC(30)), TG_EBADTOKEN);
    cr_assert_eq(check_at(a, without, never, NOW + TG_SEC(31)), TG_EUNKNOWNKEY);
    free(later);
    free(never);
    free(good);
    free(claims);
    tg_keys_unref(with);
    tg_keys_unref(without);
    tg_auth_destroy(a);
    EVP_PKEY_free(key);
}

Test(memory, unknown_kid_is_a_failure_after_a_fetch_that_brought_other_keys)
{
    EVP_PKEY *key = mint_ec("P-256");
    struct tg_auth *a = small(8);
    struct tg_keys *before = mint_keys(NULL, NULL, TG_ALG_NONE);
    struct tg_keys *after = mint_keys(key, "k1", TG_ALG_ES256);
    char *claims = mint_claims("");
    char *text = mint_signed(TG_ALG_ES256, "k2", key, claims);

    cr_assert_eq(check_at(a, before, text, NOW), TG_EUNKNOWNKEY);
    tg_auth_keys_refreshed(a);
    cr_assert_eq(check_at(a, after, text, NOW), TG_EBADTOKEN);
    cr_assert_eq(check_at(a, after, text, NOW), TG_EBADTOKEN);
    /* Found in the memory, not opened a third time. */
    cr_assert_eq(tg_count_get(&tg_auth_counts(a)->failed_hits), 1);
    free(text);
    free(claims);
    tg_keys_unref(after);
    tg_keys_unref(before);
    tg_auth_destroy(a);
    EVP_PKEY_free(key);
}

Test(memory, gives_each_address_its_own_signature_checks)
{
    struct tg_auth_limits limits = {.checks_per_sec = 2, .checks_burst = 3};
    struct tg_auth *a = tg_auth_create(&limits);
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    struct tg_token_opts opts = {.now = NOW};
    struct tg_token *t = NULL;
    char *texts[6];

    for (unsigned i = 0; i < 6; i++) {
        texts[i] = user_token(i);
    }
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(check_at(a, keys, texts[i], NOW), TG_OK);
    }
    cr_assert_eq(check_at(a, keys, texts[3], NOW), TG_ERATE);
    cr_assert_eq(check_at(a, keys, texts[3], NOW), TG_ERATE);
    cr_assert_eq(tg_count_get(&tg_auth_counts(a)->refused), 2);
    /* What is known costs nothing, and what was refused is not a failure. */
    cr_assert_eq(check_at(a, keys, texts[0], NOW), TG_OK);
    cr_assert_eq(tg_auth_check(a, keys, tg_str_of(texts[4]), TG_STR("198.51.100.1"), &opts, &t),
                 TG_OK);
    tg_token_unref(t);
    cr_assert_eq(check_at(a, keys, texts[3], NOW + TG_MS(500)), TG_OK);
    cr_assert_eq(check_at(a, keys, texts[5], NOW + TG_MS(500)), TG_ERATE);
    for (unsigned i = 0; i < 6; i++) {
        free(texts[i]);
    }
    tg_keys_unref(keys);
    tg_auth_destroy(a);
}

Test(memory, takes_no_more_than_a_token_can_be_long)
{
    struct tg_auth *a = small(8);
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *text = tg_malloc(TG_TOKEN_MAX_BYTES + 2);

    memset(text, 'a', TG_TOKEN_MAX_BYTES + 1);
    text[TG_TOKEN_MAX_BYTES + 1] = '\0';
    cr_assert_eq(check_at(a, keys, text, NOW), TG_EBADTOKEN);
    cr_assert_eq(check_at(a, keys, text, NOW), TG_EBADTOKEN);
    cr_assert_eq(tg_count_get(&tg_auth_counts(a)->failed_hits), 0);
    cr_assert_eq(check_at(a, keys, "", NOW), TG_EBADTOKEN);
    free(text);
    tg_keys_unref(keys);
    tg_auth_destroy(a);
    tg_auth_destroy(NULL);
}
