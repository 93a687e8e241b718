/* base.h - what every file may use: assertions, allocation, cleanup, lists.
 *
 * Assertions state what the program itself guarantees and stay in release
 * builds. Nothing that a peer, a file or the network can cause is asserted. */
#ifndef TG_UTIL_BASE_H
#define TG_UTIL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TG_MUST_USE __attribute__((warn_unused_result))
#define TG_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define TG_NORETURN __attribute__((noreturn))
#define TG_CLEANUP(fn) __attribute__((cleanup(fn)))
#define TG_UNUSED __attribute__((unused))

#define TG_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define TG_MIN(a, b) ((a) < (b) ? (a) : (b))
#define TG_MAX(a, b) ((a) > (b) ? (a) : (b))
#define TG_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* A bug of ours ends the process, with the place on standard error. */
TG_NORETURN void tg_panic(const char *file, int line, const char *what);

#define TG_ASSERT(cond) ((cond) ? (void)0 : tg_panic(__FILE__, __LINE__, #cond))
#define TG_UNREACHABLE() tg_panic(__FILE__, __LINE__, "unreachable")

/* Objects that come back through a library's `void *` begin with `unsigned magic`. */
#define TG_CHECK(p, m) TG_ASSERT((p) != NULL && (p)->magic == (m))

/* Zeroed memory; the process ends when there is none. free() releases it. */
void *tg_calloc(size_t n, size_t size) __attribute__((malloc, alloc_size(1, 2), returns_nonnull));
void *tg_malloc(size_t size) __attribute__((malloc, alloc_size(1), returns_nonnull));
void *tg_realloc(void *p, size_t n, size_t size) __attribute__((alloc_size(2, 3)));
void *tg_memdup(const void *p, size_t n) __attribute__((malloc, alloc_size(2)));
char *tg_strdup(const char *s) __attribute__((malloc, returns_nonnull));
#define TG_NEW(type) ((type *)tg_calloc(1, sizeof(type)))

/* Intrusive doubly linked list with a sentinel. A node that is on no list points to itself. */
struct tg_list {
    struct tg_list *prev;
    struct tg_list *next;
};

static inline void tg_list_init(struct tg_list *l)
{
    l->prev = l;
    l->next = l;
}

static inline bool tg_list_empty(const struct tg_list *l)
{
    return l->next == l;
}

/* Before `head` is the end of its list. */
static inline void tg_list_append(struct tg_list *head, struct tg_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void tg_list_remove(struct tg_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    tg_list_init(node);
}

#endif
