/* census.c - a count on its way round the workers.
 *
 * A worker whose mailbox does not take the mail is passed over. A mail that is dropped with the
 * worker that had it, or that comes home too late, finds no question any more. */
#include "handlers/census.h"

#include <stdlib.h>

#include "handlers/client.h"
#include "handlers/control.h"
#include "handlers/worker.h"
#include "store/device.h"

#define PATIENCE TG_SEC(1)

struct census_ask {
    struct census_ask *next;
    struct tg_worker *w;
    tg_id id;
    struct tg_timer timer;
    tg_census_fn *done;
    void *arg;
    size_t n;
    bool is_whole;
};

struct round {
    struct tg_mail mail;
    struct tg_worker *home;
    struct tg_worker *at; /* whose turn it is */
    size_t next;          /* worker after that */
    tg_id ask;
    size_t n;
    bool is_whole;
    size_t n_user;
    size_t n_device;
    char user[TG_USER_MAX];
    char device[TG_DEVICE_MAX];
};

static void drop_round(struct tg_mail *mail)
{
    free(TG_CONTAINER_OF(mail, struct round, mail));
}

static void finish(struct census_ask *a)
{
    struct census_ask **at = &a->w->census.asks;

    while (*at != a) {
        at = &(*at)->next;
    }
    *at = a->next;
    tg_loop_timer_stop(a->w->loop, &a->timer);
    tg_ids_remove(&a->w->census.ids, a->id);
    a->done(a->n, a->is_whole, a->arg);
    free(a);
}

static void on_timer(struct tg_timer *t)
{
    finish(TG_CONTAINER_OF(t, struct census_ask, timer));
}

static void count(const struct tg_worker *w, struct round *r)
{
    r->n += tg_clients_of_device(w, tg_str_make(r->user, r->n_user),
                                 tg_str_make(r->device, r->n_device));
}

static void on_home(struct tg_mail *mail, void *owner)
{
    struct round *r = TG_CONTAINER_OF(mail, struct round, mail);
    struct census_ask *a = tg_ids_find(&r->home->census.ids, r->ask);

    (void)owner;
    if (a != NULL) {
        a->n = r->n;
        a->is_whole = r->is_whole;
        finish(a);
    }
    free(r);
}

static void on_visit(struct tg_mail *mail, void *owner);

/* To the next worker that takes it; home behind the last. */
static void send_on(struct round *r)
{
    for (;;) {
        struct tg_worker *w = tg_control_peer(r->home, r->next);

        r->next++;
        if (w == NULL) {
            break;
        }
        if (w == r->home) {
            continue;
        }
        r->at = w;
        r->mail.run = on_visit;
        if (tg_loop_post(w->loop, &r->mail) == TG_OK) {
            return;
        }
        r->is_whole = false;
    }
    r->mail.run = on_home;
    if (tg_loop_post(r->home->loop, &r->mail) != TG_OK) {
        free(r);
    }
}

static void on_visit(struct tg_mail *mail, void *owner)
{
    struct round *r = TG_CONTAINER_OF(mail, struct round, mail);

    (void)owner;
    count(r->at, r);
    send_on(r);
}

void tg_census_take(struct tg_worker *w, tg_str user, tg_str device, tg_census_fn *done, void *arg)
{
    struct census_ask *a = TG_NEW(struct census_ask);
    struct round *r = TG_NEW(struct round);

    TG_ASSERT(user.n <= sizeof(r->user) && device.n <= sizeof(r->device));
    a->w = w;
    a->done = done;
    a->arg = arg;
    a->id = tg_ids_add(&w->census.ids, a);
    a->next = w->census.asks;
    w->census.asks = a;
    tg_timer_init(&a->timer, on_timer);
    tg_loop_timer_start(w->loop, &a->timer, PATIENCE);
    r->mail.drop = drop_round;
    r->home = w;
    r->ask = a->id;
    r->is_whole = true;
    r->n_user = user.n;
    r->n_device = device.n;
    memcpy(r->user, user.p, user.n);
    memcpy(r->device, device.p, device.n);
    count(w, r);
    a->n = r->n;
    send_on(r);
}

void tg_census_stop(struct tg_worker *w)
{
    while (w->census.asks != NULL) {
        finish(w->census.asks);
    }
    tg_ids_fini(&w->census.ids);
}
