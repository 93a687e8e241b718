/* fixture.c - the loop, the store and the answers of one test. */
#include "store/fixture.h"

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct tg_pos end_of_time = {UINT64_MAX, UINT64_MAX};

/* ---- the loop ---- */

static void on_guard(struct tg_timer *t)
{
    struct fixture *f = TG_CONTAINER_OF(t, struct fixture, guard);

    tg_loop_stop(f->loop);
}

static void wake(struct fixture *f)
{
    tg_loop_stop(f->loop);
}

void run_until(struct fixture *f, bool (*is_there)(struct fixture *f))
{
    tg_usec limit = tg_clock_mono_us() + TG_SEC(10);

    tg_timer_init(&f->guard, on_guard);
    while (!is_there(f)) {
        cr_assert(tg_clock_mono_us() < limit, "nothing came");
        tg_loop_timer_start(f->loop, &f->guard, TG_SEC(10));
        tg_loop_run(f->loop);
        tg_loop_timer_stop(f->loop, &f->guard);
    }
}

void pass_time(struct fixture *f, tg_usec time)
{
    tg_usec until = tg_clock_mono_us() + time;

    tg_timer_init(&f->guard, on_guard);
    for (tg_usec now = tg_clock_mono_us(); now < until; now = tg_clock_mono_us()) {
        tg_loop_timer_start(f->loop, &f->guard, until - now);
        tg_loop_run(f->loop);
        tg_loop_timer_stop(f->loop, &f->guard);
    }
}

static bool is_done(struct fixture *f)
{
    return f->is_done;
}

static bool is_up(struct fixture *f)
{
    return f->n_up >= f->n_wanted;
}

static bool is_down(struct fixture *f)
{
    return f->n_down >= f->n_wanted;
}

static bool is_tailed(struct fixture *f)
{
    return f->n >= f->n_wanted;
}

void wait_up(struct fixture *f, unsigned n_up)
{
    f->n_wanted = n_up;
    run_until(f, is_up);
}

void wait_down(struct fixture *f, unsigned n_down)
{
    f->n_wanted = n_down;
    run_until(f, is_down);
}

void wait_tail(struct fixture *f, size_t n)
{
    f->n_wanted = n;
    run_until(f, is_tailed);
}

/* ---- what comes back ---- */

static void finish(struct fixture *f, enum tg_rc rc)
{
    cr_assert(!f->is_done, "a done came twice");
    f->rc = rc;
    f->is_done = true;
    wake(f);
}

static void on_state(enum tg_store_state state, const struct tg_epoch *epoch, struct tg_pos last,
                     bool is_suspect, void *arg)
{
    struct fixture *f = arg;

    f->state = state;
    if (state == TG_STORE_UP) {
        f->n_up++;
        f->epoch = *epoch;
        f->last = last;
        f->is_suspect = is_suspect;
    } else {
        f->n_down++;
    }
    wake(f);
}

static void on_append(enum tg_rc rc, struct tg_pos pos, void *arg)
{
    struct fixture *f = arg;

    f->pos = pos;
    finish(f, rc);
}

static void on_lease(enum tg_rc rc, uint64_t fence, tg_str holder, void *arg)
{
    struct fixture *f = arg;

    f->fence = fence;
    (void)snprintf(f->holder, sizeof(f->holder), "%.*s", TG_STR_ARG(holder));
    finish(f, rc);
}

static void on_plain(enum tg_rc rc, void *arg)
{
    finish(arg, rc);
}

static void keep(struct fixture *f, const struct tg_entry *e, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct seen_entry *to = &f->seen[f->n++];

        cr_assert(f->n <= MAX_SEEN);
        to->pos = e[i].pos;
        to->kind = e[i].kind;
        (void)snprintf(to->name, sizeof(to->name), "%.*s", TG_STR_ARG(e[i].name));
        (void)snprintf(to->payload, sizeof(to->payload), "%.*s", TG_STR_ARG(e[i].payload));
    }
}

static void on_page(enum tg_rc rc, const struct tg_page *p, void *arg)
{
    struct fixture *f = arg;

    f->n = 0;
    if (rc == TG_OK) {
        f->verdict = p->verdict;
        f->resume = p->resume;
        f->has_more = p->has_more;
        f->has_skipped = p->has_skipped;
        keep(f, p->entries, p->n);
    }
    finish(f, rc);
}

static void on_batch(const struct tg_entry *entries, size_t n, struct tg_pos last, bool is_cut,
                     void *arg)
{
    struct fixture *f = arg;

    f->n_cuts += is_cut;
    f->n_batches++;
    f->tail_last = last;
    keep(f, entries, n);
    wake(f);
}

/* ---- operations ---- */

static enum tg_rc settle(struct fixture *f, enum tg_rc rc)
{
    if (rc != TG_OK) {
        return rc;
    }
    run_until(f, is_done);
    return f->rc;
}

enum tg_rc append_as(struct fixture *f, const char *feed, uint64_t fence, const char *topic,
                     const char *payload)
{
    const struct tg_write w = {.epoch = &f->epoch,
                               .feed = tg_str_of(feed),
                               .fence = fence,
                               .topic = tg_str_of(topic),
                               .payload = tg_str_of(payload)};

    f->is_done = false;
    return settle(f, tg_store_append(f->store, &w, on_append, f));
}

enum tg_rc append(struct fixture *f, const char *topic, const char *payload)
{
    return append_as(f, "", 0, topic, payload);
}

struct tg_pos fill(struct fixture *f, const char *topic, int n)
{
    for (int i = 0; i < n; i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%d", i);
        cr_assert_eq(append(f, topic, text), TG_OK);
    }
    return f->pos;
}

enum tg_rc append_once(struct fixture *f, const char *topic, const char *payload, const char *key,
                       tg_usec ttl)
{
    const struct tg_write w = {.epoch = &f->epoch,
                               .topic = tg_str_of(topic),
                               .payload = tg_str_of(payload),
                               .once = tg_str_of(key),
                               .once_ttl = ttl};

    f->is_done = false;
    return settle(f, tg_store_append(f->store, &w, on_append, f));
}

enum tg_rc once(struct fixture *f, const char *key, tg_usec ttl)
{
    f->is_done = false;
    return settle(f, tg_store_once(f->store, tg_str_of(key), ttl, on_plain, f));
}

enum tg_rc control(struct fixture *f, const char *payload)
{
    f->is_done = false;
    return settle(f, tg_store_control(f->store, &f->epoch, tg_str_of(payload), on_append, f));
}

enum tg_rc gap(struct fixture *f, const char *feed, uint64_t fence, const char *reason)
{
    const struct tg_write w = {
        .epoch = &f->epoch, .feed = tg_str_of(feed), .fence = fence, .payload = tg_str_of(reason)};

    f->is_done = false;
    return settle(f, tg_store_gap(f->store, &w, on_append, f));
}

enum tg_rc page(struct fixture *f, const char *topic, const char *feed, struct tg_pos after,
                struct tg_pos up_to, unsigned max)
{
    const struct tg_page_request req = {.topic = tg_str_of(topic),
                                        .feed = tg_str_of(feed),
                                        .epoch = f->epoch,
                                        .after = after,
                                        .up_to = up_to.ms == 0 ? end_of_time : up_to,
                                        .max_entries = max};

    f->is_done = false;
    return settle(f, tg_store_page(f->store, &req, on_page, f));
}

void is_page(struct fixture *f, enum tg_verdict verdict, struct tg_pos resume, size_t n)
{
    cr_assert_eq(f->verdict, verdict, "it is '%s'", tg_verdict_word(f->verdict));
    POS_EQ(f->resume, resume);
    cr_assert_eq(f->n, n, "%zu entries", f->n);
}

enum tg_rc take(struct fixture *f, const char *feed, tg_usec ttl)
{
    f->is_done = false;
    return settle(f, tg_store_lease_take(f->store, tg_str_of(feed), ttl, on_lease, f));
}

enum tg_rc renew(struct fixture *f, const char *feed, uint64_t fence, tg_usec ttl)
{
    f->is_done = false;
    return settle(f, tg_store_lease_renew(f->store, tg_str_of(feed), fence, ttl, on_plain, f));
}

enum tg_rc release(struct fixture *f, const char *feed, uint64_t fence)
{
    f->is_done = false;
    return settle(f, tg_store_lease_release(f->store, tg_str_of(feed), fence, on_plain, f));
}

void tail(struct fixture *f, struct tg_pos after)
{
    f->n = 0;
    cr_assert_eq(tg_store_tail(f->store, after, on_batch, f), TG_OK);
}

static void on_one_of_many(enum tg_rc rc, struct tg_pos pos, void *arg)
{
    struct fixture *f = arg;

    (void)pos;
    f->n_by_rc[rc]++;
    f->n_finished++;
    wake(f);
}

size_t append_many(struct fixture *f, const char *topic, size_t n)
{
    f->n_started = 0;
    f->n_finished = 0;
    memset(f->n_by_rc, 0, sizeof(f->n_by_rc));
    for (size_t i = 0; i < n; i++) {
        char text[24];
        struct tg_write w = {.epoch = &f->epoch, .topic = tg_str_of(topic)};

        (void)snprintf(text, sizeof(text), "%zu", i);
        w.payload = tg_str_of(text);
        f->n_started += tg_store_append(f->store, &w, on_one_of_many, f) == TG_OK;
    }
    return f->n_started;
}

static bool are_many_done(struct fixture *f)
{
    return f->n_finished == f->n_started;
}

void wait_many(struct fixture *f)
{
    run_until(f, are_many_done);
}

/* ---- the private server ---- */

void server_start(struct fixture *f)
{
    char log[128];
    char port[16];
    pid_t parent = getpid();

    (void)snprintf(port, sizeof(port), "%u", f->port);
    (void)snprintf(log, sizeof(log), "%s/log", f->dir);
    f->server = fork();
    cr_assert(f->server >= 0);
    if (f->server == 0) {
        /* Gone with the test, however that ends. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent) {
            (void)execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1",
                         "--unixsocket", f->socket, "--dir", f->dir, "--save", "", "--appendonly",
                         "no", "--logfile", log, (char *)NULL);
        }
        _exit(127);
    }
}

void server_use_port(struct fixture *f)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert(fd != -1 && bind(fd, (struct sockaddr *)&at, len) == 0 &&
              getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    (void)close(fd);
    f->port = ntohs(at.sin_port);
    (void)snprintf(f->url, sizeof(f->url), "redis://localhost:%u/1", f->port);
}

void server_kill(struct fixture *f)
{
    cr_assert_eq(kill((pid_t)f->server, SIGKILL), 0);
    cr_assert_eq(waitpid((pid_t)f->server, NULL, 0), f->server);
    f->server = 0;
}

static redisReply *ask_server(struct fixture *f, const char *format, va_list args)
{
    redisContext *c = redisConnectUnix(f->socket);
    redisReply *r = NULL;

    cr_assert(c != NULL && c->err == 0, "the server is not there");
    r = redisvCommand(c, format, args);
    cr_assert(r != NULL && r->type != REDIS_REPLY_ERROR, "%s: %s", format,
              r == NULL ? c->errstr : r->str);
    redisFree(c);
    return r;
}

long long server(struct fixture *f, const char *format, ...)
{
    long long n = 0;
    va_list args;
    redisReply *r = NULL;

    va_start(args, format);
    r = ask_server(f, format, args);
    va_end(args);
    n = r->integer;
    freeReplyObject(r);
    return n;
}

char *server_text(struct fixture *f, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    redisReply *r = NULL;

    va_start(args, format);
    r = ask_server(f, format, args);
    va_end(args);
    text = strndup(r->str, r->len);
    freeReplyObject(r);
    return text;
}

/* ---- life ---- */

void fixture_start(struct fixture *f, bool is_redis)
{
    *f = (struct fixture){.opts = {.prefix = "test",
                                   .retain_for = TG_SEC(3600),
                                   .retain_events = 10000,
                                   .log_events = 10000,
                                   .max_event_bytes = 65536,
                                   .max_pending = 4096,
                                   .timeout = TG_SEC(5),
                                   .holder = "gateway-1"}};
    cr_assert_eq(tg_loop_create("test", 64, &f->loop), TG_OK);
    (void)signal(SIGPIPE, SIG_IGN); /* as main does */
    if (is_redis) {
        (void)snprintf(f->dir, sizeof(f->dir), "/tmp/tidegate-store-XXXXXX");
        cr_assert(mkdtemp(f->dir) != NULL);
        (void)snprintf(f->socket, sizeof(f->socket), "%s/socket", f->dir);
        (void)snprintf(f->url, sizeof(f->url), "unix:%s", f->socket);
        f->opts.url = f->url;
        server_start(f);
    }
}

static void remove_file(struct fixture *f, const char *name)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    (void)unlink(path);
}

void fixture_open(struct fixture *f)
{
    const struct tg_store_event_handler h = {.on_state = on_state, .arg = f};
    unsigned n_up = f->n_up + 1;

    cr_assert_eq(tg_store_group_create(&f->opts, &f->group), TG_OK);
    cr_assert_eq(tg_store_open(f->group, f->loop, &h, &f->store), TG_OK);
    cr_assert_eq(tg_store_group_serve(f->group, f->loop), TG_OK);
    wait_up(f, n_up);
}

void fixture_close(struct fixture *f)
{
    tg_store_close(f->store);
    f->store = NULL;
    tg_store_group_unserve(f->group);
    tg_store_group_destroy(f->group);
    f->group = NULL;
}

void fixture_reopen(struct fixture *f)
{
    fixture_close(f);
    fixture_open(f);
}

void fixture_stop(struct fixture *f)
{
    if (f->group != NULL) {
        fixture_close(f);
    }
    tg_loop_destroy(f->loop);
    if (f->server != 0) {
        server_kill(f);
    }
    if (f->dir[0] != '\0') {
        remove_file(f, "socket");
        remove_file(f, "log");
        remove_file(f, "dump.rdb");
        remove_file(f, "saved.rdb");
        (void)rmdir(f->dir);
    }
}
