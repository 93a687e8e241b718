/* key.c - makes keys and verifies signatures: HS* by libjwt, RS* and ES* by OpenSSL's EVP.
 *
 * libjwt parses a PEM at every call and takes any key for any algorithm; so it never sees a
 * public key, and never a token whose algorithm is not HS*. */
#include "auth/key.h"

#include <jansson.h>
#include <jwt.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <stdlib.h>

#include "auth/b64url.h"
#include "auth/digest.h"
#include "util/buf.h"

enum {
    MAX_KID_BYTES = 256,
    MIN_RSA_BITS = 2048,
    MAX_RSA_BITS = 8192,
    MAX_EXPONENT_BYTES = 8,
    MAX_SIGNATURE_BYTES = MAX_RSA_BITS / 8,
    MAX_DER_BYTES = 160, /* ES512: two integers of 67 bytes and their headers */
};

struct tg_key {
    enum tg_alg alg; /* TG_ALG_NONE for the secret, which takes all HS* */
    uint64_t id;
    char *kid;    /* NULL for the secret */
    char *secret; /* NULL for public keys */
    size_t secret_n;
    EVP_PKEY *pkey; /* NULL for the secret */
};

/* What an EC curve fixes. */
struct curve {
    const char *crv;
    const char *group;
    enum tg_alg alg;
    size_t coordinate_bytes;
};

static const struct curve curves[] = {
    {"P-256", "P-256", TG_ALG_ES256, 32},
    {"P-384", "P-384", TG_ALG_ES384, 48},
    {"P-521", "P-521", TG_ALG_ES512, 66},
};

static uint64_t make_id(tg_str kind, tg_str kid, tg_str material)
{
    struct tg_buf b;
    struct tg_sha256 digest;
    uint64_t id = 0;

    tg_buf_init(&b, kind.n + kid.n + material.n + 64);
    (void)tg_buf_printf(&b, "%.*s %zu ", TG_STR_ARG(kind), kid.n);
    (void)tg_buf_str(&b, kid);
    (void)tg_buf_str(&b, material);
    TG_ASSERT(tg_buf_rc(&b) == TG_OK);
    digest = tg_sha256(tg_buf_view(&b));
    OPENSSL_cleanse(b.p, b.n);
    tg_buf_fini(&b);
    memcpy(&id, digest.b, sizeof(id));
    return id == 0 ? 1 : id;
}

struct tg_key *tg_key_of_secret(tg_str secret)
{
    struct tg_key *key = TG_NEW(struct tg_key);

    TG_ASSERT(secret.n > 0);
    key->secret = tg_memdup(secret.p, secret.n);
    key->secret_n = secret.n;
    key->id = make_id(TG_STR("HS"), TG_STR_NONE, secret);
    return key;
}

static tg_str member(const json_t *jwk, const char *name)
{
    const json_t *v = json_object_get(jwk, name);

    return json_is_string(v) ? tg_str_make(json_string_value(v), json_string_length(v))
                             : TG_STR_NONE;
}

/* use is "sig" or not said; key_ops holds "verify" or is not said (RFC 7517 §4.2, §4.3). */
static bool is_for_signatures(const json_t *jwk)
{
    const json_t *use = json_object_get(jwk, "use");
    const json_t *ops = json_object_get(jwk, "key_ops");

    if (use != NULL && !tg_str_eq(member(jwk, "use"), TG_STR("sig"))) {
        return false;
    }
    if (ops == NULL) {
        return true;
    }
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const json_t *op = json_array_get(ops, i);

        if (json_is_string(op) && strcmp(json_string_value(op), "verify") == 0) {
            return true;
        }
    }
    return false;
}

static EVP_PKEY *public_key(const char *type, OSSL_PARAM_BLD *bld)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *make = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY_CTX *check = NULL;
    EVP_PKEY *pkey = NULL;
    bool is_good = params != NULL && make != NULL && EVP_PKEY_fromdata_init(make) == 1 &&
                   EVP_PKEY_fromdata(make, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1;

    if (is_good) {
        check = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
        is_good = check != NULL && EVP_PKEY_public_check(check) == 1;
    }
    EVP_PKEY_CTX_free(check);
    EVP_PKEY_CTX_free(make);
    OSSL_PARAM_free(params);
    if (!is_good) {
        EVP_PKEY_free(pkey);
        pkey = NULL;
    }
    ERR_clear_error();
    return pkey;
}

static EVP_PKEY *rsa_of(tg_str n, tg_str e)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *bn_n = BN_bin2bn((const unsigned char *)n.p, (int)n.n, NULL);
    BIGNUM *bn_e = BN_bin2bn((const unsigned char *)e.p, (int)e.n, NULL);
    EVP_PKEY *pkey = NULL;

    if (bld != NULL && bn_n != NULL && bn_e != NULL && BN_num_bits(bn_n) >= MIN_RSA_BITS &&
        BN_num_bits(bn_n) <= MAX_RSA_BITS && BN_is_odd(bn_e) && !BN_is_one(bn_e) &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn_n) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, bn_e) == 1) {
        pkey = public_key("RSA", bld);
    }
    BN_free(bn_e);
    BN_free(bn_n);
    OSSL_PARAM_BLD_free(bld);
    return pkey;
}

static enum tg_rc load_rsa(struct tg_key *key, const json_t *jwk, struct tg_buf *material)
{
    tg_str alg = member(jwk, "alg");
    size_t split = 0;

    /* RFC 7517 lets alg be left out. RS256 is what everybody means then. */
    key->alg = json_object_get(jwk, "alg") == NULL ? TG_ALG_RS256 : tg_alg_of(alg);
    if (key->alg < TG_ALG_RS256 || key->alg > TG_ALG_RS512) {
        return TG_EUNSUPPORTED;
    }
    if (tg_b64url_decode(member(jwk, "n"), material) != TG_OK) {
        return TG_EBADKEY;
    }
    split = material->n;
    if (tg_b64url_decode(member(jwk, "e"), material) != TG_OK ||
        material->n - split > MAX_EXPONENT_BYTES || material->n == split) {
        return TG_EBADKEY;
    }
    key->pkey = rsa_of(tg_str_make(material->p, split),
                       tg_str_make(material->p + split, material->n - split));
    return key->pkey == NULL ? TG_EBADKEY : TG_OK;
}

static EVP_PKEY *ec_of(const struct curve *curve, tg_str point)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;

    if (bld != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point.p, point.n) == 1) {
        pkey = public_key("EC", bld);
    }
    OSSL_PARAM_BLD_free(bld);
    return pkey;
}

static const struct curve *find_curve(tg_str crv)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(curves); i++) {
        if (tg_str_eq(tg_str_of(curves[i].crv), crv)) {
            return &curves[i];
        }
    }
    return NULL;
}

static enum tg_rc load_ec(struct tg_key *key, const json_t *jwk, struct tg_buf *material)
{
    const struct curve *curve = find_curve(member(jwk, "crv"));

    if (curve == NULL ||
        (json_object_get(jwk, "alg") != NULL && tg_alg_of(member(jwk, "alg")) != curve->alg)) {
        return TG_EUNSUPPORTED;
    }
    key->alg = curve->alg;
    (void)tg_buf_char(material, POINT_CONVERSION_UNCOMPRESSED);
    if (tg_b64url_decode(member(jwk, "x"), material) != TG_OK ||
        material->n != 1 + curve->coordinate_bytes ||
        tg_b64url_decode(member(jwk, "y"), material) != TG_OK ||
        material->n != 1 + 2 * curve->coordinate_bytes) {
        return TG_EBADKEY;
    }
    key->pkey = ec_of(curve, tg_buf_view(material));
    return key->pkey == NULL ? TG_EBADKEY : TG_OK;
}

enum tg_rc tg_key_of_jwk(const struct json_t *jwk, struct tg_key **ret_key)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf material;
    tg_str kty = member(jwk, "kty");
    tg_str kid = member(jwk, "kid");
    struct tg_key *key = NULL;
    enum tg_rc rc = TG_EUNSUPPORTED;

    tg_buf_init(&material, MAX_SIGNATURE_BYTES + 64);
    if (!is_for_signatures(jwk) || kid.n == 0 || kid.n > MAX_KID_BYTES) {
        return TG_EUNSUPPORTED;
    }
    key = TG_NEW(struct tg_key);
    if (tg_str_eq(kty, TG_STR("RSA"))) {
        rc = load_rsa(key, jwk, &material);
    } else if (tg_str_eq(kty, TG_STR("EC"))) {
        rc = load_ec(key, jwk, &material);
    }
    if (rc != TG_OK) {
        tg_key_destroy(key);
        return rc;
    }
    key->kid = tg_str_dup(kid);
    key->id = make_id(tg_alg_name(key->alg), kid, tg_buf_view(&material));
    *ret_key = key;
    return TG_OK;
}

void tg_key_destroy(struct tg_key *key)
{
    if (key == NULL) {
        return;
    }
    if (key->secret != NULL) {
        OPENSSL_cleanse(key->secret, key->secret_n);
    }
    EVP_PKEY_free(key->pkey);
    free(key->secret);
    free(key->kid);
    free(key);
}

tg_str tg_key_kid(const struct tg_key *key)
{
    return tg_str_of(key->kid);
}

uint64_t tg_key_id(const struct tg_key *key)
{
    return key->id;
}

bool tg_key_takes(const struct tg_key *key, enum tg_alg alg)
{
    return key->secret != NULL ? tg_alg_is_hmac(alg) : alg != TG_ALG_NONE && key->alg == alg;
}

tg_str tg_key_secret(const struct tg_key *key)
{
    return tg_str_make(key->secret, key->secret_n);
}

static jwt_alg_t jwt_alg_of(enum tg_alg alg)
{
    switch (alg) {
    case TG_ALG_HS256:
        return JWT_ALG_HS256;
    case TG_ALG_HS384:
        return JWT_ALG_HS384;
    case TG_ALG_HS512:
        return JWT_ALG_HS512;
    case TG_ALG_NONE:
    case TG_ALG_RS256:
    case TG_ALG_RS384:
    case TG_ALG_RS512:
    case TG_ALG_ES256:
    case TG_ALG_ES384:
    case TG_ALG_ES512:
    default:
        return JWT_ALG_INVAL;
    }
}

static enum tg_rc verify_hmac(const struct tg_key *key, enum tg_alg alg, tg_str token)
{
    char *text = tg_str_dup(token);
    jwt_t *jwt = NULL;
    enum tg_rc rc = TG_EBADTOKEN;

    TG_ASSERT(key->secret_n > 0 && tg_alg_is_hmac(alg));
    if (jwt_decode(&jwt, text, (const unsigned char *)key->secret, (int)key->secret_n) == 0 &&
        jwt_get_alg(jwt) == jwt_alg_of(alg)) {
        rc = TG_OK;
    }
    jwt_free(jwt);
    free(text);
    return rc;
}

/* JWS writes an ECDSA signature as r || s (RFC 7518 §3.4), OpenSSL reads a DER sequence. */
static size_t der_of_raw(tg_str raw, unsigned char der[MAX_DER_BYTES])
{
    const unsigned char *p = (const unsigned char *)raw.p;
    int half = (int)(raw.n / 2);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(p, half, NULL);
    BIGNUM *s = BN_bin2bn(p + half, half, NULL);
    int n = 0;

    if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
    } else if (i2d_ECDSA_SIG(sig, NULL) <= MAX_DER_BYTES) {
        n = i2d_ECDSA_SIG(sig, &der);
    }
    ECDSA_SIG_free(sig);
    return n > 0 ? (size_t)n : 0;
}

static const EVP_MD *md_of(enum tg_alg alg)
{
    switch (alg) {
    case TG_ALG_RS256:
    case TG_ALG_ES256:
        return EVP_sha256();
    case TG_ALG_RS384:
    case TG_ALG_ES384:
        return EVP_sha384();
    case TG_ALG_RS512:
    case TG_ALG_ES512:
        return EVP_sha512();
    case TG_ALG_NONE:
    case TG_ALG_HS256:
    case TG_ALG_HS384:
    case TG_ALG_HS512:
    default:
        TG_UNREACHABLE();
    }
}

static enum tg_rc verify_public(const struct tg_key *key, tg_str signed_text, tg_str raw)
{
    unsigned char der[MAX_DER_BYTES];
    const unsigned char *sig = (const unsigned char *)raw.p;
    size_t n = raw.n;
    EVP_MD_CTX *ctx = NULL;
    enum tg_rc rc = TG_EBADTOKEN;

    if (key->alg >= TG_ALG_ES256) {
        n = der_of_raw(raw, der);
        sig = der;
    }
    ctx = EVP_MD_CTX_new();
    if (n > 0 && ctx != NULL &&
        EVP_DigestVerifyInit(ctx, NULL, md_of(key->alg), NULL, key->pkey) == 1 &&
        EVP_DigestVerify(ctx, sig, n, (const unsigned char *)signed_text.p, signed_text.n) == 1) {
        rc = TG_OK;
    }
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

enum tg_rc tg_key_verify(const struct tg_key *key, enum tg_alg alg, tg_str token, tg_str signature)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf raw;
    size_t expected = tg_alg_signature_bytes(alg);

    tg_buf_init(&raw, MAX_SIGNATURE_BYTES + 4);
    TG_ASSERT(tg_key_takes(key, alg) && token.n > signature.n);
    if (key->pkey != NULL && expected == 0) {
        expected = (size_t)EVP_PKEY_get_size(key->pkey);
    }
    if (tg_b64url_decode(signature, &raw) != TG_OK || raw.n != expected) {
        return TG_EBADTOKEN;
    }
    if (tg_alg_is_hmac(alg)) {
        return verify_hmac(key, alg, token);
    }
    return verify_public(key, tg_str_make(token.p, token.n - signature.n - 1), tg_buf_view(&raw));
}
