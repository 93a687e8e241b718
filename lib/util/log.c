/* log.c - builds a line on the stack and writes it at once. A line over the limit is cut. */
#include "util/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"

enum { MAX_LINE = 4096 };

static int sink_fd = 2;
static atomic_int least_level = TG_LOG_INFO;
static _Thread_local const char *thread_name = "main";

struct line {
    char p[MAX_LINE];
    size_t n;
};

void tg_log_init(int fd, enum tg_log_level least)
{
    sink_fd = fd;
    tg_log_set_level(least);
}

void tg_log_set_level(enum tg_log_level least)
{
    atomic_store_explicit(&least_level, (int)least, memory_order_relaxed);
}

bool tg_log_is_on(enum tg_log_level level)
{
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

void tg_log_thread(const char *name)
{
    thread_name = name;
}

/* One place is kept for the newline. */
static void put(struct line *l, const char *p, size_t n)
{
    size_t room = MAX_LINE - 1 - l->n;

    n = TG_MIN(n, room);
    /* The line is filled from its start; what lies behind n is never read. */
    /* cppcheck-suppress uninitvar */
    memcpy(l->p + l->n, p, n);
    l->n += n;
}

static void put_cstr(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

static bool is_plain(tg_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c <= 0x20 || c >= 0x7F || c == '"' || c == '=' || c == '\\') {
            return false;
        }
    }
    return s.n != 0;
}

static void put_text(struct line *l, tg_str s)
{
    static const char hex[] = "0123456789abcdef";

    if (is_plain(s)) {
        put(l, s.p, s.n);
        return;
    }
    put(l, "\"", 1);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c == '"' || c == '\\') {
            put(l, (char[2]){'\\', (char)c}, 2);
        } else if (c < 0x20 || c >= 0x7F) {
            put(l, (char[4]){'\\', 'x', hex[c >> 4U], hex[c & 15U]}, 4);
        } else {
            put(l, &s.p[i], 1);
        }
    }
    put(l, "\"", 1);
}

static void put_time(struct line *l)
{
    tg_usec now = tg_clock_wall_us();
    time_t seconds = (time_t)(now / 1000000U);
    char text[64];
    struct tm tm = {0};
    size_t n = 0;

    (void)gmtime_r(&seconds, &tm);
    n = strftime(text, sizeof(text), "ts=%Y-%m-%dT%H:%M:%S", &tm);
    put(l, text, n);
    n = (size_t)snprintf(text, sizeof(text), ".%03uZ", (unsigned)(now / 1000U % 1000U));
    put(l, text, n);
}

void tg_log_write(enum tg_log_level level, const char *event, const struct tg_log_field *fields,
                  size_t n)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    struct line l;
    ssize_t written = 0;

    if (!tg_log_is_on(level)) {
        return;
    }
    l.n = 0;
    put_time(&l);
    put_cstr(&l, " level=");
    put_cstr(&l, names[level]);
    put_cstr(&l, " event=");
    put_cstr(&l, event);
    put_cstr(&l, " thread=");
    put_cstr(&l, thread_name);
    for (size_t i = 0; i < n; i++) {
        char number[24];

        put(&l, " ", 1);
        put_cstr(&l, fields[i].key);
        put(&l, "=", 1);
        if (fields[i].is_text) {
            put_text(&l, fields[i].value);
        } else {
            put(&l, number,
                (size_t)snprintf(number, sizeof(number), "%lld", (long long)fields[i].number));
        }
    }
    l.p[l.n++] = '\n';
    written = write(sink_fd, l.p, l.n);
    (void)written; /* nobody to tell when the log itself cannot be written */
}

int64_t tg_log_limit_pass(struct tg_log_limit *l, uint32_t per_minute)
{
    uint64_t minute = tg_clock_mono_us() / TG_SEC(60);
    int64_t missed = 0;

    if (minute != l->minute) {
        l->minute = minute;
        l->n = 0;
    }
    if (l->n >= per_minute) {
        l->missed++;
        return -1;
    }
    l->n++;
    missed = l->missed;
    l->missed = 0;
    return missed;
}
