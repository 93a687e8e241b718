/* redis_link.c - hiredis' hooks on one side, a level-triggered poll on the other.
 *
 * hiredis frees its context itself after a failed connect and after a loss, always behind the
 * callback that says so; `context` is NULL from then on. */
#include "store/redis_link.h"

#include <stdlib.h>

#define LINK_MAGIC 0x6c696e6bU

struct tg_redis_link {
    unsigned magic;
    bool is_closed;
    unsigned wanted;
    struct tg_loop *loop;
    struct tg_poll *poll;
    redisAsyncContext *context;
    struct tg_redis_link_handler handler;
};

/* ---- hiredis' hooks ---- */

static void want(struct tg_redis_link *k, unsigned wanted)
{
    if (k->poll != NULL && wanted != k->wanted) {
        k->wanted = wanted;
        tg_poll_want(k->poll, wanted);
    }
}

static void on_add_read(void *arg)
{
    struct tg_redis_link *k = arg;

    want(k, k->wanted | TG_READABLE);
}

static void on_del_read(void *arg)
{
    struct tg_redis_link *k = arg;

    want(k, k->wanted & ~(unsigned)TG_READABLE);
}

static void on_add_write(void *arg)
{
    struct tg_redis_link *k = arg;

    want(k, k->wanted | TG_WRITABLE);
}

static void on_del_write(void *arg)
{
    struct tg_redis_link *k = arg;

    want(k, k->wanted & ~(unsigned)TG_WRITABLE);
}

static void on_cleanup(void *arg)
{
    struct tg_redis_link *k = arg;

    tg_poll_close(k->poll);
    k->poll = NULL;
}

static void tell_lost(struct tg_redis_link *k)
{
    k->context = NULL;
    if (!k->is_closed) {
        k->is_closed = true;
        k->handler.on_lost(k, k->handler.arg);
    }
}

static void on_connect(const redisAsyncContext *c, int status)
{
    struct tg_redis_link *k = c->data;

    TG_CHECK(k, LINK_MAGIC);
    if (status != REDIS_OK) {
        tell_lost(k);
    } else if (!k->is_closed) {
        k->handler.on_up(k, k->handler.arg);
    }
}

static void on_disconnect(const redisAsyncContext *c, int status)
{
    struct tg_redis_link *k = c->data;

    (void)status;
    TG_CHECK(k, LINK_MAGIC);
    tell_lost(k);
}

static void drop_context(struct tg_redis_link *k)
{
    redisAsyncContext *c = k->context;

    k->context = NULL;
    if (c != NULL) {
        redisAsyncFree(c);
    }
}

static void on_ready(struct tg_poll *p, unsigned events, void *arg)
{
    struct tg_redis_link *k = arg;

    (void)p;
    TG_CHECK(k, LINK_MAGIC);
    if ((events & TG_READABLE) != 0 && k->context != NULL) {
        redisAsyncHandleRead(k->context);
    }
    if ((events & TG_WRITABLE) != 0 && k->context != NULL) {
        redisAsyncHandleWrite(k->context);
    }
    if ((events & TG_HANGUP) != 0 && k->context != NULL) {
        /* The descriptor failed and is watched no more, but hiredis found nothing wrong. */
        drop_context(k);
        tell_lost(k);
    }
}

/* ---- the doors ---- */

static void free_link(void *arg)
{
    struct tg_redis_link *k = arg;

    k->magic = 0;
    free(k);
}

enum tg_rc tg_redis_link_open(struct tg_loop *l, const struct tg_redis_link_address *to,
                              const struct tg_redis_link_handler *h,
                              struct tg_redis_link **ret_link)
{
    redisAsyncContext *c =
        to->path != NULL ? redisAsyncConnectUnix(to->path) : redisAsyncConnect(to->host, to->port);
    struct tg_redis_link *k = NULL;

    if (c == NULL) {
        return TG_EREFUSED;
    }
    if (c->err != 0) {
        redisAsyncFree(c);
        return TG_EREFUSED;
    }
    k = TG_NEW(struct tg_redis_link);
    k->magic = LINK_MAGIC;
    k->loop = l;
    k->handler = *h;
    k->context = c;
    if (tg_poll_create(l, c->c.fd, on_ready, k, &k->poll) != TG_OK) {
        redisAsyncFree(c);
        free_link(k);
        return TG_EREFUSED;
    }
    c->data = k;
    c->ev.data = k;
    c->ev.addRead = on_add_read;
    c->ev.delRead = on_del_read;
    c->ev.addWrite = on_add_write;
    c->ev.delWrite = on_del_write;
    c->ev.cleanup = on_cleanup;
    (void)redisAsyncSetDisconnectCallback(c, on_disconnect);
    (void)redisAsyncSetConnectCallback(c, on_connect); /* asks for the first write event */
    *ret_link = k;
    return TG_OK;
}

void tg_redis_link_close(struct tg_redis_link *k)
{
    if (k == NULL) {
        return;
    }
    TG_CHECK(k, LINK_MAGIC);
    TG_ON_LOOP(k->loop);
    k->is_closed = true;
    drop_context(k);
    tg_loop_defer(k->loop, free_link, k);
}

enum tg_rc tg_redis_link_send(struct tg_redis_link *k, tg_str command, redisCallbackFn *on_reply,
                              void *arg)
{
    TG_CHECK(k, LINK_MAGIC);
    if (k->context == NULL || k->is_closed) {
        return TG_ESTORE;
    }
    return redisAsyncFormattedCommand(k->context, on_reply, arg, command.p, command.n) == REDIS_OK
               ? TG_OK
               : TG_ESTORE;
}
