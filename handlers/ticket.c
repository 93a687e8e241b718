/* ticket.c - makes tickets and opens them; bearer.c looks at what is in them. */
#include "handlers/ticket.h"

#include <stdlib.h>

#include "auth/digest.h"
#include "auth/seal.h"
#include "auth/token.h"
#include "handlers/bearer.h"
#include "handlers/cors.h"

enum {
    ID_BYTES = TG_TICKET_ID_CHARS / 2,
    MAX_CONTENT = TG_TICKET_ID_CHARS + TG_TOKEN_MAX_BYTES,
    MAX_BODY = TG_SEAL_CHARS(MAX_CONTENT) + 64,
    MAX_FIELDS = TG_CORS_OWN_MAX + 3,
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

struct asker {
    struct tg_exchange *x;
    struct tg_bearer_wait *wait;
};

static void on_gone(struct tg_conn *c, enum tg_rc why, void *ctx)
{
    struct asker *a = ctx;

    (void)c;
    (void)why;
    if (a->wait != NULL) {
        tg_bearer_cancel(a->wait);
    }
    free(a);
}

static void answer(struct tg_exchange *x, const struct tg_token *token)
{
    const struct tg_handler_opts *o = x->w->opts;
    TG_CLEANUP(tg_buf_fini) struct tg_buf body = {.max = MAX_BODY};
    struct tg_field fields[MAX_FIELDS];
    struct tg_answer a = {.status = 200};
    size_t n = tg_cors_own(o, x->origin, fields, TG_CORS_OWN_MAX);

    (void)tg_buf_str(&body, TG_STR("{\"ticket\":\""));
    if (tg_ticket_make(o, token->text, tg_clock_wall_us(), &body) == TG_OK) {
        (void)tg_buf_printf(&body, "\",\"expires_in\":%llu}",
                            (unsigned long long)(o->ticket_life / TG_SEC(1)));
    }
    if (tg_buf_rc(&body) != TG_OK) {
        tg_exchange_refuse(x, TG_EINTERNAL, TG_STR(""), TG_STR(""));
        return;
    }
    fields[n++] = (struct tg_field){TG_STR("Content-Type"), TG_STR("application/json")};
    fields[n++] = (struct tg_field){TG_STR("Cache-Control"), TG_STR("no-store")};
    fields[n++] = (struct tg_field){TG_STR("X-Request-Id"), x->id};
    a.fields = (struct tg_fields){fields, n};
    a.length = (int64_t)body.n;
    tg_count_add(&x->w->counts.tickets, 1);
    tg_conn_answer(x->conn, &a, tg_buf_view(&body));
}

static void on_token(enum tg_rc rc, struct tg_token *token, void *arg)
{
    struct asker *a = arg;

    a->wait = NULL;
    if (rc == TG_OK) {
        answer(a->x, token);
    } else {
        tg_exchange_refuse(a->x, rc, TG_STR(""), TG_STR(""));
    }
    tg_token_unref(token);
}

void tg_ticket_start(struct tg_exchange *x)
{
    /* Nothing is wanted in a body; what comes is read and dropped. */
    static const struct tg_request_handler handler = {.on_gone = on_gone};
    struct asker *a = TG_NEW(struct asker);

    a->x = x;
    tg_conn_set_handler(x->conn, &handler, a);
    tg_bearer_user(x, on_token, a, &a->wait);
}
