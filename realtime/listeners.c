/* listeners.c - a question on its way round the workers.
 *
 *   ask (the asker's: waits, with a deadline)     round (the mail: keys, what was found so far)
 *
 * A worker whose mailbox does not take the mail is passed over. A mail that is dropped with the
 * worker that had it, or that comes home too late, finds no ask any more. */
#include "realtime/listeners.h"

#include <stdlib.h>

#include "realtime/fanout_int.h"

#define PATIENCE TG_SEC(1)

struct ask {
    struct tg_list node; /* fanout->asks */
    struct tg_fanout *fanout;
    tg_id id;
    struct tg_timer timer;
    tg_listened_fn *done;
    void *arg;
    size_t n;
    bool is_answered; /* `has` tells */
    bool has[];
};

struct round {
    struct tg_mail mail;
    struct tg_fanout *home;
    struct tg_fanout *at; /* whose turn it is */
    unsigned next;        /* worker after that */
    tg_id ask;
    size_t n;
    bool *has;
    tg_str keys[]; /* the texts stand behind the array, and behind them `has` */
};

static void drop_round(struct tg_mail *mail)
{
    free(TG_CONTAINER_OF(mail, struct round, mail));
}

static void finish(struct ask *a)
{
    struct tg_fanout *f = a->fanout;

    tg_loop_timer_stop(f->loop, &a->timer);
    tg_ids_remove(&f->ask_ids, a->id);
    tg_list_remove(&a->node);
    a->done(a->is_answered ? a->has : NULL, a->n, a->arg);
    free(a);
}

static void on_timer(struct tg_timer *t)
{
    finish(TG_CONTAINER_OF(t, struct ask, timer));
}

static void look(const struct tg_fanout *f, struct round *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct wtopic *t = tg_map_find(&f->topics, r->keys[i]);

        r->has[i] = r->has[i] || (t != NULL && !tg_list_empty(&t->cursors));
    }
}

static void on_home(struct tg_mail *mail, void *owner)
{
    struct round *r = TG_CONTAINER_OF(mail, struct round, mail);
    struct ask *a = tg_ids_find(&r->home->ask_ids, r->ask);

    (void)owner;
    if (a != NULL) {
        memcpy(a->has, r->has, r->n * sizeof(r->has[0]));
        a->is_answered = true;
        finish(a);
    }
    free(r);
}

static void on_visit(struct tg_mail *mail, void *owner);

/* To the next worker that takes it; home behind the last. */
static void send_on(struct round *r)
{
    struct tg_fanout *f = NULL;

    for (;;) {
        f = tg_hub_fanout(r->home->opts.hub, r->next);
        r->next++;
        if (f == NULL) {
            break;
        }
        r->at = f;
        r->mail.run = on_visit;
        if (f != r->home && tg_loop_post(f->loop, &r->mail) == TG_OK) {
            return;
        }
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
    look(r->at, r);
    send_on(r);
}

static struct round *new_round(const tg_str *keys, size_t n)
{
    size_t bytes = n * sizeof(tg_str);
    struct round *r = NULL;
    char *at = NULL;

    for (size_t i = 0; i < n; i++) {
        bytes += keys[i].n;
    }
    r = tg_calloc(1, sizeof(*r) + bytes + n * sizeof(bool));
    r->mail.drop = drop_round;
    r->n = n;
    at = (char *)&r->keys[n];
    for (size_t i = 0; i < n; i++) {
        memcpy(at, keys[i].p, keys[i].n);
        r->keys[i] = tg_str_make(at, keys[i].n);
        at += keys[i].n;
    }
    r->has = (void *)at;
    return r;
}

void tg_listeners_ask(struct tg_fanout *f, const tg_str *keys, size_t n, tg_listened_fn *done,
                      void *arg)
{
    struct ask *a = tg_calloc(1, sizeof(*a) + n * sizeof(a->has[0]));
    struct round *r = new_round(keys, n);

    TG_ON_LOOP(f->loop);
    a->fanout = f;
    a->done = done;
    a->arg = arg;
    a->n = n;
    a->id = tg_ids_add(&f->ask_ids, a);
    tg_list_append(&f->asks, &a->node);
    tg_timer_init(&a->timer, on_timer);
    tg_loop_timer_start(f->loop, &a->timer, PATIENCE);
    r->home = f;
    r->ask = a->id;
    look(f, r);
    send_on(r);
}

void listeners_stop(struct tg_fanout *f)
{
    while (!tg_list_empty(&f->asks)) {
        finish(TG_CONTAINER_OF(f->asks.next, struct ask, node));
    }
}
