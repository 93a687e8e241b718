/* arena.h - memory that lives as long as one request or message and is dropped whole. */
#ifndef TG_UTIL_ARENA_H
#define TG_UTIL_ARENA_H

#include "util/str.h"

struct tg_arena_block;

/* Zeroed is a valid empty arena. One thread at a time. */
struct tg_arena {
    struct tg_arena_block *blocks;
    char *next; /* free space of the newest block */
    size_t left;
};

/* Memory to begin with, which stays the caller's: of an arena that is empty. [borrowed] until the
 * arena is dropped. */
void tg_arena_lend(struct tg_arena *a, char *p, size_t n);

/* Zeroed, aligned for any type. Never NULL. */
void *tg_arena_alloc(struct tg_arena *a, size_t n);

/* Copies; the second with a NUL behind it. [borrowed] until the arena is dropped. */
tg_str tg_arena_str(struct tg_arena *a, tg_str s);
char *tg_arena_cstr(struct tg_arena *a, tg_str s);

/* Frees everything; the arena is empty and can be used again. */
void tg_arena_drop(struct tg_arena *a);

#endif
