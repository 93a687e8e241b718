/* test_snapshot.c - rows in pages: what is read, what is told, and when no more is read. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "auth/token.h"
#include "fakes.h"
#include "handlers/snapshot.h"

struct given {
    struct fleet fleet;
    struct tg_token token;
    struct tg_topic_name names[2];
    const struct tg_topic_name *topics[2];
    struct tg_snapshot *snapshot;
    unsigned n_first, n_done;
    bool refuses_first;
    bool has_begun;
    enum tg_rc rc;
    char why[256];
};

static bool refuses_fetch;

static bool on_first(void *arg)
{
    struct given *g = arg;

    g->n_first++;
    if (g->refuses_first) {
        tg_snapshot_cancel(g->snapshot);
        g->snapshot = NULL;
    }
    return !g->refuses_first;
}

static void on_done(enum tg_rc rc, tg_str why, tg_str hint, bool has_begun, void *arg)
{
    struct given *g = arg;

    (void)hint;
    cr_assert_lt(why.n, sizeof(g->why));
    g->n_done++;
    g->rc = rc;
    g->has_begun = has_begun;
    if (why.n > 0) {
        memcpy(g->why, why.p, why.n);
    }
    g->why[why.n] = '\0';
    g->snapshot = NULL;
}

static const struct tg_snapshot_ops ops = {on_first, on_done};

static void begin(struct given *g, size_t n_topics)
{
    static const char *const topics[] = {"table:public.a:x=eq.1", "table:public.b"};
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    const char *why = NULL;
    struct tg_snapshot_opts opts = {.n_topics = n_topics,
                                    .stream = (struct tg_stream *)(void *)&stream_seen,
                                    .key = TG_STR("id"),
                                    .cursor = TG_STR("log.7-0"),
                                    .ops = &ops};

    *g = (struct given){.token = {.text = TG_STR("jwt")}};
    tg_ref_init(&g->token.ref);
    fleet_make(&g->fleet, 1, keys);
    tg_keys_unref(keys);
    fleet_turns(&g->fleet); /* the first fetch is that of the signing keys */
    fetch_seen.done(TG_EIO, 0, TG_STR_NONE, fetch_seen.arg);
    g->fleet.opts.snapshot_page = 8;
    g->fleet.opts.snapshot_bytes = 1000;
    g->fleet.opts.snapshot_reads = 1;
    g->fleet.opts.snapshot_patience = TG_SEC(60);
    for (size_t i = 0; i < n_topics; i++) {
        cr_assert_eq(tg_topic_parse(NULL, tg_str_of(topics[i]), &g->names[i], &why), TG_OK);
        g->topics[i] = &g->names[i];
    }
    opts.w = &g->fleet.workers[0];
    opts.token = &g->token;
    opts.topics = g->topics;
    opts.arg = g;
    fetch_seen.n = 0;
    stream_seen.told_text[0] = '\0';
    stream_seen.told = TG_TOLD_ALL;
    cr_assert_eq(tg_snapshot_start(&opts, &g->snapshot, &why), TG_OK);
    cr_assert_eq(fetch_seen.n, 0, "asked from inside");
    fetch_seen.rc = refuses_fetch ? TG_EOPEN : TG_OK;
    turn(g->fleet.workers[0].loop);
}

static void finish(struct given *g)
{
    turn(g->fleet.workers[0].loop);
    cr_assert_null(g->snapshot);
    cr_assert_eq(g->fleet.workers[0].n_snapshot_reads, 0);
    cr_assert(tg_list_empty(&g->fleet.workers[0].snapshots));
    tg_topic_fini(&g->names[0]);
    tg_topic_fini(&g->names[1]);
    fleet_drop(&g->fleet);
}

static void page(struct given *g, unsigned status, const char *body)
{
    fetch_seen.done(TG_OK, status, tg_str_of(body), fetch_seen.arg);
    turn(g->fleet.workers[0].loop);
}

#define cr_assert_target(text) cr_assert_str_eq(fetch_seen.target, text)

Test(snapshot, is_read_page_by_page_until_one_is_empty)
{
    struct given g;

    begin(&g, 2);
    cr_assert_eq(fetch_seen.n, 1);
    cr_assert_target("/rest/v1/a?select=*&x=eq.1&order=id.asc&limit=8");
    page(&g, 200, "[{\"id\":1}, \n {\"id\":9007199254740993}]");
    cr_assert_eq(g.n_first, 1);
    cr_assert_target("/rest/v1/a?select=*&x=eq.1&id=gt.9007199254740993&order=id.asc&limit=8");
    page(&g, 206, "[]");
    cr_assert_target("/rest/v1/b?select=*&order=id.asc&limit=8");
    page(&g, 200, "[{\"id\":\"a,b\"}]");
    cr_assert_target("/rest/v1/b?select=*&id=gt.a%2Cb&order=id.asc&limit=8");
    page(&g, 200, "[]");
    cr_assert_eq(g.n_done, 1);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert_eq(g.n_first, 1);
    cr_assert_str_eq(
        stream_seen.told_text,
        "event: snapshot\ndata: {\"topic\":\"table:public.a:x=eq.1\",\"rows\":"
        "[{\"id\":1},{\"id\":9007199254740993}],\"more\":true}\n\n"
        "event: snapshot\ndata: {\"topic\":\"table:public.a:x=eq.1\",\"rows\":[],"
        "\"more\":false}\n\n"
        "event: snapshot\ndata: {\"topic\":\"table:public.b\",\"rows\":"
        "[{\"id\":\"a,b\"}],\"more\":true}\n\n"
        "id: log.7-0\nevent: snapshot\ndata: {\"topic\":\"table:public.b\",\"rows\":[],"
        "\"more\":false}\n\n");
    cr_assert_eq(tg_count_get(&g.fleet.workers[0].counts.snapshots), 1);
    cr_assert_eq(tg_count_get(&g.fleet.workers[0].counts.snapshot_rows), 3);
    finish(&g);
}

static uint64_t stuck(const struct given *g)
{
    return tg_count_get(&g->fleet.workers[0].counts.snapshots_stuck);
}

Test(snapshot, waits_for_the_socket_before_it_reads_on)
{
    struct given g;

    begin(&g, 1);
    stream_seen.told = TG_TOLD_SOON;
    page(&g, 200, "[{\"id\":1}]");
    cr_assert_eq(fetch_seen.n, 1);
    cr_assert_eq(stuck(&g), 0);
    stream_seen.told = TG_TOLD_BLOCKED;
    turn(g.fleet.workers[0].loop);
    cr_assert_eq(stuck(&g), 1);
    stream_seen.told = TG_TOLD_ALL;
    turn(g.fleet.workers[0].loop);
    cr_assert_eq(fetch_seen.n, 1, "a blocked one is not looked at");
    tg_snapshot_writable(g.snapshot);
    turn(g.fleet.workers[0].loop);
    cr_assert_eq(fetch_seen.n, 2);
    cr_assert_eq(stuck(&g), 0);
    tg_snapshot_writable(g.snapshot); /* while a page is read it means nothing */
    turn(g.fleet.workers[0].loop);
    cr_assert_eq(fetch_seen.n, 2);
    page(&g, 200, "[]");
    cr_assert_eq(g.rc, TG_OK);
    finish(&g);
}

static void wait_sec(struct given *g, unsigned sec)
{
    fake_now += TG_SEC(sec);
    turn(g->fleet.workers[0].loop);
}

Test(snapshot, gives_up_a_socket_that_takes_nothing_for_a_while)
{
    struct given g;

    begin(&g, 1);
    stream_seen.told = TG_TOLD_BLOCKED;
    page(&g, 200, "[{\"id\":1}]");
    wait_sec(&g, 50);
    tg_snapshot_writable(g.snapshot); /* a little */
    wait_sec(&g, 50);
    cr_assert_eq(g.n_done, 0);
    wait_sec(&g, 20);
    cr_assert_eq(g.n_done, 1);
    cr_assert_eq(stuck(&g), 0);
    cr_assert_eq(g.rc, TG_EFULL);
    cr_assert(g.has_begun);
    finish(&g);
}

Test(snapshot, ends_when_the_same_page_comes_again)
{
    struct given g;

    begin(&g, 1);
    page(&g, 200, "[{\"id\":1},{\"id\":2}]");
    turn(g.fleet.workers[0].loop);
    page(&g, 200, "[{\"id\":1},{\"id\":2}]");
    cr_assert_eq(g.n_done, 1);
    cr_assert_eq(g.rc, TG_EUPSTREAM);
    finish(&g);
}

Test(snapshot, reads_fewer_rows_when_they_are_wide)
{
    struct given g;

    begin(&g, 1);
    fetch_seen.done(TG_ELIMIT, 200, TG_STR_NONE, fetch_seen.arg);
    turn(g.fleet.workers[0].loop);
    cr_assert_target("/rest/v1/a?select=*&x=eq.1&order=id.asc&limit=2");
    fetch_seen.done(TG_ELIMIT, 200, TG_STR_NONE, fetch_seen.arg);
    turn(g.fleet.workers[0].loop);
    cr_assert_target("/rest/v1/a?select=*&x=eq.1&order=id.asc&limit=1");
    fetch_seen.done(TG_ELIMIT, 200, TG_STR_NONE, fetch_seen.arg);
    cr_assert_eq(g.rc, TG_EUPSTREAM);
    cr_assert(strstr(g.why, "snapshot_bytes"));
    finish(&g);
}

Test(snapshot, that_cannot_be_read_ends_with_the_words_of_postgrest)
{
    static const struct {
        unsigned status;
        const char *body;
        enum tg_rc rc;
        const char *why;
    } cases[] = {
        {403, "{\"code\":\"42501\",\"message\":\"no \\\"a\\\"\"}", TG_EFORBIDDEN, "no \"a\""},
        {401, "nonsense", TG_EFORBIDDEN, ""},
        {400, "{\"message\":\"column\"}", TG_EBADTOPIC, "column"},
        {429, "{}", TG_ERATE, ""},
        {500, "{\"message\":\"inside\"}", TG_EUPSTREAM, ""},
        {302, "", TG_EUPSTREAM, ""},
        {200, "{}", TG_EUPSTREAM, ""},
        {200, "[{\"id\":1}", TG_EUPSTREAM, ""},
        {200, "[1]", TG_EBADPARAM, "the rows have no such key"},
        {200, "[{\"x\":1}]", TG_EBADPARAM, "the rows have no such key"},
        {200, "[{\"id\":null}]", TG_EBADPARAM, "the rows have no such key"},
        {200, "[{\"id\":{}}]", TG_EBADPARAM, "the rows have no such key"},
        {200, "[{\"id\":1},{\"id\":1}]", TG_EBADPARAM, "two rows have the same key"},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct given g;

        begin(&g, 1);
        page(&g, cases[i].status, cases[i].body);
        cr_expect_eq(g.rc, cases[i].rc, "%s: %s", cases[i].body, tg_rc_name(g.rc));
        cr_expect(tg_str_has_prefix(tg_str_of(g.why), tg_str_of(cases[i].why)), "%s: %s",
                  cases[i].body, g.why);
        cr_expect_not(g.has_begun);
        cr_expect_str_eq(stream_seen.told_text, "", "nothing was said");
        finish(&g);
    }
}

Test(snapshot, that_fails_midway_says_so)
{
    struct given g;

    begin(&g, 1);
    page(&g, 200, "[{\"id\":1}]");
    stream_seen.told_text[0] = '\0';
    page(&g, 403, "{\"message\":\"gone\"}");
    cr_assert(g.has_begun);
    cr_assert(
        tg_str_has_prefix(tg_str_of(stream_seen.told_text),
                          TG_STR("event: snapshot\ndata: {\"topic\":\"table:public.a:x=eq.1\","
                                 "\"error\":{\"code\":\"TG430\"")));
    finish(&g);
}

Test(snapshot, that_upstream_does_not_start_ends_with_that)
{
    struct given g;

    refuses_fetch = true;
    begin(&g, 1);
    refuses_fetch = false;
    cr_assert_eq(g.n_done, 1);
    cr_assert_eq(g.rc, TG_EOPEN);
    fetch_seen.rc = TG_OK;
    finish(&g);
}

Test(snapshot, that_is_cancelled_hears_nothing_more)
{
    struct given g;

    begin(&g, 1);
    tg_snapshot_cancel(g.snapshot);
    g.snapshot = NULL;
    page(&g, 200, "[{\"id\":1}]");
    cr_assert_eq(g.n_first + g.n_done, 0);
    tg_snapshot_cancel(NULL);
    finish(&g);
}

Test(snapshot, whose_transport_cannot_begin_ends_in_silence)
{
    struct given g;

    begin(&g, 1);
    g.refuses_first = true;
    page(&g, 200, "[{\"id\":1}]");
    cr_assert_eq(g.n_first, 1);
    cr_assert_eq(g.n_done, 0);
    cr_assert_str_eq(stream_seen.told_text, "");
    finish(&g);
}

Test(snapshot, with_a_filter_that_postgrest_cannot_say_does_not_start)
{
    struct given g;
    const char *why = NULL;
    struct tg_snapshot *s = NULL;
    struct tg_snapshot_opts opts = {
        .n_topics = 1, .key = TG_STR("id"), .cursor = TG_STR("log.7-0"), .ops = &ops};

    begin(&g, 1);
    page(&g, 200, "[]");
    tg_topic_fini(&g.names[0]);
    cr_assert_eq(tg_topic_parse(NULL, TG_STR("table:public.a:x=like.*"), &g.names[0], &why), TG_OK);
    opts.w = &g.fleet.workers[0];
    opts.token = &g.token;
    opts.topics = g.topics;
    cr_assert_eq(tg_snapshot_start(&opts, &s, &why), TG_EBADTOPIC);
    cr_assert(strstr(why, "cannot look for *"));
    finish(&g);
}
