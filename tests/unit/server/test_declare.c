/* From the configuration's words to declared topics and tables. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config/load.h"
#include "server/declare.h"

struct made {
    struct tg_config *cfg;
    struct tg_declare *declare;
    struct tg_buf errors;
    enum tg_rc rc;
};

static char variables[][64] = {"TIDEGATE_SUPABASE_URL=https://abc.supabase.co",
                               "TIDEGATE_SUPABASE_ANON_KEY=sb_publishable_x",
                               "TIDEGATE_SUPABASE_SERVICE_KEY=sb_secret_x"};
static char *const environment[] = {variables[0], variables[1], variables[2], NULL};

static struct made make(const char *yaml)
{
    struct made m = {.errors = {.max = 65536}};
    int fd = memfd_create("tidegate.yaml", MFD_CLOEXEC);
    char path[64];

    TG_ASSERT(fd >= 0 && write(fd, yaml, strlen(yaml)) == (ssize_t)strlen(yaml));
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    cr_assert_eq(tg_config_load(path, environment, &m.cfg, &m.errors), TG_OK, "%s",
                 tg_buf_cstr(&m.errors));
    (void)close(fd);
    m.rc = tg_declare_create(m.cfg, "a.yaml", &m.errors, &m.declare);
    return m;
}

static void fini(struct made *m)
{
    tg_declare_destroy(m->declare);
    tg_config_destroy(m->cfg);
    tg_buf_fini(&m->errors);
}

Test(declare, makes_topics_as_they_are_written)
{
    const struct tg_declared *t = NULL;
    const struct tg_declared *other = NULL;
    bool is_known = false;
    struct made m = make("tables:\n"
                         "  public.members: { primary_key: [trip_id, user_id], catchup: at }\n"
                         "topics:\n"
                         "  messages:\n"
                         "    table: public.messages\n"
                         "    key: trip_id\n"
                         "    key_type: int\n"
                         "    columns: [id, trip_id]\n"
                         "    where: gone=is.null\n"
                         "    authorize: members?trip_id=eq.{key}&user_id=eq.{sub}\n"
                         "    revoke_on: { table: public.members, key: trip_id, user: user_id }\n"
                         "    deletes: soft\n"
                         "    retain: { for: 1h, events: 77 }\n"
                         "  members:\n"
                         "    { table: public.members, key: trip_id, columns: [trip_id, user_id], "
                         "public: on }\n"
                         "  notes: { public: on, key_type: uuid }\n");

    cr_assert_eq(m.rc, TG_OK, "%s", tg_buf_cstr(&m.errors));
    t = tg_declared_find(tg_declare_topics(m.declare), TG_STR("messages"));
    cr_assert_not_null(t);
    cr_expect_eq(t->key_type, TG_KEY_INT);
    cr_expect(tg_str_eq(t->table->name, TG_STR("messages")));
    cr_expect(tg_str_eq(t->table->pk[0], TG_STR("id")));
    cr_expect(tg_str_eq(t->key, TG_STR("trip_id")));
    cr_expect_eq(t->n_columns, 2);
    cr_expect(tg_str_eq(t->columns[1], TG_STR("trip_id")));
    cr_expect_not(tg_where_matches(t->where, TG_STR("{\"gone\":1}"), &is_known));
    cr_expect(tg_template_has_sub(t->authorize));
    cr_expect_eq(t->recheck, TG_SEC(600));
    cr_expect_eq(t->revoke_on.table->n_pk, 2);
    cr_expect(tg_str_eq(t->revoke_on.user, TG_STR("user_id")));
    cr_expect_eq(t->deletes, TG_DELETES_SOFT);
    cr_expect_eq(t->retain_for, TG_SEC(3600));
    cr_expect_eq(t->retain_events, 77);
    other = tg_declared_find(tg_declare_topics(m.declare), TG_STR("members"));
    cr_assert_not_null(other);
    cr_expect_eq(other->table, t->revoke_on.table, "one table is one");
    cr_expect(tg_str_eq(other->catchup, TG_STR("at")));
    cr_expect(other->is_public && other->authorize == NULL && other->where == NULL);
    other = tg_declared_find(tg_declare_topics(m.declare), TG_STR("notes"));
    cr_assert_not_null(other);
    cr_expect_null(other->table);
    cr_expect_null(other->revoke_on.table);
    cr_expect_eq(tg_declare_tables(m.declare)->n, 2);
    cr_expect_not_null(
        tg_table_find(tg_declare_tables(m.declare), TG_STR("public"), TG_STR("messages")));
    fini(&m);
}

Test(declare, tells_every_mistake_with_its_line)
{
    struct made m = make("topics:\n"
                         "  a:\n"
                         "    table: public.a\n"
                         "    key: k\n"
                         "    columns: [id, k]\n"
                         "    where: x=gt.1\n"
                         "    authorize: a?x=like.{key}\n"
                         "  b:\n"
                         "    public: on\n"
                         "    authorize: b?u=eq.{sub}\n");

    cr_assert_eq(m.rc, TG_EBADPARAM);
    cr_expect_null(m.declare);
    cr_expect(strstr(tg_buf_cstr(&m.errors), "a.yaml:6: \"topics.a.where\": the operator of"));
    cr_expect(strstr(tg_buf_cstr(&m.errors), "a.yaml:7: \"topics.a.authorize\": a placeholder is"));
    cr_expect(strstr(tg_buf_cstr(&m.errors),
                     "a.yaml:10: \"topics.b.authorize\": asks about the user, {sub}, but"));
    fini(&m);
}

Test(declare, may_have_nothing_to_declare)
{
    struct made m = make("topics: {}\n");

    cr_assert_eq(m.rc, TG_OK);
    cr_expect_eq(tg_declare_topics(m.declare)->n, 0);
    cr_expect_eq(tg_declare_tables(m.declare)->n, 0);
    fini(&m);
}
