/* test_loop.c - what the event loop promises its owner. Each test runs a loop until its own
 * condition stops it; a guard timer fails the test instead of hanging. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/loop.h"

struct bench {
    struct tg_loop *loop;
    struct tg_timer guard;
    struct tg_timer timer;
    struct tg_task task;
    struct tg_watch watch;
    struct tg_watch other;
    struct tg_poll *poll;
    struct tg_mailbox *mailbox;
    int pair[2];
    unsigned n;
    unsigned seen;
    char order[16];
};

static struct bench b;

static void on_guard(struct tg_timer *t)
{
    (void)t;
    cr_assert_fail("the loop was not stopped in time");
}

static void begin(void)
{
    b = (struct bench){0};
    cr_assert_eq(tg_loop_create("test", 100, &b.loop), TG_OK);
    tg_timer_init(&b.guard, on_guard);
    tg_loop_timer_start(b.loop, &b.guard, TG_SEC(20));
    b.watch.fd = -1;
    b.other.fd = -1;
}

static void end(void)
{
    tg_loop_timer_stop(b.loop, &b.guard);
    tg_loop_destroy(b.loop);
}

static void note(char c)
{
    cr_assert_lt(b.n, sizeof(b.order) - 1);
    b.order[b.n++] = c;
}

static void stop(struct tg_timer *t)
{
    (void)t;
    note('t');
    tg_loop_stop(b.loop);
}

Test(loop, runs_timers_in_the_order_of_their_times, .init = begin, .fini = end)
{
    struct tg_timer late;

    tg_timer_init(&b.timer, stop);
    tg_timer_init(&late, stop);
    tg_loop_timer_start(b.loop, &late, TG_SEC(10));
    tg_loop_timer_start(b.loop, &b.timer, TG_MS(20));
    tg_loop_run(b.loop);
    cr_assert_str_eq(b.order, "t");
    cr_assert(tg_timer_is_on(&late));
    tg_loop_timer_stop(b.loop, &late);
}

static void deferred(void *arg)
{
    note(*(const char *)arg);
}

static void defers(struct tg_timer *t)
{
    static char letter = 'd';

    (void)t;
    tg_loop_defer(b.loop, deferred, &letter);
    note('t');
    tg_loop_stop(b.loop);
}

Test(loop, defers_until_the_turn_is_over, .init = begin, .fini = end)
{
    tg_timer_init(&b.timer, defers);
    tg_loop_timer_start(b.loop, &b.timer, 0);
    tg_loop_run(b.loop);
    cr_assert_str_eq(b.order, "td");
}

static bool step(struct tg_task *t)
{
    (void)t;
    note('s');
    if (b.n == 5) {
        tg_loop_stop(b.loop);
        return false;
    }
    return true;
}

Test(loop, steps_a_task_turn_after_turn_until_it_is_done, .init = begin, .fini = end)
{
    tg_task_init(&b.task, step);
    tg_loop_task_start(b.loop, &b.task);
    tg_loop_task_start(b.loop, &b.task);
    tg_loop_run(b.loop);
    cr_assert_str_eq(b.order, "sssss");
}

static void on_ready(struct tg_watch *w, unsigned events)
{
    char byte = 0;

    b.seen |= events;
    if ((events & TG_READABLE) != 0 && read(w->fd, &byte, 1) == 1) {
        note(byte);
    }
    if ((events & TG_HANGUP) != 0) {
        tg_loop_stop(b.loop);
    }
}

Test(loop, tells_a_watch_what_its_socket_can_do, .init = begin, .fini = end)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b.pair), 0);
    cr_assert_eq(tg_watch_open(b.loop, &b.watch, b.pair[0], on_ready), TG_OK);
    cr_assert_eq(write(b.pair[1], "x", 1), 1);
    (void)close(b.pair[1]);
    tg_loop_run(b.loop);
    cr_assert_str_eq(b.order, "x");
    cr_assert_eq(b.seen & (TG_READABLE | TG_WRITABLE | TG_HANGUP),
                 (unsigned)(TG_READABLE | TG_WRITABLE | TG_HANGUP));
    tg_watch_close(b.loop, &b.watch);
    tg_watch_close(b.loop, &b.watch);
}

static void closes_the_other(struct tg_watch *w, unsigned events)
{
    (void)events;
    note('c');
    tg_watch_close(b.loop, w == &b.watch ? &b.other : &b.watch);
    tg_loop_stop(b.loop);
}

Test(loop, calls_no_watch_that_an_earlier_event_of_the_batch_closed, .init = begin, .fini = end)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b.pair), 0);
    cr_assert_eq(tg_watch_open(b.loop, &b.watch, b.pair[0], closes_the_other), TG_OK);
    cr_assert_eq(tg_watch_open(b.loop, &b.other, b.pair[1], closes_the_other), TG_OK);
    tg_loop_run(b.loop);
    cr_assert_str_eq(b.order, "c");
    tg_watch_close(b.loop, &b.watch);
    tg_watch_close(b.loop, &b.other);
}

static void on_poll(struct tg_poll *p, unsigned events, void *arg)
{
    (void)arg;
    b.seen = events;
    tg_poll_close(p);
    tg_loop_stop(b.loop);
}

Test(loop, polls_for_a_library_only_what_it_wants, .init = begin, .fini = end)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b.pair), 0);
    cr_assert_eq(tg_poll_create(b.loop, b.pair[0], on_poll, NULL, &b.poll), TG_OK);
    tg_poll_want(b.poll, TG_READABLE);
    cr_assert_eq(write(b.pair[1], "x", 1), 1);
    tg_loop_run(b.loop);
    cr_assert_eq(b.seen, TG_READABLE);
    (void)close(b.pair[0]);
    (void)close(b.pair[1]);
}

static void drop_mail(struct tg_mail *m)
{
    free(m);
}

static void run_mail(struct tg_mail *m, void *owner)
{
    cr_assert_eq(owner, &b);
    note('m');
    free(m);
    tg_loop_stop(b.loop);
}

static struct tg_mail *letter(void)
{
    struct tg_mail *m = TG_NEW(struct tg_mail);

    m->run = run_mail;
    m->drop = drop_mail;
    return m;
}

Test(loop, runs_mail_with_its_owner, .init = begin, .fini = end)
{
    tg_loop_set_owner(b.loop, &b);
    cr_assert_eq(tg_loop_post(b.loop, letter()), TG_OK);
    tg_loop_run(b.loop);
    cr_assert_str_eq(b.order, "m");
}

static void on_mailbox(struct tg_watch *w, unsigned events)
{
    (void)w;
    b.seen |= events;
    (void)tg_mailbox_drain(b.mailbox, &b);
}

Test(loop, tells_of_a_mailbox_only_that_it_has_mail, .init = begin, .fini = end)
{
    cr_assert_eq(tg_mailbox_create(1, &b.mailbox), TG_OK);
    cr_assert_eq(tg_watch_mailbox(b.loop, &b.watch, b.mailbox, on_mailbox), TG_OK);
    cr_assert_eq(tg_mailbox_post(b.mailbox, letter()), TG_OK);
    tg_loop_run(b.loop);
    cr_assert_eq(b.seen, (unsigned)TG_READABLE);
    (void)tg_watch_release(b.loop, &b.watch);
    tg_mailbox_destroy(b.mailbox);
}

Test(loop, wakes_for_quiet_mail_when_its_sender_says_so, .init = begin, .fini = end)
{
    tg_loop_set_owner(b.loop, &b);
    cr_assert_eq(tg_loop_post_quiet(b.loop, letter()), TG_OK);
    tg_loop_wake(b.loop);
    tg_loop_run(b.loop);
    cr_assert_str_eq(b.order, "m");
}
