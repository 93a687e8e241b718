/* tunnel.c - CONNECT_ONLY handles of libcurl, watched by us once they are connected.
 *
 *   CONNECTING --connected--> OPEN --tg_tunnel_close()--> CLOSING --deferred--> CLOSED
 *       `--------------- failed, closed ------------------^
 *
 * They have a multi handle of their own: the other one's bound of connections is for calls.
 * Reading attaches the connection to its handle again; until then libcurl counts it as idle
 * and might close it when it looks for dead ones. So the first read is ours (`early`). */
#include "upstream/tunnel.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "upstream/call_int.h"

#define TUNNEL_MAGIC 0x74756e6cU

enum { EARLY_BYTES = 512 };

enum tunnel_state { TUNNEL_CONNECTING, TUNNEL_OPEN, TUNNEL_CLOSING, TUNNEL_CLOSED };

struct tg_tunnel {
    unsigned magic;
    struct tg_list node;
    struct tg_upstream *up;
    CURL *easy;
    const struct tg_tunnel_handler *h;
    void *ctx;
    enum tunnel_state state;
    enum tg_rc why;
    struct tg_poll *poll;
    int fd;
    unsigned wanted; /* events */
    bool is_at_end;
    size_t n_early, early_at;
    char early[EARLY_BYTES];
};

static void free_tunnel(void *arg)
{
    struct tg_tunnel *t = arg;

    t->magic = 0;
    free(t);
}

static void finish(struct tg_tunnel *t)
{
    struct tg_upstream *up = t->up;

    t->state = TUNNEL_CLOSED;
    tg_list_remove(&t->node);
    up->n_tunnels--;
    tg_poll_close(t->poll); /* before libcurl closes the descriptor */
    t->poll = NULL;
    (void)curl_multi_remove_handle(up->tunnel_multi.curl, t->easy);
    curl_easy_cleanup(t->easy);
    t->easy = NULL;
    t->h->on_close(t, t->why, t->ctx);
    tg_loop_defer(up->loop, free_tunnel, t);
}

static void on_deferred_close(void *arg)
{
    struct tg_tunnel *t = arg;

    TG_CHECK(t, TUNNEL_MAGIC);
    if (t->state != TUNNEL_CLOSED) {
        finish(t);
    }
}

static void want(struct tg_tunnel *t, unsigned events)
{
    if (events != t->wanted) {
        t->wanted = events;
        tg_poll_want(t->poll, events);
    }
}

static void end(struct tg_tunnel *t, enum tg_rc why)
{
    if (t->state == TUNNEL_CLOSING || t->state == TUNNEL_CLOSED) {
        return;
    }
    t->state = TUNNEL_CLOSING;
    t->why = why;
    if (t->poll != NULL) {
        want(t, 0);
    }
    tg_loop_defer(t->up->loop, on_deferred_close, t);
}

/* Told once: what the owner wants to hear again it says by its next TG_EAGAIN. */
static void on_ready(struct tg_poll *p, unsigned events, void *arg)
{
    struct tg_tunnel *t = arg;
    unsigned told = 0;

    (void)p;
    TG_CHECK(t, TUNNEL_MAGIC);
    told = events & t->wanted;
    if ((events & TG_HANGUP) != 0) {
        t->wanted = 0; /* the loop has stopped watching it; reading says why */
        told |= TG_READABLE;
    } else {
        want(t, t->wanted & ~told);
    }
    if ((told & TG_READABLE) != 0 && t->state == TUNNEL_OPEN) {
        t->h->on_readable(t, t->ctx);
    }
    if ((told & TG_WRITABLE) != 0 && t->state == TUNNEL_OPEN) {
        t->h->on_writable(t, t->ctx);
    }
}

/* The first read, see above. False: the connection is of no use. */
static bool attach(struct tg_tunnel *t)
{
    CURLcode code = curl_easy_recv(t->easy, t->early, sizeof(t->early), &t->n_early);

    t->is_at_end = code == CURLE_OK && t->n_early == 0;
    return code == CURLE_OK || code == CURLE_AGAIN;
}

void tg_tunnel_on_curl_done(CURL *easy, CURLcode result, void *arg)
{
    struct tg_tunnel *t = NULL;
    curl_socket_t fd = CURL_SOCKET_BAD;
    char *private = NULL;

    (void)arg;
    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    t = (struct tg_tunnel *)(void *)private;
    TG_CHECK(t, TUNNEL_MAGIC);
    if (t->state != TUNNEL_CONNECTING) {
        return;
    }
    if (result != CURLE_OK) {
        end(t, result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CONNECT_ERROR
                   ? TG_EUPSTREAM
                   : tg_rc_from_curl(result, false));
        return;
    }
    if (curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK || fd == CURL_SOCKET_BAD ||
        !attach(t)) {
        end(t, TG_EUPSTREAM);
        return;
    }
    t->fd = fd;
    tg_multi_forget(&t->up->tunnel_multi, fd);
    if (tg_poll_create(t->up->loop, fd, on_ready, t, &t->poll) != TG_OK) {
        end(t, TG_EUPSTREAM);
        return;
    }
    t->state = TUNNEL_OPEN;
    t->h->on_open(t, t->ctx);
    if (t->state == TUNNEL_OPEN) {
        t->h->on_readable(t, t->ctx);
    }
}

void tg_tunnel_end_all(struct tg_upstream *up)
{
    while (!tg_list_empty(&up->tunnels)) {
        struct tg_tunnel *t = TG_CONTAINER_OF(up->tunnels.next, struct tg_tunnel, node);

        t->why = t->state == TUNNEL_CLOSING ? t->why : TG_ECANCELED;
        finish(t);
    }
}

enum tg_rc tg_tunnel_open(struct tg_upstream *up, const struct tg_tunnel_handler *h, void *ctx,
                          struct tg_tunnel **ret_tunnel)
{
    struct tg_tunnel *t = NULL;

    TG_CHECK(up, TG_UPSTREAM_MAGIC);
    TG_ON_LOOP(up->loop);
    if (up->tunnel_multi.is_closing || up->n_tunnels >= up->opts.max_connections) {
        return TG_EBUSY;
    }
    t = TG_NEW(struct tg_tunnel);
    t->magic = TUNNEL_MAGIC;
    t->up = up;
    t->h = h;
    t->ctx = ctx;
    t->fd = -1;
    t->easy = curl_easy_init();
    TG_ASSERT(t->easy != NULL); /* out of memory */
    tg_multi_setup(&up->tunnel_multi, t->easy);
    curl_easy_setopt(t->easy, CURLOPT_URL, up->url);
    curl_easy_setopt(t->easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(t->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(up->opts.connect_timeout / 1000));
    curl_easy_setopt(t->easy, CURLOPT_PRIVATE, t);
    if (up->ca_file != NULL) {
        curl_easy_setopt(t->easy, CURLOPT_CAINFO, up->ca_file);
    }
    tg_list_init(&t->node);
    tg_list_append(&up->tunnels, &t->node);
    up->n_tunnels++;
    TG_ASSERT(curl_multi_add_handle(up->tunnel_multi.curl, t->easy) == CURLM_OK);
    *ret_tunnel = t;
    return TG_OK;
}

enum tg_rc tg_tunnel_read(struct tg_tunnel *t, char *p, size_t n, size_t *ret_n)
{
    CURLcode code = CURLE_OK;

    TG_CHECK(t, TUNNEL_MAGIC);
    TG_ASSERT(t->state == TUNNEL_OPEN && n > 0);
    if (t->early_at < t->n_early) {
        *ret_n = TG_MIN(n, t->n_early - t->early_at);
        memcpy(p, t->early + t->early_at, *ret_n);
        t->early_at += *ret_n;
        return TG_OK;
    }
    if (t->is_at_end) {
        return TG_EEOF;
    }
    code = curl_easy_recv(t->easy, p, n, ret_n);
    if (code == CURLE_AGAIN) {
        want(t, t->wanted | TG_READABLE);
        return TG_EAGAIN;
    }
    if (code != CURLE_OK) {
        return TG_EUPSTREAM;
    }
    t->is_at_end = *ret_n == 0;
    return t->is_at_end ? TG_EEOF : TG_OK;
}

enum tg_rc tg_tunnel_write(struct tg_tunnel *t, tg_str bytes, size_t *ret_n)
{
    size_t done = 0;

    TG_CHECK(t, TUNNEL_MAGIC);
    TG_ASSERT(t->state == TUNNEL_OPEN);
    *ret_n = 0;
    while (*ret_n < bytes.n) {
        CURLcode code = curl_easy_send(t->easy, bytes.p + *ret_n, bytes.n - *ret_n, &done);

        if (code == CURLE_AGAIN) {
            want(t, t->wanted | TG_WRITABLE);
            return TG_EAGAIN;
        }
        if (code != CURLE_OK) {
            return TG_EUPSTREAM;
        }
        *ret_n += done;
    }
    return TG_OK;
}

void tg_tunnel_shutdown(struct tg_tunnel *t)
{
    TG_CHECK(t, TUNNEL_MAGIC);
    if (t->state == TUNNEL_OPEN) {
        (void)shutdown(t->fd, SHUT_WR);
    }
}

void tg_tunnel_close(struct tg_tunnel *t)
{
    TG_CHECK(t, TUNNEL_MAGIC);
    end(t, t->state == TUNNEL_OPEN ? TG_OK : TG_ECANCELED);
}
