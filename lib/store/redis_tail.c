/* redis_tail.c - reads the log behind a position for as long as the connection stands.
 *
 * Every entry names the one before it ('b'), so a log that was trimmed in front of us is seen
 * without asking: the first entry of a read must follow what we have.
 *
 * Of commands that came in one piece, Redis wakes a reader that waits after the first. What is
 * behind it is there by then: when the handle knows of it (as its own), the few entries of such a
 * read wait for the next one, which does not block, and all are told at once. */
#include "store/redis_tail.h"

#include <stdlib.h>

#include "store/redis_reply.h"

enum { BATCH = 256, HELD_MAX = 32, BLOCK_MS = 2000 };

struct tg_redis_tail {
    struct tg_redis_tail_opts opts;
    struct tg_redis_link *link;
    struct tg_timer deadline;
    unsigned n_login; /* replies that come before INFO's */
    bool is_checked;  /* the server is the right one */
    bool is_halted;   /* another log begins */
    bool is_closed;
    struct tg_pos at;
    size_t n_held;         /* entries that wait for the next read */
    struct tg_arena texts; /* theirs */
    struct tg_entry entries[BATCH];
};

static void lose(struct tg_redis_tail *t, const char *why)
{
    if (!t->is_closed) {
        t->opts.on_lost(why, t->opts.arg);
    }
}

static void on_deadline(struct tg_timer *timer)
{
    lose(TG_CONTAINER_OF(timer, struct tg_redis_tail, deadline), "tail timeout");
}

static void on_reply(redisAsyncContext *context, void *reply, void *arg);

/* hiredis copies the command. */
static void send(struct tg_redis_tail *t, struct tg_redis_args *a)
{
    tg_str wire = tg_redis_args_format(a);
    enum tg_rc rc = tg_redis_link_send(t->link, wire, on_reply, t);

    tg_redis_wire_free(wire);
    if (rc != TG_OK) {
        lose(t, "tail connection");
    }
}

static void read_on(struct tg_redis_tail *t)
{
    struct tg_redis_args a = {0};
    char after[TG_POS_MAX + 1];
    size_t n = tg_pos_format(t->at, after);

    tg_redis_arg(&a, TG_STR("XREAD"));
    tg_redis_arg(&a, TG_STR("COUNT"));
    tg_redis_arg_u64(&a, BATCH - t->n_held);
    if (t->n_held == 0) {
        tg_redis_arg(&a, TG_STR("BLOCK"));
        tg_redis_arg_u64(&a, BLOCK_MS);
    }
    tg_redis_arg(&a, TG_STR("STREAMS"));
    tg_redis_arg(&a, t->opts.log);
    tg_redis_arg(&a, tg_str_make(after, n));
    tg_loop_timer_start(t->opts.loop, &t->deadline, TG_MS(BLOCK_MS) + t->opts.timeout);
    send(t, &a);
}

/* The first `n` entries; their reply goes. */
static void hold(struct tg_redis_tail *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct tg_entry *e = &t->entries[i];

        e->name = tg_arena_str(&t->texts, e->name);
        e->payload = tg_arena_str(&t->texts, e->payload);
    }
    t->n_held = n;
}

/* Those and what a read brought behind them. */
static void tell(struct tg_redis_tail *t, size_t n, bool is_cut, bool is_new_log)
{
    t->n_held = 0;
    t->opts.on_batch(t->entries, n, t->at, is_cut, is_new_log, t->opts.arg);
    tg_arena_drop(&t->texts);
}

/* [[key, [entry, ...]]] */
static void read_batch(struct tg_redis_tail *t, const redisReply *r)
{
    const redisReply *rows = NULL;
    struct tg_pos last = t->at;
    const size_t n_held = t->n_held;
    size_t n = n_held;
    bool is_cut = false;
    bool is_new_log = false;

    if (r->type != REDIS_REPLY_ARRAY || r->elements != 1 || r->element[0]->elements != 2) {
        lose(t, "tail reply");
        return;
    }
    rows = r->element[0]->element[1];
    for (size_t i = 0; i < rows->elements && n < BATCH; i++) {
        struct tg_entry *e = &t->entries[n];
        struct tg_pos before = {0};
        bool is_start = false;

        if (!tg_redis_read_entry(rows->element[i], e, &before, &is_start)) {
            lose(t, "tail entry");
            return;
        }
        is_cut = is_cut || (i == 0 && tg_pos_cmp(before, t->at) > 0);
        is_new_log = is_new_log || (is_start && tg_pos_cmp(e->pos, t->opts.known) > 0);
        last = e->pos;
        n += !is_start;
    }
    t->is_halted = is_new_log;
    if (is_new_log) {
        tg_loop_timer_stop(t->opts.loop, &t->deadline);
        if (n_held > 0) {
            tell(t, n_held, false, false); /* of the log that we knew */
        }
    }
    t->at = last;
    if (n_held == 0 && n <= HELD_MAX && !is_cut && !is_new_log &&
        t->opts.has_more(n, last, t->opts.arg)) {
        hold(t, n);
    } else if (!t->is_closed) {
        tell(t, n, is_cut, is_new_log);
    }
}

static void on_reply(redisAsyncContext *context, void *reply, void *arg)
{
    struct tg_redis_tail *t = arg;
    const redisReply *r = reply;

    (void)context;
    if (r == NULL || t->is_closed) {
        return;
    }
    if (r->type == REDIS_REPLY_ERROR) {
        lose(t, "tail error");
        return;
    }
    if (t->n_login > 0) {
        t->n_login--;
        return;
    }
    if (!t->is_checked) {
        /* Behind one address may be two servers: a promoted replica and its old master. */
        if (!tg_str_eq(tg_redis_info(tg_redis_text(r), TG_STR("run_id")), tg_str_of(t->opts.run))) {
            lose(t, "tail of another server");
            return;
        }
        t->is_checked = true;
    } else if (r->type != REDIS_REPLY_NIL) {
        read_batch(t, r);
    } else if (t->n_held > 0) {
        tell(t, t->n_held, false, false); /* what should have been behind them is not there */
    }
    if (!t->is_closed && !t->is_halted) {
        read_on(t);
    }
}

static void on_up(struct tg_redis_link *k, void *arg)
{
    struct tg_redis_tail *t = arg;
    struct tg_redis_args a = {0};

    (void)k;
    for (unsigned step = 0; step < TG_LOGIN_STEPS && !t->is_closed; step++) {
        if (tg_redis_login(t->opts.url, step, &a)) {
            t->n_login++;
            send(t, &a);
        }
    }
    if (!t->is_closed) {
        tg_redis_arg(&a, TG_STR("INFO"));
        tg_redis_arg(&a, TG_STR("server"));
        send(t, &a);
    }
}

static void on_lost(struct tg_redis_link *k, void *arg)
{
    (void)k;
    lose(arg, "tail connection");
}

enum tg_rc tg_redis_tail_open(const struct tg_redis_tail_opts *opts,
                              struct tg_redis_tail **ret_tail)
{
    struct tg_redis_tail *t = TG_NEW(struct tg_redis_tail);
    const struct tg_redis_link_handler h = {.on_up = on_up, .on_lost = on_lost, .arg = t};

    t->opts = *opts;
    t->at = opts->after;
    if (tg_redis_link_open(opts->loop, &opts->address, &h, &t->link) != TG_OK) {
        free(t);
        return TG_ESTORE;
    }
    tg_timer_init(&t->deadline, on_deadline);
    tg_loop_timer_start(opts->loop, &t->deadline, opts->timeout);
    *ret_tail = t;
    return TG_OK;
}

static void free_tail(void *arg)
{
    struct tg_redis_tail *t = arg;

    tg_arena_drop(&t->texts);
    free(t);
}

void tg_redis_tail_close(struct tg_redis_tail *t)
{
    if (t == NULL || t->is_closed) {
        return;
    }
    t->is_closed = true;
    tg_loop_timer_stop(t->opts.loop, &t->deadline);
    tg_redis_link_close(t->link);
    tg_loop_defer(t->opts.loop, free_tail, t);
}
