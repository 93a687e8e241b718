/* stream_page.c - pages of the store for cursors that lie below their ring, and the verdict on
 * what a page cannot give any more.
 *
 *   QUEUED --room for a read--> READING --answer--> HERE --nobody holds it--> idle --> gone
 *      ^------- the store went -------'                '<---- asked again ------'
 *
 * A strict topic's page is CHECKING between READING and HERE (stream_check.c), and PAUSED, then
 * QUEUED again, when that cannot be done.
 *
 * A thousand readers that come back to one position cost one read and one set of frames. */
#include <stdio.h>
#include <stdlib.h>

#include "realtime/fanout_int.h"

/* What nobody holds any more, kept for who comes a moment later. */
enum { MAX_IDLE_BYTES = 8 * 1024 * 1024 };

enum { MAX_TRIES = 6, MAX_DOUBLINGS = 4 };

#define PAUSE TG_MS(500)
/* So long a checked page may be shown again: to devices of one user that come back together. */
#define CHECK_LASTS TG_SEC(1)

/* ---- life ---- */

/* Its first page is of all that is held, and no resume. */
static bool wants_all(const struct cursor *c)
{
    return c->is_earliest && c->state == CUR_READING;
}

/* It will not be found any more. */
static void forget(struct page *p)
{
    if (p->key[0] != '\0') {
        (void)tg_map_remove(&p->fanout->pages, tg_str_of(p->key));
        p->key[0] = '\0';
    }
}

static void free_page(struct page *p)
{
    forget(p);
    stream_drop_check(p);
    if (p->state == PG_PAUSED) {
        tg_loop_timer_stop(p->fanout->loop, &p->pause);
    }
    if (p->state == PG_CHECKING) {
        p->fanout->n_checks--;
    }
    TG_ASSERT(p->n == 0 || p->frames != NULL);
    for (uint32_t i = 0; i < p->n; i++) {
        tg_frame_unref(p->frames[i]);
    }
    tg_list_remove(&p->node);
    free(p->frames);
    free(p);
}

static void free_idle(struct page *p)
{
    p->fanout->idle_bytes -= p->bytes;
    free_page(p);
}

void stream_drop_idle(struct tg_fanout *f, tg_usec age)
{
    tg_usec now = tg_loop_now(f->loop);

    while (!tg_list_empty(&f->idle)) {
        struct page *p = TG_CONTAINER_OF(f->idle.next, struct page, node);

        if (now - p->idle_since < age && f->idle_bytes <= MAX_IDLE_BYTES) {
            return;
        }
        free_idle(p);
    }
}

/* One that led nowhere, because the horizon stood where it began, is no use now. */
static bool is_spent(const struct page *p)
{
    return p->state == PG_HERE && p->n == 0 && !p->has_more && tg_pos_cmp(p->up_to, p->after) <= 0;
}

/* Nobody holds it: one that is here is kept for a moment, one that is being read is met again by
 * its answer. */
static void leave_page(struct page *p)
{
    struct tg_fanout *f = p->fanout;

    if (p->state == PG_READING) {
        return;
    }
    tg_list_remove(&p->node);
    if (p->state != PG_HERE || p->key[0] == '\0' || is_spent(p)) {
        free_page(p);
        return;
    }
    p->idle_since = tg_loop_now(f->loop);
    tg_list_append(&f->idle, &p->node);
    f->idle_bytes += p->bytes;
    stream_drop_idle(f, UINT64_MAX);
}

/* Another log: what the pages say was of the one before. */
void stream_forget_pages(struct tg_fanout *f)
{
    size_t at = 0;
    tg_str key = TG_STR_NONE;
    void *value = NULL;

    while (!tg_list_empty(&f->idle)) {
        free_idle(TG_CONTAINER_OF(f->idle.next, struct page, node));
    }
    while (tg_map_next(&f->pages, &at, &key, &value)) {
        struct page *p = value;

        if (p->state != PG_QUEUED && p->state != PG_PAUSED) {
            forget(p);
        }
    }
}

static void requeue(struct page *p)
{
    struct tg_fanout *f = p->fanout;

    p->state = PG_QUEUED;
    tg_list_append(p->is_strict ? &f->strict_queue : &f->queue, &p->node);
}

static void on_paused(struct tg_timer *timer)
{
    struct page *p = TG_CONTAINER_OF(timer, struct page, pause);

    requeue(p);
    stream_read_next(p->fanout);
}

static struct page *new_page(struct tg_fanout *f, const struct cursor *c)
{
    struct page *p = TG_NEW(struct page);

    p->fanout = f;
    p->topic = c->topic->id;
    p->asked = c->epoch;
    p->after = c->pos;
    p->is_earliest = wants_all(c);
    p->is_strict = c->topic->name.kind == TG_TOPIC_STRICT;
    tg_timer_init(&p->pause, on_paused);
    tg_list_init(&p->node);
    tg_list_init(&p->waiters);
    return p;
}

/* Until it has been handed its page, even if that is here. */
bool stream_waits(const struct cursor *c)
{
    return !tg_list_empty(&c->wait);
}

void stream_drop_page(struct cursor *c)
{
    struct page *p = c->page;

    if (p == NULL) {
        return;
    }
    c->page = NULL;
    tg_list_remove(&c->wait);
    p->n_users--;
    if (p->n_users == 0) {
        leave_page(p);
    }
}

/* ---- what an answer says ---- */

static void add_frame(struct page *p, struct tg_frame *f)
{
    p->frames[p->n++] = f;
    p->bytes += tg_frame_bytes(f);
}

/* A reset, where the verdict asks for one, comes first. A gap's stands at the gap's own position,
 * in its place among the events of other topics: whoever resumes below it meets it again. After
 * EXPIRED it stands at the cursor that was judged: its reason would not be found again from
 * further on, so the position must not move before it is told. Of another log, and of what this
 * one has not come to yet, nothing has been seen: before everything. */
static struct tg_pos reset_at(const struct page *p, const struct tg_page *from)
{
    if (p->verdict == TG_RESET_GAP) {
        return from->resume;
    }
    return p->verdict == TG_RESET_EXPIRED ? p->after : (struct tg_pos){0};
}

/* What retention took was not asked for by who wants all that is held: only a gap in that is
 * told. */
static enum tg_verdict verdict_of(const struct page *p, const struct tg_page *from)
{
    if (!p->is_earliest || from->verdict != TG_RESET_EXPIRED) {
        return from->verdict;
    }
    return from->has_skipped ? TG_RESET_GAP : TG_COMPLETE;
}

static void fill(struct page *p, const struct tg_page *from, tg_str topic)
{
    p->verdict = verdict_of(p, from);
    p->has_more = from->has_more;
    p->epoch = from->verdict == TG_RESET_EPOCH ? p->fanout->epoch : p->asked;
    p->frames = tg_calloc(from->n + 1, sizeof(struct tg_frame *));
    if (p->verdict != TG_COMPLETE) {
        add_frame(p, tg_frame_reset(&p->epoch, reset_at(p, from), topic,
                                    tg_str_of(tg_verdict_word(p->verdict))));
    }
    for (size_t i = 0; i < from->n; i++) {
        add_frame(p, tg_frame_create(TG_FRAME_EVENT, &p->epoch, from->entries[i].pos, TG_STR(""),
                                     from->entries[i].payload));
    }
    p->state = PG_HERE;
}

/* Judges a cursor that has not begun, and puts it at the page's beginning. */
static void take_page(struct cursor *c)
{
    const struct page *p = c->page;

    c->page_at = 0;
    if (c->state != CUR_READING) {
        return;
    }
    c->state = CUR_LIVE;
    c->verdict = (uint8_t)p->verdict;
}

void stream_lose_page(struct cursor *c)
{
    static const struct tg_page lost = {.verdict = TG_RESET_EPOCH};
    struct tg_fanout *f = c->topic->fanout;
    struct page *p = NULL;

    stream_drop_page(c);
    p = new_page(f, c);
    p->up_to = f->horizon;
    fill(p, &lost, c->topic->name.name);
    p->n_users = 1;
    c->page = p;
    take_page(c);
}

/* ---- the answer ---- */

/* A topic of many is given up alone where the transport can be told so. */
static void fail_cursor(struct cursor *c, const char *why, enum tg_rc rc, tg_str message)
{
    if (c->topic->name.kind == TG_TOPIC_STRICT && rc != TG_ESTORE && c->stream->state == ST_LIVE &&
        c->stream->ops->on_topic != NULL) {
        stream_refuse(c, rc, message);
    } else {
        stream_end(c->stream, why, rc, message);
    }
}

/* No reader will find it, and none waits for it. */
static void fail_page(struct page *p, const char *why, enum tg_rc rc, tg_str message)
{
    /* Each that leaves takes itself off; the last one frees the page. */
    p->n_users++;
    while (!tg_list_empty(&p->waiters)) {
        struct cursor *c = TG_CONTAINER_OF(p->waiters.next, struct cursor, wait);

        tg_list_remove(&c->wait);
        fail_cursor(c, why, rc, message);
    }
    p->n_users--;
    tg_list_remove(&p->node);
    forget(p);
    p->state = PG_HERE; /* empty, and of nobody new */
    if (p->n_users == 0) {
        leave_page(p);
    }
}

static void fail_waiters(struct page *p)
{
    fail_page(p, "store", TG_ESTORE, TG_STR(""));
}

static unsigned *slots_of(const struct page *p)
{
    return p->is_strict ? &p->fanout->n_checks : &p->fanout->n_reads;
}

static void hand_out(struct page *p, const struct tg_page *from, tg_str topic)
{
    struct tg_fanout *f = p->fanout;

    tg_count_add(&f->counts.pages, 1);
    fill(p, from, topic);
    tg_list_append(&f->answered, &p->node);
    fanout_walk_soon(f);
}

static void on_page(enum tg_rc rc, const struct tg_page *page, void *arg)
{
    struct page *p = arg;
    struct tg_fanout *f = p->fanout;
    const struct wtopic *t = tg_ids_find(&f->topic_ids, p->topic);

    (*slots_of(p))--;
    if (rc == TG_ESTORE) {
        /* The connection went, perhaps because the log was replaced: asked again once it is
         * back. Who has not begun yet waits no longer than for its topics. */
        requeue(p);
        if (p->n_users == 0) {
            leave_page(p);
        }
    } else if (rc != TG_OK || t == NULL) {
        fail_waiters(p);
    } else if (p->n_users == 0 && p->is_strict) {
        forget(p);
        p->state = PG_HERE;
        leave_page(p);
    } else if (p->is_strict) {
        p->state = PG_CHECKING;
        f->n_checks++;
        tg_list_append(&f->checks, &p->node);
        stream_check(p, t, page);
    } else if (p->n_users == 0) {
        fill(p, page, t->name.name);
        tg_count_add(&f->counts.pages, 1);
        leave_page(p);
    } else {
        hand_out(p, page, t->name.name);
    }
    stream_read_next(f);
}

/* ---- what a check says ---- */

/* Off the pages that are being checked. */
static void end_check(struct page *p)
{
    TG_ASSERT(p->state == PG_CHECKING && p->n_users > 0);
    tg_list_remove(&p->node);
    p->fanout->n_checks--;
    p->state = PG_PAUSED;
}

void stream_fill_page(struct page *p, const struct tg_page *from)
{
    const struct wtopic *t = tg_ids_find(&p->fanout->topic_ids, p->topic);

    end_check(p);
    p->checked_at = tg_loop_now(p->fanout->loop);
    hand_out(p, from, t == NULL ? TG_STR("") : t->name.name);
    stream_drop_check(p);
}

void stream_fail_page(struct page *p, const char *why, enum tg_rc rc, tg_str message)
{
    stream_drop_check(p);
    end_check(p);
    tg_count_add(&p->fanout->counts.unverified, 1);
    fail_page(p, why, rc, message);
}

void stream_pause_page(struct page *p)
{
    struct tg_fanout *f = p->fanout;
    tg_usec pause = PAUSE << TG_MIN(p->n_tries, (unsigned)MAX_DOUBLINGS);

    if (++p->n_tries == MAX_TRIES) {
        stream_fail_page(p, "unverified", TG_EACCESS,
                         TG_STR("what may be read cannot be asked now"));
        return;
    }
    stream_drop_check(p);
    end_check(p);
    tg_loop_timer_start(f->loop, &p->pause, pause - fanout_random(f) % (pause / 4));
}

void stream_stop_pages(struct tg_fanout *f)
{
    for (struct tg_list *n = f->checks.next; n != &f->checks; n = n->next) {
        stream_drop_check(TG_CONTAINER_OF(n, struct page, node));
    }
}

bool stream_hand_page(struct tg_fanout *f)
{
    while (!tg_list_empty(&f->answered)) {
        struct page *p = TG_CONTAINER_OF(f->answered.next, struct page, node);
        struct cursor *c = NULL;

        if (tg_list_empty(&p->waiters)) {
            tg_list_remove(&p->node);
            continue;
        }
        c = TG_CONTAINER_OF(p->waiters.next, struct cursor, wait);
        tg_list_remove(&c->wait);
        take_page(c);
        stream_on_page(c);
        return false;
    }
    return true;
}

/* ---- asking ---- */

static bool start_read(struct page *p)
{
    struct tg_fanout *f = p->fanout;
    const struct wtopic *t = tg_ids_find(&f->topic_ids, p->topic);
    struct tg_page_request req = {.epoch = p->asked,
                                  .after = p->after,
                                  .up_to = f->horizon,
                                  .max_entries = f->opts.page_entries};

    if (t == NULL) {
        fail_waiters(p); /* its readers have just left, and the topic with them */
        return true;
    }
    req.topic = tg_str_of(t->key);
    req.feed = tg_topic_feed(&t->name, req.topic);
    req.retain_for = tg_topic_retain_for(&t->name);
    p->up_to = f->horizon;
    if (tg_store_page(f->store, &req, on_page, p) != TG_OK) {
        return false;
    }
    tg_list_remove(&p->node);
    p->state = PG_READING;
    (*slots_of(p))++;
    return true;
}

static void read_some(struct tg_fanout *f, struct tg_list *queue, const unsigned *n)
{
    while (f->store_up && *n < f->opts.max_pages && !tg_list_empty(queue)) {
        if (!start_read(TG_CONTAINER_OF(queue->next, struct page, node))) {
            return; /* the heartbeat tries again */
        }
    }
}

/* Strict pages have slots of their own: PostgREST must not keep the others waiting. */
void stream_read_next(struct tg_fanout *f)
{
    read_some(f, &f->queue, &f->n_reads);
    read_some(f, &f->strict_queue, &f->n_checks);
}

/* Who may read it may have changed. */
static bool is_outdated(const struct page *p)
{
    return p->is_strict && p->state == PG_HERE &&
           tg_loop_now(p->fanout->loop) - p->checked_at >= CHECK_LASTS;
}

static struct page *find_page(struct cursor *c)
{
    struct tg_fanout *f = c->topic->fanout;
    char cursor[TG_CURSOR_MAX + 1];
    char key[MAX_PAGE_KEY];
    struct page *p = NULL;

    (void)tg_cursor_format(&c->epoch, c->pos, cursor);
    (void)snprintf(key, sizeof(key), "%llu%c%s", (unsigned long long)c->topic->id,
                   wants_all(c) ? '*' : '|', cursor);
    p = tg_map_find(&f->pages, tg_str_of(key));
    if (p != NULL && (is_spent(p) || is_outdated(p))) {
        forget(p);
        p = NULL;
    }
    if (p == NULL) {
        p = new_page(f, c);
        memcpy(p->key, key, sizeof(key));
        (void)tg_map_put(&f->pages, tg_str_of(key), p);
        requeue(p);
    } else if (p->n_users == 0 && p->state == PG_HERE) {
        tg_list_remove(&p->node);
        f->idle_bytes -= p->bytes;
    }
    return p;
}

void stream_want_page(struct cursor *c)
{
    TG_ASSERT(c->page == NULL);
    c->page = find_page(c);
    c->page->n_users++;
    if (c->page->state == PG_HERE) {
        take_page(c);
        return;
    }
    tg_list_append(&c->page->waiters, &c->wait);
    stream_read_next(c->topic->fanout);
}
