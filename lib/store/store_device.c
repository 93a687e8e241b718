/* store_device.c - the doors of device.h: checks, then as store.c. */
#include "store/backend.h"

static bool is_name(tg_str name, size_t max)
{
    return name.n > 0 && name.n <= max;
}

static bool is_device(tg_str user, tg_str device)
{
    return is_name(user, TG_USER_MAX) && is_name(device, TG_DEVICE_MAX);
}

static bool are_topics(const struct tg_device_topic *topics, size_t n)
{
    if (n > TG_DEVICE_TOPICS_MAX) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_name(topics[i].name, TG_NAME_MAX)) {
            return false;
        }
    }
    return true;
}

enum tg_rc tg_store_device_touch(struct tg_store *s, const struct tg_device_want *want,
                                 tg_device_fn *done, void *arg)
{
    const union tg_done end = {.device = done};
    const struct tg_ask ask = {.verb = TG_VERB_DEVICE_TOUCH,
                               .user = want->user,
                               .device = want->device,
                               .label = want->label,
                               .topics = want->topics,
                               .n_topics = want->n_topics,
                               .max_devices = want->max_devices,
                               .max_topics =
                                   TG_MIN(want->max_topics, (unsigned)TG_DEVICE_TOPICS_MAX),
                               .ttl = want->ttl,
                               .must_exist = want->must_exist};

    if (!is_device(want->user, want->device) || want->label.n > TG_LABEL_MAX ||
        want->ttl < TG_MS(1) || !are_topics(want->topics, want->n_topics)) {
        return TG_EBADPARAM;
    }
    return tg_store_start(s, &ask, end, arg);
}

enum tg_rc tg_store_device_ack(struct tg_store *s, const struct tg_device_acks *acks,
                               tg_ack_fn *done, void *arg)
{
    const union tg_done end = {.ack = done};
    const struct tg_ask ask = {.verb = TG_VERB_DEVICE_ACK,
                               .user = acks->user,
                               .device = acks->device,
                               .topics = acks->topics,
                               .n_topics = acks->n_topics,
                               .ttl = acks->ttl};

    if (!is_device(acks->user, acks->device) || acks->ttl < TG_MS(1) ||
        !are_topics(acks->topics, acks->n_topics)) {
        return TG_EBADPARAM;
    }
    return tg_store_start(s, &ask, end, arg);
}

enum tg_rc tg_store_device_get(struct tg_store *s, tg_str user, tg_str device, tg_device_fn *done,
                               void *arg)
{
    const union tg_done end = {.device = done};
    const struct tg_ask ask = {.verb = TG_VERB_DEVICE_GET, .user = user, .device = device};

    return is_device(user, device) ? tg_store_start(s, &ask, end, arg) : TG_EBADPARAM;
}

enum tg_rc tg_store_device_list(struct tg_store *s, tg_str user, unsigned max,
                                tg_device_list_fn *done, void *arg)
{
    const union tg_done end = {.devices = done};
    const struct tg_ask ask = {.verb = TG_VERB_DEVICE_LIST,
                               .user = user,
                               .max_entries = TG_MIN(max, (unsigned)TG_DEVICE_LIST_MAX)};

    return is_name(user, TG_USER_MAX) && max > 0 ? tg_store_start(s, &ask, end, arg) : TG_EBADPARAM;
}

enum tg_rc tg_store_device_delete(struct tg_store *s, tg_str user, tg_str device, tg_done_fn *done,
                                  void *arg)
{
    const union tg_done end = {.plain = done};
    const struct tg_ask ask = {.verb = TG_VERB_DEVICE_DELETE, .user = user, .device = device};

    return is_device(user, device) ? tg_store_start(s, &ask, end, arg) : TG_EBADPARAM;
}
