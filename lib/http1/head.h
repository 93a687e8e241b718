/* head.h - the strict scanner of request heads (RFC 9112, DESIGN.md 2.1).
 *
 * The head is scanned whole before anything acts on it. What two implementations could
 * read differently is refused: smuggling needs a second opinion. Pure; no allocation but
 * in the caller's arrays. */
#ifndef TG_HTTP1_HEAD_H
#define TG_HTTP1_HEAD_H

#include "http1/field.h"

enum tg_method { TG_GET, TG_HEAD, TG_POST, TG_PUT, TG_PATCH, TG_DELETE, TG_OPTIONS, TG_METHOD_MAX };

enum tg_body_kind { TG_BODY_NONE, TG_BODY_LENGTH, TG_BODY_CHUNKED };

struct tg_head_limits {
    size_t target_bytes; /* TG_ETARGETSIZE (414) */
    size_t head_bytes;   /* whole head with its last CRLF: TG_EHEADSIZE (431) */
    size_t fields;       /* TG_EHEADSIZE (431) */
    uint64_t body_bytes; /* declared length: TG_EBODYSIZE (413) */
};

/* All texts are slices of the scanned bytes. */
struct tg_head {
    enum tg_method method;
    tg_str method_text;
    tg_str target;  /* raw, as sent */
    unsigned minor; /* HTTP/1.<minor>: 0 or 1 */
    struct tg_fields fields;
    tg_str host; /* value of Host, p == NULL if absent (HTTP/1.0) */
    enum tg_body_kind body;
    uint64_t content_length; /* with TG_BODY_LENGTH */
    bool keep_alive;         /* false also for who asks for an upgrade, granted or not */
    bool expect_continue;
    size_t bytes; /* length of the head with its final CRLF */
};

/* Scans bytes[0..n). `fields` has room for limits->fields entries.
 * TG_OK: *ret_head is set. TG_EAGAIN: not whole yet (call again with more; `*resume`, 0 at
 * first, remembers how far the end was looked for, so that a slow head costs no n^2).
 * Anything else is final: answer tg_rc_status() and close. A broken byte is reported as soon
 * as its line is whole, or at the latest at the end of the head. */
enum tg_rc tg_head_scan(tg_str bytes, size_t *resume, const struct tg_head_limits *limits,
                        struct tg_field *fields, struct tg_head *ret_head) TG_MUST_USE;

#endif
