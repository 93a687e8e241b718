/* tunnel_pump.c - bytes through an open tunnel, both ways.
 *
 * Each direction keeps only what its reader did not take, and is not read meanwhile: at most
 * TUNNEL_CHUNK bytes. A direction that has much to do goes on next turn. */
#include <sys/uio.h>

#include "handlers/tunnel_int.h"

enum { ROUNDS = 8 }; /* chunks of one direction in one turn */

/* ---- bytes from the client ---- */

/* TG_OK: all of `bytes` is upstream or kept. */
enum tg_rc tunnel_send_up(struct tunnel *t, tg_str bytes)
{
    size_t n = 0;
    enum tg_rc rc = tg_tunnel_write(t->up, bytes, &n);

    t->n_in += n;
    t->last = tg_loop_now(t->w->loop);
    if (rc == TG_EAGAIN) {
        (void)tg_buf_str(&t->to_up, tg_str_skip(bytes, n));
        rc = tg_buf_rc(&t->to_up);
    }
    return rc;
}

static enum tg_rc flush_up(struct tunnel *t)
{
    size_t n = 0;
    enum tg_rc rc = TG_OK;

    if (t->to_up.n > 0) {
        rc = tg_tunnel_write(t->up, tg_buf_view(&t->to_up), &n);
        t->n_in += n;
        tg_buf_consume(&t->to_up, n);
    }
    if (t->to_up.n == 0) {
        tg_buf_fini(&t->to_up);
        tg_buf_init(&t->to_up, TUNNEL_CHUNK);
    }
    return rc;
}

/* TG_EAGAIN: one of the two sockets tells when it goes on; TG_OK: more next turn; TG_EEOF: the
 * client has ended and all it sent is upstream. */
static enum tg_rc pump_up(struct tunnel *t)
{
    char chunk[TUNNEL_CHUNK];
    enum tg_rc rc = flush_up(t);

    for (int i = 0; rc == TG_OK && i < ROUNDS; i++) {
        size_t n = 0;

        if (t->client_ended) {
            return TG_EEOF;
        }
        rc = tg_conn_raw_read(t->conn, chunk, sizeof(chunk), &n);
        if (rc == TG_EEOF) {
            t->client_ended = true;
            tg_tunnel_shutdown(t->up);
            return TG_EEOF;
        }
        if (rc == TG_OK) {
            rc = tunnel_send_up(t, tg_str_make(chunk, n));
            rc = t->to_up.n > 0 && rc == TG_OK ? TG_EAGAIN : rc;
        }
    }
    return rc;
}

/* ---- bytes to the client ---- */

static enum tg_rc write_down(struct tunnel *t, tg_str bytes, size_t *ret_n)
{
    enum tg_rc rc = TG_OK;

    *ret_n = 0;
    while (rc == TG_OK && *ret_n < bytes.n) {
        tg_str rest = tg_str_skip(bytes, *ret_n);
        struct iovec iov = {.iov_len = rest.n};
        size_t n = 0;

        /* sendmsg() does not write there; its struct has no const. */
        memcpy(&iov.iov_base, &rest.p, sizeof(rest.p));
        rc = tg_conn_raw_write(t->conn, &iov, 1, &n);
        *ret_n += rc == TG_OK ? n : 0;
    }
    t->n_out += *ret_n;
    return rc;
}

static enum tg_rc flush_down(struct tunnel *t)
{
    size_t n = 0;
    enum tg_rc rc = write_down(t, tg_buf_view(&t->down), &n);

    tg_buf_consume(&t->down, n);
    if (t->down.n == 0) {
        tg_buf_fini(&t->down);
        tg_buf_init(&t->down, TUNNEL_CHUNK);
    }
    return rc;
}

static enum tg_rc pump_down(struct tunnel *t)
{
    char chunk[TUNNEL_CHUNK];
    enum tg_rc rc = flush_down(t);

    for (int i = 0; rc == TG_OK && i < ROUNDS; i++) {
        size_t n = 0;
        size_t n_sent = 0;

        if (t->up_ended) {
            return TG_EEOF;
        }
        rc = tg_tunnel_read(t->up, chunk, sizeof(chunk), &n);
        if (rc == TG_EEOF) {
            t->up_ended = true;
            tg_conn_raw_shutdown(t->conn);
            return TG_EEOF;
        }
        if (rc == TG_OK) {
            t->last = tg_loop_now(t->w->loop);
            rc = write_down(t, tg_str_make(chunk, n), &n_sent);
            (void)tg_buf_append(&t->down, chunk + n_sent, n - n_sent);
        }
    }
    return rc;
}

bool tunnel_is_broken(enum tg_rc rc)
{
    return rc != TG_OK && rc != TG_EAGAIN && rc != TG_EEOF;
}

/* Both directions, as far as they go. True: they go on next turn. */
static bool pump_rounds(struct tunnel *t)
{
    enum tg_rc up = TG_OK;
    enum tg_rc down = TG_OK;

    if (t->conn == NULL || t->up == NULL || t->why != NULL) {
        return false;
    }
    up = pump_up(t);
    down = pump_down(t);
    if (tunnel_is_broken(up) || tunnel_is_broken(down)) {
        tunnel_close_both(t, up == TG_ECLOSED || down == TG_ECLOSED ? "client" : "upstream");
    } else if (up == TG_EEOF && down == TG_EEOF) {
        tunnel_close_both(t, "ended");
    }
    return t->why == NULL && (up == TG_OK || down == TG_OK);
}

void tunnel_pump(struct tunnel *t)
{
    if (pump_rounds(t)) {
        tg_loop_task_start(t->w->loop, &t->more);
    }
}

bool tunnel_on_more(struct tg_task *task)
{
    return pump_rounds(TG_CONTAINER_OF(task, struct tunnel, more));
}
