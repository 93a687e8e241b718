/* redis_tail.h - the tail's connection: one XREAD BLOCK after the other. */
#ifndef TG_STORE_REDIS_TAIL_H
#define TG_STORE_REDIS_TAIL_H

#include "store/redis_link.h"
#include "store/redis_text.h"
#include "store/redis_url.h"

struct tg_redis_tail;

struct tg_redis_tail_opts {
    struct tg_loop *loop;
    struct tg_redis_link_address address;
    const struct tg_redis_url *url; /* login */
    tg_str log;                     /* the key */
    const char *run;                /* the server that it must be */
    tg_usec timeout;
    struct tg_pos after;
    /* A log that begins behind here is another one than the handle knows. */
    struct tg_pos known;
    /* `is_new_log`: such a one begins; the tail stands still. After `on_lost` nothing is told. */
    void (*on_batch)(const struct tg_entry *entries, size_t n, struct tg_pos last, bool is_cut,
                     bool is_new_log, void *arg);
    /* Whether the log goes on, as far as is known, behind a read of `n` entries up to `last`. */
    bool (*has_more)(size_t n, struct tg_pos last, void *arg);
    void (*on_lost)(const char *why, void *arg);
    void *arg;
};

/* Texts of `opts` [borrowed] until close. */
enum tg_rc tg_redis_tail_open(const struct tg_redis_tail_opts *opts,
                              struct tg_redis_tail **ret_tail) TG_MUST_USE;
void tg_redis_tail_close(struct tg_redis_tail *t);

#endif
