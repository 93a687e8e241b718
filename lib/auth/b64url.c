/* b64url.c - strict base64url both ways. */
#include "auth/b64url.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == '-') {
        return 62;
    }
    return c == '_' ? 63 : -1;
}

enum tg_rc tg_b64url_decode(tg_str text, struct tg_buf *out)
{
    enum tg_rc rc = TG_OK;
    uint32_t bits = 0;
    unsigned n_bits = 0;

    if (text.n % 4 == 1) {
        return TG_ESYNTAX;
    }
    rc = tg_buf_reserve(out, text.n / 4 * 3 + 2);
    if (rc != TG_OK) {
        return rc;
    }
    for (size_t i = 0; i < text.n; i++) {
        int d = digit(text.p[i]);

        if (d < 0) {
            return TG_ESYNTAX;
        }
        bits = (bits << 6U) | (uint32_t)d;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out->p[out->n++] = (char)(bits >> n_bits);
            bits &= (1U << n_bits) - 1U;
        }
    }
    return bits == 0 ? TG_OK : TG_ESYNTAX;
}

enum tg_rc tg_b64url_encode(tg_str bytes, struct tg_buf *out)
{
    uint32_t bits = 0;
    unsigned n_bits = 0;

    for (size_t i = 0; i < bytes.n; i++) {
        bits = (bits << 8U) | (unsigned char)bytes.p[i];
        n_bits += 8;
        while (n_bits >= 6) {
            n_bits -= 6;
            (void)tg_buf_char(out, alphabet[(bits >> n_bits) & 63U]);
        }
    }
    if (n_bits > 0) {
        (void)tg_buf_char(out, alphabet[(bits << (6U - n_bits)) & 63U]);
    }
    return tg_buf_rc(out);
}
