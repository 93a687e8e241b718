/* memory.c - the log in this process: an actor on the serving loop, asked and answering by mail.
 *
 *   handle --- request ---> group->requests --- actor (tg_memlog) --- reply ---> handle's port
 *
 * One path for the actor's own thread and all others. A tail has one batch on its way at a time:
 * the handle's `more` asks for the next, so a slow reader gets larger batches, not more mail. */
#include <stdlib.h>

#include "store/memdev.h"
#include "store/memindex.h"
#include "store/memkeys.h"
#include "store/port.h"
#include "util/log.h"

enum { MAX_REQUESTS = 1 << 20, BATCH_MAX = 256, MORE_RETRY_MS = 10 };

struct client {
    struct tg_list node;
    struct tg_port *port;
    struct tg_pos tail_at;
    bool is_tailing;
    bool is_batch_out;
};

struct memory_group {
    struct tg_store_group base;
    struct tg_mailbox *requests;
    /* The actor's: */
    struct tg_loop *loop;
    struct tg_watch watch;
    struct tg_memlog *log;
    struct tg_memdev *devices;
    struct tg_memkeys *keys;
    struct tg_memindex *indexes;
    struct tg_list clients;
};

struct memory_store {
    struct tg_store base;
    struct tg_port *port;
    struct tg_watch watch;
    struct tg_timer more_retry;
};

enum request_kind { REQ_HELLO, REQ_BYE, REQ_ASK, REQ_TAIL, REQ_MORE };

struct request {
    struct tg_mail mail;
    enum request_kind kind;
    struct tg_port *port;
    tg_id op;
    struct tg_ask ask;
    struct tg_device_topic *topics; /* of the ask */
    struct tg_index_change *changes;
    char bytes[]; /* the ask's texts */
};

enum reply_kind { REPLY_UP, REPLY_DOWN, REPLY_ANSWER, REPLY_BATCH };

struct reply {
    struct tg_mail mail;
    enum reply_kind kind;
    tg_id op;
    struct tg_answer answer; /* its holder and page are filled in by the reader */
    struct tg_arena arena;   /* of what the answer borrows */
    struct tg_epoch epoch;
    struct tg_pos last;
    bool is_cut;
    bool is_page;
    struct tg_mempage page;
    char *holder;
    size_t n;
    struct tg_memblob *blobs[];
};

static struct memory_group *group_of(struct tg_store_group *g)
{
    return TG_CONTAINER_OF(g, struct memory_group, base);
}

static struct memory_store *store_of(struct tg_store *s)
{
    return TG_CONTAINER_OF(s, struct memory_store, base);
}

static struct tg_memtime time_now(void)
{
    return (struct tg_memtime){.wall_ms = tg_clock_wall_us() / 1000, .mono = tg_clock_mono_us()};
}

/* ---- replies: to the handle ---- */

static void drop_reply(struct tg_mail *mail)
{
    struct reply *r = TG_CONTAINER_OF(mail, struct reply, mail);

    for (size_t i = 0; i < r->n; i++) {
        tg_memblob_unref(r->blobs[i]);
    }
    tg_arena_drop(&r->arena);
    free(r->holder);
    free(r);
}

static enum tg_rc post_request(struct memory_store *s, enum request_kind kind, tg_id op,
                               const struct tg_ask *ask);

static void ask_for_more(struct memory_store *s)
{
    const struct tg_ask none = {0};

    if (post_request(s, REQ_MORE, 0, &none) != TG_OK) {
        tg_loop_timer_start(s->base.loop, &s->more_retry, TG_MS(MORE_RETRY_MS));
    }
}

static void on_more_retry(struct tg_timer *timer)
{
    ask_for_more(TG_CONTAINER_OF(timer, struct memory_store, more_retry));
}

static void read_answer(struct memory_store *s, struct reply *r, const struct tg_entry *entries)
{
    const struct tg_page page = {.verdict = r->page.verdict,
                                 .resume = r->page.resume,
                                 .entries = entries,
                                 .n = r->n,
                                 .has_more = r->page.has_more,
                                 .has_skipped = r->page.has_skipped};

    r->answer.holder = tg_str_of(r->holder);
    r->answer.page = r->is_page ? &page : NULL;
    tg_count_add(&s->base.counts.entries_read, r->n);
    tg_store_answer(&s->base, r->op, &r->answer);
}

static void run_reply(struct tg_mail *mail, void *owner)
{
    struct reply *r = TG_CONTAINER_OF(mail, struct reply, mail);
    struct memory_store *s = owner;
    struct tg_entry *entries = NULL;

    if (!s->base.is_closed) {
        entries = tg_calloc(r->n + 1, sizeof(*entries));
        for (size_t i = 0; i < r->n; i++) {
            entries[i] = r->blobs[i]->entry;
        }
        switch (r->kind) {
        case REPLY_UP:
            tg_store_tell_up(&s->base, &r->epoch, r->last, false);
            break;
        case REPLY_DOWN:
            tg_store_tell_down(&s->base);
            break;
        case REPLY_ANSWER:
            read_answer(s, r, entries);
            break;
        case REPLY_BATCH:
            tg_store_tell_batch(&s->base, entries, r->n, r->last, r->is_cut);
            if (!s->base.is_closed) {
                ask_for_more(s);
            }
            break;
        default:
            TG_UNREACHABLE();
        }
        free(entries);
    }
    drop_reply(mail);
}

static struct reply *new_reply(enum reply_kind kind, size_t max_blobs)
{
    struct reply *r = tg_calloc(1, sizeof(*r) + max_blobs * sizeof(struct tg_memblob *));

    r->mail.drop = drop_reply;
    r->mail.run = run_reply;
    r->kind = kind;
    return r;
}

/* ---- the actor ---- */

static void forget_client(struct client *c)
{
    tg_list_remove(&c->node);
    c->port->peer = NULL;
    tg_port_unref(c->port);
    free(c);
}

static void send_batch(struct memory_group *g, struct client *c)
{
    struct reply *r = NULL;
    struct tg_pos last = tg_memlog_last(g->log);

    if (!c->is_tailing || c->is_batch_out || tg_pos_cmp(c->tail_at, last) >= 0) {
        return;
    }
    r = new_reply(REPLY_BATCH, BATCH_MAX);
    r->n = tg_memlog_read(g->log, c->tail_at, BATCH_MAX, r->blobs, &r->is_cut);
    r->last = r->n == 0 ? last : r->blobs[r->n - 1]->entry.pos;
    c->tail_at = r->last;
    c->is_batch_out = true;
    if (!tg_port_post(c->port, &r->mail)) {
        forget_client(c);
    }
}

static void answer_page(struct memory_group *g, const struct request *q)
{
    struct reply *r = new_reply(REPLY_ANSWER, q->ask.max_entries);

    tg_memlog_page(g->log, &q->ask, time_now(), r->blobs, &r->page);
    r->n = r->page.n;
    r->is_page = true;
    r->op = q->op;
    (void)tg_port_post(q->port, &r->mail);
}

static enum tg_rc append(struct memory_group *g, const struct tg_ask *ask, struct tg_pos *ret_pos)
{
    struct tg_memtime now = time_now();
    enum tg_rc rc = tg_memlog_check(g->log, ask, now);

    if (rc == TG_OK && ask->once.n != 0) {
        rc = tg_memkeys_check(g->keys, ask, now, ret_pos);
    }
    if (rc != TG_OK) {
        return rc;
    }
    rc = tg_memlog_append(g->log, ask, now, ret_pos);
    if (rc == TG_OK && ask->once.n != 0) {
        tg_memkeys_keep(g->keys, ask, now, *ret_pos);
    }
    if (rc == TG_OK && ask->index_pk.n != 0) {
        tg_memindex_change(g->indexes, ask, now);
    }
    return rc;
}

static enum tg_rc write_index(struct memory_group *g, const struct tg_ask *ask)
{
    struct tg_memtime now = time_now();
    enum tg_rc rc = tg_memlog_check(g->log, ask, now);

    if (rc == TG_OK) {
        tg_memindex_write(g->indexes, ask, now);
    }
    return rc;
}

static void answer_ask(struct memory_group *g, const struct request *q)
{
    struct reply *r = NULL;
    tg_str holder = TG_STR_NONE;

    if (q->ask.verb == TG_VERB_PAGE) {
        answer_page(g, q);
        return;
    }
    r = new_reply(REPLY_ANSWER, 0);
    r->op = q->op;
    if (q->ask.verb == TG_VERB_APPEND || q->ask.verb == TG_VERB_GAP ||
        q->ask.verb == TG_VERB_CONTROL) {
        r->answer.rc = append(g, &q->ask, &r->answer.pos);
    } else if (q->ask.verb >= TG_VERB_DEVICE_TOUCH && q->ask.verb <= TG_VERB_DEVICE_DELETE) {
        tg_memdev_ask(g->devices, g->log, &q->ask, time_now(), &r->arena, &r->answer);
    } else if (q->ask.verb == TG_VERB_LANE) {
        tg_memlog_lane(g->log, &q->ask, time_now(), &r->answer.lane);
    } else if (q->ask.verb == TG_VERB_DENY) {
        r->answer.rc = tg_memkeys_deny(g->keys, &q->ask, time_now());
    } else if (q->ask.verb == TG_VERB_DENIED) {
        tg_memkeys_denied(g->keys, time_now(), &r->arena, &r->answer);
    } else if (q->ask.verb == TG_VERB_INDEX_WRITE) {
        r->answer.rc = write_index(g, &q->ask);
    } else if (q->ask.verb == TG_VERB_INDEX_LOAD) {
        tg_memindex_load(g->indexes, &q->ask, time_now(), &r->arena, &r->answer);
    } else if (q->ask.verb == TG_VERB_ONCE) {
        r->answer.rc = tg_memkeys_once(g->keys, &q->ask, time_now());
    } else {
        r->answer.rc = tg_memlog_lease(g->log, &q->ask, tg_str_of(g->base.opts.holder), time_now(),
                                       &r->answer.fence, &holder);
        r->holder = holder.n == 0 ? NULL : tg_str_dup(holder);
    }
    (void)tg_port_post(q->port, &r->mail);
}

static void greet(struct memory_group *g, struct tg_port *port)
{
    struct client *c = TG_NEW(struct client);
    struct reply *r = new_reply(REPLY_UP, 0);

    c->port = tg_port_ref(port);
    port->peer = c;
    tg_list_append(&g->clients, &c->node);
    r->epoch = *tg_memlog_epoch(g->log);
    r->last = tg_memlog_last(g->log);
    (void)tg_port_post(port, &r->mail);
}

static void drop_request(struct tg_mail *mail)
{
    struct request *q = TG_CONTAINER_OF(mail, struct request, mail);

    tg_port_unref(q->port);
    free(q->topics);
    free(q->changes);
    free(q);
}

static void run_request(struct tg_mail *mail, void *owner)
{
    struct request *q = TG_CONTAINER_OF(mail, struct request, mail);
    struct memory_group *g = owner;
    struct client *c = q->port->peer;

    if (q->kind == REQ_HELLO) {
        greet(g, q->port);
    } else if (c == NULL) {
        (void)0; /* it left meanwhile */
    } else if (q->kind == REQ_BYE) {
        forget_client(c);
    } else if (q->kind == REQ_TAIL) {
        c->is_tailing = true;
        c->is_batch_out = false;
        c->tail_at = q->ask.after;
    } else if (q->kind == REQ_MORE) {
        c->is_batch_out = false;
    } else {
        answer_ask(g, q);
    }
    drop_request(mail);
}

static void on_requests(struct tg_watch *w, unsigned events)
{
    struct memory_group *g = TG_CONTAINER_OF(w, struct memory_group, watch);
    struct tg_list *next = NULL;

    (void)events;
    (void)tg_mailbox_drain(g->requests, g);
    for (struct tg_list *n = g->clients.next; n != &g->clients; n = next) {
        next = n->next;
        send_batch(g, TG_CONTAINER_OF(n, struct client, node));
    }
}

static enum tg_rc serve(struct tg_store_group *base, struct tg_loop *l)
{
    struct memory_group *g = group_of(base);
    enum tg_rc rc = TG_OK;

    TG_ASSERT(g->loop == NULL);
    rc = tg_watch_mailbox(l, &g->watch, g->requests, on_requests);
    if (rc != TG_OK) {
        return rc;
    }
    g->loop = l;
    g->log = tg_memlog_create(&base->opts, time_now());
    g->devices = tg_memdev_create(base->opts.max_bytes / 4);
    g->keys = tg_memkeys_create(base->opts.max_bytes / 4);
    g->indexes = tg_memindex_create(base->opts.max_bytes / 4);
    tg_log(TG_LOG_WARN, "store_in_memory", TG_KZ("epoch", tg_memlog_epoch(g->log)->text),
           TG_KZ("means", "nothing survives a restart, one gateway only; configure redis"));
    return TG_OK;
}

static void unserve(struct tg_store_group *base)
{
    struct memory_group *g = group_of(base);

    if (g->loop == NULL) {
        return;
    }
    TG_ON_LOOP(g->loop);
    (void)tg_watch_release(g->loop, &g->watch);
    tg_mailbox_close(g->requests);
    while (!tg_list_empty(&g->clients)) {
        struct client *c = TG_CONTAINER_OF(g->clients.next, struct client, node);

        (void)tg_port_post(c->port, &new_reply(REPLY_DOWN, 0)->mail);
        forget_client(c);
    }
    tg_memindex_destroy(g->indexes);
    tg_memkeys_destroy(g->keys);
    tg_memdev_destroy(g->devices);
    tg_memlog_destroy(g->log);
    g->indexes = NULL;
    g->keys = NULL;
    g->devices = NULL;
    g->log = NULL;
    g->loop = NULL;
}

/* ---- handles ---- */

static void copy_text(char **at, tg_str *text)
{
    char *copy = *at;

    if (text->n != 0) {
        memcpy(copy, text->p, text->n);
        *at += text->n;
    }
    /* No text stays none. */
    text->p = text->p == NULL ? NULL : copy;
}

static size_t bytes_of(const struct tg_ask *ask)
{
    size_t n = ask->feed.n + ask->topic.n + ask->payload.n + ask->user.n + ask->device.n +
               ask->label.n + ask->once.n + ask->index_pk.n + ask->index_put.n;

    for (size_t i = 0; i < ask->n_topics; i++) {
        n += ask->topics[i].name.n;
    }
    for (size_t i = 0; i < ask->n_changes; i++) {
        n += ask->changes[i].pk.n + ask->changes[i].put.n;
    }
    return n;
}

static void copy_ask(struct request *q, const struct tg_ask *ask)
{
    tg_str *texts[] = {&q->ask.feed, &q->ask.topic,    &q->ask.payload,
                       &q->ask.user, &q->ask.device,   &q->ask.label,
                       &q->ask.once, &q->ask.index_pk, &q->ask.index_put};
    char *at = q->bytes;

    q->ask = *ask;
    for (size_t i = 0; i < TG_ARRAY_LEN(texts); i++) {
        copy_text(&at, texts[i]);
    }
    if (ask->n_topics != 0) {
        q->topics = tg_memdup(ask->topics, ask->n_topics * sizeof(*ask->topics));
        q->ask.topics = q->topics;
    }
    for (size_t i = 0; i < ask->n_topics; i++) {
        copy_text(&at, &q->topics[i].name);
    }
    if (ask->n_changes != 0) {
        q->changes = tg_memdup(ask->changes, ask->n_changes * sizeof(*ask->changes));
        q->ask.changes = q->changes;
    }
    for (size_t i = 0; i < ask->n_changes; i++) {
        copy_text(&at, &q->changes[i].pk);
        copy_text(&at, &q->changes[i].put);
    }
}

static enum tg_rc post_request(struct memory_store *s, enum request_kind kind, tg_id op,
                               const struct tg_ask *ask)
{
    struct memory_group *g = group_of(s->base.group);
    struct request *q = tg_calloc(1, sizeof(*q) + bytes_of(ask));
    enum tg_rc rc = TG_OK;

    q->mail.drop = drop_request;
    q->mail.run = run_request;
    q->kind = kind;
    q->port = tg_port_ref(s->port);
    q->op = op;
    copy_ask(q, ask);
    rc = tg_mailbox_post(g->requests, &q->mail);
    if (rc != TG_OK) {
        drop_request(&q->mail);
        return rc == TG_EFULL ? TG_EBUSY : TG_ESTORE;
    }
    return TG_OK;
}

static enum tg_rc submit(struct tg_store *base, tg_id op, const struct tg_ask *ask)
{
    return post_request(store_of(base), REQ_ASK, op, ask);
}

static enum tg_rc tail(struct tg_store *base)
{
    const struct tg_ask ask = {.after = base->tail_at};
    enum tg_rc rc = post_request(store_of(base), REQ_TAIL, 0, &ask);

    base->is_tailing = rc == TG_OK;
    return rc;
}

static void timed_out(struct tg_store *base)
{
    (void)base; /* the actor's thread is slow: what it does late is dropped */
}

static void on_replies(struct tg_watch *w, unsigned events)
{
    struct memory_store *s = TG_CONTAINER_OF(w, struct memory_store, watch);

    (void)events;
    (void)tg_mailbox_drain(s->port->box, s);
}

static void free_store(void *arg)
{
    struct memory_store *s = arg;

    tg_port_unref(s->port);
    tg_store_fini(&s->base);
    free(s);
}

static void close_store(struct tg_store *base)
{
    const struct tg_ask none = {0};
    struct memory_store *s = store_of(base);

    /* Refused when full or not served: then the actor meets the closed port. */
    (void)post_request(s, REQ_BYE, 0, &none);
    tg_loop_timer_stop(base->loop, &s->more_retry);
    (void)tg_watch_release(base->loop, &s->watch);
    tg_mailbox_close(s->port->box);
    tg_loop_defer(base->loop, free_store, s);
}

static enum tg_rc open_store(struct tg_store_group *g, struct tg_loop *l,
                             const struct tg_store_event_handler *h, struct tg_store **ret_store)
{
    const struct tg_ask none = {0};
    struct memory_store *s = TG_NEW(struct memory_store);
    enum tg_rc rc = TG_OK;

    tg_store_init(&s->base, g, l, h);
    tg_timer_init(&s->more_retry, on_more_retry);
    rc = tg_port_create(2 * g->opts.max_pending + 64, &s->port);
    if (rc == TG_OK) {
        rc = tg_watch_mailbox(l, &s->watch, s->port->box, on_replies);
    }
    if (rc == TG_OK) {
        rc = post_request(s, REQ_HELLO, 0, &none);
        if (rc != TG_OK) {
            (void)tg_watch_release(l, &s->watch);
        }
    }
    if (rc != TG_OK) {
        free_store(s);
        return rc;
    }
    *ret_store = &s->base;
    return TG_OK;
}

/* ---- groups ---- */

static void destroy_group(struct tg_store_group *base)
{
    struct memory_group *g = group_of(base);

    TG_ASSERT(g->loop == NULL);
    tg_mailbox_destroy(g->requests);
    tg_store_group_fini(base);
    free(g);
}

static enum tg_rc create_group(const struct tg_store_opts *opts, struct tg_store_group **ret_group)
{
    struct memory_group *g = TG_NEW(struct memory_group);
    enum tg_rc rc = tg_store_group_init(&g->base, &tg_store_memory, opts);

    if (rc == TG_OK) {
        rc = tg_mailbox_create(MAX_REQUESTS, &g->requests);
        if (rc != TG_OK) {
            tg_store_group_fini(&g->base);
        }
    }
    if (rc != TG_OK) {
        free(g);
        return rc;
    }
    g->watch.fd = -1;
    tg_list_init(&g->clients);
    *ret_group = &g->base;
    return TG_OK;
}

const struct tg_store_ops tg_store_memory = {
    .create = create_group,
    .destroy = destroy_group,
    .serve = serve,
    .unserve = unserve,
    .open = open_store,
    .close = close_store,
    .submit = submit,
    .tail = tail,
    .timed_out = timed_out,
};
