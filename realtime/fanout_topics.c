/* fanout_topics.c - the topics that a worker knows: asked of the hub with their first reader, kept
 * for a while after their last one, so that who comes back finds the ring. */
#include <stdlib.h>

#include "realtime/fanout_int.h"

static void unsubscribe(struct wtopic *t)
{
    struct tg_fanout *f = t->fanout;

    if (tg_hub_unsubscribe(f->opts.hub, f->opts.worker, t->id, tg_str_of(t->class_id), &t->name) !=
        TG_OK) {
        return; /* full: the next heartbeat tries again */
    }
    if (!tg_list_empty(&t->dirty)) {
        tg_list_remove(&t->dirty);
    }
    (void)tg_map_remove(&f->topics, tg_str_of(t->key));
    tg_ids_remove(&f->topic_ids, t->id);
    tg_ring_fini(&t->ring);
    tg_topic_fini(&t->name);
    free(t->refusal);
    free(t->token);
    tg_count_sub(&f->counts.topics, 1);
    free(t->class_id);
    free(t->key);
    free(t);
}

enum tg_rc fanout_topic(struct tg_fanout *f, const struct tg_topic_name *name, tg_str class_id,
                        struct wtopic **ret_topic)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf key = {.max = (size_t)TG_TOPIC_MAX_BYTES * 4};
    struct wtopic *t = NULL;

    tg_topic_key(&key, class_id, name);
    t = tg_map_find(&f->topics, tg_buf_view(&key));
    if (t == NULL) {
        t = TG_NEW(struct wtopic);
        tg_topic_copy(name, &t->name);
        t->fanout = f;
        t->class_id = tg_str_dup(class_id);
        t->key = tg_str_dup(tg_buf_view(&key));
        t->id = tg_ids_add(&f->topic_ids, t);
        tg_ring_init(&t->ring, f->opts.ring_frames, f->opts.ring_bytes);
        tg_list_init(&t->cursors);
        tg_list_init(&t->dirty);
        (void)tg_map_put(&f->topics, tg_str_of(t->key), t);
        tg_count_add(&f->counts.topics, 1);
        t->unread_since = tg_loop_now(f->loop);
    }
    *ret_topic = t;
    return TG_OK;
}

static void keep_token(struct wtopic *t, tg_str token, int64_t exp_sec)
{
    if (t->name.kind == TG_TOPIC_STRICT && (t->token == NULL || exp_sec > t->token_exp_sec)) {
        free(t->token);
        t->token = tg_str_dup(token);
        t->token_exp_sec = exp_sec;
    }
}

enum tg_rc fanout_subscribe(struct wtopic *t, tg_str user_id, tg_str token, int64_t exp_sec)
{
    struct tg_fanout *f = t->fanout;
    /* Who publishes asks for nobody's token. */
    int64_t last_sec = t->name.kind == TG_TOPIC_STRICT ? exp_sec : INT64_MAX;
    const struct tg_subscription sub = {.worker = f->opts.worker,
                                        .topic = t->id,
                                        .class_id = tg_str_of(t->class_id),
                                        .user_id = user_id,
                                        .name = &t->name,
                                        .token = token,
                                        .exp_sec = last_sec};
    enum tg_rc rc = TG_OK;

    keep_token(t, token, exp_sec);
    if (t->is_known && t->state == TG_TOPIC_READY && last_sec <= t->exp_sec) {
        return TG_OK;
    }
    rc = tg_hub_subscribe(f->opts.hub, &sub);
    if (rc == TG_OK) {
        t->exp_sec = TG_MAX(t->exp_sec, last_sec);
    }
    return rc == TG_OK ? TG_OK : TG_EBUSY;
}

bool fanout_is_ahead(const struct wtopic *t)
{
    return tg_pos_cmp(t->ready_from, t->fanout->horizon) > 0;
}

bool fanout_ring_reaches(const struct wtopic *t, const struct tg_epoch *epoch, struct tg_pos pos)
{
    const struct tg_fanout *f = t->fanout;
    tg_usec retain_for = tg_topic_retain_for(&t->name);
    uint64_t retain_events = tg_topic_retain_events(&t->name);
    uint32_t n_behind = 0;

    if (!t->is_known || strcmp(epoch->text, f->epoch.text) != 0 ||
        tg_pos_cmp(pos, f->horizon) > 0 || !tg_ring_covers(&t->ring, pos)) {
        return false;
    }
    /* A ring may remember longer than the log: which of them is asked makes no difference. */
    n_behind = t->ring.n - tg_ring_above(&t->ring, pos);
    retain_for = retain_for == 0 ? f->opts.retain_for : retain_for;
    retain_events = retain_events == 0 ? f->opts.retain_events : retain_events;
    return n_behind == 0 ||
           (n_behind <= retain_events && pos.ms + retain_for / 1000 > tg_clock_wall_us() / 1000);
}

void fanout_attach(struct wtopic *t, struct cursor *c)
{
    c->topic = t;
    tg_list_append(&t->cursors, &c->node);
    t->unread_since = 0;
    tg_count_add(&t->fanout->counts.subscriptions, 1);
}

void fanout_detach(struct cursor *c)
{
    struct wtopic *t = c->topic;

    if (c->is_detached) {
        return;
    }
    c->is_detached = true;
    if (t->walk == &c->node) {
        t->walk = c->node.next;
    }
    tg_list_remove(&c->node);
    tg_count_sub(&t->fanout->counts.subscriptions, 1);
    if (tg_list_empty(&t->cursors)) {
        t->unread_since = tg_loop_now(t->fanout->loop);
    }
}

void fanout_close_unread(struct tg_fanout *f)
{
    tg_usec now = tg_loop_now(f->loop);
    size_t at = 0;
    tg_str key = TG_STR_NONE;
    void *value = NULL;

    while (tg_map_next(&f->topics, &at, &key, &value)) {
        struct wtopic *t = value;

        if (t->unread_since != 0 && now - t->unread_since >= f->opts.topic_linger) {
            unsubscribe(t);
        }
    }
}
