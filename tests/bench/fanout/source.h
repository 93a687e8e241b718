/* source.h - a Realtime server with one feed: it grants every join and sends the changes that
 * the benchmark asks for. Anything but a WebSocket is answered 404. */
#ifndef TG_BENCH_SOURCE_H
#define TG_BENCH_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source;

struct source *source_open(int epoll, uint16_t port);
/* A channel has been joined. */
bool source_is_joined(const struct source *s);
/* Sends `n` times the same change, in one write. `record` is the row's JSON. */
void source_publish(struct source *s, const char *record, unsigned n);

/* What a subscriber gets as `data:` for such a change, but for the topic. */
#define SOURCE_EVENT_FORMAT                                                                        \
    "\"type\":\"INSERT\",\"schema\":\"public\",\"table\":\"bench\","                               \
    "\"commit_timestamp\":\"2026-01-01T00:00:00.000Z\",\"record\":%s"

#endif
