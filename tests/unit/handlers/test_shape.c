/* test_shape.c - what is left of an event for a small client. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "handlers/shape.h"

#define INSERT                                                                                     \
    "{\"id\":\"e.1-0\",\"topic\":\"table:public.tasks\",\"type\":\"INSERT\",\"schema\":"           \
    "\"public\","                                                                                  \
    "\"table\":\"tasks\",\"commit_timestamp\":\"2026-11-22T14:48:27.176Z\",\"record\":"            \
    "{\"id\":9007199254740993,\"title\":\"a, \\\"b\\\" {c}\",\"n\":1.10,\"doc\":{\"id\":[1]}}}"

/* Of all tests: each runs in a process of its own. */
static struct tg_arena arena;

static void drop_arena(void)
{
    tg_arena_drop(&arena);
}

TestSuite(shape, .fini = drop_arena);

static struct tg_shape shape(const char *fields, bool is_compact, bool has_one_topic)
{
    struct tg_shape s = {.is_compact = is_compact, .has_one_topic = has_one_topic};
    const char *why = NULL;

    if (fields != NULL) {
        cr_assert_eq(tg_shape_fields(&s, &arena, tg_str_of(fields), &why), TG_OK, "%s: %s", fields,
                     why);
    }
    return s;
}

static void shaped(struct tg_shape s, const char *message, const char *expected)
{
    struct tg_buf out = {.max = 4096};

    cr_assert_eq(tg_shape_put(&s, tg_str_of(message), &out), TG_OK);
    cr_assert_str_eq(tg_buf_cstr(&out), expected);
    tg_buf_fini(&out);
}

static void refused(const char *fields, const char *words)
{
    struct tg_shape s = {0};
    const char *why = NULL;

    cr_assert_eq(tg_shape_fields(&s, &arena, tg_str_of(fields), &why), TG_EBADPARAM, "%s", fields);
    cr_assert_not_null(strstr(why, words), "%s: %s", fields, why);
}

Test(shape, without_a_wish_an_event_stays_as_it_is)
{
    struct tg_shape s = {0};

    cr_assert(tg_shape_is_plain(&s));
    shaped(s, INSERT, INSERT);
    shaped(s, " {\"a\" : 1 } ", " {\"a\" : 1 } ");
}

Test(shape, fields_keep_only_these_columns_and_every_digit)
{
    shaped(shape("id,n", false, false), INSERT,
           "{\"id\":\"e.1-0\",\"topic\":\"table:public.tasks\",\"type\":\"INSERT\",\"schema\":"
           "\"public\",\"table\":\"tasks\",\"commit_timestamp\":\"2026-11-22T14:48:27.176Z\","
           "\"record\":{\"id\":9007199254740993,\"n\":1.10}}");
}

Test(shape, fields_look_only_at_the_columns_of_a_row_not_into_them)
{
    shaped(shape("doc", true, true), INSERT,
           "{\"type\":\"INSERT\",\"record\":{\"doc\":{\"id\":[1]}}}");
    shaped(shape("nothing", true, true), INSERT, "{\"type\":\"INSERT\",\"record\":{}}");
}

Test(shape, fields_cut_the_old_row_too)
{
    shaped(shape("id", false, false),
           "{\"type\":\"DELETE\",\"old_record\":{\"id\":7,\"key\":\"k\"}}",
           "{\"type\":\"DELETE\",\"old_record\":{\"id\":7}}");
    shaped(shape("id", false, false), "{\"type\":\"X\",\"record\":null}",
           "{\"type\":\"X\",\"record\":null}");
}

Test(shape, compact_leaves_what_the_client_cannot_infer)
{
    shaped(shape(NULL, true, true), INSERT,
           "{\"type\":\"INSERT\",\"record\":{\"id\":9007199254740993,\"title\":\"a, \\\"b\\\" "
           "{c}\",\"n\":1.10,\"doc\":{\"id\":[1]}}}");
    shaped(shape("title", true, true), INSERT,
           "{\"type\":\"INSERT\",\"record\":{\"title\":\"a, \\\"b\\\" {c}\"}}");
}

Test(shape, compact_names_the_topic_when_there_are_several)
{
    shaped(shape("n", true, false), INSERT,
           "{\"topic\":\"table:public.tasks\",\"type\":\"INSERT\",\"record\":{\"n\":1.10}}");
}

Test(shape, compact_keeps_the_old_row_of_a_delete_only)
{
    struct tg_shape s = shape(NULL, true, true);

    shaped(s, "{\"type\":\"UPDATE\",\"record\":{\"a\":1},\"old_record\":{\"id\":1}}",
           "{\"type\":\"UPDATE\",\"record\":{\"a\":1}}");
    shaped(s, "{\"type\":\"DELETE\",\"old_record\":{\"id\":1}}",
           "{\"type\":\"DELETE\",\"old_record\":{\"id\":1}}");
    shaped(s, "{\"old_record\":{\"id\":1},\"type\":\"DELETE\"}",
           "{\"old_record\":{\"id\":1},\"type\":\"DELETE\"}");
}

Test(shape, compact_keeps_marks_it_does_not_know)
{
    shaped(shape("a", true, true),
           "{\"id\":\"e.1-0\",\"type\":\"INSERT\",\"partial\":true,\"record\":{\"a\":1,\"b\":2}}",
           "{\"type\":\"INSERT\",\"partial\":true,\"record\":{\"a\":1}}");
}

Test(shape, a_named_event_keeps_its_topic_and_has_no_columns)
{
    shaped(shape("a", true, true),
           "{\"event\":\"reset\",\"id\":\"e.1-0\",\"topic\":\"t\",\"reason\":\"gap\"}",
           "{\"event\":\"reset\",\"topic\":\"t\",\"reason\":\"gap\"}");
    shaped(shape("a", false, true), "{\"event\":\"x\",\"record\":{\"b\":1}}",
           "{\"event\":\"x\",\"record\":{\"b\":1}}");
}

Test(shape, what_is_no_object_or_broken_stays_as_it_is)
{
    struct tg_shape s = shape("a", true, true);

    shaped(s, "[1,2]", "[1,2]");
    shaped(s, "", "");
    shaped(s, "{\"id\":1,\"record\":{\"a\":", "{\"id\":1,\"record\":{\"a\":");
    shaped(s, "{\"id\":1,", "{\"id\":1,");
}

Test(shape, over_the_maximum_the_output_is_as_before)
{
    struct tg_shape s = shape("n", true, true);
    struct tg_buf out = {.max = 20};

    cr_assert_eq(tg_buf_str(&out, TG_STR("[")), TG_OK);
    cr_assert_eq(tg_shape_put(&s, TG_STR(INSERT), &out), TG_ELIMIT);
    cr_assert_eq(tg_buf_rc(&out), TG_OK);
    cr_assert_eq(out.n, 1);
    cr_assert_eq(tg_shape_put(&s, TG_STR("{\"type\":\"A\"}"), &out), TG_OK);
    cr_assert_eq(tg_shape_put(&(struct tg_shape){0}, TG_STR(INSERT), &out), TG_ELIMIT);
    cr_assert_eq(tg_buf_rc(&out), TG_OK);
    cr_assert_str_eq(tg_buf_cstr(&out), "[{\"type\":\"A\"}");
    tg_buf_fini(&out);
}

Test(shape, fields_are_names_joined_by_commas_each_counted_once)
{
    struct tg_shape s = shape("id, title ,id,ü", false, false);

    cr_assert_eq(s.n_fields, 3);
    cr_assert(tg_str_eq(s.fields[1], TG_STR("title")));
    cr_assert(!tg_shape_is_plain(&s));
    refused("", "names columns");
    refused("id,,title", "empty name");
    refused("id,", "empty name");
    refused("a\"b", "quote");
    refused("a\\b", "quote");
    refused("a\nb", "control");
}

Test(shape, at_most_64_fields)
{
    char text[65 * 4 + 16] = "";

    for (int i = 0; i < 65; i++) {
        (void)snprintf(text + strlen(text), 16, "%sc%02d", i == 0 ? "" : ",", i);
    }
    refused(text, "at most 64");
    text[strlen(text) - strlen(",c64")] = '\0';
    cr_assert_eq(shape(text, false, false).n_fields, 64);
}
