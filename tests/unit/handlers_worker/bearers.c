/* bearers.c - see bearers.h. */
#include "bearers.h"

#include <stdlib.h>

#include "auth/jwks.h"
#include "auth/token.h"

void bearer_begin_with(struct given *g, struct tg_keys *keys)
{
    *g = (struct given){.key = mint_ec("P-256")};
    fleet_make(&g->fleet, 1, keys);
    fleet_turns(&g->fleet); /* the first fetch is under way */
    tg_keys_unref(keys);
    request_make(&g->r, TG_GET, "/sync/v1/stream");
}

void bearer_begin(struct given *g)
{
    bearer_begin_with(g, mint_keys(NULL, NULL, TG_ALG_NONE));
}

/* Takes `token`. */
void bearer_with(struct given *g, char *token)
{
    g->value = bearer(token);
    free(token);
    request_field(&g->r, "Authorization", g->value);
}

char *user_token(const char *more)
{
    char *claims = mint_claims(more);
    char *token = mint_hs(claims);

    free(claims);
    return token;
}

char *es_token(const struct given *g)
{
    char *claims = mint_claims("");
    char *token = mint_signed(TG_ALG_ES256, "k1", g->key, claims);

    free(claims);
    return token;
}

void bearer_on_answer(enum tg_rc rc, struct tg_token *token, void *arg)
{
    struct given *g = arg;

    g->n_answers++;
    g->rc = rc;
    g->has_token = token != NULL;
    g->has_user = token != NULL && token->has_user;
    tg_token_unref(token);
}

void answer_key(const struct given *g, const char *kid)
{
    char *jwk = mint_jwk(g->key, kid, TG_ALG_ES256);
    const char *const entries[] = {jwk};
    char *text = mint_jwks(entries, 1);

    fetch_seen.done(TG_OK, 200, tg_str_of(text), fetch_seen.arg);
    free(text);
    free(jwk);
}

void bearer_finish(struct given *g)
{
    request_drop(&g->r);
    fleet_drop(&g->fleet);
    EVP_PKEY_free(g->key);
    free(g->value);
}
