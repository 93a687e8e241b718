/* declared.c - declared topics: finding them, and what their names and keys may be. */
#include "realtime/declared.h"

const struct tg_declared *tg_declared_find(const struct tg_declared_list *list, tg_str name)
{
    for (size_t i = 0; list != NULL && i < list->n; i++) {
        if (tg_str_eq(list->items[i].name, name)) {
            return &list->items[i];
        }
    }
    return NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Blanks, and controls of ASCII and of Latin-1 (C2 80 to C2 9F). */
static bool is_printable(tg_str key)
{
    for (size_t i = 0; i < key.n; i++) {
        unsigned char c = (unsigned char)key.p[i];

        if (c <= 0x20 || c == 0x7F ||
            (c == 0xC2 && i + 1 < key.n && (unsigned char)key.p[i + 1] < 0xA0)) {
            return false;
        }
    }
    return tg_str_is_utf8(key);
}

static bool is_uuid(tg_str key)
{
    for (size_t i = 0; i < key.n; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (is_dash ? key.p[i] != '-'
                    : !is_digit(key.p[i]) && !(key.p[i] >= 'a' && key.p[i] <= 'f')) {
            return false;
        }
    }
    return key.n == 36;
}

static bool is_int(tg_str key)
{
    bool is_negative = key.n > 0 && key.p[0] == '-';
    tg_str digits = is_negative ? tg_str_skip(key, 1) : key;
    uint64_t n = 0;

    if (digits.n == 0 || (digits.p[0] == '0' && (digits.n > 1 || is_negative)) ||
        tg_str_to_u64(digits, &n) != TG_OK) {
        return false;
    }
    return n <= (uint64_t)INT64_MAX + (is_negative ? 1 : 0);
}

const char *tg_declared_check_key(enum tg_key_type type, tg_str key)
{
    if (key.n == 0 || key.n > TG_TOPIC_KEY_MAX) {
        return "a topic's key has 1 to 128 bytes: <name>:<key>";
    }
    if (!is_printable(key)) {
        return "a topic's key is UTF-8 text without blanks and control characters";
    }
    if (type == TG_KEY_UUID && !is_uuid(key)) {
        return "the key of this topic is a UUID in lower case";
    }
    if (type == TG_KEY_INT && !is_int(key)) {
        return "the key of this topic is a whole number without leading zeros";
    }
    return NULL;
}
