/* json.h - bounded parsing, slicing without decoding, and writing of JSON (RFC 8259).
 *
 * Records pass through as the text they came as: a number keeps its digits because
 * nobody turns it into a double. So there are two readers: tg_json_parse() for what
 * we inspect, and the slicer for what we pass on. */
#ifndef TG_UTIL_JSON_H
#define TG_UTIL_JSON_H

#include "util/buf.h"

struct json_t;

/* The only door to jansson. At most `max_bytes` bytes and 64 levels; duplicate members are
 * refused. ret_json: [owned], json_decref(). TG_EBADJSON, TG_ELIMIT. */
enum tg_rc tg_json_parse(tg_str text, size_t max_bytes, struct json_t **ret_json) TG_MUST_USE;

/* Whole text is one well-formed value (depth <= 64, UTF-8 checked). */
bool tg_json_is_valid(tg_str text);

/* The slicer. `text` must be well-formed (tg_json_is_valid or a trusted source); on
 * text that is not, the answers are TG_EBADJSON or some slice inside `text`, never
 * a read outside it. */

/* The value of the object's member `name` (compared byte by byte with the text between
 * the quotes; names with escapes match nothing). First match. TG_ENOTFOUND. */
enum tg_rc tg_json_member(tg_str object, const char *name, tg_str *ret_value) TG_MUST_USE;

/* Walks the members of an object or the elements of an array: start with *at = 0.
 * ret_name is the raw text between the quotes (empty for arrays). TG_EEOF at the end. */
enum tg_rc tg_json_next(tg_str container, size_t *at, tg_str *ret_name,
                        tg_str *ret_value) TG_MUST_USE;

/* The decoded content of a JSON string value. TG_EBADJSON if it is none. */
enum tg_rc tg_json_unquote(tg_str value, struct tg_buf *out) TG_MUST_USE;

/* Appends a value without the blanks and line breaks between its tokens; nothing else changes. */
enum tg_rc tg_json_compact(struct tg_buf *out, tg_str value);

/* Appends `s` as a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD. */
enum tg_rc tg_json_quote(struct tg_buf *out, tg_str s);

#endif
