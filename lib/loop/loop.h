/* loop.h - one thread's event loop (libuv): timers, deferred frees, sliced work, mail,
 * sockets of ours (edge-triggered, tg_watch) and of libraries (level-triggered, tg_poll).
 *
 * Everything here but tg_loop_post(), tg_loop_stamp() and tg_loop_create() belongs to the
 * loop's thread, and asserts it. */
#ifndef TG_LOOP_LOOP_H
#define TG_LOOP_LOOP_H

#include "loop/mailbox.h"
#include "loop/wheel.h"

struct tg_loop;

/* `name` [borrowed] for ever, names the thread in log lines. `max_mails` bounds the mailbox;
 * mails run with `owner`, which tg_loop_set_owner() may give later. ret_loop: [owned]. */
enum tg_rc tg_loop_create(const char *name, size_t max_mails,
                          struct tg_loop **ret_loop) TG_MUST_USE;
void tg_loop_set_owner(struct tg_loop *l, void *owner);

/* Runs in the calling thread, which becomes the loop's, until tg_loop_stop(). */
void tg_loop_run(struct tg_loop *l);

/* Ends tg_loop_run() after this turn. Loop thread. */
void tg_loop_stop(struct tg_loop *l);

/* After tg_loop_run() has returned and all watches and polls are closed. NULL is fine. */
void tg_loop_destroy(struct tg_loop *l);

bool tg_loop_is_mine(const struct tg_loop *l);
#define TG_ON_LOOP(l) TG_ASSERT(tg_loop_is_mine(l))

/* Monotonic time of this turn. */
tg_usec tg_loop_now(const struct tg_loop *l);

/* Any thread: see tg_mailbox_post(). */
enum tg_rc tg_loop_post(struct tg_loop *l, struct tg_mail *mail) TG_MUST_USE;

/* Any thread: see tg_mailbox_post_quiet(). */
enum tg_rc tg_loop_post_quiet(struct tg_loop *l, struct tg_mail *mail) TG_MUST_USE;
void tg_loop_wake(struct tg_loop *l);

/* No more mail from here on; what waits is dropped. For the way down. */
void tg_loop_close_mail(struct tg_loop *l);

/* Any thread: since when the loop has been busy without coming round, tg_clock_mono_us(), or
 * TG_LOOP_WAITS while it has nothing to do. For the watchdog. */
enum { TG_LOOP_WAITS = 0 };
tg_usec tg_loop_stamp(const struct tg_loop *l);

/* Timers: see wheel.h. `after` counts from this turn. */
void tg_loop_timer_start(struct tg_loop *l, struct tg_timer *t, tg_usec after);
void tg_loop_timer_stop(struct tg_loop *l, struct tg_timer *t);

/* Calls fn(arg) once, after everything of this turn has run. For frees. */
void tg_loop_defer(struct tg_loop *l, void (*fn)(void *arg), void *arg);

/* Work that continues turn after turn, between events, until it says it is done. */
struct tg_task {
    struct tg_list node;
    bool (*step)(struct tg_task *task); /* true: again next turn. At most 1 ms a step. */
};
void tg_task_init(struct tg_task *t, bool (*step)(struct tg_task *task));
void tg_loop_task_start(struct tg_loop *l, struct tg_task *t); /* already on: no change */
void tg_loop_task_stop(struct tg_loop *l, struct tg_task *t);

enum {
    TG_READABLE = 1,
    TG_WRITABLE = 2,
    TG_HANGUP = 4, /* the peer sent FIN, or the socket failed: read to learn which */
};

/* A socket of ours in the loop's private edge-triggered epoll set: `on_ready` is told once
 * of every change, so the owner reads or writes until EAGAIN. Costs no memory of its own.
 * After tg_watch_close() nothing is called any more, also not from the running batch, as
 * long as the memory lives until the end of the turn (tg_loop_defer). */
struct tg_watch {
    void (*on_ready)(struct tg_watch *w, unsigned events);
    int fd; /* -1: not watched */
};
enum tg_rc tg_watch_open(struct tg_loop *l, struct tg_watch *w, int fd,
                         void (*on_ready)(struct tg_watch *w, unsigned events)) TG_MUST_USE;
/* The same for a mailbox. The descriptor stays the mailbox's: only release it. */
enum tg_rc tg_watch_mailbox(struct tg_loop *l, struct tg_watch *w, const struct tg_mailbox *mb,
                            void (*on_ready)(struct tg_watch *w, unsigned events)) TG_MUST_USE;
/* Stops watching and closes the descriptor. */
void tg_watch_close(struct tg_loop *l, struct tg_watch *w);
/* Stops watching; the descriptor is the caller's again. */
int tg_watch_release(struct tg_loop *l, struct tg_watch *w);

/* A descriptor that a library owns (libcurl, hiredis), level-triggered. `events` of on_ready
 * are those asked for, or TG_HANGUP beside them when the descriptor failed. */
struct tg_poll;
typedef void tg_poll_fn(struct tg_poll *p, unsigned events, void *arg);
enum tg_rc tg_poll_create(struct tg_loop *l, int fd, tg_poll_fn *on_ready, void *arg,
                          struct tg_poll **ret_poll) TG_MUST_USE;
void tg_poll_want(struct tg_poll *p, unsigned events);
/* At once: the library may close the descriptor on return. Frees later by itself. */
void tg_poll_close(struct tg_poll *p);

#endif
