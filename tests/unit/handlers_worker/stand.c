/* stand.c - see stand.h. These stand where the linker would take lib/http1's connection and the
 * system's clocks. */
#include "handlers_worker/stand.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "store/device.h"

tg_usec fake_now = TG_SEC(1000);
int64_t fake_now_sec = NOW_SEC;

/* ---- clocks ---- */

tg_usec tg_clock_mono_us(void)
{
    return fake_now;
}

tg_usec tg_clock_wall_us(void)
{
    return TG_SEC(fake_now_sec);
}

/* ---- the connection ---- */

void put(char *out, size_t room, tg_str s)
{
    size_t at = strlen(out);

    cr_assert_lt(s.n, room - at);
    if (s.n > 0) {
        memcpy(out + at, s.p, s.n);
    }
    out[at + s.n] = '\0';
}

void tg_conn_set_handler(struct tg_conn *c, const struct tg_request_handler *h, void *ctx)
{
    c->handler = h;
    c->ctx = ctx;
}

void tg_conn_want_body(struct tg_conn *c)
{
    c->wants_body = true;
}

void tg_conn_park(struct tg_conn *c)
{
    c->is_parked = true;
}

tg_str tg_conn_peer(const struct tg_conn *c)
{
    (void)c;
    return ADDRESS;
}

void *tg_conn_server_arg(const struct tg_conn *c)
{
    return c->worker;
}

bool tg_conn_peer_is_trusted(const struct tg_conn *c)
{
    (void)c;
    return false;
}

void tg_conn_answer(struct tg_conn *c, const struct tg_answer *a, tg_str body)
{
    c->n_answers++;
    c->status = a->status;
    for (size_t i = 0; i < a->fields.n; i++) {
        put(c->fields, sizeof(c->fields), a->fields.v[i].name);
        put(c->fields, sizeof(c->fields), TG_STR(": "));
        put(c->fields, sizeof(c->fields), a->fields.v[i].value);
        put(c->fields, sizeof(c->fields), TG_STR("\n"));
    }
    put(c->body, sizeof(c->body), body);
}

enum tg_rc tg_conn_go_raw(struct tg_conn *c, tg_str head, bool is_stream,
                          const struct tg_raw_handler *h, void *ctx, tg_str *ret_early)
{
    cr_assert(is_stream);
    cr_assert_eq(c->n_answers, 0);
    if (c->go_raw_rc == TG_OK) {
        put(c->raw_head, sizeof(c->raw_head), head);
        c->raw = h;
        c->ctx = ctx;
        *ret_early = TG_STR_NONE;
    }
    return c->go_raw_rc;
}

enum tg_rc tg_conn_raw_read(struct tg_conn *c, char *p, size_t n, size_t *ret_n)
{
    (void)p;
    (void)n;
    *ret_n = 0;
    return c->raw_read_rc;
}

enum tg_rc tg_conn_raw_write(struct tg_conn *c, const struct iovec *iov, int n_iov, size_t *ret_n)
{
    *ret_n = 0;
    for (int i = 0; i < n_iov; i++) {
        put(c->raw_head, sizeof(c->raw_head), tg_str_make(iov[i].iov_base, iov[i].iov_len));
        *ret_n += iov[i].iov_len;
    }
    return TG_OK;
}

void tg_conn_close(struct tg_conn *c)
{
    c->is_closed = true;
}

/* ---- the store ---- */

enum tg_rc tg_store_device_ack(struct tg_store *s, const struct tg_device_acks *acks,
                               tg_ack_fn *done, void *arg)
{
    (void)s;
    (void)acks;
    (void)done;
    (void)arg;
    return TG_ESTORE;
}

/* ---- workers ---- */

struct stop {
    struct tg_mail mail;
    struct tg_timer timer;
    struct tg_loop *loop;
};

static void on_stop(struct tg_timer *t)
{
    struct stop *s = TG_CONTAINER_OF(t, struct stop, timer);

    tg_loop_stop(s->loop);
    free(s);
}

/* All mail before this one has run. The clock goes on by a little, so that the loop looks at its
 * timers and ends behind those that are due. */
static void on_stop_mail(struct tg_mail *mail, void *owner)
{
    struct stop *s = TG_CONTAINER_OF(mail, struct stop, mail);

    (void)owner;
    tg_loop_timer_start(s->loop, &s->timer, TG_WHEEL_TICK_US);
    fake_now += (tg_usec)2 * TG_WHEEL_TICK_US;
}

static void drop_stop(struct tg_mail *mail)
{
    free(TG_CONTAINER_OF(mail, struct stop, mail));
}

void turn(struct tg_loop *l)
{
    struct stop *s = TG_NEW(struct stop);

    s->mail.run = on_stop_mail;
    s->mail.drop = drop_stop;
    s->loop = l;
    tg_timer_init(&s->timer, on_stop);
    cr_assert_eq(tg_loop_post(l, &s->mail), TG_OK);
    tg_loop_run(l);
}

void turn_full(struct tg_loop *l)
{
    struct stop *s = TG_NEW(struct stop);

    s->loop = l;
    tg_timer_init(&s->timer, on_stop);
    /* Mail comes before timers, in one turn. */
    tg_loop_timer_start(l, &s->timer, 0);
    fake_now += (tg_usec)2 * TG_WHEEL_TICK_US;
    tg_loop_run(l);
}

void worker_make(struct tg_worker *w, unsigned index, const struct tg_handler_opts *opts,
                 struct tg_keys *keys)
{
    static const struct tg_auth_limits limits = {0};

    w->index = index;
    w->opts = opts;
    w->keys = tg_keys_ref(keys);
    w->auth = tg_auth_create(&limits);
    tg_list_init(&w->tunnels);
    tg_list_init(&w->snapshots);
    tg_list_init(&w->control_waits);
    cr_assert_eq(tg_loop_create("t", MAX_MAILS, &w->loop), TG_OK);
    tg_loop_set_owner(w->loop, w);
}

void worker_drop(struct tg_worker *w)
{
    tg_loop_destroy(w->loop);
    tg_auth_destroy(w->auth);
    tg_client_tables_fini(&w->clients);
    tg_keys_unref(w->keys);
}
