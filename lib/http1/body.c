/* body.c - the request's body: how much of it is where, and who wants it. */
#include "http1/conn_int.h"

void tg_body_init(struct tg_exchange *x, uint64_t max_bytes)
{
    const struct tg_head *h = &x->req.head;

    x->left = h->body == TG_BODY_LENGTH ? h->content_length : 0;
    if (h->body == TG_BODY_CHUNKED) {
        tg_chunked_init(&x->chunked, max_bytes);
    }
    x->body_done = h->body != TG_BODY_CHUNKED && x->left == 0;
    x->owes_continue = h->expect_continue;
    x->paused = h->expect_continue;
}

static enum tg_rc next_of_length(struct tg_exchange *x, tg_str *in, tg_str *ret_piece)
{
    size_t n = x->left < in->n ? (size_t)x->left : in->n;

    if (x->left == 0) {
        return TG_EEOF;
    }
    if (n == 0) {
        return TG_EAGAIN;
    }
    *ret_piece = tg_str_make(in->p, n);
    *in = tg_str_skip(*in, n);
    x->left -= n;
    return TG_OK;
}

enum tg_rc tg_body_next(struct tg_conn *c, tg_str *ret_piece)
{
    struct tg_exchange *x = c->x;
    tg_str in = tg_iobuf_view(&c->in);
    enum tg_rc rc = x->req.head.body == TG_BODY_CHUNKED
                        ? tg_chunked_next(&x->chunked, &in, ret_piece)
                        : next_of_length(x, &in, ret_piece);

    tg_iobuf_skip(&c->in, c->in.n - in.n);
    x->body_done = rc == TG_EEOF || (x->req.head.body == TG_BODY_LENGTH && x->left == 0);
    return rc;
}

bool tg_body_exceeds(const struct tg_exchange *x, uint64_t n)
{
    return !x->body_done && x->req.head.body == TG_BODY_LENGTH && x->left > n;
}

void tg_conn_want_body(struct tg_conn *c)
{
    struct tg_exchange *x = c->x;

    TG_ASSERT(c->state == TG_CONN_REQUEST);
    if (!x->owes_continue || x->begun || x->failed != TG_OK) {
        return;
    }
    x->owes_continue = false;
    x->paused = false;
    /* RFC 9110 10.1.1: not needed when the body is coming already. */
    if (c->in.n == 0) {
        tg_str line = TG_STR("HTTP/1.1 100 Continue\r\n\r\n");

        if (tg_conn_send(c, &line, 1) == TG_ECLOSED) {
            x->failed = TG_ECLOSED;
        }
    }
    tg_conn_kick(c);
}

void tg_conn_pause_body(struct tg_conn *c)
{
    TG_ASSERT(c->state == TG_CONN_REQUEST);
    c->x->paused = true;
}

void tg_conn_resume_body(struct tg_conn *c)
{
    TG_ASSERT(c->state == TG_CONN_REQUEST);
    if (c->x->paused && !c->x->owes_continue) {
        c->x->paused = false;
        c->moved = true;
        tg_conn_kick(c);
    }
}
