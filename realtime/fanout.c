/* fanout.c - one worker's share: what the hub delivers, who is told, and the heartbeat.
 *
 * Invariant: a wtopic's ring is whole above ring.whole_from and up to fanout->horizon. */
#include "realtime/fanout.h"

#include <stdlib.h>

#include "realtime/fanout_int.h"
#include "util/log.h"

/* What one flush of a walk costs at most before the clock is looked at: its frames, and one. */
enum { LOOK_EVERY = 32 };

#define SLICE TG_MS(1)
#define PAGE_LINGER TG_SEC(5)

uint64_t fanout_random(struct tg_fanout *f)
{
    f->random ^= f->random << 13U;
    f->random ^= f->random >> 7U;
    f->random ^= f->random << 17U;
    return f->random;
}

/* ---- delivery ---- */

static void mark_dirty(struct wtopic *t)
{
    if (tg_list_empty(&t->dirty)) {
        tg_list_append(&t->fanout->dirty, &t->dirty);
    } else {
        t->walk_again = true;
    }
}

static bool is_over(tg_usec started)
{
    return tg_clock_mono_us() - started >= SLICE;
}

/* Tells the readers of a dirty topic; false: the slice is used up. */
static bool walk_topic(struct wtopic *t, tg_usec started)
{
    const tg_count *sent = &t->fanout->counts.sent;
    uint64_t before = tg_count_get(sent);
    unsigned n = 0;

    if (t->walk == NULL) {
        t->walk = t->cursors.next;
        t->walk_again = false;
    }
    while (t->walk != &t->cursors) {
        struct cursor *c = TG_CONTAINER_OF(t->walk, struct cursor, node);

        t->walk = t->walk->next;
        stream_visit(c);
        if (++n + (tg_count_get(sent) - before) >= LOOK_EVERY) {
            if (is_over(started)) {
                return false;
            }
            n = 0;
            before = tg_count_get(sent);
        }
    }
    t->walk = NULL;
    if (!t->walk_again) {
        tg_list_remove(&t->dirty);
        t->refused = TG_OK; /* who comes now asks the hub again */
    }
    return true;
}

/* Live streams: what has just come. false: the slice is used up. */
static bool walk_dirty(struct tg_fanout *f, tg_usec started)
{
    while (!tg_list_empty(&f->dirty)) {
        if (!walk_topic(TG_CONTAINER_OF(f->dirty.next, struct wtopic, dirty), started) ||
            is_over(started)) {
            return false;
        }
    }
    return true;
}

/* Streams that replay or were told something: pages that came, and who has more to write. */
static bool walk_turns(struct tg_fanout *f, tg_usec started)
{
    bool is_left = true;

    while (is_left) {
        is_left = !stream_hand_page(f);
        if (!tg_list_empty(&f->turns)) {
            struct tg_stream *s = TG_CONTAINER_OF(f->turns.next, struct tg_stream, turn);

            tg_list_remove(&s->turn);
            stream_poke(s);
            is_left = true;
        }
        if (is_left && is_over(started)) {
            return false;
        }
    }
    return true;
}

/* Replays and live streams begin a slice by turns, so that neither keeps the other waiting. */
static bool walk(struct tg_task *task)
{
    struct tg_fanout *f = TG_CONTAINER_OF(task, struct tg_fanout, walker);
    tg_usec started = tg_clock_mono_us();

    tg_count_add(&f->counts.slices, 1);
    f->is_turns_first = !f->is_turns_first;
    if (f->is_turns_first) {
        return !walk_turns(f, started) || !walk_dirty(f, started) || !tg_list_empty(&f->turns);
    }
    return !walk_dirty(f, started) || !walk_turns(f, started) || !tg_list_empty(&f->dirty);
}

/* The first slice at once, the rest between other events. */
static void walk_now(struct tg_fanout *f)
{
    if (tg_list_empty(&f->walker.node) && walk(&f->walker)) {
        tg_loop_task_start(f->loop, &f->walker);
    }
}

void fanout_walk_soon(struct tg_fanout *f)
{
    tg_loop_task_start(f->loop, &f->walker);
}

void fanout_turn(struct tg_stream *s)
{
    if (tg_list_empty(&s->turn)) {
        tg_list_append(&s->fanout->turns, &s->turn);
        fanout_walk_soon(s->fanout);
    }
}

static void for_all_streams(struct tg_fanout *f, void (*fn)(struct tg_stream *s))
{
    for (unsigned b = 0; b < N_BUCKETS; b++) {
        for (struct tg_list *n = f->buckets[b].next; n != &f->buckets[b];) {
            struct tg_stream *s = TG_CONTAINER_OF(n, struct tg_stream, bucket);

            n = n->next;
            fn(s);
        }
    }
}

/* What the rings hold is no longer whole, or belongs to another log. */
static void restart_rings(struct tg_fanout *f)
{
    size_t at = 0;
    tg_str key = TG_STR_NONE;
    void *value = NULL;

    tg_count_add(&f->counts.cuts, 1);
    while (tg_map_next(&f->topics, &at, &key, &value)) {
        struct wtopic *t = value;

        tg_ring_restart(&t->ring, f->horizon);
        mark_dirty(t);
    }
}

static void on_delivery(struct tg_mail *mail, void *owner)
{
    struct tg_delivery *d = TG_CONTAINER_OF(mail, struct tg_delivery, mail);
    struct tg_fanout *f = d->to;
    bool is_other = strcmp(f->epoch.text, d->epoch.text) != 0;

    (void)owner;
    tg_count_add(&f->counts.deliveries, 1);
    f->horizon = d->horizon;
    f->epoch = d->epoch;
    if (d->is_cut || is_other) {
        restart_rings(f);
    }
    if (is_other) {
        stream_forget_pages(f);
        for_all_streams(f, stream_new_epoch);
    }
    for (size_t i = 0; i < d->n; i++) {
        struct wtopic *t = tg_ids_find(&f->topic_ids, d->items[i].topic);

        if (t != NULL && !d->is_cut) {
            tg_ring_push(&t->ring, tg_frame_ref(d->items[i].frame));
            mark_dirty(t);
            tg_count_add(&f->counts.frames, 1);
        }
    }
    tg_delivery_destroy(d);
    /* Not before all mail of this turn is in: a stream takes everything in one write. */
    if (!tg_list_empty(&f->dirty)) {
        tg_loop_task_start(f->loop, &f->walker);
    }
}

struct tg_delivery *tg_delivery_create(struct tg_fanout *to, size_t n)
{
    struct tg_delivery *d = tg_calloc(1, sizeof(*d) + n * sizeof(d->items[0]));

    d->to = to;
    return d;
}

void tg_delivery_destroy(struct tg_delivery *d)
{
    for (size_t i = 0; i < d->n; i++) {
        tg_frame_unref(d->items[i].frame);
    }
    free(d);
}

static void drop_delivery(struct tg_mail *mail)
{
    tg_delivery_destroy(TG_CONTAINER_OF(mail, struct tg_delivery, mail));
}

enum tg_rc tg_fanout_deliver(struct tg_delivery *d)
{
    d->mail.run = on_delivery;
    d->mail.drop = drop_delivery;
    return tg_loop_post(d->to->loop, &d->mail);
}

/* ---- news of topics ---- */

struct news_mail {
    struct tg_mail mail;
    struct tg_fanout *to;
    struct tg_topic_news news;
    char message[];
};

static void drop_news(struct tg_mail *mail)
{
    free(TG_CONTAINER_OF(mail, struct news_mail, mail));
}

/* Its readers are told by the walk: there may be many. */
static void refuse(struct wtopic *t, const struct tg_topic_news *news)
{
    t->is_known = false;
    t->exp_sec = 0;
    t->refused = news->rc;
    free(t->refusal);
    t->refusal = tg_str_dup(news->message);
    mark_dirty(t);
    walk_now(t->fanout);
}

static void take_reason(struct wtopic *t, const struct tg_topic_news *news)
{
    tg_str reason = news->state == TG_TOPIC_JOINING ? news->message : TG_STR_NONE;

    if (t->refusal == NULL ? reason.n == 0 : tg_str_eq(tg_str_of(t->refusal), reason)) {
        return;
    }
    free(t->refusal);
    t->refusal = reason.n == 0 ? NULL : tg_str_dup(reason);
    if (reason.n > 0) {
        t->n_reasons++;
    }
}

static void take_news(struct tg_fanout *f, struct wtopic *t, const struct tg_topic_news *news)
{
    if (news->state == TG_TOPIC_REFUSED) {
        refuse(t, news);
        return;
    }
    if (news->is_new || !t->is_known) {
        tg_ring_restart(&t->ring, news->whole_from);
    }
    if (news->epoch.text[0] != '\0' && f->epoch.text[0] == '\0') {
        f->epoch = news->epoch;
    }
    if (strcmp(f->epoch.text, news->epoch.text) == 0 &&
        tg_pos_cmp(news->whole_from, f->horizon) > 0) {
        f->horizon = news->whole_from;
    }
    t->is_known = !news->store_down;
    t->state = news->state;
    take_reason(t, news);
    t->is_repaired = news->is_repaired;
    t->is_partial = news->is_partial;
    t->ready_from = news->ready_from;
    if (news->state == TG_TOPIC_JOINING && news->store_down) {
        t->exp_sec = 0;
    }
    mark_dirty(t);
    walk_now(f);
}

static void on_news(struct tg_mail *mail, void *owner)
{
    struct news_mail *m = TG_CONTAINER_OF(mail, struct news_mail, mail);
    struct wtopic *t = tg_ids_find(&m->to->topic_ids, m->news.topic);

    (void)owner;
    if (t != NULL) {
        take_news(m->to, t, &m->news);
    }
    free(m);
}

enum tg_rc tg_fanout_tell(struct tg_fanout *f, const struct tg_topic_news *news)
{
    struct news_mail *m = tg_malloc(sizeof(*m) + news->message.n);
    enum tg_rc rc = TG_OK;

    *m = (struct news_mail){.mail = {.run = on_news, .drop = drop_news}, .to = f, .news = *news};
    if (news->message.n != 0) {
        memcpy(m->message, news->message.p, news->message.n);
    }
    m->news.message.p = m->message;
    rc = tg_loop_post(f->loop, &m->mail);
    if (rc != TG_OK) {
        free(m);
    }
    return rc;
}

/* ---- heartbeats ---- */

static void on_beat(struct tg_timer *timer)
{
    struct tg_fanout *f = TG_CONTAINER_OF(timer, struct tg_fanout, beat);
    struct tg_list *bucket = &f->buckets[f->bucket];

    if (!tg_list_empty(bucket)) {
        /* RFC 6455 section 5.5.2: a ping without a text. */
        struct tg_frame *comment = tg_frame_pair(f->horizon, TG_STR(":\n\n"), TG_STR("\x89\0"));
        struct tg_frame *position =
            f->epoch.text[0] == '\0' ? NULL : tg_frame_position(&f->epoch, f->horizon);

        for (struct tg_list *n = bucket->next; n != bucket;) {
            struct tg_stream *s = TG_CONTAINER_OF(n, struct tg_stream, bucket);

            n = n->next;
            stream_beat(s, comment, position);
        }
        tg_frame_unref(comment);
        tg_frame_unref(position);
    }
    f->bucket = (f->bucket + 1) % N_BUCKETS;
    if (f->bucket == 0) {
        fanout_close_unread(f);
        stream_drop_idle(f, PAGE_LINGER);
    }
    stream_read_next(f);
    tg_loop_timer_start(f->loop, &f->beat, f->opts.heartbeat / N_BUCKETS);
}

/* ---- the end of streams ---- */

static void sweep(void *arg)
{
    struct tg_fanout *f = arg;

    f->sweep_is_due = false;
    while (!tg_list_empty(&f->dead)) {
        struct tg_stream *s = TG_CONTAINER_OF(f->dead.next, struct tg_stream, bucket);

        tg_list_remove(&s->bucket);
        stream_free(s);
    }
}

void fanout_sweep_soon(struct tg_fanout *f)
{
    if (!f->sweep_is_due) {
        f->sweep_is_due = true;
        tg_loop_defer(f->loop, sweep, f);
    }
}

/* Everybody's `bye`, in slices like all that concerns every stream. */
static bool drain(struct tg_task *task)
{
    struct tg_fanout *f = TG_CONTAINER_OF(task, struct tg_fanout, drainer);
    tg_usec started = tg_clock_mono_us();

    for (unsigned b = 0; b < N_BUCKETS; b++) {
        while (!tg_list_empty(&f->buckets[b])) {
            if (is_over(started)) {
                return true;
            }
            stream_end(TG_CONTAINER_OF(f->buckets[b].next, struct tg_stream, bucket), "drain",
                       TG_EDRAINING, TG_STR(""));
        }
    }
    return false;
}

void tg_fanout_drain(struct tg_fanout *f, tg_usec spread)
{
    TG_ON_LOOP(f->loop);
    f->is_draining = true;
    f->opts.ready_wait = spread; /* from here on only the spread of the reconnects */
    if (drain(&f->drainer)) {
        tg_loop_task_start(f->loop, &f->drainer);
    }
}

/* ---- life ---- */

static void on_store_state(enum tg_store_state state, const struct tg_epoch *epoch,
                           struct tg_pos last, bool is_suspect, void *arg)
{
    struct tg_fanout *f = arg;

    (void)last;
    (void)is_suspect; /* the hub draws the conclusions: this handle only reads pages */
    f->store_up = state == TG_STORE_UP;
    tg_count_set(&f->counts.store_up, f->store_up);
    if (f->store_up) {
        f->store_epoch = *epoch;
        stream_read_next(f);
    }
}

struct tg_store *tg_fanout_store(const struct tg_fanout *f, struct tg_epoch *ret_epoch)
{
    if (!f->store_up) {
        return NULL;
    }
    if (ret_epoch != NULL) {
        *ret_epoch = f->store_epoch;
    }
    return f->store;
}

enum tg_rc tg_fanout_create(struct tg_loop *l, const struct tg_fanout_opts *opts,
                            struct tg_fanout **ret_fanout)
{
    struct tg_fanout *f = TG_NEW(struct tg_fanout);

    f->loop = l;
    f->opts = *opts;
    f->random = tg_hash(tg_str_make((const char *)&opts->worker, sizeof(opts->worker))) | 1U;
    tg_list_init(&f->dirty);
    tg_list_init(&f->dead);
    tg_list_init(&f->asks);
    tg_list_init(&f->queue);
    tg_list_init(&f->strict_queue);
    tg_list_init(&f->checks);
    tg_list_init(&f->answered);
    tg_list_init(&f->idle);
    tg_list_init(&f->turns);
    for (unsigned b = 0; b < N_BUCKETS; b++) {
        tg_list_init(&f->buckets[b]);
    }
    tg_task_init(&f->walker, walk);
    tg_task_init(&f->drainer, drain);
    tg_timer_init(&f->beat, on_beat);
    *ret_fanout = f;
    return TG_OK;
}

enum tg_rc tg_fanout_start(struct tg_fanout *f)
{
    const struct tg_store_event_handler handler = {on_store_state, f};

    TG_ON_LOOP(f->loop);
    tg_loop_timer_start(f->loop, &f->beat, f->opts.heartbeat / N_BUCKETS);
    return tg_store_open(f->opts.store, f->loop, &handler, &f->store);
}

static void stop_stream(struct tg_stream *s)
{
    stream_end(s, "stop", TG_EDRAINING, TG_STR(""));
}

void tg_fanout_stop(struct tg_fanout *f)
{
    TG_ON_LOOP(f->loop);
    f->is_draining = true;
    for_all_streams(f, stop_stream);
    stream_stop_pages(f);
    tg_loop_timer_stop(f->loop, &f->beat);
    tg_loop_task_stop(f->loop, &f->walker);
    tg_loop_task_stop(f->loop, &f->drainer);
    listeners_stop(f);
    if (f->store != NULL) {
        tg_store_close(f->store);
        f->store = NULL;
        f->store_up = false;
    }
}

void tg_fanout_destroy(struct tg_fanout *f)
{
    size_t at = 0;
    tg_str key = TG_STR_NONE;
    void *value = NULL;

    if (f == NULL) {
        return;
    }
    stream_forget_pages(f);
    while (tg_map_next(&f->topics, &at, &key, &value)) {
        struct wtopic *t = value;

        tg_ring_fini(&t->ring);
        tg_topic_fini(&t->name);
        free(t->refusal);
        free(t->token);
        free(t->class_id);
        free(t->key);
        free(t);
    }
    tg_map_fini(&f->topics);
    tg_ids_fini(&f->topic_ids);
    tg_ids_fini(&f->ask_ids);
    tg_map_fini(&f->pages);
    tg_map_fini(&f->watched);
    free(f);
}

const struct tg_fanout_counts *tg_fanout_counts(const struct tg_fanout *f)
{
    return &f->counts;
}

struct tg_loop *tg_fanout_loop(const struct tg_fanout *f)
{
    return f->loop;
}
