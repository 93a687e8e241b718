/* memlog.c - entries in one list by id, threaded by lane (a topic, or the gaps of a feed).
 *
 *   all:   e1  e2  e3 | e4  e5  e6      in the log from `first` on; what lies before it has
 *          |   |   |  | |   |   |       left the log and stays for its lane
 *   lane:  A   B   A  | B   A   gap
 *
 * An entry is freed when neither the log nor its lane holds it. Whatever leaves a lane raises
 * its floor, so that no hole is silent. */
#include "store/memlog.h"

#include <stdlib.h>

#include "util/map.h"

enum {
    MAX_GAPS = 512,            /* of one feed */
    MAX_EMPTY_LANES = 1 << 16, /* remembered for their floor only */
    MAX_LEASES = 1 << 16,
    OLD_PER_APPEND = 16,
    ENTRY_COST = 160, /* an entry's own bookkeeping, for max_bytes */
};

struct lane {
    struct tg_pos floor; /* at or below it something may be gone */
    struct tg_list entries;
    uint64_t n;
};

struct mem_entry {
    struct tg_list all;
    struct tg_list in_lane;
    struct lane *lane; /* NULL: left it, or never had one */
    bool in_log;
    struct tg_memblob *blob;
};

struct lease {
    uint64_t fence;
    tg_usec until;
    char *holder;
};

struct tg_memlog {
    struct tg_store_opts opts;
    struct tg_epoch epoch;
    struct tg_pos start;
    struct tg_pos last;
    struct tg_pos log_floor;  /* the last entry that left the log */
    struct tg_pos lost_floor; /* of lanes that are not remembered */
    struct tg_list all;
    struct tg_list *first; /* of the log; &all when it has none */
    uint64_t n_log;
    size_t n_bytes;
    size_t n_empty;
    uint64_t last_fence;
    struct tg_map topics;
    struct tg_map feeds; /* "" holds the gaps of all feeds */
    struct tg_map leases;
};

static struct tg_pos later(struct tg_pos a, struct tg_pos b)
{
    return tg_pos_cmp(a, b) > 0 ? a : b;
}

void tg_memblob_unref(struct tg_memblob *b)
{
    if (b != NULL && tg_ref_drop(&b->ref)) {
        free(b);
    }
}

static size_t cost_of(const struct tg_memblob *b)
{
    return ENTRY_COST + sizeof(*b) + b->entry.name.n + b->entry.payload.n;
}

const struct tg_epoch *tg_memlog_epoch(const struct tg_memlog *m)
{
    return &m->epoch;
}

struct tg_pos tg_memlog_last(const struct tg_memlog *m)
{
    return m->last;
}

size_t tg_memlog_bytes(const struct tg_memlog *m)
{
    return m->n_bytes;
}

/* ---- lanes and entries ---- */

static struct lane *find_lane(struct tg_map *lanes, tg_str name)
{
    return tg_map_find(lanes, name);
}

static struct lane *get_lane(struct tg_memlog *m, struct tg_map *lanes, tg_str name)
{
    struct lane *lane = tg_map_find(lanes, name);

    if (lane == NULL) {
        lane = TG_NEW(struct lane);
        lane->floor = later(m->start, m->lost_floor);
        tg_list_init(&lane->entries);
        m->n_empty++;
        TG_ASSERT(tg_map_put(lanes, name, lane) == NULL);
    }
    return lane;
}

static void release_entry(struct tg_memlog *m, struct mem_entry *e)
{
    if (e->in_log || e->lane != NULL) {
        return;
    }
    m->n_bytes -= cost_of(e->blob);
    tg_list_remove(&e->all);
    tg_memblob_unref(e->blob);
    free(e);
}

static void leave_lane(struct tg_memlog *m, struct mem_entry *e)
{
    struct lane *lane = e->lane;

    if (lane != NULL) {
        lane->floor = later(lane->floor, e->blob->entry.pos);
        lane->n--;
        m->n_empty += lane->n == 0;
        tg_list_remove(&e->in_lane);
        e->lane = NULL;
    }
    release_entry(m, e);
}

static struct mem_entry *entry_at(struct tg_list *node)
{
    return TG_CONTAINER_OF(node, struct mem_entry, all);
}

static void leave_log(struct tg_memlog *m, struct mem_entry *e)
{
    TG_ASSERT(m->first == &e->all && e->in_log);
    m->first = e->all.next;
    m->log_floor = e->blob->entry.pos;
    m->n_log--;
    e->in_log = false;
    release_entry(m, e);
}

static void drop_entry(struct tg_memlog *m, struct mem_entry *e)
{
    bool in_lane = e->lane != NULL;

    if (e->in_log) {
        leave_log(m, e);
    }
    if (in_lane) {
        leave_lane(m, e);
    }
}

static void forget_lanes(struct tg_memlog *m, struct tg_map *lanes)
{
    tg_str key = TG_STR_NONE;
    void *value = NULL;

    for (size_t at = 0; tg_map_next(lanes, &at, &key, &value);) {
        struct lane *lane = value;

        if (lane->n == 0) {
            m->lost_floor = later(m->lost_floor, lane->floor);
            m->n_empty--;
            (void)tg_map_remove(lanes, key);
            free(lane);
        }
    }
}

/* What lies below is older than that. */
static struct tg_pos age_limit(tg_usec retain_for, struct tg_memtime now)
{
    uint64_t retain_ms = retain_for / 1000;

    return (struct tg_pos){.ms = now.wall_ms > retain_ms ? now.wall_ms - retain_ms : 0};
}

static void trim_lane(struct tg_memlog *m, struct lane *lane, uint64_t max, struct tg_pos age)
{
    while (lane->n > 0) {
        struct mem_entry *e = TG_CONTAINER_OF(lane->entries.next, struct mem_entry, in_lane);

        if (lane->n <= max && tg_pos_cmp(e->blob->entry.pos, age) >= 0) {
            break;
        }
        leave_lane(m, e);
    }
}

static void trim(struct tg_memlog *m, struct tg_memtime now)
{
    struct tg_pos oldest = age_limit(tg_store_max_retain(&m->opts), now);

    while (m->n_log > m->opts.log_events) {
        leave_log(m, entry_at(m->first));
    }
    /* Topics without new events: their old ones lead the list. */
    for (int i = 0; i < OLD_PER_APPEND && m->all.next != m->first; i++) {
        struct mem_entry *e = entry_at(m->all.next);

        if (e->blob->entry.pos.ms >= oldest.ms) {
            break;
        }
        drop_entry(m, e);
    }
    while (m->n_bytes > m->opts.max_bytes && m->all.next != m->all.prev) {
        drop_entry(m, entry_at(m->all.next));
    }
    if (m->n_empty > MAX_EMPTY_LANES) {
        forget_lanes(m, &m->topics);
        forget_lanes(m, &m->feeds);
    }
}

static struct tg_pos put(struct tg_memlog *m, struct lane *lane, const struct tg_entry *like,
                         struct tg_memtime now)
{
    struct tg_memblob *b = tg_malloc(sizeof(*b) + like->name.n + like->payload.n);
    struct mem_entry *e = TG_NEW(struct mem_entry);

    if (now.wall_ms > m->last.ms) {
        m->last = (struct tg_pos){.ms = now.wall_ms};
    } else {
        m->last.seq++; /* the clock stands or went back: ids never do */
    }
    tg_ref_init(&b->ref);
    b->entry = (struct tg_entry){.pos = m->last,
                                 .kind = like->kind,
                                 .name = tg_str_make(b->bytes, like->name.n),
                                 .payload = tg_str_make(b->bytes + like->name.n, like->payload.n)};
    if (like->name.n != 0) {
        memcpy(b->bytes, like->name.p, like->name.n);
    }
    if (like->payload.n != 0) {
        memcpy(b->bytes + like->name.n, like->payload.p, like->payload.n);
    }
    e->blob = b;
    e->in_log = true;
    tg_list_append(&m->all, &e->all);
    if (m->first == &m->all) {
        m->first = &e->all;
    }
    m->n_log++;
    m->n_bytes += cost_of(b);
    tg_list_init(&e->in_lane);
    if (lane != NULL) {
        m->n_empty -= lane->n == 0;
        lane->n++;
        tg_list_append(&lane->entries, &e->in_lane);
        e->lane = lane;
    }
    return m->last;
}

/* ---- what is asked ---- */

static bool holds(struct tg_memlog *m, tg_str feed, uint64_t fence, struct tg_memtime now)
{
    const struct lease *l = tg_map_find(&m->leases, feed);

    return l != NULL && l->until > now.mono && l->fence == fence;
}

enum tg_rc tg_memlog_check(struct tg_memlog *m, const struct tg_ask *ask, struct tg_memtime now)
{
    if (strcmp(ask->epoch.text, m->epoch.text) != 0) {
        return TG_EEPOCH;
    }
    return ask->feed.n != 0 && !holds(m, ask->feed, ask->fence, now) ? TG_EFENCED : TG_OK;
}

enum tg_rc tg_memlog_append(struct tg_memlog *m, const struct tg_ask *ask, struct tg_memtime now,
                            struct tg_pos *ret_pos)
{
    bool is_gap = ask->verb == TG_VERB_GAP;
    bool is_control = ask->verb == TG_VERB_CONTROL;
    const struct tg_entry like = {.kind = is_gap       ? TG_ENTRY_GAP
                                          : is_control ? TG_ENTRY_CONTROL
                                                       : TG_ENTRY_EVENT,
                                  .name = is_gap ? ask->feed : ask->topic,
                                  .payload = ask->payload};
    struct lane *lane = NULL;
    enum tg_rc rc = tg_memlog_check(m, ask, now);

    if (rc != TG_OK) {
        return rc;
    }
    if (!is_control) {
        lane = get_lane(m, is_gap ? &m->feeds : &m->topics, like.name);
    }
    *ret_pos = put(m, lane, &like, now);
    if (is_gap) {
        trim_lane(m, lane, MAX_GAPS, age_limit(tg_store_max_retain(&m->opts), now));
    } else if (lane != NULL) {
        trim_lane(m, lane, tg_store_retain_events(&m->opts, ask),
                  age_limit(tg_store_retain_for(&m->opts, ask), now));
    }
    trim(m, now);
    return TG_OK;
}

/* The last gap of one feed at or below up_to, or its floor when gaps behind `after` were
 * forgotten; {0,0}: none. */
static struct tg_pos last_gap(struct tg_memlog *m, tg_str feed, struct tg_pos after,
                              struct tg_pos up_to)
{
    const struct lane *lane = find_lane(&m->feeds, feed);
    struct tg_pos gap = {0};

    if (lane == NULL) {
        return gap;
    }
    for (struct tg_list *n = lane->entries.prev; n != &lane->entries; n = n->prev) {
        gap = TG_CONTAINER_OF(n, struct mem_entry, in_lane)->blob->entry.pos;
        if (tg_pos_cmp(gap, up_to) <= 0) {
            return gap;
        }
    }
    gap = lane->floor;
    return tg_pos_cmp(gap, after) > 0 && tg_pos_cmp(gap, m->start) > 0 ? up_to : (struct tg_pos){0};
}

/* Whether the topic holds something behind `after`, at `up_to` at the latest. */
static bool holds_between(const struct lane *lane, struct tg_pos after, struct tg_pos up_to)
{
    if (lane == NULL) {
        return false;
    }
    for (struct tg_list *n = lane->entries.next; n != &lane->entries; n = n->next) {
        struct tg_pos pos = TG_CONTAINER_OF(n, struct mem_entry, in_lane)->blob->entry.pos;

        if (tg_pos_cmp(pos, after) > 0) {
            return tg_pos_cmp(pos, up_to) <= 0;
        }
    }
    return false;
}

static void judge(struct tg_memlog *m, const struct tg_ask *ask, const struct lane *lane,
                  struct tg_memtime now, struct tg_mempage *page)
{
    struct tg_pos age = age_limit(tg_store_retain_for(&m->opts, ask), now);
    struct tg_pos floor = lane == NULL ? later(m->start, m->lost_floor) : lane->floor;
    struct tg_pos gap = {0};

    page->resume = ask->up_to;
    if (strcmp(ask->epoch.text, m->epoch.text) != 0) {
        page->verdict = TG_RESET_EPOCH;
        return;
    }
    if (tg_pos_cmp(ask->after, m->last) >= 0) {
        bool is_end = tg_pos_cmp(ask->after, m->last) == 0;

        page->verdict = is_end ? TG_COMPLETE : TG_RESET_AHEAD;
        page->resume = is_end ? ask->after : ask->up_to;
        return;
    }
    gap = later(last_gap(m, ask->feed, ask->after, ask->up_to),
                last_gap(m, TG_STR(""), ask->after, ask->up_to));
    if (tg_pos_cmp(ask->after, floor) < 0 || tg_pos_cmp(ask->after, age) < 0) {
        struct tg_pos held = later(floor, age);
        struct tg_pos whole = later(held, gap);

        page->verdict = TG_RESET_EXPIRED;
        page->resume = tg_pos_cmp(whole, ask->up_to) < 0 ? whole : ask->up_to;
        page->has_skipped = tg_pos_cmp(gap, held) > 0 && holds_between(lane, held, page->resume);
    } else if (tg_pos_cmp(gap, ask->after) > 0) {
        page->verdict = TG_RESET_GAP;
        page->resume = gap;
    } else {
        page->verdict = TG_COMPLETE;
        page->resume = ask->after;
    }
}

void tg_memlog_page(struct tg_memlog *m, const struct tg_ask *ask, struct tg_memtime now,
                    struct tg_memblob **blobs, struct tg_mempage *ret_page)
{
    struct lane *lane = find_lane(&m->topics, ask->topic);
    struct tg_mempage page = {0};
    struct tg_list *n = NULL;

    judge(m, ask, lane, now, &page);
    if (lane != NULL) {
        /* From the end: most cursors are near it. */
        n = lane->entries.prev;
        while (n != &lane->entries &&
               tg_pos_cmp(TG_CONTAINER_OF(n, struct mem_entry, in_lane)->blob->entry.pos,
                          page.resume) > 0) {
            n = n->prev;
        }
        for (n = n->next; n != &lane->entries; n = n->next) {
            struct tg_memblob *b = TG_CONTAINER_OF(n, struct mem_entry, in_lane)->blob;

            if (tg_pos_cmp(b->entry.pos, ask->up_to) > 0) {
                break;
            }
            if (page.n == ask->max_entries) {
                page.has_more = true;
                break;
            }
            tg_ref_take(&b->ref);
            blobs[page.n++] = b;
        }
    }
    *ret_page = page;
}

void tg_memlog_lane(struct tg_memlog *m, const struct tg_ask *ask, struct tg_memtime now,
                    struct tg_lane *ret_lane)
{
    struct lane *lane = find_lane(&m->topics, ask->topic);
    struct tg_lane l = {.last = m->last, .epoch = m->epoch};
    struct tg_pos after = later(ask->after, age_limit(tg_store_retain_for(&m->opts, ask), now));

    if (lane == NULL) {
        *ret_lane = l;
        return;
    }
    for (struct tg_list *n = lane->entries.prev; n != &lane->entries; n = n->prev) {
        struct tg_pos pos = TG_CONTAINER_OF(n, struct mem_entry, in_lane)->blob->entry.pos;

        if (tg_pos_cmp(pos, after) <= 0) {
            break;
        }
        l.newest = l.n == 0 ? pos : l.newest;
        l.oldest = pos;
        l.n++;
    }
    l.is_capped = l.n > TG_LANE_MAX;
    l.n = TG_MIN(l.n, (uint64_t)TG_LANE_MAX);
    *ret_lane = l;
}

size_t tg_memlog_read(struct tg_memlog *m, struct tg_pos after, size_t max,
                      struct tg_memblob **blobs, bool *ret_is_cut)
{
    struct tg_list *n = m->all.prev;
    size_t count = 0;

    *ret_is_cut = tg_pos_cmp(after, m->log_floor) < 0;
    while (n != m->first->prev && tg_pos_cmp(entry_at(n)->blob->entry.pos, after) > 0) {
        n = n->prev;
    }
    for (n = n->next; n != &m->all && count < max; n = n->next) {
        struct tg_memblob *b = entry_at(n)->blob;

        tg_ref_take(&b->ref);
        blobs[count++] = b;
    }
    return count;
}

/* ---- leases ---- */

static void forget_leases(struct tg_memlog *m, struct tg_memtime now)
{
    tg_str key = TG_STR_NONE;
    void *value = NULL;

    for (size_t at = 0; tg_map_next(&m->leases, &at, &key, &value);) {
        struct lease *l = value;

        if (l->until <= now.mono) {
            (void)tg_map_remove(&m->leases, key);
            free(l->holder);
            free(l);
        }
    }
}

static enum tg_rc take_lease(struct tg_memlog *m, const struct tg_ask *ask, tg_str holder,
                             struct tg_memtime now, struct lease **ret_lease)
{
    struct lease *l = tg_map_find(&m->leases, ask->feed);

    if (l != NULL && l->until > now.mono && !tg_str_eq(tg_str_of(l->holder), holder)) {
        *ret_lease = l;
        return TG_ECONFLICT;
    }
    if (l == NULL) {
        if (m->leases.n >= MAX_LEASES) {
            forget_leases(m, now);
        }
        if (m->leases.n >= MAX_LEASES) {
            return TG_ESTOREFULL;
        }
        l = TG_NEW(struct lease);
        (void)tg_map_put(&m->leases, ask->feed, l);
    }
    free(l->holder);
    l->holder = tg_str_dup(holder);
    l->fence = ++m->last_fence;
    l->until = now.mono + ask->ttl;
    *ret_lease = l;
    return TG_OK;
}

enum tg_rc tg_memlog_lease(struct tg_memlog *m, const struct tg_ask *ask, tg_str holder,
                           struct tg_memtime now, uint64_t *ret_fence, tg_str *ret_holder)
{
    struct lease *l = NULL;
    enum tg_rc rc = TG_OK;

    if (ask->verb == TG_VERB_TAKE) {
        rc = take_lease(m, ask, holder, now, &l);
    } else if (!holds(m, ask->feed, ask->fence, now)) {
        return TG_EFENCED;
    } else {
        l = tg_map_find(&m->leases, ask->feed);
        l->until = ask->verb == TG_VERB_RENEW ? now.mono + ask->ttl : 0;
    }
    if (l != NULL) {
        *ret_fence = l->fence;
        *ret_holder = tg_str_of(l->holder);
    }
    return rc;
}

/* ---- life ---- */

struct tg_memlog *tg_memlog_create(const struct tg_store_opts *opts, struct tg_memtime now)
{
    struct tg_memlog *m = TG_NEW(struct tg_memlog);

    m->opts = *opts;
    tg_epoch_make(&m->epoch);
    tg_list_init(&m->all);
    m->first = &m->all;
    m->last_fence = now.wall_ms * 1000;
    /* The log's start is a position without an entry. */
    m->start = (struct tg_pos){.ms = now.wall_ms};
    m->last = m->start;
    return m;
}

static void free_lanes(struct tg_map *lanes)
{
    tg_str key = TG_STR_NONE;
    void *value = NULL;

    for (size_t at = 0; tg_map_next(lanes, &at, &key, &value);) {
        free(value);
    }
    tg_map_fini(lanes);
}

void tg_memlog_destroy(struct tg_memlog *m)
{
    tg_str key = TG_STR_NONE;
    void *value = NULL;

    if (m == NULL) {
        return;
    }
    while (!tg_list_empty(&m->all)) {
        drop_entry(m, entry_at(m->all.next));
    }
    TG_ASSERT(m->n_bytes == 0);
    free_lanes(&m->topics);
    free_lanes(&m->feeds);
    for (size_t at = 0; tg_map_next(&m->leases, &at, &key, &value);) {
        struct lease *l = value;

        free(l->holder);
        free(l);
    }
    tg_map_fini(&m->leases);
    free(m);
}
