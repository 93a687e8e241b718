/* pool.c - a free list, and buffers that live on it while they are of its size. */
#include "http1/pool.h"

#include <stdlib.h>

struct piece {
    struct piece *next;
};

void tg_pool_init(struct tg_pool *p, size_t size, size_t max_kept)
{
    TG_ASSERT(size >= sizeof(struct piece));
    *p = (struct tg_pool){.size = size, .max_kept = max_kept};
}

void tg_pool_fini(struct tg_pool *p)
{
    while (p->first != NULL) {
        struct piece *piece = p->first;

        p->first = piece->next;
        free(piece);
    }
    p->n_kept = 0;
}

void *tg_pool_get(struct tg_pool *p)
{
    struct piece *piece = p->first;

    if (piece == NULL) {
        return tg_malloc(p->size);
    }
    p->first = piece->next;
    p->n_kept--;
    return piece;
}

void tg_pool_put(struct tg_pool *p, void *piece)
{
    struct piece *first = piece;

    if (first == NULL) {
        return;
    }
    if (p->n_kept == p->max_kept) {
        free(piece);
        return;
    }
    first->next = p->first;
    p->first = first;
    p->n_kept++;
}

static void give_back(struct tg_pool *pool, char *p, size_t cap)
{
    if (cap == pool->size) {
        tg_pool_put(pool, p);
    } else if (cap != 0) {
        free(p);
    }
}

size_t tg_iobuf_space(const struct tg_iobuf *b)
{
    return b->cap == 0 ? 0 : b->cap - b->off - b->n;
}

char *tg_iobuf_room(struct tg_pool *pool, struct tg_iobuf *b, size_t n)
{
    size_t need = 0;
    size_t cap = b->cap;
    char *p = NULL;

    TG_ASSERT(!__builtin_add_overflow(b->n, n, &need));
    if (cap != 0 && tg_iobuf_space(b) >= n) {
        return b->p + b->off + b->n;
    }
    if (cap != 0 && need <= cap) {
        memmove(b->p, b->p + b->off, b->n);
        b->off = 0;
        return b->p + b->n;
    }
    cap = TG_MAX(cap, pool->size);
    while (cap < need) {
        TG_ASSERT(!__builtin_mul_overflow(cap, (size_t)2, &cap));
    }
    p = cap == pool->size ? tg_pool_get(pool) : tg_malloc(cap);
    if (b->n != 0) {
        memcpy(p, b->p + b->off, b->n);
    }
    give_back(pool, b->p, b->cap);
    TG_ASSERT(cap <= UINT32_MAX);
    *b = (struct tg_iobuf){.p = p, .n = b->n, .cap = (uint32_t)cap};
    return p + b->n;
}

void tg_iobuf_append(struct tg_pool *pool, struct tg_iobuf *b, tg_str s)
{
    if (s.n != 0) {
        memcpy(tg_iobuf_room(pool, b, s.n), s.p, s.n);
        b->n += s.n;
    }
}

void tg_iobuf_skip(struct tg_iobuf *b, size_t n)
{
    TG_ASSERT(n <= b->n);
    b->off += (uint32_t)n;
    b->n -= n;
}

void tg_iobuf_drop(struct tg_pool *pool, struct tg_iobuf *b)
{
    give_back(pool, b->p, b->cap);
    *b = (struct tg_iobuf){0};
}
