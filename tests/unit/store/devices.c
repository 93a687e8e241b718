/* devices.c - one device operation after the other. */
#include "store/devices.h"

#include <stdio.h>

void ask_for(struct asking *a, struct fixture *f, struct said *said, const char *user,
             const char *device)
{
    *a = (struct asking){.f = f,
                         .said = said,
                         .want = {.user = tg_str_of(user),
                                  .device = tg_str_of(device),
                                  .max_devices = 100,
                                  .max_topics = 100,
                                  .ttl = TG_SEC(3600)}};
    a->want.topics = a->topics;
}

void with_topic(struct asking *a, const char *topic)
{
    a->topics[a->want.n_topics++] = (struct tg_device_topic){.name = tg_str_of(topic)};
}

void with_cursor(struct asking *a, const char *topic, struct tg_pos pos)
{
    a->topics[a->want.n_topics++] = (struct tg_device_topic){
        .name = tg_str_of(topic), .has_cursor = true, .epoch = a->f->epoch, .pos = pos};
}

static void copy_text(char *out, size_t max, tg_str text)
{
    cr_assert_lt(text.n, max);
    if (text.n != 0) {
        memcpy(out, text.p, text.n);
    }
    out[text.n] = '\0';
}

static void keep(struct seen_device *to, const struct tg_device *d)
{
    *to = (struct seen_device){.limit = d->limit,
                               .is_new = d->is_new,
                               .created_ms = d->created_ms,
                               .seen_ms = d->seen_ms,
                               .expires_ms = d->expires_ms,
                               .n_topics = d->n_topics};
    copy_text(to->id, sizeof(to->id), d->id);
    copy_text(to->label, sizeof(to->label), d->label);
    for (size_t i = 0; d->topics != NULL && i < d->n_topics; i++) {
        copy_text(to->topics[i].name, sizeof(to->topics[i].name), d->topics[i].name);
        if (d->topics[i].has_cursor) {
            (void)tg_cursor_format(&d->topics[i].epoch, d->topics[i].pos, to->topics[i].cursor);
        }
        to->topics[i].ack = d->topics[i].ack;
    }
}

static void finish(struct asking *a, enum tg_rc rc)
{
    cr_assert(!a->f->is_done, "a done came twice");
    a->f->rc = rc;
    a->f->is_done = true;
    tg_loop_stop(a->f->loop);
}

static void on_device(enum tg_rc rc, const struct tg_device *d, void *arg)
{
    struct asking *a = arg;

    cr_assert_eq(d != NULL, rc == TG_OK || rc == TG_ELIMIT);
    a->said->device = (struct seen_device){0};
    if (d != NULL) {
        keep(&a->said->device, d);
    }
    finish(a, rc);
}

static void on_ack(enum tg_rc rc, const enum tg_ack *acks, size_t n, void *arg)
{
    struct asking *a = arg;

    a->said->n_acks = n;
    for (size_t i = 0; i < n; i++) {
        a->said->acks[i] = acks[i];
    }
    finish(a, rc);
}

static void on_list(enum tg_rc rc, const struct tg_device *devices, size_t n, size_t n_all,
                    void *arg)
{
    struct asking *a = arg;

    cr_assert_leq(n, MAX_SEEN_DEVICES);
    a->said->n_listed = n;
    a->said->n_all = n_all;
    for (size_t i = 0; i < n; i++) {
        cr_assert_null(devices[i].topics);
        keep(&a->said->listed[i], &devices[i]);
    }
    finish(a, rc);
}

static void on_deleted(enum tg_rc rc, void *arg)
{
    finish(arg, rc);
}

static bool is_done(struct fixture *f)
{
    return f->is_done;
}

static enum tg_rc settle(struct asking *a, enum tg_rc rc)
{
    if (rc != TG_OK) {
        return rc;
    }
    run_until(a->f, is_done);
    return a->f->rc;
}

enum tg_rc touch(struct asking *a)
{
    a->f->is_done = false;
    return settle(a, tg_store_device_touch(a->f->store, &a->want, on_device, a));
}

enum tg_rc ack(struct asking *a)
{
    const struct tg_device_acks acks = {.user = a->want.user,
                                        .device = a->want.device,
                                        .topics = a->want.topics,
                                        .n_topics = a->want.n_topics,
                                        .ttl = a->want.ttl};

    a->f->is_done = false;
    return settle(a, tg_store_device_ack(a->f->store, &acks, on_ack, a));
}

enum tg_rc get(struct asking *a)
{
    a->f->is_done = false;
    return settle(a, tg_store_device_get(a->f->store, a->want.user, a->want.device, on_device, a));
}

enum tg_rc list(struct asking *a, unsigned max)
{
    a->f->is_done = false;
    return settle(a, tg_store_device_list(a->f->store, a->want.user, max, on_list, a));
}

enum tg_rc forget(struct asking *a)
{
    a->f->is_done = false;
    return settle(a,
                  tg_store_device_delete(a->f->store, a->want.user, a->want.device, on_deleted, a));
}

const struct seen_topic *topic_of(const struct said *said, const char *topic)
{
    for (size_t i = 0; i < said->device.n_topics; i++) {
        if (strcmp(said->device.topics[i].name, topic) == 0) {
            return &said->device.topics[i];
        }
    }
    return NULL;
}
