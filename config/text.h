/* text.h - the forms that texts in the configuration take: addresses, URLs, networks. */
#ifndef TG_CONFIG_TEXT_H
#define TG_CONFIG_TEXT_H

#include "util/str.h"

enum { TG_HOST_MAX = 64 };

/* "127.0.0.1:8080" or "[::]:8080": the IP address NUL-terminated without brackets, and the
 * port. TG_EBADPARAM. */
enum tg_rc tg_text_address(tg_str text, char ret_host[TG_HOST_MAX], uint16_t *ret_port) TG_MUST_USE;

/* "10.0.0.0/8", "::1". */
bool tg_text_is_cidr(tg_str text);

/* What a URL may have behind its scheme. */
enum { TG_URL_PATH = 1, TG_URL_USER = 2 };

/* `schemes`: "http https". Never with query, fragment, blanks or controls. */
bool tg_text_is_url(tg_str text, const char *schemes, unsigned parts);

/* "*", or scheme://host[:port] in lower case, as browsers send it. */
bool tg_text_is_origin(tg_str text);

/* A name that PostgreSQL takes without quotes (but for the case of its letters): letters, digits, _
 * and $, not beginning with a digit or $, at most 63 bytes. */
bool tg_text_is_identifier(tg_str text);

/* "schema.table". */
bool tg_text_is_table(tg_str text);

/* The name of a declared topic: a lower-case letter, then lower-case letters, digits, '-' and '_',
 * at most 63 bytes; not the word of another kind of topic. */
bool tg_text_is_topic(tg_str text);

/* Letters, digits, '.', '_', '-'. */
bool tg_text_is_name(tg_str text);

/* Printable UTF-8. */
bool tg_text_is_plain(tg_str text);

#endif
