/* racing_fault.c - races on purpose: part tsan must find the report, or it finds none ever. */
#include <pthread.h>
#include <stdlib.h>

static long counter;

static void *count(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100000; i++) {
        counter++;
    }
    return NULL;
}

int main(void)
{
    pthread_t other;

    if (pthread_create(&other, NULL, count, NULL) != 0) {
        return 1;
    }
    (void)count(NULL);
    (void)pthread_join(other, NULL);
    return counter == 0;
}
