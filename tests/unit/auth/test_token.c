/* What verifies, and everything that must not. */
#include <criterion/criterion.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "auth/b64url.h"
#include "auth/jwks.h"
#include "auth/token.h"
#include "mint.h"
#include "util/buf.h"

static const struct tg_token_opts at_now = {.now = NOW};

/* Verifies and gives the token back at once. */
static enum tg_rc verify_with(const struct tg_keys *keys, const char *text,
                              const struct tg_token_opts *opts)
{
    struct tg_token *t = NULL;
    enum tg_rc rc = tg_token_verify(keys, tg_str_of(text), opts, &t);

    cr_assert_eq(rc == TG_OK, t != NULL);
    tg_token_unref(t);
    return rc;
}

/* As above with SECRET alone, on a token that the callee frees. */
static enum tg_rc verify_hs(char *text, const struct tg_token_opts *opts)
{
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    enum tg_rc rc = verify_with(keys, text, opts);

    tg_keys_unref(keys);
    free(text);
    return rc;
}

static enum tg_rc verify_claims(const char *claims, const struct tg_token_opts *opts)
{
    return verify_hs(mint_hs(claims), opts);
}

static enum tg_rc verify_more(const char *more, const struct tg_token_opts *opts)
{
    char *claims = mint_claims(more);
    enum tg_rc rc = verify_claims(claims, opts);

    free(claims);
    return rc;
}

static enum tg_rc verify_header(const char *header, enum tg_alg alg)
{
    char *claims = mint_claims("");
    enum tg_rc rc = verify_hs(mint_raw(header, claims, alg, NULL, SECRET), &at_now);

    free(claims);
    return rc;
}

Test(token, verifies_with_every_algorithm)
{
    for (enum tg_alg alg = TG_ALG_HS256; alg <= TG_ALG_ES512; alg++) {
        EVP_PKEY *key = mint_key(alg);
        struct tg_keys *keys = mint_keys(key, "k1", alg);
        char *claims = mint_claims("");
        char *text = mint_signed(alg, "k1", key, claims);
        struct tg_token *t = NULL;

        cr_assert_eq(tg_token_verify(keys, tg_str_of(text), &at_now, &t), TG_OK, "alg %d", alg);
        cr_assert(tg_str_eq(t->text, tg_str_of(text)));
        cr_assert(tg_keys_has_key(keys, t->key_id));
        tg_token_unref(t);
        free(text);
        free(claims);
        tg_keys_unref(keys);
        EVP_PKEY_free(key);
    }
}

Test(token, gives_the_claims)
{
    char *claims =
        mint_claims(",\"session_id\":\"s-1\",\"is_anonymous\":true,\"nbf\":5,\"iat\":7.9");
    char *text = mint_hs(claims);
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    struct tg_token *t = NULL;

    cr_assert_eq(tg_token_verify(keys, tg_str_of(text), &at_now, &t), TG_OK);
    tg_keys_unref(keys);
    cr_assert_str_eq(t->sub.p, "11111111-2222-4333-8444-555555555555");
    cr_assert_str_eq(t->iss.p, "https://p.example/auth/v1");
    cr_assert_str_eq(t->role.p, "authenticated");
    cr_assert_str_eq(t->session_id.p, "s-1");
    cr_assert_eq(t->n_auds, 1);
    cr_assert_str_eq(t->auds[0].p, "authenticated");
    cr_assert_eq(t->exp_sec, NOW_SEC + 3600);
    cr_assert_eq(t->nbf_sec, 5);
    cr_assert_eq(t->iat_sec, 7);
    cr_assert(t->has_user && t->is_anonymous);
    cr_assert_eq(strlen(t->class_id), TG_CLASS_ID_CHARS);
    cr_assert_eq(strlen(t->user_id), TG_CLASS_ID_CHARS);
    tg_token_unref(t);
    free(text);
    free(claims);
}

Test(token, may_lack_the_time_it_was_issued_at)
{
    static const char *const more[] = {"", ",\"iat\":\"yesterday\""};

    for (size_t i = 0; i < TG_ARRAY_LEN(more); i++) {
        char *claims = mint_claims(more[i]);
        char *text = mint_hs(claims);
        struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
        struct tg_token *t = NULL;

        cr_assert_eq(tg_token_verify(keys, tg_str_of(text), &at_now, &t), TG_OK);
        cr_assert_eq(t->iat_sec, INT64_MIN);
        tg_token_unref(t);
        tg_keys_unref(keys);
        free(text);
        free(claims);
    }
}

Test(token, of_the_project_names_no_user)
{
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *text = mint_hs("{\"iss\":\"supabase\",\"role\":\"service_role\"}");
    struct tg_token_opts opts = {
        .now = NOW, .iss = TG_STR("https://p.example/auth/v1"), .aud = TG_STR("authenticated")};
    struct tg_token *t = NULL;

    cr_assert_eq(tg_token_verify(keys, tg_str_of(text), &opts, &t), TG_OK);
    cr_assert(!t->has_user);
    cr_assert_eq(t->exp_sec, INT64_MAX);
    cr_assert(!tg_token_is_expired(t, UINT64_MAX, 0));
    tg_token_unref(t);
    free(text);
    tg_keys_unref(keys);
}

Test(token, with_service_role_and_sub_is_still_no_user)
{
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *text = mint_hs("{\"sub\":\"x\",\"role\":\"service_role\",\"exp\":1790000001}");
    struct tg_token *t = NULL;

    cr_assert_eq(tg_token_verify(keys, tg_str_of(text), &at_now, &t), TG_OK);
    cr_assert(!t->has_user);
    tg_token_unref(t);
    free(text);
    tg_keys_unref(keys);
}

Test(token, expires_at_exp_and_skew_to_the_second)
{
    struct tg_token_opts opts = {.now = TG_SEC(NOW_SEC + 3600) - 1};

    cr_assert_eq(verify_more("", &opts), TG_OK);
    opts.now++;
    cr_assert_eq(verify_more("", &opts), TG_EEXPIRED);
    opts.skew_sec = 30;
    cr_assert_eq(verify_more("", &opts), TG_OK);
    opts.now = TG_SEC(NOW_SEC + 3630);
    cr_assert_eq(verify_more("", &opts), TG_EEXPIRED);
}

Test(token, is_early_before_nbf_and_skew)
{
    struct tg_token_opts opts = {.now = NOW};

    cr_assert_eq(verify_more(",\"nbf\":1790000000", &opts), TG_OK);
    cr_assert_eq(verify_more(",\"nbf\":1790000001", &opts), TG_EEARLY);
    opts.skew_sec = 1;
    cr_assert_eq(verify_more(",\"nbf\":1790000001", &opts), TG_OK);
    cr_assert_eq(verify_more(",\"nbf\":1790000001.5", &opts), TG_EEARLY);
}

Test(token, may_have_been_issued_in_the_future)
{
    cr_assert_eq(verify_more(",\"iat\":1799999999", &at_now), TG_OK);
}

Test(token, has_decimal_times_rounded_against_it)
{
    cr_assert_eq(verify_claims("{\"sub\":\"u\",\"exp\":1790000000.9}", &at_now), TG_EEXPIRED);
    cr_assert_eq(verify_claims("{\"sub\":\"u\",\"exp\":1790000001.0}", &at_now), TG_OK);
    cr_assert_eq(verify_claims("{\"sub\":\"u\",\"exp\":1.790000001e9}", &at_now), TG_OK);
    cr_assert_eq(verify_claims("{\"sub\":\"u\",\"exp\":-0.5}", &at_now), TG_EEXPIRED);
}

Test(token, survives_absurd_times)
{
    struct tg_token_opts opts = {.now = NOW, .skew_sec = 300};

    cr_assert_eq(verify_claims("{\"sub\":\"u\",\"exp\":9223372036854775807}", &opts), TG_OK);
    cr_assert_eq(verify_claims("{\"sub\":\"u\",\"exp\":-9223372036854775808}", &opts), TG_EEXPIRED);
    cr_assert_eq(verify_claims("{\"sub\":\"u\",\"exp\":1e300}", &opts), TG_EBADTOKEN);
    cr_assert_eq(verify_claims("{\"sub\":\"u\",\"exp\":1e999}", &opts), TG_EBADTOKEN);
    cr_assert_eq(verify_claims("{\"sub\":\"u\",\"exp\":99999999999999999999}", &opts),
                 TG_EBADTOKEN);
    cr_assert_eq(verify_more(",\"nbf\":9223372036854775807", &opts), TG_EEARLY);
    cr_assert_eq(verify_more(",\"nbf\":-9223372036854775808", &opts), TG_OK);
}

Test(token, of_a_user_must_end)
{
    cr_assert_eq(verify_claims("{\"sub\":\"u\",\"role\":\"authenticated\"}", &at_now),
                 TG_EBADTOKEN);
}

Test(token, has_claims_of_the_right_type)
{
    static const char *const bad[] = {
        ",\"session_id\":7",
        ",\"nbf\":\"1\"",
        ",\"nbf\":null",
        ",\"nbf\":[]",
        ",\"session_id\":[1]",
        ",\"nbf\":true",
        ",\"session_id\":\"\\u0000\"",
    };
    static const char *const bad_claims[] = {
        "[]",
        "7",
        "\"text\"",
        "null",
        "{",
        "{\"sub\":1,\"exp\":1790000001}",
        "{\"sub\":\"u\",\"exp\":\"1790000001\"}",
        "{\"sub\":\"u\",\"exp\":null}",
        "{\"sub\":\"u\",\"exp\":1790000001,\"aud\":7}",
        "{\"sub\":\"u\",\"exp\":1790000001,\"aud\":[\"a\",7]}",
        "{\"sub\":\"u\",\"exp\":1790000001,\"iss\":{}}",
        "{\"sub\":\"u\",\"exp\":1790000001,\"role\":[\"authenticated\"]}",
        "{\"sub\":\"u\",\"exp\":1790000001} x",
        "{\"sub\":\"u\\xff\",\"exp\":1790000001}",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_eq(verify_more(bad[i], &at_now), TG_EBADTOKEN, "%s", bad[i]);
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(bad_claims); i++) {
        cr_assert_eq(verify_claims(bad_claims[i], &at_now), TG_EBADTOKEN, "%s", bad_claims[i]);
    }
}

Test(token, with_a_member_twice_is_refused)
{
    cr_assert_eq(verify_more(",\"exp\":1790000002", &at_now), TG_EBADTOKEN);
    cr_assert_eq(verify_more(",\"r\\u006fle\":\"service_role\"", &at_now), TG_EBADTOKEN);
    cr_assert_eq(verify_header("{\"alg\":\"none\",\"alg\":\"HS256\"}", TG_ALG_HS256), TG_EBADTOKEN);
    cr_assert_eq(verify_header("{\"alg\":\"HS256\",\"alg\":\"none\"}", TG_ALG_HS256), TG_EBADTOKEN);
}

Test(token, answers_to_issuer_audience_and_role)
{
    static const tg_str roles[] = {TG_STR_INIT("admin"), TG_STR_INIT("authenticated")};
    struct tg_token_opts opts = {.now = NOW,
                                 .iss = TG_STR("https://p.example/auth/v1"),
                                 .aud = TG_STR("authenticated"),
                                 .roles = roles,
                                 .n_roles = 2};

    cr_assert_eq(verify_more("", &opts), TG_OK);
    opts.n_roles = 1;
    cr_assert_eq(verify_more("", &opts), TG_EBADTOKEN);
    opts.n_roles = 0;
    opts.iss = TG_STR("https://q.example/auth/v1");
    cr_assert_eq(verify_more("", &opts), TG_EBADTOKEN);
    opts.iss = TG_STR_NONE;
    opts.aud = TG_STR("other");
    cr_assert_eq(verify_more("", &opts), TG_EBADTOKEN);
}

Test(token, may_have_several_audiences_but_not_many)
{
    struct tg_token_opts opts = {.now = NOW, .aud = TG_STR("b")};

    cr_assert_eq(verify_claims("{\"sub\":\"u\",\"exp\":1790000001,\"aud\":[\"a\",\"b\"]}", &opts),
                 TG_OK);
    cr_assert_eq(verify_claims("{\"sub\":\"u\",\"exp\":1790000001,\"aud\":[]}", &opts),
                 TG_EBADTOKEN);
    cr_assert_eq(verify_claims("{\"sub\":\"u\",\"exp\":1790000001,\"aud\":[\"b\",\"b\",\"b\","
                               "\"b\",\"b\",\"b\",\"b\",\"b\",\"b\",\"b\",\"b\",\"b\",\"b\","
                               "\"b\",\"b\",\"b\",\"b\"]}",
                               &opts),
                 TG_EBADTOKEN);
}

Test(token, none_never_verifies)
{
    static const char *const headers[] = {
        "{\"alg\":\"none\"}",  "{\"alg\":\"None\"}",
        "{\"alg\":\"NONE\"}",  "{\"alg\":\"nOnE\",\"typ\":\"JWT\"}",
        "{\"alg\":\"\"}",      "{\"typ\":\"JWT\"}",
        "{\"alg\":null}",      "{\"alg\":0}",
        "{\"alg\":\"hs256\"}", "{\"alg\":\"PS256\"}",
        "{\"alg\":\"EdDSA\"}", "{\"alg\":[\"HS256\"]}",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(headers); i++) {
        cr_assert_eq(verify_header(headers[i], TG_ALG_NONE), TG_EBADTOKEN, "%s", headers[i]);
        cr_assert_eq(verify_header(headers[i], TG_ALG_HS256), TG_EBADTOKEN, "%s", headers[i]);
    }
}

Test(token, with_an_extension_that_must_be_understood_is_refused)
{
    cr_assert_eq(
        verify_header("{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", TG_ALG_HS256),
        TG_EBADTOKEN);
    cr_assert_eq(verify_header("{\"alg\":\"HS256\",\"kid\":7}", TG_ALG_HS256), TG_EBADTOKEN);
    cr_assert_eq(verify_header("[\"HS256\"]", TG_ALG_HS256), TG_EBADTOKEN);
    cr_assert_eq(verify_header("{\"alg\":\"HS256\",\"kid\":\"whatever\"}", TG_ALG_HS256), TG_OK);
}

/* A public key in every form an attacker might have at hand. */
static char *pem_of(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p = NULL;
    long n = 0;
    char *pem = NULL;

    TG_ASSERT(PEM_write_bio_PUBKEY(bio, key) == 1);
    n = BIO_get_mem_data(bio, &p);
    pem = tg_str_dup(tg_str_make(p, (size_t)n));
    BIO_free(bio);
    return pem;
}

Test(token, hmac_with_a_public_key_never_verifies)
{
    static const enum tg_alg algs[] = {TG_ALG_RS256, TG_ALG_ES256};

    for (size_t i = 0; i < TG_ARRAY_LEN(algs); i++) {
        EVP_PKEY *key = mint_key(algs[i]);
        char *jwk = mint_jwk(key, "k1", algs[i]);
        const char *const entries[] = {jwk};
        char *jwks = mint_jwks(entries, 1);
        char *pem = pem_of(key);
        char *claims = mint_claims("");
        char *text =
            mint_raw("{\"alg\":\"HS256\",\"kid\":\"k1\"}", claims, TG_ALG_HS256, NULL, pem);
        struct tg_keys *keys = mint_keys(key, "k1", algs[i]);
        struct tg_keys *public_only = NULL;

        cr_assert_eq(tg_keys_create(TG_STR_NONE, tg_str_of(jwks), &public_only), TG_OK);
        cr_assert_eq(verify_with(keys, text, &at_now), TG_EBADTOKEN);
        cr_assert_eq(verify_with(public_only, text, &at_now), TG_EBADTOKEN);
        tg_keys_unref(public_only);
        tg_keys_unref(keys);
        free(text);
        free(claims);
        free(pem);
        free(jwks);
        free(jwk);
        EVP_PKEY_free(key);
    }
}

Test(token, algorithm_must_be_the_keys_own)
{
    EVP_PKEY *rsa = mint_rsa(2048);
    struct tg_keys *keys = mint_keys(rsa, "k1", TG_ALG_RS256);
    char *claims = mint_claims("");

    for (enum tg_alg alg = TG_ALG_RS384; alg <= TG_ALG_RS512; alg++) {
        char *text = mint_signed(alg, "k1", rsa, claims);

        cr_assert_eq(verify_with(keys, text, &at_now), TG_EBADTOKEN);
        free(text);
    }
    free(claims);
    tg_keys_unref(keys);
    EVP_PKEY_free(rsa);
}

Test(token, with_another_keys_signature_is_refused)
{
    for (enum tg_alg alg = TG_ALG_RS256; alg <= TG_ALG_ES512; alg += 3) {
        EVP_PKEY *ours = mint_key(alg);
        EVP_PKEY *theirs = mint_key(alg);
        struct tg_keys *keys = mint_keys(ours, "k1", alg);
        char *claims = mint_claims("");
        char *text = mint_signed(alg, "k1", theirs, claims);
        char *no_kid = mint_signed(alg, NULL, ours, claims);
        char *unknown = mint_signed(alg, "k2", ours, claims);

        cr_assert_eq(verify_with(keys, text, &at_now), TG_EBADTOKEN);
        cr_assert_eq(verify_with(keys, no_kid, &at_now), TG_EBADTOKEN);
        cr_assert_eq(verify_with(keys, unknown, &at_now), TG_EUNKNOWNKEY);
        free(unknown);
        free(no_kid);
        free(text);
        free(claims);
        tg_keys_unref(keys);
        EVP_PKEY_free(theirs);
        EVP_PKEY_free(ours);
    }
}

Test(token, of_another_secret_or_without_secret_is_refused)
{
    char *claims = mint_claims("");
    char *text = mint_raw("{\"alg\":\"HS256\"}", claims, TG_ALG_HS256, NULL, "another");
    char *empty = mint_raw("{\"alg\":\"HS256\"}", claims, TG_ALG_HS256, NULL, "");
    struct tg_keys *none = NULL;

    cr_assert_eq(tg_keys_create(TG_STR(""), TG_STR("{\"keys\":[]}"), &none), TG_OK);
    cr_assert_eq(verify_with(none, text, &at_now), TG_EBADTOKEN);
    cr_assert_eq(verify_with(none, empty, &at_now), TG_EBADTOKEN);
    tg_keys_unref(none);
    cr_assert_eq(verify_hs(text, &at_now), TG_EBADTOKEN);
    cr_assert_eq(verify_hs(empty, &at_now), TG_EBADTOKEN);
    free(claims);
}

/* Every text that is one change away from a good one is not good. */
static void assert_no_neighbour_verifies(const struct tg_keys *keys, const char *text)
{
    size_t n = strlen(text);
    char *copy = tg_malloc(n + 2);

    for (size_t i = 0; i < n; i++) {
        memcpy(copy, text, n + 1);
        copy[i] = (char)(text[i] ^ 1);
        cr_assert_neq(verify_with(keys, copy, &at_now), TG_OK, "flipped at %zu", i);
        copy[i] = '.';
        cr_assert(text[i] == '.' || verify_with(keys, copy, &at_now) != TG_OK);
        copy[i] = '\0';
        cr_assert_neq(verify_with(keys, copy, &at_now), TG_OK, "cut at %zu", i);
        cr_assert_neq(verify_with(keys, text + i + 1, &at_now), TG_OK, "cut in front at %zu", i);
        memmove(copy + i, text + i + 1, n - i);
        cr_assert_neq(verify_with(keys, copy, &at_now), TG_OK, "removed at %zu", i);
    }
    for (const char *p = "=. \nA-"; *p != '\0'; p++) {
        memcpy(copy, text, n);
        copy[n] = *p;
        copy[n + 1] = '\0';
        cr_assert_neq(verify_with(keys, copy, &at_now), TG_OK, "appended %d", *p);
    }
    free(copy);
}

Test(token, one_change_away_from_a_good_one_is_refused)
{
    static const enum tg_alg algs[] = {TG_ALG_HS256, TG_ALG_HS512, TG_ALG_ES256, TG_ALG_RS256};

    for (size_t i = 0; i < TG_ARRAY_LEN(algs); i++) {
        EVP_PKEY *key = mint_key(algs[i]);
        struct tg_keys *keys = mint_keys(key, "k1", algs[i]);
        char *claims = mint_claims("");
        char *text = mint_signed(algs[i], "k1", key, claims);

        cr_assert_eq(verify_with(keys, text, &at_now), TG_OK);
        assert_no_neighbour_verifies(keys, text);
        free(text);
        free(claims);
        tg_keys_unref(keys);
        EVP_PKEY_free(key);
    }
}

Test(token, garbage_of_every_length_is_refused)
{
    static const char bytes[] = {'A', '.', '\0', (char)0xff, '{', 'e'};
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *text = tg_malloc(TG_TOKEN_MAX_BYTES + 16);

    for (size_t b = 0; b < sizeof(bytes); b++) {
        memset(text, bytes[b], TG_TOKEN_MAX_BYTES + 16);
        for (size_t n = 0; n < TG_TOKEN_MAX_BYTES + 16; n++) {
            struct tg_token *t = NULL;

            cr_assert_eq(tg_token_verify(keys, tg_str_make(text, n), &at_now, &t), TG_EBADTOKEN);
        }
    }
    free(text);
    tg_keys_unref(keys);
}

Test(token, is_bounded_in_length)
{
    char *long_claim = tg_calloc(TG_TOKEN_MAX_BYTES, 1);
    struct tg_buf more;

    memset(long_claim, 'x', 5000);
    tg_buf_init(&more, 100000);
    tg_buf_printf(&more, ",\"x\":\"%s\"", long_claim);
    cr_assert_eq(verify_more(tg_buf_cstr(&more), &at_now), TG_OK);
    memset(long_claim, 'x', 6500);
    tg_buf_clear(&more);
    tg_buf_printf(&more, ",\"x\":\"%s\"", long_claim);
    cr_assert_eq(verify_more(tg_buf_cstr(&more), &at_now), TG_EBADTOKEN);
    tg_buf_fini(&more);
    free(long_claim);
}

Test(token, outlives_the_keys_that_verified_it)
{
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *claims = mint_claims("");
    char *text = mint_hs(claims);
    struct tg_token *t = NULL;
    struct tg_token *second = NULL;

    cr_assert_eq(tg_token_verify(keys, tg_str_of(text), &at_now, &t), TG_OK);
    tg_keys_unref(keys);
    free(text);
    free(claims);
    second = tg_token_ref(t);
    tg_token_unref(t);
    cr_assert_str_eq(second->role.p, "authenticated");
    cr_assert_eq(tg_token_check(second, &at_now), TG_OK);
    tg_token_unref(second);
}

Test(token, is_proven_apart_from_what_a_route_asks)
{
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *text = mint_hs("{\"sub\":\"u\",\"exp\":1}");
    struct tg_token_parts parts;
    struct tg_token *t = NULL;

    cr_assert_eq(tg_token_open(keys, tg_str_of(text), &parts), TG_OK);
    cr_assert_eq(parts.alg, TG_ALG_HS256);
    cr_assert_eq(tg_token_prove(&parts, &t), TG_OK);
    cr_assert_eq(tg_token_check(t, &at_now), TG_EEXPIRED);
    tg_token_unref(t);
    /* Opening looks at the form and the key only. */
    text[strlen(text) - 2] ^= 1;
    cr_assert_eq(tg_token_open(keys, tg_str_of(text), &parts), TG_OK);
    cr_assert_eq(tg_token_prove(&parts, &t), TG_EBADTOKEN);
    free(text);
    tg_keys_unref(keys);
}

Test(token, of_two_or_four_parts_is_not_even_opened)
{
    static const char *const texts[] = {"", ".", "..", "...", "e30", "e30.e30", "e30.e30."};
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *good = mint_hs("{}");
    struct tg_buf four;
    struct tg_token_parts parts;

    tg_buf_init(&four, 1000);
    tg_buf_printf(&four, "%s.e30", good);
    cr_assert_eq(tg_token_open(keys, tg_str_of(good), &parts), TG_OK);
    cr_assert_eq(tg_token_open(keys, tg_buf_view(&four), &parts), TG_EBADTOKEN);
    for (size_t i = 0; i < TG_ARRAY_LEN(texts); i++) {
        cr_assert_eq(tg_token_open(keys, tg_str_of(texts[i]), &parts), TG_EBADTOKEN);
    }
    tg_buf_fini(&four);
    free(good);
    tg_keys_unref(keys);
}
