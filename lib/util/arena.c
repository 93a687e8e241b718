/* arena.c - bump allocation in blocks. A request larger than a block gets its own. */
#include "util/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

enum { BLOCK_BYTES = 4096 };

struct tg_arena_block {
    struct tg_arena_block *next;
    alignas(max_align_t) char bytes[];
};

static char *new_block(struct tg_arena *a, size_t n)
{
    struct tg_arena_block *b = tg_malloc(sizeof(*b) + n);

    b->next = a->blocks;
    a->blocks = b;
    return b->bytes;
}

void tg_arena_lend(struct tg_arena *a, char *p, size_t n)
{
    const size_t align = alignof(max_align_t);
    const size_t skip = (align - (uintptr_t)p % align) % align;

    TG_ASSERT(a->blocks == NULL && a->next == NULL);
#ifdef TG_SANITIZED
    n = 0; /* what is freed instead is watched: no use of it behind the drop goes unseen */
#endif
    if (n > skip) {
        a->next = p + skip;
        a->left = (n - skip) & ~(align - 1);
    }
}

void *tg_arena_alloc(struct tg_arena *a, size_t n)
{
    const size_t align = alignof(max_align_t);
    size_t need = 0;
    void *p = NULL;

    /* Even an empty piece has a place: it is never NULL. */
    n = n == 0 ? 1 : n;
    TG_ASSERT(!__builtin_add_overflow(n, align - 1, &need));
    need &= ~(align - 1);
    if (need > a->left && need > BLOCK_BYTES / 4) {
        return memset(new_block(a, need), 0, need);
    }
    if (need > a->left) {
        a->next = new_block(a, BLOCK_BYTES);
        a->left = BLOCK_BYTES;
    }
    p = a->next;
    a->next += need;
    a->left -= need;
    return memset(p, 0, need); /* a block is seldom used up: only what is given out is cleared */
}

tg_str tg_arena_str(struct tg_arena *a, tg_str s)
{
    return tg_str_make(tg_arena_cstr(a, s), s.n);
}

char *tg_arena_cstr(struct tg_arena *a, tg_str s)
{
    char *copy = tg_arena_alloc(a, s.n + 1);

    if (s.n != 0) {
        memcpy(copy, s.p, s.n);
    }
    return copy;
}

void tg_arena_drop(struct tg_arena *a)
{
    struct tg_arena_block *b = a->blocks;

    while (b != NULL) {
        struct tg_arena_block *next = b->next;

        free(b);
        b = next;
    }
    *a = (struct tg_arena){0};
}
