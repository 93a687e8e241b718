/* query.c - percent-encoding, and PostgREST's quotes (reference/supabase-http.md 5.3). */
#include "realtime/query.h"

enum { MAX_IDENTIFIER = 63 }; /* PostgreSQL's NAMEDATALEN - 1 */

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void put(struct tg_buf *out, char c)
{
    static const char digits[] = "0123456789ABCDEF";
    unsigned char byte = (unsigned char)c;

    if (is_unreserved(c)) {
        (void)tg_buf_char(out, c);
    } else {
        (void)tg_buf_char(out, '%');
        (void)tg_buf_char(out, digits[byte >> 4U]);
        (void)tg_buf_char(out, digits[byte & 15U]);
    }
}

void tg_query_escape(struct tg_buf *out, tg_str text)
{
    for (size_t i = 0; i < text.n; i++) {
        put(out, text.p[i]);
    }
}

void tg_query_quote(struct tg_buf *out, tg_str text)
{
    put(out, '"');
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '"' || text.p[i] == '\\') {
            put(out, '\\');
        }
        put(out, text.p[i]);
    }
    put(out, '"');
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$' || (unsigned char)c >= 0x80;
}

bool tg_query_is_identifier(tg_str name)
{
    for (size_t i = 0; i < name.n; i++) {
        if (!is_word(name.p[i])) {
            return false;
        }
    }
    return name.n > 0 && name.n <= MAX_IDENTIFIER && !(name.p[0] >= '0' && name.p[0] <= '9') &&
           name.p[0] != '$' && tg_str_is_utf8(name);
}

bool tg_query_is_column(tg_str name)
{
    static const char *const taken[] = {"select", "columns", "on_conflict", "order", "limit",
                                        "offset", "and",     "or",          "not",   "apikey"};

    for (size_t i = 0; i < TG_ARRAY_LEN(taken); i++) {
        if (tg_str_eq(name, tg_str_of(taken[i]))) {
            return false;
        }
    }
    return tg_query_is_identifier(name);
}
