/* text.c - checks of text forms. Nothing here allocates or resolves names. */
#include "config/text.h"

#include <arpa/inet.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_alnum(char c)
{
    return is_digit(c) || is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool is_made_of(tg_str s, const char *also)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_alnum(s.p[i]) && (s.p[i] == '\0' || strchr(also, s.p[i]) == NULL)) {
            return false;
        }
    }
    return true;
}

static bool to_port(tg_str s, uint16_t *ret_port)
{
    uint64_t port = 0;

    if (s.n > 5 || tg_str_to_u64(s, &port) != TG_OK || port > UINT16_MAX) {
        return false;
    }
    *ret_port = (uint16_t)port;
    return true;
}

static bool is_ip(int family, tg_str s, char ret_host[TG_HOST_MAX])
{
    struct in6_addr unused; /* large enough for both families */

    if (s.n == 0 || s.n >= TG_HOST_MAX || memchr(s.p, '\0', s.n) != NULL) {
        return false;
    }
    memcpy(ret_host, s.p, s.n);
    ret_host[s.n] = '\0';
    return inet_pton(family, ret_host, &unused) == 1;
}

enum tg_rc tg_text_address(tg_str text, char ret_host[TG_HOST_MAX], uint16_t *ret_port)
{
    bool is_v6 = text.n > 0 && text.p[0] == '[';
    char host_z[TG_HOST_MAX];
    uint16_t port = 0;
    tg_str host = TG_STR_NONE;

    if (is_v6) {
        text = tg_str_skip(text, 1);
        host = tg_str_cut(&text, ']');
        if (text.n == 0 || text.p[0] != ':') {
            return TG_EBADPARAM;
        }
        text = tg_str_skip(text, 1);
    } else {
        host = tg_str_cut(&text, ':');
    }
    if (!to_port(text, &port) || !is_ip(is_v6 ? AF_INET6 : AF_INET, host, host_z)) {
        return TG_EBADPARAM;
    }
    memcpy(ret_host, host_z, host.n + 1);
    *ret_port = port;
    return TG_OK;
}

bool tg_text_is_cidr(tg_str text)
{
    tg_str bits_text = text;
    tg_str address = tg_str_cut(&bits_text, '/');
    char host[TG_HOST_MAX];
    uint64_t bits = 0;
    uint64_t most = 0;

    if (is_ip(AF_INET, address, host)) {
        most = 32;
    } else if (is_ip(AF_INET6, address, host)) {
        most = 128;
    } else {
        return false;
    }
    return bits_text.p == NULL || (tg_str_to_u64(bits_text, &bits) == TG_OK && bits <= most);
}

/* host, [v6], each with an optional port. */
static bool is_authority(tg_str s)
{
    char unused[TG_HOST_MAX];
    uint16_t port = 0;
    tg_str host = TG_STR_NONE;

    if (s.n > 0 && s.p[0] == '[') {
        s = tg_str_skip(s, 1);
        host = tg_str_cut(&s, ']');
        if (s.p == NULL || !is_ip(AF_INET6, host, unused) || (s.n > 0 && s.p[0] != ':')) {
            return false;
        }
        return s.n == 0 || (to_port(tg_str_skip(s, 1), &port) && port != 0);
    }
    host = tg_str_cut(&s, ':');
    return host.n > 0 && host.n <= 253 && is_made_of(host, ".-_") &&
           (s.p == NULL || (to_port(s, &port) && port != 0));
}

static bool has_scheme(tg_str scheme, const char *schemes)
{
    tg_str left = tg_str_of(schemes);

    while (left.p != NULL) {
        if (tg_str_eq(tg_str_cut(&left, ' '), scheme)) {
            return true;
        }
    }
    return false;
}

/* Cuts "scheme" off "scheme://rest". */
static bool cut_scheme(tg_str *s, tg_str *ret_scheme)
{
    tg_str rest = *s;
    tg_str scheme = tg_str_cut(&rest, ':');

    if (scheme.n == 0 || !tg_str_has_prefix(rest, TG_STR("//"))) {
        return false;
    }
    *ret_scheme = scheme;
    *s = tg_str_skip(rest, 2);
    return true;
}

bool tg_text_is_url(tg_str text, const char *schemes, unsigned parts)
{
    tg_str scheme = TG_STR_NONE;
    tg_str authority = TG_STR_NONE;
    size_t at = 0;

    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] <= ' ' || text.p[i] == 0x7f || text.p[i] == '?' || text.p[i] == '#' ||
            text.p[i] == '\\') {
            return false;
        }
    }
    if (!cut_scheme(&text, &scheme) || !has_scheme(scheme, schemes)) {
        return false;
    }
    at = tg_str_find(text, '/');
    authority = tg_str_make(text.p, at);
    text = tg_str_skip(text, at);
    at = tg_str_find(authority, '@');
    if (at < authority.n) {
        if ((parts & TG_URL_USER) == 0) {
            return false;
        }
        authority = tg_str_skip(authority, at + 1);
    }
    /* A lone slash is no path: people copy origins with it. */
    return is_authority(authority) && (text.n <= 1 || (parts & TG_URL_PATH) != 0);
}

bool tg_text_is_origin(tg_str text)
{
    tg_str scheme = TG_STR_NONE;

    if (tg_str_eq(text, TG_STR("*"))) {
        return true;
    }
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] >= 'A' && text.p[i] <= 'Z') {
            return false;
        }
    }
    return cut_scheme(&text, &scheme) && is_lower(scheme.p[0]) && is_made_of(scheme, "+-.") &&
           is_authority(text);
}

bool tg_text_is_identifier(tg_str text)
{
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                         (unsigned char)c >= 0x80;

        if (!is_letter && (i == 0 || !((c >= '0' && c <= '9') || c == '$'))) {
            return false;
        }
    }
    return text.n > 0 && text.n <= 63 && tg_str_is_utf8(text);
}

bool tg_text_is_table(tg_str text)
{
    size_t dot = tg_str_find(text, '.');

    return tg_text_is_plain(text) && text.n <= 127 && dot > 0 && dot + 1 < text.n;
}

bool tg_text_is_topic(tg_str text)
{
    if (tg_str_eq(text, TG_STR("table")) || tg_str_eq(text, TG_STR("inbox"))) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool is_letter = c >= 'a' && c <= 'z';

        if (!is_letter && (i == 0 || !((c >= '0' && c <= '9') || c == '-' || c == '_'))) {
            return false;
        }
    }
    return text.n > 0 && text.n <= 63;
}

bool tg_text_is_name(tg_str text)
{
    return is_made_of(text, "._-");
}

bool tg_text_is_plain(tg_str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];

        if (c < ' ' || c == 0x7f) {
            return false;
        }
    }
    return tg_str_is_utf8(text);
}
