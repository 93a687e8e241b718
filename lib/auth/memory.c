/* memory.c - what a worker remembers of the tokens it has seen.
 *
 * Two tables keyed by the SHA-256 of the whole text. `known`: the signature holds; times,
 * issuer, audience and role are checked at every use, because routes ask differently.
 * `failed`: the text can never pass with these keys. A text is in at most one of them.
 * A small index by the end of the text leads to the known without a digest: who polls, asks with
 * the same text again and again.
 *
 *            open, prove ok                       expired for good
 *   (new) ---------------------> known ------------------------------> failed EEXPIRED
 *     | not ok                     | its key has left the snapshot         |
 *     v                            v                                       v 30 s
 *   failed EBADTOKEN            (forgotten)                           (forgotten)
 *   failed EUNKNOWNKEY --- keys refreshed, still unknown ---> failed EBADTOKEN */
#include "auth/memory.h"

#include <stdlib.h>

#include "auth/budget.h"
#include "auth/jwks.h"
#include "auth/lru.h"
#include "util/map.h"

enum {
    DEFAULT_TOKENS = 4096,
    DEFAULT_FAILED = 4096,
    DEFAULT_ADDRESSES = 4096,
    DEFAULT_CHECKS_PER_SEC = 20,
    DEFAULT_CHECKS_BURST = 100,
    FAILED_SECONDS = 30,
    RECENT = 1024, /* a power of two */
    TAIL_BYTES = 32,
};

struct known {
    struct tg_lru_node node;
    struct tg_token *token;
    struct tg_auth *auth; /* which remembers it */
    uint64_t tail;        /* tail_of() its text */
    uint64_t generation;  /* of the snapshot in which its key was last seen */
};

struct failed {
    struct tg_lru_node node;
    enum tg_rc rc;
    uint64_t generation;  /* of the snapshot with which it failed */
    uint64_t n_refreshes; /* of the keys, before it failed */
    tg_usec until;
};

struct tg_auth {
    struct known *recent[RECENT]; /* by tail: who asks often is found without a digest */
    struct tg_lru known;
    struct tg_lru failed;
    struct tg_budget budget;
    uint64_t n_refreshes;
    struct tg_auth_counts counts;
};

/* ---- recent texts ---- */

/* Of the signature's last characters: keyed, so nobody learns from how long a comparison took
 * without having them. */
static uint64_t tail_of(tg_str text)
{
    return tg_hash(tg_str_skip(text, text.n - TG_MIN(text.n, (size_t)TAIL_BYTES)));
}

static struct known **place_of(struct tg_auth *a, uint64_t tail)
{
    return &a->recent[tail & (RECENT - 1)];
}

/* The whole text decides, as its digest would. */
static struct known *find_recent(struct tg_auth *a, tg_str text)
{
    uint64_t tail = tail_of(text);
    struct known *k = *place_of(a, tail);

    return k != NULL && k->tail == tail && tg_str_eq(k->token->text, text) ? k : NULL;
}

/* ---- the two tables ---- */

static void drop_known(struct tg_lru_node *node)
{
    struct known *k = TG_CONTAINER_OF(node, struct known, node);

    if (*place_of(k->auth, k->tail) == k) {
        *place_of(k->auth, k->tail) = NULL;
    }
    tg_token_unref(k->token);
    free(k);
}

static void drop_failed(struct tg_lru_node *node)
{
    free(TG_CONTAINER_OF(node, struct failed, node));
}

static void remember(struct tg_auth *a, const struct tg_sha256 *key, const struct tg_keys *keys,
                     struct tg_token *t)
{
    struct known *k = TG_NEW(struct known);

    k->node.key = *key;
    k->auth = a;
    k->tail = tail_of(t->text);
    k->token = tg_token_ref(t);
    k->generation = tg_keys_generation(keys);
    tg_count_add(&a->counts.evicted, tg_lru_put(&a->known, &k->node));
    *place_of(a, k->tail) = k;
}

static void remember_failed(struct tg_auth *a, const struct tg_sha256 *key,
                            const struct tg_keys *keys, enum tg_rc rc, tg_usec now)
{
    struct failed *f = TG_NEW(struct failed);

    f->node.key = *key;
    f->rc = rc;
    f->generation = tg_keys_generation(keys);
    f->n_refreshes = a->n_refreshes;
    f->until = now + TG_SEC(FAILED_SECONDS);
    tg_count_add(&a->counts.evicted, tg_lru_put(&a->failed, &f->node));
}

/* Whether the keys still have the one that it was proved with; forgets it otherwise. */
static bool is_still_known(struct tg_auth *a, struct known *k, const struct tg_keys *keys)
{
    if (k->generation != tg_keys_generation(keys)) {
        if (!tg_keys_has_key(keys, k->token->key_id)) {
            tg_lru_remove(&a->known, &k->node);
            return false;
        }
        k->generation = tg_keys_generation(keys);
    }
    return true;
}

/* NULL: not known, or no longer. */
static struct known *find_known(struct tg_auth *a, const struct tg_sha256 *key,
                                const struct tg_keys *keys)
{
    struct tg_lru_node *node = tg_lru_find(&a->known, key);
    struct known *k = NULL;

    if (node == NULL) {
        return NULL;
    }
    k = TG_CONTAINER_OF(node, struct known, node);
    return is_still_known(a, k, keys) ? k : NULL;
}

static enum tg_rc use_known(struct tg_auth *a, struct known *k, const struct tg_keys *keys,
                            const struct tg_token_opts *opts, struct tg_token **ret_token)
{
    enum tg_rc rc = tg_token_check(k->token, opts);

    tg_count_add(&a->counts.hits, 1);
    if (rc == TG_OK) {
        *ret_token = tg_token_ref(k->token);
    } else if (tg_token_is_expired(k->token, opts->now, TG_TOKEN_MAX_SKEW_SEC)) {
        remember_failed(a, &k->node.key, keys, rc, opts->now);
        tg_lru_remove(&a->known, &k->node);
    }
    return rc;
}

/* NULL: not among the failed, or no longer. *ret_was_fetched_for: it was there for its unknown
 * kid, and the keys have been fetched since. */
static struct failed *find_failed(struct tg_auth *a, const struct tg_sha256 *key,
                                  const struct tg_keys *keys, tg_usec now,
                                  bool *ret_was_fetched_for)
{
    struct tg_lru_node *node = tg_lru_find(&a->failed, key);
    struct failed *f = NULL;

    if (node == NULL) {
        return NULL;
    }
    f = TG_CONTAINER_OF(node, struct failed, node);
    /* Over, or a clock that was set back. */
    if (now >= f->until || f->until - now > TG_SEC(FAILED_SECONDS)) {
        tg_lru_remove(&a->failed, node);
        return NULL;
    }
    *ret_was_fetched_for = f->rc == TG_EUNKNOWNKEY && f->n_refreshes != a->n_refreshes;
    /* With other keys it may pass. And what was fetched for is looked at once more. */
    if (f->generation != tg_keys_generation(keys) || *ret_was_fetched_for) {
        tg_lru_remove(&a->failed, node);
        return NULL;
    }
    return f;
}

/* The costly way, for a text that is not remembered. */
static enum tg_rc verify(struct tg_auth *a, const struct tg_keys *keys, tg_str text, tg_str address,
                         const struct tg_token_opts *opts, struct tg_token **ret_token)
{
    struct tg_token_parts parts;
    enum tg_rc rc = tg_token_open(keys, text, &parts);

    if (rc != TG_OK) {
        tg_count_add(&a->counts.unknown, rc == TG_EUNKNOWNKEY);
        return rc;
    }
    if (!tg_budget_take(&a->budget, address, opts->now)) {
        tg_count_add(&a->counts.refused, 1);
        return TG_ERATE;
    }
    tg_count_add(&a->counts.checks, 1);
    return tg_token_prove(&parts, ret_token);
}

/* [takes] t, whose signature holds: to be remembered, and handed out if it passes. */
static enum tg_rc take_verified(struct tg_auth *a, const struct tg_sha256 *key,
                                const struct tg_keys *keys, struct tg_token *t,
                                const struct tg_token_opts *opts, struct tg_token **ret_token)
{
    enum tg_rc rc = tg_token_check(t, opts);

    if (tg_token_is_expired(t, opts->now, TG_TOKEN_MAX_SKEW_SEC)) {
        remember_failed(a, key, keys, rc, opts->now);
    } else {
        remember(a, key, keys, t);
    }
    if (rc != TG_OK) {
        tg_token_unref(t);
        return rc;
    }
    *ret_token = t;
    return TG_OK;
}

enum tg_rc tg_auth_check(struct tg_auth *a, const struct tg_keys *keys, tg_str text, tg_str address,
                         const struct tg_token_opts *opts, struct tg_token **ret_token)
{
    struct tg_sha256 key;
    struct known *k = NULL;
    struct failed *f = NULL;
    struct tg_token *t = NULL;
    bool was_fetched_for = false;
    enum tg_rc rc = TG_EBADTOKEN;

    TG_ASSERT(opts->skew_sec <= TG_TOKEN_MAX_SKEW_SEC);
    if (text.n > TG_TOKEN_MAX_BYTES) {
        return TG_EBADTOKEN;
    }
    k = find_recent(a, text);
    if (k != NULL && is_still_known(a, k, keys)) {
        tg_lru_touch(&a->known, &k->node);
        return use_known(a, k, keys, opts, ret_token);
    }
    key = tg_sha256(text);
    k = find_known(a, &key, keys);
    if (k != NULL) {
        *place_of(a, k->tail) = k;
        return use_known(a, k, keys, opts, ret_token);
    }
    f = find_failed(a, &key, keys, opts->now, &was_fetched_for);
    if (f != NULL) {
        tg_count_add(&a->counts.failed_hits, 1);
        return f->rc;
    }
    rc = verify(a, keys, text, address, opts, &t);
    if (rc == TG_OK) {
        return take_verified(a, &key, keys, t, opts, ret_token);
    }
    if (rc == TG_EUNKNOWNKEY && was_fetched_for) {
        rc = TG_EBADTOKEN;
    }
    if (rc != TG_ERATE) {
        remember_failed(a, &key, keys, rc, opts->now);
    }
    return rc;
}

void tg_auth_keys_refreshed(struct tg_auth *a)
{
    a->n_refreshes++;
}

const struct tg_auth_counts *tg_auth_counts(const struct tg_auth *a)
{
    return &a->counts;
}

static size_t or_default(size_t n, size_t otherwise)
{
    return n == 0 ? otherwise : n;
}

struct tg_auth *tg_auth_create(const struct tg_auth_limits *limits)
{
    struct tg_auth *a = TG_NEW(struct tg_auth);

    tg_lru_init(&a->known, or_default(limits->max_tokens, DEFAULT_TOKENS), drop_known);
    tg_lru_init(&a->failed, or_default(limits->max_failed, DEFAULT_FAILED), drop_failed);
    tg_budget_init(&a->budget, or_default(limits->max_addresses, DEFAULT_ADDRESSES),
                   (uint32_t)or_default(limits->checks_per_sec, DEFAULT_CHECKS_PER_SEC),
                   (uint32_t)or_default(limits->checks_burst, DEFAULT_CHECKS_BURST));
    return a;
}

void tg_auth_destroy(struct tg_auth *a)
{
    if (a == NULL) {
        return;
    }
    tg_lru_fini(&a->known);
    tg_lru_fini(&a->failed);
    tg_budget_fini(&a->budget);
    free(a);
}
