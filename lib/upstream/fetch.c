/* fetch.c - a small whole call over the streaming ones. */
#include <stdlib.h>

#include "upstream/client.h"
#include "util/buf.h"

struct fetch {
    tg_fetch_fn *done;
    void *arg;
    unsigned status;
    struct tg_buf body;
};

/* NOLINTNEXTLINE(readability-function-size): the handler's type */
static void on_head(struct tg_call *call, unsigned status, tg_str reason,
                    const struct tg_upstream_field *fields, size_t n, int64_t length, void *ctx)
{
    struct fetch *f = ctx;

    (void)call;
    (void)reason;
    (void)fields;
    (void)n;
    (void)length;
    f->status = status;
}

static void on_body(struct tg_call *call, tg_str bytes, void *ctx)
{
    struct fetch *f = ctx;

    if (tg_buf_str(&f->body, bytes) != TG_OK) {
        tg_call_cancel(call);
    }
}

static void on_drain(struct tg_call *call, void *ctx)
{
    (void)call;
    (void)ctx;
}

static void on_done(struct tg_call *call, enum tg_rc rc, bool sent_any, void *ctx)
{
    struct fetch *f = ctx;

    (void)call;
    (void)sent_any;
    if (tg_buf_rc(&f->body) != TG_OK) {
        rc = TG_ELIMIT;
    }
    f->done(rc, f->status, rc == TG_OK ? tg_buf_view(&f->body) : TG_STR_NONE, f->arg);
    tg_buf_fini(&f->body);
    free(f);
}

static const struct tg_call_handler handler = {
    .on_head = on_head, .on_body = on_body, .on_drain = on_drain, .on_done = on_done};

enum tg_rc tg_upstream_fetch(struct tg_upstream *up, const struct tg_call_request *req, tg_str body,
                             size_t max_bytes, tg_fetch_fn *done, void *arg)
{
    struct fetch *f = TG_NEW(struct fetch);
    struct tg_call_request whole = *req;
    struct tg_call *call = NULL;
    enum tg_rc rc = TG_OK;

    f->done = done;
    f->arg = arg;
    tg_buf_init(&f->body, max_bytes);
    whole.body_length = (int64_t)body.n;
    rc = tg_upstream_start(up, &whole, &handler, f, &call);
    if (rc != TG_OK) {
        free(f);
        return rc;
    }
    if (body.n > 0) {
        (void)tg_call_write(call, body);
        tg_call_end_body(call);
    }
    return TG_OK;
}
