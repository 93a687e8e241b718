/* hub.c - the registry of topics and feeds, and the life of the hub's thread. What the workers are
 * told is hub_deliver.c's, what the link says comes through hub_link.c. */
#include "realtime/hub.h"

#include <stdlib.h>

#include "realtime/rows.h"
#include "realtime/strict.h"
#include "util/log.h"

enum { MAX_MAILS = 65536 };
#define RELEASE_WAIT TG_MS(500)

/* How many feeds a user has. */
struct user {
    unsigned n_feeds;
};

/* ---- the store ---- */

static void on_store_state(enum tg_store_state state, const struct tg_epoch *epoch,
                           struct tg_pos last, bool is_suspect, void *arg)
{
    struct tg_hub *h = arg;
    bool is_other = false;

    h->store_up = state == TG_STORE_UP;
    tg_count_set(&h->counts.store_up, h->store_up);
    if (!h->store_up) {
        tg_log(TG_LOG_WARN, "store_down", TG_KN("feeds", tg_count_get(&h->counts.feeds)));
        for (struct tg_list *n = h->feeds.next; n != &h->feeds; n = n->next) {
            feed_store_down(TG_CONTAINER_OF(n, struct feed, node));
        }
        hub_tell_published(h);
        return;
    }
    is_other = !h->has_seen || strcmp(h->epoch.text, epoch->text) != 0;
    tg_log(TG_LOG_INFO, "store_up", TG_KZ("epoch", epoch->text), TG_KN("suspect", is_suspect));
    h->epoch = *epoch;
    if (is_other) {
        h->seen = last;
        h->has_seen = true;
        for (unsigned w = 0; w < h->opts.n_workers; w++) {
            h->outboxes[w].is_cut = true;
            hub_post(h, w);
        }
    }
    if (tg_store_tail(h->store, h->seen, hub_on_tail, h) != TG_OK) {
        tg_log(TG_LOG_ERROR, "tail_failed", TG_KZ("epoch", epoch->text));
    }
    hub_tell_control(h, TG_STR_NONE, true);
    hub_tell_access(h, &(struct tg_access_word){0});
    /* Each feed takes its lease again and writes a gap: what came meanwhile is lost, and
     * with a suspect store nobody knows what else. */
    for (struct tg_list *n = h->feeds.next; n != &h->feeds; n = n->next) {
        feed_store_up(TG_CONTAINER_OF(n, struct feed, node));
    }
    hub_tell_published(h);
}

/* ---- subscriptions ---- */

struct sub_mail {
    struct tg_mail mail;
    struct tg_hub *hub;
    unsigned worker;
    tg_id topic;
    char *key;
    char *user_id;
    char *token;
    int64_t exp_sec;
    struct tg_topic_name name;
};

static void drop_sub(struct tg_mail *mail)
{
    struct sub_mail *m = TG_CONTAINER_OF(mail, struct sub_mail, mail);

    tg_topic_fini(&m->name);
    free(m->key);
    free(m->user_id);
    free(m->token);
    free(m);
}

static struct user *user_of(struct tg_hub *h, const char *user_id)
{
    struct user *u = tg_map_find(&h->users, tg_str_of(user_id));

    if (u == NULL) {
        u = TG_NEW(struct user);
        (void)tg_map_put(&h->users, tg_str_of(user_id), u);
    }
    return u;
}

/* The feed without readers that has been idle longest, of one user or of all. */
static struct feed *idle_feed(struct tg_hub *h, const char *user_id)
{
    struct feed *oldest = NULL;

    for (struct tg_list *n = h->feeds.next; n != &h->feeds; n = n->next) {
        struct feed *f = TG_CONTAINER_OF(n, struct feed, node);

        if (f->idle_since != 0 && (user_id == NULL || strcmp(f->user_id, user_id) == 0) &&
            (oldest == NULL || f->idle_since < oldest->idle_since)) {
            oldest = f;
        }
    }
    return oldest;
}

/* Room for one more feed of this user, by closing an idle one if need be. */
static bool make_room(struct tg_hub *h, const char *user_id)
{
    const struct user *u = tg_map_find(&h->users, tg_str_of(user_id));
    struct feed *idle = NULL;

    if (u != NULL && u->n_feeds >= h->opts.feeds_per_user) {
        idle = idle_feed(h, user_id);
    } else if (tg_count_get(&h->counts.feeds) - h->n_tables >= h->opts.max_feeds) {
        idle = idle_feed(h, NULL);
    } else {
        return true;
    }
    if (idle == NULL) {
        return false;
    }
    feed_close(idle);
    return true;
}

static void refuse(struct tg_hub *h, const struct sub_mail *m, enum tg_rc rc, tg_str message)
{
    struct tg_topic_news news = {.topic = m->topic,
                                 .state = TG_TOPIC_REFUSED,
                                 .epoch = h->epoch,
                                 .rc = rc,
                                 .message = message};

    if (tg_fanout_tell(h->workers[m->worker], &news) != TG_OK) {
        tg_count_add(&h->counts.mail_full, 1);
    }
}

static struct topic *new_topic(struct tg_hub *h, const struct sub_mail *m)
{
    struct topic *t = tg_calloc(1, sizeof(*t) + h->opts.n_workers * sizeof(t->interest[0]));

    t->hub = h;
    t->key = tg_strdup(m->key);
    t->name = tg_str_of(t->key);
    (void)tg_map_put(&h->topics, tg_str_of(t->key), t);
    tg_count_add(&h->counts.topics, 1);
    return t;
}

static struct topic *make_topic(struct tg_hub *h, const struct sub_mail *m)
{
    struct topic *t = NULL;
    struct feed *f = NULL;

    if (m->name.declared != NULL) {
        f = tg_map_find(&h->feed_keys, m->name.declared->name);
        if (f == NULL && m->name.declared->table != NULL) {
            refuse(h, m, TG_EUNSUPPORTED, TG_STR("the table of this topic is not followed"));
            return NULL;
        }
        t = new_topic(h, m);
        t->feed = f;
        tg_list_append(f == NULL ? &h->published : &f->topics, &t->node);
        return t;
    }
    if (!make_room(h, m->user_id)) {
        refuse(h, m, TG_ERATE, TG_STR("too many table topics at once"));
        return NULL;
    }
    if (feed_open(h, &m->name, m->key, tg_str_of(m->user_id), &f) != TG_OK) {
        return NULL;
    }
    f->rows = class_create(f);
    if (f->rows == NULL) {
        f->strict = strict_create(f);
    }
    user_of(h, m->user_id)->n_feeds++;
    t = new_topic(h, m);
    t->feed = f;
    t->is_strict = true;
    t->name = f->name.name;
    tg_list_append(&f->topics, &t->node);
    return t;
}

static void set_interest(struct topic *t, unsigned worker, tg_id id)
{
    struct tg_hub *h = t->hub;
    struct outbox *o = &h->outboxes[worker];

    if (t->interest[worker] == 0 && id != 0) {
        t->n_interested++;
        o->n_topics++;
        tg_count_add(&h->counts.subscriptions, 1);
    } else if (t->interest[worker] != 0 && id == 0) {
        t->n_interested--;
        o->n_topics--;
        tg_count_sub(&h->counts.subscriptions, 1);
    }
    t->interest[worker] = id;
    if (t->is_strict) {
        t->feed->idle_since = t->n_interested == 0 ? tg_loop_now(h->loop) : 0;
    }
}

static void forget_feed_of(const struct topic *t)
{
    struct tg_hub *h = t->hub;
    struct user *u = user_of(h, t->feed->user_id);

    if (--u->n_feeds == 0) {
        free(tg_map_remove(&h->users, tg_str_of(t->feed->user_id)));
    }
}

void hub_forget_topic(struct topic *t)
{
    struct tg_hub *h = t->hub;

    for (unsigned w = 0; w < h->opts.n_workers; w++) {
        set_interest(t, w, 0);
    }
    if (t->is_strict) {
        forget_feed_of(t);
    }
    (void)tg_map_remove(&h->topics, tg_str_of(t->key));
    tg_list_remove(&t->node);
    tg_count_sub(&h->counts.topics, 1);
    free(t->key);
    free(t);
}

static void on_subscribe(struct tg_mail *mail, void *owner)
{
    struct sub_mail *m = TG_CONTAINER_OF(mail, struct sub_mail, mail);
    struct tg_hub *h = m->hub;
    struct topic *t = tg_map_find(&h->topics, tg_str_of(m->key));

    (void)owner;
    if (t == NULL) {
        t = make_topic(h, m);
    }
    if (t != NULL) {
        bool is_new = t->interest[m->worker] != m->topic;

        set_interest(t, m->worker, m->topic);
        hub_tell(t, m->worker, hub_topic_state(t), TG_OK, TG_STR(""), is_new);
        if (t->is_strict) {
            feed_offer_token(t->feed, tg_str_of(m->token), m->exp_sec);
        }
    }
    drop_sub(mail);
}

static void on_unsubscribe(struct tg_mail *mail, void *owner)
{
    struct sub_mail *m = TG_CONTAINER_OF(mail, struct sub_mail, mail);
    struct topic *t = tg_map_find(&m->hub->topics, tg_str_of(m->key));

    (void)owner;
    if (t != NULL && t->interest[m->worker] == m->topic) {
        set_interest(t, m->worker, 0);
        if (!t->is_strict && t->n_interested == 0) {
            hub_forget_topic(t);
        }
    }
    drop_sub(mail);
}

static struct sub_mail *new_sub(struct tg_hub *h, unsigned worker, tg_id topic, tg_str class_id,
                                const struct tg_topic_name *name)
{
    struct sub_mail *m = TG_NEW(struct sub_mail);
    struct tg_buf key = {.max = (size_t)TG_TOPIC_MAX_BYTES * 4};

    tg_topic_key(&key, class_id, name);
    m->key = tg_buf_take(&key);
    m->mail.drop = drop_sub;
    m->hub = h;
    m->worker = worker;
    m->topic = topic;
    return m;
}

static enum tg_rc post(struct tg_hub *h, struct sub_mail *m)
{
    enum tg_rc rc = tg_loop_post(h->loop, &m->mail);

    if (rc != TG_OK) {
        drop_sub(&m->mail);
    }
    return rc;
}

enum tg_rc tg_hub_subscribe(struct tg_hub *h, const struct tg_subscription *s)
{
    struct sub_mail *m = new_sub(h, s->worker, s->topic, s->class_id, s->name);

    m->mail.run = on_subscribe;
    m->user_id = tg_str_dup(s->user_id);
    m->token = tg_str_dup(s->token);
    m->exp_sec = s->exp_sec;
    tg_topic_copy(s->name, &m->name);
    return post(h, m);
}

enum tg_rc tg_hub_unsubscribe(struct tg_hub *h, unsigned worker, tg_id topic, tg_str class_id,
                              const struct tg_topic_name *name)
{
    struct sub_mail *m = new_sub(h, worker, topic, class_id, name);

    m->mail.run = on_unsubscribe;
    return post(h, m);
}

/* ---- now and then ---- */

static void on_sweep(struct tg_timer *t)
{
    struct tg_hub *h = TG_CONTAINER_OF(t, struct tg_hub, sweep);
    tg_usec now = tg_loop_now(h->loop);
    uint64_t lost = tg_count_get(&h->lost);
    bool renew = now - h->renewed_at >= h->opts.lease / 3;

    for (struct tg_list *n = h->feeds.next; n != &h->feeds; n = n->next) {
        struct feed *f = TG_CONTAINER_OF(n, struct feed, node);

        feed_sweep(f);
        if (renew) {
            feed_renew(f);
        }
    }
    if (lost != h->lost_seen && hub_note_loss(h)) {
        h->lost_seen = lost;
    }
    tg_count_set(&h->counts.lost, lost + h->n_dropped);
    if (renew) {
        h->renewed_at = now;
    }
    /* Horizons for workers that had no frames lately: ids of quiet topics do not grow old. */
    for (unsigned w = 0; w < h->opts.n_workers; w++) {
        if (h->outboxes[w].lost_news) {
            hub_tell_again(h, w);
        }
        if (h->outboxes[w].lost_access) {
            (void)!hub_settle_access(h, w);
        }
        if (h->outboxes[w].is_behind && (h->outboxes[w].n_topics > 0 || h->outboxes[w].is_cut)) {
            hub_post(h, w);
        }
    }
    tg_loop_timer_start(h->loop, &h->sweep, TG_MS(SWEEP_MS));
}

/* ---- life ---- */

enum tg_rc tg_hub_create(const struct tg_hub_opts *opts, struct tg_hub **ret_hub)
{
    struct tg_hub *h = TG_NEW(struct tg_hub);
    enum tg_rc rc = TG_OK;

    TG_ASSERT(opts->max_appends > 0);
    h->opts = *opts;
    tg_list_init(&h->feeds);
    tg_list_init(&h->published);
    tg_timer_init(&h->sweep, on_sweep);
    h->workers = tg_calloc(opts->n_workers, sizeof(struct tg_fanout *));
    h->outboxes = tg_calloc(opts->n_workers, sizeof(struct outbox));
    rc = tg_loop_create("hub", MAX_MAILS, &h->loop);
    if (rc == TG_OK) {
        tg_loop_set_owner(h->loop, h);
        rc = tg_link_create(&opts->link, &hub_link_handler, h, &h->link);
    }
    if (rc != TG_OK) {
        tg_hub_destroy(h);
        return rc;
    }
    *ret_hub = h;
    return TG_OK;
}

void tg_hub_on_control(struct tg_hub *h, tg_control_fn *fn, void *arg)
{
    h->on_control = fn;
    h->control_arg = arg;
}

void tg_hub_attach(struct tg_hub *h, unsigned worker, struct tg_fanout *fanout)
{
    TG_ASSERT(worker < h->opts.n_workers);
    h->workers[worker] = fanout;
}

struct tg_fanout *tg_hub_fanout(const struct tg_hub *h, unsigned worker)
{
    return worker < h->opts.n_workers ? h->workers[worker] : NULL;
}

static void *run_hub(void *arg)
{
    tg_loop_run(((struct tg_hub *)arg)->loop);
    return NULL;
}

enum tg_rc tg_hub_start(struct tg_hub *h)
{
    const struct tg_store_event_handler handler = {on_store_state, h};
    enum tg_rc rc = tg_store_group_serve(h->opts.store, h->loop);

    if (rc == TG_OK) {
        rc = tg_store_open(h->opts.store, h->loop, &handler, &h->store);
    }
    if (rc == TG_OK) {
        rc = hub_open_tables(h);
    }
    if (rc == TG_OK) {
        rc = tg_link_start(h->link);
    }
    if (rc != TG_OK) {
        return rc;
    }
    tg_loop_timer_start(h->loop, &h->sweep, TG_MS(SWEEP_MS));
    if (pthread_create(&h->thread, NULL, run_hub, h) != 0) {
        return TG_ELIMIT;
    }
    h->started = true;
    return TG_OK;
}

static void on_last_turn(struct tg_timer *t)
{
    struct tg_hub *h = TG_CONTAINER_OF(t, struct tg_hub, sweep);

    tg_store_group_unserve(h->opts.store);
    tg_loop_stop(h->loop);
}

/* Leases that are not given back keep the next gateway waiting until they run out. */
static void on_releases(struct tg_timer *t)
{
    struct tg_hub *h = TG_CONTAINER_OF(t, struct tg_hub, sweep);

    if (h->n_releases > 0 && tg_loop_now(h->loop) < h->give_up_at) {
        tg_loop_timer_start(h->loop, &h->sweep, TG_MS(5));
        return;
    }
    tg_store_close(h->store);
    tg_loop_close_mail(h->loop);
    /* A last turn lets the handles close. */
    tg_timer_init(&h->sweep, on_last_turn);
    tg_loop_timer_start(h->loop, &h->sweep, TG_MS(50));
}

static void on_stop(struct tg_mail *mail, void *owner)
{
    struct tg_hub *h = owner;

    tg_loop_timer_stop(h->loop, &h->sweep);
    while (!tg_list_empty(&h->feeds)) {
        feed_close(TG_CONTAINER_OF(h->feeds.next, struct feed, node));
    }
    while (!tg_list_empty(&h->published)) {
        hub_forget_topic(TG_CONTAINER_OF(h->published.next, struct topic, node));
    }
    tg_upstream_destroy(h->upstream);
    h->give_up_at = tg_loop_now(h->loop) + RELEASE_WAIT;
    tg_timer_init(&h->sweep, on_releases);
    tg_loop_timer_start(h->loop, &h->sweep, 0);
    free(mail);
}

static void drop_stop(struct tg_mail *mail)
{
    free(mail);
}

void tg_hub_stop(struct tg_hub *h)
{
    struct tg_mail *mail = NULL;

    tg_link_stop(h->link);
    if (!h->started) {
        return;
    }
    mail = TG_NEW(struct tg_mail);
    mail->run = on_stop;
    mail->drop = drop_stop;
    while (tg_loop_post(h->loop, mail) == TG_EFULL) {
        (void)sched_yield();
    }
    (void)pthread_join(h->thread, NULL);
    h->started = false;
}

void tg_hub_destroy(struct tg_hub *h)
{
    if (h == NULL) {
        return;
    }
    tg_link_destroy(h->link);
    hub_drop_link(h);
    tg_loop_destroy(h->loop);
    tg_map_fini(&h->topics);
    tg_map_fini(&h->feed_keys);
    tg_map_fini(&h->users);
    tg_map_fini(&h->channels);
    tg_ids_fini(&h->feed_ids);
    for (unsigned w = 0; h->outboxes != NULL && w < h->opts.n_workers; w++) {
        free(h->outboxes[w].items);
    }
    free(h->outboxes);
    free(h->workers);
    free(h);
}

const struct tg_hub_counts *tg_hub_counts(const struct tg_hub *h)
{
    return &h->counts;
}

const struct tg_link_counts *tg_hub_link_counts(const struct tg_hub *h)
{
    return tg_link_counts(h->link);
}

struct tg_loop *tg_hub_loop(const struct tg_hub *h)
{
    return h->loop;
}
