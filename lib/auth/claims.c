/* claims.c - reads the claims and makes the two names that are derived from them: the
 * authorization class and the user's identity (DESIGN.md §3).
 *
 * Equal claims give equal classes whatever the order of members: the canonical text is
 * compact JSON with sorted keys. Every part of a hash is preceded by its length, so no two
 * lists of parts read alike. */
#include "auth/claims.h"

#include <jansson.h>
#include <stdlib.h>

#include "auth/b64url.h"
#include "auth/digest.h"
#include "auth/token.h"
#include "util/buf.h"
#include "util/json.h"

/* Seconds beyond which a time is as good as never: keeps sums far from overflow. */
#define MAX_SECONDS INT64_C(9000000000000)

enum { CLASS_BYTES = TG_CLASS_ID_CHARS / 2, MAX_CANONICAL_BYTES = 8 * TG_TOKEN_MAX_BYTES };

/* What may differ between two tokens of one class. */
static const char *const volatile_claims[] = {"exp", "iat", "nbf", "jti", "session_id"};

/* The claim's text; empty when it is missing or null. */
static enum tg_rc read_text(const json_t *claims, const char *name, tg_str *ret_text)
{
    const json_t *v = json_object_get(claims, name);

    if (v == NULL || json_is_null(v)) {
        *ret_text = TG_STR("");
        return TG_OK;
    }
    if (!json_is_string(v)) {
        return TG_EBADTOKEN;
    }
    *ret_text = tg_str_make(json_string_value(v), json_string_length(v));
    return TG_OK;
}

/* Which way a decimal goes. Down is towards zero: before 1970 all has expired anyway. */
enum rounding { ROUND_DOWN, ROUND_UP };

static int64_t whole_seconds(double t, enum rounding rounding)
{
    int64_t whole = (int64_t)t;

    return rounding == ROUND_UP && (double)whole < t ? whole + 1 : whole;
}

/* A NumericDate (RFC 7519 §2): whole or decimal. Rounded so that the token is valid for no
 * longer than it says. Missing leaves *seconds as it is. */
static enum tg_rc read_time(const json_t *claims, const char *name, enum rounding rounding,
                            int64_t *seconds)
{
    const json_t *v = json_object_get(claims, name);
    double real = json_real_value(v);

    if (v == NULL) {
        return TG_OK;
    }
    if (json_is_integer(v)) {
        *seconds = json_integer_value(v);
    } else if (json_is_real(v) && real < (double)MAX_SECONDS && real > -(double)MAX_SECONDS) {
        *seconds = whole_seconds(real, rounding);
    } else {
        return TG_EBADTOKEN;
    }
    *seconds = TG_MAX(TG_MIN(*seconds, MAX_SECONDS), -MAX_SECONDS);
    return TG_OK;
}

/* A text or a list of texts (RFC 7519 §4.1.3). */
static enum tg_rc read_auds(const json_t *claims, struct tg_token *t)
{
    const json_t *aud = json_object_get(claims, "aud");

    if (!json_is_array(aud)) {
        enum tg_rc rc = read_text(claims, "aud", &t->auds[0]);

        t->n_auds = rc == TG_OK && t->auds[0].n > 0 ? 1 : 0;
        return rc;
    }
    if (json_array_size(aud) > TG_TOKEN_MAX_AUDS) {
        return TG_EBADTOKEN;
    }
    for (size_t i = 0; i < json_array_size(aud); i++) {
        const json_t *v = json_array_get(aud, i);

        if (!json_is_string(v)) {
            return TG_EBADTOKEN;
        }
        t->auds[t->n_auds++] = tg_str_make(json_string_value(v), json_string_length(v));
    }
    return TG_OK;
}

static enum tg_rc read_fields(const json_t *claims, struct tg_token *t)
{
    t->exp_sec = INT64_MAX;
    t->nbf_sec = INT64_MIN;
    t->iat_sec = INT64_MIN;
    /* Says when, forbids nothing: one that is no time is as good as none. */
    if (read_time(claims, "iat", ROUND_DOWN, &t->iat_sec) != TG_OK) {
        t->iat_sec = INT64_MIN;
    }
    if (read_text(claims, "sub", &t->sub) != TG_OK || read_text(claims, "iss", &t->iss) != TG_OK ||
        read_text(claims, "role", &t->role) != TG_OK ||
        read_text(claims, "session_id", &t->session_id) != TG_OK || read_auds(claims, t) != TG_OK ||
        read_time(claims, "exp", ROUND_DOWN, &t->exp_sec) != TG_OK ||
        read_time(claims, "nbf", ROUND_UP, &t->nbf_sec) != TG_OK) {
        return TG_EBADTOKEN;
    }
    t->is_anonymous = json_is_true(json_object_get(claims, "is_anonymous"));
    t->has_user = t->sub.n > 0 && !tg_str_eq(t->role, TG_STR("service_role")) &&
                  !tg_str_eq(t->role, TG_STR("anon"));
    /* A user's token must end. The project's own keys may lack exp. */
    return t->sub.n > 0 && t->exp_sec == INT64_MAX ? TG_EBADTOKEN : TG_OK;
}

static void hash_parts(const tg_str *parts, size_t n, char out[TG_CLASS_ID_CHARS + 1])
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf b;
    struct tg_sha256 digest;

    tg_buf_init(&b, (size_t)MAX_CANONICAL_BYTES * 2);
    for (size_t i = 0; i < n; i++) {
        (void)tg_buf_u64(&b, parts[i].n);
        (void)tg_buf_char(&b, ':');
        (void)tg_buf_str(&b, parts[i]);
    }
    TG_ASSERT(tg_buf_rc(&b) == TG_OK);
    digest = tg_sha256(tg_buf_view(&b));
    tg_hex(digest.b, CLASS_BYTES, out);
}

/* Takes out of `claims` what changes from token to token of one class. */
static void strip_volatile(json_t *claims)
{
    json_t *amr = json_object_get(claims, "amr");

    for (size_t i = 0; i < TG_ARRAY_LEN(volatile_claims); i++) {
        (void)json_object_del(claims, volatile_claims[i]);
    }
    for (size_t i = 0; i < json_array_size(amr); i++) {
        (void)json_object_del(json_array_get(amr, i), "timestamp");
    }
}

static enum tg_rc make_names(json_t *claims, struct tg_token *t)
{
    tg_str parts[3] = {t->iss, t->sub, TG_STR_NONE};
    char *canonical = NULL;

    hash_parts(parts, 2, t->user_id);
    strip_volatile(claims);
    canonical = json_dumps(claims, JSON_SORT_KEYS | JSON_COMPACT);
    if (canonical == NULL || strlen(canonical) > MAX_CANONICAL_BYTES) {
        free(canonical);
        return TG_EBADTOKEN;
    }
    parts[2] = tg_str_of(canonical);
    hash_parts(parts, 3, t->class_id);
    free(canonical);
    return TG_OK;
}

static tg_str keep_text(char **at, tg_str s)
{
    char *p = *at;

    memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    *at += s.n + 1;
    return tg_str_make(p, s.n);
}

/* From texts that borrow from the JSON to texts that the token owns, in one block. */
static void keep_texts(struct tg_token *t, tg_str text)
{
    tg_str *const fields[] = {&t->sub, &t->iss, &t->role, &t->session_id};
    size_t total = text.n + 1;
    char *at = NULL;

    for (size_t i = 0; i < TG_ARRAY_LEN(fields); i++) {
        total += fields[i]->n + 1;
    }
    for (size_t i = 0; i < t->n_auds; i++) {
        total += t->auds[i].n + 1;
    }
    t->bytes = tg_malloc(total);
    at = t->bytes;
    t->text = keep_text(&at, text);
    for (size_t i = 0; i < TG_ARRAY_LEN(fields); i++) {
        *fields[i] = keep_text(&at, *fields[i]);
    }
    for (size_t i = 0; i < t->n_auds; i++) {
        t->auds[i] = keep_text(&at, t->auds[i]);
    }
}

enum tg_rc tg_claims_read(tg_str payload, tg_str text, struct tg_token *t)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf bytes;
    json_t *claims = NULL;
    enum tg_rc rc = TG_EBADTOKEN;

    tg_buf_init(&bytes, TG_TOKEN_MAX_BYTES);
    if (tg_b64url_decode(payload, &bytes) != TG_OK ||
        tg_json_parse(tg_buf_view(&bytes), TG_TOKEN_MAX_BYTES, &claims) != TG_OK) {
        return TG_EBADTOKEN;
    }
    if (json_is_object(claims) && read_fields(claims, t) == TG_OK) {
        /* In this order: making the names takes claims apart that the texts borrow from. */
        keep_texts(t, text);
        rc = make_names(claims, t);
    }
    json_decref(claims);
    return rc;
}
