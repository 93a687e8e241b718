/* token.c - verifies a JWT in three steps: open, prove, check (see token.h).
 *
 * Invariant: no library is given a token before its header was read here and its algorithm
 * found to be the very one of the key (DESIGN.md §5.1). */
#include "auth/token.h"

#include <jansson.h>
#include <stdlib.h>

#include "auth/b64url.h"
#include "auth/claims.h"
#include "auth/jwks.h"
#include "auth/key.h"
#include "util/buf.h"
#include "util/json.h"

enum { MAX_HEADER_BYTES = 1024 };

struct header {
    enum tg_alg alg;
    json_t *json;
    tg_str kid; /* borrowed from json; empty: none */
};

static tg_str text_of(const json_t *v)
{
    return json_is_string(v) ? tg_str_make(json_string_value(v), json_string_length(v))
                             : TG_STR_NONE;
}

/* What only a header that we understand says. `crit` names extensions that must be
 * understood (RFC 7515 §4.1.11): there is none that we do. */
static bool read_header_members(struct header *h)
{
    const json_t *kid = json_object_get(h->json, "kid");

    if (!json_is_object(h->json) || json_object_get(h->json, "crit") != NULL ||
        (kid != NULL && !json_is_string(kid))) {
        return false;
    }
    h->alg = tg_alg_of(text_of(json_object_get(h->json, "alg")));
    h->kid = text_of(kid);
    return h->alg != TG_ALG_NONE;
}

static enum tg_rc read_header(tg_str text, struct header *h)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf bytes;

    tg_buf_init(&bytes, MAX_HEADER_BYTES);
    if (tg_b64url_decode(text, &bytes) != TG_OK ||
        tg_json_parse(tg_buf_view(&bytes), MAX_HEADER_BYTES, &h->json) != TG_OK) {
        return TG_EBADTOKEN;
    }
    return read_header_members(h) ? TG_OK : TG_EBADTOKEN;
}

static enum tg_rc choose_key(const struct tg_keys *keys, const struct header *h,
                             const struct tg_key **ret_key)
{
    const struct tg_key *key = NULL;

    if (tg_alg_is_hmac(h->alg)) {
        /* Whatever kid it names: a symmetric key is never published, so there is only one. */
        key = tg_keys_secret(keys);
    } else if (h->kid.n > 0) {
        key = tg_keys_find(keys, h->kid);
        if (key == NULL) {
            return TG_EUNKNOWNKEY;
        }
    }
    if (key == NULL || !tg_key_takes(key, h->alg)) {
        return TG_EBADTOKEN;
    }
    *ret_key = key;
    return TG_OK;
}

enum tg_rc tg_token_open(const struct tg_keys *keys, tg_str text, struct tg_token_parts *ret_parts)
{
    struct tg_token_parts parts = {.keys = keys, .text = text};
    struct header h = {0};
    tg_str rest = text;
    tg_str head = TG_STR_NONE;
    enum tg_rc rc = TG_EBADTOKEN;

    if (text.n > TG_TOKEN_MAX_BYTES) {
        return TG_EBADTOKEN;
    }
    head = tg_str_cut(&rest, '.');
    parts.payload = tg_str_cut(&rest, '.');
    parts.signature = rest;
    if (head.n == 0 || parts.payload.n == 0 || rest.n == 0 || tg_str_find(rest, '.') != rest.n) {
        return TG_EBADTOKEN;
    }
    rc = read_header(head, &h);
    if (rc == TG_OK) {
        parts.alg = h.alg;
        rc = choose_key(keys, &h, &parts.key);
    }
    json_decref(h.json);
    if (rc == TG_OK) {
        *ret_parts = parts;
    }
    return rc;
}

enum tg_rc tg_token_prove(const struct tg_token_parts *parts, struct tg_token **ret_token)
{
    struct tg_token *t = NULL;
    enum tg_rc rc = tg_key_verify(parts->key, parts->alg, parts->text, parts->signature);

    if (rc != TG_OK) {
        return rc;
    }
    t = TG_NEW(struct tg_token);
    tg_ref_init(&t->ref);
    t->key_id = tg_key_id(parts->key);
    rc = tg_claims_read(parts->payload, parts->text, t);
    if (rc != TG_OK) {
        tg_token_unref(t);
        return rc;
    }
    *ret_token = t;
    return TG_OK;
}

static bool is_among(tg_str s, const tg_str *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (tg_str_eq(s, list[i])) {
            return true;
        }
    }
    return false;
}

bool tg_token_is_expired(const struct tg_token *t, tg_usec now, uint32_t skew_sec)
{
    return t->exp_sec != INT64_MAX && (int64_t)(now / TG_SEC(1)) >= t->exp_sec + skew_sec;
}

enum tg_rc tg_token_check(const struct tg_token *t, const struct tg_token_opts *opts)
{
    bool is_project_key =
        tg_str_eq(t->role, TG_STR("anon")) || tg_str_eq(t->role, TG_STR("service_role"));

    if (!is_project_key && ((opts->iss.n > 0 && !tg_str_eq(opts->iss, t->iss)) ||
                            (opts->aud.n > 0 && !is_among(opts->aud, t->auds, t->n_auds)))) {
        return TG_EBADTOKEN;
    }
    if (opts->n_roles > 0 && !is_among(t->role, opts->roles, opts->n_roles)) {
        return TG_EBADTOKEN;
    }
    if (tg_token_is_expired(t, opts->now, opts->skew_sec)) {
        return TG_EEXPIRED;
    }
    if (t->nbf_sec != INT64_MIN && (int64_t)(opts->now / TG_SEC(1)) + opts->skew_sec < t->nbf_sec) {
        return TG_EEARLY;
    }
    return TG_OK;
}

enum tg_rc tg_token_verify(const struct tg_keys *keys, tg_str text,
                           const struct tg_token_opts *opts, struct tg_token **ret_token)
{
    struct tg_token_parts parts;
    struct tg_token *t = NULL;
    enum tg_rc rc = tg_token_open(keys, text, &parts);

    if (rc == TG_OK) {
        rc = tg_token_prove(&parts, &t);
    }
    if (rc == TG_OK) {
        rc = tg_token_check(t, opts);
    }
    if (rc != TG_OK) {
        tg_token_unref(t);
        return rc;
    }
    *ret_token = t;
    return TG_OK;
}

struct tg_token *tg_token_ref(struct tg_token *t)
{
    tg_ref_take(&t->ref);
    return t;
}

void tg_token_unref(struct tg_token *t)
{
    if (t != NULL && tg_ref_drop(&t->ref)) {
        free(t->bytes);
        free(t);
    }
}
