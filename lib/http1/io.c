/* io.c - the two system calls of a connection.
 *
 * `in` is borrowed from the server's scratch right after a read, and becomes the
 * connection's own only if bytes must wait. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "http1/conn_int.h"

enum { MAX_PIECES = 4 };

static char *read_to(struct tg_conn *c, size_t max, size_t *ret_room)
{
    struct tg_http_server *s = c->server;
    size_t want = 0;

    if (c->in.n == 0) {
        tg_iobuf_drop(&s->buffers, &c->in);
        c->in.p = s->scratch;
        *ret_room = TG_CONN_SCRATCH;
        return s->scratch;
    }
    TG_ASSERT(c->in.n < max);
    want = max - c->in.n;
    if (tg_iobuf_space(&c->in) == 0 || c->in.cap == 0) {
        (void)tg_iobuf_room(&s->buffers, &c->in, TG_MIN(want, (size_t)TG_CONN_BUFFER / 4));
    }
    *ret_room = TG_MIN(want, tg_iobuf_space(&c->in));
    return c->in.p + c->in.off + c->in.n;
}

enum tg_rc tg_conn_fill(struct tg_conn *c, size_t max)
{
    struct tg_http_server *s = c->server;
    size_t room = 0;
    char *to = NULL;
    ssize_t n = 0;

    if (!c->readable) {
        return TG_EAGAIN;
    }
    if (s->budget == 0) {
        if (tg_list_empty(&c->todo)) {
            tg_list_append(&s->more, &c->todo);
            tg_loop_task_start(s->loop, &s->more_task);
        }
        return TG_EAGAIN;
    }
    s->budget--;
    to = read_to(c, max, &room);
    do {
        n = recv(c->watch.fd, to, room, 0);
    } while (n == -1 && errno == EINTR);
    if (n == -1) {
        c->readable = false;
        return errno == EAGAIN ? TG_EAGAIN : TG_ECLOSED;
    }
    if (n == 0) {
        return TG_EEOF; /* stays readable: the end is still there when it is asked for again */
    }
    /* Less than asked for: the socket is empty, and tells when it is not (epoll(7)). An end
     * behind the bytes has told already. */
    if ((size_t)n < room && !c->hup) {
        c->readable = false;
    }
    c->in.n += (size_t)n;
    c->moved = true;
    tg_count_add(&s->counts->bytes_in, (uint64_t)n);
    return TG_OK;
}

static enum tg_rc send_once(struct tg_conn *c, struct iovec *iov, size_t n_iov, size_t *ret_n)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n_iov};
    ssize_t n = 0;

    do {
        /* One piece is the common case of small answers, and send() is the shorter way. */
        n = n_iov == 1 ? send(c->watch.fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                       : sendmsg(c->watch.fd, &msg, MSG_NOSIGNAL);
    } while (n == -1 && errno == EINTR);
    if (n == -1) {
        c->writable = false;
        return errno == EAGAIN ? TG_EAGAIN : TG_ECLOSED;
    }
    *ret_n = (size_t)n;
    c->moved = true;
    tg_count_add(&c->server->counts->bytes_out, (uint64_t)n);
    return TG_OK;
}

enum tg_rc tg_conn_flush(struct tg_conn *c)
{
    while (c->out.n != 0) {
        struct iovec iov = {.iov_base = c->out.p + c->out.off, .iov_len = c->out.n};
        size_t n = 0;
        enum tg_rc rc = c->writable ? send_once(c, &iov, 1, &n) : TG_EAGAIN;

        if (rc != TG_OK) {
            return rc;
        }
        tg_iobuf_skip(&c->out, n);
    }
    return TG_OK;
}

/* Keeps what is left of the pieces behind the first `n` bytes of out + pieces. */
static void keep_rest(struct tg_conn *c, const tg_str *pieces, size_t n_pieces, size_t n)
{
    size_t from_out = TG_MIN(n, c->out.n);

    tg_iobuf_skip(&c->out, from_out);
    n -= from_out;
    for (size_t i = 0; i < n_pieces; i++) {
        size_t sent = TG_MIN(n, pieces[i].n);

        tg_iobuf_append(&c->server->buffers, &c->out, tg_str_skip(pieces[i], sent));
        n -= sent;
    }
}

enum tg_rc tg_conn_send(struct tg_conn *c, const tg_str *pieces, size_t n)
{
    struct iovec iov[MAX_PIECES + 1];
    size_t n_iov = 0;
    size_t all = 0;
    size_t sent = 0;
    enum tg_rc rc = TG_OK;

    TG_ASSERT(n <= MAX_PIECES);
    if (c->out.n != 0) {
        iov[n_iov++] = (struct iovec){.iov_base = c->out.p + c->out.off, .iov_len = all = c->out.n};
    }
    for (size_t i = 0; i < n; i++) {
        if (pieces[i].n != 0) {
            /* sendmsg() does not write there; its struct has no const. */
            memcpy(&iov[n_iov].iov_base, &pieces[i].p, sizeof(void *));
            iov[n_iov++].iov_len = pieces[i].n;
            all += pieces[i].n;
        }
    }
    if (all == 0) {
        return TG_OK;
    }
    rc = c->writable ? send_once(c, iov, n_iov, &sent) : TG_EAGAIN;
    if (rc == TG_ECLOSED) {
        return rc;
    }
    keep_rest(c, pieces, n, sent);
    /* Part of it taken: the socket is full now, and will tell. */
    return sent == all ? TG_OK : TG_EAGAIN;
}

bool tg_conn_is_dead(const struct tg_conn *c)
{
    struct pollfd p = {.fd = c->watch.fd};

    return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)) != 0;
}
