/* feed_verify.c - what changes while a table is read, and whether something was lost without a
 * sign.
 *
 * From time to time, and after a burst (near the rate at which Realtime drops changes), the table
 * is compared with the index. A row that differs may have a change on its way: what still differs
 * when that must have come was lost. */
#include "realtime/rows.h"
#include "util/json.h"
#include "util/log.h"

enum {
    MAX_TOUCHED = 200000,
    MAX_SUSPECTS = 10000,
    BURST_CHANGES = 100, /* in a second */
};

/* A change that was committed before the read is here by then. */
#define SETTLE TG_SEC(5)
#define BURST TG_SEC(1)

/* ---- what changes meanwhile ---- */

enum tg_rc rows_change_pk(const struct rows *r, tg_str payload, struct tg_buf *out)
{
    tg_str data = TG_STR_NONE;
    tg_str record = TG_STR_NONE;

    if (tg_json_member(payload, "data", &data) != TG_OK ||
        (tg_json_member(data, "record", &record) != TG_OK &&
         tg_json_member(data, "old_record", &record) != TG_OK)) {
        return TG_EBADJSON;
    }
    return tg_row_pk(r->opts.table, record, out);
}

bool rows_change_old_pk(const struct rows *r, tg_str payload, tg_str pk, struct tg_buf *out)
{
    tg_str data = TG_STR_NONE;
    tg_str record = TG_STR_NONE;

    return tg_json_member(payload, "data", &data) == TG_OK &&
           tg_json_member(data, "old_record", &record) == TG_OK &&
           tg_row_pk(r->opts.table, record, out) == TG_OK && !tg_str_eq(tg_buf_view(out), pk);
}

bool verify_is_touched(const struct rows *r, tg_str pk)
{
    return tg_map_find(&r->touched, pk) != NULL;
}

/* ---- when ---- */

static void verify_in(struct rows *r, tg_usec after)
{
    if (rows_are_stored(r) && !r->is_partial && r->feed->hub->opts.verify != 0) {
        tg_loop_timer_start(r->feed->hub->loop, &r->timer, after);
    }
}

/* Half to whole of the interval: not all feeds at once. */
void verify_later(struct rows *r)
{
    tg_usec interval = r->feed->hub->opts.verify;
    tg_usec now = tg_clock_mono_us();
    uint64_t random = tg_hash(tg_str_make((const char *)&now, sizeof(now)));

    r->is_burst = r->is_doubtful;
    r->is_doubtful = false;
    verify_in(r, r->is_burst ? SETTLE : interval / 2 + random % (interval / 2 + 1));
}

bool verify_soon(struct rows *r)
{
    if (!rows_are_repaired(r) || r->feed->hub->opts.verify == 0 || r->fill != FILL_WHOLE) {
        return false;
    }
    if (r->reader != NULL || r->suspects.n > 0) {
        r->is_doubtful = true; /* once more when that is over */
    } else {
        r->is_burst = true;
        verify_in(r, SETTLE);
    }
    return true;
}

static void verify_stop(struct rows *r)
{
    tg_reader_cancel(r->reader);
    r->reader = NULL;
    r->is_verify = false;
    rows_forget_keys(&r->touched);
    rows_forget_keys(&r->suspects);
    verify_later(r);
}

static void count_burst(struct rows *r)
{
    tg_usec now = tg_loop_now(r->feed->hub->loop);

    if (now - r->burst_since >= BURST) {
        r->burst_since = now;
        r->n_burst = 0;
    }
    if (++r->n_burst == BURST_CHANGES && !r->is_burst && r->fill == FILL_WHOLE &&
        r->reader == NULL && r->suspects.n == 0) {
        r->is_burst = true; /* one, also if it goes on */
        verify_in(r, SETTLE);
    }
}

void verify_touch(struct rows *r, tg_str payload)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf pk = {.max = ROWS_PK_BYTES};
    TG_CLEANUP(tg_buf_fini) struct tg_buf old = {.max = ROWS_PK_BYTES};

    if (rows_change_pk(r, payload, &pk) == TG_OK && r->touched.n < MAX_TOUCHED) {
        (void)tg_map_put(&r->touched, tg_buf_view(&pk), r);
        if (rows_change_old_pk(r, payload, tg_buf_view(&pk), &old)) {
            (void)tg_map_put(&r->touched, tg_buf_view(&old), r);
        }
        return;
    }
    if (r->fill == FILL_READING) {
        r->is_again = true;
    } else {
        verify_stop(r); /* too much goes on */
    }
}

void verify_change(struct rows *r, tg_str payload)
{
    count_burst(r);
    if (r->fill == FILL_READING || r->reader != NULL || r->suspects.n > 0) {
        verify_touch(r, payload);
    }
}

/* ---- what differs ---- */

void verify_suspect(struct rows *r, tg_str pk)
{
    if (r->suspects.n < MAX_SUSPECTS) {
        (void)tg_map_put(&r->suspects, pk, r);
    }
}

void verify_end(struct rows *r)
{
    r->is_verify = false;
    r->fill = FILL_WHOLE;
    tg_count_add(&r->feed->hub->counts.verifies, 1);
    if (r->suspects.n > 0) {
        tg_loop_timer_start(r->feed->hub->loop, &r->timer, SETTLE);
    } else {
        rows_forget_keys(&r->touched);
        verify_later(r);
    }
}

/* Differences that no change has explained since: something was lost without a sign. */
void verify_judge(struct rows *r)
{
    size_t at = 0;
    size_t n = 0;
    tg_str pk = TG_STR_NONE;
    void *value = NULL;
    bool is_unsure = false;

    while (tg_map_next(&r->suspects, &at, &pk, &value)) {
        n += verify_is_touched(r, pk) ? 0 : 1;
    }
    rows_forget_keys(&r->suspects);
    rows_forget_keys(&r->touched);
    if (n == 0) {
        verify_later(r);
        return;
    }
    tg_count_add(&r->feed->hub->counts.verify_differences, n);
    /* Of a class: a policy may show it other rows than before. */
    tg_log_limited(r->opts.is_strict ? TG_LOG_INFO : TG_LOG_WARN, "verify_differs", 60,
                   TG_KS("feed", feed_logged_topic(r->feed)), TG_KN("rows", n));
    is_unsure = r->is_unsure;
    rows_lost(r, "verify");
    r->is_unsure = is_unsure; /* upstream was there all the time */
}
