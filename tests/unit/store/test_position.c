/* test_position.c - one position has one spelling. */
#include <criterion/criterion.h>

#include "store/store.h"

static enum tg_rc parse(const char *text)
{
    struct tg_epoch epoch = {0};
    struct tg_pos pos = {0};

    return tg_cursor_parse(tg_str_of(text), &epoch, &pos);
}

Test(cursor, comes_back_as_it_was_written)
{
    struct tg_epoch epoch = {.text = "k3f9"};
    struct tg_epoch read = {0};
    struct tg_pos pos = {0};
    char text[TG_CURSOR_MAX + 1];
    size_t n = tg_cursor_format(&epoch, (struct tg_pos){1732290000123U, 7}, text);

    cr_assert_str_eq(text, "k3f9.1732290000123-7");
    cr_assert_eq(n, strlen(text));
    cr_assert_eq(tg_cursor_parse(tg_str_make(text, n), &read, &pos), TG_OK);
    cr_assert_str_eq(read.text, "k3f9");
    cr_assert_eq(pos.ms, 1732290000123U);
    cr_assert_eq(pos.seq, 7);
}

Test(cursor, may_have_the_largest_numbers)
{
    struct tg_epoch epoch = {.text = "abcdefghijklmnop"};
    struct tg_pos pos = {UINT64_MAX, UINT64_MAX};
    char text[TG_CURSOR_MAX + 1];

    cr_assert_eq(tg_cursor_format(&epoch, pos, text), TG_CURSOR_MAX);
    cr_assert_eq(parse(text), TG_OK);
    cr_assert_eq(parse("a.18446744073709551616-0"), TG_EBADCURSOR);
    cr_assert_eq(parse("a.0-18446744073709551616"), TG_EBADCURSOR);
    cr_assert_eq(parse("a.0-99999999999999999999999"), TG_EBADCURSOR);
}

Test(cursor, has_one_spelling)
{
    static const char *const bad[] = {"",        ".",
                                      "a",       "a.",
                                      "a.1",     "a.1-",
                                      "a.-1",    ".1-1",
                                      "a.01-1",  "a.1-01",
                                      "A.1-1",   "a .1-1",
                                      "a.1-1 ",  " a.1-1",
                                      "a.+1-1",  "a.1-+1",
                                      "a.1--1",  "a..1-1",
                                      "a.1-1.",  "a.1-1-1",
                                      "a.0x1-1", "a_b.1-1",
                                      "a.1.1",   "a.00-0",
                                      "a.1-1\n", "abcdefghijklmnopq.1-1"};

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_eq(parse(bad[i]), TG_EBADCURSOR, "%s", bad[i]);
    }
    cr_assert_eq(parse("a.0-0"), TG_OK);
}

Test(cursor, positions_are_ordered_by_both_numbers)
{
    cr_assert_eq(tg_pos_cmp((struct tg_pos){1, 9}, (struct tg_pos){2, 0}), -1);
    cr_assert_eq(tg_pos_cmp((struct tg_pos){2, 1}, (struct tg_pos){2, 0}), 1);
    cr_assert_eq(tg_pos_cmp((struct tg_pos){2, 1}, (struct tg_pos){2, 1}), 0);
}

Test(cursor, each_reset_has_its_word)
{
    cr_assert_str_eq(tg_verdict_word(TG_COMPLETE), "");
    cr_assert_str_eq(tg_verdict_word(TG_RESET_EXPIRED), "expired");
    cr_assert_str_eq(tg_verdict_word(TG_RESET_EPOCH), "epoch");
    cr_assert_str_eq(tg_verdict_word(TG_RESET_GAP), "gap");
    cr_assert_str_eq(tg_verdict_word(TG_RESET_AHEAD), "ahead");
}
