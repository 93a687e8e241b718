/* test_poll_stream.c - polls that memory cannot answer: through a stream, at once or after a wait.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "auth/mint.h"
#include "polls.h"
#include "realtime/frame.h"
#include "util/json.h"

static struct tg_loop *loop_of(struct given *g)
{
    return g->fleet.workers[0].loop;
}

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
    poll_begin(g, target);
    poll_start(g);
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
    poll_answered(&g, 204, "");
    poll_has(&g, "Tidegate-Cursor: e.9-0\n");
    cr_assert_eq(stream_seen.n_closed, 1);
    poll_finish(&g);
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
    poll_answered(&g, 200,
                  "{\"events\":[{\"n\":1},{\"n\":2}],\"cursor\":\"e.9-0\",\"more\":false}");
    poll_finish(&g);
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
    poll_answered(&g, 200, "{\"events\":[{\"n\":1},{\"n\":2}],\"cursor\":\"e.9-0\",\"more\":true}");
    poll_finish(&g);
}

Test(poll, an_empty_answer_with_more_behind_it_is_200)
{
    struct given g;

    opened(&g, RESUMED);
    say_start(&resumed);
    stream_seen.is_behind = true;
    turn(loop_of(&g));
    poll_answered(&g, 200, "{\"events\":[],\"cursor\":\"e.9-0\",\"more\":true}");
    poll_finish(&g);
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
    poll_answered(&g, 204, "");
    poll_finish(&g);
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
    poll_begin(&g, RESUMED "&wait=60");
    free(g.value);
    g.value = bearer(token);
    g.r.fields[0].value = tg_str_of(g.value);
    poll_start(&g);
    say_start(&resumed);
    fake_now += TG_SEC(4);
    turn(loop_of(&g));
    turn(loop_of(&g));
    poll_answered(&g, 204, "");
    poll_finish(&g);
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
    poll_answered(
        &g, 200,
        "{\"events\":[],\"cursor\":\"e.9-0\",\"more\":false,\"topics\":["
        "{\"topic\":\"table:public.a\",\"state\":\"joining\"},"
        "{\"topic\":\"t:b\",\"state\":\"ready\",\"recovered\":false,\"reason\":\"gap\"}]}");
    poll_has(&g, "Tidegate-Recovered: false; reason=gap\n");
    poll_finish(&g);
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
    poll_finish(&g);
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
    poll_finish(&g);
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
        poll_has(&g, "Tidegate-Cursor: e.9-0\n");
        if (n == 0) {
            poll_has(&g, "Next-Poll: 1\n");
        }
        poll_finish(&g);
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
    poll_finish(&g);
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
    poll_drop(&g);
}

Test(poll, a_full_worker_is_told_as_it_is)
{
    struct given g;

    poll_begin(&g, RESUMED);
    stream_seen.open_rc = TG_EBUSY;
    poll_start(&g);
    cr_assert_eq(g.r.conn.status, 503);
    turn(loop_of(&g));
    cr_assert_eq(stream_seen.n_closed, 0);
    poll_finish(&g);
}
