/* Tables by their names. */
#include <criterion/criterion.h>

#include "realtime/table.h"

static const tg_str pair[] = {TG_STR_INIT("trip_id"), TG_STR_INIT("user_id")};
static const struct tg_table items[] = {
    {TG_STR_INIT("public"), TG_STR_INIT("members"), pair, 2, TG_STR_INIT("updated_at")},
    {TG_STR_INIT("other"), TG_STR_INIT("members"), pair, 1, {NULL, 0}},
};
static const struct tg_table_list list = {items, TG_ARRAY_LEN(items)};

Test(table, is_found_by_schema_and_name)
{
    cr_expect_eq(tg_table_find(&list, TG_STR("other"), TG_STR("members")), &items[1]);
    cr_expect_null(tg_table_find(&list, TG_STR("public"), TG_STR("member")));
    cr_expect_null(tg_table_find(NULL, TG_STR("public"), TG_STR("members")));
}

Test(table, that_nothing_is_said_of_has_the_usual_key)
{
    struct tg_table known = tg_table_of(&list, TG_STR("public"), TG_STR("members"));
    struct tg_table plain = tg_table_of(&list, TG_STR("public"), TG_STR("tasks"));

    cr_expect_eq(known.n_pk, 2);
    cr_expect(tg_str_eq(known.catchup, TG_STR("updated_at")));
    cr_expect_eq(plain.n_pk, 1);
    cr_expect(tg_str_eq(plain.pk[0], TG_STR("id")));
    cr_expect(tg_str_eq(plain.name, TG_STR("tasks")));
    cr_expect_eq(plain.catchup.n, 0);
}
