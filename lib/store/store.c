/* store.c - the doors of store.h: checks, the table of operations under way, their deadlines.
 *
 * Invariant: an operation is in `ids` and on `pending` from the call that started it until its
 * done is called, and its deadline runs as long. */
#include "store/store.h"

#include <stdlib.h>
#include <sys/random.h>

#include "store/backend.h"

#define STORE_MAGIC 0x73746f72U

enum { DEFAULT_MAX_BYTES = 256 << 20, EPOCH_CHARS = 13 };

struct operation {
    struct tg_list node;
    struct tg_timer timer;
    struct tg_store *store;
    tg_id id;
    enum tg_verb verb;
    union tg_done done;
    void *arg;
};

void tg_epoch_make(struct tg_epoch *ret_epoch)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz012345";
    unsigned char bytes[EPOCH_CHARS];

    TG_ASSERT(getrandom(bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes));
    memset(ret_epoch, 0, sizeof(*ret_epoch));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        ret_epoch->text[i] = alphabet[bytes[i] % 32U];
    }
}

/* ---- groups ---- */

static bool is_sane(const struct tg_store_opts *o)
{
    return o->prefix != NULL && o->prefix[0] != '\0' && strlen(o->prefix) <= 128 &&
           o->holder != NULL && o->holder[0] != '\0' && strlen(o->holder) <= 256 &&
           o->retain_for >= TG_SEC(1) &&
           (o->max_retain_for == 0 || o->max_retain_for >= o->retain_for) && o->retain_events > 0 &&
           o->log_events > 0 && o->max_event_bytes > 0 && o->max_pending > 0 && o->timeout > 0;
}

enum tg_rc tg_store_group_init(struct tg_store_group *g, const struct tg_store_ops *ops,
                               const struct tg_store_opts *opts)
{
    if (!is_sane(opts)) {
        return TG_EBADPARAM;
    }
    g->ops = ops;
    g->opts = *opts;
    g->opts.url = opts->url == NULL ? NULL : tg_strdup(opts->url);
    g->opts.prefix = tg_strdup(opts->prefix);
    g->opts.holder = tg_strdup(opts->holder);
    if (g->opts.max_bytes == 0) {
        g->opts.max_bytes = DEFAULT_MAX_BYTES;
    }
    return TG_OK;
}

static void free_text(const char **text)
{
    union {
        const char *borrowed;
        char *owned;
    } u = {.borrowed = *text};

    free(u.owned);
    *text = NULL;
}

void tg_store_group_fini(struct tg_store_group *g)
{
    free_text(&g->opts.url);
    free_text(&g->opts.prefix);
    free_text(&g->opts.holder);
}

enum tg_rc tg_store_group_create(const struct tg_store_opts *opts,
                                 struct tg_store_group **ret_group)
{
    return opts->url == NULL ? tg_store_memory.create(opts, ret_group)
                             : tg_store_redis.create(opts, ret_group);
}

void tg_store_group_destroy(struct tg_store_group *g)
{
    if (g != NULL) {
        g->ops->destroy(g);
    }
}

enum tg_rc tg_store_group_serve(struct tg_store_group *g, struct tg_loop *l)
{
    TG_ON_LOOP(l);
    return g->ops->serve(g, l);
}

void tg_store_group_unserve(struct tg_store_group *g)
{
    g->ops->unserve(g);
}

/* ---- handles ---- */

enum tg_rc tg_store_open(struct tg_store_group *g, struct tg_loop *l,
                         const struct tg_store_event_handler *h, struct tg_store **ret_store)
{
    TG_ON_LOOP(l);
    return g->ops->open(g, l, h, ret_store);
}

void tg_store_init(struct tg_store *s, struct tg_store_group *g, struct tg_loop *l,
                   const struct tg_store_event_handler *h)
{
    s->magic = STORE_MAGIC;
    s->group = g;
    s->loop = l;
    s->handler = *h;
    tg_list_init(&s->pending);
}

void tg_store_fini(struct tg_store *s)
{
    TG_ASSERT(tg_list_empty(&s->pending));
    tg_ids_fini(&s->ids);
    s->magic = 0;
}

const struct tg_store_counts *tg_store_counts(const struct tg_store *s)
{
    TG_CHECK(s, STORE_MAGIC);
    return &s->counts;
}

/* Takes the operation off every list and calls its done. */
static void finish(struct operation *op, const struct tg_answer *a)
{
    struct tg_store *s = op->store;

    tg_loop_timer_stop(s->loop, &op->timer);
    tg_list_remove(&op->node);
    tg_ids_remove(&s->ids, op->id);
    s->n_pending--;
    switch (op->verb) {
    case TG_VERB_APPEND:
    case TG_VERB_GAP:
    case TG_VERB_CONTROL:
        tg_count_add(&s->counts.appends, a->rc == TG_OK);
        op->done.append(a->rc, a->pos, op->arg);
        break;
    case TG_VERB_PAGE:
        tg_count_add(&s->counts.pages, a->rc == TG_OK);
        op->done.page(a->rc, a->page, op->arg);
        break;
    case TG_VERB_LANE:
        op->done.lane(a->rc, a->rc == TG_OK ? &a->lane : NULL, op->arg);
        break;
    case TG_VERB_TAKE:
        op->done.lease(a->rc, a->fence, a->holder, op->arg);
        break;
    case TG_VERB_RENEW:
    case TG_VERB_RELEASE:
    case TG_VERB_DEVICE_DELETE:
    case TG_VERB_ONCE:
    case TG_VERB_DENY:
    case TG_VERB_INDEX_WRITE:
        op->done.plain(a->rc, op->arg);
        break;
    case TG_VERB_DEVICE_TOUCH:
    case TG_VERB_DEVICE_GET:
        op->done.device(a->rc, a->devices, op->arg);
        break;
    case TG_VERB_DENIED:
        op->done.denied(a->rc, a->denied, a->n, op->arg);
        break;
    case TG_VERB_INDEX_LOAD:
        op->done.index(a->rc, a->rows, a->n, a->next, op->arg);
        break;
    case TG_VERB_DEVICE_ACK:
        op->done.ack(a->rc, a->acks, a->n, op->arg);
        break;
    case TG_VERB_DEVICE_LIST:
        op->done.devices(a->rc, a->devices, a->n, a->n_all, op->arg);
        break;
    default:
        TG_UNREACHABLE();
    }
    free(op);
}

void tg_store_answer(struct tg_store *s, tg_id id, const struct tg_answer *answer)
{
    struct operation *op = tg_ids_find(&s->ids, id);

    if (op == NULL) {
        return;
    }
    tg_count_add(&s->counts.fenced, answer->rc == TG_EFENCED);
    tg_count_add(&s->counts.errors, answer->rc == TG_ESTORE || answer->rc == TG_ETIMEDOUT);
    if (answer->rc == TG_OK && tg_pos_cmp(answer->pos, s->highest) > 0) {
        s->highest = answer->pos;
    }
    finish(op, answer);
}

static void fail_all(struct tg_store *s, enum tg_rc rc)
{
    const struct tg_answer answer = {.rc = rc};
    struct tg_list doomed;

    /* Only what is under way now: a done may start again, and is refused then. */
    if (tg_list_empty(&s->pending)) {
        return;
    }
    doomed = s->pending;
    doomed.prev->next = &doomed;
    doomed.next->prev = &doomed;
    tg_list_init(&s->pending);
    while (!tg_list_empty(&doomed)) {
        struct operation *op = TG_CONTAINER_OF(doomed.next, struct operation, node);

        tg_store_answer(s, op->id, &answer);
    }
}

void tg_store_close(struct tg_store *s)
{
    if (s == NULL) {
        return;
    }
    TG_CHECK(s, STORE_MAGIC);
    TG_ON_LOOP(s->loop);
    if (s->is_closed) {
        return;
    }
    s->is_closed = true;
    s->is_up = false;
    s->is_tailing = false;
    fail_all(s, TG_ECANCELED);
    s->group->ops->close(s);
}

void tg_store_tell_up(struct tg_store *s, const struct tg_epoch *epoch, struct tg_pos last,
                      bool is_suspect)
{
    if (s->is_closed) {
        return;
    }
    if (s->epoch.text[0] != '\0' && strcmp(s->epoch.text, epoch->text) != 0) {
        tg_count_add(&s->counts.epoch_changes, 1);
    }
    s->epoch = *epoch;
    s->highest = last;
    s->is_up = true;
    s->handler.on_state(TG_STORE_UP, epoch, last, is_suspect, s->handler.arg);
}

void tg_store_tell_down(struct tg_store *s)
{
    if (!s->is_up || s->is_closed) {
        return;
    }
    s->is_up = false;
    s->is_tailing = false;
    fail_all(s, TG_ESTORE);
    if (!s->is_closed) {
        s->handler.on_state(TG_STORE_DOWN, &s->epoch, s->highest, false, s->handler.arg);
    }
}

void tg_store_tell_batch(struct tg_store *s, const struct tg_entry *entries, size_t n,
                         struct tg_pos last, bool is_cut)
{
    if (!s->is_tailing || s->is_closed) {
        return;
    }
    tg_count_add(&s->counts.entries_read, n);
    s->tail_at = last;
    if (tg_pos_cmp(last, s->highest) > 0) {
        s->highest = last;
    }
    s->on_batch(entries, n, last, is_cut, s->tail_arg);
}

/* ---- operations ---- */

static void on_deadline(struct tg_timer *timer)
{
    const struct tg_answer answer = {.rc = TG_ETIMEDOUT};
    struct operation *op = TG_CONTAINER_OF(timer, struct operation, timer);
    struct tg_store *s = op->store;

    tg_store_answer(s, op->id, &answer);
    if (!s->is_closed) {
        s->group->ops->timed_out(s);
    }
}

enum tg_rc tg_store_start(struct tg_store *s, const struct tg_ask *ask, union tg_done done,
                          void *arg)
{
    const struct tg_store_opts *o = NULL;
    struct operation *op = NULL;
    enum tg_rc rc = TG_OK;

    TG_CHECK(s, STORE_MAGIC);
    TG_ON_LOOP(s->loop);
    o = &s->group->opts;
    if (s->is_closed) {
        return TG_ECLOSED;
    }
    if (ask->feed.n > TG_NAME_MAX || ask->topic.n > TG_NAME_MAX) {
        return TG_EBADPARAM;
    }
    if (ask->payload.n > o->max_event_bytes) {
        return TG_ELIMIT;
    }
    if (!s->is_up) {
        return TG_ESTORE;
    }
    if (s->n_pending >= o->max_pending) {
        return TG_EBUSY;
    }
    op = TG_NEW(struct operation);
    op->done = done;
    op->arg = arg;
    op->store = s;
    op->verb = ask->verb;
    op->id = tg_ids_add(&s->ids, op);
    tg_timer_init(&op->timer, on_deadline);
    rc = s->group->ops->submit(s, op->id, ask);
    if (rc != TG_OK) {
        tg_ids_remove(&s->ids, op->id);
        free(op);
        return rc;
    }
    tg_list_init(&op->node);
    tg_list_append(&s->pending, &op->node);
    s->n_pending++;
    tg_loop_timer_start(s->loop, &op->timer, o->timeout);
    return TG_OK;
}

enum tg_rc tg_store_lease_take(struct tg_store *s, tg_str feed, tg_usec ttl, tg_lease_fn *done,
                               void *arg)
{
    const struct tg_ask ask = {.verb = TG_VERB_TAKE, .feed = feed, .ttl = ttl};
    const union tg_done end = {.lease = done};

    return feed.n == 0 || ttl < 1000 ? TG_EBADPARAM : tg_store_start(s, &ask, end, arg);
}

enum tg_rc tg_store_lease_renew(struct tg_store *s, tg_str feed, uint64_t fence, tg_usec ttl,
                                tg_done_fn *done, void *arg)
{
    const struct tg_ask ask = {.verb = TG_VERB_RENEW, .feed = feed, .fence = fence, .ttl = ttl};
    const union tg_done end = {.plain = done};

    return feed.n == 0 || ttl < 1000 ? TG_EBADPARAM : tg_store_start(s, &ask, end, arg);
}

enum tg_rc tg_store_lease_release(struct tg_store *s, tg_str feed, uint64_t fence, tg_done_fn *done,
                                  void *arg)
{
    const struct tg_ask ask = {.verb = TG_VERB_RELEASE, .feed = feed, .fence = fence};
    const union tg_done end = {.plain = done};

    return feed.n == 0 ? TG_EBADPARAM : tg_store_start(s, &ask, end, arg);
}

static bool is_retention(const struct tg_store *s, tg_usec retain_for)
{
    return retain_for == 0 ||
           (retain_for >= TG_SEC(1) && retain_for <= tg_store_max_retain(&s->group->opts));
}

static bool is_index_change(const struct tg_write *w)
{
    return w->index_pk.n == 0 || (w->feed.n != 0 && w->index_pk.n <= TG_INDEX_FIELD_MAX &&
                                  w->index_put.n <= TG_INDEX_VALUE_MAX);
}

static bool is_once(tg_str key, tg_usec ttl)
{
    return key.n > 0 && key.n <= TG_ONCE_MAX && ttl >= TG_MS(1) && ttl <= TG_ONCE_TTL_MAX;
}

enum tg_rc tg_store_once(struct tg_store *s, tg_str key, tg_usec ttl, tg_done_fn *done, void *arg)
{
    const struct tg_ask ask = {.verb = TG_VERB_ONCE, .once = key, .ttl = ttl};
    const union tg_done end = {.plain = done};

    return is_once(key, ttl) ? tg_store_start(s, &ask, end, arg) : TG_EBADPARAM;
}

enum tg_rc tg_store_append(struct tg_store *s, const struct tg_write *w, tg_append_fn *done,
                           void *arg)
{
    const struct tg_ask ask = {.verb = TG_VERB_APPEND,
                               .epoch = *w->epoch,
                               .feed = w->feed,
                               .fence = w->fence,
                               .topic = w->topic,
                               .payload = w->payload,
                               .once = w->once,
                               .ttl = w->once.n == 0 ? 0 : w->once_ttl,
                               .retain_for = w->retain_for,
                               .retain_events = w->retain_events,
                               .index_pk = w->index_pk,
                               .index_put = w->index_put};
    const union tg_done end = {.append = done};

    if (w->topic.n == 0 || (w->once.n != 0 && !is_once(w->once, w->once_ttl)) ||
        !is_retention(s, w->retain_for) || !is_index_change(w)) {
        return TG_EBADPARAM;
    }
    return tg_store_start(s, &ask, end, arg);
}

enum tg_rc tg_store_gap(struct tg_store *s, const struct tg_write *w, tg_append_fn *done, void *arg)
{
    const struct tg_ask ask = {.verb = TG_VERB_GAP,
                               .epoch = *w->epoch,
                               .feed = w->feed,
                               .fence = w->fence,
                               .payload = w->payload};
    const union tg_done end = {.append = done};

    return tg_store_start(s, &ask, end, arg);
}

enum tg_rc tg_store_deny(struct tg_store *s, tg_str key, int64_t until_sec, tg_done_fn *done,
                         void *arg)
{
    const struct tg_ask ask = {.verb = TG_VERB_DENY, .once = key, .until_sec = until_sec};
    const union tg_done end = {.plain = done};

    if (key.n == 0 || key.n > TG_ONCE_MAX || until_sec < 0 || until_sec >= TG_DENY_UNTIL_MAX) {
        return TG_EBADPARAM;
    }
    return tg_store_start(s, &ask, end, arg);
}

enum tg_rc tg_store_denied(struct tg_store *s, tg_denied_fn *done, void *arg)
{
    const struct tg_ask ask = {.verb = TG_VERB_DENIED};
    const union tg_done end = {.denied = done};

    return tg_store_start(s, &ask, end, arg);
}

enum tg_rc tg_store_control(struct tg_store *s, const struct tg_epoch *epoch, tg_str payload,
                            tg_append_fn *done, void *arg)
{
    const struct tg_ask ask = {.verb = TG_VERB_CONTROL, .epoch = *epoch, .payload = payload};
    const union tg_done end = {.append = done};

    return tg_store_start(s, &ask, end, arg);
}

enum tg_rc tg_store_page(struct tg_store *s, const struct tg_page_request *req, tg_page_fn *done,
                         void *arg)
{
    const struct tg_ask ask = {.verb = TG_VERB_PAGE,
                               .epoch = req->epoch,
                               .feed = req->feed,
                               .topic = req->topic,
                               .after = req->after,
                               .up_to = req->up_to,
                               .max_entries = TG_MIN(req->max_entries, (unsigned)TG_PAGE_MAX),
                               .retain_for = req->retain_for};
    const union tg_done end = {.page = done};

    return req->topic.n == 0 || req->max_entries == 0 || !is_retention(s, req->retain_for)
               ? TG_EBADPARAM
               : tg_store_start(s, &ask, end, arg);
}

enum tg_rc tg_store_lane(struct tg_store *s, tg_str topic, struct tg_pos after, tg_usec retain_for,
                         tg_lane_fn *done, void *arg)
{
    const struct tg_ask ask = {.verb = TG_VERB_LANE,
                               .epoch = s->epoch,
                               .topic = topic,
                               .after = after,
                               .retain_for = retain_for};
    const union tg_done end = {.lane = done};

    return topic.n == 0 || !is_retention(s, retain_for) ? TG_EBADPARAM
                                                        : tg_store_start(s, &ask, end, arg);
}

enum tg_rc tg_store_tail(struct tg_store *s, struct tg_pos after, tg_tail_fn *on_batch, void *arg)
{
    TG_CHECK(s, STORE_MAGIC);
    TG_ON_LOOP(s->loop);
    if (s->is_closed) {
        return TG_ECLOSED;
    }
    if (!s->is_up) {
        return TG_ESTORE;
    }
    if (s->is_tailing) {
        return TG_ECONFLICT;
    }
    s->is_tailing = true;
    s->tail_at = after;
    s->on_batch = on_batch;
    s->tail_arg = arg;
    return s->group->ops->tail(s);
}
