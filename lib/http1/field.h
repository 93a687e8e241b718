/* field.h - header fields as they are: order, case and repetition kept. */
#ifndef TG_HTTP1_FIELD_H
#define TG_HTTP1_FIELD_H

#include "util/buf.h"

struct tg_field {
    tg_str name;
    tg_str value; /* without blanks around it */
};

/* A list over an array that somebody else owns. */
struct tg_fields {
    const struct tg_field *v;
    size_t n;
};

/* First field of that name (any case), NULL if there is none. */
const struct tg_field *tg_fields_find(struct tg_fields f, tg_str name);
size_t tg_fields_count(struct tg_fields f, tg_str name);

/* Whether a comma-separated list field (all of that name together) holds `token`, any case. */
bool tg_fields_has_token(struct tg_fields f, tg_str name, tg_str token);
bool tg_field_list_has(tg_str list, tg_str token);

/* RFC 9110: a token (5.6.2, not empty); a value (5.5): no control but tab, bytes over 0x7F pass. */
bool tg_field_is_token_char(char ch);
bool tg_field_is_token(tg_str s);
bool tg_field_is_value(tg_str s);
/* Characters of US-ASCII that one sees (RFC 5234 VCHAR) and nothing else. */
bool tg_field_is_visible(tg_str s);

#endif
