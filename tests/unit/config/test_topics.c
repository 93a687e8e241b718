/* The section whose names are the operator's. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "config/doc.h"
#include "config/snapshot.h"
#include "config/topics.h"
#include "given.h"

Test(topics, are_read_with_their_members)
{
    struct given g;

    given_project(&g, "topics:\n"
                      "  trip-notices: { public: true }\n"
                      "  rooms:\n"
                      "    key_type: int\n"
                      "    public: on\n");
    cr_assert_eq(g.rc, TG_OK, "%s", tg_buf_cstr(&g.errors));
    cr_assert_eq(g.cfg->topics.n, 2);
    cr_assert_str_eq(g.cfg->topics.items[0].name, "trip-notices");
    cr_assert(g.cfg->topics.items[0].is_public);
    cr_assert_eq(g.cfg->topics.items[0].key_type, TG_TOPIC_BY_TEXT);
    cr_assert_str_eq(g.cfg->topics.items[1].name, "rooms");
    cr_assert_eq(g.cfg->topics.items[1].key_type, TG_TOPIC_BY_INT);
    given_fini(&g);
}

Test(topics, may_be_none)
{
    static const char *const none[] = {"topics:\n", "topics: {}\n", ""};

    for (size_t i = 0; i < TG_ARRAY_LEN(none); i++) {
        struct given g;

        given_project(&g, none[i]);
        cr_assert_eq(g.rc, TG_OK, "%s", tg_buf_cstr(&g.errors));
        cr_assert_eq(g.cfg->topics.n, 0);
        given_fini(&g);
    }
}

Test(topics, that_nobody_may_read_are_refused)
{
    static const char *const files[] = {
        "topics:\n  notes:\n",
        "topics:\n  notes: { key_type: int }\n",
        "topics:\n  notes: { public: false }\n",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(files); i++) {
        struct given g;

        given_project(&g, files[i]);
        cr_assert_eq(g.rc, TG_EBADPARAM);
        cr_expect(given_has_error(&g, 2, "\"notes\": nothing says who may read this topic"), "%s",
                  tg_buf_cstr(&g.errors));
        given_fini(&g);
    }
}

Test(topics, with_authorize_are_refused_as_it_is_not_understood)
{
    struct given g;

    given_project(&g, "topics:\n  notes:\n    public: true\n    authorize: x?y=eq.{sub}\n"
                      "    revoke_on: { table: public.t }\n");
    cr_assert_eq(g.rc, TG_EBADPARAM);
    cr_expect(given_has_error(&g, 4, "\"topics.notes.authorize\": is not a key of a topic"));
    cr_expect(given_has_error(&g, 5, "\"topics.notes.revoke_on\": is not a key of a topic"));
    cr_expect_not(given_has_text(&g, "revoke_on.table"), "one mistake, one line");
    given_fini(&g);
}

Test(topics, have_each_mistake_told_with_its_line)
{
    static const struct {
        const char *file;
        unsigned line;
        const char *error;
    } cases[] = {
        {"topics: 1\n", 1, "\"topics\": topics by their names are wanted"},
        {"topics: [a]\n", 1, "\"topics\": topics by their names are wanted"},
        {"topics:\n  a: 1\n", 2, "\"topics.a\": a mapping is wanted"},
        {"topics:\n  A: { public: true }\n", 2, "\"topics.A\": a topic's name is made of"},
        {"topics:\n  table: { public: true }\n", 2, "\"topics.table\": a topic's name is made of"},
        {"topics:\n  a.b: { public: true }\n", 2, "\"topics.a.b\": a topic's name has no dots"},
        {"topics:\n  a: { public: 1 }\n", 2, "\"topics.a.public\": allowed: on or off"},
        {"topics:\n  a: { public: [on] }\n", 2, "\"topics.a.public\": one value is wanted"},
        {"topics:\n  a: { public: on, key_type: bigint }\n", 2,
         "\"topics.a.key_type\": allowed: text, uuid or int"},
        {"topics:\n  a: { public: on, public: on }\n", 2, "\"topics.a.public\": already given"},
        {"topics:\n  a: { public: on }\n  a: { public: on }\n", 3,
         "\"topics.a\": this topic is already declared"},
        {"topics:\ntopics:\n", 2, "\"topics\": already begun"},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct given g;

        given_project(&g, cases[i].file);
        cr_expect_eq(g.rc, TG_EBADPARAM, "%s", cases[i].file);
        cr_expect(given_has_error(&g, cases[i].line, cases[i].error), "%s: %s", cases[i].file,
                  tg_buf_cstr(&g.errors));
        given_fini(&g);
    }
}

Test(topics, are_at_most_128)
{
    struct tg_buf file;
    struct given g;

    tg_buf_init(&file, 65536);
    tg_buf_str(&file, TG_STR("topics:\n"));
    for (unsigned i = 0; i < TG_CONFIG_TOPICS_MAX; i++) {
        tg_buf_printf(&file, "  t%u: { public: on }\n", i);
    }
    given_project(&g, tg_buf_cstr(&file));
    cr_assert_eq(g.rc, TG_OK, "%s", tg_buf_cstr(&g.errors));
    given_fini(&g);
    tg_buf_str(&file, TG_STR("  more: { public: on }\n"));
    given_project(&g, tg_buf_cstr(&file));
    cr_assert_eq(g.rc, TG_EBADPARAM);
    cr_expect(given_has_error(&g, TG_CONFIG_TOPICS_MAX + 2, "\"topics.more\": at most 128"));
    given_fini(&g);
    tg_buf_fini(&file);
}

Test(topics, are_dumped_so_that_they_are_read_again)
{
    struct given g;
    struct given again;
    struct tg_buf out;

    given_project(&g,
                  "topics:\n  notes: { public: true }\n  rooms: { public: on, key_type: uuid }\n");
    tg_buf_init(&out, TG_CONFIG_DOC_MAX);
    tg_config_dump(g.cfg, &out);
    cr_expect(strstr(tg_buf_cstr(&out), "  rooms: { public: on, key_type: uuid }\n"));
    given_load(&again, tg_buf_cstr(&out), NULL);
    cr_assert_eq(again.rc, TG_OK, "%s", tg_buf_cstr(&again.errors));
    cr_assert_eq(again.cfg->topics.n, 2);
    cr_assert_eq(again.cfg->topics.items[1].key_type, TG_TOPIC_BY_UUID);
    cr_assert_str_eq(tg_topics_key_type(again.cfg->topics.items[1].key_type), "uuid");
    given_fini(&again);
    given_fini(&g);
    tg_buf_fini(&out);
}

static unsigned n_changes;

static void on_change(const char *key, bool is_live, void *arg)
{
    (void)arg;
    cr_expect_str_eq(key, "topics");
    cr_expect_not(is_live);
    n_changes++;
}

static struct tg_config *take(const char *yaml)
{
    struct given g;
    struct tg_config *cfg = NULL;

    given_project(&g, yaml);
    cr_assert_eq(g.rc, TG_OK, "%s", tg_buf_cstr(&g.errors));
    cfg = g.cfg;
    g.cfg = NULL;
    given_fini(&g);
    return cfg;
}

Test(topics, stay_as_they_are_on_a_reload)
{
    struct tg_snapshot *first = tg_snapshot_create(take("topics:\n  notes: { public: true }\n"));
    struct tg_snapshot *second =
        tg_snapshot_reload(first, take("topics:\n  other: { public: true }\n"), on_change, NULL);

    cr_assert_eq(n_changes, 1);
    tg_snapshot_unref(first);
    cr_assert_eq(tg_snapshot_config(second)->topics.n, 1);
    cr_assert_str_eq(tg_snapshot_config(second)->topics.items[0].name, "notes");
    tg_snapshot_unref(second);
}
