/* test_id.c - numbers that outlive what they name. */
#include <criterion/criterion.h>

#include "util/id.h"

static int objects[1000];

Test(id, finds_what_was_added_until_it_is_removed)
{
    struct tg_ids t = {0};
    tg_id id = tg_ids_add(&t, &objects[0]);

    cr_assert_neq(id, 0);
    cr_assert_eq(tg_ids_find(&t, id), &objects[0]);
    tg_ids_remove(&t, id);
    cr_assert_null(tg_ids_find(&t, id));
    cr_assert_eq(t.n, 0);
    tg_ids_fini(&t);
}

Test(id, an_old_id_does_not_find_the_next_owner_of_its_slot)
{
    struct tg_ids t = {0};
    tg_id old = tg_ids_add(&t, &objects[0]);
    tg_id fresh = 0;

    tg_ids_remove(&t, old);
    fresh = tg_ids_add(&t, &objects[1]);
    cr_assert_neq(old, fresh);
    cr_assert_null(tg_ids_find(&t, old));
    cr_assert_eq(tg_ids_find(&t, fresh), &objects[1]);
    tg_ids_fini(&t);
}

Test(id, ids_stay_valid_while_the_table_grows)
{
    struct tg_ids t = {0};
    tg_id ids[TG_ARRAY_LEN(objects)];

    for (size_t i = 0; i < TG_ARRAY_LEN(objects); i++) {
        ids[i] = tg_ids_add(&t, &objects[i]);
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(objects); i++) {
        cr_assert_eq(tg_ids_find(&t, ids[i]), &objects[i]);
        for (size_t j = 0; j < i; j++) {
            cr_assert_neq(ids[i], ids[j]);
        }
    }
    cr_assert_eq(t.n, TG_ARRAY_LEN(objects));
    tg_ids_fini(&t);
}

Test(id, numbers_never_given_out_find_nothing)
{
    struct tg_ids t = {0};

    cr_assert_null(tg_ids_find(&t, 0));
    cr_assert_null(tg_ids_find(&t, 1));
    (void)tg_ids_add(&t, &objects[0]);
    cr_assert_null(tg_ids_find(&t, 0));
    cr_assert_null(tg_ids_find(&t, 2));
    cr_assert_null(tg_ids_find(&t, UINT64_MAX));
    tg_ids_fini(&t);
}
