/* raw.c - a socket that its handler reads and writes itself.
 *
 * `out` may still hold the end of the head that opened the stream; it goes first. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "http1/conn_int.h"

enum tg_rc tg_conn_go_raw(struct tg_conn *c, tg_str head, bool is_stream,
                          const struct tg_raw_handler *h, void *ctx, tg_str *ret_early)
{
    struct tg_exchange *x = c->x;
    unsigned ready = TG_WRITABLE;

    TG_ASSERT(c->state == TG_CONN_REQUEST && !x->begun && !x->ended);
    TG_ASSERT(h->on_ready != NULL && h->on_close != NULL);
    if (x->failed != TG_OK) {
        return TG_ECLOSED;
    }
    if (x->req.head.content_length != 0 || x->req.head.body == TG_BODY_CHUNKED ||
        (is_stream && c->in.n != 0)) {
        x->failed = TG_EBADREQ;
        tg_conn_kick(c);
        return TG_EBADREQ;
    }
    if (tg_conn_send(c, &head, 1) == TG_ECLOSED) {
        x->failed = TG_ECLOSED;
        tg_conn_kick(c);
        return TG_ECLOSED;
    }
    c->raw = h;
    c->raw_ctx = ctx;
    c->state = TG_CONN_RAW;
    *ret_early = tg_iobuf_view(&c->in);
    /* Forgotten by count, not by place: the view stays for its reader. */
    tg_iobuf_skip(&c->in, c->in.n);
    /* What became ready before is not told again by the socket. */
    ready |= c->readable ? TG_READABLE : 0U;
    ready |= c->hup ? TG_HANGUP : 0U;
    c->raw_events = ready & TG_ALL_READY;
    tg_conn_kick(c);
    return TG_OK;
}

enum tg_rc tg_conn_raw_write(struct tg_conn *c, const struct iovec *iov, int n_iov, size_t *ret_n)
{
    struct msghdr msg = {.msg_iovlen = (size_t)n_iov};
    ssize_t n = 0;

    TG_ASSERT(c->state == TG_CONN_RAW);
    if (c->out.n != 0) {
        enum tg_rc rc = tg_conn_flush(c);

        if (rc != TG_OK) {
            return rc;
        }
    }
    /* sendmsg() does not write there; its struct has no const. */
    memcpy(&msg.msg_iov, &iov, sizeof(void *));
    do {
        /* One piece is the common case of a fan-out, and send() is the shorter way. */
        n = n_iov == 1 ? send(c->watch.fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
                       : sendmsg(c->watch.fd, &msg, MSG_NOSIGNAL);
    } while (n == -1 && errno == EINTR);
    if (n == -1) {
        return errno == EAGAIN ? TG_EAGAIN : TG_ECLOSED;
    }
    tg_count_add(&c->server->counts->bytes_out, (uint64_t)n);
    *ret_n = (size_t)n;
    return TG_OK;
}

enum tg_rc tg_conn_raw_read(struct tg_conn *c, char *p, size_t n, size_t *ret_n)
{
    ssize_t got = 0;

    TG_ASSERT(c->state == TG_CONN_RAW);
    do {
        got = recv(c->watch.fd, p, n, 0);
    } while (got == -1 && errno == EINTR);
    if (got == -1) {
        return errno == EAGAIN ? TG_EAGAIN : TG_ECLOSED;
    }
    if (got == 0) {
        return TG_EEOF;
    }
    tg_count_add(&c->server->counts->bytes_in, (uint64_t)got);
    *ret_n = (size_t)got;
    return TG_OK;
}

void tg_conn_raw_shutdown(struct tg_conn *c)
{
    TG_ASSERT(c->state == TG_CONN_RAW);
    c->shut_wanted = true;
    tg_conn_kick(c);
}

void tg_conn_close(struct tg_conn *c)
{
    TG_CHECK(c, TG_CONN_MAGIC);
    if (c->state == TG_CONN_REQUEST) {
        tg_conn_abort(c);
    } else if (c->state == TG_CONN_RAW && !c->is_closing) {
        c->is_closing = true;
        tg_conn_kick(c);
    }
}
