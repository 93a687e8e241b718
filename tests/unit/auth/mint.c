/* mint.c - keys, JWKS and tokens for the tests. */
#include "mint.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#include "auth/b64url.h"
#include "auth/jwks.h"
#include "util/buf.h"

enum { MAX = 1024 * 1024 };

EVP_PKEY *mint_rsa(unsigned bits)
{
    EVP_PKEY *key = EVP_RSA_gen(bits);

    TG_ASSERT(key != NULL);
    return key;
}

EVP_PKEY *mint_ec(const char *group)
{
    EVP_PKEY *key = EVP_EC_gen(group);

    TG_ASSERT(key != NULL);
    return key;
}

EVP_PKEY *mint_key(enum tg_alg alg)
{
    switch (alg) {
    case TG_ALG_ES256:
        return mint_ec("P-256");
    case TG_ALG_ES384:
        return mint_ec("P-384");
    case TG_ALG_ES512:
        return mint_ec("P-521");
    case TG_ALG_RS256:
    case TG_ALG_RS384:
    case TG_ALG_RS512:
        return mint_rsa(2048);
    case TG_ALG_NONE:
    case TG_ALG_HS256:
    case TG_ALG_HS384:
    case TG_ALG_HS512:
    default:
        return NULL;
    }
}

static void put_number(struct tg_buf *out, EVP_PKEY *key, const char *name, int width)
{
    unsigned char bytes[1024];
    BIGNUM *n = NULL;
    int size = 0;

    TG_ASSERT(EVP_PKEY_get_bn_param(key, name, &n) == 1);
    size = width == 0 ? BN_num_bytes(n) : width;
    TG_ASSERT(size <= (int)sizeof(bytes) && BN_bn2binpad(n, bytes, size) == size);
    tg_b64url_encode(tg_str_make((const char *)bytes, (size_t)size), out);
    BN_free(n);
}

static void put_ec(struct tg_buf *out, EVP_PKEY *key)
{
    int width = (EVP_PKEY_get_bits(key) + 7) / 8;

    tg_buf_printf(out, "\"kty\":\"EC\",\"crv\":\"P-%d\",\"x\":\"", EVP_PKEY_get_bits(key));
    put_number(out, key, OSSL_PKEY_PARAM_EC_PUB_X, width);
    tg_buf_str(out, TG_STR("\",\"y\":\""));
    put_number(out, key, OSSL_PKEY_PARAM_EC_PUB_Y, width);
}

char *mint_jwk(EVP_PKEY *key, const char *kid, enum tg_alg alg)
{
    struct tg_buf out;

    tg_buf_init(&out, MAX);
    tg_buf_printf(&out, "{\"kid\":\"%s\",\"use\":\"sig\",\"key_ops\":[\"verify\"],", kid);
    if (alg != TG_ALG_NONE) {
        tg_buf_printf(&out, "\"alg\":\"%.*s\",", TG_STR_ARG(tg_alg_name(alg)));
    }
    if (EVP_PKEY_is_a(key, "RSA")) {
        tg_buf_str(&out, TG_STR("\"kty\":\"RSA\",\"e\":\""));
        put_number(&out, key, OSSL_PKEY_PARAM_RSA_E, 0);
        tg_buf_str(&out, TG_STR("\",\"n\":\""));
        put_number(&out, key, OSSL_PKEY_PARAM_RSA_N, 0);
    } else {
        put_ec(&out, key);
    }
    tg_buf_str(&out, TG_STR("\"}"));
    TG_ASSERT(tg_buf_rc(&out) == TG_OK);
    return tg_buf_take(&out);
}

char *mint_jwks(const char *const *entries, size_t n)
{
    struct tg_buf out;

    tg_buf_init(&out, MAX);
    tg_buf_str(&out, TG_STR("{\"keys\":["));
    for (size_t i = 0; i < n; i++) {
        tg_buf_str(&out, i == 0 ? TG_STR("") : TG_STR(","));
        tg_buf_str(&out, tg_str_of(entries[i]));
    }
    tg_buf_str(&out, TG_STR("]}"));
    TG_ASSERT(tg_buf_rc(&out) == TG_OK);
    return tg_buf_take(&out);
}

struct tg_keys *mint_keys(EVP_PKEY *key, const char *kid, enum tg_alg alg)
{
    struct tg_keys *keys = NULL;
    char *jwk = key == NULL ? NULL : mint_jwk(key, kid, alg);
    const char *const entries[] = {jwk};
    char *jwks = mint_jwks(entries, jwk == NULL ? 0 : 1);

    TG_ASSERT(tg_keys_create(TG_STR(SECRET), tg_str_of(jwks), &keys) == TG_OK);
    free(jwks);
    free(jwk);
    return keys;
}

static const EVP_MD *md_of(enum tg_alg alg)
{
    static const char *const names[] = {"SHA256", "SHA384", "SHA512"};

    return EVP_get_digestbyname(names[(alg - TG_ALG_HS256) % 3]);
}

static void sign_public(struct tg_buf *out, tg_str text, enum tg_alg alg, EVP_PKEY *key)
{
    unsigned char sig[1024];
    size_t n = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    TG_ASSERT(EVP_DigestSignInit(ctx, NULL, md_of(alg), NULL, key) == 1);
    TG_ASSERT(EVP_DigestSign(ctx, sig, &n, (const unsigned char *)text.p, text.n) == 1);
    EVP_MD_CTX_free(ctx);
    if (EVP_PKEY_is_a(key, "EC")) {
        const unsigned char *p = sig;
        ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &p, (long)n);
        int half = (EVP_PKEY_get_bits(key) + 7) / 8;

        TG_ASSERT(BN_bn2binpad(ECDSA_SIG_get0_r(parsed), sig + 512, half) == half);
        TG_ASSERT(BN_bn2binpad(ECDSA_SIG_get0_s(parsed), sig + 512 + half, half) == half);
        ECDSA_SIG_free(parsed);
        tg_b64url_encode(tg_str_make((const char *)sig + 512, 2 * (size_t)half), out);
        return;
    }
    tg_b64url_encode(tg_str_make((const char *)sig, n), out);
}

char *mint_raw(const char *header, const char *claims, enum tg_alg alg, EVP_PKEY *key,
               const char *secret)
{
    struct tg_buf out;
    struct tg_buf sig;

    tg_buf_init(&out, MAX);
    tg_buf_init(&sig, MAX);
    tg_b64url_encode(tg_str_of(header), &out);
    tg_buf_char(&out, '.');
    tg_b64url_encode(tg_str_of(claims), &out);
    if (alg != TG_ALG_NONE && tg_alg_is_hmac(alg)) {
        unsigned char mac[64];
        unsigned n = 0;

        TG_ASSERT(HMAC(md_of(alg), secret, (int)strlen(secret), (const unsigned char *)out.p, out.n,
                       mac, &n) != NULL);
        tg_b64url_encode(tg_str_make((const char *)mac, n), &sig);
    } else if (alg != TG_ALG_NONE) {
        sign_public(&sig, tg_buf_view(&out), alg, key);
    }
    tg_buf_char(&out, '.');
    tg_buf_str(&out, tg_buf_view(&sig));
    tg_buf_fini(&sig);
    TG_ASSERT(tg_buf_rc(&out) == TG_OK);
    return tg_buf_take(&out);
}

char *mint_signed(enum tg_alg alg, const char *kid, EVP_PKEY *key, const char *claims)
{
    struct tg_buf header;
    char *token = NULL;

    tg_buf_init(&header, MAX);
    tg_buf_printf(&header, "{\"alg\":\"%.*s\",\"typ\":\"JWT\"", TG_STR_ARG(tg_alg_name(alg)));
    if (kid != NULL) {
        tg_buf_printf(&header, ",\"kid\":\"%s\"", kid);
    }
    tg_buf_char(&header, '}');
    token = mint_raw(tg_buf_cstr(&header), claims, alg, key, SECRET);
    tg_buf_fini(&header);
    return token;
}

char *mint_hs(const char *claims)
{
    return mint_signed(TG_ALG_HS256, NULL, NULL, claims);
}

char *mint_claims(const char *more)
{
    struct tg_buf out;

    tg_buf_init(&out, MAX);
    tg_buf_printf(&out,
                  "{\"iss\":\"https://p.example/auth/v1\",\"sub\":"
                  "\"11111111-2222-4333-8444-555555555555\",\"aud\":\"authenticated\","
                  "\"role\":\"authenticated\",\"exp\":%u%s}",
                  NOW_SEC + 3600, more);
    return tg_buf_take(&out);
}
