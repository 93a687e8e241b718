/* test_poll.c - what a poll asks for, and how it is answered from memory. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "handlers/quota.h"
#include "polls.h"

static void has_not(const struct given *g, const char *field)
{
    cr_assert_null(strstr(g->r.conn.fields, field), "%s in\n%s", field, g->r.conn.fields);
}

static void from_memory(uint64_t ms, bool is_resume)
{
    peek_says.rc = TG_OK;
    peek_says.peeked = (struct tg_peeked){.epoch = {"e"}, .pos = {ms, 0}, .is_resume = is_resume};
}

/* Above the cap. */
static void big_event(char *out, size_t room, unsigned ms)
{
    int n = snprintf(out, room, "{\"id\":\"e.%u-0\",\"n\":\"", ms);

    memset(out + n, 'x', 1500);
    (void)snprintf(out + n + 1500, room - (size_t)n - 1500, "\"}");
}

/* ---- from memory ---- */

Test(poll, nothing_new_is_204_with_the_cursor_and_no_body)
{
    struct given g;

    poll_begin(&g, RESUMED);
    from_memory(7, true);
    poll_start(&g);
    poll_answered(&g, 204, "");
    poll_has(&g, "Tidegate-Cursor: e.7-0\n");
    poll_has(&g, "ETag: \"e.7-0\"\n");
    poll_has(&g, "Tidegate-Recovered: true\n");
    poll_has(&g, "Cache-Control: no-store\n");
    poll_has(&g, "Next-Poll: ");
    poll_has(&g, "X-Request-Id: ");
    has_not(&g, "Access-Control");
    has_not(&g, "Content-Type");
    cr_assert_eq(stream_seen.n_opened, 0);
    cr_assert(!g.r.conn.is_parked);
    cr_assert_eq(tg_count_get(&g.fleet.workers[0].counts.polls), 1);
    cr_assert_eq(tg_count_get(&g.fleet.workers[0].counts.polls_at_once), 1);
    poll_finish(&g);
}

Test(poll, who_did_not_resume_is_told_of_no_recovery)
{
    struct given g;

    poll_begin(&g, ONE);
    from_memory(7, false);
    poll_start(&g);
    poll_answered(&g, 204, "");
    has_not(&g, "Tidegate-Recovered");
    poll_finish(&g);
}

Test(poll, news_is_200_with_events_and_cursor)
{
    struct given g;

    poll_begin(&g, RESUMED "&wait=20");
    from_memory(7, true);
    peek_says.messages[0] = "{\"id\":\"e.6-0\",\"n\":1}";
    peek_says.messages[1] = "{\"id\":\"e.7-0\",\"n\":2}";
    poll_start(&g);
    poll_answered(&g, 200,
                  "{\"events\":[{\"id\":\"e.6-0\",\"n\":1},{\"id\":\"e.7-0\",\"n\":2}],"
                  "\"cursor\":\"e.7-0\",\"more\":false}");
    poll_has(&g, "Content-Type: application/json\n");
    has_not(&g, "Next-Poll");
    cr_assert_eq(stream_seen.n_opened, 0);
    poll_finish(&g);
}

Test(poll, what_does_not_fit_is_announced_as_more)
{
    struct given g;

    poll_begin(&g, RESUMED "&limit=1&compact=1");
    from_memory(6, true);
    peek_says.messages[0] = "{\"id\":\"e.6-0\",\"topic\":\"t\",\"n\":1}";
    peek_says.messages[1] = "{\"id\":\"e.7-0\",\"topic\":\"t\",\"n\":2}";
    poll_start(&g);
    poll_answered(&g, 200, "{\"events\":[{\"n\":1}],\"cursor\":\"e.6-0\",\"more\":true}");
    poll_finish(&g);
}

Test(poll, an_event_above_the_cap_comes_alone)
{
    struct given g;
    char big[2048];

    big_event(big, sizeof(big), 6);
    poll_begin(&g, RESUMED);
    from_memory(6, true);
    peek_says.messages[0] = big;
    peek_says.messages[1] = "{\"id\":\"e.7-0\",\"n\":2}";
    poll_start(&g);
    cr_assert_eq(g.r.conn.status, 200);
    cr_assert_not_null(strstr(g.r.conn.body, "x\"}],\"cursor\""));
    cr_assert_not_null(strstr(g.r.conn.body, "\"more\":true}"));
    poll_finish(&g);
}

Test(poll, the_cap_leaves_out_what_would_pass_it)
{
    struct given g;
    char big[2048];

    big_event(big, sizeof(big), 7);
    poll_begin(&g, RESUMED);
    from_memory(6, true);
    peek_says.messages[0] = "{\"n\":1}";
    peek_says.messages[1] = big;
    poll_start(&g);
    poll_answered(&g, 200, "{\"events\":[{\"n\":1}],\"cursor\":\"e.6-0\",\"more\":true}");
    poll_finish(&g);
}

Test(poll, a_repeated_tag_is_304_with_the_same_tag)
{
    struct given g;

    poll_begin(&g, ONE);
    request_field(&g.r, "If-None-Match", "\"e.5-0\"");
    from_memory(7, true);
    peek_says.peeked.lag_ms = 2;
    poll_start(&g);
    poll_answered(&g, 304, "");
    poll_has(&g, "ETag: \"e.5-0\"\n");
    poll_has(&g, "Tidegate-Cursor: e.7-0\n");
    poll_finish(&g);
}

Test(poll, a_tag_that_grows_old_is_given_a_newer_one)
{
    struct given g;

    poll_begin(&g, ONE);
    request_field(&g.r, "If-None-Match", "\"e.5-0\"");
    from_memory(3600 * 1000 + 6, true);
    peek_says.peeked.lag_ms = 3600 * 1000 + 1;
    poll_start(&g);
    poll_answered(&g, 204, "");
    poll_has(&g, "ETag: \"e.3600006-0\"\n");
    poll_finish(&g);
}

Test(poll, next_poll_is_near_what_is_configured)
{
    for (unsigned i = 0; i < 50; i++) {
        struct given g;
        uint64_t next = 0;
        tg_str rest = TG_STR_NONE;

        poll_begin(&g, RESUMED);
        fake_now += TG_SEC(1) + i;
        from_memory(7, true);
        poll_start(&g);
        poll_has(&g, "Next-Poll: ");
        rest = tg_str_of(strstr(g.r.conn.fields, "Next-Poll: ") + strlen("Next-Poll: "));
        cr_assert_eq(tg_str_to_u64(tg_str_cut(&rest, '\n'), &next), TG_OK);
        cr_assert(next >= 27 && next <= 33, "%llu", (unsigned long long)next);
        poll_finish(&g);
    }
}

Test(poll, a_browser_may_read_the_answer)
{
    struct given g;

    poll_begin(&g, RESUMED);
    request_field(&g.r, "Origin", "https://app.example");
    from_memory(7, true);
    poll_start(&g);
    poll_has(&g, "Access-Control-Allow-Origin: *\n");
    poll_finish(&g);
}

Test(poll, a_worker_that_goes_refuses)
{
    struct given g;

    poll_begin(&g, RESUMED);
    peek_says.rc = TG_EDRAINING;
    poll_start(&g);
    cr_assert_eq(g.r.conn.status, 503);
    cr_assert_eq(stream_seen.n_opened, 0);
    poll_finish(&g);
}

/* ---- places ---- */

static unsigned status_with_a_full_user(const char *target)
{
    struct given g;
    struct tg_quota *none = NULL;
    struct tg_quota *whole = NULL;
    unsigned status = 0;

    poll_begin(&g, target);
    none = tg_quota_create(1, 0);
    whole = g.fleet.opts.per_user;
    g.fleet.opts.per_user = none;
    from_memory(7, true);
    poll_start(&g);
    status = g.r.conn.status;
    request_gone(&g.r);
    g.fleet.opts.per_user = whole;
    tg_quota_destroy(none);
    poll_drop(&g);
    return status;
}

Test(poll, only_waiting_takes_the_place_of_a_stream)
{
    cr_assert_eq(status_with_a_full_user(RESUMED), 204);
    cr_assert_eq(status_with_a_full_user(RESUMED "&wait=0"), 204);
    cr_assert_eq(status_with_a_full_user(RESUMED "&wait=1"), 429);
}

/* ---- what is asked for ---- */

static void refused(const char *target, unsigned status, const char *words)
{
    struct given g;

    poll_begin(&g, target);
    from_memory(7, true);
    poll_start(&g);
    cr_assert_eq(g.r.conn.status, status, "%s: %u %s", target, g.r.conn.status, g.r.conn.body);
    cr_assert_not_null(strstr(g.r.conn.body, words), "%s: %s", target, g.r.conn.body);
    cr_assert_eq(g.r.conn.n_answers, 1);
    poll_finish(&g);
}

Test(poll, bad_parameters_are_named)
{
    refused(ONE "&wait=61", 400, "wait is a number");
    refused(ONE "&wait=", 400, "wait is a number");
    refused(ONE "&wait=-1", 400, "wait is a number");
    refused(ONE "&limit=0", 400, "limit is a number");
    refused(ONE "&limit=1001", 400, "limit is a number");
    refused(ONE "&compact=2", 400, "compact is");
    refused(ONE "&fields=a,,b", 400, "fields has");
    refused(ONE "&snapshot=1", 400, "no snapshot");
    refused(ONE "&wait=%2", 400, "percent");
    refused(ONE "&cursor=x", 400, "cursor");
    refused(PATH, 400, "at least one topic");
}

Test(poll, takes_no_body)
{
    struct given g;

    poll_begin(&g, ONE);
    g.r.req.head.body = TG_BODY_LENGTH;
    poll_start(&g);
    cr_assert_eq(g.r.conn.status, 400);
    poll_finish(&g);
}

Test(poll, the_cursor_of_the_query_wins_over_the_tag)
{
    struct given g;

    poll_begin(&g, RESUMED);
    request_field(&g.r, "If-None-Match", "\"e.3-0\"");
    poll_start(&g);
    cr_assert_eq(stream_seen.wants[0].pos.ms, 5);
    poll_finish(&g);
    poll_begin(&g, RESUMED);
    request_field(&g.r, "If-None-Match", "\"e.3-0\"");
    from_memory(7, true);
    poll_start(&g);
    poll_answered(&g, 204, "");
    poll_finish(&g);
}

Test(poll, what_is_no_cursor_of_ours_is_no_tag)
{
    static const char *const tags[] = {"e.3-0", "\"\"", "W/\"e.3-0\"", "\"x\"", "*", "\""};

    for (size_t i = 0; i < TG_ARRAY_LEN(tags); i++) {
        struct given g;

        poll_begin(&g, ONE);
        request_field(&g.r, "If-None-Match", tags[i]);
        poll_start(&g);
        cr_assert_eq(stream_seen.wants[0].from, TG_FROM_NOW, "%s", tags[i]);
        poll_finish(&g);
    }
}
