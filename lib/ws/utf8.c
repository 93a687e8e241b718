/* utf8.c - the table of RFC 3629 section 4 as ranges of the next byte. */
#include "ws/utf8.h"

/* The first byte of a character. Overlong forms, surrogates and what lies above U+10FFFF are
 * shut out by the range of the second byte. */
static bool begin(struct tg_utf8 *u, uint8_t b)
{
    u->lo = 0x80;
    u->hi = 0xBF;
    if (b < 0x80) {
        u->left = 0;
    } else if (b >= 0xC2 && b <= 0xDF) {
        u->left = 1;
    } else if (b >= 0xE0 && b <= 0xEF) {
        u->left = 2;
        u->lo = b == 0xE0 ? 0xA0 : u->lo;
        u->hi = b == 0xED ? 0x9F : u->hi;
    } else if (b >= 0xF0 && b <= 0xF4) {
        u->left = 3;
        u->lo = b == 0xF0 ? 0x90 : u->lo;
        u->hi = b == 0xF4 ? 0x8F : u->hi;
    } else {
        return false;
    }
    return true;
}

/* Bytes of plain ASCII at the front, eight at a time. */
static size_t skip_ascii(tg_str s)
{
    size_t i = 0;

    while (s.n - i >= sizeof(uint64_t)) {
        uint64_t eight = 0;

        memcpy(&eight, s.p + i, sizeof(eight));
        if ((eight & UINT64_C(0x8080808080808080)) != 0) {
            break;
        }
        i += sizeof(eight);
    }
    return i;
}

bool tg_utf8_push(struct tg_utf8 *u, tg_str bytes)
{
    size_t i = 0;

    while (i < bytes.n) {
        uint8_t b = 0;

        if (u->left == 0) {
            i += skip_ascii(tg_str_skip(bytes, i));
            if (i == bytes.n) {
                break;
            }
        }
        b = (uint8_t)bytes.p[i++];
        if (u->left == 0) {
            if (!begin(u, b)) {
                return false;
            }
        } else if (b < u->lo || b > u->hi) {
            return false;
        } else {
            u->left--;
            u->lo = 0x80;
            u->hi = 0xBF;
        }
    }
    return true;
}
