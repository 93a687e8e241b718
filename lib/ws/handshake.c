/* handshake.c - base64 (RFC 4648 section 4) of the two sizes that a handshake needs. */
#include "ws/handshake.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool tg_ws_key_is_good(tg_str key)
{
    if (key.n != TG_WS_KEY_BYTES || key.p[22] != '=' || key.p[23] != '=') {
        return false;
    }
    /* The last character before the padding stands for two bits: the four below are zero. Some
     * clients leave others there, and what they say is still sixteen bytes. */
    for (size_t i = 0; i < 22; i++) {
        if (key.p[i] == '\0' || strchr(alphabet, key.p[i]) == NULL) {
            return false;
        }
    }
    return true;
}

void tg_ws_challenge(tg_str key, char out[TG_WS_CHALLENGE_BYTES])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

    TG_ASSERT(key.n == TG_WS_KEY_BYTES);
    memcpy(out, key.p, key.n);
    memcpy(out + key.n, guid, sizeof(guid) - 1);
}

void tg_ws_accept(const uint8_t digest[TG_WS_DIGEST_BYTES], char out[TG_WS_ACCEPT_BYTES])
{
    size_t at = 0;

    for (size_t i = 0; i < TG_WS_DIGEST_BYTES; i += 3) {
        size_t n = TG_MIN((size_t)3, TG_WS_DIGEST_BYTES - i);
        uint32_t bits = (uint32_t)digest[i] << 16U;

        bits |= n > 1 ? (uint32_t)digest[i + 1] << 8U : 0;
        bits |= n > 2 ? digest[i + 2] : 0;
        out[at++] = alphabet[bits >> 18U];
        out[at++] = alphabet[bits >> 12U & 63U];
        out[at++] = n > 1 ? alphabet[bits >> 6U & 63U] : '=';
        out[at++] = n > 2 ? alphabet[bits & 63U] : '=';
    }
    TG_ASSERT(at == TG_WS_ACCEPT_BYTES);
}
