/* line.h - lines of an answer's head, as libcurl hands them over: raw, one at a time; and
 * whether texts may stand in a request's head. Pure. */
#ifndef TG_UPSTREAM_LINE_H
#define TG_UPSTREAM_LINE_H

#include "util/str.h"

/* The line without its CRLF (or bare LF). */
tg_str tg_line_chomp(tg_str line);

/* "HTTP/1.1 402 boom": the reason is what stands behind the second blank, as sent, and may be
 * empty; "HTTP/2 200 " likewise. TG_EBADREQ. */
enum tg_rc tg_line_status(tg_str line, unsigned *ret_status, tg_str *ret_reason) TG_MUST_USE;

/* "Name: value": the value without blanks around it. A folded line, a blank before the colon, an
 * empty name or a control is TG_EBADREQ: what another reader could take for something else. */
enum tg_rc tg_line_field(tg_str line, tg_str *ret_name, tg_str *ret_value) TG_MUST_USE;

/* Content-Length: digits only, at most INT64_MAX. TG_EBADREQ. */
enum tg_rc tg_line_length(tg_str value, int64_t *ret_length) TG_MUST_USE;

/* For requests: a method or field name; a target; a field value (no controls but the tab). */
bool tg_line_is_token(tg_str s);
bool tg_line_is_target(tg_str s);
bool tg_line_is_text(tg_str s);

#endif
