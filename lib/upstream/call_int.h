/* call_int.h - what client.c and call.c share. Not for anybody outside lib/upstream. */
#ifndef TG_UPSTREAM_CALL_INT_H
#define TG_UPSTREAM_CALL_INT_H

#include "upstream/breaker.h"
#include "upstream/client.h"
#include "upstream/multi.h"
#include "upstream/retry.h"
#include "util/buf.h"

#define TG_UPSTREAM_MAGIC 0x75707374U
#define TG_CALL_MAGIC 0x63616c6cU

enum {
    TG_UPSTREAM_SERVICES = 16,
    TG_CALL_METHOD_MAX = 16,
    TG_CALL_KEEP_BYTES = 16384, /* a call in the pool keeps buffers up to this */
};

/* How an easy handle is set up; changing it costs more than the rest of a request. */
enum tg_call_mode { TG_MODE_NEW, TG_MODE_PLAIN, TG_MODE_HEAD, TG_MODE_UPLOAD };

/*  IDLE (in the pool) -> WAITING -> SENDING -> ANSWERING -> IDLE
 *                          ^  connection |
 *                          `-- retry ----'                          */
enum tg_call_state { TG_CALL_IDLE, TG_CALL_WAITING, TG_CALL_SENDING, TG_CALL_ANSWERING };

struct tg_service {
    const char *name;
    struct tg_breaker breaker;
};

struct tg_upstream {
    unsigned magic;
    struct tg_loop *loop;
    struct tg_upstream_opts opts;
    char *url; /* origin and "/" */
    char *ca_file;
    char *authority;
    struct tg_multi multi;
    struct tg_multi tunnel_multi;
    struct tg_list tunnels;
    size_t n_tunnels;
    struct tg_upstream_counts *counts; /* own_counts unless the options say otherwise */
    struct tg_upstream_counts own_counts;
    struct tg_list calls;  /* running */
    struct tg_list pool;   /* idle calls with their handles */
    struct tg_list kicked; /* something is to be done before libcurl is entered */
    size_t n_calls;
    size_t n_pool;
    struct tg_retry_budget budget;
    struct tg_service services[TG_UPSTREAM_SERVICES];
    size_t n_services;
    uint32_t random;
};

struct tg_call {
    unsigned magic;
    struct tg_list node;
    struct tg_list kick;
    struct tg_upstream *up;
    struct tg_service *service;
    CURL *easy;
    const struct tg_call_handler *h;
    void *ctx;
    struct tg_timer timer;
    tg_usec moved; /* bytes went either way, or the request was complete */
    tg_usec first_byte_timeout;
    enum tg_call_state state;
    enum tg_call_mode mode;
    enum tg_rc failed; /* why it is given up from here; TG_OK: it is not */
    char method[TG_CALL_METHOD_MAX];
    char set_method[TG_CALL_METHOD_MAX]; /* what the handle has; "": its own */
    bool may_retry;
    bool is_retry;   /* this is the second time */
    bool is_added;   /* to the multi handle */
    bool wants_add;  /* kicked for this */
    bool is_breaker; /* owes the breaker a report */
    bool sent_any;
    unsigned attempts; /* connections that this handle was given since it was added */

    /* Request. */
    struct tg_buf text; /* header lines, NUL-terminated */
    struct curl_slist *lines;
    size_t cap_lines;
    struct tg_buf body; /* [body_at .. n) is to be sent */
    size_t body_at;
    int64_t body_length;
    int64_t written; /* by the owner */
    bool body_ended;
    bool body_refused; /* upstream answered early: no more of it */
    bool send_paused;
    bool owes_drain;

    /* Answer. */
    struct tg_buf head;
    struct tg_upstream_field *fields;
    size_t cap_fields;
    bool has_head;
    bool is_bodyless;
    bool recv_paused;    /* wanted by the owner */
    bool is_curl_paused; /* libcurl holds bytes back */
    int64_t length;      /* announced; -1: not */
    int64_t received;
};

/* call.c: the handle's callbacks. */
void tg_call_setup(struct tg_call *call);
/* call.c: does what was put off until libcurl may be entered. */
void tg_call_unpause(struct tg_call *call);
bool tg_call_is_answered(const struct tg_call *call);
/* request.c: the handle's options for `req`, of which nothing is needed afterwards. */
enum tg_rc tg_call_prepare(struct tg_call *call, const struct tg_call_request *req) TG_MUST_USE;
/* tunnel.c */
void tg_tunnel_on_curl_done(CURL *easy, CURLcode result, void *arg);
void tg_tunnel_end_all(struct tg_upstream *up);
/* client.c */
void tg_call_kick(struct tg_call *call);
/* client.c: ends it for `rc` before libcurl is entered again. */
void tg_call_fail(struct tg_call *call, enum tg_rc rc);

#endif
