/* measure.h - what the benchmark programs share: sockets, the clock, another process's use. */
#ifndef TG_BENCH_MEASURE_H
#define TG_BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>

/* A descriptor in the program's one level-triggered epoll set. First member of its owner. */
struct watch {
    int fd;
    void (*on_ready)(struct watch *w, uint32_t events);
};

/* All of these end the program with a sentence when the system refuses. */
void watch_add(int epoll, struct watch *w, uint32_t events);
void watch_change(int epoll, struct watch *w, uint32_t events);
/* Handles one batch of events, waiting at most `timeout_ms`. Returns their number. */
int watch_turn(int epoll, int timeout_ms);

/* Non-blocking sockets of 127.0.0.1, without Nagle's delay. */
int listen_local(uint16_t port);
int connect_local(uint16_t port);
/* Sends all of it, waiting where the socket is full. */
void send_all(int fd, const void *p, size_t n);

void sort_u64(uint64_t *values, size_t n);
uint64_t now_ns(void);
/* CPU time of all threads of a process, in nanoseconds. */
uint64_t cpu_ns(int pid);
/* Anonymous resident memory of a process, in bytes. */
uint64_t rss_bytes(int pid);

_Noreturn void fail(const char *what);

#endif
