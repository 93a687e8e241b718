/* jwks_fetch.c - the fetch, and the mails that ask for it and tell its end.
 *
 * Invariant: who waits is on `waits` with the timer on; the timer answers when a mail was lost. */
#include "handlers/jwks_fetch.h"

#include <stdlib.h>

#include "auth/jwks.h"
#include "auth/jwks_policy.h"
#include "util/log.h"

#define FETCH_TIME TG_SEC(5) /* to the first byte */
#define WAIT_TIME TG_SEC(15) /* of a token, at most */
#define QUIET_TIME TG_SEC(1) /* between two asks that came to nothing */

struct tg_jwks_fetch {
    struct tg_worker *w;
    struct tg_jwks_fetch **all; /* by worker; shared, owned by the first */
    size_t n;
    struct tg_list waits;
    struct tg_timer wait_timer;
    bool has_asked;
    tg_usec quiet_until;
    enum tg_rc quiet_rc; /* the answer until then */
    uint64_t epoch;      /* of its keys: the fetches that gave some */
    /* Worker 0 only. */
    struct tg_jwks_policy policy;
    struct tg_timer tick;
    bool has_failed; /* the last fetch */
};

/* ---- waiting ---- */

static void tell_waits(struct tg_jwks_fetch *j, enum tg_rc rc)
{
    struct tg_list told;

    tg_loop_timer_stop(j->w->loop, &j->wait_timer);
    tg_list_init(&told);
    while (!tg_list_empty(&j->waits)) {
        struct tg_list *node = j->waits.next;

        tg_list_remove(node);
        tg_list_append(&told, node);
    }
    while (!tg_list_empty(&told)) {
        struct tg_jwks_wait *wait = TG_CONTAINER_OF(told.next, struct tg_jwks_wait, node);

        tg_list_remove(&wait->node);
        wait->done(wait, rc);
    }
}

static void on_wait_timeout(struct tg_timer *t)
{
    struct tg_jwks_fetch *j = TG_CONTAINER_OF(t, struct tg_jwks_fetch, wait_timer);

    j->has_asked = false;
    tell_waits(j, TG_ENOTREADY);
}

/* What a fetch, or its refusal, means for one worker. Takes `keys` (NULL: none). */
static void take_told(struct tg_jwks_fetch *j, enum tg_rc rc, struct tg_keys *keys, uint64_t epoch)
{
    if (keys != NULL) {
        j->epoch = epoch;
        tg_keys_unref(j->w->keys);
        j->w->keys = keys;
        tg_auth_keys_refreshed(j->w->auth);
    }
    j->has_asked = false;
    j->quiet_until = rc == TG_OK ? 0 : tg_loop_now(j->w->loop) + QUIET_TIME;
    j->quiet_rc = rc;
    tell_waits(j, rc);
}

struct told_mail {
    struct tg_mail mail;
    enum tg_rc rc;
    struct tg_keys *keys;
    uint64_t epoch;
};

static void drop_told(struct tg_mail *mail)
{
    struct told_mail *m = TG_CONTAINER_OF(mail, struct told_mail, mail);

    tg_keys_unref(m->keys);
    free(m);
}

static void on_told(struct tg_mail *mail, void *owner)
{
    struct told_mail *m = TG_CONTAINER_OF(mail, struct told_mail, mail);
    struct tg_worker *w = owner;

    take_told(w->jwks, m->rc, m->keys, m->epoch);
    free(m);
}

/* Lost when the box is full: whoever waits there has a timer, and the next fetch tells again. */
static void tell(struct tg_jwks_fetch *to, enum tg_rc rc, struct tg_keys *keys, uint64_t epoch)
{
    struct told_mail *m = TG_NEW(struct told_mail);

    m->mail.run = on_told;
    m->mail.drop = drop_told;
    m->rc = rc;
    m->keys = keys == NULL ? NULL : tg_keys_ref(keys);
    m->epoch = epoch;
    if (tg_loop_post(to->w->loop, &m->mail) != TG_OK) {
        drop_told(&m->mail);
    }
}

static void tell_all(struct tg_jwks_fetch *j, enum tg_rc rc, struct tg_keys *keys)
{
    uint64_t epoch = j->epoch + (keys == NULL ? 0 : 1);

    for (size_t i = 1; i < j->n; i++) {
        tell(j->all[i], rc, keys, epoch);
    }
    take_told(j, rc, keys == NULL ? NULL : tg_keys_ref(keys), epoch);
}

/* ---- fetching: worker 0 ---- */

static void set_tick(struct tg_jwks_fetch *j)
{
    tg_usec due = tg_jwks_policy_due(&j->policy);
    tg_usec now = tg_loop_now(j->w->loop);

    if (due != UINT64_MAX) {
        tg_loop_timer_start(j->w->loop, &j->tick, due > now ? due - now : 0);
    }
}

static void end_fetch(struct tg_jwks_fetch *j, enum tg_rc rc, struct tg_keys *keys)
{
    tg_usec now = tg_loop_now(j->w->loop);

    /* The jitter needs a number that differs between processes, nothing better. */
    tg_jwks_policy_done(&j->policy, now, rc == TG_OK, (uint32_t)tg_clock_wall_us());
    j->has_failed = rc != TG_OK;
    set_tick(j);
    tell_all(j, rc == TG_OK ? TG_OK : TG_ENOTREADY, keys);
}

static void on_fetched(enum tg_rc rc, unsigned status, tg_str body, void *arg)
{
    struct tg_jwks_fetch *j = arg;
    struct tg_keys *keys = NULL;

    if (rc == TG_OK && status != 200) {
        rc = TG_EUPSTREAM;
    }
    if (rc == TG_OK) {
        /* To lib/auth an empty text means a project without public keys. */
        rc = body.n == 0 ? TG_EBADJSON : tg_keys_renew(j->w->keys, body, &keys);
    }
    if (rc != TG_OK) {
        tg_count_add(&j->w->counts.jwks_failures, 1);
        tg_log(TG_LOG_WARN, "jwks_failed", TG_KZ("rc", tg_rc_name(rc)), TG_KN("status", status),
               TG_KZ("means", "the keys known before stay in use"));
    } else if (tg_keys_generation(keys) != tg_keys_generation(j->w->keys)) {
        tg_log(TG_LOG_INFO, "jwks", TG_KN("keys", tg_keys_n_public(keys)),
               TG_KN("skipped", tg_keys_n_skipped(keys)));
    }
    end_fetch(j, rc, keys);
    tg_keys_unref(keys);
}

static void fetch(struct tg_jwks_fetch *j)
{
    const struct tg_handler_opts *o = j->w->opts;
    const struct tg_upstream_field fields[] = {
        {TG_STR("Host"), o->upstream_authority},
        {TG_STR("Accept"), TG_STR("application/json")},
        {TG_STR("User-Agent"), TG_STR("tidegate")},
        {TG_STR("apikey"), o->project_key},
    };
    const struct tg_call_request req = {.method = TG_STR("GET"),
                                        .target = o->jwks_target,
                                        .fields = fields,
                                        .n_fields = TG_ARRAY_LEN(fields),
                                        .first_byte_timeout = FETCH_TIME,
                                        .service = "jwks"};
    enum tg_rc rc = TG_OK;

    tg_count_add(&j->w->counts.jwks_fetches, 1);
    rc = tg_upstream_fetch(j->w->upstream, &req, TG_STR(""), TG_JWKS_MAX_BYTES, on_fetched, j);
    if (rc != TG_OK) {
        tg_count_add(&j->w->counts.jwks_failures, 1);
        end_fetch(j, rc, NULL);
    }
}

static void on_tick(struct tg_timer *t)
{
    struct tg_jwks_fetch *j = TG_CONTAINER_OF(t, struct tg_jwks_fetch, tick);

    if (tg_jwks_policy_tick(&j->policy, tg_loop_now(j->w->loop)) == TG_JWKS_FETCH) {
        fetch(j);
    } else {
        set_tick(j);
    }
}

/* TG_EAGAIN: the end of a fetch will be told to all. */
static enum tg_rc decide(struct tg_jwks_fetch *j)
{
    switch (tg_jwks_policy_unknown(&j->policy, tg_loop_now(j->w->loop))) {
    case TG_JWKS_FETCH:
        tg_loop_timer_stop(j->w->loop, &j->tick);
        fetch(j);
        return TG_EAGAIN;
    case TG_JWKS_JOIN:
        return TG_EAGAIN;
    case TG_JWKS_NO:
        break;
    }
    /* While Auth is down the token may be a good one. */
    return j->has_failed ? TG_ENOTREADY : TG_EUNKNOWNKEY;
}

/* ---- asking ---- */

struct ask_mail {
    struct tg_mail mail;
    size_t from;
    uint64_t epoch; /* of the keys that did not suffice */
};

static void drop_ask(struct tg_mail *mail)
{
    free(TG_CONTAINER_OF(mail, struct ask_mail, mail));
}

static void on_ask(struct tg_mail *mail, void *owner)
{
    struct ask_mail *m = TG_CONTAINER_OF(mail, struct ask_mail, mail);
    struct tg_worker *w = owner;
    struct tg_jwks_fetch *j = w->jwks;
    struct tg_jwks_fetch *from = j->all[m->from];
    bool is_behind = m->epoch < j->epoch;
    enum tg_rc rc = TG_OK;

    free(m);
    if (is_behind) {
        tell(from, TG_OK, w->keys, j->epoch); /* newer ones are on their way, or were lost */
        return;
    }
    rc = decide(j);
    if (rc != TG_EAGAIN) {
        tell(from, rc, NULL, 0);
    }
}

static enum tg_rc ask(struct tg_jwks_fetch *j)
{
    struct ask_mail *m = NULL;

    if (j->has_asked) {
        return TG_EAGAIN;
    }
    if (tg_loop_now(j->w->loop) < j->quiet_until) {
        return j->quiet_rc;
    }
    m = TG_NEW(struct ask_mail);
    m->mail.run = on_ask;
    m->mail.drop = drop_ask;
    m->from = j->w->index;
    m->epoch = j->epoch;
    if (tg_loop_post(j->all[0]->w->loop, &m->mail) != TG_OK) {
        free(m);
        return TG_ENOTREADY;
    }
    j->has_asked = true;
    return TG_EAGAIN;
}

enum tg_rc tg_jwks_fetch_unknown(struct tg_worker *w, struct tg_jwks_wait *wait)
{
    struct tg_jwks_fetch *j = w->jwks;
    enum tg_rc rc = ask(j);

    if (rc == TG_EAGAIN) {
        tg_list_append(&j->waits, &wait->node);
        if (!tg_timer_is_on(&j->wait_timer)) {
            tg_loop_timer_start(w->loop, &j->wait_timer, WAIT_TIME);
        }
    }
    return rc;
}

void tg_jwks_fetch_cancel(struct tg_jwks_wait *wait)
{
    tg_list_remove(&wait->node);
}

/* ---- life ---- */

static void drop_start(struct tg_mail *mail)
{
    free(mail);
}

static void on_start(struct tg_mail *mail, void *owner)
{
    struct tg_worker *w = owner;

    free(mail);
    on_tick(&w->jwks->tick);
}

void tg_jwks_fetch_setup(struct tg_worker *const *workers, size_t n)
{
    struct tg_jwks_fetch **all = tg_calloc(n, sizeof(struct tg_jwks_fetch *));
    const struct tg_jwks_policy_opts policy = {.interval = workers[0]->opts->jwks_refresh};
    struct tg_mail *start = TG_NEW(struct tg_mail);

    for (size_t i = 0; i < n; i++) {
        struct tg_jwks_fetch *j = TG_NEW(struct tg_jwks_fetch);

        j->w = workers[i];
        j->all = all;
        j->n = n;
        tg_list_init(&j->waits);
        tg_timer_init(&j->wait_timer, on_wait_timeout);
        tg_timer_init(&j->tick, on_tick);
        all[i] = j;
        workers[i]->jwks = j;
    }
    tg_jwks_policy_init(&all[0]->policy, &policy, tg_clock_mono_us());
    start->run = on_start;
    start->drop = drop_start;
    /* A new loop's box takes one mail. */
    TG_ASSERT(tg_loop_post(workers[0]->loop, start) == TG_OK);
}

void tg_jwks_fetch_destroy(struct tg_jwks_fetch *j)
{
    if (j == NULL) {
        return;
    }
    if (j->w->index == 0) {
        free(j->all);
    }
    free(j);
}
