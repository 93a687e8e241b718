/* test_map.c - text to pointers. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "util/map.h"

enum { MANY = 5000 };

static int values[MANY];

static tg_str key_of(char text[16], int i)
{
    return tg_str_make(text, (size_t)snprintf(text, 16, "key-%d", i));
}

Test(map, an_empty_map_finds_and_removes_nothing)
{
    struct tg_map m = {0};
    size_t at = 0;
    tg_str key = TG_STR_NONE;
    void *value = NULL;

    cr_assert_null(tg_map_find(&m, TG_STR("a")));
    cr_assert_null(tg_map_remove(&m, TG_STR("a")));
    cr_assert_not(tg_map_next(&m, &at, &key, &value));
    tg_map_fini(&m);
}

Test(map, put_copies_the_key_and_returns_the_value_before)
{
    struct tg_map m = {0};
    char key[] = "abc";

    cr_assert_null(tg_map_put(&m, tg_str_of(key), &values[0]));
    key[0] = 'x';
    cr_assert_eq(tg_map_find(&m, TG_STR("abc")), &values[0]);
    cr_assert_eq(tg_map_put(&m, TG_STR("abc"), &values[1]), &values[0]);
    cr_assert_eq(tg_map_find(&m, TG_STR("abc")), &values[1]);
    cr_assert_eq(m.n, 1);
    tg_map_fini(&m);
}

Test(map, keys_are_bytes_and_may_be_empty_or_hold_nul)
{
    struct tg_map m = {0};

    (void)tg_map_put(&m, TG_STR(""), &values[0]);
    (void)tg_map_put(&m, TG_STR("a"), &values[1]);
    (void)tg_map_put(&m, TG_STR("a\0b"), &values[2]);
    cr_assert_eq(tg_map_find(&m, TG_STR("")), &values[0]);
    cr_assert_eq(tg_map_find(&m, TG_STR("a")), &values[1]);
    cr_assert_eq(tg_map_find(&m, TG_STR("a\0b")), &values[2]);
    cr_assert_null(tg_map_find(&m, TG_STR("a\0")));
    tg_map_fini(&m);
}

Test(map, finds_every_one_of_thousands_and_forgets_the_removed)
{
    struct tg_map m = {0};
    char text[16];

    for (int i = 0; i < MANY; i++) {
        cr_assert_null(tg_map_put(&m, key_of(text, i), &values[i]));
    }
    for (int i = 0; i < MANY; i += 2) {
        cr_assert_eq(tg_map_remove(&m, key_of(text, i)), &values[i]);
    }
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(tg_map_find(&m, key_of(text, i)), i % 2 == 0 ? NULL : &values[i]);
    }
    cr_assert_eq(m.n, MANY / 2);
    tg_map_fini(&m);
}

Test(map, comings_and_goings_do_not_make_it_grow)
{
    struct tg_map m = {0};
    char text[16];

    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 10; i++) {
            (void)tg_map_put(&m, key_of(text, round * 10 + i), &values[i]);
        }
        for (int i = 0; i < 10; i++) {
            cr_assert_eq(tg_map_remove(&m, key_of(text, round * 10 + i)), &values[i]);
        }
    }
    cr_assert_eq(m.n, 0);
    cr_assert_leq(m.cap, 64);
    tg_map_fini(&m);
}

Test(map, a_walk_sees_each_entry_once_and_may_remove_it)
{
    struct tg_map m = {0};
    char text[16];
    int seen[100] = {0};
    size_t at = 0;
    tg_str key = TG_STR_NONE;
    void *value = NULL;

    for (int i = 0; i < 100; i++) {
        (void)tg_map_put(&m, key_of(text, i), &values[i]);
    }
    while (tg_map_next(&m, &at, &key, &value)) {
        ptrdiff_t i = (int *)value - values;

        seen[i]++;
        cr_assert(tg_str_eq(key, key_of(text, (int)i)));
        cr_assert_eq(tg_map_remove(&m, key), value);
    }
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(seen[i], 1);
    }
    cr_assert_eq(m.n, 0);
    tg_map_fini(&m);
}

Test(map, the_hash_depends_on_every_byte_and_the_length)
{
    char text[32] = {0};
    uint64_t zero[33];

    for (size_t n = 0; n <= 32; n++) {
        zero[n] = tg_hash(tg_str_make(text, n));
        for (size_t i = 0; i < n; i++) {
            cr_assert_neq(zero[i], zero[n]);
        }
    }
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = 1;
        cr_assert_neq(tg_hash(tg_str_make(text, sizeof(text))), zero[32]);
        text[i] = 0;
    }
}

Test(map, a_stable_hash_is_the_same_in_every_process)
{
    cr_assert_eq(tg_hash_stable(TG_STR("a row")), 0xac4758e3ba2497d6U);
    cr_assert_neq(tg_hash_stable(TG_STR("a row")), tg_hash(TG_STR("a row")));
}
