/* http1_routes.c - see http1_routes.h. The path chooses what is done; see `routes`. */
#include "http1_routes.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

enum { BODY_MAX = 1 << 24, PIECE = 16384 };

struct job {
    struct app *app;
    void (*on_whole)(struct tg_conn *c, struct job *job);
    struct tg_buf body;
    uint64_t n_body;
    uint64_t left; /* of /big */
    struct tg_conn *c;
    bool is_gone;
    tg_str target;
};

struct raw {
    struct app *app;
    struct tg_buf out;
};

static struct app *app_of(struct tg_conn *c)
{
    return tg_conn_server_arg(c);
}

static void answer(struct tg_conn *c, unsigned status, tg_str body)
{
    struct tg_field type = {TG_STR("Content-Type"), TG_STR("text/plain")};
    struct tg_answer a = {
        .status = status, .fields = {.v = &type, .n = 1}, .length = (int64_t)body.n};

    tg_conn_answer(c, &a, body);
}

/* ---- one request ---- */

static void on_body(struct tg_conn *c, tg_str bytes, void *ctx)
{
    struct job *job = ctx;

    (void)c;
    job->n_body += bytes.n;
    (void)tg_buf_str(&job->body, bytes);
}

static void on_body_end(struct tg_conn *c, void *ctx)
{
    struct job *job = ctx;

    if (job->on_whole != NULL) {
        job->on_whole(c, job);
    }
}

static void free_job(void *arg)
{
    struct job *job = arg;

    tg_buf_fini(&job->body);
    free(job);
}

static void on_gone(struct tg_conn *c, enum tg_rc why, void *ctx)
{
    struct job *job = ctx;
    struct app *app = app_of(c);

    if (app->held == c) {
        app->held = NULL;
    }
    (void)tg_buf_printf(&app->gone, "%s\"%.*s=%s\"", app->gone.n == 0 ? "" : ",",
                        TG_STR_ARG(job->target), tg_rc_name(why));
    TG_ASSERT(!job->is_gone);
    job->is_gone = true;
    tg_loop_defer(app->loop, free_job, job);
}

static void write_big(struct tg_conn *c, struct job *job)
{
    static char piece[PIECE];
    enum tg_rc rc = TG_OK;

    memset(piece, 'x', sizeof(piece));
    while (rc == TG_OK && job->left != 0) {
        size_t n = job->left < PIECE ? (size_t)job->left : PIECE;

        rc = tg_conn_write(c, tg_str_make(piece, n));
        if (rc != TG_ECLOSED) {
            job->left -= n;
        }
    }
    if (job->left == 0) {
        tg_conn_end(c);
    }
}

static void on_drain(struct tg_conn *c, void *ctx)
{
    write_big(c, ctx);
}

static const struct tg_request_handler handler = {
    .on_body = on_body, .on_body_end = on_body_end, .on_drain = on_drain, .on_gone = on_gone};

/* For the bench: nothing but an answer. */
static void on_gone_quiet(struct tg_conn *c, enum tg_rc why, void *ctx)
{
    (void)c;
    (void)why;
    (void)ctx;
}
static const struct tg_request_handler quiet = {.on_gone = on_gone_quiet};

/* ---- what the routes do ---- */

static void do_root(struct tg_conn *c, struct job *job)
{
    (void)job;
    answer(c, 200, TG_STR("ok\n"));
}

static void do_echo(struct tg_conn *c, struct job *job)
{
    answer(c, 200, tg_buf_view(&job->body));
}

/* How the request was read: what must be the same everywhere. Also as a field, for HEAD. */
static void do_describe(struct tg_conn *c, struct job *job)
{
    const struct tg_head *h = &tg_conn_request(c)->head;
    TG_CLEANUP(tg_buf_fini) struct tg_buf b;
    struct tg_field f = {.name = TG_STR("X-Read")};
    struct tg_answer a = {.status = 200, .fields = {.v = &f, .n = 1}};

    tg_buf_init(&b, BODY_MAX);
    (void)tg_buf_printf(&b, "%.*s|%.*s|%.*s|%" PRIu64 "\n", TG_STR_ARG(h->method_text),
                        TG_STR_ARG(h->target), TG_STR_ARG(h->host), job->n_body);
    a.length = (int64_t)b.n;
    f.value = tg_str_make(b.p, b.n - 1);
    tg_conn_answer(c, &a, tg_buf_view(&b));
}

static void do_count(struct tg_conn *c, struct job *job)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf b;

    tg_buf_init(&b, 64);
    (void)tg_buf_printf(&b, "%" PRIu64 "\n", job->n_body);
    answer(c, 200, tg_buf_view(&b));
}

static void begin(struct tg_conn *c, unsigned status, int64_t length)
{
    struct tg_answer a = {.status = status, .length = length};

    (void)tg_conn_begin(c, &a);
}

static void do_chunked(struct tg_conn *c, struct job *job)
{
    (void)job;
    begin(c, 200, TG_LENGTH_UNKNOWN);
    (void)tg_conn_write(c, TG_STR("one "));
    (void)tg_conn_write(c, TG_STR_NONE);
    (void)tg_conn_write(c, TG_STR("two "));
    (void)tg_conn_write(c, TG_STR("three\n"));
    tg_conn_end(c);
}

static void do_big(struct tg_conn *c, struct job *job)
{
    tg_str t = job->target;

    (void)tg_str_cut(&t, '=');
    if (t.p == NULL || tg_str_to_u64(t, &job->left) != TG_OK) {
        job->left = 1 << 20;
    }
    begin(c, 200, (int64_t)job->left);
    write_big(c, job);
}

static void do_status(struct tg_conn *c, struct job *job)
{
    struct tg_answer a = {.status = 204, .length = TG_LENGTH_NONE};

    if (tg_str_has_prefix(job->target, TG_STR("/304"))) {
        a = (struct tg_answer){.status = 304, .length = 5};
    }
    tg_conn_answer(c, &a, TG_STR("never"));
}

static void do_reason(struct tg_conn *c, struct job *job)
{
    struct tg_field f[] = {{TG_STR("X-Two"), TG_STR("b")},
                           {TG_STR("x-two"), TG_STR("a")},
                           {TG_STR("X-Evil"), TG_STR("a\r\nInjected: 1")},
                           {TG_STR("Date"), TG_STR("Thu, 01 Jan 1970 00:00:00 GMT")}};
    struct tg_answer a = {.status = 299,
                          .reason = TG_STR("Fine By Me"),
                          .fields = {.v = f, .n = TG_ARRAY_LEN(f)},
                          .length = 0};

    (void)job;
    tg_conn_answer(c, &a, TG_STR_NONE);
}

static void do_close(struct tg_conn *c, struct job *job)
{
    struct tg_answer a = {.status = 200, .length = 4, .close = true};

    (void)job;
    tg_conn_answer(c, &a, TG_STR("bye\n"));
}

static void do_cut(struct tg_conn *c, struct job *job)
{
    bool is_chunked = tg_str_has_prefix(job->target, TG_STR("/abort-chunked"));

    begin(c, 200, is_chunked ? TG_LENGTH_UNKNOWN : 100);
    (void)tg_conn_write(c, TG_STR("0123456789"));
    if (tg_str_has_prefix(job->target, TG_STR("/short"))) {
        tg_conn_end(c);
    } else {
        tg_conn_abort(c);
    }
}

static void do_interim(struct tg_conn *c, struct job *job)
{
    struct tg_field link = {TG_STR("Link"), TG_STR("</a>; rel=preload")};

    (void)job;
    tg_conn_interim(c, 103, (struct tg_fields){.v = &link, .n = 1});
    answer(c, 200, TG_STR("ok\n"));
}

static void do_hold(struct tg_conn *c, struct job *job)
{
    job->app->held = c;
    if (tg_str_eq(job->target, TG_STR("/park"))) {
        tg_conn_park(c);
    }
}

static void do_release(struct tg_conn *c, struct job *job)
{
    struct tg_conn *held = job->app->held;

    job->app->held = NULL;
    if (held != NULL) {
        answer(held, 200, TG_STR("released\n"));
    }
    answer(c, 200, held != NULL ? TG_STR("yes\n") : TG_STR("no\n"));
}

static void answer_later(void *arg)
{
    struct job *job = arg;

    if (!job->is_gone) {
        answer(job->c, 200, TG_STR("later\n"));
    }
}

static void do_later(struct tg_conn *c, struct job *job)
{
    job->c = c;
    tg_loop_defer(job->app->loop, answer_later, job);
}

static void want_later(void *arg)
{
    struct job *job = arg;

    if (!job->is_gone) {
        tg_conn_want_body(job->c);
    }
}

static void do_peer(struct tg_conn *c, struct job *job)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf b;

    (void)job;
    tg_buf_init(&b, 128);
    (void)tg_buf_printf(&b, "%.*s %s\n", TG_STR_ARG(tg_conn_peer(c)),
                        tg_conn_peer_is_trusted(c) ? "trusted" : "untrusted");
    answer(c, 200, tg_buf_view(&b));
}

static void do_drain(struct tg_conn *c, struct job *job)
{
    tg_http_server_drain(job->app->server);
    answer(c, 200, TG_STR("draining\n"));
}

static void do_stats(struct tg_conn *c, struct job *job)
{
    const struct tg_http_counts *n = tg_http_server_counts(job->app->server);
    TG_CLEANUP(tg_buf_fini) struct tg_buf b;

    tg_buf_init(&b, BODY_MAX);
    (void)tg_buf_printf(
        &b,
        "{\"accepted\":%" PRIu64 ",\"open\":%zu,\"full\":%" PRIu64 ",\"requests\":%" PRIu64
        ",\"bad\":%" PRIu64 ",\"timeouts\":%" PRIu64 ",\"in\":%" PRIu64 ",\"out\":%" PRIu64
        ",\"raw\":%" PRIu64 ",\"held\":%s,\"heap\":%zu,\"gone\":[",
        tg_count_get(&n->accepted), tg_http_server_open(job->app->server),
        tg_count_get(&n->refused_full), tg_count_get(&n->requests), tg_count_get(&n->bad_requests),
        tg_count_get(&n->timeouts), tg_count_get(&n->bytes_in), tg_count_get(&n->bytes_out),
        job->app->raw_open, job->app->held != NULL ? "true" : "false", mallinfo2().uordblks);
    (void)tg_buf_str(&b, tg_buf_view(&job->app->gone));
    (void)tg_buf_str(&b, TG_STR("]}\n"));
    tg_buf_clear(&job->app->gone);
    answer(c, 200, tg_buf_view(&b));
}

/* ---- raw: everything comes back ---- */

static enum tg_rc raw_flush(struct tg_conn *c, struct raw *r)
{
    while (r->out.n != 0) {
        struct iovec iov = {.iov_base = r->out.p, .iov_len = r->out.n};
        size_t n = 0;
        enum tg_rc rc = tg_conn_raw_write(c, &iov, 1, &n);

        if (rc != TG_OK) {
            return rc;
        }
        tg_buf_consume(&r->out, n);
    }
    return TG_OK;
}

static void on_raw_ready(struct tg_conn *c, unsigned events, void *ctx)
{
    struct raw *r = ctx;
    enum tg_rc rc = TG_OK;

    (void)events;
    while (rc == TG_OK) {
        size_t n = 0;

        TG_ASSERT(tg_buf_reserve(&r->out, PIECE) == TG_OK);
        rc = tg_conn_raw_read(c, r->out.p + r->out.n, PIECE, &n);
        r->out.n += rc == TG_OK ? n : 0;
        if (raw_flush(c, r) == TG_ECLOSED) {
            rc = TG_ECLOSED;
        }
    }
    if (rc != TG_EAGAIN) {
        tg_conn_close(c);
        tg_conn_close(c);
    }
}

static void on_raw_close(struct tg_conn *c, void *ctx)
{
    struct raw *r = ctx;

    (void)c;
    r->app->raw_open--;
    tg_buf_fini(&r->out);
    free(r);
}

static const struct tg_raw_handler raw_handler = {.on_ready = on_raw_ready,
                                                  .on_close = on_raw_close};

static void do_raw(struct tg_conn *c, struct job *job)
{
    bool is_stream = tg_str_has_prefix(job->target, TG_STR("/stream"));
    struct raw *r = TG_NEW(struct raw);
    tg_str early = TG_STR_NONE;
    enum tg_rc rc = tg_conn_go_raw(
        c,
        is_stream
            ? TG_STR("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: hello\n\n")
            : TG_STR("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "
                     "echo\r\n\r\n"),
        is_stream, &raw_handler, r, &early);

    if (rc != TG_OK) {
        free(r);
        return;
    }
    r->app = job->app;
    r->app->raw_open++;
    tg_buf_init(&r->out, BODY_MAX);
    (void)tg_buf_str(&r->out, early);
}

/* ---- choosing ---- */

struct route {
    tg_str prefix;
    void (*at_once)(struct tg_conn *c, struct job *job);
    void (*on_whole)(struct tg_conn *c, struct job *job);
};

static const struct route routes[] = {
    {TG_STR_INIT("/echo"), NULL, do_echo},       {TG_STR_INIT("/count"), NULL, do_count},
    {TG_STR_INIT("/early"), do_root, NULL},      {TG_STR_INIT("/chunked"), do_chunked, NULL},
    {TG_STR_INIT("/big"), do_big, NULL},         {TG_STR_INIT("/204"), do_status, NULL},
    {TG_STR_INIT("/304"), do_status, NULL},      {TG_STR_INIT("/reason"), do_reason, NULL},
    {TG_STR_INIT("/close"), do_close, NULL},     {TG_STR_INIT("/abort"), do_cut, NULL},
    {TG_STR_INIT("/short"), do_cut, NULL},       {TG_STR_INIT("/interim"), do_interim, NULL},
    {TG_STR_INIT("/hold"), do_hold, NULL},       {TG_STR_INIT("/park"), do_hold, NULL},
    {TG_STR_INIT("/release"), do_release, NULL}, {TG_STR_INIT("/later"), NULL, do_later},
    {TG_STR_INIT("/peer"), do_peer, NULL},       {TG_STR_INIT("/drain"), do_drain, NULL},
    {TG_STR_INIT("/stats"), do_stats, NULL},     {TG_STR_INIT("/stream"), do_raw, NULL},
    {TG_STR_INIT("/upgrade"), do_raw, NULL},
};

static void choose(struct tg_conn *c, struct job *job)
{
    for (size_t i = 0; i < TG_ARRAY_LEN(routes) && job->app->describes_all == 0; i++) {
        if (tg_str_has_prefix(job->target, routes[i].prefix)) {
            job->on_whole = routes[i].on_whole;
            if (routes[i].at_once != NULL) {
                routes[i].at_once(c, job);
            }
            return;
        }
    }
    job->on_whole = do_describe;
}

void routes_on_request(struct tg_conn *c, struct tg_request *req, void *arg)
{
    const struct app *app = arg;
    struct job *job = NULL;

    if (app->describes_all == 0 && tg_str_eq(req->head.target, TG_STR("/"))) {
        tg_conn_set_handler(c, &quiet, NULL);
        answer(c, 200, TG_STR("ok\n"));
        return;
    }
    job = TG_NEW(struct job);
    job->app = arg;
    job->c = c;
    job->target = tg_arena_str(&req->arena, req->head.target);
    tg_buf_init(&job->body, BODY_MAX);
    tg_conn_set_handler(c, &handler, job);
    choose(c, job);
    if (req->head.expect_continue &&
        (app->describes_all != 0 || !tg_str_has_prefix(job->target, TG_STR("/early")))) {
        tg_loop_defer(job->app->loop, want_later, job);
    }
}

void routes_on_refuse(struct tg_conn *c, enum tg_rc rc, const struct tg_head *head, void *arg)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf b;

    (void)head;
    (void)arg;
    tg_buf_init(&b, 256);
    (void)tg_buf_printf(&b, "{\"code\":\"%s\"}\n", tg_rc_code(rc));
    answer(c, tg_rc_status(rc), tg_buf_view(&b));
}
