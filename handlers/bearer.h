/* bearer.h - who is asking: the API key and the user's token of a request (DESIGN.md 5.1).
 *
 * One mechanism for own endpoints and proxied requests; they differ in what they ask of it. */
#ifndef TG_HANDLERS_BEARER_H
#define TG_HANDLERS_BEARER_H

#include "handlers/exchange.h"

/* The answer about a token: TG_OK with the caller's reference (NULL where no user is required), or
 * why not (TG_ENOTOKEN, TG_EBADTOKEN, TG_EEXPIRED, TG_EEARLY, TG_ERATE, TG_EAMBIGUOUS,
 * TG_EUNKNOWNKEY, TG_ENOTREADY; own endpoints also TG_ESIGNEDOUT). May come from inside the call,
 * or later when the signing keys are being fetched. Not called when the wait was cancelled. */
typedef void tg_bearer_fn(enum tg_rc rc, struct tg_token *token, void *arg);

struct tg_bearer_wait;

/* For own endpoints: a user's token, checked without any skew. `*ret_wait` is set while the answer
 * is outstanding; tg_bearer_cancel() ends the wait. */
void tg_bearer_user(struct tg_exchange *x, tg_bearer_fn *done, void *arg,
                    struct tg_bearer_wait **ret_wait);

/* For own endpoints that a browser opens without a header, and that may serve who is nobody: the
 * user of Authorization; else the user of `?ticket=`, which is spent (TG_ETICKET: it was, or it is
 * too old; TG_ESTORE, TG_EBUSY, TG_ETIMEDOUT: nobody can tell); else NULL for who brings the
 * project's public key in the field or the parameter `apikey` and nothing else (TG_ENOTOKEN,
 * TG_EBADKEY). */
void tg_bearer_caller(struct tg_exchange *x, tg_bearer_fn *done, void *arg,
                      struct tg_bearer_wait **ret_wait);

/* A user's token that came in a message: as tg_bearer_user. `address`: the client's, whose budget
 * pays. Texts [borrowed] for the call. */
void tg_bearer_text(struct tg_worker *w, tg_str address, tg_str text, tg_bearer_fn *done, void *arg,
                    struct tg_bearer_wait **ret_wait);

/* For proxied requests: what `policy` asks, with the configured skew. The project's own keys, and
 * any opaque key, are no users and pass where no user is required; so do schemes other than Bearer,
 * and HS* tokens when the gateway holds no secret to judge them by: the upstream does. */
void tg_bearer_route(struct tg_exchange *x, enum tg_policy policy, tg_bearer_fn *done, void *arg,
                     struct tg_bearer_wait **ret_wait);

/* For who watches a proxied request: the user that it names, with the configured skew, signed out
 * or not. */
void tg_bearer_watch(struct tg_worker *w, tg_str address, tg_str text, tg_bearer_fn *done,
                     void *arg, struct tg_bearer_wait **ret_wait);

/* The text of the user's token in Authorization, empty without one. TG_EAMBIGUOUS. */
enum tg_rc tg_bearer_read(const struct tg_exchange *x, tg_str *ret_text) TG_MUST_USE;

void tg_bearer_cancel(struct tg_bearer_wait *wait);

#endif
