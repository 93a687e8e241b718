/* test_poll.c - what a poll asks for, from where it is answered, and how its answers look. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "fakes.h"
#include "handlers/poll.h"
#include "handlers/quota.h"
#include "realtime/frame.h"
#include "util/json.h"

#define PATH "/sync/v1/poll"
#define ONE PATH "?topic=table:public.a"
#define RESUMED ONE "&cursor=e.5-0"

struct given {
    struct fleet fleet;
    struct asked_request r;
    char *value;
};

static void begin(struct given *g, const char *target)
{
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *claims = mint_claims("");
    char *token = mint_hs(claims);

    *g = (struct given){.value = bearer(token)};
    fleet_make(&g->fleet, 1, keys);
    g->fleet.opts.poll_next = TG_SEC(30);
    g->fleet.opts.poll_bytes = 1000;
    request_make(&g->r, TG_GET, target);
    request_field(&g->r, "Authorization", g->value);
    tg_keys_unref(keys);
    free(claims);
    free(token);
    stream_seen.cursor = "e.9-0";
}

static void start(struct given *g)
{
    tg_poll_start(tg_exchange_create(&g->fleet.workers[0], &g->r.conn, &g->r.req));
}

static void drop(struct given *g)
{
    request_drop(&g->r);
    fleet_drop(&g->fleet);
    free(g->value);
}

static void finish(struct given *g)
{
    request_gone(&g->r);
    drop(g);
}

static struct tg_loop *loop_of(struct given *g)
{
    return g->fleet.workers[0].loop;
}

static void has(const struct given *g, const char *field)
{
    cr_assert_not_null(strstr(g->r.conn.fields, field), "%s not in\n%s", field, g->r.conn.fields);
}

static void has_not(const struct given *g, const char *field)
{
    cr_assert_null(strstr(g->r.conn.fields, field), "%s in\n%s", field, g->r.conn.fields);
}

static void answered(const struct given *g, unsigned status, const char *body)
{
    cr_assert_eq(g->r.conn.n_answers, 1);
    cr_assert_eq(g->r.conn.status, status, "%u %s", g->r.conn.status, g->r.conn.body);
    cr_assert_str_eq(g->r.conn.body, body);
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

    begin(&g, RESUMED);
    from_memory(7, true);
    start(&g);
    answered(&g, 204, "");
    has(&g, "Tidegate-Cursor: e.7-0\n");
    has(&g, "ETag: \"e.7-0\"\n");
    has(&g, "Tidegate-Recovered: true\n");
    has(&g, "Cache-Control: no-store\n");
    has(&g, "Next-Poll: ");
    has(&g, "X-Request-Id: ");
    has_not(&g, "Access-Control");
    has_not(&g, "Content-Type");
    cr_assert_eq(stream_seen.n_opened, 0);
    cr_assert(!g.r.conn.is_parked);
    cr_assert_eq(tg_count_get(&g.fleet.workers[0].counts.polls), 1);
    cr_assert_eq(tg_count_get(&g.fleet.workers[0].counts.polls_at_once), 1);
    finish(&g);
}

Test(poll, who_did_not_resume_is_told_of_no_recovery)
{
    struct given g;

    begin(&g, ONE);
    from_memory(7, false);
    start(&g);
    answered(&g, 204, "");
    has_not(&g, "Tidegate-Recovered");
    finish(&g);
}

Test(poll, news_is_200_with_events_and_cursor)
{
    struct given g;

    begin(&g, RESUMED "&wait=20");
    from_memory(7, true);
    peek_says.messages[0] = "{\"id\":\"e.6-0\",\"n\":1}";
    peek_says.messages[1] = "{\"id\":\"e.7-0\",\"n\":2}";
    start(&g);
    answered(&g, 200,
             "{\"events\":[{\"id\":\"e.6-0\",\"n\":1},{\"id\":\"e.7-0\",\"n\":2}],"
             "\"cursor\":\"e.7-0\",\"more\":false}");
    has(&g, "Content-Type: application/json\n");
    has_not(&g, "Next-Poll");
    cr_assert_eq(stream_seen.n_opened, 0);
    finish(&g);
}

Test(poll, what_does_not_fit_is_announced_as_more)
{
    struct given g;

    begin(&g, RESUMED "&limit=1&compact=1");
    from_memory(6, true);
    peek_says.messages[0] = "{\"id\":\"e.6-0\",\"topic\":\"t\",\"n\":1}";
    peek_says.messages[1] = "{\"id\":\"e.7-0\",\"topic\":\"t\",\"n\":2}";
    start(&g);
    answered(&g, 200, "{\"events\":[{\"n\":1}],\"cursor\":\"e.6-0\",\"more\":true}");
    finish(&g);
}

Test(poll, an_event_above_the_cap_comes_alone)
{
    struct given g;
    char big[2048];

    big_event(big, sizeof(big), 6);
    begin(&g, RESUMED);
    from_memory(6, true);
    peek_says.messages[0] = big;
    peek_says.messages[1] = "{\"id\":\"e.7-0\",\"n\":2}";
    start(&g);
    cr_assert_eq(g.r.conn.status, 200);
    cr_assert_not_null(strstr(g.r.conn.body, "x\"}],\"cursor\""));
    cr_assert_not_null(strstr(g.r.conn.body, "\"more\":true}"));
    finish(&g);
}

Test(poll, the_cap_leaves_out_what_would_pass_it)
{
    struct given g;
    char big[2048];

    big_event(big, sizeof(big), 7);
    begin(&g, RESUMED);
    from_memory(6, true);
    peek_says.messages[0] = "{\"n\":1}";
    peek_says.messages[1] = big;
    start(&g);
    answered(&g, 200, "{\"events\":[{\"n\":1}],\"cursor\":\"e.6-0\",\"more\":true}");
    finish(&g);
}

Test(poll, a_repeated_tag_is_304_with_the_same_tag)
{
    struct given g;

    begin(&g, ONE);
    request_field(&g.r, "If-None-Match", "\"e.5-0\"");
    from_memory(7, true);
    peek_says.peeked.lag_ms = 2;
    start(&g);
    answered(&g, 304, "");
    has(&g, "ETag: \"e.5-0\"\n");
    has(&g, "Tidegate-Cursor: e.7-0\n");
    finish(&g);
}

Test(poll, a_tag_that_grows_old_is_given_a_newer_one)
{
    struct given g;

    begin(&g, ONE);
    request_field(&g.r, "If-None-Match", "\"e.5-0\"");
    from_memory(3600 * 1000 + 6, true);
    peek_says.peeked.lag_ms = 3600 * 1000 + 1;
    start(&g);
    answered(&g, 204, "");
    has(&g, "ETag: \"e.3600006-0\"\n");
    finish(&g);
}

Test(poll, next_poll_is_near_what_is_configured)
{
    for (unsigned i = 0; i < 50; i++) {
        struct given g;
        uint64_t next = 0;
        tg_str rest = TG_STR_NONE;

        begin(&g, RESUMED);
        fake_now += TG_SEC(1) + i;
        from_memory(7, true);
        start(&g);
        has(&g, "Next-Poll: ");
        rest = tg_str_of(strstr(g.r.conn.fields, "Next-Poll: ") + strlen("Next-Poll: "));
        cr_assert_eq(tg_str_to_u64(tg_str_cut(&rest, '\n'), &next), TG_OK);
        cr_assert(next >= 27 && next <= 33, "%llu", (unsigned long long)next);
        finish(&g);
    }
}

Test(poll, a_browser_may_read_the_answer)
{
    struct given g;

    begin(&g, RESUMED);
    request_field(&g.r, "Origin", "https://app.example");
    from_memory(7, true);
    start(&g);
    has(&g, "Access-Control-Allow-Origin: *\n");
    finish(&g);
}

Test(poll, a_worker_that_goes_refuses)
{
    struct given g;

    begin(&g, RESUMED);
    peek_says.rc = TG_EDRAINING;
    start(&g);
    cr_assert_eq(g.r.conn.status, 503);
    cr_assert_eq(stream_seen.n_opened, 0);
    finish(&g);
}

/* ---- through a stream ---- */

static const struct tg_stream_topic ready[] = {{.name = TG_STR_INIT("table:public.a"),
                                                .state = TG_TOPIC_READY,
                                                .is_resume = true,
                                                .is_recovered = true}};
static const struct tg_stream_start resumed = {ready, 1, true, true, TG_STR_INIT("e.5-0")};

static struct tg_stream *the_stream(void)
{
    return (struct tg_stream *)(void *)&stream_seen;
}

static void say_start(const struct tg_stream_start *s)
{
    stream_seen.opts.ops->on_start(the_stream(), s, stream_seen.opts.arg);
}

/* As the stream hands frames over; how many bytes were taken. */
static size_t say(const char *const *texts, size_t n, enum tg_rc *ret_rc)
{
    struct iovec iov[8];
    size_t taken = 0;

    for (size_t i = 0; i < n; i++) {
        tg_str text = tg_str_of(texts[i]);

        memcpy(&iov[i].iov_base, &text.p, sizeof(text.p));
        iov[i].iov_len = text.n;
    }
    *ret_rc = stream_seen.opts.ops->writev(stream_seen.opts.arg, iov, (int)n, &taken);
    return taken;
}

static void opened(struct given *g, const char *target)
{
    begin(g, target);
    start(g);
    cr_assert_eq(g->r.conn.n_answers, 0, "%s", g->r.conn.body);
    cr_assert_eq(stream_seen.n_opened, 1);
    cr_assert(g->r.conn.is_parked);
}

Test(poll, asks_a_stream_what_memory_cannot_answer)
{
    struct given g;

    opened(&g, RESUMED);
    cr_assert_eq(stream_seen.wants[0].from, TG_FROM_CURSOR);
    say_start(&resumed);
    cr_assert_eq(g.r.conn.n_answers, 0, "the turn is not over");
    turn(loop_of(&g));
    answered(&g, 204, "");
    has(&g, "Tidegate-Cursor: e.9-0\n");
    cr_assert_eq(stream_seen.n_closed, 1);
    finish(&g);
    cr_assert_eq(stream_seen.n_closed, 1);
}

Test(poll, waits_for_an_event_and_takes_the_whole_turn)
{
    const char *first[] = {"{\"n\":1}", ""};
    const char *second[] = {"{\"n\":2}"};
    enum tg_rc rc = TG_OK;
    struct given g;

    opened(&g, RESUMED "&wait=60");
    say_start(&resumed);
    turn(loop_of(&g));
    cr_assert_eq(g.r.conn.n_answers, 0, "nothing has come yet");
    cr_assert_eq(say(first, 2, &rc), strlen(first[0]));
    cr_assert_eq(rc, TG_OK);
    cr_assert_eq(say(second, 1, &rc), strlen(second[0]));
    turn(loop_of(&g));
    answered(&g, 200, "{\"events\":[{\"n\":1},{\"n\":2}],\"cursor\":\"e.9-0\",\"more\":false}");
    finish(&g);
}

Test(poll, takes_frames_whole_up_to_the_limit)
{
    const char *texts[] = {"{\"n\":1}", "{\"n\":2}", "{\"n\":3}"};
    enum tg_rc rc = TG_OK;
    struct given g;

    opened(&g, RESUMED "&limit=2");
    say_start(&resumed);
    cr_assert_eq(say(texts, 3, &rc), strlen(texts[0]) + strlen(texts[1]));
    cr_assert_eq(rc, TG_OK);
    cr_assert_eq(say(texts + 2, 1, &rc), 0);
    cr_assert_eq(rc, TG_EAGAIN);
    stream_seen.is_behind = true;
    turn(loop_of(&g));
    answered(&g, 200, "{\"events\":[{\"n\":1},{\"n\":2}],\"cursor\":\"e.9-0\",\"more\":true}");
    finish(&g);
}

Test(poll, an_empty_answer_with_more_behind_it_is_200)
{
    struct given g;

    opened(&g, RESUMED);
    say_start(&resumed);
    stream_seen.is_behind = true;
    turn(loop_of(&g));
    answered(&g, 200, "{\"events\":[],\"cursor\":\"e.9-0\",\"more\":true}");
    finish(&g);
}

Test(poll, the_wait_ends)
{
    struct given g;

    opened(&g, RESUMED "&wait=2");
    say_start(&resumed);
    fake_now += TG_SEC(1);
    turn(loop_of(&g));
    cr_assert_eq(g.r.conn.n_answers, 0);
    fake_now += TG_SEC(1);
    turn(loop_of(&g));
    turn(loop_of(&g));
    answered(&g, 204, "");
    finish(&g);
}

Test(poll, waits_no_longer_than_its_token_lives)
{
    struct given g;
    char *claims = mint_claims("");
    char *token = NULL;
    char *exp = strstr(claims, "\"exp\":");
    char text[32];

    (void)snprintf(text, sizeof(text), "\"exp\":%lld", (long long)NOW_SEC + 3);
    cr_assert_not_null(exp);
    memcpy(exp, text, strlen(text));
    token = mint_hs(claims);
    begin(&g, RESUMED "&wait=60");
    free(g.value);
    g.value = bearer(token);
    g.r.fields[0].value = tg_str_of(g.value);
    start(&g);
    say_start(&resumed);
    fake_now += TG_SEC(4);
    turn(loop_of(&g));
    turn(loop_of(&g));
    answered(&g, 204, "");
    finish(&g);
    free(claims);
    free(token);
}

Test(poll, what_must_be_said_of_topics_is_said_at_once)
{
    static const struct tg_stream_topic topics[] = {
        {.name = TG_STR_INIT("table:public.a"), .state = TG_TOPIC_JOINING},
        {.name = TG_STR_INIT("t:b"),
         .state = TG_TOPIC_READY,
         .verdict = TG_RESET_GAP,
         .is_resume = true,
         .reason = TG_STR_INIT("gap")},
        {.name = TG_STR_INIT("t:c"),
         .state = TG_TOPIC_READY,
         .is_resume = true,
         .is_recovered = true},
    };
    const struct tg_stream_start s = {topics, 3, true, false, TG_STR("e.5-0")};
    struct given g;

    opened(&g, RESUMED "&wait=60");
    say_start(&s);
    turn(loop_of(&g));
    answered(&g, 200,
             "{\"events\":[],\"cursor\":\"e.9-0\",\"more\":false,\"topics\":["
             "{\"topic\":\"table:public.a\",\"state\":\"joining\"},"
             "{\"topic\":\"t:b\",\"state\":\"ready\",\"recovered\":false,\"reason\":\"gap\"}]}");
    has(&g, "Tidegate-Recovered: false; reason=gap\n");
    finish(&g);
}

Test(poll, frames_are_messages_and_what_a_stream_says_of_itself_is_left_out)
{
    const struct tg_epoch epoch = {"e"};
    const struct tg_pos pos = {7, 0};
    struct tg_frame *event =
        tg_frame_create(TG_FRAME_EVENT, &epoch, pos, TG_STR(""), TG_STR("{\"n\":1}"));
    struct tg_frame *reset = tg_frame_reset(&epoch, pos, TG_STR("t"), TG_STR("gap"));
    struct tg_frame *status = tg_frame_named(TG_STR("status"), TG_STR("{}"));
    struct given g;
    tg_str text = TG_STR_NONE;

    opened(&g, RESUMED);
    text = stream_seen.opts.ops->bytes(event, false);
    cr_assert(tg_str_eq(text, TG_STR("{\"id\":\"e.7-0\",\"n\":1}")));
    text = stream_seen.opts.ops->bytes(reset, false);
    cr_assert(tg_json_is_valid(text));
    cr_assert(tg_str_has_prefix(text, TG_STR("{\"event\":\"reset\",\"id\":\"e.7-0\"")));
    cr_assert_eq(stream_seen.opts.ops->bytes(reset, true).n, 0);
    cr_assert_eq(stream_seen.opts.ops->bytes(status, false).n, 0);
    finish(&g);
    tg_frame_unref(event);
    tg_frame_unref(reset);
    tg_frame_unref(status);
}

Test(poll, a_refusal_of_the_stream_is_the_answer)
{
    struct given g;

    opened(&g, RESUMED);
    stream_seen.opts.ops->on_refused(TG_EFORBIDDEN, TG_STR("no such table"), stream_seen.opts.arg);
    cr_assert_eq(g.r.conn.status, 403);
    cr_assert_not_null(strstr(g.r.conn.body, "no such table"));
    cr_assert_eq(stream_seen.n_closed, 0, "it is over already");
    finish(&g);
}

Test(poll, a_drain_answers_what_is_there)
{
    const char *texts[] = {"{\"n\":1}"};
    enum tg_rc rc = TG_OK;

    for (size_t n = 0; n < 2; n++) {
        struct given g;

        stream_seen.n_opened = 0;
        opened(&g, RESUMED "&wait=60");
        say_start(&resumed);
        (void)(n > 0 ? say(texts, n, &rc) : 0);
        stream_seen.opts.ops->on_end("drain", stream_seen.opts.arg);
        turn(loop_of(&g));
        cr_assert_eq(g.r.conn.status, n > 0 ? 200 : 204);
        has(&g, "Tidegate-Cursor: e.9-0\n");
        if (n == 0) {
            has(&g, "Next-Poll: 1\n");
        }
        finish(&g);
    }
}

Test(poll, a_store_that_is_lost_while_waiting_is_503)
{
    struct given g;

    opened(&g, RESUMED "&wait=60");
    say_start(&resumed);
    stream_seen.opts.ops->on_end("store", stream_seen.opts.arg);
    turn(loop_of(&g));
    cr_assert_eq(g.r.conn.status, 503);
    finish(&g);
}

Test(poll, a_client_that_leaves_closes_its_stream)
{
    struct given g;

    opened(&g, RESUMED "&wait=60");
    say_start(&resumed);
    request_gone(&g.r);
    cr_assert_eq(stream_seen.n_closed, 1);
    turn(loop_of(&g));
    cr_assert_eq(g.r.conn.n_answers, 0);
    drop(&g);
}

Test(poll, a_full_worker_is_told_as_it_is)
{
    struct given g;

    begin(&g, RESUMED);
    stream_seen.open_rc = TG_EBUSY;
    start(&g);
    cr_assert_eq(g.r.conn.status, 503);
    turn(loop_of(&g));
    cr_assert_eq(stream_seen.n_closed, 0);
    finish(&g);
}

/* ---- places ---- */

static unsigned status_with_a_full_user(const char *target)
{
    struct given g;
    struct tg_quota *none = NULL;
    struct tg_quota *whole = NULL;
    unsigned status = 0;

    begin(&g, target);
    none = tg_quota_create(1, 0);
    whole = g.fleet.opts.per_user;
    g.fleet.opts.per_user = none;
    from_memory(7, true);
    start(&g);
    status = g.r.conn.status;
    request_gone(&g.r);
    g.fleet.opts.per_user = whole;
    tg_quota_destroy(none);
    drop(&g);
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

    begin(&g, target);
    from_memory(7, true);
    start(&g);
    cr_assert_eq(g.r.conn.status, status, "%s: %u %s", target, g.r.conn.status, g.r.conn.body);
    cr_assert_not_null(strstr(g.r.conn.body, words), "%s: %s", target, g.r.conn.body);
    cr_assert_eq(g.r.conn.n_answers, 1);
    finish(&g);
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

    begin(&g, ONE);
    g.r.req.head.body = TG_BODY_LENGTH;
    start(&g);
    cr_assert_eq(g.r.conn.status, 400);
    finish(&g);
}

Test(poll, the_cursor_of_the_query_wins_over_the_tag)
{
    struct given g;

    begin(&g, RESUMED);
    request_field(&g.r, "If-None-Match", "\"e.3-0\"");
    start(&g);
    cr_assert_eq(stream_seen.wants[0].pos.ms, 5);
    finish(&g);
    begin(&g, RESUMED);
    request_field(&g.r, "If-None-Match", "\"e.3-0\"");
    from_memory(7, true);
    start(&g);
    answered(&g, 204, "");
    finish(&g);
}

Test(poll, what_is_no_cursor_of_ours_is_no_tag)
{
    static const char *const tags[] = {"e.3-0", "\"\"", "W/\"e.3-0\"", "\"x\"", "*", "\""};

    for (size_t i = 0; i < TG_ARRAY_LEN(tags); i++) {
        struct given g;

        begin(&g, ONE);
        request_field(&g.r, "If-None-Match", tags[i]);
        start(&g);
        cr_assert_eq(stream_seen.wants[0].from, TG_FROM_NOW, "%s", tags[i]);
        finish(&g);
    }
}
