/* stream_write.c - the merge of a stream's cursors by id, and the writing of what is pending.
 *
 * Invariant: nothing is written while some cursor does not know what comes next on its
 * topic (a page is missing), so ids ascend over all topics of a stream: the horizon rule
 * of DESIGN.md 2.2. A cursor moves only over what the socket has taken. */
#include <stdlib.h>
#include <sys/uio.h>

#include "realtime/fanout_int.h"

enum {
    MAX_CONTROLS = 16,     /* that wait for a socket */
    MAX_SURE_CONTROLS = 4, /* beside them: what a stream must be told (expiring, bye) */
    MAX_PAGES_A_LOOK = 3,
    MAX_IOV = 64,
    MAX_WRITE_BYTES = 256 * 1024,
    MAX_WRITES = 4, /* of one flush: others want their turn */
};

/* ---- what comes next ---- */

/* NEXT_LATER: known once what is spoken for has been written. */
enum next { NEXT_FRAME, NEXT_NOTHING, NEXT_UNKNOWN, NEXT_LATER };

/* The page is written to its end. */
static void pass_page(struct cursor *c)
{
    /* All of a checked page may be hidden: its end is known also when there is more. */
    if ((!c->page->has_more || c->page->is_strict) && tg_pos_cmp(c->page->up_to, c->pos) > 0) {
        c->pos = c->page->up_to;
    }
    c->is_unchecked = c->is_unchecked && c->page->has_more;
    stream_drop_page(c);
}

/* Whether the cursor has a page that is here: one that is known already comes at once. */
static bool get_page(struct cursor *c)
{
    if (c->page == NULL) {
        if (c->is_stale) {
            stream_lose_page(c);
        } else {
            stream_want_page(c);
        }
    }
    return !stream_waits(c);
}

static bool is_off_ring(const struct cursor *c)
{
    return c->is_stale || c->is_unchecked || !tg_ring_covers(&c->topic->ring, c->pos);
}

/* The next frame of one cursor, `skip` frames of it being spoken for already. */
static enum next peek(struct cursor *c, uint32_t skip, struct tg_frame **ret_frame)
{
    const struct tg_ring *ring = &c->topic->ring;
    uint32_t at = 0;

    if (c->state != CUR_LIVE) {
        return NEXT_NOTHING; /* not begun: the others need not wait for it */
    }
    for (int n_pages = 0; c->page != NULL || is_off_ring(c); n_pages++) {
        if (n_pages == MAX_PAGES_A_LOOK || !get_page(c)) {
            return NEXT_UNKNOWN;
        }
        at = c->page_at + skip;
        if (at < c->page->n) {
            *ret_frame = c->page->frames[at];
            return NEXT_FRAME;
        }
        if (skip > 0) {
            return NEXT_LATER;
        }
        pass_page(c);
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
    bool has_later; /* it ended where what follows was not known yet */
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

    *p = (struct pending_frame){f, c, reads_as_ready(c, f, skip)};
    put_bytes(b, s->ops->bytes(f, p->is_ready));
}

/* One topic: what is pending, in a row. */
static void gather_one(const struct tg_stream *s, struct batch *b)
{
    struct cursor *c = s->cursors;

    for (uint32_t skip = 0; !is_full(b); skip++) {
        struct tg_frame *f = NULL;
        enum next next = peek(c, skip, &f);

        if (next != NEXT_FRAME) {
            b->has_later = next == NEXT_LATER;
            return;
        }
        put_frame(s, b, c, f, skip);
    }
}

/* Several topics: always the smallest id, as long as every topic knows its next. */
static void gather_merged(const struct tg_stream *s, struct batch *b)
{
    uint32_t skip[TG_STREAM_MAX_TOPICS] = {0};

    while (!is_full(b)) {
        struct tg_frame *best = NULL;
        struct cursor *from = NULL;
        unsigned best_i = 0;
        unsigned i = 0;

        for (struct cursor *c = s->cursors; c != NULL; c = c->next, i++) {
            struct tg_frame *f = NULL;
            enum next next = peek(c, skip[i], &f);

            if (next == NEXT_UNKNOWN || next == NEXT_LATER) {
                b->has_later = next == NEXT_LATER;
                return;
            }
            if (next == NEXT_FRAME &&
                (best == NULL || tg_pos_cmp(tg_frame_pos(f), tg_frame_pos(best)) < 0)) {
                best = f;
                from = c;
                best_i = i;
            }
        }
        if (best == NULL) {
            return;
        }
        put_frame(s, b, from, best, skip[best_i]);
        skip[best_i]++;
    }
}

/* The rest of a cut frame, and what is for this stream alone. */
static void gather_first(const struct tg_stream *s, struct batch *b)
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
}

static void gather(const struct tg_stream *s, struct batch *b)
{
    gather_first(s, b);
    if (s->holds != 0 || s->is_expired) {
        return;
    }
    if (s->n_cursors == 1) {
        gather_one(s, b);
    } else {
        gather_merged(s, b);
    }
}

/* Everything up to here is with the client, whole. */
static void reach(struct tg_stream *s, const struct tg_frame *f)
{
    s->at = tg_frame_pos(f);
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
        if (strcmp(c->epoch.text, c->page->epoch.text) != 0) {
            s->at = (struct tg_pos){0}; /* of the log before */
        }
        c->epoch = c->page->epoch;
        c->is_stale = false;
        c->page_at++;
    }
}

static void set_partial(struct tg_stream *s, struct tg_frame *f, bool is_ready, size_t at)
{
    s->partial = tg_frame_ref(f);
    s->partial_is_ready = is_ready;
    s->partial_at = (uint32_t)at;
}

void stream_pop_control(struct tg_stream *s)
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
        if (s->partial_is_event) {
            reach(s, s->partial);
        }
        tg_frame_unref(s->partial);
        s->partial = NULL;
        i++;
    }
    for (; i < (int)b->n_first && n > 0; i++) {
        if (n < b->iov[i].iov_len) {
            set_partial(s, s->controls->frame, false, n);
            s->partial_is_event = false;
            n = 0;
        } else {
            n -= b->iov[i].iov_len;
        }
        stream_pop_control(s);
    }
    for (unsigned k = 0; k < b->n_frames && n > 0; k++) {
        size_t whole = b->iov[b->n_first + k].iov_len;

        if (n < whole) {
            set_partial(s, b->frames[k].frame, b->frames[k].is_ready, n);
            s->partial_is_event = true;
            n = whole;
        } else {
            reach(s, b->frames[k].frame);
        }
        n -= whole;
        pass(s, &b->frames[k]);
        n_passed++;
    }
    tg_count_add(&s->fanout->counts.sent, n_passed);
}

/* One write; true: there may be more to write at once. */
static bool write_once(struct tg_stream *s)
{
    struct batch b;
    size_t n = 0;
    enum tg_rc rc = TG_OK;

    b.n_iov = 0;
    b.n_frames = 0;
    b.bytes = 0;
    b.has_later = false;
    gather(s, &b);
    if (b.n_iov == 0) {
        return false;
    }
    rc = s->ops->writev(s->arg, b.iov, b.n_iov, &n);
    if (s->state != ST_LIVE) {
        return false; /* closed from inside */
    }
    if (rc == TG_OK) {
        account(s, &b, n);
        s->has_written = true;
    }
    if (rc == TG_EAGAIN || (rc == TG_OK && n < b.bytes)) {
        s->is_blocked = true;
    } else if (rc != TG_OK) {
        stream_end(s, "client", rc, TG_STR(""));
    }
    return rc == TG_OK && (is_full(&b) || b.has_later);
}

void stream_flush(struct tg_stream *s)
{
    TG_CHECK(s, TG_STREAM_MAGIC);
    for (int round = 0; round < MAX_WRITES; round++) {
        if (s->is_blocked || s->state != ST_LIVE || !write_once(s)) {
            return;
        }
    }
    if (!s->is_blocked && s->state == ST_LIVE) {
        fanout_turn(s); /* others want theirs */
    }
}

void tg_stream_writable(struct tg_stream *s)
{
    TG_CHECK(s, TG_STREAM_MAGIC);
    s->is_blocked = false;
    stream_flush(s);
}

void stream_flush_controls(struct tg_stream *s)
{
    struct batch b = {.n_iov = 0};
    size_t n = 0;
    enum tg_rc rc = TG_OK;

    if (s->is_blocked) {
        return;
    }
    gather_first(s, &b);
    if (b.n_iov == 0) {
        return;
    }
    rc = s->ops->writev(s->arg, b.iov, b.n_iov, &n);
    if (rc == TG_OK && s->state == ST_LIVE) {
        account(s, &b, n);
    }
    s->is_blocked = rc == TG_EAGAIN || (rc == TG_OK && n < b.bytes);
}

void tg_stream_rest(const struct tg_stream *s, struct tg_buf *out)
{
    TG_CHECK(s, TG_STREAM_MAGIC);
    if (s->partial != NULL) {
        tg_str bytes = s->ops->bytes(s->partial, s->partial_is_ready);

        (void)tg_buf_str(out, tg_str_skip(bytes, s->partial_at));
    }
    for (const struct control *c = s->controls; c != NULL; c = c->next) {
        (void)tg_buf_str(out, s->ops->bytes(c->frame, false));
    }
}

/* ---- what is for one stream alone ---- */

/* Takes the reference. */
static bool put_control(struct tg_stream *s, struct tg_frame *frame, unsigned max)
{
    struct control **end = &s->controls;
    struct control *c = NULL;

    if (s->n_controls >= max || s->state == ST_DEAD || s->ops->bytes(frame, false).n == 0) {
        tg_frame_unref(frame); /* no room, or nothing that this transport says */
        return s->n_controls < max;
    }
    c = TG_NEW(struct control);
    c->frame = frame;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = c;
    s->n_controls++;
    return true;
}

void stream_tell(struct tg_stream *s, struct tg_frame *frame)
{
    (void)put_control(s, frame, MAX_CONTROLS);
}

void stream_tell_surely(struct tg_stream *s, struct tg_frame *frame)
{
    (void)put_control(s, frame, MAX_CONTROLS + MAX_SURE_CONTROLS);
}

bool tg_stream_tell(struct tg_stream *s, struct tg_frame *f)
{
    bool is_taken = false;

    TG_CHECK(s, TG_STREAM_MAGIC);
    if (s->n_controls >= MAX_CONTROLS && s->state == ST_LIVE) {
        stream_flush_controls(s);
    }
    is_taken = put_control(s, f, MAX_CONTROLS) && s->state != ST_DEAD;
    if (is_taken) {
        fanout_turn(s);
    }
    return is_taken;
}

enum tg_told tg_stream_told(const struct tg_stream *s)
{
    TG_CHECK(s, TG_STREAM_MAGIC);
    if (s->partial == NULL && s->controls == NULL) {
        return TG_TOLD_ALL;
    }
    return s->is_blocked ? TG_TOLD_BLOCKED : TG_TOLD_SOON;
}

void tg_stream_hold(struct tg_stream *s, enum tg_hold why)
{
    TG_CHECK(s, TG_STREAM_MAGIC);
    s->holds = (uint8_t)(s->holds | (unsigned)why);
}

void tg_stream_release(struct tg_stream *s, enum tg_hold why)
{
    TG_CHECK(s, TG_STREAM_MAGIC);
    s->holds = (uint8_t)(s->holds & ~(unsigned)why);
    fanout_turn(s);
}
