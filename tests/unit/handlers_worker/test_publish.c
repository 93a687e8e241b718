/* test_publish.c - who may publish, and one answer about all events, whatever comes back when. */
#include <criterion/criterion.h>
#include <string.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "fakes.h"
#include "handlers/publish.h"
#include "util/json.h"

#define SERVICE "sb_secret_service"
#define TWO                                                                                        \
    "{\"events\":[{\"topic\":\"notes:1\",\"id\":\"a\",\"payload\":1},"                             \
    "{\"topic\":\"notes:2\",\"payload\":2}]}"

static const struct tg_declared declared[] = {
    {.name = TG_STR_INIT("notes"), .key_type = TG_KEY_TEXT, .is_public = true}};
static const struct tg_declared_list list = {declared, TG_ARRAY_LEN(declared)};

struct given {
    struct fleet fleet;
    struct asked_request r;
};

static void begin(struct given *g)
{
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);

    append_seen = (struct fake_append_seen){0};
    fleet_make(&g->fleet, 1, keys);
    tg_keys_unref(keys);
    g->fleet.opts.keys = (struct tg_apikeys){.anon = TG_STR("anon"), .secret = TG_STR(SERVICE)};
    g->fleet.opts.declared = &list;
    g->fleet.opts.own_body_bytes = 200;
    g->fleet.opts.event_bytes = 100;
    g->fleet.opts.publish_events = 3;
    g->fleet.opts.publish_once = TG_SEC(7);
    g->fleet.opts.publish_tolerance = TG_SEC(300);
    request_make(&g->r, TG_POST, "/sync/v1/publish");
}

static void start(struct given *g)
{
    struct tg_conn *c = &g->r.conn;

    c->worker = &g->fleet.workers[0];
    tg_publish_start(tg_exchange_create(c->worker, c, &g->r.req));
}

static void send(struct given *g, const char *body)
{
    struct tg_conn *c = &g->r.conn;

    c->handler->on_body(c, tg_str_of(body), c->ctx);
    c->handler->on_body_end(c, c->ctx);
}

static void start_with_key(struct given *g, const char *body)
{
    request_field(&g->r, "apikey", SERVICE);
    start(g);
    cr_assert(g->r.conn.wants_body);
    send(g, body);
}

static void listened(bool first, bool second)
{
    const bool has[] = {first, second};

    append_seen.listened(has, append_seen.n_asked, append_seen.listened_arg);
}

static void appended(unsigned i, enum tg_rc rc, uint64_t ms)
{
    append_seen.done[i](rc, (struct tg_pos){ms, 0}, append_seen.args[i]);
}

static void finish(struct given *g)
{
    request_gone(&g->r);
    request_drop(&g->r);
    fleet_drop(&g->fleet);
}

/* ---- who may ---- */

static void expect_refused(const char *name, const char *value, unsigned status, const char *code)
{
    struct given g;

    begin(&g);
    if (name != NULL) {
        request_field(&g.r, name, value);
    }
    start(&g);
    cr_expect_eq(g.r.conn.status, status, "%s: %u", value, g.r.conn.status);
    cr_expect(strstr(g.r.conn.body, code), "%s: %s", value, g.r.conn.body);
    cr_expect_not(g.r.conn.wants_body);
    send(&g, TWO);
    cr_expect_eq(append_seen.n, 0);
    cr_expect_eq(g.r.conn.n_answers, 1);
    finish(&g);
}

Test(publish, is_for_the_service_key)
{
    expect_refused(NULL, NULL, 401, "TG414");
    expect_refused("apikey", "wrong", 401, "TG415");
    expect_refused("Authorization", "Bearer wrong", 401, "TG415");
    expect_refused("apikey", "anon", 403, "TG430");
    expect_refused("Tidegate-Signature", "t=1,v1=ab", 401, "TG417");
}

Test(publish, takes_the_key_as_bearer_too)
{
    struct given g;

    begin(&g);
    request_field(&g.r, "apikey", "anon");
    request_field(&g.r, "Authorization", "Bearer " SERVICE);
    start(&g);
    cr_assert(g.r.conn.wants_body);
    finish(&g);
}

Test(publish, with_two_keys_is_not_understood)
{
    struct given g;

    begin(&g);
    request_field(&g.r, "apikey", SERVICE);
    request_field(&g.r, "apikey", SERVICE);
    start(&g);
    cr_assert_eq(g.r.conn.status, 400);
    finish(&g);
}

Test(publish, with_a_wrong_signature_is_refused_once_the_body_is_there)
{
    struct given g;

    begin(&g);
    g.fleet.opts.publish_secret = TG_STR("0123456789abcdef0123456789abcdef");
    request_field(&g.r, "Tidegate-Signature", "t=1,v1=ab");
    start(&g);
    cr_assert(g.r.conn.wants_body);
    send(&g, TWO);
    cr_assert_eq(g.r.conn.status, 401);
    cr_assert(strstr(g.r.conn.body, "TG417"));
    finish(&g);
}

/* ---- the events ---- */

Test(publish, answers_about_all_when_everything_has_come_back)
{
    struct given g;

    begin(&g);
    start_with_key(&g, TWO);
    cr_assert_eq(append_seen.n, 2);
    cr_assert_str_eq(append_seen.topics[0], "notes:1");
    cr_assert_str_eq(append_seen.once[0], "a");
    cr_assert_str_eq(append_seen.payloads[0], "{\"topic\":\"notes:1\",\"payload\":1}");
    cr_assert_str_eq(append_seen.topics[1], "notes:2");
    cr_assert_str_eq(append_seen.once[1], "");
    cr_assert_eq(append_seen.once_ttl, TG_SEC(7));
    appended(1, TG_OK, 8);
    listened(true, false);
    cr_assert_eq(g.r.conn.n_answers, 0);
    appended(0, TG_ECONFLICT, 3);
    cr_assert_eq(g.r.conn.status, 200);
    cr_assert_str_eq(
        g.r.conn.body,
        "{\"events\":[{\"topic\":\"notes:1\",\"id\":\".3-0\",\"duplicate\":true,\"listeners\":true}"
        ",{\"topic\":\"notes:2\",\"id\":\".8-0\",\"duplicate\":false,\"listeners\":false}]}");
    cr_assert_eq(tg_count_get(&g.fleet.workers[0].counts.published), 1);
    cr_assert_eq(tg_count_get(&g.fleet.workers[0].counts.publish_duplicates), 1);
    finish(&g);
}

Test(publish, tells_of_each_event_what_became_of_it_when_one_failed)
{
    struct given g;

    begin(&g);
    start_with_key(&g, TWO);
    appended(0, TG_OK, 3);
    appended(1, TG_ETIMEDOUT, 0);
    append_seen.listened(NULL, 2, append_seen.listened_arg);
    cr_assert_eq(g.r.conn.status, 503);
    cr_assert(strstr(g.r.conn.fields, "Retry-After: 1\n"));
    cr_assert(tg_json_is_valid(tg_str_of(g.r.conn.body)));
    cr_assert(strstr(g.r.conn.body, "{\"code\":\"TG603\""));
    cr_assert(strstr(g.r.conn.body, "\"id\":\".3-0\",\"duplicate\":false,\"listeners\":null}"));
    cr_assert(strstr(g.r.conn.body, "{\"topic\":\"notes:2\",\"error\":{\"code\":\"TG603\""));
    cr_assert_eq(tg_count_get(&g.fleet.workers[0].counts.publish_failures), 1);
    finish(&g);
}

Test(publish, is_answered_when_the_store_takes_nothing)
{
    struct given g;

    begin(&g);
    append_seen.rc = TG_EBUSY;
    start_with_key(&g, TWO);
    cr_assert_eq(g.r.conn.n_answers, 0);
    listened(false, false);
    cr_assert_eq(g.r.conn.status, 503);
    cr_assert(strstr(g.r.conn.body, "{\"code\":\"TG606\""));
    finish(&g);
}

Test(publish, without_a_store_is_to_be_tried_again)
{
    struct given g;

    begin(&g);
    is_store_down = true;
    start_with_key(&g, TWO);
    is_store_down = false;
    cr_assert_eq(g.r.conn.status, 503);
    cr_assert_eq(append_seen.n_asked, 0);
    finish(&g);
}

Test(publish, whose_publisher_has_left_is_written_all_the_same)
{
    struct given g;

    begin(&g);
    start_with_key(&g, TWO);
    request_gone(&g.r);
    appended(0, TG_OK, 1);
    appended(1, TG_OK, 2);
    listened(false, false); /* frees what is left */
    cr_assert_eq(g.r.conn.n_answers, 0);
    cr_assert_eq(tg_count_get(&g.fleet.workers[0].counts.published), 2);
    request_drop(&g.r);
    fleet_drop(&g.fleet);
}

Test(publish, writes_nothing_when_one_event_is_not_good)
{
    struct given g;

    begin(&g);
    start_with_key(&g, "{\"events\":[{\"topic\":\"notes:1\"},{\"topic\":\"other:1\"}]}");
    cr_assert_eq(g.r.conn.status, 400);
    cr_assert(strstr(g.r.conn.body, "events[1]: no topic of this name"));
    cr_assert_eq(append_seen.n, 0);
    finish(&g);
}

Test(publish, with_a_large_body_is_refused_early_or_when_it_comes)
{
    struct given g;
    char big[300];

    begin(&g);
    request_field(&g.r, "apikey", SERVICE);
    g.r.req.head.body = TG_BODY_LENGTH;
    g.r.req.head.content_length = 201;
    start(&g);
    cr_assert_eq(g.r.conn.status, 413);
    finish(&g);

    memset(big, ' ', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    begin(&g);
    start_with_key(&g, big);
    cr_assert_eq(g.r.conn.status, 413);
    cr_assert_eq(g.r.conn.n_answers, 1);
    finish(&g);
}

Test(publish, by_a_webhook_takes_topic_and_key_from_around_the_body)
{
    struct given g;

    begin(&g);
    request_make(&g.r, TG_POST, "/sync/v1/publish?topic=notes%3A7");
    request_field(&g.r, "Idempotency-Key", "hook");
    start_with_key(&g, "{\"type\":\"INSERT\",\"record\":{\"id\":9007199254740993}}");
    cr_assert_str_eq(append_seen.topics[0], "notes:7");
    cr_assert_str_eq(append_seen.once[0], "hook");
    cr_assert_str_eq(
        append_seen.payloads[0],
        "{\"topic\":\"notes:7\",\"type\":\"INSERT\",\"record\":{\"id\":9007199254740993}}");
    appended(0, TG_OK, 1);
    append_seen.listened(NULL, 1, append_seen.listened_arg);
    cr_assert_eq(g.r.conn.status, 200);
    finish(&g);
}
