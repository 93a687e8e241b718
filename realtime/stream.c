/* stream.c - cursors, their merge by id, and the writing of what is pending.
 *
 * Invariant: nothing is written while some cursor does not know what comes next on its
 * topic (a page is missing), so ids ascend over all topics of a stream: the horizon rule
 * of DESIGN.md 2.2. A cursor moves only over what the socket has taken. */
#include "realtime/stream.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "realtime/fanout_int.h"
#include "util/json.h"
#include "util/log.h"

#define STREAM_MAGIC 0x7374726dU

enum {
    MAX_IOV = 64,
    MAX_WRITE_BYTES = 256 * 1024,
    MAX_WRITES = 4, /* of one flush: others want their turn */
    MAX_CONTROLS = 16,
};

/* ---- pages ---- */

static void drop_page(struct cursor *c)
{
    if (c->page != NULL) {
        for (uint32_t i = c->page->at; i < c->page->n; i++) {
            tg_frame_unref(c->page->frames[i]);
        }
        free(c->page);
        c->page = NULL;
    }
}

struct read {
    struct tg_fanout *fanout;
    tg_id stream;
    uint32_t cursor;
    struct tg_pos up_to;
};

/* A reset, where the verdict asks for one, comes first. A gap's stands at the gap's own position,
 * in its place among the events of other topics: whoever resumes below it meets it again. The
 * others stand at the cursor that was judged: their reason would not be found again from
 * further on, so the position must not move before they are told. */
static struct page *make_page(const struct cursor *c, const struct tg_page *from,
                              const struct tg_epoch *epoch, struct tg_pos up_to)
{
    size_t n = from->n + (from->verdict != TG_COMPLETE);
    struct page *p = tg_calloc(1, sizeof(*p) + n * sizeof(struct tg_frame *));

    if (from->verdict != TG_COMPLETE) {
        p->frames[p->n++] =
            tg_frame_reset(epoch, from->verdict == TG_RESET_GAP ? from->resume : c->pos,
                           c->topic->name.name, tg_str_of(tg_verdict_word(from->verdict)));
    }
    for (size_t i = 0; i < from->n; i++) {
        p->frames[p->n++] = tg_frame_create(TG_FRAME_EVENT, epoch, from->entries[i].pos, TG_STR(""),
                                            from->entries[i].payload);
    }
    p->has_more = from->has_more;
    p->up_to = up_to;
    return p;
}

static bool any_stale(const struct tg_stream *s)
{
    for (uint32_t i = 0; i < s->n_cursors; i++) {
        if (s->cursors[i].is_stale) {
            return true;
        }
    }
    return false;
}

static void take_page(struct tg_stream *s, struct cursor *c, const struct tg_page *from,
                      struct tg_pos up_to)
{
    const struct tg_fanout *f = s->fanout;

    if (s->state == ST_READING) {
        c->verdict = from->verdict;
    }
    if (from->verdict == TG_RESET_EPOCH || from->verdict == TG_RESET_AHEAD || c->is_stale) {
        /* Nothing of this log has been seen. */
        c->pos = (struct tg_pos){0};
        c->is_stale = false;
        if (s->state == ST_READING) {
            s->start = c->pos;
        }
        if (!any_stale(s)) {
            s->epoch = f->epoch;
        }
    }
    c->page = make_page(c, from, &f->epoch, up_to);
}

static void on_page(enum tg_rc rc, const struct tg_page *page, void *arg)
{
    struct read *r = arg;
    struct tg_fanout *f = r->fanout;
    struct tg_stream *s = tg_ids_find(&f->stream_ids, r->stream);
    uint32_t index = r->cursor;
    struct tg_pos up_to = r->up_to;

    free(r);
    f->n_reads--;
    if (s != NULL && (s->state == ST_READING || s->state == ST_LIVE)) {
        struct cursor *c = &s->cursors[index];

        c->is_reading = false;
        if (rc != TG_OK) {
            stream_end(s, "store", TG_ESTORE, TG_STR(""));
        } else {
            tg_count_add(&f->counts.pages, 1);
            take_page(s, c, page, up_to);
            stream_poke(s);
        }
    }
    stream_read_next(f);
}

static bool start_read(struct tg_stream *s, uint32_t index)
{
    struct tg_fanout *f = s->fanout;
    struct cursor *c = &s->cursors[index];
    struct read *r = NULL;
    const struct tg_page_request req = {
        .topic = tg_str_of(c->topic->key),
        .feed = tg_str_of(c->topic->key), /* a strict topic is its own feed */
        .epoch = s->epoch,
        .after = c->pos,
        .up_to = f->horizon,
        .max_entries = f->opts.page_entries,
    };

    if (f->store == NULL || !f->store_up || f->n_reads >= f->opts.max_pages) {
        return false;
    }
    r = TG_NEW(struct read);
    r->fanout = f;
    r->stream = s->id;
    r->cursor = index;
    r->up_to = f->horizon;
    if (tg_store_page(f->store, &req, on_page, r) != TG_OK) {
        free(r);
        return false;
    }
    f->n_reads++;
    return true;
}

/* Reads, now or when there is room. */
static void want_page(struct tg_stream *s, struct cursor *c)
{
    if (c->is_reading) {
        return;
    }
    c->is_reading = start_read(s, (uint32_t)(c - s->cursors));
    if (!c->is_reading && tg_list_empty(&s->queue)) {
        tg_list_append(&s->fanout->readers, &s->queue);
    }
}

void stream_read_next(struct tg_fanout *f)
{
    size_t n = 0;

    /* Each waiting stream once a call: who gets no room goes back to the end. */
    for (struct tg_list *l = f->readers.next; l != &f->readers; l = l->next) {
        n++;
    }
    while (n-- > 0 && f->n_reads < f->opts.max_pages && f->store_up) {
        struct tg_stream *s = TG_CONTAINER_OF(f->readers.next, struct tg_stream, queue);

        tg_list_remove(&s->queue);
        stream_poke(s);
    }
}

/* ---- what comes next ---- */

enum next { NEXT_FRAME, NEXT_NOTHING, NEXT_UNKNOWN };

/* The next frame of one cursor, `skip` frames of it being spoken for already. */
static enum next peek(struct tg_stream *s, struct cursor *c, uint32_t skip,
                      struct tg_frame **ret_frame)
{
    struct tg_ring *ring = &c->topic->ring;
    uint32_t at = 0;

    if (c->page != NULL) {
        at = c->page->at + skip;
        if (at < c->page->n) {
            *ret_frame = c->page->frames[at];
            return NEXT_FRAME;
        }
        if (skip > 0) {
            return NEXT_UNKNOWN; /* what follows is only looked for once these are written */
        }
        if (!c->page->has_more) {
            if (tg_pos_cmp(c->page->up_to, c->pos) > 0) {
                c->pos = c->page->up_to;
            }
        }
        drop_page(c);
    }
    if (c->is_stale || !tg_ring_covers(ring, c->pos)) {
        want_page(s, c);
        return NEXT_UNKNOWN;
    }
    at = tg_ring_above(ring, c->pos) + skip;
    if (at < ring->n) {
        *ret_frame = tg_ring_at(ring, at);
        return NEXT_FRAME;
    }
    return NEXT_NOTHING;
}

/* ---- writing ---- */

struct pending_frame {
    struct tg_frame *frame;
    struct cursor *cursor;
    bool is_ready;
};

struct batch {
    struct iovec iov[MAX_IOV];
    struct pending_frame frames[MAX_IOV];
    int n_iov;
    unsigned n_first; /* iovecs before the frames: the rest of a frame, controls */
    unsigned n_frames;
    size_t bytes;
};

static void put_bytes(struct batch *b, tg_str bytes)
{
    /* writev() only reads, but its type does not say so. */
    memcpy(&b->iov[b->n_iov].iov_base, &bytes.p, sizeof(bytes.p));
    b->iov[b->n_iov].iov_len = bytes.n;
    b->n_iov++;
    b->bytes += bytes.n;
}

static bool is_full(const struct batch *b)
{
    return b->n_iov == MAX_IOV || b->bytes >= MAX_WRITE_BYTES;
}

static bool reads_as_ready(const struct cursor *c, const struct tg_frame *f, uint32_t skip)
{
    return c->is_fresh && skip == 0 && tg_frame_kind(f) == TG_FRAME_RESET;
}

static void put_frame(const struct tg_stream *s, struct batch *b, struct cursor *c,
                      struct tg_frame *f, uint32_t skip)
{
    struct pending_frame *p = &b->frames[b->n_frames++];

    TG_ASSERT(s->ops != NULL);
    *p = (struct pending_frame){f, c, reads_as_ready(c, f, skip)};
    put_bytes(b, s->ops->bytes(f, p->is_ready));
}

/* One topic: what is pending, in a row. */
static void gather_one(struct tg_stream *s, struct batch *b)
{
    struct cursor *c = &s->cursors[0];
    struct tg_frame *f = NULL;

    for (uint32_t skip = 0; !is_full(b) && peek(s, c, skip, &f) == NEXT_FRAME; skip++) {
        put_frame(s, b, c, f, skip);
    }
}

/* Several topics: always the smallest id, as long as every topic knows its next. */
static void gather_merged(struct tg_stream *s, struct batch *b)
{
    uint32_t skip[TG_STREAM_MAX_TOPICS] = {0};

    while (!is_full(b)) {
        struct tg_frame *best = NULL;
        uint32_t from = 0;

        for (uint32_t i = 0; i < s->n_cursors; i++) {
            struct tg_frame *f = NULL;
            enum next next = peek(s, &s->cursors[i], skip[i], &f);

            if (next == NEXT_UNKNOWN) {
                return;
            }
            if (next == NEXT_FRAME &&
                (best == NULL || tg_pos_cmp(tg_frame_pos(f), tg_frame_pos(best)) < 0)) {
                best = f;
                from = i;
            }
        }
        if (best == NULL) {
            return;
        }
        put_frame(s, b, &s->cursors[from], best, skip[from]);
        skip[from]++;
    }
}

static void gather(struct tg_stream *s, struct batch *b)
{
    TG_ASSERT(s->ops != NULL);
    if (s->partial != NULL) {
        tg_str bytes = s->ops->bytes(s->partial, s->partial_is_ready);

        put_bytes(b, tg_str_skip(bytes, s->partial_at));
    }
    for (const struct control *c = s->controls; c != NULL; c = c->next) {
        put_bytes(b, s->ops->bytes(c->frame, false));
    }
    b->n_first = (unsigned)b->n_iov;
    if (s->state != ST_LIVE) {
        return;
    }
    if (s->n_cursors == 1) {
        gather_one(s, b);
    } else {
        gather_merged(s, b);
    }
}

static void pass(struct tg_stream *s, const struct pending_frame *p)
{
    struct cursor *c = p->cursor;

    c->pos = tg_frame_pos(p->frame);
    c->is_fresh = c->is_fresh && !p->is_ready;
    if (tg_frame_kind(p->frame) == TG_FRAME_RESET && !p->is_ready) {
        tg_count_add(&s->fanout->counts.resets, 1);
    }
    if (c->page != NULL) {
        /* The page's reference goes: whoever needs the frame longer has taken its own. */
        tg_frame_unref(c->page->frames[c->page->at]);
        c->page->at++;
    }
}

static void set_partial(struct tg_stream *s, struct tg_frame *f, bool is_ready, size_t at)
{
    s->partial = tg_frame_ref(f);
    s->partial_is_ready = is_ready;
    s->partial_at = (uint32_t)at;
}

static void pop_control(struct tg_stream *s)
{
    struct control *c = s->controls;

    s->controls = c->next;
    s->n_controls--;
    tg_frame_unref(c->frame);
    free(c);
}

/* Accounts for `n` written bytes: what is whole has passed, a cut frame is kept. */
static void account(struct tg_stream *s, const struct batch *b, size_t n)
{
    uint64_t n_passed = 0;
    int i = 0;

    if (s->partial != NULL && b->n_first > 0) {
        size_t left = b->iov[0].iov_len;

        if (n < left) {
            s->partial_at += (uint32_t)n;
            return;
        }
        n -= left;
        tg_frame_unref(s->partial);
        s->partial = NULL;
        i++;
    }
    for (; i < (int)b->n_first && n > 0; i++) {
        if (n < b->iov[i].iov_len) {
            set_partial(s, s->controls->frame, false, n);
            n = 0;
        } else {
            n -= b->iov[i].iov_len;
        }
        pop_control(s);
    }
    for (unsigned k = 0; k < b->n_frames && n > 0; k++) {
        size_t whole = b->iov[b->n_first + k].iov_len;

        if (n < whole) {
            set_partial(s, b->frames[k].frame, b->frames[k].is_ready, n);
            n = whole;
        }
        n -= whole;
        pass(s, &b->frames[k]);
        n_passed++;
        tg_count_add(&s->fanout->counts.sent, n_passed);
    }
}

void stream_flush(struct tg_stream *s)
{
    TG_CHECK(s, STREAM_MAGIC);
    for (int round = 0; round < MAX_WRITES; round++) {
        struct batch b;
        size_t n = 0;
        enum tg_rc rc = TG_OK;

        if (s->is_blocked || s->state != ST_LIVE) {
            return;
        }
        b.n_iov = 0;
        b.n_frames = 0;
        b.bytes = 0;
        gather(s, &b);
        if (b.n_iov == 0) {
            return;
        }
        rc = s->ops->writev(s->arg, b.iov, b.n_iov, &n);
        if (rc == TG_OK) {
            account(s, &b, n);
            s->has_written = true;
        }
        if (rc == TG_EAGAIN || (rc == TG_OK && n < b.bytes)) {
            s->is_blocked = true;
        } else if (rc != TG_OK) {
            stream_end(s, "client", rc, TG_STR(""));
        } else if (!is_full(&b)) {
            return;
        }
    }
    /* More is pending: the walker comes back to this topic. */
    if (!s->is_blocked && s->state == ST_LIVE) {
        struct wtopic *t = s->cursors[0].topic;

        if (tg_list_empty(&t->dirty)) {
            tg_list_append(&s->fanout->dirty, &t->dirty);
        } else {
            t->walk_again = true;
        }
        tg_loop_task_start(s->fanout->loop, &s->fanout->walker);
    }
}

void tg_stream_writable(struct tg_stream *s)
{
    TG_CHECK(s, STREAM_MAGIC);
    s->is_blocked = false;
    stream_flush(s);
}

/* Puts a frame of this stream alone before what comes next. Takes the reference. */
static void tell(struct tg_stream *s, struct tg_frame *frame)
{
    struct control *c = NULL;
    struct control **end = &s->controls;

    if (s->n_controls == MAX_CONTROLS) {
        tg_frame_unref(frame);
        return;
    }
    c = TG_NEW(struct control);
    c->frame = frame;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = c;
    s->n_controls++;
}

/* ---- the start ---- */

static bool all_known(const struct tg_stream *s)
{
    for (uint32_t i = 0; i < s->n_cursors; i++) {
        if (!s->cursors[i].topic->is_known) {
            return false;
        }
    }
    return true;
}

static bool all_ready(const struct tg_stream *s)
{
    for (uint32_t i = 0; i < s->n_cursors; i++) {
        const struct wtopic *t = s->cursors[i].topic;

        if (!t->is_known || t->state != TG_TOPIC_READY) {
            return false;
        }
    }
    return true;
}

/* The log position that all topics have reached. */
static void raise_horizon(struct tg_stream *s)
{
    struct tg_fanout *f = s->fanout;

    s->start = f->horizon;
    for (uint32_t i = 0; i < s->n_cursors; i++) {
        const struct wtopic *t = s->cursors[i].topic;

        if (t->state == TG_TOPIC_READY && tg_pos_cmp(t->ready_from, s->start) > 0) {
            s->start = t->ready_from;
        }
    }
}

static void on_token_end(struct tg_timer *timer)
{
    struct tg_stream *s = TG_CONTAINER_OF(timer, struct tg_stream, timer);

    stream_end(s, "expired", TG_EEXPIRED, TG_STR(""));
}

static void watch_token(struct tg_stream *s)
{
    int64_t now = (int64_t)(tg_clock_wall_us() / TG_SEC(1));

    tg_timer_init(&s->timer, on_token_end);
    tg_loop_timer_start(s->fanout->loop, &s->timer,
                        s->exp_sec > now ? TG_SEC(TG_MIN(s->exp_sec - now, INT32_MAX)) : 0);
}

static void go_live(struct tg_stream *s)
{
    struct tg_stream_topic topics[TG_STREAM_MAX_TOPICS];
    char cursor[TG_CURSOR_MAX + 1];
    struct tg_stream_start start = {.topics = topics,
                                    .n_topics = s->n_cursors,
                                    .is_resume = s->is_resume,
                                    .is_recovered = s->is_resume};

    for (uint32_t i = 0; i < s->n_cursors; i++) {
        const struct cursor *c = &s->cursors[i];

        topics[i] = (struct tg_stream_topic){c->topic->name.name, c->topic->state, c->verdict};
        start.is_recovered =
            start.is_recovered && c->verdict == TG_COMPLETE && c->topic->state == TG_TOPIC_READY;
    }
    start.cursor = tg_str_make(cursor, tg_cursor_format(&s->epoch, s->start, cursor));
    tg_loop_timer_stop(s->fanout->loop, &s->timer);
    watch_token(s);
    s->state = ST_LIVE;
    tg_count_add(&s->fanout->counts.opened, 1);
    s->ops->on_start(s, &start, s->arg);
    if (s->state == ST_LIVE) {
        stream_flush(s);
    }
}

static bool all_read(struct tg_stream *s)
{
    bool done = true;

    for (uint32_t i = 0; i < s->n_cursors; i++) {
        struct cursor *c = &s->cursors[i];

        if (c->page == NULL) {
            want_page(s, c);
            done = false;
        }
    }
    return done;
}

static void begin(struct tg_stream *s)
{
    const struct tg_fanout *f = s->fanout;

    if (s->is_resume) {
        s->state = ST_READING;
        if (all_read(s)) {
            go_live(s);
        }
        return;
    }
    raise_horizon(s);
    s->epoch = f->epoch;
    for (uint32_t i = 0; i < s->n_cursors; i++) {
        s->cursors[i].pos = s->start;
        s->cursors[i].is_fresh = s->cursors[i].topic->state == TG_TOPIC_JOINING;
    }
    go_live(s);
}

void stream_poke(struct tg_stream *s)
{
    switch (s->state) {
    case ST_WAITING:
        if (all_ready(s)) {
            begin(s);
        }
        break;
    case ST_READING:
        if (all_read(s)) {
            go_live(s);
        }
        break;
    case ST_LIVE:
        stream_flush(s);
        break;
    case ST_DEAD:
        break;
    }
}

static void on_waited(struct tg_timer *timer)
{
    struct tg_stream *s = TG_CONTAINER_OF(timer, struct tg_stream, timer);

    if (s->state != ST_WAITING) {
        stream_end(s, "store", TG_ESTORE, TG_STR(""));
    } else if (all_known(s)) {
        begin(s);
        if (s->state == ST_READING) {
            tg_loop_timer_start(s->fanout->loop, &s->timer, s->fanout->opts.ready_wait);
        }
    } else {
        stream_end(s, "store", TG_ESTORE, TG_STR("the log cannot be reached"));
    }
}

/* ---- the end ---- */

/* `bye` with where to resume and when. */
static void say_bye(struct tg_stream *s, const char *why)
{
    struct tg_fanout *f = s->fanout;
    TG_CLEANUP(tg_buf_fini) struct tg_buf text = {.max = 512};
    uint64_t retry_ms = 1000;

    if (strcmp(why, "drain") == 0) {
        retry_ms += fanout_random(f) % (f->opts.ready_wait / 1000 + 1);
    }
    (void)tg_buf_printf(&text,
                        "retry: %llu\nevent: bye\ndata: {\"reason\":\"%s\",\"retry\":%llu}\n\n",
                        (unsigned long long)retry_ms, why, (unsigned long long)retry_ms);
    tell(s, tg_frame_raw(s->start, tg_buf_view(&text)));
    if (!s->is_blocked) {
        struct batch b = {.n_iov = 0};
        size_t n = 0;

        s->state = ST_WAITING; /* only the rest and the controls: no events */
        gather(s, &b);
        if (s->ops->writev(s->arg, b.iov, b.n_iov, &n) == TG_OK) {
            account(s, &b, n);
        }
    }
}

void stream_end(struct tg_stream *s, const char *why, enum tg_rc rc, tg_str message)
{
    struct tg_fanout *f = s->fanout;
    enum stream_state was = s->state;

    if (was == ST_DEAD) {
        return;
    }
    if (was == ST_LIVE && rc != TG_ECLOSED) {
        say_bye(s, why);
    }
    s->state = ST_DEAD;
    s->why = why;
    tg_list_remove(&s->bucket);
    tg_list_append(&f->dead, &s->bucket);
    fanout_sweep_soon(f);
    tg_count_add(&f->counts.ended, 1);
    if (was == ST_LIVE) {
        s->ops->on_end(why, s->arg);
    } else {
        s->ops->on_refused(rc, message, s->arg);
    }
    s->ops = NULL;
}

void tg_stream_close(struct tg_stream *s)
{
    struct tg_fanout *f = NULL;

    TG_CHECK(s, STREAM_MAGIC);
    f = s->fanout;
    if (s->state == ST_DEAD) {
        return;
    }
    s->state = ST_DEAD;
    s->why = "client";
    s->ops = NULL;
    tg_list_remove(&s->bucket);
    tg_list_append(&f->dead, &s->bucket);
    fanout_sweep_soon(f);
    tg_count_add(&f->counts.ended, 1);
}

void stream_free(struct tg_stream *s)
{
    struct tg_fanout *f = s->fanout;

    for (uint32_t i = 0; i < s->n_cursors; i++) {
        drop_page(&s->cursors[i]);
        fanout_detach(&s->cursors[i]);
    }
    while (s->controls != NULL) {
        pop_control(s);
    }
    tg_frame_unref(s->partial);
    tg_loop_timer_stop(f->loop, &s->timer);
    tg_list_remove(&s->queue);
    tg_ids_remove(&f->stream_ids, s->id);
    tg_count_sub(&f->counts.streams, 1);
    s->magic = 0;
    free(s);
}

/* ---- now and then ---- */

static bool is_caught_up(struct tg_stream *s)
{
    for (uint32_t i = 0; i < s->n_cursors; i++) {
        struct cursor *c = &s->cursors[i];
        const struct tg_ring *ring = &c->topic->ring;

        if (c->page != NULL || c->is_stale || c->is_reading || c->is_fresh ||
            !tg_ring_covers(ring, c->pos) || tg_ring_above(ring, c->pos) < ring->n) {
            return false;
        }
    }
    return true;
}

static bool is_off_ring(const struct tg_stream *s)
{
    for (uint32_t i = 0; i < s->n_cursors; i++) {
        if (!tg_ring_covers(&s->cursors[i].topic->ring, s->cursors[i].pos)) {
            return true;
        }
    }
    return false;
}

void stream_beat(struct tg_stream *s, struct tg_frame *comment, struct tg_frame *position)
{
    bool with_position = false;

    if (s->state != ST_LIVE) {
        return;
    }
    if (s->is_blocked) {
        if (is_off_ring(s)) {
            tg_count_add(&s->fanout->counts.slow_consumers, 1);
            stream_end(s, "slow_consumer", TG_EFULL, TG_STR(""));
        }
        return;
    }
    s->beats = (uint8_t)((s->beats + 1) % 4);
    with_position = s->beats == 0 && is_caught_up(s);
    if (!with_position && s->has_written) {
        s->has_written = false;
        return;
    }
    if (with_position) {
        for (uint32_t i = 0; i < s->n_cursors; i++) {
            if (tg_pos_cmp(tg_frame_pos(position), s->cursors[i].pos) > 0) {
                s->cursors[i].pos = tg_frame_pos(position);
            }
        }
    }
    tg_count_add(&s->fanout->counts.heartbeats, 1);
    tell(s, tg_frame_ref(with_position ? position : comment));
    stream_flush(s);
    s->has_written = false;
}

void stream_new_epoch(struct tg_stream *s)
{
    if (s->state != ST_LIVE) {
        return; /* its first pages are judged with the epoch of its cursor */
    }
    for (uint32_t i = 0; i < s->n_cursors; i++) {
        s->cursors[i].is_stale = true;
        drop_page(&s->cursors[i]);
    }
}

/* ---- opening ---- */

enum tg_rc tg_stream_open(struct tg_fanout *f, const struct tg_stream_opts *opts,
                          struct tg_stream **ret_stream)
{
    struct tg_stream *s = NULL;
    enum tg_rc rc = TG_OK;

    TG_ON_LOOP(f->loop);
    TG_ASSERT(opts->n_topics > 0 && opts->n_topics <= TG_STREAM_MAX_TOPICS);
    if (f->is_draining) {
        return TG_EDRAINING;
    }
    if (tg_count_get(&f->counts.streams) >= f->opts.max_streams) {
        return TG_EBUSY;
    }
    s = tg_calloc(1, sizeof(*s) + opts->n_topics * sizeof(s->cursors[0]));
    s->magic = STREAM_MAGIC;
    s->fanout = f;
    s->ops = opts->ops;
    s->arg = opts->arg;
    s->exp_sec = opts->exp_sec;
    s->is_resume = opts->has_cursor;
    s->epoch = opts->epoch;
    s->start = opts->pos;
    s->n_cursors = (uint32_t)opts->n_topics;
    s->id = tg_ids_add(&f->stream_ids, s);
    tg_list_init(&s->queue);
    tg_list_init(&s->bucket);
    tg_timer_init(&s->timer, on_waited);
    tg_list_append(&f->buckets[f->fill], &s->bucket);
    f->fill = (f->fill + 1) % N_BUCKETS;
    tg_count_add(&f->counts.streams, 1);
    for (size_t i = 0; i < opts->n_topics; i++) {
        struct wtopic *t = NULL;

        s->cursors[i].stream = s;
        s->cursors[i].pos = opts->pos;
        (void)!fanout_topic(f, &opts->topics[i], opts->class_id, &t);
        fanout_attach(t, &s->cursors[i]);
    }
    for (size_t i = 0; i < opts->n_topics && rc == TG_OK; i++) {
        rc = fanout_subscribe(s->cursors[i].topic, opts->user_id, opts->token, opts->exp_sec);
    }
    if (rc != TG_OK) {
        tg_stream_close(s);
        return rc;
    }
    /* Ready at once is told from the deferred phase, never from inside. */
    tg_loop_timer_start(f->loop, &s->timer, all_ready(s) ? 0 : f->opts.ready_wait);
    *ret_stream = s;
    return TG_OK;
}
