/* stream_topics.c - topics that are added to a running stream, and those that leave it.
 *
 * One that is asked for begins as a stream's first ones do (stream.c), alone; the others go on
 * meanwhile, and it is merged with them from its answer on. */
#include <stdlib.h>

#include "realtime/fanout_int.h"

/* ---- leaving ---- */

/* Takes the question of a cursor off its stream: what is asked has its answer. */
static tg_id end_adding(struct cursor *c)
{
    struct tg_stream *s = c->stream;
    struct adding **at = &s->addings;
    struct adding *a = NULL;
    tg_id ref = 0;

    while (*at != NULL && (*at)->cursor != c) {
        at = &(*at)->next;
    }
    a = *at;
    c->is_asked = false;
    if (a != NULL) {
        *at = a->next;
        ref = a->ref;
        tg_loop_timer_stop(s->fanout->loop, &a->timer);
        free(a);
    }
    return ref;
}

void stream_drop_cursor(struct cursor *c)
{
    struct tg_stream *s = c->stream;
    struct cursor **at = &s->cursors;

    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    s->n_cursors--;
    (void)end_adding(c);
    stream_drop_page(c);
    fanout_detach(c);
    if (c->is_apart) {
        free(TG_CONTAINER_OF(c, struct apart, cursor));
    }
}

/* ---- answers ---- */

/* From here on it is merged with the others. */
static void join(struct cursor *c)
{
    struct apart *a = NULL;

    TG_ASSERT(c->is_apart);
    a = TG_CONTAINER_OF(c, struct apart, cursor);
    for (const struct cursor *o = c->stream->cursors; o != NULL; o = o->next) {
        if (o != c && o->state == CUR_LIVE && tg_pos_cmp(o->pos, a->joined) > 0) {
            a->joined = o->pos;
        }
    }
}

static void answer(struct cursor *c)
{
    struct tg_stream *s = c->stream;
    char text[TG_CURSOR_MAX + 1];
    const struct tg_stream_topic t = stream_describe(c, text);

    join(c);
    if (s->cursors->next == NULL || tg_pos_cmp(c->pos, s->at) < 0) {
        s->at = c->pos;
    }
    s->ops->on_topic(s, &t, TG_OK, TG_STR(""), end_adding(c), s->arg);
    if (s->state == ST_LIVE) {
        stream_take_news(s);
        stream_flush(s);
    }
}

void stream_refuse(struct cursor *c, enum tg_rc rc, tg_str message)
{
    struct tg_stream *s = c->stream;
    const struct tg_stream_topic t = {.name = c->topic->name.name, .state = TG_TOPIC_REFUSED};
    tg_id ref = 0;

    if (s->state != ST_LIVE || s->ops->on_topic == NULL) {
        stream_end(s, "refused", rc, message);
        return;
    }
    ref = end_adding(c);
    stream_drop_cursor(c);
    s->ops->on_topic(s, &t, rc, message, ref, s->arg);
    if (s->state == ST_LIVE) {
        fanout_turn(s); /* it may have held up the others */
    }
}

void stream_advance(struct cursor *c)
{
    if (c->state == CUR_WAITING && stream_is_ready(c)) {
        stream_begin_cursor(c, stream_present(c->stream));
    }
    if (c->state == CUR_LIVE) {
        answer(c);
    }
}

static void on_adding_waited(struct tg_timer *timer)
{
    struct adding *a = TG_CONTAINER_OF(timer, struct adding, timer);
    struct cursor *c = a->cursor;
    struct tg_fanout *f = c->stream->fanout;

    if (c->state == CUR_WAITING && c->topic->is_known) {
        stream_begin_cursor(c, stream_present(c->stream));
        tg_loop_timer_start(f->loop, timer, f->opts.ready_wait);
        if (c->state == CUR_LIVE) {
            answer(c);
        }
    } else {
        stream_refuse(c, TG_ESTORE, TG_STR("the log cannot be reached"));
    }
}

void stream_advance_asked(struct tg_stream *s)
{
    struct adding *a = s->addings;

    while (a != NULL && s->state == ST_LIVE) {
        struct cursor *c = a->cursor;

        if (c->state == CUR_LIVE || (c->state == CUR_WAITING && stream_is_ready(c))) {
            stream_advance(c);
            a = s->addings; /* some have been answered; the transport may have changed the rest */
            if (a != NULL && a->cursor == c) {
                a = a->next; /* it reads */
            }
        } else {
            a = a->next;
        }
    }
}

/* ---- asking ---- */

static struct cursor *find_cursor(const struct tg_stream *s, tg_str name)
{
    struct cursor *c = s->cursors;

    while (c != NULL && !tg_str_eq(c->topic->name.name, name)) {
        c = c->next;
    }
    return c;
}

enum tg_rc tg_stream_add(struct tg_stream *s, const struct tg_stream_user *u,
                         const struct tg_stream_want *w, tg_id ref)
{
    struct adding *a = NULL;
    struct cursor *c = NULL;
    enum tg_rc rc = TG_OK;

    TG_CHECK(s, TG_STREAM_MAGIC);
    TG_ASSERT(s->ops->on_topic != NULL && ref != 0);
    if (s->state != ST_LIVE) {
        return TG_ECLOSED;
    }
    if (tg_hash(u->class_id) != s->class_hash) {
        return TG_EFORBIDDEN;
    }
    if (find_cursor(s, w->name->name) != NULL) {
        return TG_ECONFLICT;
    }
    if (s->n_cursors == TG_STREAM_MAX_TOPICS) {
        return TG_ELIMIT;
    }
    c = &TG_NEW(struct apart)->cursor;
    c->is_apart = true;
    stream_init_cursor(s, c, w, u->class_id);
    rc = stream_subscribe(c, u);
    if (rc != TG_OK) {
        stream_drop_cursor(c);
        return rc;
    }
    a = TG_NEW(struct adding);
    a->cursor = c;
    a->ref = ref;
    a->next = s->addings;
    s->addings = a;
    c->is_asked = true;
    tg_timer_init(&a->timer, on_adding_waited);
    tg_loop_timer_start(s->fanout->loop, &a->timer, s->fanout->opts.ready_wait);
    fanout_turn(s);
    return TG_OK;
}

enum tg_rc tg_stream_remove(struct tg_stream *s, tg_str name)
{
    struct cursor *c = NULL;

    TG_CHECK(s, TG_STREAM_MAGIC);
    c = s->state == ST_LIVE ? find_cursor(s, name) : NULL;
    if (c == NULL) {
        return TG_ENOTFOUND;
    }
    stream_drop_cursor(c);
    fanout_turn(s); /* it may have held up the others */
    return TG_OK;
}

void tg_stream_revoke(struct tg_stream *s, tg_str name, tg_str message)
{
    struct cursor *c = NULL;

    TG_CHECK(s, TG_STREAM_MAGIC);
    c = s->state == ST_DEAD ? NULL : find_cursor(s, name);
    if (c != NULL) {
        stream_refuse(c, TG_EFORBIDDEN, message);
    }
}

size_t tg_stream_topics(const struct tg_stream *s)
{
    TG_CHECK(s, TG_STREAM_MAGIC);
    return s->n_cursors;
}

void tg_stream_each(const struct tg_stream *s, tg_stream_each_fn *fn, void *arg)
{
    TG_CHECK(s, TG_STREAM_MAGIC);
    for (struct cursor *c = s->cursors; c != NULL; c = c->next) {
        if (c->state == CUR_LIVE) {
            fn(c->topic->name.name,
               c->is_apart ? TG_CONTAINER_OF(c, struct apart, cursor)->joined : (struct tg_pos){0},
               arg);
        }
    }
}
