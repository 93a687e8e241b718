/* test_publish_events.c - bodies of requests to publish, and what becomes of them. */
#include <criterion/criterion.h>

#include "handlers/publish_events.h"

static const struct tg_declared declared[] = {
    {.name = TG_STR_INIT("notes"), .key_type = TG_KEY_TEXT, .is_public = true},
    {.name = TG_STR_INIT("rooms"), .key_type = TG_KEY_INT, .is_public = true},
};
static const struct tg_declared_list list = {declared, TG_ARRAY_LEN(declared)};
static const struct tg_publish_rules rules = {&list, 3, 200};

struct given {
    enum tg_rc rc;
    struct tg_publish_batch batch;
    struct tg_buf why;
};

static struct given *read_from(const char *body, const char *topic, const char *once)
{
    static struct given g;
    const struct tg_publish_from from = {
        .body = tg_str_of(body), .topic = tg_str_of(topic), .once = tg_str_of(once)};

    g = (struct given){.why = {.max = TG_PUBLISH_WHY_MAX}};
    g.rc = tg_publish_read(&rules, &from, &g.batch, &g.why);
    return &g;
}

static void done(struct given *g)
{
    tg_publish_fini(&g->batch);
    tg_buf_fini(&g->why);
}

static bool is_event(const struct given *g, size_t i, const char *topic, const char *once,
                     const char *json)
{
    const struct tg_publish_event *e = &g->batch.events[i];

    return tg_str_eq(e->topic.name, tg_str_of(topic)) &&
           tg_str_eq(tg_buf_view(&e->once), tg_str_of(once)) &&
           tg_str_eq(tg_publish_json(&g->batch, e), tg_str_of(json));
}

Test(publish_events, are_read_in_their_order)
{
    struct given *g = read_from("{\"events\":[{\"topic\":\"notes:1\",\"type\":\"a\",\"payload\":1},"
                                "{\"payload\":[2],\"id\":\"k\",\"topic\":\"rooms:2\"}]}",
                                "", "");

    cr_assert_eq(g->rc, TG_OK, "%s", tg_buf_cstr(&g->why));
    cr_assert_eq(g->batch.n, 2);
    cr_assert(
        is_event(g, 0, "notes:1", "", "{\"topic\":\"notes:1\",\"type\":\"a\",\"payload\":1}"));
    cr_assert(is_event(g, 1, "rooms:2", "k", "{\"topic\":\"rooms:2\",\"payload\":[2]}"));
    done(g);
}

Test(publish_events, may_be_one_alone)
{
    struct given *g = read_from("\n{\"topic\":\"notes:\\u0061\",\"payload\":null}\n", "", "key");

    cr_assert_eq(g->rc, TG_OK, "%s", tg_buf_cstr(&g->why));
    cr_assert(is_event(g, 0, "notes:a", "key", "{\"topic\":\"notes:a\",\"payload\":null}"));
    done(g);
}

Test(publish_events, of_a_database_webhook_stay_as_they_are)
{
    struct given *g =
        read_from("{\"type\":\"UPDATE\",\"table\":\"t\",\"schema\":\"public\","
                  "\"record\":{\"id\":9007199254740993,\"n\":1.10},\"old_record\":null}",
                  "notes:1", "hook-1");

    cr_assert_eq(g->rc, TG_OK, "%s", tg_buf_cstr(&g->why));
    cr_assert(is_event(g, 0, "notes:1", "hook-1",
                       "{\"topic\":\"notes:1\",\"type\":\"UPDATE\",\"table\":\"t\","
                       "\"schema\":\"public\",\"record\":{\"id\":9007199254740993,\"n\":1.10},"
                       "\"old_record\":null}"));
    done(g);
}

Test(publish_events, lose_the_line_breaks_that_would_break_a_stream)
{
    struct given *g = read_from("{\n  \"topic\": \"notes:1\",\r\n  \"payload\": {\n \"a b\" : "
                                "[ 1,\n 2 ] }\n}",
                                "", "");

    cr_assert_eq(g->rc, TG_OK, "%s", tg_buf_cstr(&g->why));
    cr_assert(is_event(g, 0, "notes:1", "", "{\"topic\":\"notes:1\",\"payload\":{\"a b\":[1,2]}}"));
    done(g);
}

Test(publish_events, that_are_not_good_are_refused_with_all_others)
{
    static const struct {
        const char *body;
        const char *topic;
        const char *once;
        enum tg_rc rc;
        const char *why;
    } cases[] = {
        {"", "", "", TG_EBADJSON, "the body is a JSON object"},
        {"[1]", "", "", TG_EBADJSON, "the body is a JSON object"},
        {"{\"topic\":\"notes:1\"", "", "", TG_EBADJSON, "the body is a JSON object"},
        {"{}", "", "", TG_EBADTOPIC, "the topic is missing"},
        {"{\"events\":[]}", "", "", TG_EBADPARAM, "there is no event"},
        {"{\"events\":{}}", "", "", TG_EBADJSON, "beside the list"},
        {"{\"events\":[{\"topic\":\"notes:1\"}],\"x\":1}", "", "", TG_EBADJSON, "beside the list"},
        {"{\"events\":[1]}", "", "", TG_EBADJSON, "events[0]: an event is an object"},
        {"{\"events\":[{\"topic\":\"notes:1\"},{\"topic\":\"notes:2\"},{\"topic\":\"notes:3\"},"
         "{\"topic\":\"notes:4\"}]}",
         "", "", TG_EBADPARAM, "more events than"},
        {"{\"events\":[{\"topic\":\"notes:1\"},{\"topic\":\"other:1\"}]}", "", "", TG_EBADTOPIC,
         "events[1]: no topic of this name"},
        {"{\"topic\":\"rooms:01\"}", "", "", TG_EBADTOPIC, "the key of this topic is a whole"},
        {"{\"topic\":7}", "", "", TG_EBADJSON, "topic is a text"},
        {"{\"topic\":\"\"}", "", "", TG_EBADJSON, "topic is a text"},
        {"{\"topic\":\"table:public.tasks\"}", "", "", TG_EBADTOPIC, "the changes of a table"},
        {"{\"topic\":\"notes:1\"}", "notes:1", "", TG_EBADTOPIC, "the topic is named twice"},
        {"{\"events\":[]}", "notes:1", "", TG_EBADJSON, "an event has topic"},
        {"{\"type\":\"INSERT\"}", "table:public.tasks", "", TG_EBADTOPIC, "the changes of a table"},
        {"{\"type\":\"INSERT\"}", "other:1", "", TG_EBADTOPIC, "no topic of this name"},
        {"{\"topic\":\"notes:1\",\"paylod\":1}", "", "", TG_EBADJSON, "an event has topic"},
        {"{\"topic\":\"notes:1\",\"event\":\"bye\"}", "", "", TG_EBADJSON, "an event has topic"},
        {"{\"topic\":\"notes:1\",\"type\":1}", "", "", TG_EBADJSON, "type is a text"},
        {"{\"topic\":\"notes:1\",\"id\":1}", "", "", TG_EBADJSON, "id is a text"},
        {"{\"topic\":\"notes:1\",\"id\":\"\"}", "", "", TG_EBADJSON, "id is a text"},
        {"{\"topic\":\"notes:1\",\"id\":\"a\",\"id\":\"b\"}", "", "", TG_EBADPARAM,
         "the id is given twice"},
        {"{\"topic\":\"notes:1\",\"id\":\"a\"}", "", "b", TG_EBADPARAM, "Idempotency-Key goes"},
        {"{\"events\":[{\"topic\":\"notes:1\"},{\"topic\":\"notes:2\"}]}", "", "b", TG_EBADPARAM,
         "Idempotency-Key goes"},
        {"{\"topic\":\"notes:1\",\"payload\":"
         "\"012345678901234567890123456789012345678901234567890123456789012345678901234567890123456"
         "7"
         "8901234567890123456789012345678901234567890123456789012345678901234567890123456789012345"
         "67890123456789\"}",
         "", "", TG_EBODYSIZE, "the event is larger"},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct given *g = read_from(cases[i].body, cases[i].topic, cases[i].once);

        cr_expect_eq(g->rc, cases[i].rc, "%s: %s", cases[i].body, tg_rc_name(g->rc));
        cr_expect(tg_str_has_prefix(tg_buf_view(&g->why), tg_str_of(cases[i].why)), "%s: %s",
                  cases[i].body, tg_buf_cstr(&g->why));
        done(g);
    }
}

Test(publish_events, take_an_idempotency_key_of_at_most_255_bytes)
{
    char key[257] = {0};
    struct given *g = NULL;

    memset(key, 'k', 255);
    g = read_from("{\"topic\":\"notes:1\"}", "", key);
    cr_expect_eq(g->rc, TG_OK);
    done(g);
    key[255] = 'k';
    g = read_from("{\"topic\":\"notes:1\"}", "", key);
    cr_expect_eq(g->rc, TG_EBADPARAM);
    done(g);
}
