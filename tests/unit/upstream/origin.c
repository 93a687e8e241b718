/* origin.c - see origin.h. */
#include "upstream/origin.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 10, SEEN_MAX = 64 * 1024 * 1024 };

static int listen_somewhere(char *url, size_t n)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 64) == 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    (void)snprintf(url, n, "http://127.0.0.1:%u", ntohs(at.sin_port));
    return fd;
}

static void *serve_all(void *arg)
{
    struct origin *o = arg;
    struct timeval patience = {.tv_sec = PATIENCE_S};

    for (;;) {
        int fd = accept(o->fd, NULL, NULL);

        if (fd == -1) {
            return NULL;
        }
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
        o->serve(o, fd, o->n_accepted++);
        (void)close(fd);
    }
}

void origin_start(struct origin *o, origin_fn *serve)
{
    *o = (struct origin){.serve = serve};
    tg_buf_init(&o->seen, SEEN_MAX);
    cr_assert_eq(sem_init(&o->go, 0, 0), 0);
    o->fd = listen_somewhere(o->url, sizeof(o->url));
    cr_assert_eq(pthread_create(&o->thread, NULL, serve_all, o), 0);
}

void origin_stop(struct origin *o)
{
    (void)shutdown(o->fd, SHUT_RDWR);
    (void)pthread_join(o->thread, NULL);
    (void)close(o->fd);
    (void)tg_buf_cstr(&o->seen);
}

void origin_refuse(struct origin *o)
{
    *o = (struct origin){.fd = -1};
    (void)close(listen_somewhere(o->url, sizeof(o->url)));
}

static bool read_some(struct origin *o, int fd)
{
    char part[16384];
    ssize_t n = recv(fd, part, sizeof(part), 0);

    return n > 0 && tg_buf_append(&o->seen, part, (size_t)n) == TG_OK;
}

bool origin_read(struct origin *o, int fd, const char *end)
{
    size_t from = o->seen.n;

    for (;;) {
        if (!read_some(o, fd)) {
            return false;
        }
        if (memmem(o->seen.p + from, o->seen.n - from, end, strlen(end)) != NULL) {
            return true;
        }
    }
}

bool origin_read_n(struct origin *o, int fd, size_t n)
{
    while (o->seen.n < n) {
        if (!read_some(o, fd)) {
            return false;
        }
    }
    return true;
}

void origin_say(int fd, const char *text)
{
    size_t n = strlen(text);

    while (n > 0) {
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);

        if (sent <= 0) {
            return;
        }
        text += sent;
        n -= (size_t)sent;
    }
}

bool origin_await_go(struct origin *o)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    return sem_timedwait(&o->go, &until) == 0;
}

void origin_go(struct origin *o)
{
    cr_assert_eq(sem_post(&o->go), 0);
}

void origin_wait_close(int fd)
{
    char part[4096];

    while (recv(fd, part, sizeof(part), 0) > 0) {
    }
}

static void on_head(struct tg_call *call, unsigned status, tg_str reason,
                    const struct tg_upstream_field *fields, size_t n, int64_t length, void *ctx)
{
    struct told *t = ctx;

    cr_assert_eq(call, t->call);
    t->n_heads++;
    t->status = status;
    t->length = length;
    (void)tg_buf_str(&t->reason, reason);
    for (size_t i = 0; i < n; i++) {
        (void)tg_buf_printf(&t->fields, "%.*s: %.*s\n", TG_STR_ARG(fields[i].name),
                            TG_STR_ARG(fields[i].value));
    }
    if (t->after_head != NULL) {
        t->after_head(t);
    }
}

static void on_interim(struct tg_call *call, unsigned status,
                       const struct tg_upstream_field *fields, size_t n, void *ctx)
{
    struct told *t = ctx;

    (void)call;
    (void)fields;
    (void)n;
    t->status = status;
    t->n_interim++;
}

static void on_body(struct tg_call *call, tg_str bytes, void *ctx)
{
    struct told *t = ctx;

    (void)call;
    (void)tg_buf_str(&t->body, bytes);
    if (t->after_body != NULL) {
        t->after_body(t);
    }
}

static void on_drain(struct tg_call *call, void *ctx)
{
    struct told *t = ctx;

    (void)call;
    t->n_drains++;
    if (t->after_drain != NULL) {
        t->after_drain(t);
    }
}

static void on_done(struct tg_call *call, enum tg_rc rc, bool sent_any, void *ctx)
{
    struct told *t = ctx;

    (void)call;
    t->n_done++;
    t->rc = rc;
    t->sent_any = sent_any;
    if (t->after_done != NULL) {
        t->after_done(t);
    } else if (t->n_left == NULL || --*t->n_left == 0) {
        tg_loop_stop(t->l);
    }
}

const struct tg_call_handler told_handler = {
    .on_head = on_head,
    .on_interim = on_interim,
    .on_body = on_body,
    .on_drain = on_drain,
    .on_done = on_done,
};

void told_init(struct told *t, struct tg_loop *l, struct tg_upstream *up)
{
    *t = (struct told){.l = l, .up = up};
    tg_buf_init(&t->reason, 4096);
    tg_buf_init(&t->fields, 1024 * 1024);
    tg_buf_init(&t->body, SEEN_MAX);
}

void told_fini(struct told *t)
{
    tg_buf_fini(&t->reason);
    tg_buf_fini(&t->fields);
    tg_buf_fini(&t->body);
}

void bench_open(struct bench *b, const char *url, const struct tg_upstream_opts *opts)
{
    struct tg_upstream_opts with_url = {
        .max_connections = 4,
        .max_waiting = 8,
        .connect_timeout = TG_SEC(5),
        .first_byte_timeout = TG_SEC(8),
        .idle_timeout = TG_SEC(8),
        .max_head_bytes = 65536,
        .send_buffer = 65536,
        .retry_percent = 10,
    };

    if (opts != NULL) {
        with_url = *opts;
    }
    with_url.origin = url;
    cr_assert_eq(tg_loop_create("test", 16, &b->l), TG_OK);
    cr_assert_eq(tg_upstream_create(b->l, &with_url, &b->up), TG_OK);
}

void bench_close(struct bench *b)
{
    tg_upstream_destroy(b->up);
    tg_loop_destroy(b->l);
}

void bench_call(struct bench *b, struct told *t, const struct tg_call_request *req)
{
    told_init(t, b->l, b->up);
    cr_assert_eq(tg_upstream_start(b->up, req, &told_handler, t, &t->call), TG_OK);
    cr_assert_eq(t->n_heads + t->n_done, 0U);
    tg_loop_run(b->l);
    cr_assert_eq(t->n_done, 1U);
    (void)tg_buf_cstr(&t->reason);
    (void)tg_buf_cstr(&t->fields);
    (void)tg_buf_cstr(&t->body);
}

struct tg_call_request get(const char *target)
{
    return (struct tg_call_request){.method = TG_STR("GET"), .target = tg_str_of(target)};
}

struct tg_call_request request(const char *method, int64_t length)
{
    struct tg_call_request req = get("/x");

    req.method = tg_str_of(method);
    req.body_length = length;
    return req;
}

void bench_start(struct bench *b, struct told *t, const struct tg_call_request *req)
{
    told_init(t, b->l, b->up);
    cr_assert_eq(tg_upstream_start(b->up, req, &told_handler, t, &t->call), TG_OK);
}

void bench_open_with(struct origin *o, struct bench *b, origin_fn *serve)
{
    origin_start(o, serve);
    bench_open(b, o->url, NULL);
}

void bench_close_with(struct origin *o, struct bench *b, struct told *t)
{
    told_fini(t);
    bench_close(b);
    origin_stop(o);
    tg_buf_fini(&o->seen);
}
