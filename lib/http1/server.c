/* server.c - the listener, and all connections that came through it. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http1/conn_int.h"

#define SERVER_MAGIC 0x68747470U

enum {
    ACCEPTS_PER_TURN = 64,
    KEPT_BUFFERS = 32,
    KEPT_EXCHANGES = 64,
    MIN_REFUSALS = 16, /* connections over the limit that are being told so */
};

static const tg_usec accept_pause = TG_MS(100);

/* ---- the date ---- */

/* RFC 9110 5.6.7. Once a second; not by strftime(), whose names follow the locale. */
tg_str tg_http_server_date(struct tg_http_server *s)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    tg_usec now = tg_loop_now(s->loop);

    if (now >= s->date_until) {
        tg_usec wall = tg_clock_wall_us();
        time_t seconds = (time_t)(wall / TG_SEC(1));
        struct tm t;

        (void)gmtime_r(&seconds, &t);
        (void)snprintf(s->date, sizeof(s->date), "%s, %02u %s %04u %02u:%02u:%02u GMT",
                       days[t.tm_wday % 7], (unsigned)t.tm_mday % 100U, months[t.tm_mon % 12],
                       (unsigned)(t.tm_year + 1900) % 10000U, (unsigned)t.tm_hour % 100U,
                       (unsigned)t.tm_min % 100U, (unsigned)t.tm_sec % 100U);
        s->date_until = now + TG_SEC(1) - wall % TG_SEC(1);
    }
    return tg_str_make(s->date, 29);
}

/* ---- accepting ---- */

static void give_reserve_back(struct tg_http_server *s)
{
    if (s->reserve_fd == -1) {
        s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
}

/* Over the limit it is told so, on a connection that lives only for that; over twice the
 * limit of those it is just closed. */
static void take(struct tg_http_server *s, int fd, const struct sockaddr_storage *peer)
{
    const size_t max = s->opts.max_connections;
    bool is_over = s->n_open >= max;
    struct tg_conn *c = NULL;

    tg_count_add(&s->counts->accepted, 1);
    if (is_over) {
        tg_count_add(&s->counts->refused_full, 1);
    }
    if (s->n_open < max + TG_MAX(max / 8, (size_t)MIN_REFUSALS)) {
        c = tg_conn_create(s, fd, peer);
    }
    if (c == NULL) {
        (void)close(fd);
        return;
    }
    tg_list_append(&s->conns, &c->node);
    s->n_open++;
    tg_count_set(&s->counts->open, s->n_open);
    if (is_over) {
        c->is_over = true;
        c->first_byte = tg_loop_now(s->loop);
        tg_conn_refuse(c, TG_EBUSY, NULL);
    }
    /* Sets the first deadline; the socket tells by itself when bytes are there. */
    tg_conn_advance(c);
}

/* No descriptor is left: the one in reserve is given up to take the connection off the queue
 * and close it, so that its client learns it at once. False: not even that. */
static bool turn_away(struct tg_http_server *s)
{
    int fd = -1;

    if (s->reserve_fd == -1) {
        return false;
    }
    (void)close(s->reserve_fd);
    s->reserve_fd = -1;
    fd = accept4(s->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd != -1) {
        tg_str text = TG_STR("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                             "Retry-After: 1\r\nConnection: close\r\n\r\n");

        (void)send(fd, text.p, text.n, MSG_NOSIGNAL);
        (void)shutdown(fd, SHUT_WR);
        (void)close(fd);
        tg_count_add(&s->counts->refused_full, 1);
    }
    give_reserve_back(s);
    return fd != -1;
}

/* True: the listener may hold more. */
static bool accept_one(struct tg_http_server *s)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    socklen_t n = sizeof(peer);
    int fd =
        accept4(s->listener.fd, (struct sockaddr *)(void *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd != -1) {
        take(s, fd, &peer);
        return true;
    }
    switch (errno) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        if (turn_away(s)) {
            return true;
        }
        tg_loop_timer_start(s->loop, &s->accept_again, accept_pause);
        return false;
    default:
        return true; /* that client has left already (ECONNABORTED and its like) */
    }
}

static void accept_some(struct tg_http_server *s)
{
    unsigned n = 0;

    s->has_accepts = true;
    while (n < ACCEPTS_PER_TURN && s->listener.fd != -1) {
        if (!accept_one(s)) {
            s->has_accepts = false;
            return;
        }
        n++;
    }
    tg_loop_task_start(s->loop, &s->more_task);
}

static void on_listener(struct tg_watch *w, unsigned events)
{
    (void)events;
    accept_some(TG_CONTAINER_OF(w, struct tg_http_server, listener));
}

static void on_accept_again(struct tg_timer *t)
{
    struct tg_http_server *s = TG_CONTAINER_OF(t, struct tg_http_server, accept_again);

    give_reserve_back(s);
    if (s->listener.fd != -1) {
        accept_some(s);
    }
}

/* Next turn for those that used up theirs: once each. */
static bool on_more(struct tg_task *t)
{
    struct tg_http_server *s = TG_CONTAINER_OF(t, struct tg_http_server, more_task);
    struct tg_list turn;

    if (s->has_accepts && s->listener.fd != -1) {
        accept_some(s);
    }
    tg_list_init(&turn);
    while (!tg_list_empty(&s->more)) {
        struct tg_list *node = s->more.next;

        tg_list_remove(node);
        tg_list_append(&turn, node);
    }
    while (!tg_list_empty(&turn)) {
        struct tg_conn *c = TG_CONTAINER_OF(turn.next, struct tg_conn, todo);

        tg_list_remove(&c->todo);
        tg_conn_advance(c);
    }
    return !tg_list_empty(&s->more) || (s->has_accepts && s->listener.fd != -1);
}

void tg_http_server_forget(struct tg_http_server *s, struct tg_conn *c)
{
    tg_list_remove(&c->node);
    s->n_open--;
    tg_count_set(&s->counts->open, s->n_open);
}

/* ---- life ---- */

enum tg_rc tg_http_server_create(struct tg_loop *l, const struct tg_http_opts *opts,
                                 struct tg_http_server **ret_srv)
{
    struct tg_http_server *s = NULL;

    TG_ASSERT(opts->on_request != NULL && opts->head.fields != 0 && opts->head.head_bytes != 0);
    s = TG_NEW(struct tg_http_server);
    s->magic = SERVER_MAGIC;
    s->loop = l;
    s->opts = *opts;
    s->counts = opts->counts != NULL ? opts->counts : &s->own_counts;
    s->listener.fd = -1;
    s->reserve_fd = -1;
    tg_list_init(&s->conns);
    tg_list_init(&s->kicked);
    tg_list_init(&s->more);
    tg_task_init(&s->more_task, on_more);
    tg_timer_init(&s->accept_again, on_accept_again);
    tg_pool_init(&s->buffers, TG_CONN_BUFFER, KEPT_BUFFERS);
    tg_pool_init(&s->exchanges, TG_CONN_EXCHANGE, KEPT_EXCHANGES);
    s->fields = tg_calloc(opts->head.fields, sizeof(*s->fields));
    s->scratch = tg_malloc(TG_CONN_SCRATCH);
    *ret_srv = s;
    return TG_OK;
}

enum tg_rc tg_http_server_listen(struct tg_http_server *s, int fd)
{
    int on = 1;
    enum tg_rc rc = TG_OK;

    TG_CHECK(s, SERVER_MAGIC);
    TG_ASSERT(s->listener.fd == -1);
    /* Inherited by what is accepted (Linux). */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    give_reserve_back(s);
    rc = listen(fd, SOMAXCONN) == 0 ? TG_OK : TG_EIO;
    if (rc == TG_OK) {
        rc = tg_watch_open(s->loop, &s->listener, fd, on_listener);
    }
    if (rc != TG_OK) {
        (void)close(fd);
    }
    return rc;
}

static void stop_accepting(struct tg_http_server *s)
{
    tg_watch_close(s->loop, &s->listener);
    tg_loop_timer_stop(s->loop, &s->accept_again);
    s->has_accepts = false;
}

void tg_http_server_drain(struct tg_http_server *s)
{
    TG_CHECK(s, SERVER_MAGIC);
    s->is_draining = true;
    stop_accepting(s);
    for (struct tg_list *node = s->conns.next; node != &s->conns; node = node->next) {
        struct tg_conn *c = TG_CONTAINER_OF(node, struct tg_conn, node);

        if (c->state == TG_CONN_HEAD && c->in.n == 0) {
            tg_conn_kick(c); /* step_head() closes it, unless bytes have come */
        }
    }
}

static void free_server(void *arg)
{
    struct tg_http_server *s = arg;

    tg_pool_fini(&s->buffers);
    tg_pool_fini(&s->exchanges);
    free(s->fields);
    free(s->scratch);
    s->magic = 0;
    free(s);
}

void tg_http_server_destroy(struct tg_http_server *s)
{
    if (s == NULL) {
        return;
    }
    TG_CHECK(s, SERVER_MAGIC);
    s->is_draining = true;
    stop_accepting(s);
    while (!tg_list_empty(&s->conns)) {
        tg_conn_kill(TG_CONTAINER_OF(s->conns.next, struct tg_conn, node));
    }
    tg_loop_task_stop(s->loop, &s->more_task);
    if (s->reserve_fd != -1) {
        (void)close(s->reserve_fd);
    }
    /* Behind the frees of its connections, and behind a kick that is on its way. */
    tg_loop_defer(s->loop, free_server, s);
}

const struct tg_http_counts *tg_http_server_counts(const struct tg_http_server *s)
{
    return s->counts;
}

size_t tg_http_server_open(const struct tg_http_server *s)
{
    return s->n_open;
}
