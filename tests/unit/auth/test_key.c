/* One key by itself: what it takes, what it verifies. */
#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>

#include "auth/b64url.h"
#include "auth/key.h"
#include "mint.h"
#include "util/buf.h"
#include "util/json.h"

/* The signature of a token [borrowed]. */
static tg_str signature_of(tg_str token)
{
    (void)tg_str_cut(&token, '.');
    (void)tg_str_cut(&token, '.');
    return token;
}

static enum tg_rc verify(const struct tg_key *key, enum tg_alg alg, const char *token)
{
    return tg_key_verify(key, alg, tg_str_of(token), signature_of(tg_str_of(token)));
}

static struct tg_key *public_key(EVP_PKEY *pkey, enum tg_alg alg)
{
    char *text = mint_jwk(pkey, "k1", alg);
    json_t *jwk = NULL;
    struct tg_key *key = NULL;

    cr_assert_eq(tg_json_parse(tg_str_of(text), 10000, &jwk), TG_OK);
    cr_assert_eq(tg_key_of_jwk(jwk, &key), TG_OK);
    json_decref(jwk);
    free(text);
    return key;
}

Test(alg, has_one_name_each_and_no_other)
{
    static const char *const others[] = {"",       "none", "None",  "hs256",
                                         "HS256 ", "HS25", "PS256", "ES256K"};

    for (enum tg_alg alg = TG_ALG_HS256; alg <= TG_ALG_ES512; alg++) {
        cr_assert_eq(tg_alg_of(tg_alg_name(alg)), alg);
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(others); i++) {
        cr_assert_eq(tg_alg_of(tg_str_of(others[i])), TG_ALG_NONE, "%s", others[i]);
    }
    cr_assert(!tg_alg_is_hmac(TG_ALG_NONE) && !tg_alg_is_hmac(TG_ALG_RS256));
    cr_assert_eq(tg_alg_signature_bytes(TG_ALG_HS384), 48);
    cr_assert_eq(tg_alg_signature_bytes(TG_ALG_ES512), 132);
    cr_assert_eq(tg_alg_signature_bytes(TG_ALG_RS256), 0);
}

Test(key, of_the_secret_takes_hmac_and_nothing_else)
{
    struct tg_key *key = tg_key_of_secret(TG_STR(SECRET));
    struct tg_key *other = tg_key_of_secret(TG_STR("another"));
    char *text = mint_hs("{}");

    for (enum tg_alg alg = TG_ALG_NONE; alg <= TG_ALG_ES512; alg++) {
        cr_assert_eq(tg_key_takes(key, alg), tg_alg_is_hmac(alg));
    }
    cr_assert_eq(tg_key_kid(key).n, 0);
    cr_assert(tg_str_eq(tg_key_secret(key), TG_STR(SECRET)));
    cr_assert_neq(tg_key_id(key), tg_key_id(other));
    cr_assert_eq(verify(key, TG_ALG_HS256, text), TG_OK);
    cr_assert_eq(verify(key, TG_ALG_HS384, text), TG_EBADTOKEN);
    cr_assert_eq(verify(other, TG_ALG_HS256, text), TG_EBADTOKEN);
    free(text);
    tg_key_destroy(other);
    tg_key_destroy(key);
    tg_key_destroy(NULL);
}

/* r and s of nothing, of the group's order and beyond it: none of them may pass or crash. */
Test(key, refuses_degenerate_signatures)
{
    static const unsigned char fills[] = {0x00, 0x01, 0x80, 0xff};
    EVP_PKEY *pkey = mint_ec("P-256");
    struct tg_key *key = public_key(pkey, TG_ALG_ES256);

    for (size_t i = 0; i < TG_ARRAY_LEN(fills); i++) {
        for (size_t n = 0; n <= 80; n++) {
            TG_CLEANUP(tg_buf_fini) struct tg_buf token;
            char raw[80];

            memset(raw, fills[i], sizeof(raw));
            tg_buf_init(&token, 1000);
            tg_buf_str(&token, TG_STR("e30.e30."));
            tg_b64url_encode(tg_str_make(raw, n), &token);
            cr_assert_eq(verify(key, TG_ALG_ES256, tg_buf_cstr(&token)), TG_EBADTOKEN);
        }
    }
    tg_key_destroy(key);
    EVP_PKEY_free(pkey);
}

Test(key, verifies_again_and_again)
{
    EVP_PKEY *pkey = mint_ec("P-521");
    struct tg_key *key = public_key(pkey, TG_ALG_ES512);

    /* r and s begin with zero bytes now and then, which DER leaves out. */
    for (unsigned i = 0; i < 200; i++) {
        char claims[32];
        char *text = NULL;

        (void)snprintf(claims, sizeof(claims), "{\"n\":%u}", i);
        text = mint_signed(TG_ALG_ES512, "k1", pkey, claims);
        cr_assert_eq(verify(key, TG_ALG_ES512, text), TG_OK);
        free(text);
    }
    cr_assert(tg_str_eq(tg_key_kid(key), TG_STR("k1")));
    tg_key_destroy(key);
    EVP_PKEY_free(pkey);
}
