/* test_index.c - the index against a plain list of the same rows. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "realtime/index.h"

static struct tg_index *x;

static void start(void)
{
    x = tg_index_create(1000);
}

static void stop(void)
{
    tg_index_destroy(x);
}

TestSuite(index, .init = start, .fini = stop);

static void put(const char *pk, const char *key, uint64_t hash)
{
    cr_assert_eq(tg_index_put(x, tg_str_of(pk), tg_str_of(key), hash), TG_OK);
}

static void has(const char *pk, const char *key, uint64_t hash)
{
    struct tg_index_row r = {0};

    cr_assert(tg_index_find(x, tg_str_of(pk), &r), "%s is missing", pk);
    cr_assert(tg_str_eq(r.key, tg_str_of(key)), "%s has %.*s", pk, TG_STR_ARG(r.key));
    cr_assert_eq(r.hash, hash);
}

static void lacks(const char *pk)
{
    struct tg_index_row r = {0};

    cr_assert_not(tg_index_find(x, tg_str_of(pk), &r));
}

Test(index, a_row_is_found_with_its_key_and_hash)
{
    lacks("[1]");
    put("[1]", "a", 7);
    put("[2]", "b", 8);
    has("[1]", "a", 7);
    has("[2]", "b", 8);
    lacks("[3]");
    cr_assert_eq(tg_index_rows(x), 2);
}

Test(index, a_row_moves_to_another_key)
{
    put("[1]", "a", 7);
    put("[1]", "b", 9);
    has("[1]", "b", 9);
    put("[1]", "b", 10);
    has("[1]", "b", 10);
    cr_assert_eq(tg_index_rows(x), 1);
}

Test(index, a_row_without_a_key_is_a_row)
{
    put("[1]", "", 7);
    has("[1]", "", 7);
}

Test(index, a_removed_row_is_gone)
{
    put("[1]", "a", 7);
    cr_assert(tg_index_remove(x, TG_STR("[1]")));
    cr_assert_not(tg_index_remove(x, TG_STR("[1]")));
    lacks("[1]");
    cr_assert_eq(tg_index_rows(x), 0);
}

Test(index, over_its_maximum_it_takes_changes_only)
{
    struct tg_index *small = tg_index_create(2);

    cr_assert_eq(tg_index_put(small, TG_STR("[1]"), TG_STR("a"), 1), TG_OK);
    cr_assert_eq(tg_index_put(small, TG_STR("[2]"), TG_STR("a"), 1), TG_OK);
    cr_assert_eq(tg_index_put(small, TG_STR("[3]"), TG_STR("a"), 1), TG_EFULL);
    cr_assert_eq(tg_index_put(small, TG_STR("[2]"), TG_STR("b"), 2), TG_OK);
    cr_assert(tg_index_remove(small, TG_STR("[1]")));
    cr_assert_eq(tg_index_put(small, TG_STR("[3]"), TG_STR("a"), 1), TG_OK);
    tg_index_destroy(small);
}

Test(index, long_texts_are_refused)
{
    static char text[TG_INDEX_PK_MAX + 1];
    tg_str over = tg_str_make(text, sizeof(text));
    tg_str just = tg_str_make(text, sizeof(text) - 1);

    memset(text, 'x', sizeof(text));
    cr_assert_eq(tg_index_put(x, over, TG_STR("a"), 1), TG_ELIMIT);
    cr_assert_eq(tg_index_put(x, TG_STR("[1]"), over, 1), TG_ELIMIT);
    cr_assert_eq(tg_index_put(x, just, just, 1), TG_OK);
}

/* ---- sweeps ---- */

static void unseen(const char *pk, const char *key)
{
    tg_str found = TG_STR_NONE;
    struct tg_index_row r = {0};

    cr_assert(tg_index_unseen(x, &found, &r));
    cr_assert(tg_str_eq(found, tg_str_of(pk)), "it is %.*s", TG_STR_ARG(found));
    cr_assert(tg_str_eq(r.key, tg_str_of(key)));
}

static void all_seen(void)
{
    tg_str found = TG_STR_NONE;
    struct tg_index_row r = {0};

    cr_assert_not(tg_index_unseen(x, &found, &r));
}

Test(index, a_sweep_leaves_what_was_not_seen)
{
    all_seen();
    put("[1]", "a", 1);
    put("[2]", "b", 1);
    put("[3]", "c", 1);
    all_seen();
    tg_index_sweep(x);
    cr_assert(tg_index_see(x, TG_STR("[1]")));
    cr_assert_not(tg_index_see(x, TG_STR("[4]")));
    put("[3]", "c", 2);
    put("[4]", "d", 1);
    unseen("[2]", "b");
    cr_assert(tg_index_remove(x, TG_STR("[2]")));
    all_seen();
    cr_assert_eq(tg_index_rows(x), 3);
}

Test(index, a_sweep_that_was_given_up_leaves_nothing_behind)
{
    put("[1]", "a", 1);
    put("[2]", "a", 1);
    tg_index_sweep(x);
    cr_assert(tg_index_see(x, TG_STR("[1]")));
    tg_index_sweep(x);
    cr_assert(tg_index_see(x, TG_STR("[2]")));
    unseen("[1]", "a");
    cr_assert(tg_index_see(x, TG_STR("[1]")));
    all_seen();
}

/* ---- many ---- */

Test(index, random_changes_agree_with_a_plain_list)
{
    enum { N = 3000, CHANGES = 60000 };
    static struct {
        bool is_there;
        unsigned key;
        uint64_t hash;
    } plain[N];
    struct tg_index *big = tg_index_create(100000);
    size_t n = 0;

    srand(7);
    for (int i = 0; i < CHANGES; i++) {
        unsigned at = (unsigned)rand() % N;
        char pk[16];
        char key[16];

        (void)snprintf(pk, sizeof(pk), "[%u]", at);
        if (rand() % 3 == 0) {
            cr_assert_eq(tg_index_remove(big, tg_str_of(pk)), plain[at].is_there);
            n -= plain[at].is_there;
            plain[at].is_there = false;
        } else {
            n += !plain[at].is_there;
            plain[at].is_there = true;
            plain[at].key = (unsigned)rand() % 50;
            plain[at].hash = (uint64_t)i;
            (void)snprintf(key, sizeof(key), "k%u", plain[at].key);
            cr_assert_eq(tg_index_put(big, tg_str_of(pk), tg_str_of(key), plain[at].hash), TG_OK);
        }
    }
    cr_assert_eq(tg_index_rows(big), n);
    for (unsigned at = 0; at < N; at++) {
        struct tg_index_row r = {0};
        char pk[16];
        char key[16];

        (void)snprintf(pk, sizeof(pk), "[%u]", at);
        (void)snprintf(key, sizeof(key), "k%u", plain[at].key);
        cr_assert_eq(tg_index_find(big, tg_str_of(pk), &r), plain[at].is_there);
        cr_assert(!plain[at].is_there ||
                  (tg_str_eq(r.key, tg_str_of(key)) && r.hash == plain[at].hash));
    }
    tg_index_destroy(big);
}

Test(index, memory_comes_back)
{
    size_t empty = tg_index_bytes(x);

    for (int i = 0; i < 1000; i++) {
        char pk[16];

        (void)snprintf(pk, sizeof(pk), "[%d]", i);
        put(pk, pk, 1);
    }
    cr_assert_gt(tg_index_bytes(x), empty);
    tg_index_clear(x);
    cr_assert_eq(tg_index_bytes(x), empty);
    cr_assert_eq(tg_index_rows(x), 0);
    lacks("[1]");
    put("[1]", "a", 1);
    has("[1]", "a", 1);
}

/* A uuid's row, a thousand rows to a key: DESIGN.md's chat messages. */
Test(index, a_row_takes_under_128_bytes)
{
    enum { N = 100000 };
    struct tg_index *big = tg_index_create(1000000);

    for (int i = 0; i < N; i++) {
        char pk[48];
        char key[48];

        (void)snprintf(pk, sizeof(pk), "[\"6f1f2b90-5f3c-4d6e-9c60-%012d\"]", i);
        (void)snprintf(key, sizeof(key), "6f1f2b90-5f3c-4d6e-9c60-%012d", i / 1000);
        cr_assert_eq(tg_index_put(big, tg_str_of(pk), tg_str_of(key), 1), TG_OK);
    }
    cr_assert_lt(tg_index_bytes(big) / N, 128, "%zu", tg_index_bytes(big) / N);
    tg_index_destroy(big);
}
