/* multi.c - libcurl's sockets and timer on the loop.
 *
 *   curl wants     we watch                     an event that curl does not want
 *   IN             IN                           -
 *   OUT, IN|OUT    the same                     -
 *   nothing, open  IN (kept from before)        stop watching, until it wants again
 *   gone           nothing */
#include "upstream/multi.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct tg_multi_sock {
    struct tg_multi *m;
    struct tg_poll *poll;
    int fd;
    unsigned want; /* of libcurl */
    unsigned on;   /* watched */
    bool is_ours;  /* a connection's: told when it is closed */
};

enum tg_rc tg_rc_from_curl(CURLcode code, bool connected)
{
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT) {
        return TG_EREFUSED;
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
        return TG_EGATEWAYTIME;
    }
    if (code == CURLE_OK) {
        return TG_OK;
    }
    return connected ? TG_EUPSTREAM : TG_EREFUSED;
}

/* ---- sockets ---- */

static struct tg_multi_sock *find_sock(const struct tg_multi *m, int fd)
{
    return fd >= 0 && (size_t)fd < m->n_socks ? m->socks[fd] : NULL;
}

static struct tg_multi_sock *get_sock(struct tg_multi *m, int fd)
{
    struct tg_multi_sock *s = find_sock(m, fd);

    if (s != NULL) {
        return s;
    }
    if ((size_t)fd >= m->n_socks) {
        size_t n = TG_MAX((size_t)fd + 1, m->n_socks * 2);

        m->socks = tg_realloc(m->socks, n, sizeof(struct tg_multi_sock *));
        memset(m->socks + m->n_socks, 0, (n - m->n_socks) * sizeof(struct tg_multi_sock *));
        m->n_socks = n;
    }
    s = TG_NEW(struct tg_multi_sock);
    s->m = m;
    s->fd = fd;
    m->socks[fd] = s;
    return s;
}

void tg_multi_forget(struct tg_multi *m, int fd)
{
    struct tg_multi_sock *s = find_sock(m, fd);

    if (s != NULL) {
        m->socks[fd] = NULL;
        tg_poll_close(s->poll);
        free(s);
    }
}

static void drain_messages(struct tg_multi *m)
{
    CURLMsg *msg = NULL;
    int left = 0;

    while (!m->is_closing && (msg = curl_multi_info_read(m->curl, &left)) != NULL) {
        if (msg->msg == CURLMSG_DONE) {
            m->on_done(msg->easy_handle, msg->data.result, m->arg);
        }
    }
}

static void enter(struct tg_multi *m, curl_socket_t fd, int bits)
{
    int running = 0;

    (void)curl_multi_socket_action(m->curl, fd, bits, &running);
    drain_messages(m);
}

static void watch(struct tg_multi_sock *s, unsigned events)
{
    if (s->on != events) {
        s->on = events;
        tg_poll_want(s->poll, events);
    }
}

static void on_ready(struct tg_poll *p, unsigned events, void *arg)
{
    struct tg_multi_sock *s = arg;
    struct tg_multi *m = s->m;
    int fd = s->fd;
    int bits = 0;

    (void)p;
    if ((events & TG_HANGUP) != 0) {
        s->on = 0; /* the loop has stopped watching a failed descriptor */
    }
    events &= s->want | TG_HANGUP;
    if (s->want == 0 || events == 0) {
        watch(s, s->want);
        return;
    }
    bits |= (events & TG_READABLE) != 0 ? CURL_CSELECT_IN : 0;
    bits |= (events & TG_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0;
    bits |= (events & TG_HANGUP) != 0 ? CURL_CSELECT_ERR : 0;
    enter(m, fd, bits);
    s = m->is_closing ? NULL : find_sock(m, fd);
    if (s != NULL && s->want != 0 && s->on == 0) {
        watch(s, s->want);
    }
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sock_arg)
{
    struct tg_multi *m = arg;
    struct tg_multi_sock *s = NULL;

    (void)easy;
    (void)sock_arg;
    if (what == CURL_POLL_REMOVE) {
        s = find_sock(m, fd);
        if (s != NULL && s->is_ours) {
            s->want = 0;
            if (s->poll != NULL) {
                watch(s, s->on & TG_READABLE);
            }
        } else {
            tg_multi_forget(m, fd);
        }
        return 0;
    }
    s = get_sock(m, fd);
    if (s->poll == NULL && tg_poll_create(m->loop, fd, on_ready, s, &s->poll) != TG_OK) {
        return -1;
    }
    s->want = (what & CURL_POLL_IN) != 0 ? TG_READABLE : 0U;
    s->want |= (what & CURL_POLL_OUT) != 0 ? TG_WRITABLE : 0U;
    if ((s->on & TG_WRITABLE) != (s->want & TG_WRITABLE) || (s->want & ~s->on) != 0) {
        watch(s, s->want);
    }
    return 0;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

    (void)purpose;
    if (fd == -1) {
        return CURL_SOCKET_BAD;
    }
    get_sock(arg, fd)->is_ours = true;
    return fd;
}

static int on_close(void *arg, curl_socket_t fd)
{
    tg_multi_forget(arg, fd);
    return close(fd);
}

/* ---- the timer and the flush ---- */

static void flush(void *arg)
{
    struct tg_multi *m = arg;

    if (m->is_closing) {
        return;
    }
    m->is_flushing = true;
    if (m->on_flush != NULL) {
        m->on_flush(m->arg);
    }
    m->is_again = false;
    if (m->is_due && !m->is_closing) {
        m->is_due = false;
        enter(m, CURL_SOCKET_TIMEOUT, 0);
    }
    m->is_flushing = false;
    m->is_kicked = false;
    if (m->is_due || m->is_again) {
        tg_multi_kick(m);
    }
}

void tg_multi_kick(struct tg_multi *m)
{
    if (m->is_flushing) {
        m->is_again = true;
    } else if (!m->is_kicked && !m->is_closing) {
        m->is_kicked = true;
        tg_loop_defer(m->loop, flush, m);
    }
}

static void on_timer(struct tg_timer *t)
{
    enter(TG_CONTAINER_OF(t, struct tg_multi, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int on_timeout(CURLM *curl, long ms, void *arg)
{
    struct tg_multi *m = arg;

    (void)curl;
    if (ms > 0) {
        m->is_due = false;
        tg_loop_timer_start(m->loop, &m->timer, TG_MS(ms));
        return 0;
    }
    tg_loop_timer_stop(m->loop, &m->timer);
    m->is_due = ms == 0;
    if (m->is_due) {
        tg_multi_kick(m);
    }
    return 0;
}

/* ---- life ---- */

void tg_multi_setup(struct tg_multi *m, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* nor from the environment */
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    /* A name that is still being looked up must not hold up whoever gives up on it. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_SHARE, m->share);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, m);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, m);
}

enum tg_rc tg_multi_init(struct tg_multi *m, struct tg_loop *l)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return TG_EINTERNAL;
    }
    m->loop = l;
    tg_timer_init(&m->timer, on_timer);
    m->curl = curl_multi_init();
    m->share = curl_share_init();
    if (m->curl == NULL || m->share == NULL) {
        (void)curl_multi_cleanup(m->curl);
        (void)curl_share_cleanup(m->share);
        curl_global_cleanup();
        return TG_EINTERNAL;
    }
    curl_share_setopt(m->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);
    curl_multi_setopt(m->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(m->curl, CURLMOPT_SOCKETDATA, m);
    curl_multi_setopt(m->curl, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(m->curl, CURLMOPT_TIMERDATA, m);
    return TG_OK;
}

void tg_multi_fini(struct tg_multi *m)
{
    if (m->curl == NULL) {
        return;
    }
    m->is_closing = true;
    (void)curl_multi_cleanup(m->curl); /* closes the pooled connections: on_close */
    m->curl = NULL;
    (void)curl_share_cleanup(m->share);
    m->share = NULL;
    tg_loop_timer_stop(m->loop, &m->timer);
    for (size_t i = 0; i < m->n_socks; i++) {
        tg_multi_forget(m, (int)i);
    }
    free(m->socks);
    m->socks = NULL;
    m->n_socks = 0;
    curl_global_cleanup();
}
