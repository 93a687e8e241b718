/* session.h - sign-outs: seen by the proxy, told to the group, and what they forbid here
 * (DESIGN.md 5).
 *
 *   proxy --tg_signout_answered--> deny list of the store, control entry --> every worker of every
 *   gateway: streams end with `bye` signed_out; the session's tokens are refused on own endpoints
 *
 * What cannot be written is done for this gateway's own workers at once, and tried again until the
 * tokens in question have expired. */
#ifndef TG_HANDLERS_SESSION_H
#define TG_HANDLERS_SESSION_H

#include "handlers/exchange.h"

struct tg_control;
struct tg_sessions;

/* Of one worker, which gets its `deny`; on its loop. */
struct tg_sessions *tg_sessions_create(struct tg_worker *w);
/* Before the loop's last turn; again is fine. */
void tg_sessions_stop(struct tg_sessions *s);
void tg_sessions_destroy(struct tg_sessions *s); /* NULL is fine */

/* What another worker or gateway, or this one, has said (handlers/control.h). */
void tg_session_on_end(struct tg_worker *w, const struct tg_control *c);
/* Something may have been said that did not come: the list is read again. */
void tg_session_on_missed(struct tg_worker *w);

/* A request that may be a sign-out; NULL if it is none, or nobody's. To be given to exactly one of
 * the two below; the exchange may be gone by then. */
struct tg_signout;
struct tg_signout *tg_signout_begin(struct tg_exchange *x);
/* What Auth said. */
void tg_signout_answered(struct tg_signout *so, unsigned status);
void tg_signout_drop(struct tg_signout *so); /* NULL is fine */

#endif
