/* test_buf.c - owned bytes with a maximum. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "util/buf.h"

Test(buf, grows_up_to_its_maximum_and_not_a_byte_more)
{
    struct tg_buf b = {0};

    tg_buf_init(&b, 1000);
    for (int i = 0; i < 1000; i++) {
        cr_assert_eq(tg_buf_char(&b, 'x'), TG_OK);
    }
    cr_assert_eq(tg_buf_char(&b, 'x'), TG_ELIMIT);
    cr_assert_eq(b.n, 1000);
    tg_buf_fini(&b);
}

Test(buf, a_refused_append_changes_nothing_and_is_remembered)
{
    struct tg_buf b = {0};

    tg_buf_init(&b, 4);
    cr_assert_eq(tg_buf_str(&b, TG_STR("abc")), TG_OK);
    cr_assert_eq(tg_buf_str(&b, TG_STR("de")), TG_ELIMIT);
    cr_assert_eq(tg_buf_str(&b, TG_STR("d")), TG_OK);
    cr_assert(tg_str_eq(tg_buf_view(&b), TG_STR("abcd")));
    cr_assert_eq(tg_buf_rc(&b), TG_ELIMIT);
    tg_buf_clear(&b);
    cr_assert_eq(tg_buf_rc(&b), TG_OK);
    tg_buf_fini(&b);
}

Test(buf, a_size_that_overflows_is_over_the_limit)
{
    struct tg_buf b = {0};

    tg_buf_init(&b, SIZE_MAX);
    cr_assert_eq(tg_buf_char(&b, 'x'), TG_OK);
    cr_assert_eq(tg_buf_reserve(&b, SIZE_MAX), TG_ELIMIT);
    cr_assert_eq(b.n, 1);
    tg_buf_fini(&b);
}

Test(buf, zeroed_is_a_valid_buffer_that_takes_nothing)
{
    struct tg_buf b = {0};

    cr_assert_eq(tg_buf_append(&b, NULL, 0), TG_OK);
    cr_assert_eq(tg_buf_char(&b, 'x'), TG_ELIMIT);
    tg_buf_fini(&b);
}

Test(buf, consume_keeps_what_follows)
{
    struct tg_buf b = {0};

    tg_buf_init(&b, 100);
    (void)tg_buf_str(&b, TG_STR("hello world"));
    tg_buf_consume(&b, 6);
    cr_assert(tg_str_eq(tg_buf_view(&b), TG_STR("world")));
    tg_buf_consume(&b, 5);
    cr_assert_eq(b.n, 0);
    tg_buf_fini(&b);
}

Test(buf, numbers_are_written_whole)
{
    struct tg_buf b = {0};

    tg_buf_init(&b, 100);
    (void)tg_buf_u64(&b, 0);
    (void)tg_buf_char(&b, ' ');
    (void)tg_buf_u64(&b, UINT64_MAX);
    (void)tg_buf_printf(&b, " %s%d", "x", -5);
    cr_assert_str_eq(tg_buf_cstr(&b), "0 18446744073709551615 x-5");
    tg_buf_fini(&b);
}

Test(buf, printf_may_fill_the_buffer_to_its_last_byte)
{
    struct tg_buf b = {0};

    tg_buf_init(&b, 5);
    cr_assert_eq(tg_buf_printf(&b, "%s", "12345"), TG_OK);
    cr_assert_eq(tg_buf_printf(&b, "%s", "6"), TG_ELIMIT);
    cr_assert_eq(b.n, 5);
    tg_buf_fini(&b);
}

Test(buf, cstr_of_a_buffer_that_lost_something_is_null)
{
    struct tg_buf b = {0};

    tg_buf_init(&b, 2);
    cr_assert_str_eq(tg_buf_cstr(&b), "");
    (void)tg_buf_str(&b, TG_STR("abc"));
    cr_assert_null(tg_buf_cstr(&b));
    tg_buf_fini(&b);
}

Test(buf, take_gives_the_content_away_and_leaves_an_empty_buffer)
{
    struct tg_buf b = {0};
    char *p = NULL;

    tg_buf_init(&b, 64);
    for (int i = 0; i < 64; i++) {
        (void)tg_buf_char(&b, 'y');
    }
    p = tg_buf_take(&b);
    cr_assert_eq(strlen(p), 64);
    cr_assert_eq(b.n, 0);
    cr_assert_eq(tg_buf_str(&b, TG_STR("again")), TG_OK);
    free(p);
    tg_buf_fini(&b);
}
