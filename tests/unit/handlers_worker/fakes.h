/* fakes.h - what stands around the handlers in these tests: the stream, the store, the call
 * upstream. Each remembers what it was told; tests answer in its place. */
#ifndef TG_TESTS_UNIT_HANDLERS_WORKER_FAKES_H
#define TG_TESTS_UNIT_HANDLERS_WORKER_FAKES_H

#include "handlers/jwks_fetch.h"
#include "handlers/route.h"
#include "handlers_worker/stand.h"
#include "realtime/listeners.h"
#include "realtime/peek.h"
#include "store/device.h"

struct fake_stream_seen {
    unsigned n_opened, n_closed, n_writable, n_ended, n_tokens;
    const char *why; /* of the last end */
    char fresh[64];  /* the last token */
    enum tg_rc token_rc;
    size_t n_topics;
    char topics[8][128];
    char token[2048];
    struct tg_stream_want wants[8]; /* their names are gone */
    struct tg_stream_opts opts;     /* its texts are gone; ops and arg stay */
    enum tg_rc open_rc;
    enum tg_told told;
    char told_text[4096];
    unsigned n_released;
    const char *cursor; /* what it says of itself */
    bool is_behind;
};

/* What the worker's rings answer: TG_EAGAIN until a test says else. */
struct fake_peek {
    enum tg_rc rc;
    const char *messages[8];
    struct tg_peeked peeked;
    unsigned n; /* times asked */
};

struct fake_fetch_seen {
    unsigned n;
    char target[128];
    tg_fetch_fn *done;
    void *arg;
    enum tg_rc rc; /* of the start */
};

/* What the store was told of a device; tests call `done`. */
struct fake_touch_seen {
    unsigned n;
    enum tg_rc rc; /* of the start */
    char user[64], device[160], label[64];
    struct tg_device_want want; /* its texts and topics are gone */
    struct tg_device_topic topics[8];
    tg_device_fn *done;
    void *arg;
};

/* What the store was to append, in order, and the question who listens; tests call `done`. */
enum { MAX_APPENDS = 4 };
struct fake_append_seen {
    unsigned n;
    enum tg_rc rc; /* of the next starts */
    char topics[MAX_APPENDS][64], payloads[MAX_APPENDS][256], once[MAX_APPENDS][64];
    tg_usec once_ttl;
    tg_append_fn *done[MAX_APPENDS];
    void *args[MAX_APPENDS];
    unsigned n_asked;
    tg_listened_fn *listened;
    void *listened_arg;
};

extern struct fake_append_seen append_seen;
extern struct fake_touch_seen touch_seen;
extern bool is_store_down;
/* tg_store_once() */
struct fake_once_seen {
    unsigned n;
    char key[128];
    tg_usec ttl;
    tg_done_fn *done; /* the newest */
    void *arg;
    enum tg_rc rc; /* of the start */
};

extern struct fake_once_seen once_seen;
extern struct fake_stream_seen stream_seen;
extern struct fake_peek peek_says;
extern struct fake_fetch_seen fetch_seen;
extern unsigned n_proxied, n_tunnelled, n_devices, n_websockets;
extern enum tg_service proxied_service;

/* Workers 0..n-1 with loops, keys (a reference is taken) and one fetcher; the first fetch has been
 * ordered and not run. */
struct fleet {
    struct tg_handler_opts opts;
    struct tg_worker workers[3];
    size_t n;
};
void fleet_make(struct fleet *f, size_t n, struct tg_keys *keys);
void fleet_turns(struct fleet *f); /* until all mail has arrived */
void fleet_drop(struct fleet *f);

/* A request over `c`. */
struct asked_request {
    struct tg_conn conn;
    struct tg_request req;
    struct tg_field fields[4];
};
void request_make(struct asked_request *r, enum tg_method method, const char *target);
void request_field(struct asked_request *r, const char *name, const char *value);
/* The connection's last call about it. */
void request_gone(struct asked_request *r);
void request_drop(struct asked_request *r);

/* [owned] "Bearer <token>" */
char *bearer(const char *token);

#endif
