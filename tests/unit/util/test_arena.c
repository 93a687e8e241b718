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
