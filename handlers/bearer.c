/* bearer.c - reads Authorization, asks the memory, waits for keys; spends tickets.
 *
 *   text -> check --unknown key--> wait for keys -> check -> user? signed out? -> spend -> done
 *
 * What waits is a struct tg_bearer_wait with copies of the texts, the same one to the end. */
#include "handlers/bearer.h"

#include <stdlib.h>

#include "auth/alg.h"
#include "auth/b64url.h"
#include "auth/jwks.h"
#include "auth/token.h"
#include "handlers/deny.h"
#include "handlers/forward.h"
#include "handlers/jwks_fetch.h"
#include "handlers/ticket.h"
#include "util/json.h"

enum { MAX_HEADER_BYTES = 1024 };

/* Tickets are remembered as spent for longer than they live: gateways' clocks differ. */
#define SPENT_MARGIN TG_SEC(60)

struct ask {
    struct tg_worker *w;
    tg_str text;
    tg_str address;
    tg_str ticket; /* to be spent; empty: none */
    uint32_t skew_sec;
    bool needs_user;
    bool is_own; /* who has signed out is refused */
    tg_bearer_fn *done;
    void *arg;
    struct tg_bearer_wait **ret_wait;
};

/* Under way in the store; goes on without its wait when that was cancelled. */
struct spend {
    struct tg_bearer_wait *wait;
    struct tg_token *token;
};

struct tg_bearer_wait {
    struct tg_jwks_wait jwks;
    struct ask asked;
    struct spend *spend; /* NULL: it waits for keys */
    char texts[];
};

/* ---- what a request brings ---- */

static tg_str address_of(const struct tg_exchange *x)
{
    const struct tg_forward_peer peer = {tg_conn_peer(x->conn), tg_conn_peer_is_trusted(x->conn)};

    return tg_forward_client(x->req->head.fields, peer);
}

enum tg_rc tg_bearer_read(const struct tg_exchange *x, tg_str *ret_text)
{
    const struct tg_fields fields = x->req->head.fields;
    const struct tg_field *auth = tg_fields_find(fields, TG_STR("Authorization"));
    tg_str text = TG_STR_NONE;

    if (tg_fields_count(fields, TG_STR("Authorization")) > 1) {
        return TG_EAMBIGUOUS;
    }
    text = auth == NULL ? TG_STR_NONE : tg_apikey_user_token(auth->value);
    if (tg_apikey_door(&x->w->opts->keys, text) != TG_APIKEY_FOREIGN) {
        text = TG_STR_NONE;
    }
    *ret_text = text;
    return TG_OK;
}

/* The parameter `name`, which may stand there once; p == NULL: it does not. */
static enum tg_rc read_param(struct tg_exchange *x, tg_str name, tg_str *ret_value)
{
    tg_str found = TG_STR_NONE;
    tg_str param = TG_STR_NONE;
    tg_str value = TG_STR_NONE;
    size_t at = 0;
    enum tg_rc rc = TG_OK;

    while ((rc = tg_exchange_param(x, &at, &param, &value)) == TG_OK) {
        if (!tg_str_eq(param, name)) {
            continue;
        }
        if (found.p != NULL) {
            return TG_EAMBIGUOUS;
        }
        found = value;
    }
    *ret_value = found;
    return rc == TG_EEOF ? TG_OK : rc;
}

/* The project's public key and nothing else: nobody, but of this project. */
static enum tg_rc read_public_key(struct tg_exchange *x)
{
    const struct tg_fields fields = x->req->head.fields;
    const struct tg_field *auth = tg_fields_find(fields, TG_STR("Authorization"));
    const struct tg_field *field = tg_fields_find(fields, TG_STR("apikey"));
    const struct tg_apikeys *ours = &x->w->opts->keys;
    tg_str key = TG_STR_NONE;
    enum tg_rc rc = read_param(x, TG_STR("apikey"), &key);

    if (rc != TG_OK || tg_fields_count(fields, TG_STR("apikey")) > 1) {
        return rc != TG_OK ? rc : TG_EAMBIGUOUS;
    }
    /* SDKs without a session send their key as a bearer too. */
    if (auth != NULL && tg_apikey_door(ours, tg_apikey_bearer(auth->value)) != TG_APIKEY_PUBLIC) {
        return TG_ENOTOKEN;
    }
    key = field != NULL ? field->value : key;
    if (key.n == 0) {
        return TG_ENOTOKEN;
    }
    switch (tg_apikey_door(ours, key)) {
    case TG_APIKEY_PUBLIC:
        return TG_OK;
    case TG_APIKEY_SERVICE:
        return TG_ENOTOKEN;
    case TG_APIKEY_FOREIGN:
        break;
    }
    return TG_EBADKEY;
}

/* An HS* token where no secret is configured: not good and not bad. */
static bool is_beyond_us(const struct tg_keys *keys, tg_str text)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf header = {.max = MAX_HEADER_BYTES};
    TG_CLEANUP(tg_buf_fini) struct tg_buf alg = {.max = MAX_HEADER_BYTES};
    tg_str value = TG_STR_NONE;
    tg_str first = tg_str_cut(&text, '.');

    return !tg_keys_has_secret(keys) && tg_b64url_decode(first, &header) == TG_OK &&
           tg_json_is_valid(tg_buf_view(&header)) &&
           tg_json_member(tg_buf_view(&header), "alg", &value) == TG_OK &&
           tg_json_unquote(value, &alg) == TG_OK && tg_alg_is_hmac(tg_alg_of(tg_buf_view(&alg)));
}

/* ---- waiting ---- */

static tg_str keep(char **at, tg_str s)
{
    char *p = *at;

    if (s.n > 0) {
        memcpy(p, s.p, s.n);
    }
    *at += s.n;
    return tg_str_make(p, s.n);
}

static struct tg_bearer_wait *new_wait(const struct ask *asked)
{
    struct tg_bearer_wait *wait =
        tg_calloc(1, sizeof(*wait) + asked->text.n + asked->address.n + asked->ticket.n + 1);
    char *at = wait->texts;

    wait->asked = *asked;
    wait->asked.text = keep(&at, asked->text);
    wait->asked.address = keep(&at, asked->address);
    wait->asked.ticket = keep(&at, asked->ticket);
    tg_list_init(&wait->jwks.node);
    return wait;
}

void tg_bearer_cancel(struct tg_bearer_wait *wait)
{
    if (wait->spend != NULL) {
        wait->spend->wait = NULL;
    } else {
        tg_jwks_fetch_cancel(&wait->jwks);
    }
    free(wait);
}

/* The end. Takes `wait` (may be NULL) and `token`. */
static void answer(const struct ask *asked, struct tg_bearer_wait *wait, enum tg_rc rc,
                   struct tg_token *token)
{
    tg_bearer_fn *done = asked->done;
    void *arg = asked->arg;

    free(wait);
    if (rc != TG_OK) {
        tg_token_unref(token);
        token = NULL;
    }
    done(rc, token, arg);
}

/* ---- the ticket ---- */

static void on_spent(enum tg_rc rc, void *arg)
{
    struct spend *s = arg;
    struct tg_bearer_wait *wait = s->wait;
    struct tg_token *token = s->token;

    free(s);
    if (wait == NULL) {
        tg_token_unref(token);
        return;
    }
    answer(&wait->asked, wait, rc == TG_ECONFLICT ? TG_ETICKET : tg_store_tell(rc), token);
}

/* TG_OK: under way. */
static enum tg_rc start_spend(const struct ask *asked, struct tg_bearer_wait *wait,
                              struct tg_token *token)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf key = {.max = 64};
    struct tg_store *store = tg_fanout_store(asked->w->fanout, NULL);
    struct spend *s = NULL;
    enum tg_rc rc = TG_ESTORE;

    (void)tg_buf_str(&key, TG_STR("ticket:"));
    (void)tg_buf_str(&key, asked->ticket);
    if (store == NULL) {
        return rc;
    }
    s = TG_NEW(struct spend);
    s->wait = wait;
    s->token = token;
    rc = tg_store_once(store, tg_buf_view(&key), asked->w->opts->ticket_life + SPENT_MARGIN,
                       on_spent, s);
    if (rc == TG_OK) {
        wait->spend = s;
    } else {
        free(s);
    }
    return rc;
}

/* ---- the check ---- */

static enum tg_rc check(const struct ask *asked, struct tg_token **ret_token)
{
    struct tg_worker *w = asked->w;
    const struct tg_token_opts opts = {.iss = w->opts->issuer,
                                       .aud = w->opts->audience,
                                       .skew_sec = asked->skew_sec,
                                       .now = tg_clock_wall_us()};
    enum tg_rc rc = tg_auth_check(w->auth, w->keys, asked->text, asked->address, &opts, ret_token);

    if (rc != TG_OK) {
        return rc;
    }
    if (asked->needs_user && !(*ret_token)->has_user) {
        rc = TG_ENOTOKEN;
    } else if (asked->is_own && w->deny != NULL &&
               tg_deny_has(w->deny, *ret_token, (int64_t)(opts.now / TG_SEC(1)))) {
        rc = TG_ESIGNEDOUT;
    }
    if (rc != TG_OK) {
        tg_token_unref(*ret_token);
    }
    return rc;
}

/* With the check's answer. Takes `wait` (NULL: nothing has been waited for) and `token`. */
static void conclude(const struct ask *asked, struct tg_bearer_wait *wait, enum tg_rc rc,
                     struct tg_token *token)
{
    if (rc == TG_OK && asked->ticket.n > 0) {
        bool is_new = wait == NULL;

        wait = is_new ? new_wait(asked) : wait;
        rc = start_spend(&wait->asked, wait, token);
        if (rc == TG_OK) {
            if (is_new) {
                *asked->ret_wait = wait;
            }
            return;
        }
        asked = &wait->asked;
    }
    answer(asked, wait, rc, token);
}

static void on_keys(struct tg_jwks_wait *jwks, enum tg_rc rc)
{
    struct tg_bearer_wait *wait = TG_CONTAINER_OF(jwks, struct tg_bearer_wait, jwks);
    struct tg_token *token = NULL;

    if (rc == TG_OK) {
        rc = check(&wait->asked, &token);
    }
    conclude(&wait->asked, wait, rc, rc == TG_OK ? token : NULL);
}

/* What is asked of a token, once it is known to be one. */
static void ask(const struct ask *asked)
{
    struct tg_token *token = NULL;
    enum tg_rc rc = check(asked, &token);

    if (rc == TG_EUNKNOWNKEY && asked->w->jwks != NULL) {
        struct tg_bearer_wait *wait = new_wait(asked);

        wait->jwks.done = on_keys;
        rc = tg_jwks_fetch_unknown(asked->w, &wait->jwks);
        if (rc == TG_EAGAIN) {
            *asked->ret_wait = wait;
            return;
        }
        free(wait);
    }
    conclude(asked, NULL, rc, rc == TG_OK ? token : NULL);
}

/* ---- who asks ---- */

static struct ask own_ask(struct tg_worker *w, tg_str address, tg_bearer_fn *done, void *arg,
                          struct tg_bearer_wait **ret_wait)
{
    *ret_wait = NULL;
    return (struct ask){.w = w,
                        .address = address,
                        .needs_user = true,
                        .is_own = true,
                        .done = done,
                        .arg = arg,
                        .ret_wait = ret_wait};
}

void tg_bearer_user(struct tg_exchange *x, tg_bearer_fn *done, void *arg,
                    struct tg_bearer_wait **ret_wait)
{
    struct ask asked = own_ask(x->w, address_of(x), done, arg, ret_wait);
    enum tg_rc rc = tg_bearer_read(x, &asked.text);

    if (rc == TG_OK && asked.text.n == 0) {
        rc = TG_ENOTOKEN;
    }
    if (rc != TG_OK) {
        done(rc, NULL, arg);
        return;
    }
    ask(&asked);
}

void tg_bearer_caller(struct tg_exchange *x, tg_bearer_fn *done, void *arg,
                      struct tg_bearer_wait **ret_wait)
{
    struct ask asked = own_ask(x->w, address_of(x), done, arg, ret_wait);
    struct tg_ticket ticket = {TG_STR_NONE, TG_STR_NONE};
    tg_str text = TG_STR_NONE;
    enum tg_rc rc = tg_bearer_read(x, &asked.text);

    if (rc == TG_OK && asked.text.n == 0) {
        rc = read_param(x, TG_STR("ticket"), &text);
        if (rc == TG_OK && text.n > 0) {
            rc = tg_ticket_open(x->w->opts, text, tg_clock_wall_us(), &x->req->arena, &ticket);
            asked.text = ticket.token;
            asked.ticket = ticket.id;
        } else if (rc == TG_OK) {
            rc = read_public_key(x);
        }
    }
    if (rc != TG_OK || asked.text.n == 0) {
        done(rc, NULL, arg);
        return;
    }
    ask(&asked);
}

void tg_bearer_text(struct tg_worker *w, tg_str address, tg_str text, tg_bearer_fn *done, void *arg,
                    struct tg_bearer_wait **ret_wait)
{
    struct ask asked = own_ask(w, address, done, arg, ret_wait);

    asked.text = text;
    ask(&asked);
}

void tg_bearer_watch(struct tg_worker *w, tg_str address, tg_str text, tg_bearer_fn *done,
                     void *arg, struct tg_bearer_wait **ret_wait)
{
    struct ask asked = own_ask(w, address, done, arg, ret_wait);

    asked.text = text;
    asked.is_own = false;
    asked.skew_sec = w->opts->skew_sec;
    ask(&asked);
}

void tg_bearer_route(struct tg_exchange *x, enum tg_policy policy, tg_bearer_fn *done, void *arg,
                     struct tg_bearer_wait **ret_wait)
{
    struct ask asked = own_ask(x->w, address_of(x), done, arg, ret_wait);
    enum tg_rc rc = TG_OK;

    asked.is_own = false;
    asked.skew_sec = x->w->opts->skew_sec;
    asked.needs_user = policy == TG_TOKEN_REQUIRE;
    if (policy != TG_TOKEN_OFF) {
        rc = tg_bearer_read(x, &asked.text);
    }
    if (rc == TG_OK && asked.text.n == 0 && asked.needs_user) {
        rc = TG_ENOTOKEN;
    }
    if (rc != TG_OK || asked.text.n == 0 ||
        (!asked.needs_user && is_beyond_us(x->w->keys, asked.text))) {
        done(rc, NULL, arg);
        return;
    }
    ask(&asked);
}
