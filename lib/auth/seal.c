/* seal.c - authenticated encryption by OpenSSL.
 *
 *   version 1 | nonce 12 | encrypted ( expires, microseconds, big endian 8 | text ) | tag 16
 *
 * The version is authenticated too (additional data). The limit of random nonces under one key
 * (2^32 texts, NIST SP 800-38D 8.3) is out of reach of what is sealed here: each costs a request
 * with a checked token. */
#include "auth/seal.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdlib.h>

#include "auth/b64url.h"
#include "auth/digest.h"

enum {
    KEY_BYTES = 32,
    NONCE_BYTES = 12,
    EXPIRY_BYTES = 8,
    TAG_BYTES = 16,
    VERSION = 1,
    MAX_TEXT_BYTES = 64 * 1024,
};

struct tg_seal {
    unsigned char key[KEY_BYTES];
};

static OSSL_PARAM octets(const char *name, tg_str value)
{
    /* The library's structure knows no const; it is only read. */
    union {
        const char *from;
        void *to;
    } p = {.from = value.p};

    return OSSL_PARAM_construct_octet_string(name, p.to, value.n);
}

/* Fails only without memory or with a broken OpenSSL: neither can be gone on from. */
static void derive(tg_str secret, tg_str purpose, unsigned char *out)
{
    char digest[] = "SHA256";
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        octets(OSSL_KDF_PARAM_KEY, secret),
        octets(OSSL_KDF_PARAM_SALT, TG_STR("tidegate seal 1")),
        octets(OSSL_KDF_PARAM_INFO, purpose),
        OSSL_PARAM_construct_end(),
    };

    TG_ASSERT(ctx != NULL && EVP_KDF_derive(ctx, out, KEY_BYTES, params) == 1);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

struct tg_seal *tg_seal_create(tg_str secret, tg_str purpose)
{
    struct tg_seal *s = TG_NEW(struct tg_seal);

    TG_ASSERT(secret.n >= TG_SEAL_SECRET_BYTES && purpose.n > 0);
    derive(secret, purpose, s->key);
    return s;
}

void tg_seal_destroy(struct tg_seal *s)
{
    if (s != NULL) {
        OPENSSL_cleanse(s, sizeof(*s));
        free(s);
    }
}

static void put_expiry(unsigned char *p, tg_usec expires)
{
    for (unsigned i = 0; i < EXPIRY_BYTES; i++) {
        p[i] = (unsigned char)(expires >> (56U - 8U * i));
    }
}

static tg_usec get_expiry(const unsigned char *p)
{
    tg_usec expires = 0;

    for (unsigned i = 0; i < EXPIRY_BYTES; i++) {
        expires = (expires << 8U) | p[i];
    }
    return expires;
}

/* `raw` has room for TG_SEAL_OVERHEAD + text.n. */
static void close_text(const struct tg_seal *s, tg_str text, tg_usec expires, unsigned char *raw)
{
    unsigned char expiry[EXPIRY_BYTES];
    unsigned char *body = raw + 1 + NONCE_BYTES;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;

    raw[0] = VERSION;
    tg_random_bytes(raw + 1, NONCE_BYTES);
    put_expiry(expiry, expires);
    TG_ASSERT(ctx != NULL &&
              EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, s->key, raw + 1) == 1 &&
              EVP_EncryptUpdate(ctx, NULL, &n, raw, 1) == 1 &&
              EVP_EncryptUpdate(ctx, body, &n, expiry, EXPIRY_BYTES) == 1 &&
              (text.n == 0 || EVP_EncryptUpdate(ctx, body + EXPIRY_BYTES, &n,
                                                (const unsigned char *)text.p, (int)text.n) == 1) &&
              EVP_EncryptFinal_ex(ctx, body + EXPIRY_BYTES + text.n, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES,
                                  body + EXPIRY_BYTES + text.n) == 1);
    EVP_CIPHER_CTX_free(ctx);
}

/* In place: what was encrypted begins at raw[1 + NONCE_BYTES]. */
static bool open_text(const struct tg_seal *s, unsigned char *raw, size_t n_raw)
{
    unsigned char *body = raw + 1 + NONCE_BYTES;
    size_t n_body = n_raw - 1 - NONCE_BYTES - TAG_BYTES;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n = 0;
    bool is_genuine = false;

    TG_ASSERT(ctx != NULL &&
              EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, s->key, raw + 1) == 1);
    is_genuine = EVP_DecryptUpdate(ctx, NULL, &n, raw, 1) == 1 &&
                 EVP_DecryptUpdate(ctx, body, &n, body, (int)n_body) == 1 &&
                 EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, body + n_body) == 1 &&
                 EVP_DecryptFinal_ex(ctx, body + n_body, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return is_genuine;
}

enum tg_rc tg_seal_wrap(const struct tg_seal *s, tg_str text, tg_usec expires, struct tg_buf *out)
{
    size_t n = TG_SEAL_OVERHEAD + text.n;
    unsigned char *raw = NULL;
    enum tg_rc rc = TG_OK;

    if (text.n > MAX_TEXT_BYTES) {
        return TG_ELIMIT;
    }
    raw = tg_malloc(n);
    close_text(s, text, expires, raw);
    rc = tg_b64url_encode(tg_str_make((const char *)raw, n), out);
    free(raw);
    return rc;
}

enum tg_rc tg_seal_unwrap(const struct tg_seal *s, tg_str sealed, tg_usec now, struct tg_buf *out)
{
    struct tg_buf raw = {.max = TG_SEAL_OVERHEAD + MAX_TEXT_BYTES};
    unsigned char *p = NULL;
    enum tg_rc rc = tg_b64url_decode(sealed, &raw);

    p = (unsigned char *)raw.p;
    if (rc != TG_OK || raw.n < TG_SEAL_OVERHEAD || p[0] != VERSION || !open_text(s, p, raw.n)) {
        rc = TG_EBADTOKEN;
    } else if (now >= get_expiry(p + 1 + NONCE_BYTES)) {
        rc = TG_EEXPIRED;
    } else {
        rc = tg_buf_append(out, p + 1 + NONCE_BYTES + EXPIRY_BYTES, raw.n - TG_SEAL_OVERHEAD);
    }
    if (raw.p != NULL) {
        OPENSSL_cleanse(raw.p, raw.n);
    }
    tg_buf_fini(&raw);
    return rc;
}
