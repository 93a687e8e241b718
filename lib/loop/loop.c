/* loop.c - libuv underneath, with a private epoll set for our own sockets.
 *
 * Order of a turn: timers, tasks, wait, sockets and mail, deferred calls. libuv's
 * idle handle runs (and keeps the loop from sleeping) while there are tasks or
 * deferred calls. */
#include "loop/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <uv.h>

#include "util/count.h"
#include "util/log.h"

#define LOOP_MAGIC 0x6c6f6f70U

enum { EPOLL_BATCH = 256 };

#define STALL TG_MS(100)

struct deferred {
    struct deferred *next;
    void (*fn)(void *arg);
    void *arg;
};

struct tg_loop {
    unsigned magic;
    uv_loop_t uv;
    uv_timer_t tick;      /* for the wheel */
    uv_idle_t idle;       /* runs tasks, keeps the loop awake */
    uv_prepare_t prepare; /* before the wait: says so */
    uv_check_t check;     /* after the sockets: stamps, deferred calls */
    uv_poll_t ours;       /* the private epoll set */
    int epoll_fd;
    struct tg_wheel wheel;
    tg_usec tick_at; /* what `tick` is set to; UINT64_MAX when off */
    struct tg_list tasks;
    struct deferred *deferred;
    struct deferred **deferred_tail;
    struct tg_mailbox *mailbox;
    struct tg_watch mail_watch;
    void *owner;
    const char *name;
    pthread_t thread;
    tg_usec now;
    tg_count stamp;
};

struct tg_poll {
    uv_poll_t uv;
    tg_poll_fn *on_ready;
    void *arg;
};

bool tg_loop_is_mine(const struct tg_loop *l)
{
    TG_CHECK(l, LOOP_MAGIC);
    return pthread_equal(l->thread, pthread_self()) != 0;
}

tg_usec tg_loop_now(const struct tg_loop *l)
{
    return l->now;
}

tg_usec tg_loop_stamp(const struct tg_loop *l)
{
    return tg_count_get(&l->stamp);
}

static void come_round(struct tg_loop *l)
{
    l->now = tg_clock_mono_us();
    tg_count_set(&l->stamp, l->now);
}

/* A callback that ran long held up everything else on this thread. */
static void look_back(const struct tg_loop *l)
{
    tg_usec took = tg_clock_mono_us() - l->now;

    if (took >= STALL) {
        tg_log_limited(TG_LOG_WARN, "stall", 10, TG_KN("ms", took / 1000));
    }
}

/* ---- timers ---- */

static void on_tick(uv_timer_t *handle);

static void set_tick(struct tg_loop *l)
{
    tg_usec next = tg_wheel_next(&l->wheel);
    tg_usec now = 0;

    if (next == l->tick_at) {
        return;
    }
    l->tick_at = next;
    if (next == UINT64_MAX) {
        (void)uv_timer_stop(&l->tick);
        return;
    }
    /* libuv counts whole milliseconds from its own idea of now. */
    uv_update_time(&l->uv);
    now = tg_clock_mono_us();
    (void)uv_timer_start(&l->tick, on_tick, next > now ? (next - now) / 1000 + 1 : 0, 0);
}

static void on_tick(uv_timer_t *handle)
{
    struct tg_loop *l = handle->data;

    come_round(l);
    l->tick_at = UINT64_MAX;
    (void)tg_wheel_advance(&l->wheel, l->now);
    look_back(l);
    set_tick(l);
}

void tg_loop_timer_start(struct tg_loop *l, struct tg_timer *t, tg_usec after)
{
    TG_ON_LOOP(l);
    tg_wheel_start(&l->wheel, t, l->now + after);
    if (t->due * TG_WHEEL_TICK_US < l->tick_at) {
        set_tick(l);
    }
}

void tg_loop_timer_stop(struct tg_loop *l, struct tg_timer *t)
{
    TG_ON_LOOP(l);
    tg_wheel_stop(&l->wheel, t);
}

/* ---- tasks and deferred calls ---- */

static void on_idle(uv_idle_t *handle)
{
    struct tg_loop *l = handle->data;
    struct tg_list turn;

    come_round(l);
    if (tg_list_empty(&l->tasks)) {
        if (l->deferred == NULL) {
            (void)uv_idle_stop(&l->idle);
        }
        return;
    }
    /* Each task once: those that want more go to the end of the list for the next turn. */
    turn = l->tasks;
    turn.prev->next = &turn;
    turn.next->prev = &turn;
    tg_list_init(&l->tasks);
    while (!tg_list_empty(&turn)) {
        struct tg_task *t = TG_CONTAINER_OF(turn.next, struct tg_task, node);

        tg_list_remove(&t->node);
        tg_list_append(&l->tasks, &t->node);
        if (!t->step(t)) {
            tg_list_remove(&t->node);
        }
    }
}

void tg_task_init(struct tg_task *t, bool (*step)(struct tg_task *task))
{
    tg_list_init(&t->node);
    t->step = step;
}

void tg_loop_task_start(struct tg_loop *l, struct tg_task *t)
{
    TG_ON_LOOP(l);
    if (tg_list_empty(&t->node)) {
        tg_list_append(&l->tasks, &t->node);
        (void)uv_idle_start(&l->idle, on_idle);
    }
}

void tg_loop_task_stop(struct tg_loop *l, struct tg_task *t)
{
    TG_ON_LOOP(l);
    tg_list_remove(&t->node);
}

void tg_loop_defer(struct tg_loop *l, void (*fn)(void *arg), void *arg)
{
    struct deferred *d = TG_NEW(struct deferred);

    TG_ON_LOOP(l);
    d->fn = fn;
    d->arg = arg;
    *l->deferred_tail = d;
    l->deferred_tail = &d->next;
    (void)uv_idle_start(&l->idle, on_idle);
}

static void run_deferred(struct tg_loop *l)
{
    while (l->deferred != NULL) {
        struct deferred *d = l->deferred;

        l->deferred = d->next;
        if (l->deferred == NULL) {
            l->deferred_tail = &l->deferred;
        }
        d->fn(d->arg);
        free(d);
    }
}

static void on_prepare(uv_prepare_t *handle)
{
    struct tg_loop *l = handle->data;

    tg_count_set(&l->stamp, TG_LOOP_WAITS);
}

static void on_check(uv_check_t *handle)
{
    struct tg_loop *l = handle->data;

    run_deferred(l);
    come_round(l);
}

/* ---- sockets ---- */

static void on_ours(uv_poll_t *handle, int status, int events)
{
    struct tg_loop *l = handle->data;
    struct epoll_event batch[EPOLL_BATCH];
    int n = 0;

    (void)status;
    (void)events;
    come_round(l);
    n = epoll_wait(l->epoll_fd, batch, EPOLL_BATCH, 0);
    for (int i = 0; i < n; i++) {
        struct tg_watch *w = batch[i].data.ptr;
        unsigned ready = 0;

        if (w->fd == -1) {
            continue; /* closed by an earlier event of this batch */
        }
        ready |= (batch[i].events & EPOLLIN) != 0 ? TG_READABLE : 0U;
        ready |= (batch[i].events & EPOLLOUT) != 0 ? TG_WRITABLE : 0U;
        ready |= (batch[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 ? TG_HANGUP : 0U;
        w->on_ready(w, ready);
    }
    look_back(l);
}

static enum tg_rc add_watch(struct tg_loop *l, struct tg_watch *w, int fd, uint32_t events,
                            void (*on_ready)(struct tg_watch *w, unsigned events))
{
    struct epoll_event ev = {.events = events | EPOLLET, .data.ptr = w};

    w->on_ready = on_ready;
    w->fd = -1;
    if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == -1) {
        return TG_ELIMIT;
    }
    w->fd = fd;
    return TG_OK;
}

enum tg_rc tg_watch_open(struct tg_loop *l, struct tg_watch *w, int fd,
                         void (*on_ready)(struct tg_watch *w, unsigned events))
{
    return add_watch(l, w, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP, on_ready);
}

enum tg_rc tg_watch_mailbox(struct tg_loop *l, struct tg_watch *w, const struct tg_mailbox *mb,
                            void (*on_ready)(struct tg_watch *w, unsigned events))
{
    /* An eventfd is always writable: asked for that, it would report every read of its own. */
    return add_watch(l, w, tg_mailbox_fd(mb), EPOLLIN, on_ready);
}

int tg_watch_release(struct tg_loop *l, struct tg_watch *w)
{
    int fd = w->fd;

    if (fd != -1) {
        (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        w->fd = -1;
    }
    return fd;
}

void tg_watch_close(struct tg_loop *l, struct tg_watch *w)
{
    int fd = tg_watch_release(l, w);

    if (fd != -1) {
        (void)close(fd);
    }
}

static void on_library(uv_poll_t *handle, int status, int events)
{
    struct tg_poll *p = handle->data;
    struct tg_loop *l = handle->loop->data;
    unsigned ready = 0;

    come_round(l);
    ready |= (events & UV_READABLE) != 0 ? TG_READABLE : 0U;
    ready |= (events & UV_WRITABLE) != 0 ? TG_WRITABLE : 0U;
    if (status < 0) {
        /* libuv stops watching on an error; the library learns it from the descriptor. */
        ready |= TG_HANGUP | TG_READABLE | TG_WRITABLE;
    }
    p->on_ready(p, ready, p->arg);
}

enum tg_rc tg_poll_create(struct tg_loop *l, int fd, tg_poll_fn *on_ready, void *arg,
                          struct tg_poll **ret_poll)
{
    struct tg_poll *p = TG_NEW(struct tg_poll);

    TG_ON_LOOP(l);
    if (uv_poll_init(&l->uv, &p->uv, fd) != 0) {
        free(p);
        return TG_ELIMIT;
    }
    p->uv.data = p;
    p->on_ready = on_ready;
    p->arg = arg;
    *ret_poll = p;
    return TG_OK;
}

void tg_poll_want(struct tg_poll *p, unsigned events)
{
    int wanted = 0;

    wanted |= (events & TG_READABLE) != 0 ? UV_READABLE : 0;
    wanted |= (events & TG_WRITABLE) != 0 ? UV_WRITABLE : 0;
    if (wanted == 0) {
        (void)uv_poll_stop(&p->uv);
    } else {
        (void)uv_poll_start(&p->uv, wanted, on_library);
    }
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void tg_poll_close(struct tg_poll *p)
{
    if (p != NULL) {
        uv_close((uv_handle_t *)(void *)&p->uv, on_poll_closed);
    }
}

/* ---- mail ---- */

static void on_mail(struct tg_watch *w, unsigned events)
{
    struct tg_loop *l = TG_CONTAINER_OF(w, struct tg_loop, mail_watch);

    (void)events;
    (void)tg_mailbox_drain(l->mailbox, l->owner);
}

enum tg_rc tg_loop_post(struct tg_loop *l, struct tg_mail *mail)
{
    TG_CHECK(l, LOOP_MAGIC);
    return tg_mailbox_post(l->mailbox, mail);
}

enum tg_rc tg_loop_post_quiet(struct tg_loop *l, struct tg_mail *mail)
{
    TG_CHECK(l, LOOP_MAGIC);
    return tg_mailbox_post_quiet(l->mailbox, mail);
}

void tg_loop_wake(struct tg_loop *l)
{
    TG_CHECK(l, LOOP_MAGIC);
    tg_mailbox_wake(l->mailbox);
}

void tg_loop_close_mail(struct tg_loop *l)
{
    TG_ON_LOOP(l);
    tg_mailbox_close(l->mailbox);
}

/* ---- life ---- */

enum tg_rc tg_loop_create(const char *name, size_t max_mails, struct tg_loop **ret_loop)
{
    struct tg_loop *l = TG_NEW(struct tg_loop);
    enum tg_rc rc = TG_OK;

    l->magic = LOOP_MAGIC;
    l->name = name;
    l->thread = pthread_self();
    l->tick_at = UINT64_MAX;
    l->mail_watch.fd = -1;
    l->deferred_tail = &l->deferred;
    tg_list_init(&l->tasks);
    come_round(l);
    tg_wheel_init(&l->wheel, l->now);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd == -1) {
        free(l);
        return TG_ELIMIT;
    }
    if (uv_loop_init(&l->uv) != 0) {
        (void)close(l->epoll_fd);
        free(l);
        return TG_ELIMIT;
    }
    l->uv.data = l;
    TG_ASSERT(uv_timer_init(&l->uv, &l->tick) == 0 && uv_idle_init(&l->uv, &l->idle) == 0 &&
              uv_check_init(&l->uv, &l->check) == 0 && uv_prepare_init(&l->uv, &l->prepare) == 0);
    l->prepare.data = l;
    l->tick.data = l;
    l->idle.data = l;
    l->check.data = l;
    l->ours.data = l;
    rc = tg_mailbox_create(max_mails, &l->mailbox);
    if (rc == TG_OK) {
        rc = tg_watch_mailbox(l, &l->mail_watch, l->mailbox, on_mail);
    }
    if (rc == TG_OK && uv_poll_init(&l->uv, &l->ours, l->epoll_fd) != 0) {
        rc = TG_ELIMIT;
    }
    if (rc != TG_OK) {
        /* Out of descriptors at start: the caller ends the program, nothing is running. */
        tg_mailbox_destroy(l->mailbox);
        (void)close(l->epoll_fd);
        free(l);
        return rc;
    }
    (void)uv_poll_start(&l->ours, UV_READABLE, on_ours);
    (void)uv_prepare_start(&l->prepare, on_prepare);
    (void)uv_check_start(&l->check, on_check);
    *ret_loop = l;
    return TG_OK;
}

void tg_loop_set_owner(struct tg_loop *l, void *owner)
{
    l->owner = owner;
}

void tg_loop_run(struct tg_loop *l)
{
    TG_CHECK(l, LOOP_MAGIC);
    l->thread = pthread_self();
    tg_log_thread(l->name);
    come_round(l);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
}

void tg_loop_stop(struct tg_loop *l)
{
    TG_ON_LOOP(l);
    uv_stop(&l->uv);
}

void tg_loop_destroy(struct tg_loop *l)
{
    if (l == NULL) {
        return;
    }
    TG_CHECK(l, LOOP_MAGIC);
    l->thread = pthread_self();
    (void)tg_watch_release(l, &l->mail_watch);
    uv_close((uv_handle_t *)(void *)&l->tick, NULL);
    uv_close((uv_handle_t *)(void *)&l->idle, NULL);
    uv_close((uv_handle_t *)(void *)&l->prepare, NULL);
    uv_close((uv_handle_t *)(void *)&l->check, NULL);
    uv_close((uv_handle_t *)(void *)&l->ours, NULL);
    run_deferred(l);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT); /* lets the handles close */
    run_deferred(l);
    TG_ASSERT(uv_loop_close(&l->uv) == 0);
    (void)close(l->epoll_fd);
    tg_mailbox_destroy(l->mailbox);
    l->magic = 0;
    free(l);
}
