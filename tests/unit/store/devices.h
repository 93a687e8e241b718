/* devices.h - device operations of a fixture, one by one, and what they said. */
#ifndef TG_TESTS_STORE_DEVICES_H
#define TG_TESTS_STORE_DEVICES_H

#include "store/device.h"
#include "store/fixture.h"

enum { MAX_SEEN_DEVICES = 64 };

struct seen_topic {
    char name[64];
    char cursor[TG_CURSOR_MAX + 1]; /* "": none */
    enum tg_ack ack;
};

struct seen_device {
    char id[TG_DEVICE_MAX + 1];
    char label[TG_LABEL_MAX + 1];
    enum tg_device_limit limit;
    bool is_new;
    uint64_t created_ms, seen_ms, expires_ms;
    size_t n_topics;
    struct seen_topic topics[TG_DEVICE_TOPICS_MAX];
};

/* What the last operation said. */
struct said {
    struct seen_device device;
    size_t n_acks;
    enum tg_ack acks[TG_DEVICE_TOPICS_MAX];
    size_t n_listed, n_all;
    struct seen_device listed[MAX_SEEN_DEVICES];
};

/* An operation in the making; of the log that the fixture knows. */
struct asking {
    struct fixture *f;
    struct said *said;
    struct tg_device_want want;
    struct tg_device_topic topics[TG_DEVICE_TOPICS_MAX + 1];
};

/* Caps that are not met, a lifetime of an hour, no topics. */
void ask_for(struct asking *a, struct fixture *f, struct said *said, const char *user,
             const char *device);
void with_topic(struct asking *a, const char *topic);
void with_cursor(struct asking *a, const char *topic, struct tg_pos pos);

enum tg_rc touch(struct asking *a);
enum tg_rc ack(struct asking *a);
enum tg_rc get(struct asking *a);
enum tg_rc list(struct asking *a, unsigned max);
enum tg_rc forget(struct asking *a);

/* Of said->device; NULL: it does not have it. */
const struct seen_topic *topic_of(const struct said *said, const char *topic);

#endif
