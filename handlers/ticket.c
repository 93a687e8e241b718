/* ticket.c - makes tickets and opens them; bearer.c looks at what is in them. */
#include "handlers/ticket.h"

#include "auth/digest.h"
#include "auth/seal.h"
#include "auth/token.h"
#include "handlers/own.h"

enum {
    ID_BYTES = TG_TICKET_ID_CHARS / 2,
    MAX_CONTENT = TG_TICKET_ID_CHARS + TG_TOKEN_MAX_BYTES,
    MAX_BODY = TG_SEAL_CHARS(MAX_CONTENT) + 64,
};

enum tg_rc tg_ticket_make(const struct tg_handler_opts *o, tg_str token, tg_usec now,
                          struct tg_buf *out)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf content = {.max = MAX_CONTENT};
    unsigned char id[ID_BYTES];
    char hex[TG_TICKET_ID_CHARS + 1];
    enum tg_rc rc = TG_OK;

    tg_random_bytes(id, sizeof(id));
    tg_hex(id, sizeof(id), hex);
    (void)tg_buf_append(&content, hex, TG_TICKET_ID_CHARS);
    (void)tg_buf_str(&content, token);
    rc = tg_buf_rc(&content);
    return rc == TG_OK
               ? tg_seal_wrap(o->ticket_seal, tg_buf_view(&content), now + o->ticket_life, out)
               : rc;
}

enum tg_rc tg_ticket_open(const struct tg_handler_opts *o, tg_str text, tg_usec now,
                          struct tg_arena *arena, struct tg_ticket *ret_ticket)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf content = {.max = MAX_CONTENT};
    enum tg_rc rc = tg_seal_unwrap(o->ticket_seal, text, now, &content);
    tg_str kept = TG_STR_NONE;

    if (rc != TG_OK) {
        return rc == TG_EEXPIRED ? TG_ETICKET : TG_EBADTOKEN;
    }
    if (content.n <= TG_TICKET_ID_CHARS) {
        return TG_EBADTOKEN;
    }
    kept = tg_arena_str(arena, tg_buf_view(&content));
    ret_ticket->id = tg_str_make(kept.p, TG_TICKET_ID_CHARS);
    ret_ticket->token = tg_str_skip(kept, TG_TICKET_ID_CHARS);
    return TG_OK;
}

/* ---- POST /sync/v1/ticket ---- */

static void run(struct tg_own *o)
{
    const struct tg_handler_opts *opts = o->x->w->opts;
    TG_CLEANUP(tg_buf_fini) struct tg_buf body = {.max = MAX_BODY};

    (void)tg_buf_str(&body, TG_STR("{\"ticket\":\""));
    if (tg_ticket_make(opts, o->token->text, tg_clock_wall_us(), &body) == TG_OK) {
        (void)tg_buf_printf(&body, "\",\"expires_in\":%llu}",
                            (unsigned long long)(opts->ticket_life / TG_SEC(1)));
    }
    if (tg_buf_rc(&body) != TG_OK) {
        tg_own_refuse(o, TG_EINTERNAL, TG_STR(""), TG_STR(""));
        return;
    }
    tg_count_add(&o->x->w->counts.tickets, 1);
    tg_own_answer(o, 200, tg_buf_view(&body));
}

void tg_ticket_start(struct tg_exchange *x)
{
    static const struct tg_own_kind kind = {.run = run};

    tg_own_start(x, &kind);
}
