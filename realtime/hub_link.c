/* hub_link.c - what the link's thread says, mailed to the hub's: a word about a channel finds its
 * feed, or nobody when the feed has let go of that join meanwhile.
 *
 * A transaction of many rows comes faster than the log takes it: what there is no room for waits
 * here, in its order, and goes on when appends are answered. What does not fit here either is
 * lost, and a gap takes its place in the row: what came before it must not come behind it. */
#include <stdio.h>
#include <stdlib.h>

#include "realtime/hub_int.h"
#include "util/log.h"

enum { MAX_WAITING = 65536, MAX_WAITING_BYTES = 64 * 1024 * 1024 };

/* One that has no `handle` stands for what was lost; `id` 0: of all feeds. */
struct link_mail {
    struct tg_mail mail;
    struct link_mail *next; /* hub->waiting */
    struct tg_hub *hub;
    void (*handle)(struct feed *f, const struct link_mail *m);
    uint64_t id;
    enum tg_upstream_cause why;
    bool needs_token;
    size_t n;
    char text[];
};

static void drop_mail(struct tg_mail *mail)
{
    free(TG_CONTAINER_OF(mail, struct link_mail, mail));
}

static void handle_up(struct feed *f, const struct link_mail *m)
{
    (void)m;
    feed_on_up(f);
}

static void handle_down(struct feed *f, const struct link_mail *m)
{
    feed_on_down(f, m->why, m->needs_token);
}

static void handle_refused(struct feed *f, const struct link_mail *m)
{
    feed_on_refused(f, m->why, tg_str_make(m->text, m->n));
}

static void handle_change(struct feed *f, const struct link_mail *m)
{
    feed_on_change(f, tg_str_make(m->text, m->n));
}

static void handle_rate(struct feed *f, const struct link_mail *m)
{
    (void)m;
    feed_doubt(f, "rate");
}

/* ---- on the hub's thread ---- */

static void run(struct tg_hub *h, const struct link_mail *m)
{
    char name[24];
    struct feed *f = NULL;

    if (m->id == 0) {
        for (struct tg_list *n = h->feeds.next; n != &h->feeds; n = n->next) {
            f = TG_CONTAINER_OF(n, struct feed, node);
            if (m->handle == NULL) {
                feed_lost(f, "overrun");
            } else {
                m->handle(f, m);
            }
        }
        return;
    }
    (void)snprintf(name, sizeof(name), "%llu", (unsigned long long)m->id);
    f = tg_map_find(&h->channels, tg_str_of(name));
    if (f != NULL) {
        m->handle(f, m);
    }
}

static bool has_room(const struct tg_hub *h)
{
    return h->n_appends < h->opts.max_appends;
}

static void wait_for_room(struct tg_hub *h, struct link_mail *m)
{
    if (h->waiting == NULL) {
        h->waiting = m;
    } else {
        h->last_waiting->next = m;
    }
    h->last_waiting = m;
    h->n_waiting++;
    h->waiting_bytes += m->n;
}

void hub_drain_link(struct tg_hub *h)
{
    while (h->waiting != NULL && has_room(h)) {
        struct link_mail *m = h->waiting;

        h->waiting = m->next;
        h->n_waiting--;
        h->waiting_bytes -= m->n;
        run(h, m);
        free(m);
    }
}

void hub_drop_link(struct tg_hub *h)
{
    while (h->waiting != NULL) {
        struct link_mail *m = h->waiting;

        h->waiting = m->next;
        free(m);
    }
}

/* Of what upstream says only changes are many. */
static bool is_too_much(const struct tg_hub *h, const struct link_mail *m)
{
    return m->handle == handle_change && h->n_waiting > 0 &&
           (h->n_waiting >= MAX_WAITING || h->waiting_bytes + m->n > MAX_WAITING_BYTES);
}

static void run_mail(struct tg_mail *mail, void *owner)
{
    struct link_mail *m = TG_CONTAINER_OF(mail, struct link_mail, mail);
    struct tg_hub *h = m->hub;

    (void)owner;
    if (h->waiting == NULL && has_room(h)) {
        run(h, m);
        free(m);
    } else if (!is_too_much(h, m)) {
        wait_for_room(h, m);
    } else {
        free(m);
        h->n_dropped++;
        if (h->last_waiting->handle != NULL) {
            m = TG_NEW(struct link_mail);
            wait_for_room(h, m);
        }
    }
}

/* Behind what is in the mailbox already. */
bool hub_note_loss(struct tg_hub *h)
{
    struct link_mail *m = TG_NEW(struct link_mail);

    m->mail = (struct tg_mail){.drop = drop_mail, .run = run_mail};
    m->hub = h;
    if (tg_loop_post(h->loop, &m->mail) != TG_OK) {
        free(m);
        return false;
    }
    return true;
}

/* ---- on the link's thread ---- */

/* A mail that does not fit is counted; the hub's sweep makes that a gap of every feed. */
static void post(struct tg_hub *h, uint64_t id,
                 void (*handle)(struct feed *f, const struct link_mail *m),
                 enum tg_upstream_cause why, bool needs_token, tg_str text)
{
    struct link_mail *m = tg_malloc(sizeof(*m) + text.n);

    *m = (struct link_mail){.mail = {.drop = drop_mail, .run = run_mail},
                            .hub = h,
                            .handle = handle,
                            .id = id,
                            .why = why,
                            .needs_token = needs_token,
                            .n = text.n};
    if (text.n != 0) {
        memcpy(m->text, text.p, text.n);
    }
    if (tg_loop_post_quiet(h->loop, &m->mail) != TG_OK) {
        free(m);
        tg_count_add(&h->lost, 1);
    }
}

static void on_up(uint64_t id, void *arg)
{
    post(arg, id, handle_up, TG_UP_NONE, false, TG_STR(""));
}

static void on_down(uint64_t id, enum tg_upstream_cause why, bool needs_token, void *arg)
{
    post(arg, id, handle_down, why, needs_token, TG_STR(""));
}

static void on_refused(uint64_t id, enum tg_upstream_cause why, tg_str words, void *arg)
{
    post(arg, id, handle_refused, why, false, words);
}

static void on_change(uint64_t id, tg_str payload, void *arg)
{
    post(arg, id, handle_change, TG_UP_NONE, false, payload);
}

static void on_online(bool online, void *arg)
{
    (void)arg;
    tg_log(TG_LOG_INFO, "upstream", TG_KZ("state", online ? "online" : "offline"));
}

static void on_rate(void *arg)
{
    post(arg, 0, handle_rate, TG_UP_NONE, false, TG_STR(""));
}

/* What one read of upstream's socket brought is one batch for the hub, and so for the workers:
 * a stream's ten events then are one write. */
static void on_turn(void *arg)
{
    tg_loop_wake(((struct tg_hub *)arg)->loop);
}

const struct tg_link_handler hub_link_handler = {
    on_up, on_down, on_refused, on_change, on_online, on_rate, on_turn,
};
