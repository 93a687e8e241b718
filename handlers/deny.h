/* deny.h - whose tokens are refused though they have not expired: what a worker holds of the
 * group's deny list (DESIGN.md 5).
 *
 *   s:<user>:<session>           tokens of a session
 *   u:<user>:<time>:[<session>]  tokens of a user issued before then, but those of a session
 *
 * A bounded table; rules leave when the last token that they could mean has expired. One worker's
 * own; no clock. */
#ifndef TG_HANDLERS_DENY_H
#define TG_HANDLERS_DENY_H

#include "util/buf.h"

struct tg_token;
struct tg_deny;

enum { TG_SESSION_MAX_BYTES = 128, TG_DENY_KEY_MAX = 256 };

struct tg_deny_rule {
    tg_str user;        /* user_id of a token */
    tg_str session;     /* the one denied, or the one spared; empty: none is spared */
    bool is_user;       /* else of the session alone */
    int64_t before_sec; /* of a user's rule */
};

/* The session that a token belongs to; empty: none, or one that is no identifier. */
tg_str tg_deny_session_of(const struct tg_token *t);

/* Appends the key of a rule. */
void tg_deny_key(const struct tg_deny_rule *rule, struct tg_buf *out);
/* TG_ESYNTAX. Slices of `key`. */
enum tg_rc tg_deny_key_parse(tg_str key, struct tg_deny_rule *ret_rule) TG_MUST_USE;

/* [owned] Holds `max` rules; one more takes the place of the one that would leave first. */
struct tg_deny *tg_deny_create(size_t max);
void tg_deny_destroy(struct tg_deny *d); /* NULL is fine */

/* Seconds since 1970. True: the rule is new here. What is no key, or is over, changes nothing. The
 * later of two ends counts. */
bool tg_deny_put(struct tg_deny *d, tg_str key, int64_t until_sec, int64_t now_sec);
bool tg_deny_has(const struct tg_deny *d, const struct tg_token *t, int64_t now_sec);
size_t tg_deny_count(const struct tg_deny *d);

#endif
