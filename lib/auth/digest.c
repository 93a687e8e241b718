/* digest.c - SHA-256 and SHA-1 by OpenSSL, random bytes by the kernel. */
#include "auth/digest.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

void tg_crypto_init(void)
{
    TG_ASSERT(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS, NULL) == 1);
}

struct tg_sha256 tg_sha256(tg_str text)
{
    struct tg_sha256 out = {{0}};
    unsigned n = 0;

    /* Fails only without memory or with a broken OpenSSL: neither can be gone on from. */
    TG_ASSERT(EVP_Digest(text.p, text.n, out.b, &n, EVP_sha256(), NULL) == 1 && n == sizeof(out.b));
    return out;
}

void tg_sha1(tg_str text, uint8_t out[TG_SHA1_BYTES])
{
    unsigned n = 0;

    TG_ASSERT(EVP_Digest(text.p, text.n, out, &n, EVP_sha1(), NULL) == 1 && n == TG_SHA1_BYTES);
}

void tg_hex(const void *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *p = bytes;

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[p[i] >> 4U];
        out[2 * i + 1] = digits[p[i] & 15U];
    }
    out[2 * n] = '\0';
}

void tg_random_bytes(void *out, size_t n)
{
    char *p = out;

    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);

        if (got < 0) {
            TG_ASSERT(errno == EINTR);
            continue;
        }
        p += got;
        n -= (size_t)got;
    }
}
