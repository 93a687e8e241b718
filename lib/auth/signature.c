/* signature.c - reads the field, makes the digest, compares in constant time. */
#include "auth/signature.h"

#include <openssl/evp.h>

#include "auth/digest.h"

enum { HEX_BYTES = 2 * TG_SHA256_BYTES, MAX_PARTS = 8 };

struct parts {
    tg_str time;
    tg_str digests[MAX_PARTS];
    size_t n;
};

static bool read_field(tg_str field, struct parts *p)
{
    while (field.p != NULL) {
        tg_str value = tg_str_trim(tg_str_cut(&field, ','));
        tg_str name = tg_str_cut(&value, '=');

        if (value.p == NULL) {
            return false;
        }
        if (tg_str_eq(name, TG_STR("t"))) {
            if (p->time.p != NULL) {
                return false;
            }
            p->time = value;
        } else if (tg_str_eq(name, TG_STR("v1"))) {
            if (p->n == MAX_PARTS) {
                return false;
            }
            p->digests[p->n++] = value;
        }
    }
    return p->time.p != NULL && p->n > 0;
}

static void update(EVP_MAC_CTX *ctx, tg_str text)
{
    if (text.n > 0) {
        TG_ASSERT(EVP_MAC_update(ctx, (const unsigned char *)text.p, text.n) == 1);
    }
}

/* Fails only without memory or with a broken OpenSSL: neither can be gone on from. */
static void make_digest(tg_str secret, const struct parts *p, const struct tg_signed *s,
                        char ret_hex[HEX_BYTES + 1])
{
    unsigned char out[TG_SHA256_BYTES];
    char hash[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", hash, 0),
                                 OSSL_PARAM_construct_end()};
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    size_t n = 0;

    TG_ASSERT(ctx != NULL &&
              EVP_MAC_init(ctx, (const unsigned char *)secret.p, secret.n, params) == 1);
    update(ctx, p->time);
    update(ctx, TG_STR("."));
    update(ctx, s->target);
    update(ctx, TG_STR("."));
    update(ctx, s->body);
    TG_ASSERT(EVP_MAC_final(ctx, out, &n, sizeof(out)) == 1 && n == sizeof(out));
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    tg_hex(out, sizeof(out), ret_hex);
}

static bool is_near(uint64_t sec, tg_usec now, tg_usec tolerance)
{
    uint64_t here = now / TG_SEC(1);

    return (sec > here ? sec - here : here - sec) <= tolerance / TG_SEC(1);
}

enum tg_rc tg_signature_check(tg_str secret, const struct tg_signed *s, tg_usec now,
                              tg_usec tolerance)
{
    struct parts p = {0};
    char hex[HEX_BYTES + 1];
    uint64_t sec = 0;
    bool is_good = false;

    TG_ASSERT(secret.n > 0);
    if (!read_field(s->field, &p) || tg_str_to_u64(p.time, &sec) != TG_OK) {
        return TG_EBADSIGNATURE;
    }
    make_digest(secret, &p, s, hex);
    for (size_t i = 0; i < p.n; i++) {
        bool is_same = tg_str_eq_secret(tg_str_make(hex, HEX_BYTES), p.digests[i]);

        is_good = is_good || is_same;
    }
    if (!is_good) {
        return TG_EBADSIGNATURE;
    }
    return is_near(sec, now, tolerance) ? TG_OK : TG_EEXPIRED;
}
