/* cors.h - what browsers may do and read (DESIGN.md 5.2, reference/supabase-http.md 11.2). Pure. */
#ifndef TG_HANDLERS_CORS_H
#define TG_HANDLERS_CORS_H

#include "handlers/worker.h"
#include "util/arena.h"

/* The fields of the gateway's own answers, so that a browser can read them: at most
 * TG_CORS_OWN_MAX. `origin`: the request's, may be empty. Returns how many. */
enum { TG_CORS_OWN_MAX = 3, TG_CORS_PREFLIGHT_MAX = 5 };
size_t tg_cors_own(const struct tg_handler_opts *opts, tg_str origin, struct tg_field *out,
                   size_t max);

/* Whether this origin is listed (or all are). */
bool tg_cors_is_allowed(const struct tg_handler_opts *opts, tg_str origin);

/* Whether a WebSocket may be opened by a page of this origin (p == NULL: no page). Browsers ask
 * nobody before they do, and hide nothing afterwards: a page that is not listed is refused. */
bool tg_cors_may_connect(const struct tg_handler_opts *opts, tg_str origin);

/* Whether a browser asks if it may send the request proper (Fetch: CORS-preflight). */
bool tg_cors_is_preflight(const struct tg_head *head);

/* The fields of the answer to a preflight of an allowed origin. Without configured origins (own
 * endpoints only) every origin is. */
size_t tg_cors_preflight(const struct tg_handler_opts *opts, tg_str origin, struct tg_arena *arena,
                         struct tg_field *out, size_t max);

#endif
