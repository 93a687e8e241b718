/* ws_int.h - what the modules of a WebSocket share. Not for anybody else.
 *
 *   ws.c          the handshake, the socket, the stream's side, the end
 *   ws_message.c  what the client says, in JSON, and the answers
 *   ws_ack.c      its acknowledgements
 *   ws_rows.c     a table's rows before its changes */
#ifndef TG_HANDLERS_WS_INT_H
#define TG_HANDLERS_WS_INT_H

#include "auth/token.h"
#include "handlers/admission.h"
#include "handlers/client.h"
#include "ws/parser.h"

struct tg_access_wait;
struct tg_device_touch;
struct tg_snapshot;
struct tg_bearer_wait;
struct ws_early;
struct ws_end;

/* Held against 256 bytes by a test: with its connection and its stream an idle WebSocket has
 * 1,024. What is rare or short stands behind pointers. */
struct ws {
    struct tg_client client; /* its stream: NULL: not yet, or over */
    struct tg_conn *conn;
    struct tg_admission *a; /* NULL once the socket is raw */
    struct tg_token *token; /* NULL: anonymous */
    char *device;           /* [owned] NULL: none */
    struct ws_early *early; /* what came behind the request; NULL: nothing */
    struct ws_end *end;     /* the closing handshake; NULL: open */
    struct ws_ask *asks;    /* the client's questions that are not answered */
    struct ws_ask *rows;    /* that whose rows are being read; NULL: none */
    struct tg_snapshot *snapshot;
    tg_usec paid_until; /* what the client has said so far, by its rate */
    uint32_t last_ask;
    uint8_t n_asks;
    uint8_t n_topics; /* with those that are being asked for */
    uint8_t n_silent; /* heartbeats without a byte from the client */
    bool was_heard;   /* since the last one */
    struct tg_ws_parser parser;
};

/* A question that waits for somebody. It is taken off the socket's list before it is answered,
 * because an answer may end everything. */
struct ws_ask {
    struct ws_ask *next;
    struct ws *e; /* NULL: the client has left, the store has not answered yet */
    tg_id id;
    struct tg_device_touch *touch;
    struct tg_bearer_wait *wait;
    struct tg_access_wait *access;
    struct tg_topic_name topic; /* of a subscribe */
    struct tg_stream_want want;
    char *key;        /* [owned] rows first, in the order of this column; NULL: no rows */
    char *failed;     /* [owned] why its resume failed: it begins anew, with rows */
    char *members;    /* [owned] of its `ok`, which waits for the first rows */
    char *cursor;     /* [owned] where its topic began */
    bool is_for_rows; /* its topic works and waits for its rows, or they are being told */
    bool is_told;     /* `ok` was said */
    bool is_added;    /* its topic is the stream's by this question */
    bool is_subscribe;
    bool has_cursor;    /* the client said where to begin */
    bool is_with_store; /* an ack: freed by its completion */
    size_t n_ref;
    char ref[];
};

/* ws.c */
static inline struct tg_worker *ws_worker(const struct ws *e)
{
    return tg_conn_server_arg(e->conn);
}
/* Whose device it is. */
static inline tg_str ws_user(const struct ws *e)
{
    return e->token == NULL ? TG_STR("anon") : tg_str_of(e->token->user_id);
}
/* A text message before what comes next. It is dropped, and the socket closed, where too many wait
 * already: the client does not read. */
void ws_say(struct ws *e, tg_str json);
/* The client broke a rule: the socket is closed with `code`. `why`: one word for the log. */
void ws_fail(struct ws *e, enum tg_ws_code code, const char *why);

/* ws_message.c */
/* `is_over_rate`: it is told so, and nothing is done. */
void ws_on_message(struct ws *e, tg_str text, bool is_over_rate);
/* The op of its stream. */
void ws_on_topic(struct tg_stream *s, const struct tg_stream_topic *t, enum tg_rc rc,
                 tg_str message, tg_id ref, void *arg);
/* Nobody waits for answers any more. */
void ws_drop_asks(struct ws *e);

/* `members`: more of the answer's object, ",..." or empty. */
void ws_say_ok(struct ws *e, tg_str ref, tg_str members);
/* `details`: a sentence, may be empty. */
void ws_say_error(struct ws *e, tg_str ref, enum tg_rc rc, tg_str details);
/* The text of a member; empty where there is none. TG_EBADPARAM: it is something else. */
enum tg_rc ws_read_text(tg_str json, const char *name, struct tg_buf *out);

struct ws_ask *ws_new_ask(struct ws *e, tg_str ref);
/* Answer and free. */
void ws_finish_ok(struct ws_ask *ask, tg_str members);
void ws_finish_error(struct ws_ask *ask, enum tg_rc rc, tg_str details);
/* One that is off its list. */
void ws_free_ask(struct ws_ask *ask);

/* Takes it off its list and frees it, with no answer. */
void ws_drop_ask(struct ws_ask *ask);
/* The members of a subscribe's `ok`. */
enum { WS_MAX_ANSWER_BYTES = 16 * 1024 };
void ws_put_verdict(struct tg_buf *out, const struct tg_stream_topic *t);

/* ws_ack.c */
void ws_ack(struct ws *e, tg_str json, tg_str ref);

/* ws_rows.c */
/* Its topic works: are there rows to be told first? */
bool ws_rows_are_wanted(const struct ws_ask *ask, const struct tg_stream_topic *t);
/* They are: `ok` comes with the first of them. Takes `ask`. */
void ws_rows_begin(struct ws_ask *ask, const struct tg_stream_topic *t);
/* The topic of `ask` leaves the stream; ws_rows_next() follows. True: its `ok` was said, and `ask`
 * is gone. */
bool ws_rows_leave(struct ws_ask *ask);
/* Whose turn is it? Nobody's: the stream goes on. */
void ws_rows_next(struct ws *e);
/* The stream is over. */
void ws_rows_cancel(struct ws *e);

#endif
