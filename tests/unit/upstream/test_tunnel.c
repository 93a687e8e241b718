/* The promises of lib/upstream/tunnel.h. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "upstream/origin.h"
#include "upstream/tunnel.h"

enum { FLOOD = 24 * 1024 * 1024 };

struct wire {
    struct tg_loop *l;
    struct tg_tunnel *t;
    struct origin *o;
    struct tg_buf in;
    tg_str to_send;
    size_t close_at; /* bytes read, 0: at the end */
    unsigned n_open, n_close, n_again;
    bool says_end;
    enum tg_rc rc, read_rc;
};

static void send_rest(struct wire *w)
{
    size_t n = 0;
    enum tg_rc rc = tg_tunnel_write(w->t, w->to_send, &n);

    w->to_send = tg_str_skip(w->to_send, n);
    w->n_again += rc == TG_EAGAIN ? 1 : 0;
    if (w->n_again == 1 && w->o != NULL) {
        origin_go(w->o);
    }
    cr_assert(rc == TG_OK || rc == TG_EAGAIN);
    if (rc == TG_OK && w->says_end) {
        tg_tunnel_shutdown(w->t);
    }
}

static void on_open(struct tg_tunnel *t, void *ctx)
{
    struct wire *w = ctx;

    cr_assert_eq(t, w->t);
    w->n_open++;
    send_rest(w);
}

static void on_readable(struct tg_tunnel *t, void *ctx)
{
    struct wire *w = ctx;
    char part[1000];
    size_t n = 0;

    do {
        w->read_rc = tg_tunnel_read(t, part, sizeof(part), &n);
        if (w->read_rc == TG_OK) {
            (void)tg_buf_append(&w->in, part, n);
        }
    } while (w->read_rc == TG_OK);
    if (w->read_rc != TG_EAGAIN || (w->close_at != 0 && w->in.n >= w->close_at)) {
        tg_tunnel_close(t);
        tg_tunnel_close(t);
    }
}

static void on_writable(struct tg_tunnel *t, void *ctx)
{
    (void)t;
    send_rest(ctx);
}

static void on_close(struct tg_tunnel *t, enum tg_rc rc, void *ctx)
{
    struct wire *w = ctx;

    (void)t;
    w->n_close++;
    w->rc = rc;
    if (w->l != NULL) {
        tg_loop_stop(w->l);
    }
}

static const struct tg_tunnel_handler handler = {on_open, on_readable, on_writable, on_close};

static void run(struct bench *b, struct wire *w)
{
    w->l = b->l;
    tg_buf_init(&w->in, FLOOD * 2);
    cr_assert_eq(tg_tunnel_open(b->up, &handler, w, &w->t), TG_OK);
    cr_assert_eq(w->n_open + w->n_close, 0U);
    tg_loop_run(b->l);
    cr_assert_eq(w->n_close, 1U);
    (void)tg_buf_cstr(&w->in);
}

static void greet_and_echo(struct origin *o, int fd, unsigned nth)
{
    char part[4096];
    ssize_t n = 0;

    (void)o;
    (void)nth;
    origin_say(fd, "hello ");
    while ((n = recv(fd, part, sizeof(part), 0)) > 0) {
        (void)send(fd, part, (size_t)n, MSG_NOSIGNAL);
    }
}

Test(tunnel, carries_bytes_both_ways_until_both_have_ended, .timeout = 20)
{
    struct wire w = {.to_send = TG_STR_INIT("\x81\x05 raw \0 bytes"), .says_end = true};
    struct origin o;
    struct bench b;

    origin_start(&o, greet_and_echo);
    bench_open(&b, o.url, NULL);
    run(&b, &w);
    cr_assert_eq(w.rc, TG_OK);
    cr_assert_eq(w.read_rc, TG_EEOF);
    cr_assert(tg_str_eq(tg_buf_view(&w.in), TG_STR("hello \x81\x05 raw \0 bytes")));
    tg_buf_fini(&w.in);
    bench_close(&b);
    origin_stop(&o);
    tg_buf_fini(&o.seen);
}

Test(tunnel, closing_is_told_once, .timeout = 20)
{
    struct wire w = {.close_at = 6};
    struct origin o;
    struct bench b;

    origin_start(&o, greet_and_echo);
    bench_open(&b, o.url, NULL);
    run(&b, &w);
    cr_assert_eq(w.rc, TG_OK);
    cr_assert_eq(w.n_open, 1U);
    tg_buf_fini(&w.in);
    bench_close(&b);
    origin_stop(&o);
    tg_buf_fini(&o.seen);
}

static void read_flood(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    if (origin_await_go(o) && origin_read_n(o, fd, FLOOD)) {
        origin_say(fd, "got it");
    }
}

Test(tunnel, says_when_it_takes_no_more_and_when_it_does_again, .timeout = 20)
{
    char *flood = tg_calloc(1, FLOOD);
    struct origin o;
    struct wire w = {.o = &o, .to_send = {flood, FLOOD}};
    struct bench b;

    origin_start(&o, read_flood);
    bench_open(&b, o.url, NULL);
    run(&b, &w);
    cr_assert_eq(w.to_send.n, 0U);
    cr_assert_gt(w.n_again, 0U);
    cr_assert_str_eq(w.in.p, "got it");
    free(flood);
    tg_buf_fini(&w.in);
    bench_close(&b);
    origin_stop(&o);
    tg_buf_fini(&o.seen);
}

Test(tunnel, a_refused_connection_closes_unopened, .timeout = 20)
{
    struct wire w = {.l = NULL};
    struct origin o;
    struct bench b;

    origin_refuse(&o);
    bench_open(&b, o.url, NULL);
    run(&b, &w);
    cr_assert_eq(w.rc, TG_EREFUSED);
    cr_assert_eq(w.n_open, 0U);
    tg_buf_fini(&w.in);
    bench_close(&b);
}

Test(tunnel, ends_with_its_client, .timeout = 20)
{
    struct wire w = {.l = NULL};
    struct origin o;
    struct bench b;

    origin_start(&o, greet_and_echo);
    bench_open(&b, o.url, NULL);
    cr_assert_eq(tg_tunnel_open(b.up, &handler, &w, &w.t), TG_OK);
    bench_close(&b);
    cr_assert_eq(w.n_close, 1U);
    cr_assert_eq(w.rc, TG_ECANCELED);
    origin_stop(&o);
    tg_buf_fini(&o.seen);
}
