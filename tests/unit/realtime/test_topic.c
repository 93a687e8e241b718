/* test_topic.c - a topic has one spelling, and what is no topic is refused with a reason. */
#include <criterion/criterion.h>

#include "realtime/topic.h"

/* The canonical name, or NULL. The caller frees nothing: the buffer is the test's. */
static const char *canonical(const char *text)
{
    static char out[TG_TOPIC_MAX_BYTES * 2];
    struct tg_topic_name t = {0};
    const char *why = NULL;

    if (tg_topic_parse(tg_str_of(text), &t, &why) != TG_OK) {
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

    cr_assert_eq(tg_topic_parse(TG_STR("table:public.tasks:title=eq.a"), &t, &why), TG_OK);
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

    cr_assert_eq(tg_topic_parse(TG_STR("table:public.tasks"), &t, &why), TG_OK);
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

    tg_topic_key(&key, TG_STR("c1"), TG_STR("table:public.tasks"));
    cr_assert(tg_str_eq(tg_buf_view(&key), TG_STR("c1|table:public.tasks")));
    tg_buf_fini(&key);
}
