/* log.h - one logfmt line per event, written by one write(), so threads never mix.
 *
 *   ts=2026-11-22T14:48:27.176Z level=info event=listen worker=0 address="127.0.0.1:8080"
 *
 * `event` is a fixed word, documented in docs/LOGGING.md. Values are escaped. Never
 * pass tokens, keys, payloads or whole e-mail addresses. */
#ifndef TG_UTIL_LOG_H
#define TG_UTIL_LOG_H

#include "util/str.h"

enum tg_log_level { TG_LOG_DEBUG, TG_LOG_INFO, TG_LOG_WARN, TG_LOG_ERROR };

/* Before the threads start. Lines go to `fd` (2 unless set). */
void tg_log_init(int fd, enum tg_log_level least);

/* Any thread, at any time; other threads notice with one of their next lines. */
void tg_log_set_level(enum tg_log_level least);
bool tg_log_is_on(enum tg_log_level level);

/* Names the calling thread in its lines: "0", "hub", "link". [borrowed] for ever. */
void tg_log_thread(const char *name);

/* One field of a line. */
struct tg_log_field {
    const char *key;
    tg_str value;   /* used when `is_text` */
    int64_t number; /* otherwise */
    bool is_text;
};

#define TG_KS(k, s) ((struct tg_log_field){.key = (k), .value = (s), .is_text = true})
#define TG_KZ(k, cstr)                                                                             \
    ((struct tg_log_field){.key = (k), .value = tg_str_of(cstr), .is_text = true})
#define TG_KN(k, n) ((struct tg_log_field){.key = (k), .number = (int64_t)(n)})

/* Any thread. tg_log(TG_LOG_INFO, "listen", TG_KZ("address", a), TG_KN("port", p)); */
#define tg_log(level, event, ...)                                                                  \
    tg_log_write((level), (event), (const struct tg_log_field[]){__VA_ARGS__},                     \
                 sizeof((const struct tg_log_field[]){__VA_ARGS__}) / sizeof(struct tg_log_field))

void tg_log_write(enum tg_log_level level, const char *event, const struct tg_log_field *fields,
                  size_t n);

/* Lines that a failing peer could repeat: at most `per_minute` of one `event` a minute
 * and thread, then one with suppressed=<n>. */
#define tg_log_limited(level, event, per_minute, ...)                                              \
    do {                                                                                           \
        static _Thread_local struct tg_log_limit tg_limit_;                                        \
        int64_t tg_missed_ = tg_log_limit_pass(&tg_limit_, (per_minute));                          \
        if (tg_missed_ >= 0) {                                                                     \
            tg_log((level), (event), __VA_ARGS__, TG_KN("suppressed", tg_missed_));                \
        }                                                                                          \
    } while (0)

struct tg_log_limit {
    uint64_t minute;
    uint32_t n;
    uint32_t missed;
};

/* -1: stay silent. Otherwise write, and so many were left out before. */
int64_t tg_log_limit_pass(struct tg_log_limit *l, uint32_t per_minute);

#endif
