/* store_memory_race.c - three threads write to, page and tail one log in memory and acknowledge
 * for one device, which live on the loop of a fourth; handles come and go. For ThreadSanitizer. */
#include <pthread.h>
#include <stdlib.h>

#include "store/device.h"
#include "util/ref.h"

enum { THREADS = 3, APPENDS = 400, WINDOW = 16 };

struct worker {
    struct tg_store_group *group;
    struct tg_loop *hub; /* stopped by the last worker */
    tg_ref *n_left;
    pthread_t thread;
    struct tg_loop *loop;
    struct tg_store *store;
    struct tg_epoch epoch;
    struct tg_pos start;
    struct tg_pos tailed; /* ids only grow */
    struct tg_pos last;   /* of this worker's own appends */
    unsigned n_started;
    unsigned n_done;
    bool is_paging;
    bool is_touching;
    struct tg_pos acked;
};

static void on_page(enum tg_rc rc, const struct tg_page *page, void *arg)
{
    struct worker *w = arg;

    w->is_paging = false;
    if (rc == TG_ECANCELED) {
        return;
    }
    TG_ASSERT(rc == TG_OK && page->verdict == TG_COMPLETE);
    for (size_t i = 1; i < page->n; i++) {
        TG_ASSERT(tg_pos_cmp(page->entries[i].pos, page->entries[i - 1].pos) > 0);
        TG_ASSERT(tg_str_eq(page->entries[i].payload, TG_STR("{}")));
    }
}

static void on_touch(enum tg_rc rc, const struct tg_device *d, void *arg)
{
    struct worker *w = arg;

    w->is_touching = false;
    if (rc == TG_ECANCELED) {
        return;
    }
    TG_ASSERT(rc == TG_OK && d->n_topics == 1 && d->topics[0].ack == TG_ACK_OK);
    TG_ASSERT(tg_str_eq(d->topics[0].name, TG_STR("shared")));
    /* The others acknowledge too: never less than ours. */
    TG_ASSERT(tg_pos_cmp(d->topics[0].pos, w->acked) >= 0);
}

static void touch(struct worker *w)
{
    const struct tg_device_topic topic = {
        .name = TG_STR("shared"), .has_cursor = true, .epoch = w->epoch, .pos = w->last};
    const struct tg_device_want want = {.user = TG_STR("user"),
                                        .device = TG_STR("device"),
                                        .topics = &topic,
                                        .n_topics = 1,
                                        .max_devices = 1,
                                        .max_topics = 1,
                                        .ttl = TG_SEC(60)};

    w->is_touching = true;
    w->acked = w->last;
    TG_ASSERT(tg_store_device_touch(w->store, &want, on_touch, w) == TG_OK);
}

static void work_on(struct worker *w);

static void end_if_all_is_there(struct worker *w)
{
    /* Everything of our own was appended, and the tail has told it. */
    if (w->n_done == APPENDS && tg_pos_cmp(w->tailed, w->last) >= 0 && w->store != NULL) {
        tg_store_close(w->store); /* a page may be under way: it ends as cancelled */
        w->store = NULL;
        tg_loop_stop(w->loop);
    }
}

static void on_append(enum tg_rc rc, struct tg_pos pos, void *arg)
{
    struct worker *w = arg;

    TG_ASSERT(rc == TG_OK && tg_pos_cmp(pos, w->last) > 0);
    w->last = pos;
    w->n_done++;
    work_on(w);
    end_if_all_is_there(w);
}

static void work_on(struct worker *w)
{
    const struct tg_write what = {
        .epoch = &w->epoch, .topic = TG_STR("shared"), .payload = TG_STR("{}")};
    const struct tg_page_request req = {.topic = TG_STR("shared"),
                                        .epoch = w->epoch,
                                        .after = w->start,
                                        .up_to = w->last,
                                        .max_entries = 50};

    while (w->n_started < APPENDS && w->n_started - w->n_done < WINDOW) {
        w->n_started++;
        TG_ASSERT(tg_store_append(w->store, &what, on_append, w) == TG_OK);
    }
    if (!w->is_paging && w->n_done % 10 == 1 && w->n_done < APPENDS) {
        w->is_paging = true;
        TG_ASSERT(tg_store_page(w->store, &req, on_page, w) == TG_OK);
    }
    if (!w->is_touching && w->n_done % 10 == 5) {
        touch(w);
    }
}

static void on_batch(const struct tg_entry *entries, size_t n, struct tg_pos last, bool is_cut,
                     void *arg)
{
    struct worker *w = arg;

    TG_ASSERT(!is_cut);
    for (size_t i = 0; i < n; i++) {
        TG_ASSERT(tg_pos_cmp(entries[i].pos, w->tailed) > 0);
        w->tailed = entries[i].pos;
    }
    TG_ASSERT(tg_pos_cmp(last, w->tailed) == 0);
    end_if_all_is_there(w);
}

static void on_state(enum tg_store_state state, const struct tg_epoch *epoch, struct tg_pos last,
                     bool is_suspect, void *arg)
{
    struct worker *w = arg;

    TG_ASSERT(state == TG_STORE_UP && !is_suspect);
    w->epoch = *epoch;
    w->start = last;
    w->last = last;
    w->tailed = last;
    TG_ASSERT(tg_store_tail(w->store, last, on_batch, w) == TG_OK);
    work_on(w);
}

struct stop {
    struct tg_mail mail;
};

static void drop_stop(struct tg_mail *mail)
{
    free(TG_CONTAINER_OF(mail, struct stop, mail));
}

static void run_stop(struct tg_mail *mail, void *owner)
{
    tg_loop_stop(owner);
    mail->drop(mail);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    const struct tg_store_event_handler h = {.on_state = on_state, .arg = w};

    TG_ASSERT(tg_loop_create("worker", 16, &w->loop) == TG_OK);
    TG_ASSERT(tg_store_open(w->group, w->loop, &h, &w->store) == TG_OK);
    tg_loop_run(w->loop);
    tg_loop_destroy(w->loop);
    if (tg_ref_drop(w->n_left)) {
        struct stop *stop = TG_NEW(struct stop);

        stop->mail.drop = drop_stop;
        stop->mail.run = run_stop;
        TG_ASSERT(tg_loop_post(w->hub, &stop->mail) == TG_OK);
    }
    return NULL;
}

int main(void)
{
    const struct tg_store_opts opts = {.prefix = "race",
                                       .holder = "race",
                                       .retain_for = TG_SEC(3600),
                                       .retain_events = 100000,
                                       .log_events = 100000,
                                       .max_event_bytes = 1000,
                                       .max_pending = 100,
                                       .timeout = TG_SEC(60)};
    struct worker workers[THREADS] = {{0}};
    struct tg_store_group *group = NULL;
    struct tg_loop *hub = NULL;
    tg_ref n_left;

    TG_ASSERT(tg_store_group_create(&opts, &group) == TG_OK);
    TG_ASSERT(tg_loop_create("hub", 16, &hub) == TG_OK);
    tg_loop_set_owner(hub, hub);
    tg_ref_init(&n_left);
    for (unsigned i = 1; i < THREADS; i++) {
        tg_ref_take(&n_left);
    }
    /* The workers open before or after the log is served. */
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].group = group;
        workers[i].hub = hub;
        workers[i].n_left = &n_left;
        TG_ASSERT(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    TG_ASSERT(tg_store_group_serve(group, hub) == TG_OK);
    tg_loop_run(hub);
    for (unsigned i = 0; i < THREADS; i++) {
        TG_ASSERT(pthread_join(workers[i].thread, NULL) == 0);
    }
    tg_store_group_unserve(group);
    tg_loop_destroy(hub);
    tg_store_group_destroy(group);
    return 0;
}
