/* hub_deliver.c - what the workers are told: the state of topics, and every entry of the log.
 *
 * Invariant: a worker that is interested in a topic is sent every entry of it above the
 * `whole_from` it was told, in order, or a delivery with is_cut. */
#include "realtime/rows.h"
#include "realtime/strict.h"

/* ---- telling workers ---- */

/* What a gap hides is told, rather than that there is one. */
static bool is_repaired(const struct feed *f)
{
    return f->rows != NULL && rows_are_repaired(f->rows);
}

/* Some deletes are gaps, or are told to nobody. */
static bool is_partial(const struct feed *f)
{
    return f->rows != NULL ? rows_are_partial(f->rows) : strict_is_partial(f->strict);
}

void hub_tell(struct topic *t, unsigned worker, enum tg_topic_state state, enum tg_rc rc,
              tg_str message, bool is_new)
{
    struct tg_hub *h = t->hub;
    struct tg_topic_news news = {.topic = t->interest[worker],
                                 .state = state,
                                 .epoch = h->epoch,
                                 .whole_from = h->seen,
                                 .rc = rc,
                                 .message = message,
                                 .store_down = !h->store_up,
                                 .is_new = is_new};

    if (t->feed != NULL && state == TG_TOPIC_JOINING && t->feed->why_down != TG_UP_NONE) {
        news.message = tg_str_of(tg_upstream_word(t->feed->why_down));
    }
    if (t->feed != NULL) {
        news.ready_from = t->feed->live_from;
        news.is_repaired = is_repaired(t->feed);
        news.is_partial = is_partial(t->feed);
    }
    if (tg_fanout_tell(h->workers[worker], &news) != TG_OK) {
        /* The worker is stuck: it will read pages when it comes back. */
        h->outboxes[worker].is_cut = true;
        h->outboxes[worker].is_behind = true;
        h->outboxes[worker].lost_news = true;
        tg_count_add(&h->counts.mail_full, 1);
    }
}

static void tell_all(struct topic *t, enum tg_topic_state state, enum tg_rc rc, tg_str message)
{
    for (unsigned w = 0; w < t->hub->opts.n_workers; w++) {
        if (t->interest[w] != 0) {
            hub_tell(t, w, state, rc, message, false);
        }
    }
}

void hub_tell_topics(struct feed *f, enum tg_topic_state state, enum tg_rc rc, tg_str message)
{
    f->is_told_repaired = is_repaired(f);
    f->is_told_partial = is_partial(f);
    for (struct tg_list *n = f->topics.next; n != &f->topics; n = n->next) {
        tell_all(TG_CONTAINER_OF(n, struct topic, node), state, rc, message);
    }
}

void hub_tell_promise(struct feed *f)
{
    bool is_settled = f->state == FEED_LIVE && (f->rows == NULL || rows_are_whole(f->rows));

    if (is_settled &&
        (f->is_told_repaired != is_repaired(f) || f->is_told_partial != is_partial(f))) {
        hub_tell_topics(f, TG_TOPIC_READY, TG_OK, TG_STR(""));
    }
}

/* The log is all that a published topic needs. */
enum tg_topic_state hub_topic_state(const struct topic *t)
{
    if (t->feed != NULL) {
        return feed_topic_state(t->feed);
    }
    return t->hub->store_up ? TG_TOPIC_READY : TG_TOPIC_JOINING;
}

void hub_tell_published(struct tg_hub *h)
{
    for (struct tg_list *n = h->published.next; n != &h->published; n = n->next) {
        struct topic *t = TG_CONTAINER_OF(n, struct topic, node);

        tell_all(t, hub_topic_state(t), TG_OK, TG_STR(""));
    }
}

static void tell_list_again(const struct tg_list *topics, unsigned worker)
{
    for (struct tg_list *n = topics->next; n != topics; n = n->next) {
        struct topic *t = TG_CONTAINER_OF(n, struct topic, node);

        if (t->interest[worker] != 0) {
            hub_tell(t, worker, hub_topic_state(t), TG_OK, TG_STR(""), false);
        }
    }
}

void hub_tell_again(struct tg_hub *h, unsigned worker)
{
    h->outboxes[worker].lost_news = false;
    for (struct tg_list *n = h->feeds.next; n != &h->feeds; n = n->next) {
        struct feed *f = TG_CONTAINER_OF(n, struct feed, node);

        tell_list_again(&f->topics, worker);
        if (f->rows != NULL) {
            rows_tell_watched(f->rows);
        }
    }
    tell_list_again(&h->published, worker);
}

/* ---- delivery ---- */

void hub_post(struct tg_hub *h, unsigned worker)
{
    struct outbox *o = &h->outboxes[worker];
    struct tg_delivery *d = tg_delivery_create(h->workers[worker], o->n);
    bool is_told = hub_settle_access(h, worker);

    d->is_cut = o->is_cut;
    d->epoch = h->epoch;
    d->horizon = h->seen;
    d->n = o->n;
    if (o->n > 0) {
        memcpy(d->items, o->items, o->n * sizeof(o->items[0]));
    }
    o->n = 0;
    if (is_told && tg_fanout_deliver(d) == TG_OK) {
        o->is_cut = false;
        o->is_behind = false;
    } else {
        tg_delivery_destroy(d);
        o->is_cut = true;
        o->is_behind = true;
        tg_count_add(&h->counts.mail_full, 1);
    }
}

static void put_outbox(struct outbox *o, tg_id topic, struct tg_frame *frame)
{
    if (o->n == o->cap) {
        o->cap = o->cap == 0 ? 64 : o->cap * 2;
        o->items = tg_realloc(o->items, o->cap, sizeof(o->items[0]));
    }
    o->items[o->n++] = (struct tg_delivered){topic, tg_frame_ref(frame)};
}

static void put_frame(struct tg_hub *h, const struct topic *t, struct tg_frame *frame)
{
    tg_count_add(&h->counts.frames, 1);
    for (unsigned w = 0; w < h->opts.n_workers; w++) {
        if (t->interest[w] != 0) {
            put_outbox(&h->outboxes[w], t->interest[w], frame);
        }
    }
    tg_frame_unref(frame);
}

static void put_event(struct tg_hub *h, const struct tg_entry *e)
{
    const struct topic *t = tg_map_find(&h->topics, e->name);

    if (t != NULL && t->n_interested > 0) {
        put_frame(h, t, tg_frame_create(TG_FRAME_EVENT, &h->epoch, e->pos, TG_STR(""), e->payload));
    }
}

static void put_resets(struct tg_hub *h, const struct tg_list *topics, struct tg_pos pos)
{
    for (struct tg_list *n = topics->next; n != topics; n = n->next) {
        const struct topic *t = TG_CONTAINER_OF(n, struct topic, node);

        if (t->n_interested > 0) {
            put_frame(h, t, tg_frame_reset(&h->epoch, pos, t->name, TG_STR("gap")));
        }
    }
}

/* A gap without a name is everybody's: the store itself may have lost something. */
static void put_gap(struct tg_hub *h, const struct tg_entry *e)
{
    const struct feed *f = tg_map_find(&h->feed_keys, e->name);

    if (f != NULL) {
        put_resets(h, &f->topics, e->pos);
    }
    if (e->name.n > 0) {
        return;
    }
    for (struct tg_list *n = h->feeds.next; n != &h->feeds; n = n->next) {
        put_resets(h, &TG_CONTAINER_OF(n, struct feed, node)->topics, e->pos);
    }
    put_resets(h, &h->published, e->pos);
}

void hub_tell_control(struct tg_hub *h, tg_str payload, bool is_missed)
{
    if (h->on_control != NULL) {
        h->on_control(payload, is_missed, h->control_arg);
    }
}

/* Every entry of the log passes here once. */
void hub_on_tail(const struct tg_entry *entries, size_t n, struct tg_pos last, bool is_cut,
                 void *arg)
{
    struct tg_hub *h = arg;

    tg_count_add(&h->counts.log_entries, n);
    if (is_cut) {
        const struct tg_access_word all = {0};

        hub_tell_control(h, TG_STR_NONE, true);
        hub_tell_access(h, &all);
    }
    for (size_t i = 0; i < n; i++) {
        if (entries[i].kind == TG_ENTRY_EVENT) {
            put_event(h, &entries[i]);
        } else if (entries[i].kind == TG_ENTRY_GAP) {
            put_gap(h, &entries[i]);
        } else if (tg_access_word_is(entries[i].payload)) {
            hub_access_entry(h, entries[i].payload);
        } else {
            hub_tell_control(h, entries[i].payload, false);
        }
    }
    h->seen = last;
    for (unsigned w = 0; w < h->opts.n_workers; w++) {
        struct outbox *o = &h->outboxes[w];

        o->is_cut = o->is_cut || is_cut;
        o->is_behind = true;
        if (o->n > 0 || is_cut) {
            hub_post(h, w);
        }
    }
}
