/* The promises of lib/upstream/client.h about bodies and their flow. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "upstream/origin.h"

enum { BIG = 8 * 1024 * 1024, PIECE = 50000 };

static const char OK_EMPTY[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/* The call's request came whole: `text` behind the target, up to the Host line and after it. */
static void saw(const struct origin *o, const char *text)
{
    cr_assert_not_null(strstr(o->seen.p, text), "%s\n%s", text, o->seen.p);
}

static void saw_no(const struct origin *o, const char *text)
{
    cr_assert_null(strcasestr(o->seen.p, text), "%s\n%s", text, o->seen.p);
}

/* ---- request bodies ---- */

static void answer_small_bodies(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    while (origin_read(o, fd, "END")) {
        origin_say(fd, OK_EMPTY);
    }
}

static void send_small(const char *method, int64_t length, struct origin *o)
{
    struct tg_call_request req = request(method, length);
    struct bench b;
    struct told t;

    origin_start(o, answer_small_bodies);
    bench_open(&b, o->url, NULL);
    bench_start(&b, &t, &req);
    cr_assert_eq(tg_call_write(t.call, TG_STR("abc")), TG_OK);
    cr_assert_eq(tg_call_write(t.call, TG_STR("END")), TG_OK);
    if (length > 0) {
        cr_assert_eq(tg_call_write(t.call, TG_STR("x")), TG_ELIMIT);
    }
    tg_call_end_body(t.call);
    tg_loop_run(b.l);
    cr_assert_eq(t.rc, TG_OK);
    told_fini(&t);
    bench_close(&b);
    origin_stop(o);
}

Test(flow, sends_bodies_of_known_length_with_any_method, .timeout = 20)
{
    const char *methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    char first[32];
    struct origin o;

    for (size_t i = 0; i < TG_ARRAY_LEN(methods); i++) {
        send_small(methods[i], 6, &o);
        (void)snprintf(first, sizeof(first), "%s /x HTTP/1.1\r\n", methods[i]);
        saw(&o, first);
        saw(&o, "\r\nContent-Length: 6\r\n\r\nabcEND");
        saw_no(&o, "transfer-encoding");
        saw_no(&o, "expect");
        saw_no(&o, "content-type");
        tg_buf_fini(&o.seen);
    }
}

Test(flow, sends_bodies_of_unknown_length_in_chunks, .timeout = 20)
{
    struct origin o;

    send_small("POST", TG_CALL_CHUNKED, &o);
    saw(&o, "\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabcEND\r\n");
    saw_no(&o, "content-length");
    saw_no(&o, "expect");
    tg_buf_fini(&o.seen);
}

static void answer_heads(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    while (origin_read(o, fd, "\r\n\r\n")) {
        origin_say(fd, OK_EMPTY);
    }
}

Test(flow, tells_a_length_of_zero_from_no_length, .timeout = 20)
{
    struct tg_call_request req = request("POST", 0);
    struct origin o;
    struct bench b;
    struct told t;

    bench_open_with(&o, &b, answer_heads);
    bench_call(&b, &t, &req);
    cr_assert_eq(t.rc, TG_OK);
    told_fini(&t);
    req.has_zero_length = true;
    req.target = TG_STR("/zero");
    bench_call(&b, &t, &req);
    cr_assert_eq(t.rc, TG_OK);
    bench_close(&b);
    origin_stop(&o);
    cr_assert_gt(strstr(o.seen.p, "Content-Length: 0\r\n"), strstr(o.seen.p, "POST /zero "));
    saw(&o, "Content-Length: 0\r\n\r\n");
    told_fini(&t);
    tg_buf_fini(&o.seen);
}

Test(flow, a_length_among_the_fields_keeps_its_place, .timeout = 20)
{
    struct tg_upstream_field fields[] = {
        {TG_STR_INIT("A"), TG_STR_INIT("1")},
        {TG_STR_INIT("content-length"), TG_STR_INIT("999")},
        {TG_STR_INIT("Expect"), TG_STR_INIT("100-continue")},
        {TG_STR_INIT("transfer-encoding"), TG_STR_INIT("chunked")},
        {TG_STR_INIT("B"), TG_STR_INIT("2")},
    };
    struct tg_call_request req = request("POST", 3);
    struct origin o;
    struct bench b;
    struct told t;

    req.fields = fields;
    req.n_fields = TG_ARRAY_LEN(fields);
    bench_open_with(&o, &b, answer_small_bodies);
    bench_start(&b, &t, &req);
    cr_assert_eq(tg_call_write(t.call, TG_STR("END")), TG_OK);
    tg_call_end_body(t.call);
    tg_loop_run(b.l);
    bench_close(&b);
    origin_stop(&o);
    saw(&o, "\r\nA: 1\r\ncontent-length: 3\r\nB: 2\r\n\r\nEND");
    told_fini(&t);
    tg_buf_fini(&o.seen);
}

static void read_big_then_answer(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    if (origin_await_go(o) && origin_read_n(o, fd, BIG)) {
        origin_say(fd, OK_EMPTY);
    }
    origin_wait_close(fd);
}

static char piece[PIECE];

static void write_until_full(struct told *t)
{
    while (t->to_write > 0) {
        size_t n = TG_MIN(t->to_write, sizeof(piece));
        enum tg_rc rc = tg_call_write(t->call, tg_str_make(piece, n));

        cr_assert(rc == TG_OK || rc == TG_EAGAIN);
        t->to_write -= n;
        if (rc == TG_EAGAIN) {
            return;
        }
    }
    tg_call_end_body(t->call);
}

static void go_on(struct told *t)
{
    write_until_full(t);
}

Test(flow, a_slow_upstream_holds_the_writer_back, .timeout = 20)
{
    struct tg_call_request req = request("PUT", BIG);
    struct origin o;
    struct bench b;
    struct told t;

    bench_open_with(&o, &b, read_big_then_answer);
    bench_start(&b, &t, &req);
    t.to_write = BIG;
    t.after_drain = go_on;
    write_until_full(&t);
    cr_assert_gt(t.to_write, BIG - 65536 - PIECE - 1);
    origin_go(&o);
    tg_loop_run(b.l);
    cr_assert_eq(t.rc, TG_OK);
    cr_assert_eq(t.to_write, 0U);
    cr_assert_gt(t.n_drains, 10U);
    cr_assert_geq(tg_count_get(&tg_upstream_counts(b.up)->bytes_out), (uint64_t)BIG);
    bench_close_with(&o, &b, &t);
}

Test(flow, a_body_ended_short_is_cancelled, .timeout = 20)
{
    struct tg_call_request req = request("PUT", 100);
    struct origin o;
    struct bench b;
    struct told t;

    bench_open_with(&o, &b, answer_small_bodies);
    bench_start(&b, &t, &req);
    cr_assert_eq(tg_call_write(t.call, TG_STR("abc")), TG_OK);
    tg_call_end_body(t.call);
    tg_loop_run(b.l);
    cr_assert_eq(t.rc, TG_ECANCELED);
    bench_close_with(&o, &b, &t);
}

static void refuse_early(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    (void)origin_read(o, fd, "\r\n\r\n");
    origin_say(fd, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig");
    origin_wait_close(fd);
}

static void accept_early(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    (void)origin_read(o, fd, "\r\n\r\n");
    origin_say(fd, "HTTP/1.1 201 Fine\r\nContent-Length: 3\r\n\r\nyes");
    origin_wait_close(fd);
}

static void write_is_closed(struct told *t)
{
    cr_assert_eq(tg_call_write(t->call, TG_STR("more")), TG_ECLOSED);
}

Test(flow, an_answer_during_the_upload_ends_the_call, .timeout = 20)
{
    const struct {
        origin_fn *serve;
        unsigned status;
    } cases[] = {{refuse_early, 413}, {accept_early, 201}};
    struct tg_call_request req = request("POST", BIG);

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct origin o;
        struct bench b;
        struct told t;

        bench_open_with(&o, &b, cases[i].serve);
        bench_start(&b, &t, &req);
        t.after_body = cases[i].status >= 300 ? write_is_closed : NULL;
        cr_assert_eq(tg_call_write(t.call, TG_STR("only a part")), TG_OK);
        tg_loop_run(b.l);
        cr_assert_eq(t.rc, TG_OK);
        cr_assert_eq(t.status, cases[i].status);
        cr_assert_eq(t.body.n, 3U);
        bench_close_with(&o, &b, &t);
    }
}

/* ---- answer bodies ---- */

static void say_big(struct origin *o, int fd, unsigned nth)
{
    char *text = tg_malloc(BIG + 1);

    (void)nth;
    memset(text, 'b', BIG);
    text[BIG] = '\0';
    (void)origin_read(o, fd, "\r\n\r\n");
    origin_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n");
    origin_say(fd, text);
    free(text);
    origin_wait_close(fd);
}

struct resumer {
    struct told t;
    struct tg_timer timer;
    size_t n_at_pause;
    unsigned n_pauses;
};

static void on_resume(struct tg_timer *timer)
{
    struct resumer *r = TG_CONTAINER_OF(timer, struct resumer, timer);

    cr_assert_eq(r->t.body.n, r->n_at_pause);
    tg_call_resume(r->t.call);
    cr_assert_eq(r->t.body.n, r->n_at_pause);
}

static void pause_sometimes(struct told *t)
{
    struct resumer *r = TG_CONTAINER_OF(t, struct resumer, t);

    if (t->body.n > (r->n_pauses + 1) * (BIG / 8)) {
        r->n_pauses++;
        r->n_at_pause = t->body.n;
        tg_call_pause(t->call);
        tg_loop_timer_start(t->l, &r->timer, TG_MS(20));
    }
}

Test(flow, a_paused_answer_stays_where_it_is_until_resumed, .timeout = 20)
{
    struct tg_call_request req = get("/");
    struct resumer r = {.n_pauses = 0};
    struct origin o;
    struct bench b;

    bench_open_with(&o, &b, say_big);
    tg_timer_init(&r.timer, on_resume);
    bench_start(&b, &r.t, &req);
    r.t.after_body = pause_sometimes;
    tg_loop_run(b.l);
    cr_assert_eq(r.t.rc, TG_OK);
    cr_assert_eq(r.t.body.n, (size_t)BIG);
    cr_assert_gt(r.n_pauses, 4U);
    bench_close_with(&o, &b, &r.t);
}
