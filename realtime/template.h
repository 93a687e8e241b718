/* template.h - the query by which a topic asks whether a user may read it (DESIGN.md 3): the target
 * of a PostgREST request with places for the topic's key and the user.
 *
 *   trip_members?select=user_id&trip_id=eq.{key}&user_id=eq.{sub}
 *
 *   rpc/may_read_trip?trip={key}
 *
 * {key} and {sub} each stand for a whole value and nothing else: behind eq. neq. gt. gte. lt. lte.,
 * as an element of in.(..), also within and=(..) and or=(..), or as an argument of a function. What
 * is put there cannot end it, nor become an operator or a pattern: it is percent-encoded byte by
 * byte, and inside parentheses it is a quoted string. Pure; immutable once parsed. */
#ifndef TG_REALTIME_TEMPLATE_H
#define TG_REALTIME_TEMPLATE_H

#include "util/buf.h"

enum { TG_TEMPLATE_MAX_BYTES = 2048 };

struct tg_template;

/* TG_EBADPARAM: *ret_why is a sentence ([borrowed] for ever). ret_template: tg_template_destroy().
 */
enum tg_rc tg_template_parse(tg_str text, struct tg_template **ret_template,
                             const char **ret_why) TG_MUST_USE;
void tg_template_destroy(struct tg_template *t); /* NULL is fine */

/* Whether it asks about the user: then it cannot be asked without one. */
bool tg_template_has_sub(const struct tg_template *t);

/* Appends the request's target, "/rest/v1/...". TG_EFORBIDDEN: it wants a user and `sub` is empty,
 * or a function would not get the value as its argument; the answer is no, unasked. Then and on
 * TG_ELIMIT nothing is appended. */
enum tg_rc tg_template_expand(const struct tg_template *t, tg_str key, tg_str sub,
                              struct tg_buf *out) TG_MUST_USE;

/* The answer's body (of a 200) means yes: an array that is not empty, or `true`. */
bool tg_template_is_yes(tg_str body);

#endif
