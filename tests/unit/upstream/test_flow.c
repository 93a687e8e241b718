/* The promises of lib/upstream/client.h about bodies, their flow, and how calls end. */
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

static struct tg_call_request with(const char *method, int64_t length)
{
    struct tg_call_request req = get("/x");

    req.method = tg_str_of(method);
    req.body_length = length;
    return req;
}

static void start(struct bench *b, struct told *t, const struct tg_call_request *req)
{
    told_init(t, b->l, b->up);
    cr_assert_eq(tg_upstream_start(b->up, req, &told_handler, t, &t->call), TG_OK);
}

static void open_all(struct origin *o, struct bench *b, origin_fn *serve)
{
    origin_start(o, serve);
    bench_open(b, o->url, NULL);
}

static void close_all(struct origin *o, struct bench *b, struct told *t)
{
    told_fini(t);
    bench_close(b);
    origin_stop(o);
    tg_buf_fini(&o->seen);
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
    struct tg_call_request req = with(method, length);
    struct bench b;
    struct told t;

    origin_start(o, answer_small_bodies);
    bench_open(&b, o->url, NULL);
    start(&b, &t, &req);
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
    struct tg_call_request req = with("POST", 0);
    struct origin o;
    struct bench b;
    struct told t;

    open_all(&o, &b, answer_heads);
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
    struct tg_call_request req = with("POST", 3);
    struct origin o;
    struct bench b;
    struct told t;

    req.fields = fields;
    req.n_fields = TG_ARRAY_LEN(fields);
    open_all(&o, &b, answer_small_bodies);
    start(&b, &t, &req);
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
    struct tg_call_request req = with("PUT", BIG);
    struct origin o;
    struct bench b;
    struct told t;

    open_all(&o, &b, read_big_then_answer);
    start(&b, &t, &req);
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
    close_all(&o, &b, &t);
}

Test(flow, a_body_ended_short_is_cancelled, .timeout = 20)
{
    struct tg_call_request req = with("PUT", 100);
    struct origin o;
    struct bench b;
    struct told t;

    open_all(&o, &b, answer_small_bodies);
    start(&b, &t, &req);
    cr_assert_eq(tg_call_write(t.call, TG_STR("abc")), TG_OK);
    tg_call_end_body(t.call);
    tg_loop_run(b.l);
    cr_assert_eq(t.rc, TG_ECANCELED);
    close_all(&o, &b, &t);
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
    struct tg_call_request req = with("POST", BIG);

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct origin o;
        struct bench b;
        struct told t;

        open_all(&o, &b, cases[i].serve);
        start(&b, &t, &req);
        t.after_body = cases[i].status >= 300 ? write_is_closed : NULL;
        cr_assert_eq(tg_call_write(t.call, TG_STR("only a part")), TG_OK);
        tg_loop_run(b.l);
        cr_assert_eq(t.rc, TG_OK);
        cr_assert_eq(t.status, cases[i].status);
        cr_assert_eq(t.body.n, 3U);
        close_all(&o, &b, &t);
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

    open_all(&o, &b, say_big);
    tg_timer_init(&r.timer, on_resume);
    start(&b, &r.t, &req);
    r.t.after_body = pause_sometimes;
    tg_loop_run(b.l);
    cr_assert_eq(r.t.rc, TG_OK);
    cr_assert_eq(r.t.body.n, (size_t)BIG);
    cr_assert_gt(r.n_pauses, 4U);
    close_all(&o, &b, &r.t);
}

/* ---- ends ---- */

static void cancel(struct told *t)
{
    tg_call_cancel(t->call);
    cr_assert_eq(t->n_done, 0U);
}

Test(flow, cancelling_ends_a_call_wherever_it_is, .timeout = 20)
{
    struct tg_call_request req = get("/");

    for (unsigned i = 0; i < 3; i++) {
        struct origin o;
        struct bench b;
        struct told t;

        open_all(&o, &b, say_big);
        start(&b, &t, &req);
        if (i == 0) {
            cancel(&t);
        }
        t.after_head = i == 1 ? cancel : NULL;
        t.after_body = i == 2 ? cancel : NULL;
        tg_loop_run(b.l);
        cr_assert_eq(t.rc, TG_ECANCELED);
        cr_assert_eq(t.n_done, 1U);
        cr_assert_eq(t.n_heads, i == 0 ? 0U : 1U);
        cr_assert(i == 2 ? t.body.n > 0 : t.body.n == 0);
        close_all(&o, &b, &t);
    }
}

static void say_nothing(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    (void)origin_read(o, fd, "\r\n\r\n");
    origin_wait_close(fd);
}

static void destroy(struct told *t)
{
    tg_upstream_destroy(t->up);
    tg_loop_stop(t->l);
}

Test(flow, the_client_may_be_destroyed_at_any_time, .timeout = 20)
{
    struct tg_call_request req = get("/");
    struct origin o;
    struct bench b;
    struct told t[3];

    open_all(&o, &b, say_nothing);
    for (size_t i = 0; i < TG_ARRAY_LEN(t); i++) {
        start(&b, &t[i], &req);
    }
    t[0].after_done = destroy;
    t[1].n_left = t[2].n_left = &(unsigned){9};
    tg_call_cancel(t[0].call);
    tg_loop_run(b.l);
    tg_loop_destroy(b.l);
    for (size_t i = 0; i < TG_ARRAY_LEN(t); i++) {
        cr_assert_eq(t[i].n_done, 1U);
        cr_assert_eq(t[i].rc, TG_ECANCELED);
        told_fini(&t[i]);
    }
    origin_stop(&o);
    tg_buf_fini(&o.seen);
}

Test(flow, silence_ends_in_a_timeout, .timeout = 20)
{
    struct tg_call_request req = get("/");
    struct origin o;
    struct bench b;
    struct told t;

    req.first_byte_timeout = TG_MS(50);
    req.may_retry = true;
    open_all(&o, &b, say_nothing);
    bench_call(&b, &t, &req);
    cr_assert_eq(t.rc, TG_EGATEWAYTIME);
    cr_assert(t.sent_any);
    cr_assert_eq(tg_count_get(&tg_upstream_counts(b.up)->retried), 0U);
    close_all(&o, &b, &t);
}

/* ---- again ---- */

/* Answers once on each connection, and closes it when the next request has come. */
static void answer_once(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    if (origin_read(o, fd, "\r\n\r\n")) {
        origin_say(fd, OK_EMPTY);
        (void)origin_read(o, fd, "\r\n\r\n");
    }
}

Test(flow, repeats_a_get_on_a_kept_connection_that_died, .timeout = 20)
{
    struct tg_call_request req = get("/");
    struct origin o;
    struct bench b;
    struct told t;

    req.may_retry = true;
    open_all(&o, &b, answer_once);
    bench_call(&b, &t, &req);
    told_fini(&t);
    bench_call(&b, &t, &req);
    cr_assert_eq(t.rc, TG_OK);
    cr_assert_eq(tg_count_get(&tg_upstream_counts(b.up)->retried), 1U);
    close_all(&o, &b, &t);
}

Test(flow, never_sends_a_post_twice, .timeout = 20)
{
    struct tg_call_request req = with("POST", 0);
    struct origin o;
    struct bench b;
    struct told t;

    req.may_retry = true;
    open_all(&o, &b, answer_once);
    bench_call(&b, &t, &req);
    told_fini(&t);
    bench_call(&b, &t, &req);
    cr_assert_eq(t.rc, TG_EUPSTREAM);
    cr_assert(t.sent_any);
    cr_assert_eq(t.n_heads, 0U);
    bench_close(&b);
    origin_stop(&o);
    cr_assert_not_null(strstr(o.seen.p + 1, "POST /x"));
    cr_assert_null(strstr(strstr(o.seen.p + 1, "POST /x") + 1, "POST /x"));
    told_fini(&t);
    tg_buf_fini(&o.seen);
}

Test(flow, repeats_nothing_unless_it_is_asked_to, .timeout = 20)
{
    struct tg_call_request req = get("/");
    struct origin o;
    struct bench b;
    struct told t;

    open_all(&o, &b, answer_once);
    bench_call(&b, &t, &req);
    told_fini(&t);
    bench_call(&b, &t, &req);
    cr_assert_eq(t.rc, TG_EUPSTREAM);
    cr_assert_eq(tg_count_get(&tg_upstream_counts(b.up)->retried), 0U);
    close_all(&o, &b, &t);
}

/* ---- bounds ---- */

Test(flow, an_open_breaker_answers_at_once_for_its_service_only, .timeout = 20)
{
    const struct tg_upstream_opts opts = {
        .max_connections = 4,
        .max_waiting = 4,
        .connect_timeout = TG_SEC(5),
        .first_byte_timeout = TG_SEC(5),
        .idle_timeout = TG_SEC(5),
        .max_head_bytes = 65536,
        .send_buffer = 65536,
        .breaker_failures = 2,
        .breaker_open = TG_SEC(30),
    };
    struct tg_call_request req = get("/");
    struct tg_call *call = NULL;
    struct origin o;
    struct bench b;
    struct told t;

    req.service = "rest";
    origin_refuse(&o);
    bench_open(&b, o.url, &opts);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(tg_upstream_retry_after_sec(b.up, "rest"), 0U);
        bench_call(&b, &t, &req);
        cr_assert_eq(t.rc, TG_EREFUSED);
        told_fini(&t);
    }
    cr_assert_eq(tg_upstream_start(b.up, &req, &told_handler, &t, &call), TG_EOPEN);
    cr_assert_leq(tg_upstream_retry_after_sec(b.up, "rest"), 30U);
    cr_assert_geq(tg_upstream_retry_after_sec(b.up, "rest"), 29U);
    cr_assert_eq(tg_count_get(&tg_upstream_counts(b.up)->breaker_open), 1U);
    req.service = "auth";
    bench_call(&b, &t, &req);
    cr_assert_eq(t.rc, TG_EREFUSED);
    told_fini(&t);
    bench_close(&b);
}

static void answer_all(struct origin *o, int fd, unsigned nth)
{
    answer_heads(o, fd, nth);
}

Test(flow, over_its_bounds_it_is_busy_and_what_waits_comes_next, .timeout = 20)
{
    const struct tg_upstream_opts opts = {
        .max_connections = 1,
        .max_waiting = 3,
        .connect_timeout = TG_SEC(5),
        .first_byte_timeout = TG_SEC(8),
        .idle_timeout = TG_SEC(8),
        .max_head_bytes = 65536,
        .send_buffer = 65536,
    };
    struct tg_call_request req = get("/");
    struct tg_call *call = NULL;
    unsigned n_left = 4;
    struct origin o;
    struct bench b;
    struct told t[4];

    origin_start(&o, answer_all);
    bench_open(&b, o.url, &opts);
    for (size_t i = 0; i < TG_ARRAY_LEN(t); i++) {
        start(&b, &t[i], &req);
        t[i].n_left = &n_left;
    }
    cr_assert_eq(tg_upstream_start(b.up, &req, &told_handler, &t[0], &call), TG_EBUSY);
    tg_loop_run(b.l);
    cr_assert_eq(tg_count_get(&tg_upstream_counts(b.up)->connects), 1U);
    cr_assert_eq(tg_count_get(&tg_upstream_counts(b.up)->open_calls), 0U);
    for (size_t i = 0; i < TG_ARRAY_LEN(t); i++) {
        cr_assert_eq(t[i].rc, TG_OK);
        told_fini(&t[i]);
    }
    bench_close(&b);
    origin_stop(&o);
    tg_buf_fini(&o.seen);
}

/* ---- fetch ---- */

struct fetched {
    struct tg_loop *l;
    enum tg_rc rc;
    unsigned status;
    char body[16];
};

static void on_fetched(enum tg_rc rc, unsigned status, tg_str body, void *arg)
{
    struct fetched *f = arg;

    f->rc = rc;
    f->status = status;
    (void)snprintf(f->body, sizeof(f->body), "%.*s", TG_STR_ARG(body));
    tg_loop_stop(f->l);
}

static void answer_fetch(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    while (origin_read(o, fd, "END")) {
        origin_say(fd, "HTTP/1.1 201 OK\r\nContent-Length: 5\r\n\r\nhello");
    }
}

Test(flow, fetch_collects_up_to_its_bound, .timeout = 20)
{
    struct tg_call_request req = with("POST", 0);
    struct origin o;
    struct bench b;
    struct fetched f = {0};

    open_all(&o, &b, answer_fetch);
    f.l = b.l;
    cr_assert_eq(tg_upstream_fetch(b.up, &req, TG_STR("END"), 5, on_fetched, &f), TG_OK);
    tg_loop_run(b.l);
    cr_assert_eq(f.rc, TG_OK);
    cr_assert_eq(f.status, 201U);
    cr_assert_str_eq(f.body, "hello");
    cr_assert_eq(tg_upstream_fetch(b.up, &req, TG_STR("END"), 4, on_fetched, &f), TG_OK);
    tg_loop_run(b.l);
    cr_assert_eq(f.rc, TG_ELIMIT);
    cr_assert_str_eq(f.body, "");
    bench_close(&b);
    origin_stop(&o);
    tg_buf_fini(&o.seen);
}
