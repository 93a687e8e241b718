/* ticket.h - POST /sync/v1/ticket: a user's token in a form that may stand in a URL, for clients
 * that cannot set a header (EventSource, a browser's WebSocket).
 *
 * A ticket is the token and a number, sealed until a few seconds from now. Every gateway of the
 * group can open it; the store sees to it that it is used once. */
#ifndef TG_HANDLERS_TICKET_H
#define TG_HANDLERS_TICKET_H

#include "handlers/exchange.h"

enum { TG_TICKET_ID_CHARS = 32 };

/* Appends a ticket of `token`, the text of a JWT. TG_ELIMIT. */
enum tg_rc tg_ticket_make(const struct tg_handler_opts *o, tg_str token, tg_usec now,
                          struct tg_buf *out) TG_MUST_USE;

/* What is in a ticket. Texts live in the arena. TG_EBADTOKEN: not ours; TG_ETICKET: too old. */
struct tg_ticket {
    tg_str id; /* TG_TICKET_ID_CHARS */
    tg_str token;
};
enum tg_rc tg_ticket_open(const struct tg_handler_opts *o, tg_str text, tg_usec now,
                          struct tg_arena *arena, struct tg_ticket *ret_ticket) TG_MUST_USE;

/* The endpoint. */
void tg_ticket_start(struct tg_exchange *x);

#endif
