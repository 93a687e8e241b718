/* stream_page.c - pages of the store for cursors that lie below their ring, and the verdict on
 * what a page cannot give any more. */
#include <stdlib.h>

#include "realtime/fanout_int.h"

/* ---- pages ---- */

void stream_drop_page(struct cursor *c)
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
    static const struct tg_page lost = {.verdict = TG_RESET_EPOCH};
    const struct tg_fanout *f = s->fanout;

    if (c->is_stale) {
        /* Maybe asked and answered before the log was replaced: neither its entries nor its
         * end are of the new one. */
        from = &lost;
        up_to = f->horizon;
        c->is_stale = false;
    }
    if (s->state == ST_READING) {
        c->verdict = from->verdict;
    }
    if (from->verdict == TG_RESET_EPOCH || from->verdict == TG_RESET_AHEAD) {
        /* Nothing of this log has been seen. */
        c->pos = (struct tg_pos){0};
        if (s->state == ST_READING) {
            s->start = c->pos; /* the epoch stays: the other topics are still to be judged by it */
        } else if (!any_stale(s)) {
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
        if (rc == TG_ESTORE) {
            /* The connection went, perhaps because the log was replaced: asked again once it is
             * back. Who has not begun yet waits no longer than for its topics. */
            stream_want_page(s, c);
        } else if (rc != TG_OK) {
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
        /* A strict topic is its own feed, a published one has none. */
        .feed = c->topic->name.kind == TG_TOPIC_STRICT ? tg_str_of(c->topic->key) : TG_STR(""),
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
void stream_want_page(struct tg_stream *s, struct cursor *c)
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
