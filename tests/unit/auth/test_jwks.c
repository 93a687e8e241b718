/* What a key set takes in, what it leaves out, and how two sets are told apart. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "auth/jwks.h"
#include "auth/key.h"
#include "mint.h"
#include "util/buf.h"

static struct tg_keys *keys_of(const char *jwks)
{
    struct tg_keys *keys = NULL;

    cr_assert_eq(tg_keys_create(TG_STR_NONE, tg_str_of(jwks), &keys), TG_OK, "%s", jwks);
    return keys;
}

/* Exactly one entry, and it is skipped. */
static void assert_skipped(const char *entry)
{
    char *jwks = mint_jwks(&entry, 1);
    struct tg_keys *keys = keys_of(jwks);

    cr_assert_eq(tg_keys_n_public(keys), 0, "%s", entry);
    cr_assert_eq(tg_keys_n_skipped(keys), 1, "%s", entry);
    tg_keys_unref(keys);
    free(jwks);
}

Test(jwks, skips_and_counts_what_cannot_verify)
{
    static const char *const entries[] = {
        "{}",
        "7",
        "null",
        "[]",
        "{\"kty\":\"oct\",\"kid\":\"k\",\"alg\":\"HS256\",\"k\":\"c2VjcmV0\"}",
        "{\"kty\":\"OKP\",\"kid\":\"k\",\"alg\":\"EdDSA\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}",
        "{\"kty\":\"EC\",\"kid\":\"k\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"EC\",\"kid\":\"k\",\"crv\":\"P-256\"}",
        "{\"kty\":\"EC\",\"kid\":\"k\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"RSA\",\"kid\":\"k\",\"alg\":\"RS256\"}",
        "{\"kty\":\"RSA\",\"kid\":\"k\",\"alg\":\"RS256\",\"n\":\"\",\"e\":\"\"}",
        "{\"kty\":\"RSA\",\"kid\":\"k\",\"alg\":\"RS256\",\"n\":\"=\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"kid\":\"k\",\"alg\":\"PS256\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{\"kty\":7,\"kid\":\"k\"}",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(entries); i++) {
        assert_skipped(entries[i]);
    }
}

/* `jwk` with `from` replaced by `to`; both [borrowed]. */
static char *with(const char *jwk, const char *from, const char *to)
{
    const char *at = strstr(jwk, from);
    struct tg_buf out;

    cr_assert_not_null(at, "%s in %s", from, jwk);
    tg_buf_init(&out, 100000);
    tg_buf_str(&out, tg_str_make(jwk, (size_t)(at - jwk)));
    tg_buf_str(&out, tg_str_of(to));
    tg_buf_str(&out, tg_str_of(at + strlen(from)));
    return tg_buf_take(&out);
}

static void assert_skipped_with(const char *jwk, const char *from, const char *to)
{
    char *changed = with(jwk, from, to);

    assert_skipped(changed);
    free(changed);
}

Test(jwks, skips_keys_that_are_for_something_else)
{
    EVP_PKEY *key = mint_ec("P-256");
    char *jwk = mint_jwk(key, "k1", TG_ALG_ES256);

    assert_skipped_with(jwk, "\"sig\"", "\"enc\"");
    assert_skipped_with(jwk, "\"sig\"", "null");
    assert_skipped_with(jwk, "[\"verify\"]", "[\"encrypt\",7]");
    assert_skipped_with(jwk, "[\"verify\"]", "\"verify\"");
    assert_skipped_with(jwk, "\"kid\":\"k1\",", "");
    assert_skipped_with(jwk, "\"kid\":\"k1\"", "\"kid\":\"\"");
    assert_skipped_with(jwk, "\"kid\":\"k1\"", "\"kid\":1");
    assert_skipped_with(jwk, "ES256", "ES384");
    assert_skipped_with(jwk, "ES256", "HS256");
    assert_skipped_with(jwk, "ES256", "RS256");
    assert_skipped_with(jwk, "P-256", "P-384");
    free(jwk);
    EVP_PKEY_free(key);
}

Test(jwks, skips_a_point_off_the_curve)
{
    EVP_PKEY *key = mint_ec("P-256");
    EVP_PKEY *other = mint_ec("P-256");
    char *jwk = mint_jwk(key, "k1", TG_ALG_ES256);
    char *foreign = mint_jwk(other, "k1", TG_ALG_ES256);

    /* x of one key, y of the other */
    cr_assert_eq(strlen(jwk), strlen(foreign));
    memcpy(strstr(jwk, "\"y\""), strstr(foreign, "\"y\""), strlen(strstr(foreign, "\"y\"")));
    assert_skipped(jwk);
    free(foreign);
    free(jwk);
    EVP_PKEY_free(other);
    EVP_PKEY_free(key);
}

Test(jwks, skips_a_weak_rsa_key)
{
    EVP_PKEY *key = mint_rsa(1024);
    char *jwk = mint_jwk(key, "k1", TG_ALG_RS256);

    assert_skipped(jwk);
    free(jwk);
    EVP_PKEY_free(key);
}

Test(jwks, skips_an_rsa_modulus_that_is_none)
{
    struct tg_buf jwk;
    char *even = tg_calloc(342 + 1, 1);

    /* 256 bytes, the first 0x80 and the rest zero */
    memset(even, 'A', 342);
    even[0] = 'g';
    tg_buf_init(&jwk, 1000);
    tg_buf_printf(&jwk, "{\"kty\":\"RSA\",\"kid\":\"k\",\"e\":\"AQAB\",\"n\":\"%s\"}", even);
    assert_skipped(tg_buf_cstr(&jwk));
    tg_buf_fini(&jwk);
    free(even);
}

Test(jwks, skips_an_oversized_rsa_key)
{
    struct tg_buf jwk;
    char *big = tg_calloc(1368 + 1, 1);

    /* 1,026 bytes, the last one odd */
    memset(big, '_', 1368);
    tg_buf_init(&jwk, 2000);
    tg_buf_printf(&jwk, "{\"kty\":\"RSA\",\"kid\":\"k\",\"e\":\"AQAB\",\"n\":\"%s\"}", big);
    assert_skipped(tg_buf_cstr(&jwk));
    tg_buf_fini(&jwk);
    free(big);
}

Test(jwks, takes_a_key_without_alg_for_its_usual_one)
{
    EVP_PKEY *ec = mint_ec("P-384");
    EVP_PKEY *rsa = mint_rsa(2048);
    char *entries[] = {mint_jwk(ec, "e", TG_ALG_NONE), mint_jwk(rsa, "r", TG_ALG_NONE)};
    char *jwks = mint_jwks((const char *const *)entries, 2);
    struct tg_keys *keys = keys_of(jwks);

    cr_assert_eq(tg_keys_n_public(keys), 2);
    for (enum tg_alg alg = TG_ALG_NONE; alg <= TG_ALG_ES512; alg++) {
        cr_assert_eq(tg_key_takes(tg_keys_find(keys, TG_STR("e")), alg), alg == TG_ALG_ES384);
        cr_assert_eq(tg_key_takes(tg_keys_find(keys, TG_STR("r")), alg), alg == TG_ALG_RS256);
    }
    cr_assert_null(tg_keys_find(keys, TG_STR("x")));
    tg_keys_unref(keys);
    free(jwks);
    free(entries[0]);
    free(entries[1]);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
}

Test(jwks, refuses_a_text_that_is_no_jwks)
{
    static const char *const texts[] = {
        "{", "[]", "7", "{}", "{\"keys\":{}}", "{\"keys\":[],\"keys\":[]}", "<html>",
    };
    struct tg_keys *keys = NULL;

    for (size_t i = 0; i < TG_ARRAY_LEN(texts); i++) {
        cr_assert_eq(tg_keys_create(TG_STR(SECRET), tg_str_of(texts[i]), &keys), TG_EBADJSON);
    }
    cr_assert_null(keys);
}

Test(jwks, is_bounded)
{
    const char *entries[TG_KEYS_MAX + 1];
    char *blanks = tg_malloc(TG_JWKS_MAX_BYTES + 1);
    struct tg_keys *keys = NULL;
    char *jwks = NULL;

    for (size_t i = 0; i <= TG_KEYS_MAX; i++) {
        entries[i] = "{}";
    }
    jwks = mint_jwks(entries, TG_KEYS_MAX + 1);
    cr_assert_eq(tg_keys_create(TG_STR_NONE, tg_str_of(jwks), &keys), TG_ELIMIT);
    free(jwks);
    jwks = mint_jwks(entries, TG_KEYS_MAX);
    cr_assert_eq(tg_keys_create(TG_STR_NONE, tg_str_of(jwks), &keys), TG_OK);
    cr_assert_eq(tg_keys_n_skipped(keys), TG_KEYS_MAX);
    tg_keys_unref(keys);
    free(jwks);
    memset(blanks, ' ', TG_JWKS_MAX_BYTES + 1);
    cr_assert_eq(tg_keys_create(TG_STR_NONE, tg_str_make(blanks, TG_JWKS_MAX_BYTES + 1), &keys),
                 TG_ELIMIT);
    free(blanks);
}

Test(jwks, takes_the_first_of_two_keys_with_one_kid)
{
    EVP_PKEY *first = mint_ec("P-256");
    EVP_PKEY *second = mint_ec("P-384");
    char *entries[] = {mint_jwk(first, "k", TG_ALG_ES256), mint_jwk(second, "k", TG_ALG_ES384)};
    char *jwks = mint_jwks((const char *const *)entries, 2);
    struct tg_keys *keys = keys_of(jwks);

    cr_assert_eq(tg_keys_n_public(keys), 1);
    cr_assert_eq(tg_keys_n_skipped(keys), 1);
    cr_assert(tg_key_takes(tg_keys_find(keys, TG_STR("k")), TG_ALG_ES256));
    tg_keys_unref(keys);
    free(jwks);
    free(entries[0]);
    free(entries[1]);
    EVP_PKEY_free(second);
    EVP_PKEY_free(first);
}

Test(jwks, equal_contents_are_one_generation)
{
    EVP_PKEY *key = mint_ec("P-256");
    struct tg_keys *a = mint_keys(key, "k1", TG_ALG_ES256);
    struct tg_keys *b = mint_keys(key, "k1", TG_ALG_ES256);
    struct tg_keys *renamed = mint_keys(key, "k2", TG_ALG_ES256);
    struct tg_keys *fewer = NULL;

    cr_assert_eq(tg_keys_renew(a, TG_STR("{\"keys\":[]}"), &fewer), TG_OK);
    cr_assert_eq(tg_keys_generation(a), tg_keys_generation(b));
    cr_assert_neq(tg_keys_generation(a), tg_keys_generation(renamed));
    cr_assert_neq(tg_keys_generation(a), tg_keys_generation(fewer));
    cr_assert(tg_keys_has_secret(fewer));
    cr_assert(tg_keys_has_key(fewer, tg_key_id(tg_keys_secret(a))));
    cr_assert(!tg_keys_has_key(fewer, tg_key_id(tg_keys_find(a, TG_STR("k1")))));
    tg_keys_unref(fewer);
    tg_keys_unref(renamed);
    tg_keys_unref(b);
    tg_keys_unref(a);
    EVP_PKEY_free(key);
}

Test(jwks, lives_as_long_as_somebody_holds_it)
{
    struct tg_keys *keys = keys_of("");
    struct tg_keys *second = tg_keys_ref(keys);

    tg_keys_unref(keys);
    cr_assert(!tg_keys_has_secret(second));
    cr_assert_neq(tg_keys_generation(second), 0);
    tg_keys_unref(second);
    tg_keys_unref(NULL);
}
