/* leaking_fault.c - leaks on purpose: part asan must find the report, or it finds none ever. */
#include <stdlib.h>

static void leak(size_t n)
{
    char *p = malloc(n);

    if (p == NULL) {
        abort();
    }
    p[0] = 'x';
}

int main(int argc, char **argv)
{
    (void)argv;
    leak(1000U * (size_t)argc);
    return 0;
}
