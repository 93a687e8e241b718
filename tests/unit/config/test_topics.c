/* The section whose names are the operator's. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "config/doc.h"
#include "config/snapshot.h"
#include "config/tables.h"
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

static const char *const with_key[] = {"TIDEGATE_SUPABASE_URL=https://abc.supabase.co",
                                       "TIDEGATE_SUPABASE_ANON_KEY=sb_publishable_x",
                                       "TIDEGATE_SUPABASE_SERVICE_KEY=sb_secret_x", NULL};

static const char trips[] =
    "tables:\n"
    "  public.trip_members: { primary_key: [trip_id, user_id] }\n"
    "  public.tasks: { catchup: updated_at }\n"
    "topics:\n"
    "  trip-messages:\n"
    "    table: public.trip_chat_messages\n"
    "    key: trip_id\n"
    "    key_type: uuid\n"
    "    columns: [id, trip_id, content]\n"
    "    where: deleted_at=is.null&kind=in.(\"a,b\",c)\n"
    "    authorize: trip_members?trip_id=eq.{key}&user_id=eq.{sub}\n"
    "    revoke_on: { table: public.trip_members, key: trip_id, user: user_id }\n"
    "    recheck: 5m\n"
    "    catchup: { column: created_at, covers: inserts }\n"
    "    deletes: soft\n"
    "    retain: { for: 2d, events: 500 }\n"
    "  trip-tasks:\n"
    "    { table: public.tasks, key: trip_id, columns: [id, trip_id], public: on }\n"
    "  members:\n"
    "    table: public.trip_members\n"
    "    key: trip_id\n"
    "    columns: [trip_id, user_id, role]\n"
    "    authorize: trips?id=eq.{key}\n"
    "  notes:\n    { authorize: \"rpc/may_read?note={key}\", "
    "revoke_on: { table: public.bans, user: user_id } }\n";

Test(topics, with_a_table_are_read_with_all_that_is_said_of_rows)
{
    const struct tg_config_topic *t = NULL;
    struct given g;

    given_load(&g, trips, with_key);
    cr_assert_eq(g.rc, TG_OK, "%s", tg_buf_cstr(&g.errors));
    t = &g.cfg->topics.items[0];
    cr_expect_str_eq(t->table, "public.trip_chat_messages");
    cr_expect_str_eq(t->key, "trip_id");
    cr_expect_eq(t->columns.n, 3);
    cr_expect_str_eq(t->columns.items[2], "content");
    cr_expect_str_eq(t->where, "deleted_at=is.null&kind=in.(\"a,b\",c)");
    cr_expect_eq(t->where_line, 10);
    cr_expect_str_eq(t->authorize, "trip_members?trip_id=eq.{key}&user_id=eq.{sub}");
    cr_expect_eq(t->authorize_line, 11);
    cr_expect_str_eq(t->revoke_on.table, "public.trip_members");
    cr_expect_str_eq(t->revoke_on.key, "trip_id");
    cr_expect_str_eq(t->revoke_on.user, "user_id");
    cr_expect_eq(t->recheck_ms, 300000);
    cr_expect_str_eq(t->catchup, "created_at");
    cr_expect(t->catches_inserts);
    cr_expect_eq(t->deletes, TG_DELETES_BY_SOFT);
    cr_expect_eq(t->retain_for_ms, UINT64_C(2) * 24 * 60 * 60 * 1000);
    cr_expect_eq(t->retain_events, 500);
    given_fini(&g);
}

Test(topics, take_what_they_do_not_say_from_their_table_and_from_revoke_on)
{
    struct given g;

    given_load(&g, trips, with_key);
    cr_assert_eq(g.rc, TG_OK, "%s", tg_buf_cstr(&g.errors));
    cr_expect_str_eq(g.cfg->topics.items[1].catchup, "updated_at", "its table's");
    cr_expect_eq(g.cfg->topics.items[1].recheck_ms, 0, "nothing is asked");
    cr_expect_eq(g.cfg->topics.items[1].deletes, TG_DELETES_BY_INDEX);
    cr_expect_str_eq(g.cfg->topics.items[2].catchup, "");
    cr_expect_eq(g.cfg->topics.items[2].recheck_ms, 60000, "nothing tells of changes");
    cr_expect_eq(g.cfg->topics.items[3].recheck_ms, 600000, "changes are told");
    given_fini(&g);
}

Test(topics, that_cannot_work_are_refused_with_the_reason)
{
#define ROWS "table: public.t, key: k, columns: [id, k]"
    static const struct {
        const char *topic;
        const char *error;
    } cases[] = {
        {"{ table: public.t, columns: [id], public: on }", "\"a\": a topic with a table needs key"},
        {"{ table: public.t, key: k, public: on }", "\"a\": a topic with a table needs columns"},
        {"{ table: public.t, key: k, columns: [id], public: on }",
         "\"a\": columns must contain the topic's key"},
        {"{ table: public.t, key: k, columns: [k], public: on }",
         "\"a\": columns must contain the table's primary key, which is id"},
        {"{ table: public.two, key: k, columns: [k, x], public: on }",
         "\"a\": columns must contain the table's primary key"},
        {"{ " ROWS " }", "\"a\": nothing says who may read this topic: give it authorize"},
        {"{ public: on, key: k }", "\"a\": key, columns, where, catchup and deletes need table"},
        {"{ public: on, where: x=is.null }",
         "\"a\": key, columns, where, catchup and deletes need"},
        {"{ public: on, recheck: 1m }", "\"a\": recheck and revoke_on need authorize"},
        {"{ authorize: x, revoke_on: { key: k } }", "\"a\": revoke_on needs table"},
        {"{ authorize: x, revoke_on: { table: public.t } }",
         "\"a\": revoke_on needs key, user, or"},
        {"{ authorize: x, revoke_on: public.t }", "\"topics.a.revoke_on\": a mapping is wanted"},
        {"{ authorize: x, revoke_on: { tabel: public.t } }",
         "\"topics.a.revoke_on.tabel\": is not a key of revoke_on; there are: table, key, user"},
        {"{ authorize: x, revoke_on: { table: t } }", "\"topics.a.revoke_on.table\": a table is"},
        {"{ authorize: '' }", "\"topics.a.authorize\": printable text of 1 to 2048 bytes"},
        {"{ authorize: \"a\\tb\" }", "\"topics.a.authorize\": printable text"},
        {"{ public: on, " ROWS ", catchup: { covers: inserts } }", "\"a\": catchup needs a column"},
        {"{ public: on, " ROWS ", catchup: { column: c, covers: all } }",
         "\"topics.a.catchup.covers\": allowed: inserts"},
        {"{ public: on, " ROWS ", catchup: 'a b' }", "\"topics.a.catchup\": one column is wanted"},
        {"{ public: on, " ROWS ", deletes: hard }", "\"topics.a.deletes\": allowed: index or soft"},
        {"{ public: on, table: t }", "\"topics.a.table\": a table is written schema.table"},
        {"{ public: on, table: public.*, key: k }", "\"topics.a.table\": a table is written"},
        {"{ public: on, table: public.t, key: 1k }", "\"topics.a.key\": one column is wanted"},
        {"{ public: on, table: public.t, key: k, columns: ['*'] }",
         "\"topics.a.columns\": columns are plain names"},
        {"{ public: on, table: public.t, key: k, columns: [id, id] }",
         "\"topics.a.columns\": a column stands here twice"},
        {"{ public: on, table: public.t, key: k, columns: id }",
         "\"topics.a.columns\": a list of columns is wanted"},
        {"{ public: on, table: public.t, key: k, columns: [] }",
         "\"topics.a.columns\": a list of columns is wanted"},
        {"{ public: on, retain: 7d }", "\"topics.a.retain\": a mapping is wanted"},
        {"{ public: on, retain: { for: 7 } }", "\"topics.a.retain.for\": allowed: a duration"},
        {"{ public: on, retain: { events: 1 } }", "\"topics.a.retain.events\": allowed: a number"},
        {"{ authorize: x, recheck: 0 }", "\"topics.a.recheck\": allowed: a duration from 1s to 1d"},
        {"{ public: on, filter: x }", "\"topics.a.filter\": is not a key of a topic; there are: "},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        char file[512];
        struct given g;

        (void)snprintf(file, sizeof(file),
                       "tables:\n  public.two: { primary_key: [x, y] }\ntopics:\n  a: %s\n",
                       cases[i].topic);
        given_load(&g, file, with_key);
        cr_expect_eq(g.rc, TG_EBADPARAM, "%s", file);
        cr_expect(given_has_error(&g, 4, cases[i].error), "%s: %s", file, tg_buf_cstr(&g.errors));
        given_fini(&g);
    }
#undef ROWS
}

Test(topics, with_a_table_need_the_key_that_reads_it)
{
    struct given g;

    given_project(&g, "topics:\n  a: { table: public.t, key: k, columns: [id, k], public: on }\n"
                      "  b: { authorize: x, revoke_on: { table: public.t, key: k } }\n");
    cr_assert_eq(g.rc, TG_EBADPARAM);
    cr_expect(given_has_error(&g, 2, "\"a\": table and revoke_on need supabase.service_key"));
    cr_expect(given_has_error(&g, 3, "\"b\": table and revoke_on need supabase.service_key"));
    given_fini(&g);
}

Test(topics, tell_a_mistake_once_whatever_stands_below_it)
{
    struct given g;

    given_project(&g, "topics:\n  notes:\n    public: { a: 1 }\n    filter: { x: 1 }\n");
    cr_assert_eq(g.rc, TG_EBADPARAM);
    cr_expect(given_has_error(&g, 3, "\"topics.notes.public\": one value is wanted"));
    cr_expect(given_has_error(&g, 4, "\"topics.notes.filter\": is not a key of a topic"));
    cr_expect_not(given_has_text(&g, "public.a"));
    cr_expect_not(given_has_text(&g, "filter.x"));
    given_fini(&g);
}

/* ---- tables ---- */

Test(tables, are_read_with_their_primary_keys)
{
    const struct tg_config_table *t = NULL;
    struct given g;

    given_project(&g, "tables:\n"
                      "  public.a: { primary_key: [x, y] }\n"
                      "  s.b: { primary_key: x, catchup: at }\n"
                      "  s.c:\n");
    cr_assert_eq(g.rc, TG_OK, "%s", tg_buf_cstr(&g.errors));
    cr_assert_eq(g.cfg->tables.n, 3);
    t = tg_tables_find(g.cfg, TG_STR("public.a"));
    cr_assert_not_null(t);
    cr_expect_eq(t->primary_key.n, 2);
    cr_expect_str_eq(t->primary_key.items[1], "y");
    cr_expect_str_eq(t->catchup, "");
    t = tg_tables_find(g.cfg, TG_STR("s.b"));
    cr_assert_not_null(t);
    cr_expect_eq(t->primary_key.n, 1);
    cr_expect_str_eq(t->catchup, "at");
    cr_expect_eq(tg_tables_find(g.cfg, TG_STR("s.c"))->primary_key.n, 0);
    cr_expect_null(tg_tables_find(g.cfg, TG_STR("public.b")));
    given_fini(&g);
}

struct mistake {
    const char *file;
    unsigned line;
    const char *error;
};

static void told_with_their_lines(const struct mistake *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct given g;

        given_project(&g, m[i].file);
        cr_expect_eq(g.rc, TG_EBADPARAM, "%s", m[i].file);
        cr_expect(given_has_error(&g, m[i].line, m[i].error), "%s: %s", m[i].file,
                  tg_buf_cstr(&g.errors));
        given_fini(&g);
    }
}

/* `item` has a place for a number; the first that is too many is refused. */
static void at_most(unsigned max, const char *head, const char *item, const char *error)
{
    struct tg_buf file;
    struct given g;

    tg_buf_init(&file, 65536);
    tg_buf_str(&file, tg_str_of(head));
    for (unsigned i = 0; i < max; i++) {
        tg_buf_printf(&file, item, i);
    }
    given_project(&g, tg_buf_cstr(&file));
    cr_assert_eq(g.rc, TG_OK, "%s", tg_buf_cstr(&g.errors));
    given_fini(&g);
    tg_buf_printf(&file, item, max);
    given_project(&g, tg_buf_cstr(&file));
    cr_assert_eq(g.rc, TG_EBADPARAM);
    cr_expect(given_has_error(&g, max + 2, error), "%s", tg_buf_cstr(&g.errors));
    given_fini(&g);
    tg_buf_fini(&file);
}

Test(tables, have_each_mistake_told_with_its_line)
{
    static const struct mistake cases[] = {
        {"tables: 1\n", 1, "\"tables\": tables by their names are wanted"},
        {"tables:\ntables:\n", 2, "\"tables\": already begun"},
        {"tables:\n  public.a: 1\n", 2, "\"tables.public.a\": a mapping is wanted"},
        {"tables:\n  a: { primary_key: [x] }\n", 2,
         "\"tables.a\": a table is written schema.table"},
        {"tables:\n  a.b.c: { primary_key: [x] }\n", 2, "\"tables.a.b.c\": a table is written"},
        {"tables:\n  'public.a b': {}\n", 2, "\"tables.public.a b\": a table is written"},
        {"tables:\n  a.b: {}\n  a.b: {}\n", 3, "\"tables.a.b\": this table stands here already"},
        {"tables:\n  a.b: { primary_key: [] }\n", 2, "\"tables.a.b.primary_key\": a list of"},
        {"tables:\n  a.b: { primary_key: [a, a] }\n", 2, "\"tables.a.b.primary_key\": a column"},
        {"tables:\n  a.b: { primary_key: { a: 1 } }\n", 2, "\"tables.a.b.primary_key\": a list of"},
        {"tables:\n  a.b: { primary_key: [a, b, c, d, e, f, g, h, i] }\n", 2,
         "\"tables.a.b.primary_key\": a primary key has at most 8 columns"},
        {"tables:\n  a.b: { catchup: [c] }\n", 2, "\"tables.a.b.catchup\": one column is wanted"},
        {"tables:\n  a.b: { catchup: c, catchup: d }\n", 2,
         "\"tables.a.b.catchup\": already given"},
        {"tables:\n  a.b: { key: c }\n", 2, "\"tables.a.b.key\": is not a key of a table"},
    };

    told_with_their_lines(cases, TG_ARRAY_LEN(cases));
}

Test(tables, are_at_most_256)
{
    at_most(TG_CONFIG_TABLES_MAX, "tables:\n", "  public.t%u: {}\n",
            "\"tables.public.t256\": at most 256");
}

Test(topics, have_each_mistake_told_with_its_line)
{
    static const struct mistake cases[] = {
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

    told_with_their_lines(cases, TG_ARRAY_LEN(cases));
}

Test(topics, are_at_most_128)
{
    at_most(TG_CONFIG_TOPICS_MAX, "topics:\n", "  t%u: { public: on }\n",
            "\"topics.t128\": at most 128");
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

Test(topics, and_tables_are_dumped_whole)
{
    struct given g;
    struct given again;
    struct tg_buf out = {.max = TG_TOPICS_TEXT_MAX};
    struct tg_buf twice = {.max = TG_TOPICS_TEXT_MAX};

    given_load(&g, trips, with_key);
    cr_assert_eq(g.rc, TG_OK, "%s", tg_buf_cstr(&g.errors));
    tg_tables_render(g.cfg, &out);
    tg_topics_render(g.cfg, &out);
    given_load(&again, tg_buf_cstr(&out), with_key);
    cr_assert_eq(again.rc, TG_OK, "%s\n%s", tg_buf_cstr(&again.errors), tg_buf_cstr(&out));
    tg_tables_render(again.cfg, &twice);
    tg_topics_render(again.cfg, &twice);
    cr_expect_str_eq(tg_buf_cstr(&twice), tg_buf_cstr(&out));
    cr_expect_not_null(strstr(tg_buf_cstr(&out), "where: \"deleted_at=is.null&kind=in.(\\\"a,b"));
    cr_expect_not_null(strstr(tg_buf_cstr(&out), "retain: { for: 2d, events: 500 }"));
    cr_expect_str_eq(tg_topics_deletes(again.cfg->topics.items[0].deletes), "soft");
    given_fini(&again);
    given_fini(&g);
    tg_buf_fini(&out);
    tg_buf_fini(&twice);
}

Test(topics, are_copied_whole)
{
    struct given from;
    struct given to;
    struct tg_buf before = {.max = TG_TOPICS_TEXT_MAX};
    struct tg_buf after = {.max = TG_TOPICS_TEXT_MAX};

    given_load(&from, trips, with_key);
    given_load(&to, "", with_key);
    cr_assert(from.rc == TG_OK && to.rc == TG_OK);
    tg_tables_render(from.cfg, &before);
    tg_topics_render(from.cfg, &before);
    tg_tables_copy(to.cfg, from.cfg);
    tg_topics_copy(to.cfg, from.cfg);
    given_fini(&from); /* no text of it is needed any more */
    tg_tables_render(to.cfg, &after);
    tg_topics_render(to.cfg, &after);
    cr_expect_str_eq(tg_buf_cstr(&after), tg_buf_cstr(&before));
    given_fini(&to);
    tg_buf_fini(&before);
    tg_buf_fini(&after);
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
