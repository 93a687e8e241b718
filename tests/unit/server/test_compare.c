/* Rows as a topic would show them, against those that a user can read. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "server/compare.h"

static enum tg_rc row(struct tg_compare *c, const char *pk, const char *key)
{
    return tg_compare_row(c, tg_str_of(pk), tg_str_of(key));
}

static void show(struct tg_compare *c, const char *pk)
{
    tg_compare_show(c, tg_str_of(pk));
}

static bool is_text(tg_str text, const char *wanted)
{
    return tg_str_eq(text, tg_str_of(wanted));
}

Test(compare, tells_hidden_rows_from_extra_ones)
{
    struct tg_compare *c = tg_compare_create(10, 10);
    struct tg_compare_result r;

    cr_assert_eq(row(c, "[1]", "a"), TG_OK);
    cr_assert_eq(row(c, "[2]", "a"), TG_OK);
    cr_assert_eq(row(c, "[3]", "b"), TG_OK);
    cr_assert_eq(row(c, "[4]", "b"), TG_OK);
    show(c, "[1]");
    show(c, "[3]");
    cr_assert_eq(tg_compare_keys(c), 2);
    cr_assert(is_text(tg_compare_key(c, 0), "a"));
    tg_compare_say(c, 0, true);
    tg_compare_say(c, 1, false);
    tg_compare_result(c, &r);
    cr_expect_eq(r.n_both, 1);
    cr_assert_eq(r.hidden.n, 1);
    cr_expect(is_text(r.hidden.named[0].pk, "[2]"));
    cr_expect(is_text(r.hidden.named[0].key, "a"));
    cr_assert_eq(r.extra.n, 1);
    cr_expect(is_text(r.extra.named[0].pk, "[3]"));
    tg_compare_destroy(c);
}

Test(compare, says_nothing_of_keys_that_were_not_asked_about)
{
    struct tg_compare *c = tg_compare_create(10, 1);
    struct tg_compare_result r;

    cr_assert_eq(row(c, "[1]", "a"), TG_OK);
    cr_assert_eq(row(c, "[2]", "b"), TG_OK);
    cr_assert_eq(row(c, "[3]", "b"), TG_OK);
    show(c, "[2]");
    cr_expect_eq(tg_compare_keys(c), 1);
    cr_expect_eq(tg_compare_keys_left_out(c), 1);
    tg_compare_result(c, &r);
    cr_expect_eq(r.hidden.n + r.extra.n + r.n_both, 0);
    tg_compare_say(c, 0, true);
    tg_compare_result(c, &r);
    cr_expect_eq(r.hidden.n, 1);
    cr_expect_eq(r.extra.n, 0);
    tg_compare_destroy(c);
}

Test(compare, names_a_few_and_counts_all)
{
    struct tg_compare *c = tg_compare_create(10, 1);
    struct tg_compare_result r;
    char pk[8];

    for (unsigned i = 0; i < 8; i++) {
        (void)snprintf(pk, sizeof(pk), "[%u]", i);
        cr_assert_eq(row(c, pk, "a"), TG_OK);
    }
    tg_compare_say(c, 0, true);
    tg_compare_result(c, &r);
    cr_expect_eq(r.hidden.n, 8);
    cr_expect(is_text(r.hidden.named[TG_COMPARE_NAMED - 1].pk, "[4]"));
    tg_compare_destroy(c);
}

Test(compare, takes_a_row_once_and_no_more_than_it_has_room_for)
{
    struct tg_compare *c = tg_compare_create(2, 2);

    cr_assert_eq(row(c, "[1]", "a"), TG_OK);
    cr_assert_eq(row(c, "[1]", "b"), TG_OK);
    cr_expect_eq(tg_compare_rows(c), 1);
    cr_assert_eq(row(c, "[2]", "a"), TG_OK);
    cr_expect_eq(row(c, "[3]", "a"), TG_EFULL);
    show(c, "[9]"); /* came meanwhile */
    cr_expect_eq(tg_compare_rows(c), 2);
    tg_compare_destroy(c);
    tg_compare_destroy(NULL);
}
