/* jwks.c - a set of keys, built once and never changed.
 *
 * Few keys (two or three is usual, TG_KEYS_MAX at most), so a kid is found by walking. */
#include "auth/jwks.h"

#include <jansson.h>
#include <stdlib.h>

#include "auth/digest.h"
#include "auth/key.h"
#include "util/json.h"
#include "util/ref.h"

struct tg_keys {
    tg_ref ref;
    uint64_t generation;
    struct tg_key *secret; /* NULL: none */
    struct tg_key *keys[TG_KEYS_MAX];
    size_t n;
    size_t n_skipped;
};

static enum tg_rc add_entries(struct tg_keys *k, const json_t *entries)
{
    if (json_array_size(entries) > TG_KEYS_MAX) {
        return TG_ELIMIT;
    }
    for (size_t i = 0; i < json_array_size(entries); i++) {
        struct tg_key *key = NULL;

        if (tg_key_of_jwk(json_array_get(entries, i), &key) != TG_OK) {
            k->n_skipped++;
        } else if (tg_keys_find(k, tg_key_kid(key)) != NULL) {
            tg_key_destroy(key);
            k->n_skipped++;
        } else {
            k->keys[k->n++] = key;
        }
    }
    return TG_OK;
}

static enum tg_rc add_jwks(struct tg_keys *k, tg_str text)
{
    json_t *json = NULL;
    const json_t *entries = NULL;
    enum tg_rc rc = tg_json_parse(text, TG_JWKS_MAX_BYTES, &json);

    if (rc != TG_OK) {
        return rc;
    }
    entries = json_object_get(json, "keys");
    rc = json_is_array(entries) ? add_entries(k, entries) : TG_EBADJSON;
    json_decref(json);
    return rc;
}

static uint64_t generation_of(const struct tg_keys *k)
{
    uint64_t ids[TG_KEYS_MAX + 1] = {0};
    struct tg_sha256 digest;
    uint64_t generation = 0;

    ids[0] = k->secret == NULL ? 0 : tg_key_id(k->secret);
    for (size_t i = 0; i < k->n; i++) {
        ids[i + 1] = tg_key_id(k->keys[i]);
    }
    digest = tg_sha256(tg_str_make((const char *)ids, (k->n + 1) * sizeof(ids[0])));
    memcpy(&generation, digest.b, sizeof(generation));
    return generation == 0 ? 1 : generation;
}

enum tg_rc tg_keys_create(tg_str secret, tg_str jwks, struct tg_keys **ret_keys)
{
    struct tg_keys *k = TG_NEW(struct tg_keys);
    enum tg_rc rc = TG_OK;

    tg_ref_init(&k->ref);
    if (secret.n > 0) {
        k->secret = tg_key_of_secret(secret);
    }
    if (jwks.n > 0) {
        rc = add_jwks(k, jwks);
    }
    if (rc != TG_OK) {
        tg_keys_unref(k);
        return rc;
    }
    k->generation = generation_of(k);
    *ret_keys = k;
    return TG_OK;
}

enum tg_rc tg_keys_renew(const struct tg_keys *old, tg_str jwks, struct tg_keys **ret_keys)
{
    return tg_keys_create(old->secret == NULL ? TG_STR_NONE : tg_key_secret(old->secret), jwks,
                          ret_keys);
}

struct tg_keys *tg_keys_ref(struct tg_keys *k)
{
    tg_ref_take(&k->ref);
    return k;
}

void tg_keys_unref(struct tg_keys *k)
{
    if (k == NULL || !tg_ref_drop(&k->ref)) {
        return;
    }
    for (size_t i = 0; i < k->n; i++) {
        tg_key_destroy(k->keys[i]);
    }
    tg_key_destroy(k->secret);
    free(k);
}

uint64_t tg_keys_generation(const struct tg_keys *k)
{
    return k->generation;
}

bool tg_keys_has_secret(const struct tg_keys *k)
{
    return k->secret != NULL;
}

size_t tg_keys_n_public(const struct tg_keys *k)
{
    return k->n;
}

size_t tg_keys_n_skipped(const struct tg_keys *k)
{
    return k->n_skipped;
}

const struct tg_key *tg_keys_secret(const struct tg_keys *k)
{
    return k->secret;
}

const struct tg_key *tg_keys_find(const struct tg_keys *k, tg_str kid)
{
    for (size_t i = 0; i < k->n; i++) {
        if (tg_str_eq(tg_key_kid(k->keys[i]), kid)) {
            return k->keys[i];
        }
    }
    return NULL;
}

bool tg_keys_has_key(const struct tg_keys *k, uint64_t key_id)
{
    if (k->secret != NULL && tg_key_id(k->secret) == key_id) {
        return true;
    }
    for (size_t i = 0; i < k->n; i++) {
        if (tg_key_id(k->keys[i]) == key_id) {
            return true;
        }
    }
    return false;
}
