/* keys_race.c - many threads share two snapshots of keys and a token, each with a memory of its
 * own; whichever thread ends last frees them. For ThreadSanitizer. */
#include <pthread.h>
#include <stdlib.h>

#include "auth/jwks.h"
#include "auth/memory.h"

enum { THREADS = 4, ROUNDS = 300 };

/* HS256, secret "tidegate-race"; {"sub":"u","role":"authenticated","exp":4000000000} */
static const char token[] =
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1Iiwicm9sZSI6ImF1dGhlbnRpY2F0ZWQiLCJleHAiOjQwMDA"
    "wMDAwMDB9.oGUTGuuejHl950uHegxqGxRyvYqJOHxB5X9kHgdnm4I";

/* ES256 by the key below, kid "k1"; the same claims. */
static const char es_token[] =
    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImsxIn0.eyJzdWIiOiJ1Iiwicm9sZSI6ImF1"
    "dGhlbnRpY2F0ZWQiLCJleHAiOjQwMDAwMDAwMDB9.tKldgAvQpGD82oLWEgNMnBuUclqs46YjMtm37BG"
    "C3x720bPHhOeDDRfBOvpw1EYjGTppMqLCpxP5A0pGerEu5g";
static const char jwks[] =
    "{\"keys\":[{\"kid\":\"k1\",\"use\":\"sig\",\"key_ops\":[\"verify\"],\"alg\":\"ES"
    "256\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"Jwm8APetnEesSQDtDOos8MVY7IVAtxslf"
    "CalUC6VERg\",\"y\":\"rpNDa6Ic_HFEpHFYQVO_rvg3mITvh4YSFJGq4XVCa-I\"}]}";

/* A thread's references to what all share: read only, but for the counts of holders. */
struct shared {
    struct tg_keys *keys;
    struct tg_keys *next;
    struct tg_token *token;
};

static void check(struct tg_auth *a, const struct tg_keys *keys, const char *text)
{
    const struct tg_token_opts opts = {.now = TG_SEC(1790000000)};
    struct tg_token *t = NULL;

    TG_ASSERT(tg_auth_check(a, keys, tg_str_of(text), TG_STR("192.0.2.1"), &opts, &t) == TG_OK);
    TG_ASSERT(t->has_user && tg_str_eq(t->sub, TG_STR("u")));
    tg_token_unref(t);
}

static void drop(struct shared *s)
{
    tg_token_unref(s->token);
    tg_keys_unref(s->next);
    tg_keys_unref(s->keys);
}

static void *work(void *arg)
{
    struct shared *s = arg;
    const struct tg_auth_limits limits = {.checks_burst = 10 * ROUNDS};

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct tg_auth *a = tg_auth_create(&limits);
        struct tg_keys *keys = tg_keys_ref(i % 2 == 0 ? s->keys : s->next);
        struct tg_token *t = tg_token_ref(s->token);

        /* A fresh memory: the signatures are checked anew, on the shared keys. */
        check(a, keys, token);
        check(a, keys, es_token);
        check(a, keys, es_token);
        TG_ASSERT(t->n_auds == 0);
        tg_token_unref(t);
        tg_keys_unref(keys);
        tg_auth_destroy(a);
    }
    drop(s);
    return NULL;
}

int main(void)
{
    const struct tg_token_opts opts = {.now = TG_SEC(1790000000)};
    struct shared s = {NULL, NULL, NULL};
    struct shared theirs[THREADS];
    pthread_t threads[THREADS];

    TG_ASSERT(tg_keys_create(TG_STR("tidegate-race"), TG_STR(jwks), &s.keys) == TG_OK);
    TG_ASSERT(tg_keys_renew(s.keys, TG_STR(jwks), &s.next) == TG_OK);
    TG_ASSERT(tg_token_verify(s.keys, TG_STR(es_token), &opts, &s.token) == TG_OK);
    for (size_t i = 0; i < THREADS; i++) {
        theirs[i] =
            (struct shared){tg_keys_ref(s.keys), tg_keys_ref(s.next), tg_token_ref(s.token)};
        TG_ASSERT(pthread_create(&threads[i], NULL, work, &theirs[i]) == 0);
    }
    drop(&s);
    for (size_t i = 0; i < THREADS; i++) {
        TG_ASSERT(pthread_join(threads[i], NULL) == 0);
    }
    return 0;
}
