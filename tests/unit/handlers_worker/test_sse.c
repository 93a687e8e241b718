/* test_sse.c - what a stream is asked for, what it says first, and how its two ends part. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "fakes.h"
#include "handlers/quota.h"
#include "handlers/sse.h"
#include "util/json.h"

#define PATH "/sync/v1/stream"
#define ONE PATH "?topic=table:public.a"

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
    request_make(&g->r, TG_GET, target);
    request_field(&g->r, "Authorization", g->value);
    tg_keys_unref(keys);
    free(claims);
    free(token);
}

static void start(struct given *g)
{
    g->r.conn.worker = &g->fleet.workers[0];
    tg_sse_start(tg_exchange_create(&g->fleet.workers[0], &g->r.conn, &g->r.req));
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

/* Starts `target`, which must be refused. */
static void refused(const char *target, unsigned status, const char *code, const char *words)
{
    struct given g;

    begin(&g, target);
    start(&g);
    cr_assert_eq(g.r.conn.status, status, "%s: %u %s", target, g.r.conn.status, g.r.conn.body);
    cr_assert_not_null(strstr(g.r.conn.body, code), "%s: %s", target, g.r.conn.body);
    cr_assert_not_null(strstr(g.r.conn.body, words), "%s: %s", target, g.r.conn.body);
    cr_assert_eq(g.r.conn.n_answers, 1);
    cr_assert_eq(stream_seen.n_opened, 0);
    finish(&g);
}

/* ---- what is asked for ---- */

Test(sse, topics_are_opened_in_their_order_with_the_callers_token)
{
    struct given g;

    begin(&g, PATH "?topic=table:public.a&x=y&topic=table%3Apublic.b%3Aid%3Deq.7");
    start(&g);
    cr_assert_eq(g.r.conn.n_answers, 0, "%s", g.r.conn.body);
    cr_assert_eq(stream_seen.n_topics, 2);
    cr_assert_str_eq(stream_seen.topics[0], "table:public.a");
    cr_assert_str_eq(stream_seen.topics[1], "table:public.b:id=eq.7");
    cr_assert_str_eq(stream_seen.token, g.value + strlen("Bearer "));
    cr_assert_eq(stream_seen.opts.user.exp_sec, NOW_SEC + 3600);
    cr_assert_eq(stream_seen.wants[0].from, TG_FROM_NOW);
    cr_assert(g.r.conn.is_parked);
    finish(&g);
    cr_assert_eq(stream_seen.n_closed, 1);
}

Test(sse, topic_named_twice_is_one)
{
    struct given g;

    begin(&g, ONE "&topic=table:public.b:x=eq.1,y=eq.2&topic=table:public.a"
                  "&topic=table:public.b:y=eq.2,x=eq.1");
    start(&g);
    cr_assert_eq(stream_seen.n_topics, 2);
    finish(&g);
}

Test(sse, bad_questions_are_told_why)
{
    refused(PATH, 400, "TG403", "at least one topic");
    refused(PATH "?cursor=now", 400, "TG403", "at least one topic");
    refused(PATH "?topic=", 400, "TG403", "details");
    refused(PATH "?topic=nonsense", 400, "TG403", "details");
    refused(ONE "&topic=table:public.b:id=what.x", 400, "TG403", "details");
    refused(ONE "&cursor=%zz", 400, "TG406", "percent escape");
    refused(ONE "&cursor=nonsense", 400, "TG404", "cursor");
}

Test(sse, too_many_topics_are_refused_and_repeats_do_not_save_them)
{
    refused(ONE "&topic=table:public.b&topic=table:public.c&topic=table:public.d"
                "&topic=table:public.e",
            400, "TG403", "too many topics");
}

Test(sse, only_public_is_served_without_a_list)
{
    refused(PATH "?topic=table:auth.users", 403, "TG430", "not served");
    refused(ONE "&topic=table:private.a", 403, "TG430", "not served");
}

Test(sse, list_of_tables_is_the_whole_list)
{
    static const tg_str tables[] = {TG_STR_INIT("public.a"), TG_STR_INIT("app.b")};
    static const struct {
        const char *target;
        bool is_served;
    } table[] = {{PATH "?topic=table:public.a:id=eq.1", true},
                 {PATH "?topic=table:app.b", true},
                 {PATH "?topic=table:public.c", false},
                 {PATH "?topic=table:public.aa", false},
                 {PATH "?topic=table:app.a", false}};

    for (size_t i = 0; i < TG_ARRAY_LEN(table); i++) {
        struct given g;

        begin(&g, table[i].target);
        g.fleet.opts.strict_tables = tables;
        g.fleet.opts.n_strict_tables = TG_ARRAY_LEN(tables);
        start(&g);
        cr_assert_eq(g.r.conn.status, table[i].is_served ? 0 : 403, "%s", table[i].target);
        finish(&g);
    }
}

Test(sse, cursor_of_the_url_resumes)
{
    struct given g;
    char cursor[TG_CURSOR_MAX + 1];

    begin(&g, ONE "&cursor=e1.1700000000000-3");
    start(&g);
    cr_assert_eq(stream_seen.wants[0].from, TG_FROM_CURSOR, "%s", g.r.conn.body);
    (void)tg_cursor_format(&stream_seen.wants[0].epoch, stream_seen.wants[0].pos, cursor);
    cr_assert_str_eq(cursor, "e1.1700000000000-3");
    finish(&g);
}

Test(sse, last_event_id_is_newer_than_the_url)
{
    struct given g;
    char cursor[TG_CURSOR_MAX + 1];

    begin(&g, ONE "&cursor=e1.1700000000000-3");
    request_field(&g.r, "Last-Event-ID", "e2.1800000000000-0");
    start(&g);
    cr_assert_eq(stream_seen.wants[0].from, TG_FROM_CURSOR);
    (void)tg_cursor_format(&stream_seen.wants[0].epoch, stream_seen.wants[0].pos, cursor);
    cr_assert_str_eq(cursor, "e2.1800000000000-0");
    finish(&g);
}

Test(sse, now_and_nothing_begin_now)
{
    static const char *const targets[] = {ONE "&cursor=now", ONE "&cursor=", ONE};

    for (size_t i = 0; i < TG_ARRAY_LEN(targets); i++) {
        struct given g;

        begin(&g, targets[i]);
        request_field(&g.r, "Last-Event-ID", "");
        start(&g);
        cr_assert_eq(g.r.conn.n_answers, 0);
        cr_assert_eq(stream_seen.wants[0].from, TG_FROM_NOW);
        finish(&g);
    }
}

Test(sse, body_is_refused_and_the_connection_ends)
{
    struct given g;

    begin(&g, ONE);
    g.r.req.head.body = TG_BODY_LENGTH;
    g.r.req.head.content_length = 1;
    start(&g);
    cr_assert_eq(g.r.conn.status, 400);
    cr_assert_eq(stream_seen.n_opened, 0);
    finish(&g);
}

Test(sse, each_cap_has_its_own_answer_and_gives_its_place_back)
{
    struct given g;
    struct tg_quota_place place = {0};

    begin(&g, ONE);
    tg_quota_destroy(g.fleet.opts.per_address);
    g.fleet.opts.per_address = tg_quota_create(1, 1);
    cr_assert(tg_quota_take(g.fleet.opts.per_address, 0, ADDRESS, &place));
    start(&g);
    cr_assert_eq(g.r.conn.status, 429);
    cr_assert_not_null(strstr(g.r.conn.body, "TG524"));
    request_gone(&g.r);
    request_drop(&g.r);

    tg_quota_give(g.fleet.opts.per_address, 0, &place);
    for (int i = 0; i < 2; i++) {
        request_make(&g.r, TG_GET, ONE);
        request_field(&g.r, "Authorization", g.value);
        start(&g);
        cr_assert_eq(g.r.conn.n_answers, 0, "%s", g.r.conn.body);
        request_gone(&g.r);
        request_drop(&g.r);
    }
    drop(&g);
}

Test(sse, full_worker_is_told_as_it_is)
{
    struct given g;

    begin(&g, ONE);
    stream_seen.open_rc = TG_EDRAINING;
    start(&g);
    cr_assert_eq(g.r.conn.status, tg_rc_status(TG_EDRAINING));
    finish(&g);
    cr_assert_eq(stream_seen.n_closed, 0);
}

/* ---- hello ---- */

static void say_start(const struct tg_stream_start *s)
{
    stream_seen.opts.ops->on_start((struct tg_stream *)(void *)&stream_seen, s,
                                   stream_seen.opts.arg);
}

static const struct tg_stream_topic two[] = {
    {.name = TG_STR_INIT("table:public.a"), .state = TG_TOPIC_READY},
    {.name = TG_STR_INIT("table:public.b:x=eq.\"q\""), .state = TG_TOPIC_JOINING},
};

static const struct tg_stream_start fresh = {two, 2, false, false, TG_STR_INIT("e1.5-0")};

static void has(const struct given *g, const char *text)
{
    cr_assert_not_null(strstr(g->r.conn.raw_head, text), "%s\nnot in\n%s", text,
                       g->r.conn.raw_head);
}

static void has_not(const struct given *g, const char *text)
{
    cr_assert_null(strstr(g->r.conn.raw_head, text), "%s\nin\n%s", text, g->r.conn.raw_head);
}

static void end_raw(struct given *g)
{
    g->r.conn.raw->on_close(&g->r.conn, g->r.conn.ctx);
    drop(g);
}

Test(sse, hello_names_the_topics_and_where_it_starts)
{
    struct given g;
    const char *data = NULL;

    begin(&g, ONE);
    start(&g);
    say_start(&fresh);
    request_gone(&g.r);
    has(&g, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
    has(&g, "Cache-Control: no-store\r\n");
    has(&g, "Tidegate-Cursor: e1.5-0\r\n");
    has_not(&g, "Tidegate-Recovered");
    has(&g, "\r\n\r\nretry: 1500\nid: e1.5-0\nevent: hello\ndata: {\"cursor\":\"e1.5-0\","
            "\"heartbeat\":20000,\"topics\":[");
    has(&g, "{\"topic\":\"table:public.a\",\"guarantee\":\"live\",\"state\":\"ready\"}");
    has(&g, "{\"topic\":\"table:public.b:x=eq.\\\"q\\\"\",\"guarantee\":\"live\","
            "\"state\":\"joining\"}");
    data = strstr(g.r.conn.raw_head, "data: ") + strlen("data: ");
    cr_assert(tg_json_is_valid(tg_str_make(data, strcspn(data, "\n"))), "%s", data);
    cr_assert_str_eq(data + strcspn(data, "\n"), "\n\n");
    cr_assert_eq(tg_count_get(&g.fleet.workers[0].counts.streams_opened), 1);
    end_raw(&g);
}

Test(sse, hello_of_a_resume_says_what_was_recovered_and_why_not)
{
    static const struct tg_stream_topic topics[] = {
        {.name = TG_STR_INIT("t:a"),
         .state = TG_TOPIC_READY,
         .is_resume = true,
         .is_recovered = true,
         .n_replayed = 7,
         .has_more = true},
        {.name = TG_STR_INIT("t:b"),
         .state = TG_TOPIC_JOINING,
         .is_resume = true,
         .reason = TG_STR_INIT("joining")},
        {.name = TG_STR_INIT("t:c"),
         .state = TG_TOPIC_READY,
         .verdict = TG_RESET_EXPIRED,
         .is_resume = true,
         .reason = TG_STR_INIT("expired")},
    };
    const struct tg_stream_start resumed = {topics, 3, true, false, TG_STR("e1.5-0")};
    struct given g;

    begin(&g, ONE "&cursor=e1.1-0");
    start(&g);
    say_start(&resumed);
    request_gone(&g.r);
    has(&g, "Tidegate-Recovered: false; reason=joining\r\n");
    has(&g, "\"topic\":\"t:a\",\"guarantee\":\"live\",\"state\":\"ready\",\"recovered\":true,"
            "\"replayed\":7,\"more\":true}");
    has(&g, "\"state\":\"joining\",\"recovered\":false,\"reason\":\"joining\",\"replayed\":0}");
    has(&g, "\"topic\":\"t:c\",\"guarantee\":\"live\",\"state\":\"ready\",\"recovered\":false,"
            "\"reason\":\"expired\",\"replayed\":0}");
    end_raw(&g);
}

/* ---- the two ends ---- */

static void opened(struct given *g)
{
    begin(g, ONE);
    start(g);
    say_start(&fresh);
    request_gone(&g->r);
}

Test(sse, client_that_leaves_closes_the_stream_once)
{
    struct given g;

    opened(&g);
    g.r.conn.raw_read_rc = TG_EEOF;
    g.r.conn.raw->on_ready(&g.r.conn, TG_READABLE | TG_WRITABLE, g.r.conn.ctx);
    cr_assert(g.r.conn.is_closed);
    cr_assert_eq(stream_seen.n_writable, 0);
    end_raw(&g);
    cr_assert_eq(stream_seen.n_closed, 1);
}

Test(sse, client_that_speaks_is_closed)
{
    struct given g;

    opened(&g);
    g.r.conn.raw_read_rc = TG_OK;
    g.r.conn.raw->on_ready(&g.r.conn, TG_READABLE, g.r.conn.ctx);
    cr_assert(g.r.conn.is_closed);
    end_raw(&g);
}

Test(sse, room_in_the_socket_is_told_to_the_stream)
{
    struct given g;

    opened(&g);
    g.r.conn.raw->on_ready(&g.r.conn, TG_READABLE | TG_WRITABLE, g.r.conn.ctx);
    cr_assert_eq(stream_seen.n_writable, 1);
    cr_assert_not(g.r.conn.is_closed);
    end_raw(&g);
}

Test(sse, stream_that_ends_closes_the_connection_and_is_left_alone)
{
    struct given g;

    opened(&g);
    stream_seen.opts.ops->on_end("drain", stream_seen.opts.arg);
    cr_assert(g.r.conn.is_closed);
    g.r.conn.raw->on_ready(&g.r.conn, TG_WRITABLE, g.r.conn.ctx);
    end_raw(&g);
    cr_assert_eq(stream_seen.n_closed, 0);
    cr_assert_eq(stream_seen.n_writable, 0);
}

Test(sse, refused_stream_is_an_ordinary_answer)
{
    struct given g;

    begin(&g, ONE);
    start(&g);
    stream_seen.opts.ops->on_refused(TG_EFORBIDDEN, TG_STR("the project said no"),
                                     stream_seen.opts.arg);
    cr_assert_eq(g.r.conn.status, 403);
    cr_assert_not_null(strstr(g.r.conn.body, "the project said no"));
    finish(&g);
    cr_assert_eq(stream_seen.n_closed, 0);
}

Test(sse, bytes_behind_the_request_end_the_stream)
{
    struct given g;

    begin(&g, ONE);
    g.r.conn.go_raw_rc = TG_EBADREQ;
    start(&g);
    say_start(&fresh);
    cr_assert_eq(stream_seen.n_closed, 1);
    finish(&g);
    cr_assert_eq(stream_seen.n_closed, 1);
}

Test(sse, client_gone_while_keys_are_fetched_is_forgotten)
{
    struct given g;
    EVP_PKEY *key = mint_ec("P-256");
    char *claims = mint_claims("");
    char *token = mint_signed(TG_ALG_ES256, "k1", key, claims);
    char *value = bearer(token);

    begin(&g, ONE);
    fleet_turns(&g.fleet);
    g.r.fields[0].value = tg_str_of(value);
    start(&g);
    cr_assert_eq(g.r.conn.n_answers, 0);
    request_gone(&g.r);
    fetch_seen.done(TG_EREFUSED, 0, TG_STR(""), fetch_seen.arg);
    cr_assert_eq(g.r.conn.n_answers, 0);
    drop(&g);
    free(value);
    free(token);
    free(claims);
    EVP_PKEY_free(key);
}
