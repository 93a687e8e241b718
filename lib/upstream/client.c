/* client.c - calls, their pool and their ends.
 *
 * Every running call is on `calls`; its easy handle is in the multi handle but while it waits
 * for a retry. Invariants: on_done is called once, from the loop and never from inside a
 * function of client.h; a call on `kicked` is looked at before libcurl is entered again. */
#include "upstream/client.h"

#include <stdio.h>
#include <stdlib.h>

#include "upstream/call_int.h"

enum {
    MAX_TEXT_BYTES = 1 << 20,
    BODY_SLACK = 1 << 20, /* what one tg_call_write() may pass the send buffer by */
    HTTP2_STREAMS = 100,
};

/* ---- services ---- */

/* Its place, or n_services. */
static size_t find_service(const struct tg_upstream *up, const char *name)
{
    size_t i = 0;

    while (i < up->n_services && strcmp(up->services[i].name, name) != 0) {
        i++;
    }
    return i;
}

/* NULL: without a breaker. */
static struct tg_service *get_service(struct tg_upstream *up, const char *name)
{
    size_t i = name == NULL ? TG_UPSTREAM_SERVICES : find_service(up, name);

    if (i == TG_UPSTREAM_SERVICES) {
        return NULL;
    }
    if (i == up->n_services) {
        up->services[i].name = name;
        tg_breaker_init(&up->services[i].breaker, up->opts.breaker_failures, up->opts.breaker_open);
        up->n_services++;
    }
    return &up->services[i];
}

unsigned tg_upstream_retry_after_sec(const struct tg_upstream *up, const char *service)
{
    size_t i = find_service(up, service);

    if (i == up->n_services || !tg_breaker_is_open(&up->services[i].breaker)) {
        return 0;
    }
    return tg_breaker_retry_after_sec(&up->services[i].breaker, tg_loop_now(up->loop));
}

/* ---- the pool ---- */

static void destroy_call(struct tg_call *call)
{
    curl_easy_cleanup(call->easy);
    tg_buf_fini(&call->text);
    tg_buf_fini(&call->body);
    tg_buf_fini(&call->head);
    free(call->lines);
    free(call->fields);
    call->magic = 0;
    free(call);
}

static void on_deadline(struct tg_timer *t);

static struct tg_call *take_call(struct tg_upstream *up)
{
    struct tg_call *call = NULL;

    if (!tg_list_empty(&up->pool)) {
        call = TG_CONTAINER_OF(up->pool.prev, struct tg_call, node);
        tg_list_remove(&call->node);
        up->n_pool--;
        return call;
    }
    call = TG_NEW(struct tg_call);
    call->magic = TG_CALL_MAGIC;
    call->up = up;
    call->easy = curl_easy_init();
    TG_ASSERT(call->easy != NULL); /* out of memory */
    tg_list_init(&call->node);
    tg_list_init(&call->kick);
    tg_timer_init(&call->timer, on_deadline);
    tg_buf_init(&call->text, MAX_TEXT_BYTES);
    tg_buf_init(&call->head, up->opts.max_head_bytes);
    tg_buf_init(&call->body, up->opts.send_buffer + BODY_SLACK);
    tg_call_setup(call);
    return call;
}

static void shrink(struct tg_buf *b)
{
    size_t max = b->max;

    tg_buf_clear(b);
    if (b->cap > TG_CALL_KEEP_BYTES) {
        tg_buf_fini(b);
        tg_buf_init(b, max);
    }
}

/* As new, but for the memory and the handle's setup. */
static void reset_call(struct tg_call *call)
{
    shrink(&call->text);
    shrink(&call->body);
    shrink(&call->head);
    call->state = TG_CALL_IDLE;
    call->service = NULL;
    call->h = NULL;
    call->ctx = NULL;
    call->failed = TG_OK;
    call->sent_any = false;
    call->attempts = 0;
    call->body_at = 0;
    call->written = 0;
    call->is_retry = false;
    call->body_ended = false;
    call->body_refused = false;
    call->send_paused = false;
    call->owes_drain = false;
    call->has_head = false;
    call->is_bodyless = false;
    call->recv_paused = false;
    call->is_curl_paused = false;
    call->length = -1;
    call->received = 0;
    call->wants_add = false;
    call->is_breaker = false;
}

static void give_back(struct tg_call *call)
{
    struct tg_upstream *up = call->up;

    reset_call(call);
    if (up->n_pool >= up->opts.max_connections) {
        destroy_call(call);
        return;
    }
    tg_list_append(&up->pool, &call->node);
    up->n_pool++;
}

/* ---- the end ---- */

static void remove_handle(struct tg_call *call)
{
    if (call->is_added) {
        (void)curl_multi_remove_handle(call->up->multi.curl, call->easy);
        call->is_added = false;
    }
}

static void report_breaker(struct tg_call *call, enum tg_rc rc)
{
    struct tg_breaker *b = NULL;

    if (!call->is_breaker) {
        return;
    }
    call->is_breaker = false;
    b = &call->service->breaker;
    if (call->has_head) {
        (void)tg_breaker_report(b, true, tg_loop_now(call->up->loop));
    } else if (rc == TG_ECANCELED) {
        tg_breaker_forget(b);
    } else {
        (void)tg_breaker_report(b, false, tg_loop_now(call->up->loop));
    }
}

static void count_end(struct tg_call *call, enum tg_rc rc)
{
    struct tg_upstream_counts *counts = call->up->counts;

    tg_count_sub(&counts->open_calls, 1);
    if (rc == TG_OK || rc == TG_ECANCELED) {
        return;
    }
    tg_count_add(&counts->failed, 1);
    if (rc == TG_EREFUSED) {
        tg_count_add(&counts->refused, 1);
    } else if (rc == TG_EGATEWAYTIME) {
        tg_count_add(&counts->timed_out, 1);
    }
}

static void finish(struct tg_call *call, enum tg_rc rc)
{
    struct tg_upstream *up = call->up;
    const struct tg_call_handler *h = call->h;
    void *ctx = call->ctx;
    bool sent_any = call->sent_any;

    TG_ASSERT(h != NULL); /* it was started, and has not ended before */
    remove_handle(call);
    tg_loop_timer_stop(up->loop, &call->timer);
    tg_list_remove(&call->kick);
    tg_list_remove(&call->node);
    up->n_calls--;
    report_breaker(call, rc);
    count_end(call, rc);
    h->on_done(call, rc, sent_any, ctx);
    give_back(call);
}

static bool may_try_again(const struct tg_call *call, enum tg_rc rc)
{
    return rc != TG_OK && rc != TG_ECANCELED && rc != TG_EGATEWAYTIME && !call->has_head &&
           call->failed == TG_OK && call->may_retry && call->body_at == 0 &&
           !(call->sent_any && call->body_length != 0) &&
           tg_retry_is_allowed(tg_str_of(call->method), call->sent_any);
}

static uint32_t next_random(struct tg_upstream *up)
{
    up->random = up->random * 1664525U + 1013904223U; /* only spreads retries in time */
    return up->random >> 8;
}

static void try_again(struct tg_call *call)
{
    struct tg_upstream *up = call->up;

    tg_count_add(&up->counts->retried, 1);
    call->may_retry = false;
    call->is_retry = true;
    call->state = TG_CALL_WAITING;
    call->wants_add = true;
    call->send_paused = false;
    tg_buf_clear(&call->head);
    tg_loop_timer_start(up->loop, &call->timer, tg_retry_pause(next_random(up)));
}

static void on_curl_done(CURL *easy, CURLcode result, void *arg)
{
    struct tg_upstream *up = arg;
    struct tg_call *call = NULL;
    enum tg_rc rc = TG_OK;
    long n_connects = 0;
    char *private = NULL;

    TG_CHECK(up, TG_UPSTREAM_MAGIC);
    (void)curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    call = (struct tg_call *)(void *)private;
    TG_CHECK(call, TG_CALL_MAGIC);
    (void)curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &n_connects);
    tg_count_add(n_connects > 0 ? &up->counts->connects : &up->counts->reused, 1);
    rc = tg_rc_from_curl(result, call->sent_any);
    /* Timeouts behind the connect are ours, not libcurl's. */
    if ((rc == TG_OK && !call->has_head) || (rc == TG_EGATEWAYTIME && call->sent_any)) {
        rc = TG_EUPSTREAM;
    }
    if (tg_call_is_answered(call)) {
        rc = TG_OK;
    }
    if (call->failed != TG_OK) {
        rc = call->failed;
    }
    remove_handle(call);
    if (may_try_again(call, rc) && tg_retry_spend(&up->budget)) {
        try_again(call);
        return;
    }
    finish(call, rc);
}

/* ---- time ---- */

/* UINT64_MAX: nothing is due from upstream now. */
static tg_usec deadline(const struct tg_call *call)
{
    const struct tg_upstream_opts *opts = &call->up->opts;

    if (call->state == TG_CALL_WAITING) {
        return call->moved + opts->connect_timeout + call->first_byte_timeout;
    }
    if (call->state == TG_CALL_ANSWERING) {
        return call->recv_paused ? UINT64_MAX : call->moved + opts->idle_timeout;
    }
    if (call->body.n > call->body_at) {
        return call->moved + opts->idle_timeout;
    }
    return call->body_ended ? call->moved + call->first_byte_timeout : UINT64_MAX;
}

static tg_usec look_again(const struct tg_call *call)
{
    return TG_MIN(call->first_byte_timeout, call->up->opts.idle_timeout);
}

static void on_deadline(struct tg_timer *t)
{
    struct tg_call *call = TG_CONTAINER_OF(t, struct tg_call, timer);
    tg_usec now = 0;
    tg_usec due = 0;

    TG_CHECK(call, TG_CALL_MAGIC);
    now = tg_loop_now(call->up->loop);
    if (call->wants_add) {
        call->moved = now;
        tg_call_kick(call);
        tg_loop_timer_start(call->up->loop, t, look_again(call));
        return;
    }
    due = deadline(call);
    if (now < due) {
        tg_loop_timer_start(call->up->loop, t, TG_MIN(due - now, look_again(call)));
        return;
    }
    finish(call, call->has_head ? TG_EUPSTREAM : TG_EGATEWAYTIME);
}

/* ---- the kick ---- */

void tg_call_kick(struct tg_call *call)
{
    if (tg_list_empty(&call->kick)) {
        tg_list_append(&call->up->kicked, &call->kick);
        tg_multi_kick(&call->up->multi);
    }
}

void tg_call_fail(struct tg_call *call, enum tg_rc rc)
{
    if (call->failed == TG_OK) {
        call->failed = rc;
    }
    tg_call_kick(call);
}

static void on_flush(void *arg)
{
    struct tg_upstream *up = arg;

    while (!tg_list_empty(&up->kicked)) {
        struct tg_call *call = TG_CONTAINER_OF(up->kicked.next, struct tg_call, kick);

        tg_list_remove(&call->kick);
        if (call->failed != TG_OK) {
            finish(call, call->failed);
        } else if (call->wants_add) {
            call->wants_add = false;
            call->attempts = 0;
            /* What one kept connection did the others may do as well. */
            curl_easy_setopt(call->easy, CURLOPT_FRESH_CONNECT, call->is_retry ? 1L : 0L);
            TG_ASSERT(curl_multi_add_handle(up->multi.curl, call->easy) == CURLM_OK);
            call->is_added = true;
        } else if (call->is_added && call->mode == TG_MODE_UPLOAD && tg_call_is_answered(call)) {
            finish(call, TG_OK); /* and the connection with what nobody reads is closed */
        } else if (call->is_added) {
            tg_call_unpause(call);
        }
    }
}

/* ---- the start ---- */

static size_t max_calls(const struct tg_upstream *up)
{
    size_t n = up->opts.max_connections;

    return (up->opts.http2 ? n * HTTP2_STREAMS : n) + up->opts.max_waiting;
}

enum tg_rc tg_upstream_start(struct tg_upstream *up, const struct tg_call_request *req,
                             const struct tg_call_handler *h, void *ctx, struct tg_call **ret_call)
{
    struct tg_service *service = NULL;
    struct tg_call *call = NULL;
    enum tg_rc rc = TG_OK;

    TG_CHECK(up, TG_UPSTREAM_MAGIC);
    TG_ON_LOOP(up->loop);
    if (up->multi.is_closing || up->n_calls >= max_calls(up)) {
        return TG_EBUSY;
    }
    call = take_call(up);
    rc = tg_call_prepare(call, req);
    if (rc != TG_OK) {
        give_back(call);
        return rc;
    }
    service = get_service(up, req->service);
    if (service != NULL && !tg_breaker_pass(&service->breaker, tg_loop_now(up->loop))) {
        tg_count_add(&up->counts->breaker_open, 1);
        give_back(call);
        return TG_EOPEN;
    }
    call->service = service;
    call->is_breaker = service != NULL;
    call->h = h;
    call->ctx = ctx;
    call->state = TG_CALL_WAITING;
    call->moved = tg_loop_now(up->loop);
    call->wants_add = true;
    tg_retry_earn(&up->budget);
    tg_count_add(&up->counts->calls, 1);
    tg_count_add(&up->counts->open_calls, 1);
    tg_list_append(&up->calls, &call->node);
    up->n_calls++;
    tg_loop_timer_start(up->loop, &call->timer, look_again(call));
    tg_call_kick(call);
    *ret_call = call;
    return TG_OK;
}

/* ---- what the owner may do ---- */

enum tg_rc tg_call_write(struct tg_call *call, tg_str bytes)
{
    TG_CHECK(call, TG_CALL_MAGIC);
    TG_ON_LOOP(call->up->loop);
    if (call->body_refused || call->failed != TG_OK) {
        return TG_ECLOSED;
    }
    TG_ASSERT(!call->body_ended);
    if (call->body_length > 0 && (int64_t)bytes.n > call->body_length - call->written) {
        return TG_ELIMIT;
    }
    /* What was sent makes room once it is half of the buffer, so that moving stays cheap. */
    if (call->body_at > 0 && call->body_at >= call->body.n / 2) {
        tg_buf_consume(&call->body, call->body_at);
        call->body_at = 0;
    }
    if (call->body.n == call->body_at) {
        call->moved = tg_loop_now(call->up->loop); /* upstream owed nothing so far */
    }
    if (tg_buf_str(&call->body, bytes) != TG_OK) {
        return TG_ELIMIT;
    }
    call->written += (int64_t)bytes.n;
    if (call->send_paused) {
        tg_call_kick(call);
    }
    if (call->body.n - call->body_at >= call->up->opts.send_buffer) {
        call->owes_drain = true;
        return TG_EAGAIN;
    }
    return TG_OK;
}

void tg_call_end_body(struct tg_call *call)
{
    TG_CHECK(call, TG_CALL_MAGIC);
    if (!call->body_ended) {
        call->body_ended = true;
        call->moved = tg_loop_now(call->up->loop);
        if (call->send_paused) {
            tg_call_kick(call);
        }
    }
}

void tg_call_pause(struct tg_call *call)
{
    TG_CHECK(call, TG_CALL_MAGIC);
    call->recv_paused = true;
}

void tg_call_resume(struct tg_call *call)
{
    TG_CHECK(call, TG_CALL_MAGIC);
    if (call->recv_paused) {
        call->recv_paused = false;
        call->moved = tg_loop_now(call->up->loop);
        if (call->is_curl_paused) {
            tg_call_kick(call);
        }
    }
}

void tg_call_cancel(struct tg_call *call)
{
    TG_CHECK(call, TG_CALL_MAGIC);
    tg_call_fail(call, TG_ECANCELED);
}

/* ---- the client ---- */

enum tg_rc tg_upstream_create(struct tg_loop *l, const struct tg_upstream_opts *opts,
                              struct tg_upstream **ret_up)
{
    struct tg_upstream *up = TG_NEW(struct tg_upstream);
    const char *authority = strstr(opts->origin, "://");
    size_t n_url = strlen(opts->origin) + 2;
    enum tg_rc rc = authority == NULL ? TG_EBADPARAM : tg_multi_init(&up->multi, l);

    if (rc == TG_OK) {
        rc = tg_multi_init(&up->tunnel_multi, l);
    }
    if (rc != TG_OK) {
        tg_multi_fini(&up->multi);
        free(up);
        return rc;
    }
    up->magic = TG_UPSTREAM_MAGIC;
    up->loop = l;
    up->opts = *opts;
    up->counts = opts->counts != NULL ? opts->counts : &up->own_counts;
    up->url = tg_calloc(1, n_url);
    (void)snprintf(up->url, n_url, "%s/", opts->origin);
    up->authority = tg_strdup(authority + strlen("://"));
    up->ca_file = opts->ca_file == NULL ? NULL : tg_strdup(opts->ca_file);
    up->multi.arg = up;
    up->multi.on_done = on_curl_done;
    up->multi.on_flush = on_flush;
    up->tunnel_multi.arg = up;
    up->tunnel_multi.on_done = tg_tunnel_on_curl_done;
    tg_list_init(&up->tunnels);
    tg_list_init(&up->calls);
    tg_list_init(&up->pool);
    tg_list_init(&up->kicked);
    tg_retry_init(&up->budget, opts->retry_percent);
    up->random = (uint32_t)tg_clock_mono_us();
    curl_multi_setopt(up->multi.curl, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)opts->max_connections);
    curl_multi_setopt(up->multi.curl, CURLMOPT_MAXCONNECTS, (long)opts->max_connections);
    curl_multi_setopt(up->multi.curl, CURLMOPT_PIPELINING,
                      opts->http2 ? (long)CURLPIPE_MULTIPLEX : (long)CURLPIPE_NOTHING);
    *ret_up = up;
    return TG_OK;
}

/* In the deferred phase: a callback that called tg_upstream_destroy() has returned by then. */
static void free_upstream(void *arg)
{
    struct tg_upstream *up = arg;

    while (!tg_list_empty(&up->pool)) {
        struct tg_call *call = TG_CONTAINER_OF(up->pool.next, struct tg_call, node);

        tg_list_remove(&call->node);
        destroy_call(call);
    }
    tg_multi_fini(&up->multi);
    tg_multi_fini(&up->tunnel_multi);
    up->magic = 0;
    free(up->url);
    free(up->authority);
    free(up->ca_file);
    free(up);
}

void tg_upstream_destroy(struct tg_upstream *up)
{
    if (up == NULL) {
        return;
    }
    TG_CHECK(up, TG_UPSTREAM_MAGIC);
    TG_ON_LOOP(up->loop);
    up->multi.is_closing = true;
    while (!tg_list_empty(&up->calls)) {
        finish(TG_CONTAINER_OF(up->calls.next, struct tg_call, node), TG_ECANCELED);
    }
    up->tunnel_multi.is_closing = true;
    tg_tunnel_end_all(up);
    tg_loop_timer_stop(up->loop, &up->multi.timer);
    tg_loop_timer_stop(up->loop, &up->tunnel_multi.timer);
    tg_loop_defer(up->loop, free_upstream, up);
}

const struct tg_upstream_counts *tg_upstream_counts(const struct tg_upstream *up)
{
    return up->counts;
}
