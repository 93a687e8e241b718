/* line.c - status lines and fields of answers (RFC 9112 4, 5). */
#include "upstream/line.h"

tg_str tg_line_chomp(tg_str line)
{
    if (line.n > 0 && line.p[line.n - 1] == '\n') {
        line.n--;
        if (line.n > 0 && line.p[line.n - 1] == '\r') {
            line.n--;
        }
    }
    return line;
}

enum tg_rc tg_line_status(tg_str line, unsigned *ret_status, tg_str *ret_reason)
{
    tg_str code = TG_STR_NONE;
    unsigned status = 0;

    if (!tg_str_has_prefix(line, TG_STR("HTTP/"))) {
        return TG_EBADREQ;
    }
    (void)tg_str_cut(&line, ' ');
    if (line.p == NULL) {
        return TG_EBADREQ;
    }
    code = tg_str_cut(&line, ' ');
    if (code.n != 3) {
        return TG_EBADREQ;
    }
    for (size_t i = 0; i < 3; i++) {
        if (code.p[i] < '0' || code.p[i] > '9') {
            return TG_EBADREQ;
        }
        status = status * 10 + (unsigned)(code.p[i] - '0');
    }
    if (status < 100) {
        return TG_EBADREQ;
    }
    *ret_status = status;
    *ret_reason = line.p == NULL ? TG_STR("") : line;
    return TG_OK;
}

/* RFC 9110 5.6.2 */
static bool is_tchar(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

bool tg_line_is_token(tg_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!is_tchar(s.p[i])) {
            return false;
        }
    }
    return s.n != 0;
}

bool tg_line_is_target(tg_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 0x21 || s.p[i] > 0x7e) {
            return false;
        }
    }
    return s.n != 0;
}

bool tg_line_is_text(tg_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

enum tg_rc tg_line_field(tg_str line, tg_str *ret_name, tg_str *ret_value)
{
    tg_str name = TG_STR_NONE;

    if (!tg_line_is_text(line)) {
        return TG_EBADREQ;
    }
    name = tg_str_cut(&line, ':');
    if (line.p == NULL || name.n == 0) {
        return TG_EBADREQ;
    }
    if (tg_str_find(name, ' ') != name.n || tg_str_find(name, '\t') != name.n) {
        return TG_EBADREQ;
    }
    *ret_name = name;
    *ret_value = tg_str_trim(line);
    return TG_OK;
}

enum tg_rc tg_line_length(tg_str value, int64_t *ret_length)
{
    uint64_t n = 0;

    if (tg_str_to_u64(value, &n) != TG_OK || n > (uint64_t)INT64_MAX) {
        return TG_EBADREQ;
    }
    *ret_length = (int64_t)n;
    return TG_OK;
}
