/* pool.h - memory of one size that comes back, and the bytes of one direction of a connection. */
#ifndef TG_HTTP1_POOL_H
#define TG_HTTP1_POOL_H

#include "util/str.h"

/* Pieces of one size; at most `max_kept` wait for the next user, the rest is freed. */
struct tg_pool {
    void *first;
    size_t n_kept;
    size_t max_kept;
    size_t size;
};

void tg_pool_init(struct tg_pool *p, size_t size, size_t max_kept);
void tg_pool_fini(struct tg_pool *p);
/* Not zeroed. */
void *tg_pool_get(struct tg_pool *p);
void tg_pool_put(struct tg_pool *p, void *piece);

/* p[off..off+n) waits. cap 0: the bytes are somebody else's (read-only here), else owned. Less
 * than 4 GiB: two of them are in every connection. */
struct tg_iobuf {
    char *p;
    size_t n;
    uint32_t off;
    uint32_t cap;
};

static inline tg_str tg_iobuf_view(const struct tg_iobuf *b)
{
    return b->n == 0 ? TG_STR_NONE : tg_str_make(b->p + b->off, b->n);
}

/* Room for `n` more bytes behind the content, which becomes owned. The caller adds to b->n. */
char *tg_iobuf_room(struct tg_pool *pool, struct tg_iobuf *b, size_t n);
size_t tg_iobuf_space(const struct tg_iobuf *b);
void tg_iobuf_append(struct tg_pool *pool, struct tg_iobuf *b, tg_str s);
void tg_iobuf_skip(struct tg_iobuf *b, size_t n);
/* Gives the memory back. */
void tg_iobuf_drop(struct tg_pool *pool, struct tg_iobuf *b);

#endif
