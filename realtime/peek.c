/* peek.c - a merge over rings, by id.
 *
 * All rings are whole up to the fanout's horizon, so what lies between the cursors and it is all
 * there is: the horizon rule of DESIGN.md 2.2 needs no pages here. */
#include "realtime/peek.h"

#include "realtime/fanout_int.h"

enum { KEY_BYTES = TG_TOPIC_MAX_BYTES * 4 };

/* One topic, and the next of its frames. */
struct lane {
    const struct tg_ring *ring;
    uint32_t at;
};

static struct wtopic *find_topic(const struct tg_fanout *f, const struct tg_topic_name *name,
                                 tg_str class_id)
{
    char bytes[KEY_BYTES];
    /* Over the stack: it never grows. */
    struct tg_buf key = {.p = bytes, .cap = sizeof(bytes), .max = sizeof(bytes)};

    tg_topic_key(&key, class_id, name);
    return tg_buf_rc(&key) == TG_OK ? tg_map_find(&f->topics, tg_buf_view(&key)) : NULL;
}

static bool is_covered(const struct wtopic *t)
{
    return t != NULL && t->is_known && t->state == TG_TOPIC_READY;
}

/* Whether the ring holds all behind the want's cursor. */
static bool is_held(const struct tg_stream_want *want, const struct wtopic *t)
{
    return want->from == TG_FROM_CURSOR && !fanout_is_ahead(t) &&
           fanout_ring_reaches(t, &want->epoch, want->pos);
}

/* Somebody reads it still, and may have the better token. */
static enum tg_rc touch(struct wtopic *t, const struct tg_stream_user *user)
{
    if (t->unread_since != 0) {
        t->unread_since = tg_loop_now(t->fanout->loop);
    }
    return fanout_subscribe(t, user->user_id, user->token, user->exp_sec);
}

/* The lane with the smallest next id; NULL: all are at their ends. */
static struct lane *first_of(struct lane *lanes, size_t n)
{
    struct lane *best = NULL;

    for (size_t i = 0; i < n; i++) {
        struct lane *l = &lanes[i];

        if (l->at < l->ring->n &&
            (best == NULL || tg_pos_cmp(tg_frame_pos(tg_ring_at(l->ring, l->at)),
                                        tg_frame_pos(tg_ring_at(best->ring, best->at))) < 0)) {
            best = l;
        }
    }
    return best;
}

static enum tg_rc merge(struct lane *lanes, const struct tg_peek_ask *ask, struct tg_peeked *p)
{
    struct lane *next = NULL;
    struct tg_pos taken = {0};

    while ((next = first_of(lanes, ask->n_wants)) != NULL) {
        const struct tg_frame *f = tg_ring_at(next->ring, next->at);

        if (tg_frame_kind(f) != TG_FRAME_EVENT) {
            return TG_EAGAIN; /* a gap: a stream tells what it means for a resume */
        }
        if (!ask->take(tg_frame_message(f), ask->arg)) {
            p->has_more = true;
            p->pos = taken;
            return TG_OK;
        }
        taken = tg_frame_pos(f);
        next->at++;
    }
    return TG_OK;
}

/* Finds the topic of a want and its place in the ring. */
static enum tg_rc open_lane(struct tg_fanout *f, const struct tg_stream_want *want,
                            const struct tg_stream_user *user, struct lane *lane,
                            struct tg_peeked *p)
{
    struct wtopic *t = find_topic(f, want->name, user->class_id);

    if (!is_covered(t) || (want->from != TG_FROM_NOW && !is_held(want, t))) {
        return TG_EAGAIN;
    }
    if (want->from == TG_FROM_NOW) {
        *lane = (struct lane){&t->ring, t->ring.n};
        p->pos =
            fanout_is_ahead(t) && tg_pos_cmp(t->ready_from, p->pos) > 0 ? t->ready_from : p->pos;
    } else {
        *lane = (struct lane){&t->ring, tg_ring_above(&t->ring, want->pos)};
        p->is_resume = true;
        p->lag_ms = TG_MAX(p->lag_ms, f->horizon.ms - want->pos.ms);
        if (want->name->kind == TG_TOPIC_STRICT && lane->at < t->ring.n) {
            return TG_EAGAIN; /* what was told then may be hidden now: a stream asks */
        }
    }
    return touch(t, user) == TG_OK ? TG_OK : TG_EAGAIN;
}

enum tg_rc tg_peek(struct tg_fanout *f, const struct tg_peek_ask *ask, struct tg_peeked *ret_peeked)
{
    struct lane lanes[TG_STREAM_MAX_TOPICS];
    struct tg_peeked p = {.epoch = f->epoch, .pos = f->horizon};
    enum tg_rc rc = TG_OK;

    TG_ON_LOOP(f->loop);
    TG_ASSERT(ask->n_wants > 0 && ask->n_wants <= TG_STREAM_MAX_TOPICS);
    if (f->is_draining) {
        return TG_EDRAINING;
    }
    for (size_t i = 0; i < ask->n_wants && rc == TG_OK; i++) {
        rc = open_lane(f, &ask->wants[i], &ask->user, &lanes[i], &p);
    }
    if (rc == TG_OK && p.is_resume && tg_pos_cmp(p.pos, f->horizon) > 0) {
        rc = TG_EAGAIN; /* what lies in between may be of a resumed topic */
    }
    if (rc == TG_OK) {
        rc = merge(lanes, ask, &p);
    }
    if (rc == TG_OK) {
        *ret_peeked = p;
    }
    return rc;
}
