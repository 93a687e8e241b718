/* The promises of lib/upstream/client.h about how calls end, are repeated, and are bounded. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>

#include "upstream/origin.h"

static const char OK_EMPTY[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

static void answer_all(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    while (origin_read(o, fd, "\r\n\r\n")) {
        origin_say(fd, OK_EMPTY);
    }
}

/* An answer without an end. */
static void say_big(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    (void)origin_read(o, fd, "\r\n\r\n");
    origin_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nthe beginning");
    origin_wait_close(fd);
}

/* ---- ends ---- */

static void cancel(struct told *t)
{
    tg_call_cancel(t->call);
    cr_assert_eq(t->n_done, 0U);
}

Test(ends, cancelling_ends_a_call_wherever_it_is, .timeout = 20)
{
    struct tg_call_request req = get("/");

    for (unsigned i = 0; i < 3; i++) {
        struct origin o;
        struct bench b;
        struct told t;

        bench_open_with(&o, &b, say_big);
        bench_start(&b, &t, &req);
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
        bench_close_with(&o, &b, &t);
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

Test(ends, the_client_may_be_destroyed_at_any_time, .timeout = 20)
{
    struct tg_call_request req = get("/");
    struct origin o;
    struct bench b;
    struct told t[3];

    bench_open_with(&o, &b, say_nothing);
    for (size_t i = 0; i < TG_ARRAY_LEN(t); i++) {
        bench_start(&b, &t[i], &req);
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

Test(ends, silence_ends_in_a_timeout, .timeout = 20)
{
    struct tg_call_request req = get("/");
    struct origin o;
    struct bench b;
    struct told t;

    req.first_byte_timeout = TG_MS(50);
    req.may_retry = true;
    bench_open_with(&o, &b, say_nothing);
    bench_call(&b, &t, &req);
    cr_assert_eq(t.rc, TG_EGATEWAYTIME);
    cr_assert(t.sent_any);
    cr_assert_eq(tg_count_get(&tg_upstream_counts(b.up)->retried), 0U);
    bench_close_with(&o, &b, &t);
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

Test(ends, repeats_a_get_on_a_kept_connection_that_died, .timeout = 20)
{
    struct tg_call_request req = get("/");
    struct origin o;
    struct bench b;
    struct told t;

    req.may_retry = true;
    bench_open_with(&o, &b, answer_once);
    bench_call(&b, &t, &req);
    told_fini(&t);
    bench_call(&b, &t, &req);
    cr_assert_eq(t.rc, TG_OK);
    cr_assert_eq(tg_count_get(&tg_upstream_counts(b.up)->retried), 1U);
    bench_close_with(&o, &b, &t);
}

/* Answers one request on the first connection and nothing after it. */
static void answer_first(struct origin *o, int fd, unsigned nth)
{
    if (nth == 0) {
        answer_once(o, fd, nth);
    } else {
        (void)origin_read(o, fd, "\r\n\r\n");
    }
}

Test(ends, tries_twice_in_all_whoever_repeats, .timeout = 20)
{
    struct tg_call_request req = get("/");
    unsigned n_seen = 0;
    struct origin o;
    struct bench b;
    struct told t;

    req.may_retry = true;
    bench_open_with(&o, &b, answer_first);
    bench_call(&b, &t, &req);
    told_fini(&t);
    bench_call(&b, &t, &req);
    cr_assert_eq(t.rc, TG_EUPSTREAM);
    cr_assert_eq(tg_count_get(&tg_upstream_counts(b.up)->retried), 1U);
    bench_close(&b);
    origin_stop(&o);
    for (const char *at = o.seen.p; (at = strstr(at, "GET /")) != NULL; at++) {
        n_seen++;
    }
    cr_assert_eq(n_seen, 1U + 2U);
    told_fini(&t);
    tg_buf_fini(&o.seen);
}

Test(ends, never_sends_a_post_twice, .timeout = 20)
{
    struct tg_call_request req = request("POST", 0);
    struct origin o;
    struct bench b;
    struct told t;

    req.may_retry = true;
    bench_open_with(&o, &b, answer_once);
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

Test(ends, repeats_nothing_unless_it_is_asked_to, .timeout = 20)
{
    struct tg_call_request req = get("/");
    struct origin o;
    struct bench b;
    struct told t;

    bench_open_with(&o, &b, answer_once);
    bench_call(&b, &t, &req);
    told_fini(&t);
    bench_call(&b, &t, &req);
    cr_assert_eq(t.rc, TG_EUPSTREAM);
    cr_assert_eq(tg_count_get(&tg_upstream_counts(b.up)->retried), 0U);
    bench_close_with(&o, &b, &t);
}

/* ---- bounds ---- */

Test(ends, an_open_breaker_answers_at_once_for_its_service_only, .timeout = 20)
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

Test(ends, over_its_bounds_it_is_busy_and_what_waits_comes_next, .timeout = 20)
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
        bench_start(&b, &t[i], &req);
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

Test(ends, fetch_collects_up_to_its_bound, .timeout = 20)
{
    struct tg_call_request req = request("POST", 0);
    struct origin o;
    struct bench b;
    struct fetched f = {0};

    bench_open_with(&o, &b, answer_fetch);
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
