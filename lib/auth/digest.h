/* digest.h - SHA-256, SHA-1, hexadecimal and random bytes for those who may not know OpenSSL. */
#ifndef TG_AUTH_DIGEST_H
#define TG_AUTH_DIGEST_H

#include "util/str.h"

enum { TG_SHA256_BYTES = 32, TG_SHA1_BYTES = 20 };

/* Before anything in the process uses OpenSSL: its error texts, which no log line of ours holds,
 * are half a megabyte of resident memory and stay away. */
void tg_crypto_init(void);

struct tg_sha256 {
    uint8_t b[TG_SHA256_BYTES];
};

/* Any thread. */
struct tg_sha256 tg_sha256(tg_str text);

/* Any thread. Proves nothing to anybody: only for Sec-WebSocket-Accept (RFC 6455). */
void tg_sha1(tg_str text, uint8_t out[TG_SHA1_BYTES]);

/* Lower-case digits of `n` bytes and a NUL: `out` has room for 2 * n + 1. */
void tg_hex(const void *bytes, size_t n, char *out);

/* Unpredictable bytes from the kernel (getrandom); the process ends when it gives none. */
void tg_random_bytes(void *out, size_t n);

#endif
