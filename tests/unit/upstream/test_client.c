/* The promises of lib/upstream/client.h about single requests and their answers. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "upstream/origin.h"

/* One call against a server that says the same to every request. */
struct talk {
    struct origin o;
    struct bench b;
    struct told t;
};

static void talk(struct talk *k, origin_fn *serve, struct tg_call_request req)
{
    origin_start(&k->o, serve);
    bench_open(&k->b, k->o.url, NULL);
    bench_call(&k->b, &k->t, &req);
    bench_close(&k->b);
    origin_stop(&k->o);
}

static void end(struct talk *k)
{
    told_fini(&k->t);
    tg_buf_fini(&k->o.seen);
}

static void answer_each(struct origin *o, int fd, const char *answer)
{
    while (origin_read(o, fd, "\r\n\r\n")) {
        origin_say(fd, answer);
    }
}

static void say_hello(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    answer_each(o, fd,
                "HTTP/1.1 200 Fine Today\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\n"
                "X-Empty:\r\nContent-Length: 5\r\n\r\nhello");
}

Test(client, passes_an_answer_as_it_came, .timeout = 20)
{
    struct talk k;

    talk(&k, say_hello, get("/rest/v1/x"));
    cr_assert_eq(k.t.rc, TG_OK);
    cr_assert_eq(k.t.status, 200U);
    cr_assert_str_eq(k.t.reason.p, "Fine Today");
    cr_assert_str_eq(k.t.fields.p,
                     "set-cookie: a=1\nSet-Cookie: b=2\nX-Empty: \nContent-Length: 5\n");
    cr_assert_eq(k.t.length, 5);
    cr_assert_str_eq(k.t.body.p, "hello");
    cr_assert(k.t.sent_any);
    end(&k);
}

Test(client, sends_what_it_is_given_and_nothing_of_its_own, .timeout = 20)
{
    struct tg_upstream_field fields[] = {
        {TG_STR_INIT("x-lower"), TG_STR_INIT("1")},
        {TG_STR_INIT("host"), TG_STR_INIT("else.where")},
        {TG_STR_INIT("X-UPPER"), TG_STR_INIT("two  blanks; and: colon")},
        {TG_STR_INIT("X-Empty"), TG_STR_INIT("")},
        {TG_STR_INIT("x-lower"), TG_STR_INIT("2")},
        {TG_STR_INIT("Cookie"), TG_STR_INIT("a=b")},
    };
    struct tg_call_request req = get("/a/../b/./%2e//c?q=%00&x=[]");
    struct talk k;

    req.fields = fields;
    req.n_fields = TG_ARRAY_LEN(fields);
    talk(&k, say_hello, req);
    cr_assert_str_eq(k.o.seen.p, "GET /a/../b/./%2e//c?q=%00&x=[] HTTP/1.1\r\n"
                                 "x-lower: 1\r\nhost: else.where\r\n"
                                 "X-UPPER: two  blanks; and: colon\r\nX-Empty:\r\nx-lower: 2\r\n"
                                 "Cookie: a=b\r\n\r\n");
    end(&k);
}

Test(client, adds_host_from_the_origin, .timeout = 20)
{
    struct talk k;
    char want[512];

    talk(&k, say_hello, get("/"));
    (void)snprintf(want, sizeof(want), "GET / HTTP/1.1\r\nHost: %s\r\n\r\n",
                   k.o.url + sizeof("http://") - 1);
    cr_assert_str_eq(k.o.seen.p, want);
    end(&k);
}

Test(client, a_target_never_chooses_the_host, .timeout = 20)
{
    struct talk k;

    talk(&k, say_hello, get("/x@127.0.0.2:1/y"));
    cr_assert_eq(k.t.rc, TG_OK);
    cr_assert_eq(strncmp(k.o.seen.p, "GET /x@127.0.0.2:1/y HTTP/1.1\r\n", 31), 0);
    end(&k);
}

Test(client, refuses_what_would_break_the_head, .timeout = 20)
{
    struct tg_upstream_field bad[] = {
        {TG_STR_INIT("X"), TG_STR_INIT("a\r\nY: b")}, {TG_STR_INIT("X\r\nY"), TG_STR_INIT("b")},
        {TG_STR_INIT("X"), TG_STR_INIT("a\0b")},      {TG_STR_INIT(""), TG_STR_INIT("b")},
        {TG_STR_INIT("X:"), TG_STR_INIT("b")},
    };
    const char *targets[] = {"/a b", "/a\r\nX: y", "", "/\x7f"};
    struct origin o;
    struct bench b;
    struct tg_call *call = NULL;

    origin_refuse(&o);
    bench_open(&b, o.url, NULL);
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        struct tg_call_request req = get("/");

        req.fields = &bad[i];
        req.n_fields = 1;
        cr_assert_eq(tg_upstream_start(b.up, &req, &told_handler, NULL, &call), TG_EBADREQ);
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(targets); i++) {
        struct tg_call_request req = get(targets[i]);

        cr_assert_eq(tg_upstream_start(b.up, &req, &told_handler, NULL, &call), TG_EBADREQ);
    }
    bench_close(&b);
}

static void redirect(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    answer_each(o, fd,
                "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Encoding: gzip\r\n"
                "Content-Length: 3\r\n\r\nabc");
}

Test(client, neither_follows_nor_decodes, .timeout = 20)
{
    struct talk k;

    talk(&k, redirect, get("/"));
    cr_assert_eq(k.t.rc, TG_OK);
    cr_assert_eq(k.t.status, 302U);
    cr_assert_str_eq(k.t.body.p, "abc");
    end(&k);
}

static void say_interim(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    answer_each(o, fd,
                "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 P\r\n\r\n"
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

Test(client, tells_interim_answers_apart, .timeout = 20)
{
    struct talk k;

    talk(&k, say_interim, get("/"));
    cr_assert_eq(k.t.n_interim, 2U);
    cr_assert_eq(k.t.n_heads, 1U);
    cr_assert_eq(k.t.status, 200U);
    cr_assert_eq(k.t.length, 0);
    end(&k);
}

static void say_chunks(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    answer_each(o, fd,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
                "3;ext=1\r\nabc\r\n4\r\ndefg\r\n0\r\nX-T: 1\r\n\r\n");
}

Test(client, decodes_chunks_and_keeps_trailers_to_itself, .timeout = 20)
{
    struct talk k;

    talk(&k, say_chunks, get("/"));
    cr_assert_eq(k.t.rc, TG_OK);
    cr_assert_eq(k.t.length, -1);
    cr_assert_str_eq(k.t.body.p, "abcdefg");
    cr_assert_eq(k.t.n_heads, 1U);
    end(&k);
}

static void say_until_close(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    (void)origin_read(o, fd, "\r\n\r\n");
    origin_say(fd, "HTTP/1.0 200 OK\r\n\r\nall of it");
}

Test(client, takes_a_body_that_ends_with_the_connection, .timeout = 20)
{
    struct talk k;

    talk(&k, say_until_close, get("/"));
    cr_assert_eq(k.t.rc, TG_OK);
    cr_assert_eq(k.t.length, -1);
    cr_assert_str_eq(k.t.body.p, "all of it");
    end(&k);
}

static void say_no_body(struct origin *o, int fd, unsigned nth)
{
    const char *answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: \"a\"\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    };

    (void)nth;
    for (size_t i = 0; i < TG_ARRAY_LEN(answers) && origin_read(o, fd, "\r\n\r\n"); i++) {
        origin_say(fd, answers[i]);
    }
    origin_wait_close(fd);
}

Test(client, head_204_and_304_keep_their_length_and_the_connection, .timeout = 20)
{
    const int64_t lengths[] = {1234, 77, 9, 2};
    struct origin o;
    struct bench b;
    struct told t;

    origin_start(&o, say_no_body);
    bench_open(&b, o.url, NULL);
    for (size_t i = 0; i < TG_ARRAY_LEN(lengths); i++) {
        struct tg_call_request req = get("/");

        if (i == 0) {
            req.method = TG_STR("HEAD");
        }
        bench_call(&b, &t, &req);
        cr_assert_eq(t.rc, TG_OK);
        cr_assert_eq(t.length, lengths[i]);
        cr_assert_eq(t.body.n, i == 3 ? 2U : 0U);
        told_fini(&t);
    }
    cr_assert_eq(tg_count_get(&tg_upstream_counts(b.up)->connects), 1U);
    cr_assert_eq(tg_count_get(&tg_upstream_counts(b.up)->reused), 3U);
    bench_close(&b);
    origin_stop(&o);
    cr_assert_eq(o.n_accepted, 1U);
    tg_buf_fini(&o.seen);
}

static void cut_short(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    (void)origin_read(o, fd, "\r\n\r\n");
    origin_say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
}

static void cut_chunk(struct origin *o, int fd, unsigned nth)
{
    (void)nth;
    (void)origin_read(o, fd, "\r\n\r\n");
    origin_say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n");
}

Test(client, an_answer_cut_short_is_no_success, .timeout = 20)
{
    origin_fn *serve[] = {cut_short, cut_chunk};
    struct talk k;

    for (size_t i = 0; i < TG_ARRAY_LEN(serve); i++) {
        talk(&k, serve[i], get("/"));
        cr_assert_eq(k.t.rc, TG_EUPSTREAM);
        cr_assert_eq(k.t.n_heads, 1U);
        cr_assert_str_eq(k.t.body.p, "only this");
        end(&k);
    }
}

static const char *const bad_heads[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "HTTP/1.1 2 OK\r\n\r\n",
    "not http at all\r\n\r\n",
};

static void say_bad(struct origin *o, int fd, unsigned nth)
{
    if (origin_read(o, fd, "\r\n\r\n")) {
        origin_say(fd, bad_heads[nth % TG_ARRAY_LEN(bad_heads)]);
    }
}

Test(client, an_answer_that_is_no_http_is_refused, .timeout = 20)
{
    struct tg_call_request req = get("/");
    struct origin o;
    struct bench b;
    struct told t;

    origin_start(&o, say_bad);
    bench_open(&b, o.url, NULL);
    for (size_t i = 0; i < TG_ARRAY_LEN(bad_heads); i++) {
        bench_call(&b, &t, &req);
        cr_assert_eq(t.rc, TG_EUPSTREAM, "%s: %s", bad_heads[i], tg_rc_name(t.rc));
        cr_assert_eq(t.n_heads, 0U, "%s", bad_heads[i]);
        told_fini(&t);
    }
    bench_close(&b);
    origin_stop(&o);
    tg_buf_fini(&o.seen);
}

static void say_long_head(struct origin *o, int fd, unsigned nth)
{
    char line[1024];

    (void)nth;
    (void)origin_read(o, fd, "\r\n\r\n");
    origin_say(fd, "HTTP/1.1 200 OK\r\n");
    memset(line, 'a', sizeof(line));
    memcpy(line, "X: ", 3);
    memcpy(line + sizeof(line) - 3, "\r\n", 3);
    for (int i = 0; i < 70; i++) {
        origin_say(fd, line);
    }
    origin_say(fd, "\r\n");
    origin_wait_close(fd);
}

Test(client, a_head_over_the_limit_is_refused, .timeout = 20)
{
    struct talk k;

    talk(&k, say_long_head, get("/"));
    cr_assert_eq(k.t.rc, TG_EUPSTREAM);
    cr_assert_eq(k.t.n_heads, 0U);
    end(&k);
}

Test(client, says_that_nothing_was_sent_when_refused, .timeout = 20)
{
    struct tg_call_request req = get("/");
    struct origin o;
    struct bench b;
    struct told t;

    origin_refuse(&o);
    bench_open(&b, o.url, NULL);
    bench_call(&b, &t, &req);
    cr_assert_eq(t.rc, TG_EREFUSED);
    cr_assert_not(t.sent_any);
    cr_assert_eq(tg_count_get(&tg_upstream_counts(b.up)->refused), 1U);
    told_fini(&t);
    bench_close(&b);
}
