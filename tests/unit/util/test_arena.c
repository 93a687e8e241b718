/* test_arena.c - memory that is dropped whole. */
#include <criterion/criterion.h>
#include <stdalign.h>

#include "util/arena.h"

Test(arena, every_piece_is_zeroed_and_aligned_for_any_type)
{
    struct tg_arena a = {0};

    for (size_t n = 0; n < 3000; n = n * 2 + 1) {
        unsigned char *p = tg_arena_alloc(&a, n);

        cr_assert_not_null(p);
        cr_assert_eq((uintptr_t)p % alignof(max_align_t), 0);
        for (size_t i = 0; i < n; i++) {
            cr_assert_eq(p[i], 0);
            p[i] = 0xAA;
        }
    }
    tg_arena_drop(&a);
}

Test(arena, pieces_do_not_overlap)
{
    struct tg_arena a = {0};
    unsigned char *pieces[200];

    for (size_t i = 0; i < TG_ARRAY_LEN(pieces); i++) {
        pieces[i] = tg_arena_alloc(&a, i + 1);
        for (size_t j = 0; j <= i; j++) {
            pieces[i][j] = (unsigned char)i;
        }
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(pieces); i++) {
        for (size_t j = 0; j <= i; j++) {
            cr_assert_eq(pieces[i][j], i);
        }
    }
    tg_arena_drop(&a);
}

Test(arena, a_large_piece_does_not_waste_the_open_block)
{
    struct tg_arena a = {0};
    char *before = tg_arena_alloc(&a, 16);

    (void)tg_arena_alloc(&a, (size_t)1024 * 1024);
    cr_assert_eq((char *)tg_arena_alloc(&a, 16), before + 16);
    tg_arena_drop(&a);
}

static bool is_inside(const char *p, const char *from, size_t n)
{
    return (uintptr_t)p >= (uintptr_t)from && (uintptr_t)p < (uintptr_t)from + n;
}

Test(arena, what_was_lent_is_used_up_first_and_never_freed)
{
    char lent[100] = {1};
    struct tg_arena a = {0};
    char *pieces[6] = {NULL};

    tg_arena_lend(&a, lent + 1, sizeof(lent) - 1);
    for (size_t i = 0; i < TG_ARRAY_LEN(pieces); i++) {
        pieces[i] = tg_arena_alloc(&a, 32);
        cr_assert_eq((uintptr_t)pieces[i] % alignof(max_align_t), 0);
        memset(pieces[i], (int)i, 32);
    }
#ifndef TG_SANITIZED
    cr_assert(is_inside(pieces[0], lent, sizeof(lent)));
    cr_assert(is_inside(pieces[1] + 31, lent, sizeof(lent)));
#endif
    cr_assert(!is_inside(pieces[5], lent, sizeof(lent)));
    for (size_t i = 0; i < TG_ARRAY_LEN(pieces); i++) {
        cr_assert_eq(pieces[i][31], (int)i);
    }
    cr_assert_eq(lent[0], 1);
    tg_arena_drop(&a);
}

Test(arena, too_little_to_be_lent_is_left_alone)
{
    char lent[8] = {0};
    struct tg_arena a = {0};

    tg_arena_lend(&a, lent, 0);
    tg_arena_lend(&a, lent + 1, 3);
    cr_assert(!is_inside(tg_arena_alloc(&a, 1), lent, sizeof(lent)));
    tg_arena_drop(&a);
}

Test(arena, copies_of_text_end_with_a_nul)
{
    struct tg_arena a = {0};
    tg_str s = tg_arena_str(&a, tg_str_make("hello world", 5));

    cr_assert(tg_str_eq(s, TG_STR("hello")));
    cr_assert_str_eq(tg_arena_cstr(&a, tg_str_make("abc", 2)), "ab");
    cr_assert_str_eq(tg_arena_cstr(&a, TG_STR_NONE), "");
    tg_arena_drop(&a);
}

Test(arena, is_empty_and_usable_after_drop)
{
    struct tg_arena a = {0};

    (void)tg_arena_alloc(&a, 10);
    tg_arena_drop(&a);
    cr_assert_null(a.blocks);
    cr_assert_not_null(tg_arena_alloc(&a, 10));
    tg_arena_drop(&a);
    tg_arena_drop(&a);
}
