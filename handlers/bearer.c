/* bearer.c - reads Authorization, asks the memory. */
#include "handlers/bearer.h"

#include "auth/token.h"

void tg_bearer_user(struct tg_exchange *x, tg_bearer_fn *done, void *arg,
                    struct tg_bearer_wait **ret_wait)
{
    struct tg_worker *w = x->w;
    const struct tg_fields fields = x->req->head.fields;
    const struct tg_field *auth = tg_fields_find(fields, TG_STR("Authorization"));
    const struct tg_token_opts opts = {
        .iss = w->opts->issuer, .aud = w->opts->audience, .skew_sec = 0, .now = tg_clock_wall_us()};
    struct tg_token *token = NULL;
    tg_str text = TG_STR_NONE;
    enum tg_rc rc = TG_OK;

    *ret_wait = NULL;
    if (tg_fields_count(fields, TG_STR("Authorization")) > 1) {
        done(TG_EAMBIGUOUS, NULL, arg);
        return;
    }
    text = auth == NULL ? TG_STR_NONE : tg_apikey_user_token(auth->value);
    if (text.n == 0) {
        done(TG_ENOTOKEN, NULL, arg);
        return;
    }
    rc = tg_auth_check(w->auth, w->keys, text, tg_conn_peer(x->conn), &opts, &token);
    if (rc == TG_OK && !token->has_user) {
        tg_token_unref(token);
        token = NULL;
        rc = TG_ENOTOKEN;
    }
    done(rc, token, arg);
}

void tg_bearer_cancel(struct tg_bearer_wait *wait)
{
    (void)wait;
}
