/* test_topic.c - a topic has one spelling, and what is no topic is refused with a reason. */
#include <criterion/criterion.h>

#include "realtime/topic.h"

/* The canonical name, or NULL. The caller frees nothing: the buffer is the test's. */
static const char *canonical(const char *text)
{
    static char out[TG_TOPIC_MAX_BYTES * 2];
    struct tg_topic_name t = {0};
    const char *why = NULL;

    if (tg_topic_parse(NULL, tg_str_of(text), &t, &why) != TG_OK) {
        cr_assert_not_null(why);
        return NULL;
    }
    cr_assert_lt(t.name.n, sizeof(out));
    memcpy(out, t.name.p, t.name.n);
    out[t.name.n] = '\0';
    tg_topic_fini(&t);
    return out;
}

Test(topic, is_taken_apart)
{
    struct tg_topic_name t = {0};
    const char *why = NULL;

    cr_assert_eq(tg_topic_parse(NULL, TG_STR("table:public.tasks:title=eq.a"), &t, &why), TG_OK);
    cr_assert(tg_str_eq(t.schema, TG_STR("public")));
    cr_assert(tg_str_eq(t.table, TG_STR("tasks")));
    cr_assert(tg_str_eq(t.filter, TG_STR("title=eq.a")));
    cr_assert(tg_str_eq(t.name, TG_STR("table:public.tasks:title=eq.a")));
    tg_topic_fini(&t);
    cr_assert_null(t.text);
}

Test(topic, without_a_filter_has_an_empty_one)
{
    struct tg_topic_name t = {0};
    const char *why = NULL;

    cr_assert_eq(tg_topic_parse(NULL, TG_STR("table:public.tasks"), &t, &why), TG_OK);
    cr_assert_eq(t.filter.n, 0);
    tg_topic_fini(&t);
}

Test(topic, has_its_conditions_in_one_order_without_blanks_or_repeats)
{
    static const char *const same[] = {
        "table:public.tasks:a=eq.1,b=gt.2",
        "table:public.tasks:b=gt.2,a=eq.1",
        "table:public.tasks: b=gt.2 , a=eq.1 ",
        "table:public.tasks:a=eq.1,b=gt.2,a=eq.1",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(same); i++) {
        cr_assert_str_eq(canonical(same[i]), "table:public.tasks:a=eq.1,b=gt.2");
    }
}

Test(topic, that_is_canonical_stays_as_it_is)
{
    static const char *const topics[] = {
        "table:public.tasks",
        "table:my_schema.T2$",
        "table:public.t\xC3\xA4sks",
        "table:public.tasks:id=eq.5",
        "table:public.tasks:id=not.in.(1,2,3)",
        "table:public.tasks:name=eq.\"a,b\"",
        "table:public.tasks:name=in.(\"a,b\",\"c)\",\"d\\\"e\")",
        "table:public.tasks:at=eq.2026-11-22T14:48:27.176+00:00",
        "table:public.tasks:x=is.null",
        "table:public.tasks:x=like.%a:b%",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(topics); i++) {
        const char *got = canonical(topics[i]);

        cr_assert_not_null(got, "%s", topics[i]);
        cr_assert_str_eq(got, topics[i]);
    }
}

Test(topic, that_is_none_is_refused)
{
    static const char *const bad[] = {
        "",
        "table",
        "table:",
        "tables:public.tasks",
        "table:tasks",
        "table:.tasks",
        "table:public.",
        "table:public.ta sks",
        "table:public.tasks.more",
        "table:public.*",
        "table:*.*",
        "table:1public.tasks",
        "table:public.1tasks",
        "table:$a.tasks",
        "table:public.tasks:",
        "table:public.tasks: ",
        "table:public.tasks:id",
        "table:public.tasks:id=",
        "table:public.tasks:id=eq",
        "table:public.tasks:id=eq.",
        "table:public.tasks:=eq.1",
        "table:public.tasks:id=EQ.1",
        "table:public.tasks:id=not.1",
        "table:public.tasks:id=not.not.eq.1",
        "table:public.tasks:id=eq.1,",
        "table:public.tasks:,id=eq.1",
        "table:public.tasks:id=in.1",
        "table:public.tasks:id=in.()",
        "table:public.tasks:id=in.(1",
        "table:public.tasks:id=eq.\"1",
        "table:public.tasks:id=eq.a\tb",
        "table:public.tasks:id=eq.\x7f",
        "table:public.tasks:id=eq.\xff",
        "table:public.tasks:id=eq.\xed\xa0\x80",
        "TABLE:public.tasks",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_null(canonical(bad[i]), "%s", bad[i]);
    }
}

Test(topic, has_at_most_512_bytes)
{
    char text[TG_TOPIC_MAX_BYTES + 2] = "table:public.tasks:a=eq.";
    size_t n = strlen(text);

    memset(text + n, 'x', TG_TOPIC_MAX_BYTES - n);
    cr_assert_not_null(canonical(text));
    text[TG_TOPIC_MAX_BYTES] = 'x';
    cr_assert_null(canonical(text));
}

Test(topic, has_names_of_at_most_63_bytes)
{
    char text[128] = "table:public.";
    size_t n = strlen(text);

    memset(text + n, 't', 63);
    cr_assert_not_null(canonical(text));
    text[n + 63] = 't';
    cr_assert_null(canonical(text));
}

Test(topic, has_at_most_16_conditions)
{
    struct tg_buf text = {.max = 1024};

    (void)tg_buf_str(&text, TG_STR("table:a.b:"));
    for (int i = 0; i < TG_TOPIC_MAX_CONDITIONS; i++) {
        (void)tg_buf_printf(&text, "%sc%d=eq.1", i == 0 ? "" : ",", i);
    }
    (void)tg_buf_char(&text, '\0');
    cr_assert_not_null(canonical(tg_buf_view(&text).p));
    text.n--;
    (void)tg_buf_str(&text, TG_STR(",more=eq.1"));
    (void)tg_buf_char(&text, '\0');
    cr_assert_null(canonical(tg_buf_view(&text).p));
    tg_buf_fini(&text);
}

Test(topic, has_at_most_100_values_of_in)
{
    struct tg_buf text = {.max = 1024};

    (void)tg_buf_str(&text, TG_STR("table:a.b:c=in.(1"));
    for (int i = 1; i < TG_TOPIC_MAX_IN; i++) {
        (void)tg_buf_str(&text, TG_STR(",1"));
    }
    (void)tg_buf_str(&text, TG_STR(")"));
    (void)tg_buf_char(&text, '\0');
    cr_assert_not_null(canonical(tg_buf_view(&text).p));
    text.n -= 2;
    (void)tg_buf_str(&text, TG_STR(",1)"));
    (void)tg_buf_char(&text, '\0');
    cr_assert_null(canonical(tg_buf_view(&text).p));
    tg_buf_fini(&text);
}

Test(topic, is_kept_under_its_class)
{
    struct tg_buf key = {.max = 256};
    struct tg_topic_name t = {0};
    const char *why = NULL;

    cr_assert_eq(tg_topic_parse(NULL, TG_STR("table:public.tasks"), &t, &why), TG_OK);
    tg_topic_key(&key, TG_STR("c1"), &t);
    cr_assert(tg_str_eq(tg_buf_view(&key), TG_STR("c1|table:public.tasks")));
    tg_topic_fini(&t);
    tg_buf_fini(&key);
}

/* ---- declared topics ---- */

static const struct tg_declared declared[] = {
    {.name = TG_STR_INIT("notes"), .key_type = TG_KEY_TEXT, .is_public = true},
    {.name = TG_STR_INIT("trips"), .key_type = TG_KEY_UUID, .is_public = true},
    {.name = TG_STR_INIT("rooms"), .key_type = TG_KEY_INT, .is_public = true},
};
static const struct tg_declared_list list = {declared, TG_ARRAY_LEN(declared)};

static bool is_topic(const char *text)
{
    struct tg_topic_name t = {0};
    const char *why = NULL;

    if (tg_topic_parse(&list, tg_str_of(text), &t, &why) != TG_OK) {
        cr_assert_not_null(why);
        return false;
    }
    cr_assert(tg_str_eq(t.name, tg_str_of(text)), "a declared topic is its own spelling");
    tg_topic_fini(&t);
    return true;
}

Test(topic, that_is_declared_is_a_name_and_a_key)
{
    struct tg_topic_name t = {0};
    struct tg_topic_name copy = {0};
    const char *why = NULL;

    cr_assert_eq(tg_topic_parse(&list, TG_STR("notes:a:b"), &t, &why), TG_OK);
    tg_topic_copy(&t, &copy);
    tg_topic_fini(&t);
    cr_assert_eq(copy.kind, TG_TOPIC_PUBLISHED);
    cr_assert_eq(copy.declared, &declared[0]);
    cr_assert(tg_str_eq(copy.name, TG_STR("notes:a:b")));
    cr_assert(tg_str_eq(copy.key, TG_STR("a:b")), "the first colon ends the name");
    tg_topic_fini(&copy);
}

Test(topic, of_a_table_is_copied_with_all_its_parts)
{
    struct tg_topic_name t = {0};
    struct tg_topic_name copy = {0};
    const char *why = NULL;

    cr_assert_eq(tg_topic_parse(&list, TG_STR("table:public.tasks:a=eq.1"), &t, &why), TG_OK);
    tg_topic_copy(&t, &copy);
    tg_topic_fini(&t);
    cr_assert_eq(copy.kind, TG_TOPIC_STRICT);
    cr_assert(tg_str_eq(copy.schema, TG_STR("public")));
    cr_assert(tg_str_eq(copy.table, TG_STR("tasks")));
    cr_assert(tg_str_eq(copy.filter, TG_STR("a=eq.1")));
    tg_topic_fini(&copy);
}

Test(topic, that_is_published_is_the_same_for_all_classes)
{
    struct tg_buf key = {.max = 256};
    struct tg_topic_name t = {0};
    const char *why = NULL;

    cr_assert_eq(tg_topic_parse(&list, TG_STR("notes:42"), &t, &why), TG_OK);
    tg_topic_key(&key, TG_STR("c1"), &t);
    cr_assert(tg_str_eq(tg_buf_view(&key), TG_STR("notes:42")));
    tg_topic_fini(&t);
    tg_buf_fini(&key);
}

Test(topic, with_a_table_has_the_feed_of_its_declared_name)
{
    static const struct tg_table table = {.schema = TG_STR_INIT("public"),
                                          .name = TG_STR_INIT("messages")};
    static const struct tg_declared items[] = {{.name = TG_STR_INIT("messages"),
                                                .table = &table,
                                                .retain_for = TG_SEC(60),
                                                .retain_events = 7}};
    static const struct tg_declared_list with_table = {items, 1};
    struct tg_buf key = {.max = 256};
    struct tg_topic_name t = {0};
    const char *why = NULL;

    cr_assert_eq(tg_topic_parse(&with_table, TG_STR("messages:42"), &t, &why), TG_OK);
    cr_expect_eq(t.kind, TG_TOPIC_DECLARED);
    cr_expect(tg_str_eq(t.key, TG_STR("42")));
    tg_topic_key(&key, TG_STR("c1"), &t);
    cr_expect(tg_str_eq(tg_buf_view(&key), TG_STR("messages:42")), "the same for all classes");
    cr_expect(tg_str_eq(tg_topic_feed(&t, tg_buf_view(&key)), TG_STR("messages")));
    cr_expect_eq(tg_topic_retain_for(&t), TG_SEC(60));
    cr_expect_eq(tg_topic_retain_events(&t), 7);
    tg_topic_fini(&t);
    tg_buf_fini(&key);
}

Test(topic, of_a_table_is_its_own_feed_and_a_published_one_has_none)
{
    struct tg_topic_name t = {0};
    const char *why = NULL;

    cr_assert_eq(tg_topic_parse(&list, TG_STR("table:public.a"), &t, &why), TG_OK);
    cr_expect(
        tg_str_eq(tg_topic_feed(&t, TG_STR("c1|table:public.a")), TG_STR("c1|table:public.a")));
    cr_expect(tg_topic_retain_for(&t) == 0 && tg_topic_retain_events(&t) == 0);
    tg_topic_fini(&t);
    cr_assert_eq(tg_topic_parse(&list, TG_STR("notes:1"), &t, &why), TG_OK);
    cr_expect_eq(tg_topic_feed(&t, TG_STR("notes:1")).n, 0);
    tg_topic_fini(&t);
}

Test(topic, that_nobody_declared_is_refused)
{
    cr_assert_not(is_topic("other:42"));
    cr_assert_not(is_topic("notes"));
    cr_assert_not(is_topic("inbox"));
    cr_assert_null(canonical("notes:42"), "nothing is declared there");
}

Test(topic, has_a_key_in_its_types_one_spelling)
{
    static const char *const good[] = {
        "notes:42",
        "notes:-",
        "notes:\xc3\xa9t\xc3\xa9",
        "trips:0b6bd2f4-6b3c-4f2b-8a53-5a4a8d2f7a10",
        "rooms:0",
        "rooms:42",
        "rooms:-42",
        "rooms:9223372036854775807",
        "rooms:-9223372036854775808",
    };
    static const char *const bad[] = {
        "notes:",
        "notes:a b",
        "notes:a\tb",
        "notes:\xc2\x85",
        "notes:\xff",
        "trips:0B6BD2F4-6b3c-4f2b-8a53-5a4a8d2f7a10",
        "trips:0b6bd2f46b3c4f2b8a535a4a8d2f7a10",
        "trips:0b6bd2f4-6b3c-4f2b-8a53-5a4a8d2f7a1",
        "trips:42",
        "rooms:042",
        "rooms:-0",
        "rooms:+1",
        "rooms:1.0",
        "rooms:9223372036854775808",
        "rooms:-9223372036854775809",
        "rooms:",
        "rooms:-",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(good); i++) {
        cr_assert(is_topic(good[i]), "%s", good[i]);
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_not(is_topic(bad[i]), "%s", bad[i]);
    }
}

Test(topic, has_a_key_of_at_most_128_bytes)
{
    char text[6 + 129 + 1] = "notes:";

    memset(text + 6, 'k', 128);
    cr_assert(is_topic(text));
    text[6 + 128] = 'k';
    cr_assert_not(is_topic(text));
}
