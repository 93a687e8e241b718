/* fakes.c - see fakes.h. These stand where the linker would take lib/http1's connection,
 * realtime's streams, lib/upstream and the system's clocks. */
#include "fakes.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "handlers/device.h"
#include "handlers/device_recent.h"
#include "handlers/proxy.h"
#include "handlers/quota.h"
#include "handlers/tunnel.h"
#include "handlers/ws.h"

enum { MAX_MAILS = 64, MAX_STREAMS_EACH = 1000 };

struct fake_append_seen append_seen;
struct fake_touch_seen touch_seen;
bool is_store_down;
struct fake_once_seen once_seen;
struct fake_stream_seen stream_seen;
struct fake_peek peek_says = {.rc = TG_EAGAIN};
struct fake_fetch_seen fetch_seen;
unsigned n_proxied, n_tunnelled, n_devices, n_websockets;
enum tg_service proxied_service;
tg_usec fake_now = TG_SEC(1000);

/* ---- clocks ---- */

tg_usec tg_clock_mono_us(void)
{
    return fake_now;
}

tg_usec tg_clock_wall_us(void)
{
    return NOW;
}

/* ---- the connection ---- */

static void put(char *out, size_t room, tg_str s)
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

/* ---- the stream ---- */

enum tg_rc tg_stream_open(struct tg_fanout *f, const struct tg_stream_opts *opts,
                          struct tg_stream **ret_stream)
{
    (void)f;
    if (stream_seen.open_rc != TG_OK) {
        return stream_seen.open_rc;
    }
    stream_seen.n_opened++;
    stream_seen.n_topics = opts->n_wants;
    for (size_t i = 0; i < TG_MIN(opts->n_wants, TG_ARRAY_LEN(stream_seen.topics)); i++) {
        put(stream_seen.topics[i], sizeof(stream_seen.topics[i]), opts->wants[i].name->name);
        stream_seen.wants[i] = opts->wants[i];
    }
    stream_seen.token[0] = '\0';
    put(stream_seen.token, sizeof(stream_seen.token), opts->user.token);
    stream_seen.opts = *opts;
    *ret_stream = (struct tg_stream *)(void *)&stream_seen; /* never looked into */
    return TG_OK;
}

void tg_stream_close(struct tg_stream *s)
{
    cr_assert_eq((void *)s, (void *)&stream_seen);
    stream_seen.n_closed++;
}

void tg_stream_writable(struct tg_stream *s)
{
    cr_assert_eq((void *)s, (void *)&stream_seen);
    stream_seen.n_writable++;
}

void tg_stream_end(struct tg_stream *s, const char *why, tg_usec retry)
{
    cr_assert_eq((void *)s, (void *)&stream_seen);
    (void)retry;
    stream_seen.n_ended++;
    stream_seen.why = why;
}

enum tg_rc tg_stream_token(struct tg_stream *s, const struct tg_stream_user *u)
{
    cr_assert_eq((void *)s, (void *)&stream_seen);
    stream_seen.n_tokens++;
    stream_seen.fresh[0] = '\0';
    put(stream_seen.fresh, sizeof(stream_seen.fresh), u->token);
    return stream_seen.token_rc;
}

size_t tg_stream_cursor(const struct tg_stream *s, char out[TG_CURSOR_MAX + 1])
{
    cr_assert_eq((const void *)s, (void *)&stream_seen);
    out[0] = '\0';
    put(out, TG_CURSOR_MAX + 1, tg_str_of(stream_seen.cursor));
    return strlen(out);
}

bool tg_stream_is_behind(const struct tg_stream *s)
{
    cr_assert_eq((const void *)s, (void *)&stream_seen);
    return stream_seen.is_behind;
}

enum tg_rc tg_peek(struct tg_fanout *f, const struct tg_peek_ask *ask, struct tg_peeked *ret_peeked)
{
    (void)f;
    cr_assert(ask->n_wants > 0 && ask->wants[0].name->name.n > 0);
    peek_says.n++;
    if (peek_says.rc != TG_OK) {
        return peek_says.rc;
    }
    *ret_peeked = peek_says.peeked;
    for (size_t i = 0; i < TG_ARRAY_LEN(peek_says.messages) && peek_says.messages[i]; i++) {
        if (!ask->take(tg_str_of(peek_says.messages[i]), ask->arg)) {
            ret_peeked->has_more = true;
            break;
        }
    }
    return TG_OK;
}

/* ---- other endpoints ---- */

void tg_device_ack_start(struct tg_exchange *x)
{
    (void)x;
    n_devices++;
}

void tg_device_list_start(struct tg_exchange *x)
{
    (void)x;
    n_devices++;
}

void tg_device_get_start(struct tg_exchange *x)
{
    (void)x;
    n_devices++;
}

enum tg_told tg_stream_told(const struct tg_stream *s)
{
    cr_assert_eq((const void *)s, (void *)&stream_seen);
    return stream_seen.told;
}

bool tg_stream_tell(struct tg_stream *s, struct tg_frame *f)
{
    tg_str text = tg_frame_sse(f);

    cr_assert_eq((void *)s, (void *)&stream_seen);
    put(stream_seen.told_text, sizeof(stream_seen.told_text), text);
    tg_frame_unref(f);
    return true;
}

void tg_stream_release(struct tg_stream *s)
{
    cr_assert_eq((void *)s, (void *)&stream_seen);
    stream_seen.n_released++;
}

void tg_device_delete_start(struct tg_exchange *x)
{
    (void)x;
    n_devices++;
}

void tg_device_token_start(struct tg_exchange *x)
{
    (void)x;
    n_devices++;
}

/* ---- the store ---- */

struct tg_store *tg_fanout_store(const struct tg_fanout *f, struct tg_epoch *ret_epoch)
{
    (void)f;
    (void)ret_epoch;
    return is_store_down ? NULL : (struct tg_store *)(void *)&touch_seen; /* never looked into */
}

enum tg_rc tg_store_device_ack(struct tg_store *s, const struct tg_device_acks *acks,
                               tg_ack_fn *done, void *arg)
{
    (void)s;
    (void)acks;
    (void)done;
    (void)arg;
    return TG_ESTORE;
}

enum tg_rc tg_store_device_touch(struct tg_store *s, const struct tg_device_want *want,
                                 tg_device_fn *done, void *arg)
{
    cr_assert_eq((void *)s, (void *)&touch_seen);
    if (touch_seen.rc != TG_OK) {
        return touch_seen.rc;
    }
    touch_seen.n++;
    touch_seen.user[0] = touch_seen.device[0] = touch_seen.label[0] = '\0';
    put(touch_seen.user, sizeof(touch_seen.user), want->user);
    put(touch_seen.device, sizeof(touch_seen.device), want->device);
    put(touch_seen.label, sizeof(touch_seen.label), want->label);
    touch_seen.want = *want;
    for (size_t i = 0; i < TG_MIN(want->n_topics, TG_ARRAY_LEN(touch_seen.topics)); i++) {
        touch_seen.topics[i] = want->topics[i];
    }
    touch_seen.done = done;
    touch_seen.arg = arg;
    return TG_OK;
}

enum tg_rc tg_store_once(struct tg_store *s, tg_str key, tg_usec ttl, tg_done_fn *done, void *arg)
{
    cr_assert_eq((void *)s, (void *)&touch_seen);
    once_seen.key[0] = '\0';
    put(once_seen.key, sizeof(once_seen.key), key);
    once_seen.n++;
    once_seen.ttl = ttl;
    once_seen.done = done;
    once_seen.arg = arg;
    return once_seen.rc;
}

enum tg_rc tg_store_append(struct tg_store *s, const struct tg_write *w, tg_append_fn *done,
                           void *arg)
{
    unsigned i = append_seen.n;

    cr_assert_eq((void *)s, (void *)&touch_seen);
    if (append_seen.rc != TG_OK) {
        return append_seen.rc;
    }
    cr_assert_lt(i, MAX_APPENDS);
    put(append_seen.topics[i], sizeof(append_seen.topics[i]), w->topic);
    put(append_seen.payloads[i], sizeof(append_seen.payloads[i]), w->payload);
    put(append_seen.once[i], sizeof(append_seen.once[i]), w->once);
    append_seen.once_ttl = w->once_ttl;
    append_seen.done[i] = done;
    append_seen.args[i] = arg;
    append_seen.n++;
    return TG_OK;
}

void tg_listeners_ask(struct tg_fanout *f, const tg_str *keys, size_t n, tg_listened_fn *done,
                      void *arg)
{
    (void)f;
    (void)keys;
    append_seen.n_asked = (unsigned)n;
    append_seen.listened = done;
    append_seen.listened_arg = arg;
}

/* ---- upstream ---- */

enum tg_rc tg_upstream_fetch(struct tg_upstream *up, const struct tg_call_request *req, tg_str body,
                             size_t max_bytes, tg_fetch_fn *done, void *arg)
{
    (void)up;
    cr_assert_eq(body.n, 0);
    cr_assert(strcmp(req->service, "jwks") != 0 || max_bytes == TG_JWKS_MAX_BYTES);
    fetch_seen.n++;
    fetch_seen.target[0] = '\0';
    put(fetch_seen.target, sizeof(fetch_seen.target), req->target);
    fetch_seen.done = done;
    fetch_seen.arg = arg;
    return fetch_seen.rc;
}

void tg_proxy_start(struct tg_exchange *x, enum tg_service service)
{
    (void)x;
    n_proxied++;
    proxied_service = service;
}

void tg_tunnel_start(struct tg_exchange *x)
{
    (void)x;
    n_tunnelled++;
}

void tg_ws_start(struct tg_exchange *x)
{
    (void)x;
    n_websockets++;
}

void tg_ws_keep_token(struct tg_client *c, struct tg_token *token)
{
    (void)c;
    (void)token;
}

bool tg_tunnel_is_upgrade(const struct tg_head *head)
{
    return tg_fields_has_token(head->fields, TG_STR("Upgrade"), TG_STR("websocket"));
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

void fleet_make(struct fleet *f, size_t n, struct tg_keys *keys)
{
    static const struct tg_auth_limits limits = {0};
    struct tg_worker *all[TG_ARRAY_LEN(f->workers)];

    *f = (struct fleet){.n = n};
    f->opts = (struct tg_handler_opts){
        .jwks_target = TG_STR("/auth/v1/.well-known/jwks.json"),
        .jwks_refresh = TG_SEC(300),
        .max_topics = 4,
        .stream_retry = TG_MS(1500),
        .stream_heartbeat = TG_SEC(20),
        .per_user = tg_quota_create((unsigned)n, MAX_STREAMS_EACH),
        .per_address = tg_quota_create((unsigned)n, MAX_STREAMS_EACH),
    };
    for (size_t i = 0; i < n; i++) {
        struct tg_worker *w = &f->workers[i];

        w->index = (unsigned)i;
        w->opts = &f->opts;
        w->keys = tg_keys_ref(keys);
        w->auth = tg_auth_create(&limits);
        tg_list_init(&w->tunnels);
        tg_list_init(&w->snapshots);
        cr_assert_eq(tg_loop_create("t", MAX_MAILS, &w->loop), TG_OK);
        tg_loop_set_owner(w->loop, w);
        all[i] = w;
    }
    tg_jwks_fetch_setup(all, n);
}

void fleet_turns(struct fleet *f)
{
    /* An ask, its fetch and what is told need three at most. */
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < f->n; i++) {
            turn(f->workers[i].loop);
        }
    }
}

void fleet_drop(struct fleet *f)
{
    for (size_t i = 0; i < f->n; i++) {
        struct tg_worker *w = &f->workers[i];

        tg_loop_destroy(w->loop);
        tg_auth_destroy(w->auth);
        tg_client_tables_fini(&w->clients);
        tg_device_recent_drop(w);
        tg_ids_fini(&w->snapshot_ids);
        tg_keys_unref(w->keys);
    }
    for (size_t i = f->n; i > 0; i--) {
        tg_jwks_fetch_destroy(f->workers[i - 1].jwks);
    }
    tg_quota_destroy(f->opts.per_user);
    tg_quota_destroy(f->opts.per_address);
}

/* ---- requests ---- */

void request_make(struct asked_request *r, enum tg_method method, const char *target)
{
    *r = (struct asked_request){.conn.raw_read_rc = TG_EAGAIN};
    r->req.head = (struct tg_head){.method = method,
                                   .method_text = TG_STR("?"),
                                   .target = tg_str_of(target),
                                   .minor = 1,
                                   .fields = {r->fields, 0},
                                   .host = TG_STR("gateway"),
                                   .keep_alive = true};
}

void request_field(struct asked_request *r, const char *name, const char *value)
{
    size_t *n = &r->req.head.fields.n;

    cr_assert_lt(*n, TG_ARRAY_LEN(r->fields));
    r->fields[(*n)++] = (struct tg_field){tg_str_of(name), tg_str_of(value)};
}

void request_gone(struct asked_request *r)
{
    r->conn.handler->on_gone(&r->conn, TG_OK, r->conn.ctx);
}

void request_drop(struct asked_request *r)
{
    tg_arena_drop(&r->req.arena);
}

char *bearer(const char *token)
{
    size_t n = strlen(token) + sizeof("Bearer ");
    char *out = tg_malloc(n);

    (void)snprintf(out, n, "Bearer %s", token);
    return out;
}
