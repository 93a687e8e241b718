/* fakes.c - see fakes.h. These stand where the linker would take realtime's streams, lib/store and
 * lib/upstream; stand.c has the rest. */
#include "fakes.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "handlers/control.h"
#include "handlers/device.h"
#include "handlers/device_recent.h"
#include "handlers/proxy.h"
#include "handlers/quota.h"
#include "handlers/tunnel.h"
#include "handlers/ws.h"

enum { MAX_STREAMS_EACH = 1000 };

struct fake_append_seen append_seen;
struct fake_touch_seen touch_seen;
bool is_store_down;
struct fake_once_seen once_seen;
struct fake_stream_seen stream_seen;
struct fake_peek peek_says = {.rc = TG_EAGAIN};
struct fake_fetch_seen fetch_seen;
unsigned n_proxied, n_tunnelled, n_devices, n_websockets;
enum tg_service proxied_service;

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

/* ---- other workers ---- */

size_t tg_control_n_peers(const struct tg_worker *w)
{
    (void)w;
    return 1;
}

struct tg_worker *tg_control_peer(const struct tg_worker *w, size_t index)
{
    (void)w;
    (void)index;
    return NULL;
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

void tg_stream_hold(struct tg_stream *s, enum tg_hold why)
{
    (void)s;
    (void)why;
}

void tg_stream_revoke(struct tg_stream *s, tg_str name, tg_str message)
{
    (void)s;
    (void)name;
    (void)message;
}

size_t tg_stream_topics(const struct tg_stream *s)
{
    (void)s;
    return 0;
}

void tg_stream_release(struct tg_stream *s, enum tg_hold why)
{
    (void)why;
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

void fleet_make(struct fleet *f, size_t n, struct tg_keys *keys)
{
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

        worker_make(w, (unsigned)i, &f->opts, keys);
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

        worker_drop(w);
        tg_device_recent_drop(w);
        tg_ids_fini(&w->snapshot_ids);
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
