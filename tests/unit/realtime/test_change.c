/* test_change.c - an event is made of slices: no digit changes, nothing leaks. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "realtime/change.h"
#include "realtime/table.h"

static char text[8192];

static const tg_str ID[] = {TG_STR_INIT("id")};
static const struct tg_table TASKS = {TG_STR_INIT("public"), TG_STR_INIT("tasks"), ID, 1, {0}};

static const char *event_of(const struct tg_table *table, const char *payload)
{
    struct tg_buf out = {.max = sizeof(text) - 1};
    struct tg_change c = {0};

    cr_assert_eq(tg_change_parse(tg_str_of(payload), &c), TG_OK);
    cr_assert_eq(tg_change_event(&c, TG_STR("t"), table, &out), TG_OK);
    memcpy(text, tg_buf_view(&out).p, out.n);
    text[out.n] = '\0';
    tg_buf_fini(&out);
    return text;
}

/* The event for topic "t". */
static const char *event(const char *payload)
{
    return event_of(&TASKS, payload);
}

static enum tg_rc refusal(const char *payload, size_t max)
{
    struct tg_buf out = {.max = max};
    struct tg_change c = {0};
    enum tg_rc rc = tg_change_parse(tg_str_of(payload), &c);

    if (rc == TG_OK) {
        rc = tg_change_event(&c, TG_STR("t"), &TASKS, &out);
    }

    tg_buf_fini(&out);
    return rc;
}

Test(change, of_an_insert_has_the_record)
{
    cr_assert_str_eq(
        event("{\"ids\":[1],\"data\":{\"schema\":\"public\",\"table\":\"tasks\","
              "\"commit_timestamp\":\"2026-11-22T14:48:27.176Z\",\"type\":\"INSERT\","
              "\"columns\":[],\"record\":{\"id\":1},\"errors\":null}}"),
        "{\"topic\":\"t\",\"type\":\"INSERT\",\"schema\":\"public\",\"table\":\"tasks\","
        "\"commit_timestamp\":\"2026-11-22T14:48:27.176Z\",\"record\":{\"id\":1}}");
}

Test(change, keeps_every_digit)
{
    static const char record[] = "{\"big\":9223372036854775807,\"exact\":1.10,\"e\":1e400,"
                                 "\"deep\":{\"n\":[0.30000000000000000001, -0]}}";
    struct tg_buf payload = {.max = 4096};

    (void)tg_buf_printf(&payload, "{\"data\":{\"type\":\"INSERT\",\"record\":%s}}", record);
    (void)tg_buf_char(&payload, '\0');
    cr_assert_not_null(strstr(event(tg_buf_view(&payload).p), record));
    tg_buf_fini(&payload);
}

Test(change, of_an_update_shows_of_the_old_record_only_the_primary_key)
{
    static const char update[] =
        "{\"data\":{\"type\":\"UPDATE\",\"record\":{\"id\":6,\"a\":\"new\",\"b\":1},"
        "\"old_record\":{\"id\":5,\"a\":\"old\",\"b\":1}}}";

    cr_assert_not_null(strstr(event(update), "\"old_record\":{\"id\":5}}"));
    cr_assert_not_null(strstr(event_of(NULL, update), "\"old_record\":{}}"));
}

Test(change, of_an_update_leaves_out_what_the_old_record_has_not)
{
    cr_assert_not_null(
        strstr(event("{\"data\":{\"type\":\"UPDATE\",\"record\":{\"id\":6},\"old_record\":{}}}"),
               "\"old_record\":{}}"));
}

Test(change, whose_old_record_is_none_has_none)
{
    cr_assert_str_eq(
        event("{\"data\":{\"type\":\"UPDATE\",\"record\":{\"id\":6},\"old_record\":null}}"),
        "{\"topic\":\"t\",\"type\":\"UPDATE\",\"record\":{\"id\":6}}");
}

Test(change, of_a_delete_has_the_primary_key_alone)
{
    cr_assert_str_eq(event("{\"data\":{\"type\":\"DELETE\",\"record\":{\"a\":1},"
                           "\"old_record\":{\"id\":5,\"a\":1}}}"),
                     "{\"topic\":\"t\",\"type\":\"DELETE\",\"old_record\":{\"id\":5}}");
}

Test(change, says_that_columns_were_left_out)
{
#define COLUMNS "\"columns\":[{\"name\":\"id\"},{\"name\":\"doc\"}]"
    cr_assert_str_eq(
        event("{\"data\":{\"type\":\"UPDATE\"," COLUMNS ",\"record\":{\"id\":1},"
              "\"errors\":null}}"),
        "{\"topic\":\"t\",\"type\":\"UPDATE\",\"record\":{\"id\":1},\"partial\":true}");
    cr_assert_str_eq(
        event("{\"data\":{\"type\":\"INSERT\"," COLUMNS ",\"record\":{\"id\":1},"
              "\"errors\":[\"Error 413: Payload Too Large\"]}}"),
        "{\"topic\":\"t\",\"type\":\"INSERT\",\"record\":{\"id\":1},\"partial\":true}");
    cr_assert_str_eq(
        event("{\"data\":{\"type\":\"INSERT\"," COLUMNS ",\"record\":{\"id\":1,\"doc\":null}}}"),
        "{\"topic\":\"t\",\"type\":\"INSERT\",\"record\":{\"id\":1,\"doc\":null}}");
    cr_assert_str_eq(event("{\"data\":{\"type\":\"DELETE\"," COLUMNS ",\"old_record\":{\"id\":1},"
                           "\"errors\":[\"Error 413: Payload Too Large\"]}}"),
                     "{\"topic\":\"t\",\"type\":\"DELETE\",\"old_record\":{\"id\":1}}");
}

Test(change, with_errors_is_refused)
{
    cr_assert_eq(
        refusal("{\"data\":{\"type\":\"INSERT\",\"record\":{},\"errors\":[\"Error 401\"]}}", 4096),
        TG_EUNSUPPORTED);
    cr_assert_eq(
        refusal("{\"data\":{\"type\":\"INSERT\",\"record\":{},\"errors\":\"Error 413\"}}", 4096),
        TG_EUNSUPPORTED);
    cr_assert_eq(refusal("{\"data\":{\"type\":\"INSERT\",\"record\":{},"
                         "\"errors\":[\"Error 413\",\"Error 401\"]}}",
                         4096),
                 TG_EUNSUPPORTED);
    cr_assert_eq(refusal("{\"data\":{\"type\":\"INSERT\",\"record\":{},\"errors\":[]}}", 4096),
                 TG_OK);
}

Test(change, says_the_first_of_its_errors)
{
    static const char *const cases[][2] = {
        {"{\"data\":{\"errors\":[\"Error 400: Bad Request, no primary key\",\"b\"]}}",
         "Error 400: Bad Request, no primary key"},
        {"{\"data\":{\"errors\":[5]}}", ""},
        {"{\"data\":{\"errors\":[]}}", ""},
        {"{\"data\":{\"errors\":null}}", ""},
        {"{\"data\":{}}", ""},
        {"5", ""},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        cr_assert(tg_str_eq(tg_change_error(tg_str_of(cases[i][0])), tg_str_of(cases[i][1])), "%s",
                  cases[i][0]);
    }
}

Test(change, that_is_none_is_refused)
{
    static const char *const bad[] = {"",
                                      "{}",
                                      "[]",
                                      "null",
                                      "{\"data\":{}}",
                                      "{\"data\":1}",
                                      "{\"data\":[]}",
                                      "{\"type\":\"INSERT\"}",
                                      "{\"data\":{\"type\":\"INSERT\"}}",
                                      "{\"data\":{\"type\":\"INSERT\",\"record\":null}}",
                                      "{\"data\":{\"type\":\"UPDATE\",\"record\":[1]}}"};

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_eq(refusal(bad[i], 4096), TG_EBADJSON, "%s", bad[i]);
    }
}

Test(change, of_another_type_is_refused)
{
    static const char *const types[] = {"null", "5", "\"insert\"", "\"TRUNCATE\""};

    for (size_t i = 0; i < TG_ARRAY_LEN(types); i++) {
        char payload[128];

        (void)snprintf(payload, sizeof(payload), "{\"data\":{\"type\":%s,\"record\":{\"id\":1}}}",
                       types[i]);
        cr_assert_eq(refusal(payload, 4096), TG_EUNSUPPORTED, "%s", types[i]);
    }
}

Test(change, that_is_too_long_is_refused)
{
    cr_assert_eq(refusal("{\"data\":{\"type\":\"INSERT\",\"record\":{\"id\":1}}}", 20), TG_ELIMIT);
}
