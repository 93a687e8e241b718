/* fuzz_token.c - any text as a token, as a JWKS and as claims: nothing verifies that was not
 * signed, what base64url takes has exactly one text, and claims that are read are whole.
 *
 * The first byte chooses what the rest is:
 *   even   a token, opened and verified with a secret and a JWKS of one key
 *   odd    a payload, put behind the signature check; and a JWKS */
#include <stdlib.h>

#include "auth/b64url.h"
#include "auth/claims.h"
#include "auth/jwks.h"
#include "auth/token.h"
#include "util/buf.h"

/* A P-256 point; nobody keeps its private key. */
static const char jwks[] =
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"k1\",\"use\":\"sig\","
    "\"x\":\"axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY\","
    "\"y\":\"T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU\"}]}";

static void check_base64(tg_str text)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf bytes;
    TG_CLEANUP(tg_buf_fini) struct tg_buf again;

    tg_buf_init(&bytes, 1U << 20U);
    tg_buf_init(&again, 1U << 20U);
    if (tg_b64url_decode(text, &bytes) == TG_OK) {
        TG_ASSERT(tg_b64url_encode(tg_buf_view(&bytes), &again) == TG_OK);
        TG_ASSERT(tg_str_eq(tg_buf_view(&again), text));
    }
}

static void check_token(tg_str text)
{
    const struct tg_token_opts opts = {.now = TG_SEC(1790000000)};
    struct tg_keys *keys = NULL;
    struct tg_token_parts parts;
    struct tg_token *t = NULL;
    enum tg_rc rc = TG_OK;

    TG_ASSERT(tg_keys_create(TG_STR("the fuzzer does not know this secret"), TG_STR(jwks), &keys) ==
              TG_OK);
    TG_ASSERT(tg_keys_n_public(keys) == 1);
    rc = tg_token_open(keys, text, &parts);
    TG_ASSERT(rc == TG_OK || rc == TG_EBADTOKEN || rc == TG_EUNKNOWNKEY);
    if (rc == TG_OK) {
        TG_ASSERT(parts.alg != TG_ALG_NONE && parts.key != NULL);
        TG_ASSERT(parts.signature.p + parts.signature.n == text.p + text.n);
    }
    rc = tg_token_verify(keys, text, &opts, &t);
    TG_ASSERT(t == NULL && (rc == TG_EBADTOKEN || rc == TG_EUNKNOWNKEY));
    tg_keys_unref(keys);
}

/* The texts of a token end in NUL and hold none: other parts of the program rely on it. */
static void check_text(tg_str s)
{
    TG_ASSERT(s.p != NULL && s.p[s.n] == '\0' && strlen(s.p) == s.n && tg_str_is_utf8(s));
}

static void check_claims(tg_str json)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf payload;
    struct tg_token *t = TG_NEW(struct tg_token);

    tg_buf_init(&payload, 1U << 21U);
    TG_ASSERT(tg_b64url_encode(json, &payload) == TG_OK);
    tg_ref_init(&t->ref);
    if (tg_claims_read(tg_buf_view(&payload), TG_STR("a.b.c"), t) == TG_OK) {
        check_text(t->text);
        check_text(t->sub);
        check_text(t->iss);
        check_text(t->role);
        check_text(t->session_id);
        TG_ASSERT(t->n_auds <= TG_TOKEN_MAX_AUDS);
        for (size_t i = 0; i < t->n_auds; i++) {
            check_text(t->auds[i]);
        }
        TG_ASSERT(!t->has_user || (t->sub.n > 0 && t->exp_sec != INT64_MAX));
        TG_ASSERT(strlen(t->class_id) == TG_CLASS_ID_CHARS);
        TG_ASSERT(strlen(t->user_id) == TG_CLASS_ID_CHARS);
        (void)tg_token_is_expired(t, UINT64_MAX, TG_TOKEN_MAX_SKEW_SEC);
    }
    tg_token_unref(t);
}

static void check_jwks(tg_str text)
{
    struct tg_keys *keys = NULL;

    if (tg_keys_create(TG_STR_NONE, text, &keys) == TG_OK) {
        TG_ASSERT(tg_keys_n_public(keys) + tg_keys_n_skipped(keys) <= TG_KEYS_MAX);
        TG_ASSERT(!tg_keys_has_secret(keys) && tg_keys_generation(keys) != 0);
    }
    tg_keys_unref(keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    tg_str text = TG_STR_NONE;

    if (n == 0) {
        return 0;
    }
    text = tg_str_make((const char *)data + 1, n - 1);
    check_base64(text);
    if (data[0] % 2 == 0) {
        check_token(text);
    } else {
        check_claims(text);
        check_jwks(text);
    }
    return 0;
}
