/* feed.c - one upstream subscription's coverage: lease, join, gaps, token, end.
 *
 * Invariant: while a feed is LIVE, every change that upstream sent since `live_from` has been
 * handed to the store, or a gap is pending or under way. */
#include <stdio.h>
#include <stdlib.h>

#include "realtime/rows.h"
#include "realtime/strict.h"
#include "util/log.h"

enum { MIN_TOKEN_SECS = 60, MAX_GAP_LINES = 600, MAX_REFUSED_LINES = 60, MAX_DOUBLED = 5 };

#define REMOTE_RETRY TG_SEC(2)

/* The service's, whose operator may mend it; doubles up to MAX_DOUBLED times. */
#define REFUSED_RETRY TG_SEC(30)

static void take_lease(struct feed *f);
static void write_gap(struct feed *f);

static int64_t now_sec(void)
{
    return (int64_t)(tg_clock_wall_us() / TG_SEC(1));
}

/* A filter's values are what users look for: neither the topic nor upstream's words about it
 * (which quote them behind the first colon) are logged with them. */
tg_str feed_logged_topic(const struct feed *f)
{
    const struct tg_topic_name *t = &f->name;

    if (f->is_service) {
        return tg_str_of(f->key);
    }
    return t->filter.n == 0 ? t->name : tg_str_make(t->name.p, t->name.n - t->filter.n - 1);
}

tg_str feed_logged_message(const struct feed *f, tg_str message)
{
    return f->name.filter.n == 0 ? message : tg_str_cut(&message, ':');
}

static void set_state(struct feed *f, enum feed_state state)
{
    if (f->state == state) {
        return;
    }
    if (f->state == FEED_LIVE) {
        tg_count_sub(&f->hub->counts.feeds_live, 1);
    }
    if (state == FEED_LIVE) {
        tg_count_add(&f->hub->counts.feeds_live, 1);
    }
    f->state = state;
}

enum tg_topic_state feed_topic_state(const struct feed *f)
{
    /* A remote feed is covered by its holder, whose gaps stand in the log. */
    return f->state == FEED_LIVE || f->state == FEED_REMOTE ? TG_TOPIC_READY : TG_TOPIC_JOINING;
}

/* ---- upstream ---- */

static void name_channel(uint64_t id, char *out, size_t n)
{
    (void)snprintf(out, n, "%llu", (unsigned long long)id);
}

static void go_down(struct feed *f)
{
    f->is_up = false;
    if (f->rows != NULL) {
        rows_down(f->rows);
    } else {
        strict_down(f->strict);
    }
}

static void forget_channel(struct feed *f)
{
    char name[24];

    name_channel(f->link_id, name, sizeof(name));
    (void)tg_map_remove(&f->hub->channels, tg_str_of(name));
    f->link_id = 0;
    go_down(f);
}

static void leave(struct feed *f)
{
    uint64_t id = f->link_id;

    if (id != 0) {
        forget_channel(f);
        /* A full mailbox means a stuck link; the channel then ends with its token. */
        (void)!tg_link_leave(f->hub->link, id);
    }
}

/* A key of the new kind is no JWT: the socket's key speaks then. */
static tg_str channel_token(const struct feed *f)
{
    tg_str token = tg_str_of(f->token);

    return f->is_service && tg_str_has_prefix(token, TG_STR("sb_")) ? TG_STR("") : token;
}

static void join(struct feed *f)
{
    struct tg_hub *h = f->hub;
    const struct tg_link_channel ask = {.schema = f->name.schema,
                                        .table = f->name.table,
                                        .filter = f->name.filter,
                                        .token = channel_token(f),
                                        .is_service = f->is_service};
    char name[24];

    if (f->link_id != 0 || f->rejoin_at > tg_loop_now(h->loop)) {
        return;
    }
    f->link_id = ++h->next_link_id;
    name_channel(f->link_id, name, sizeof(name));
    (void)tg_map_put(&h->channels, tg_str_of(name), f);
    if (tg_link_join(h->link, f->link_id, &ask) != TG_OK) {
        /* The sweep tries again. */
        (void)tg_map_remove(&h->channels, tg_str_of(name));
        f->link_id = 0;
        tg_count_add(&h->counts.mail_full, 1);
    }
}

/* ---- the lease ---- */

static void watch_token(struct feed *f)
{
    int64_t left = f->exp_sec - now_sec();

    if (f->exp_sec != INT64_MAX) {
        tg_loop_timer_start(f->hub->loop, &f->timer, TG_SEC(TG_MAX(left, 0)));
    }
}

struct pending *feed_pend(const struct feed *f)
{
    struct pending *p = TG_NEW(struct pending);

    p->hub = f->hub;
    p->feed = f->id;
    return p;
}

struct tg_hub *feed_hub(const void *arg)
{
    return ((const struct pending *)arg)->hub;
}

struct feed *feed_unpend(void *arg)
{
    struct pending *p = arg;
    struct feed *f = tg_ids_find(&p->hub->feed_ids, p->feed);

    free(p);
    return f;
}

static void on_lease(enum tg_rc rc, uint64_t fence, tg_str holder, void *arg)
{
    struct feed *f = feed_unpend(arg);

    if (f == NULL || (f->state != FEED_LEASING && f->state != FEED_REMOTE)) {
        return;
    }
    if (rc == TG_OK) {
        f->fence = fence;
        if (f->rows != NULL) {
            rows_leased(f->rows);
        }
        if (f->state == FEED_REMOTE) {
            /* Whoever covered it does no longer. */
            hub_tell_topics(f, TG_TOPIC_JOINING, TG_OK, TG_STR(""));
        }
        set_state(f, FEED_JOINING);
        if (!tg_timer_is_on(&f->timer)) {
            watch_token(f);
        }
        if (f->is_up && f->rows != NULL) {
            rows_lost(f->rows, f->gap_reason);
        } else if (f->is_up) {
            feed_need_gap(f, f->gap_reason); /* still joined from before: only the log was away */
        } else {
            join(f);
        }
    } else if (rc == TG_ECONFLICT) {
        tg_log(TG_LOG_INFO, "feed_remote", TG_KS("topic", feed_logged_topic(f)),
               TG_KS("holder", holder));
        leave(f);
        if (f->state != FEED_REMOTE) {
            set_state(f, FEED_REMOTE);
            hub_tell_topics(f, TG_TOPIC_READY, TG_OK, TG_STR(""));
        }
        tg_loop_timer_start(f->hub->loop, &f->timer, REMOTE_RETRY);
    } else {
        /* If the store went down, feed_store_down() stops this and feed_store_up() begins anew. */
        tg_loop_timer_start(f->hub->loop, &f->timer, REMOTE_RETRY);
    }
}

static void take_lease(struct feed *f)
{
    void *p = NULL;

    if (!f->hub->store_up || f->token == NULL) {
        set_state(f, f->token == NULL ? FEED_IDLE : FEED_LEASING);
        return;
    }
    p = feed_pend(f);
    f->fence = 0;
    if (f->state != FEED_REMOTE) {
        set_state(f, FEED_LEASING);
    }
    if (tg_store_lease_take(f->hub->store, tg_str_of(f->key), f->hub->opts.lease, on_lease, p) !=
        TG_OK) {
        free(p);
        tg_loop_timer_start(f->hub->loop, &f->timer, REMOTE_RETRY);
    }
}

void feed_fenced(struct feed *f)
{
    if (f->fence != 0) {
        tg_log(TG_LOG_WARN, "lease_lost", TG_KS("topic", feed_logged_topic(f)));
        f->fence = 0;
        leave(f);
        take_lease(f);
    }
}

static void on_renewed(enum tg_rc rc, void *arg)
{
    struct feed *f = feed_unpend(arg);

    if (f != NULL && rc == TG_EFENCED) {
        feed_fenced(f);
    }
}

void feed_renew(struct feed *f)
{
    void *p = NULL;

    if (f->fence == 0 || !f->hub->store_up) {
        return;
    }
    p = feed_pend(f);
    if (tg_store_lease_renew(f->hub->store, tg_str_of(f->key), f->fence, f->hub->opts.lease,
                             on_renewed, p) != TG_OK) {
        free(p);
    }
}

static void on_released(enum tg_rc rc, void *arg)
{
    (void)rc;
    ((struct tg_hub *)arg)->n_releases--;
}

/* ---- gaps ---- */

static void on_gap(enum tg_rc rc, struct tg_pos pos, void *arg)
{
    const char *why = ((struct pending *)arg)->why;
    struct feed *f = feed_unpend(arg);

    if (f == NULL) {
        return;
    }
    f->n_gaps_under_way--;
    if (rc != TG_OK) {
        tg_count_add(&f->hub->counts.append_errors, 1);
        f->gap_pending = true;
        if (rc == TG_EFENCED) {
            feed_fenced(f);
        }
        return;
    }
    tg_count_add(&f->hub->counts.gaps, 1);
    tg_log_limited(TG_LOG_INFO, "gap", MAX_GAP_LINES, TG_KS("topic", feed_logged_topic(f)),
                   TG_KZ("why", why));
    f->gap_at = pos;
    feed_settle(f);
}

void feed_settle(struct feed *f)
{
    if (f->is_up && !f->gap_pending && f->n_gaps_under_way == 0 && f->state == FEED_JOINING &&
        (f->rows == NULL ? strict_is_read(f->strict) : rows_are_whole(f->rows))) {
        f->live_from = f->gap_at;
        set_state(f, FEED_LIVE);
        hub_tell_topics(f, TG_TOPIC_READY, TG_OK, TG_STR(""));
    }
}

static void write_gap(struct feed *f)
{
    struct tg_hub *h = f->hub;
    const struct tg_write w = {.epoch = &h->epoch,
                               .feed = tg_str_of(f->key),
                               .fence = f->fence,
                               .payload = tg_str_of(f->gap_reason)};
    struct pending *p = NULL;

    f->gap_pending = true;
    f->gap_after = f->n_appends;
    if (!h->store_up || f->fence == 0) {
        return;
    }
    p = feed_pend(f);
    p->why = f->gap_reason;
    if (tg_store_gap(h->store, &w, on_gap, p) != TG_OK) {
        free(p);
        return;
    }
    f->gap_pending = false;
    f->n_gaps_under_way++;
}

void feed_need_gap(struct feed *f, const char *reason)
{
    f->gap_reason = reason;
    write_gap(f);
}

void feed_lost(struct feed *f, const char *reason)
{
    if (f->rows != NULL) {
        rows_lost(f->rows, reason);
    } else {
        strict_lost(f->strict, reason);
    }
}

static void settle_owed(struct feed *f)
{
    tg_usec now = tg_loop_now(f->hub->loop);

    if (f->owes_gap && now >= f->gap_not_before && f->fence != 0) {
        f->owes_gap = false;
        f->gap_not_before = now + f->hub->opts.reset_spread;
        feed_need_gap(f, "deletes");
    }
}

void feed_unknown_delete(struct feed *f)
{
    tg_count_add(&f->hub->counts.unknown_deletes, 1);
    f->owes_gap = true;
    settle_owed(f);
}

void feed_doubt(struct feed *f, const char *reason)
{
    if (!f->is_up) {
        return; /* there will be a gap when it is */
    }
    if (f->rows == NULL) {
        feed_need_gap(f, reason);
    } else if (!verify_soon(f->rows)) {
        rows_lost(f->rows, reason);
    }
}

void feed_sweep(struct feed *f)
{
    if (f->gap_pending && f->is_up) {
        write_gap(f);
    }
    settle_owed(f);
    hub_tell_promise(f);
    if (f->rows != NULL) {
        rows_sweep(f->rows);
    } else {
        strict_sweep(f->strict);
    }
    if (f->state == FEED_JOINING && f->link_id == 0 && f->token != NULL) {
        join(f);
    }
}

/* ---- what upstream says ---- */

void feed_on_up(struct feed *f)
{
    const char *why = f->was_down ? "rejoin" : "join";

    f->is_up = true;
    f->was_down = false;
    f->why_down = TG_UP_NONE;
    f->n_refusals = 0;
    if (f->state == FEED_LIVE) {
        set_state(f, FEED_JOINING); /* subscribed anew without a reason of ours */
        why = "again";
    }
    feed_lost(f, why);
}

void feed_on_down(struct feed *f, enum tg_upstream_cause why, bool needs_token)
{
    go_down(f);
    f->was_down = true;
    f->why_down = why;
    f->gap_at = (struct tg_pos){0};
    tg_log(TG_LOG_INFO, "feed_down", TG_KS("topic", feed_logged_topic(f)),
           TG_KZ("why", tg_upstream_word(why)));
    if (f->state == FEED_LIVE) {
        set_state(f, FEED_JOINING);
        hub_tell_topics(f, TG_TOPIC_JOINING, TG_OK, TG_STR(""));
    }
    if (needs_token) {
        /* Not accepted any more, whatever its exp says: wait for another one. */
        f->exp_sec = 0;
    }
}

/* Its topics are the configuration's: they wait until the table can be followed. */
static void wait_for_operator(struct feed *f)
{
    tg_usec wait = REFUSED_RETRY << TG_MIN(f->n_refusals, (unsigned)MAX_DOUBLED);

    f->n_refusals++;
    f->rejoin_at = tg_loop_now(f->hub->loop) + wait;
    f->was_down = true;
    set_state(f, FEED_JOINING);
    hub_tell_topics(f, TG_TOPIC_JOINING, TG_OK, TG_STR(""));
}

void feed_on_refused(struct feed *f, enum tg_upstream_cause why, tg_str words)
{
    enum tg_rc rc = tg_upstream_rc(why);

    /* What is wrong with the project is said once, by the link. */
    if (rc != TG_EREALTIME) {
        tg_log_limited(TG_LOG_WARN, "feed_refused", MAX_REFUSED_LINES,
                       TG_KS("topic", feed_logged_topic(f)), TG_KZ("cause", tg_upstream_word(why)),
                       TG_KS("message", feed_logged_message(f, words)));
    }
    forget_channel(f);
    f->why_down = why;
    if (f->is_service) {
        wait_for_operator(f);
        return;
    }
    hub_tell_topics(f, TG_TOPIC_REFUSED, rc, words);
    feed_close(f);
}

void feed_on_change(struct feed *f, tg_str payload)
{
    tg_count_add(&f->hub->counts.changes, 1);
    if (f->rows != NULL) {
        rows_on_change(f->rows, payload);
    } else {
        strict_on_change(f->strict, payload);
    }
}

/* ---- the store ---- */

void feed_store_up(struct feed *f)
{
    if (f->is_up) {
        f->gap_pending = f->rows == NULL;
        f->gap_reason = "store";
    }
    take_lease(f);
}

void feed_store_down(struct feed *f)
{
    f->fence = 0;
    tg_loop_timer_stop(f->hub->loop, &f->timer);
    if (f->rows != NULL) {
        rows_unleased(f->rows);
    }
    set_state(f, FEED_LEASING);
    hub_tell_topics(f, TG_TOPIC_JOINING, TG_OK, TG_STR(""));
}

/* ---- tokens and life ---- */

static void on_timer(struct tg_timer *t)
{
    struct feed *f = TG_CONTAINER_OF(t, struct feed, timer);

    if (f->exp_sec <= now_sec()) {
        /* Coverage ends with the last valid token; the next join writes the gap. */
        tg_log(TG_LOG_INFO, "feed_expired", TG_KS("topic", feed_logged_topic(f)));
        hub_tell_topics(f, TG_TOPIC_JOINING, TG_OK, TG_STR(""));
        feed_close(f);
        return;
    }
    if (f->state == FEED_LEASING || f->state == FEED_REMOTE) {
        take_lease(f);
    }
    if (!tg_timer_is_on(&f->timer)) {
        watch_token(f);
    }
}

void feed_offer_token(struct feed *f, tg_str token, int64_t exp_sec)
{
    struct tg_hub *h = f->hub;

    if (exp_sec <= f->exp_sec) {
        return;
    }
    if (exp_sec < now_sec() + MIN_TOKEN_SECS) {
        if (f->token == NULL) {
            hub_tell_topics(f, TG_TOPIC_REFUSED, TG_EEXPIRED,
                            TG_STR("the token expires in less than a minute"));
        }
        return;
    }
    free(f->token);
    f->token = tg_str_dup(token);
    f->exp_sec = exp_sec;
    if (f->rows != NULL) {
        rows_on_token(f->rows);
    } else {
        strict_on_token(f->strict);
    }
    if (f->link_id != 0) {
        (void)!tg_link_token(h->link, f->link_id, token);
    } else if (f->state == FEED_IDLE) {
        take_lease(f);
    }
    /* Before the lease is there the timer is for trying again; on_lease() watches the token. */
    if (f->state == FEED_JOINING || f->state == FEED_LIVE) {
        watch_token(f);
    }
}

enum tg_rc feed_open(struct tg_hub *h, const struct tg_topic_name *name, const char *key,
                     tg_str user_id, struct feed **ret_feed)
{
    struct feed *f = TG_NEW(struct feed);

    f->hub = h;
    f->key = tg_strdup(key);
    f->user_id = tg_str_dup(user_id);
    f->gap_reason = "join";
    tg_topic_copy(name, &f->name);
    tg_list_init(&f->topics);
    tg_timer_init(&f->timer, on_timer);
    f->id = tg_ids_add(&h->feed_ids, f);
    tg_list_append(&h->feeds, &f->node);
    (void)tg_map_put(&h->feed_keys, tg_str_of(f->key), f);
    tg_count_add(&h->counts.feeds, 1);
    *ret_feed = f;
    return TG_OK;
}

void feed_close(struct feed *f)
{
    struct tg_hub *h = f->hub;

    leave(f);
    if (f->fence != 0 && h->store_up &&
        tg_store_lease_release(h->store, tg_str_of(f->key), f->fence, on_released, h) == TG_OK) {
        h->n_releases++;
    }
    set_state(f, FEED_IDLE);
    while (!tg_list_empty(&f->topics)) {
        hub_forget_topic(TG_CONTAINER_OF(f->topics.next, struct topic, node));
    }
    tg_loop_timer_stop(h->loop, &f->timer);
    rows_destroy(f->rows);
    strict_destroy(f->strict);
    tg_ids_remove(&h->feed_ids, f->id);
    tg_list_remove(&f->node);
    (void)tg_map_remove(&h->feed_keys, tg_str_of(f->key));
    tg_count_sub(&h->counts.feeds, 1);
    tg_topic_fini(&f->name);
    free(f->user_id);
    free(f->token);
    free(f->key);
    free(f);
}
