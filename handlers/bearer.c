/* bearer.c - reads Authorization, asks the memory, waits for keys. */
#include "handlers/bearer.h"

#include <stdlib.h>

#include "auth/alg.h"
#include "auth/b64url.h"
#include "auth/jwks.h"
#include "auth/token.h"
#include "handlers/forward.h"
#include "handlers/jwks_fetch.h"
#include "util/json.h"

enum { MAX_HEADER_BYTES = 1024 };

struct tg_bearer_wait {
    struct tg_jwks_wait jwks;
    struct tg_exchange *x;
    tg_str text;
    uint32_t skew_sec;
    bool needs_user;
    tg_bearer_fn *done;
    void *arg;
};

/* ---- what stands in Authorization ---- */

static enum tg_rc read_token(const struct tg_exchange *x, tg_str *ret_text)
{
    const struct tg_fields fields = x->req->head.fields;
    const struct tg_field *auth = tg_fields_find(fields, TG_STR("Authorization"));

    if (tg_fields_count(fields, TG_STR("Authorization")) > 1) {
        return TG_EAMBIGUOUS;
    }
    *ret_text = auth == NULL ? TG_STR_NONE : tg_apikey_user_token(auth->value);
    if (tg_apikey_classify(&x->w->opts->keys, *ret_text).door != TG_APIKEY_FOREIGN) {
        *ret_text = TG_STR_NONE;
    }
    return TG_OK;
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

/* ---- the check ---- */

static enum tg_rc check(struct tg_exchange *x, tg_str text, uint32_t skew_sec,
                        struct tg_token **ret_token)
{
    struct tg_worker *w = x->w;
    const struct tg_forward_peer peer = {tg_conn_peer(x->conn), tg_conn_peer_is_trusted(x->conn)};
    const struct tg_token_opts opts = {.iss = w->opts->issuer,
                                       .aud = w->opts->audience,
                                       .skew_sec = skew_sec,
                                       .now = tg_clock_wall_us()};

    return tg_auth_check(w->auth, w->keys, text, tg_forward_client(x->req->head.fields, peer),
                         &opts, ret_token);
}

static void answer(enum tg_rc rc, struct tg_token *token, bool needs_user, tg_bearer_fn *done,
                   void *arg)
{
    if (rc == TG_OK && needs_user && !token->has_user) {
        tg_token_unref(token);
        token = NULL;
        rc = TG_ENOTOKEN;
    }
    done(rc, token, arg);
}

static void on_keys(struct tg_jwks_wait *jwks, enum tg_rc rc)
{
    struct tg_bearer_wait *wait = TG_CONTAINER_OF(jwks, struct tg_bearer_wait, jwks);
    const struct tg_bearer_wait copy = *wait;
    struct tg_token *token = NULL;

    free(wait);
    if (rc == TG_OK) {
        rc = check(copy.x, copy.text, copy.skew_sec, &token);
    }
    answer(rc, token, copy.needs_user, copy.done, copy.arg);
}

/* What is asked of a token, once it is known to be one. */
static void ask(const struct tg_bearer_wait *asked, struct tg_bearer_wait **ret_wait)
{
    struct tg_token *token = NULL;
    enum tg_rc rc = check(asked->x, asked->text, asked->skew_sec, &token);

    if (rc == TG_EUNKNOWNKEY && asked->x->w->jwks != NULL) {
        struct tg_bearer_wait *wait = tg_memdup(asked, sizeof(*asked));

        tg_list_init(&wait->jwks.node);
        wait->jwks.done = on_keys;
        rc = tg_jwks_fetch_unknown(asked->x->w, &wait->jwks);
        if (rc == TG_EAGAIN) {
            *ret_wait = wait;
            return;
        }
        free(wait);
    }
    answer(rc, token, asked->needs_user, asked->done, asked->arg);
}

void tg_bearer_user(struct tg_exchange *x, tg_bearer_fn *done, void *arg,
                    struct tg_bearer_wait **ret_wait)
{
    struct tg_bearer_wait asked = {.x = x, .needs_user = true, .done = done, .arg = arg};
    enum tg_rc rc = read_token(x, &asked.text);

    *ret_wait = NULL;
    if (rc == TG_OK && asked.text.n == 0) {
        rc = TG_ENOTOKEN;
    }
    if (rc != TG_OK) {
        done(rc, NULL, arg);
        return;
    }
    ask(&asked, ret_wait);
}

void tg_bearer_route(struct tg_exchange *x, enum tg_policy policy, tg_bearer_fn *done, void *arg,
                     struct tg_bearer_wait **ret_wait)
{
    struct tg_bearer_wait asked = {.x = x,
                                   .skew_sec = x->w->opts->skew_sec,
                                   .needs_user = policy == TG_TOKEN_REQUIRE,
                                   .done = done,
                                   .arg = arg};
    enum tg_rc rc = TG_OK;

    *ret_wait = NULL;
    if (policy != TG_TOKEN_OFF) {
        rc = read_token(x, &asked.text);
    }
    if (rc == TG_OK && asked.text.n == 0 && asked.needs_user) {
        rc = TG_ENOTOKEN;
    }
    if (rc != TG_OK || asked.text.n == 0 ||
        (!asked.needs_user && is_beyond_us(x->w->keys, asked.text))) {
        done(rc, NULL, arg);
        return;
    }
    ask(&asked, ret_wait);
}

void tg_bearer_cancel(struct tg_bearer_wait *wait)
{
    tg_jwks_fetch_cancel(&wait->jwks);
    free(wait);
}
