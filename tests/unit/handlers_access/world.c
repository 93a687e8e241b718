/* world.c - see world.h. These stand where the linker would take realtime's streams and fanout,
 * lib/upstream, and the relay between workers; handlers_worker/stand.c has the rest. */
#include "world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "auth/token.h"
#include "handlers/control.h"
#include "util/map.h"

enum { PASS_STEPS = 20 };

struct world world;

static struct tg_template *question;
static struct tg_template *public_question;
static struct tg_declared declared[2];
static const struct tg_declared_list topics = {declared, 2};
static struct {
    tg_access_fn *fn;
    void *arg;
} listeners[WORKERS];

/* ---- streams ---- */

/* A stream is its reader here. */
static struct reader *reader_of(struct tg_stream *s)
{
    return (struct reader *)(void *)s;
}

void tg_stream_hold(struct tg_stream *s, enum tg_hold why)
{
    cr_assert_eq(why, TG_HOLD_ACCESS);
    cr_assert_not(reader_of(s)->is_held);
    reader_of(s)->is_held = true;
    reader_of(s)->n_holds++;
}

void tg_stream_release(struct tg_stream *s, enum tg_hold why)
{
    cr_assert_eq(why, TG_HOLD_ACCESS);
    cr_assert(reader_of(s)->is_held);
    reader_of(s)->is_held = false;
}

void tg_stream_revoke(struct tg_stream *s, tg_str name, tg_str message)
{
    struct reader *r = reader_of(s);

    cr_assert_gt(message.n, 0);
    r->n_revoked++;
    (void)snprintf(r->revoked, sizeof(r->revoked), "%.*s", TG_STR_ARG(name));
}

bool tg_stream_tell(struct tg_stream *s, struct tg_frame *f)
{
    struct reader *r = reader_of(s);

    (void)snprintf(r->told, sizeof(r->told), "%.*s", TG_STR_ARG(tg_frame_sse(f)));
    tg_frame_unref(f);
    return true;
}

void tg_client_tables_fini(struct tg_client_tables *t)
{
    (void)t;
}

/* ---- the hub ---- */

void tg_fanout_on_access(struct tg_fanout *f, tg_access_fn *fn, void *arg)
{
    const struct tg_worker *w = (const void *)f;

    listeners[w->index].fn = fn;
    listeners[w->index].arg = arg;
}

bool tg_fanout_is_watched(const struct tg_fanout *f, tg_str name)
{
    (void)f;
    (void)name;
    return world.is_watched;
}

void hear(unsigned k, const char *key, const char *user, tg_usec at)
{
    const struct tg_access_word word = {TG_STR("trip"), tg_str_of(key), tg_str_of(user), at};

    listeners[k].fn(&word, listeners[k].arg);
}

void hear_all(const char *key, const char *user)
{
    fake_now++;
    for (unsigned k = 0; k < world.n; k++) {
        hear(k, key, user, fake_now);
    }
}

/* ---- the other workers ---- */

size_t tg_control_n_peers(const struct tg_worker *w)
{
    (void)w;
    return world.n;
}

struct tg_worker *tg_control_peer(const struct tg_worker *w, size_t index)
{
    (void)w;
    return index < world.n ? &world.workers[index] : NULL;
}

/* ---- upstream ---- */

enum tg_rc tg_upstream_fetch(struct tg_upstream *up, const struct tg_call_request *req, tg_str body,
                             size_t max_bytes, tg_fetch_fn *done, void *arg)
{
    const struct tg_worker *w = (const void *)up;
    struct asked *a = &world.asked[world.n_asked];

    cr_assert_lt(world.n_asked, (size_t)MAX_ASKED);
    cr_assert(body.n == 0 && max_bytes > 0);
    if (world.fetch_rc != TG_OK) {
        return world.fetch_rc;
    }
    *a = (struct asked){.worker = w->index, .done = done, .arg = arg, .at = fake_now};
    put(a->target, sizeof(a->target), req->target);
    for (size_t i = 0; i < req->n_fields; i++) {
        if (tg_str_eq(req->fields[i].name, TG_STR("Authorization"))) {
            put(a->bearer, sizeof(a->bearer), req->fields[i].value);
        }
    }
    world.n_asked++;
    return TG_OK;
}

static void say(struct asked *a, enum tg_rc rc, unsigned status, const char *body)
{
    a->is_answered = true;
    a->done(rc, status, tg_str_of(body), a->arg);
}

static struct asked *oldest(void)
{
    for (size_t i = 0; i < world.n_asked; i++) {
        if (!world.asked[i].is_answered) {
            return &world.asked[i];
        }
    }
    return NULL;
}

void postgrest_says(unsigned status, const char *body)
{
    world_turn(0);
    cr_assert_not_null(oldest(), "nothing is asked");
    say(oldest(), TG_OK, status, body);
    world_turn(0);
}

void postgrest_is_away(void)
{
    world_turn(0);
    cr_assert_not_null(oldest(), "nothing is asked");
    say(oldest(), TG_EUPSTREAM, 0, "");
    world_turn(0);
}

void postgrest_says_all(const char *body)
{
    world_turn(0);
    while (oldest() != NULL) {
        postgrest_says(200, body);
    }
}

void cr_assert_asked(size_t n)
{
    world_turn(0);
    cr_assert_eq(world.n_asked, n, "%zu questions", world.n_asked);
}

/* ---- questions ---- */

struct tg_token *token_of(const char *sub, unsigned life_sec)
{
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    const struct tg_token_opts opts = {.now = TG_SEC(fake_now_sec)};
    struct tg_token *t = NULL;
    char claims[256];
    char *text = NULL;

    (void)snprintf(claims, sizeof(claims),
                   "{\"sub\":\"%s\",\"iss\":\"i\",\"role\":\"authenticated\",\"exp\":%lld}", sub,
                   (long long)fake_now_sec + life_sec);
    text = mint_hs(claims);
    cr_assert_eq(tg_token_verify(keys, tg_str_of(text), &opts, &t), TG_OK);
    free(text);
    tg_keys_unref(keys);
    return t;
}

static struct tg_topic_name topic_of(const char *key, bool is_public)
{
    struct tg_topic_name name = {0};
    const char *why = NULL;
    char text[64];

    (void)snprintf(text, sizeof(text), "%s:%s", is_public ? "open" : "trip", key);
    cr_assert_eq(tg_topic_parse(&topics, tg_str_of(text), &name, &why), TG_OK, "%s", why);
    return name;
}

static void on_done(enum tg_rc rc, void *arg)
{
    struct ask *a = arg;

    a->n_done++;
    a->rc = rc;
    a->wait = NULL;
}

struct ask *may_read(unsigned k, const char *sub, const char *key, bool is_fresh)
{
    struct tg_token *token = sub == NULL ? NULL : token_of(sub, 3600);
    struct tg_topic_name name = topic_of(key, sub == NULL);
    const struct tg_access_question q = {.token = token, .name = &name, .is_fresh = is_fresh};
    struct ask *a = &world.asks[world.n_asks++];

    cr_assert_leq(world.n_asks, (size_t)MAX_ASKS);
    *a = (struct ask){.rc = TG_EAGAIN};
    a->now = tg_access_ask(world.workers[k].access, &q, on_done, a, &a->wait);
    cr_assert_eq(a->n_done, 0, "never from inside");
    tg_topic_fini(&name);
    tg_token_unref(token);
    return a;
}

enum tg_rc answer_of(const struct ask *a)
{
    cr_assert_eq(a->n_done, a->now == TG_EAGAIN && a->rc != TG_EAGAIN ? 1U : 0U);
    return a->now == TG_EAGAIN ? a->rc : a->now;
}

/* ---- readers ---- */

void reads_also(struct reader *r, const char *sub, const char *key)
{
    struct tg_token *token = token_of(sub, 3600);
    struct tg_topic_name name = topic_of(key, false);

    tg_access_follow(world.workers[r->worker].access, &r->client, token, &name);
    tg_topic_fini(&name);
    tg_token_unref(token);
}

struct reader *reads(unsigned k, const char *sub, const char *key)
{
    struct reader *r = &world.readers[world.n_readers++];

    cr_assert_leq(world.n_readers, (size_t)MAX_READERS);
    *r = (struct reader){.worker = k};
    r->client.stream = (struct tg_stream *)(void *)r;
    reads_also(r, sub, key);
    return r;
}

void leaves(struct reader *r)
{
    tg_access_leave(world.workers[r->worker].access, &r->client);
    r->client.stream = NULL;
}

/* ---- who asks ---- */

unsigned owner_of(const char *sub)
{
    struct tg_token *token = token_of(sub, 60);
    unsigned k = (unsigned)(tg_hash(tg_str_of(token->user_id)) % world.n);

    tg_token_unref(token);
    return k;
}

unsigned other_than(unsigned k)
{
    return (k + 1) % (unsigned)world.n;
}

/* ---- the world ---- */

static struct tg_template *template_of(const char *text)
{
    struct tg_template *t = NULL;
    const char *why = NULL;

    cr_assert_eq(tg_template_parse(tg_str_of(text), &t, &why), TG_OK, "%s", why);
    return t;
}

static void on_nudge(struct tg_timer *t)
{
    (void)t;
}

void world_make(size_t n)
{
    static const struct tg_table table = {0};
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);

    question = template_of("members?select=id&trip=eq.{key}&user=eq.{sub}");
    public_question = template_of("trips?select=id&id=eq.{key}");
    declared[0] = (struct tg_declared){.name = TG_STR("trip"),
                                       .authorize = question,
                                       .revoke_on = {.table = &table},
                                       .recheck = RECHECK};
    declared[1] = (struct tg_declared){.name = TG_STR("open"),
                                       .is_public = true,
                                       .authorize = public_question,
                                       .recheck = RECHECK};
    world = (struct world){.n = n, .is_watched = true};
    world.opts = (struct tg_handler_opts){.access_per_sec = 1000,
                                          .access_per_user = 1000,
                                          .access_waiting = 1000,
                                          .access_cache = 1000,
                                          .access_timeout = TG_SEC(10),
                                          .access_unwatched = TG_SEC(10),
                                          .access_grace = GRACE,
                                          .project_key = TG_STR("anon"),
                                          .upstream_authority = TG_STR("project")};
    for (unsigned k = 0; k < n; k++) {
        struct tg_worker *w = &world.workers[k];

        worker_make(w, k, &world.opts, keys);
        tg_timer_init(&world.nudges[k], on_nudge);
        w->fanout = (struct tg_fanout *)(void *)w;     /* never looked into */
        w->upstream = (struct tg_upstream *)(void *)w; /* nor that */
        w->access = tg_access_create(w);
    }
    tg_keys_unref(keys);
}

void world_end_worker(unsigned k)
{
    struct tg_worker *w = &world.workers[k];

    for (size_t i = 0; i < world.n_readers; i++) {
        if (world.readers[i].worker == k && world.readers[i].client.stream != NULL) {
            leaves(&world.readers[i]);
        }
    }
    for (size_t i = 0; i < world.n_asked; i++) {
        if (world.asked[i].worker == k && !world.asked[i].is_answered) {
            say(&world.asked[i], TG_ECANCELED, 0, "");
        }
    }
    tg_access_destroy(w->access);
    w->access = NULL;
    tg_loop_close_mail(w->loop);
}

void world_drop(void)
{
    for (unsigned k = 0; k < world.n; k++) {
        if (world.workers[k].access != NULL) {
            world_end_worker(k);
        }
    }
    for (unsigned k = 0; k < world.n; k++) {
        worker_drop(&world.workers[k]);
    }
    tg_template_destroy(question);
    tg_template_destroy(public_question);
}

void world_turn(unsigned ms)
{
    /* The loops wait for what is due next by the system's clock, of which no time passes here:
     * something is due at once. */
    for (size_t k = 0; k < world.n; k++) {
        if (world.workers[k].access != NULL) {
            tg_loop_timer_start(world.workers[k].loop, &world.nudges[k], 0);
        }
    }
    fake_now += TG_MS(ms);
    /* A question goes, and its answer comes: to whichever of the workers. */
    for (size_t i = 0; i < (world.n == 1 ? 1 : 3 * world.n); i++) {
        const struct tg_worker *w = &world.workers[i % world.n];

        if (w->access != NULL) {
            turn(w->loop);
        }
    }
}

void world_pass(unsigned ms)
{
    for (unsigned i = 0; i < PASS_STEPS; i++) {
        world_turn(ms / PASS_STEPS);
    }
}
