/* base.c - allocation that cannot fail, and the end of a process with a bug. */
#include "util/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tg_panic(const char *file, int line, const char *what)
{
    (void)fprintf(stderr, "tidegate: bug at %s:%d: %s\n", file, line, what);
    abort();
}

static void *or_die(void *p)
{
    if (p == NULL) {
        (void)fputs("tidegate: out of memory\n", stderr);
        abort();
    }
    return p;
}

void *tg_calloc(size_t n, size_t size)
{
    return or_die(calloc(n == 0 ? 1 : n, size == 0 ? 1 : size));
}

void *tg_malloc(size_t size)
{
    return or_die(malloc(size == 0 ? 1 : size));
}

void *tg_realloc(void *p, size_t n, size_t size)
{
    return or_die(reallocarray(p, n == 0 ? 1 : n, size == 0 ? 1 : size));
}

void *tg_memdup(const void *p, size_t n)
{
    void *copy = tg_malloc(n);

    if (n != 0) {
        memcpy(copy, p, n);
    }
    return copy;
}

char *tg_strdup(const char *s)
{
    return tg_memdup(s, strlen(s) + 1);
}
