/* device_touch.h - the store hears of a device and of the topics that it follows, and tells where
 * each begins (DESIGN.md 4).
 *
 * A cursor that the client brought is acknowledged. Without one a topic begins where this device
 * has acknowledged it, and now where it has not; where that was is kept as if acknowledged, so that
 * a device which never says anything misses nothing when it comes back. */
#ifndef TG_HANDLERS_DEVICE_TOUCH_H
#define TG_HANDLERS_DEVICE_TOUCH_H

#include "handlers/worker.h"

enum { TG_DEVICE_NEW_CHARS = 40 };

struct tg_device_ask {
    tg_str user; /* a user's id, or "anon" */
    tg_str device;
    tg_str label;                 /* empty: as it was */
    struct tg_stream_want *wants; /* [borrowed] until done or canceled */
    size_t n_wants;
    bool has_cursor; /* the wants say where to begin; else the answer writes it into them */
    bool is_new;     /* issued just now: an anonymous one must exist otherwise */
};

struct tg_device_touch;

/* TG_OK; TG_EDEVICES, TG_EANONDEVICES, TG_EDEVICETOPICS: a cap; TG_ENOTFOUND: an anonymous device
 * that was never issued or is forgotten; TG_ESTORE and what the store says. */
typedef void tg_device_touch_fn(enum tg_rc rc, void *arg);

/* TG_OK: `done` follows, never from inside. Texts are borrowed for the call. */
enum tg_rc tg_device_touch(struct tg_worker *w, const struct tg_device_ask *ask,
                           tg_device_touch_fn *done, void *arg,
                           struct tg_device_touch **ret_touch) TG_MUST_USE;
/* `done` does not come any more; the store still hears of the device. NULL is fine. */
void tg_device_touch_cancel(struct tg_device_touch *t);

/* The store hears where topics began that came without a cursor; an answer is not waited for. */
void tg_device_begin(struct tg_worker *w, tg_str user, tg_str device,
                     const struct tg_stream_topic *topics, size_t n);

#define TG_DEVICE_ID_RULE "a device is 1 to 128 characters of A-Z a-z 0-9 . _ : ~ -"
bool tg_device_is_id(tg_str id);
/* The last part of /sync/v1/devices/<id>, in the request's arena. TG_EBADPARAM. */
struct tg_exchange;
enum tg_rc tg_device_id_of_path(struct tg_exchange *x, tg_str *ret_id) TG_MUST_USE;
/* A new one, which nobody can guess (160 random bits). Writes a NUL behind it. */
void tg_device_make_id(char out[TG_DEVICE_NEW_CHARS + 1]);

#endif
