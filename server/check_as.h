/* check_as.h - `tidegate --check --as <token>`: what the topics would show this user, against what
 * the database shows him, and what is missing, with the SQL that fixes it.
 *
 * A line for each thing:
 *
 *   finding <code> <topic or table>: <sentence>. Fix: <SQL>
 *   warning <code> <topic or table>: <sentence>
 *   note <code> <topic or table>: <sentence>
 *
 * The codes are stable and stand in docs/OPERATIONS.md. Blocks until it is done; for a process that
 * does nothing else. */
#ifndef TG_SERVER_CHECK_AS_H
#define TG_SERVER_CHECK_AS_H

#include "util/buf.h"

struct tg_config;
struct tg_declare;

/* A user's token? It is not verified: the project does that. TG_EBADTOKEN: `err` says why not. */
enum tg_rc tg_check_as_token(const char *token, struct tg_buf *err) TG_MUST_USE;

/* Appends the lines to `out`. TG_OK: all was asked, and *ret_findings are the lines that begin with
 * `finding`. Else `err` says why nothing could be asked. */
enum tg_rc tg_check_as(const struct tg_config *cfg, const struct tg_declare *declare,
                       const char *token, struct tg_buf *out, struct tg_buf *err,
                       size_t *ret_findings) TG_MUST_USE;

#endif
