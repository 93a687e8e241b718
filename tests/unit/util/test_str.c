/* test_str.c - borrowed text. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "util/str.h"

Test(str, equality_compares_lengths_before_bytes)
{
    cr_assert(tg_str_eq(TG_STR("ab"), TG_STR("ab")));
    cr_assert_not(tg_str_eq(TG_STR("ab"), TG_STR("abc")));
    cr_assert(tg_str_eq(TG_STR_NONE, TG_STR("")));
}

Test(str, ieq_folds_ascii_letters_and_nothing_else)
{
    cr_assert(tg_str_ieq(TG_STR("Content-Length"), TG_STR("content-LENGTH")));
    cr_assert_not(tg_str_ieq(TG_STR("a[b"), TG_STR("a{b")));
    cr_assert_not(tg_str_ieq(TG_STR("\xC3\x84"), TG_STR("\xC3\xA4")));
}

Test(str, prefix_and_suffix_longer_than_the_text_do_not_match)
{
    cr_assert(tg_str_has_prefix(TG_STR("/auth/v1/x"), TG_STR("/auth/v1")));
    cr_assert_not(tg_str_has_prefix(TG_STR("/au"), TG_STR("/auth")));
    cr_assert(tg_str_has_iprefix(TG_STR("BEARER x"), TG_STR("bearer ")));
    cr_assert_not(tg_str_has_iprefix(TG_STR("bear"), TG_STR("bearer ")));
    cr_assert(tg_str_has_suffix(TG_STR("a.json"), TG_STR(".json")));
    cr_assert_not(tg_str_has_suffix(TG_STR("json"), TG_STR(".json")));
}

Test(str, no_text_has_the_empty_prefix_and_suffix)
{
    cr_assert(tg_str_has_prefix(TG_STR_NONE, TG_STR_NONE));
    cr_assert(tg_str_has_suffix(TG_STR_NONE, TG_STR_NONE));
}

Test(str, cmp_orders_a_prefix_before_its_longer_text)
{
    cr_assert_lt(tg_str_cmp(TG_STR("ab"), TG_STR("abc")), 0);
    cr_assert_gt(tg_str_cmp(TG_STR("b"), TG_STR("abc")), 0);
    cr_assert_eq(tg_str_cmp(TG_STR("abc"), TG_STR("abc")), 0);
    cr_assert_gt(tg_str_cmp(TG_STR("\xFF"), TG_STR("a")), 0, "bytes are unsigned");
}

Test(str, secrets_of_other_lengths_or_bytes_differ)
{
    cr_assert(tg_str_eq_secret(TG_STR("s3cret"), TG_STR("s3cret")));
    cr_assert_not(tg_str_eq_secret(TG_STR("s3cret"), TG_STR("s3cre")));
    cr_assert_not(tg_str_eq_secret(TG_STR("s3cret"), TG_STR("S3cret")));
    cr_assert_not(tg_str_eq_secret(TG_STR("s3cret"), TG_STR_NONE));
}

Test(str, cut_leaves_no_text_after_the_last_piece)
{
    tg_str s = TG_STR("a,,b");

    cr_assert(tg_str_eq(tg_str_cut(&s, ','), TG_STR("a")));
    cr_assert(tg_str_eq(tg_str_cut(&s, ','), TG_STR("")));
    cr_assert_not_null(s.p);
    cr_assert(tg_str_eq(tg_str_cut(&s, ','), TG_STR("b")));
    cr_assert_null(s.p);
}

Test(str, cut_at_a_trailing_separator_leaves_an_empty_piece)
{
    tg_str s = TG_STR("a,");

    cr_assert(tg_str_eq(tg_str_cut(&s, ','), TG_STR("a")));
    cr_assert_not_null(s.p);
    cr_assert_eq(s.n, 0);
}

Test(str, trim_takes_blanks_only_from_the_ends)
{
    cr_assert(tg_str_eq(tg_str_trim(TG_STR(" \ta b\t ")), TG_STR("a b")));
    cr_assert(tg_str_eq(tg_str_trim(TG_STR(" \t ")), TG_STR("")));
    cr_assert(tg_str_eq(tg_str_trim(TG_STR("a\r\n")), TG_STR("a\r\n")));
}

Test(str, numbers_are_decimal_digits_and_nothing_else)
{
    static const char *const bad[] = {"", "+1", "-1", " 1", "1 ", "0x1", "1e3", "1_0"};
    uint64_t n = 7;

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_eq(tg_str_to_u64(tg_str_of(bad[i]), &n), TG_ESYNTAX, "%s", bad[i]);
    }
    cr_assert_eq(n, 7, "nothing is written on failure");
    cr_assert_eq(tg_str_to_u64(TG_STR("0042"), &n), TG_OK);
    cr_assert_eq(n, 42);
}

Test(str, numbers_over_64_bits_are_a_limit)
{
    uint64_t n = 0;

    cr_assert_eq(tg_str_to_u64(TG_STR("18446744073709551615"), &n), TG_OK);
    cr_assert_eq(n, UINT64_MAX);
    cr_assert_eq(tg_str_to_u64(TG_STR("18446744073709551616"), &n), TG_ELIMIT);
    cr_assert_eq(tg_str_to_u64(TG_STR("99999999999999999999999"), &n), TG_ELIMIT);
}

Test(str, dup_ends_with_a_nul_and_keeps_those_inside)
{
    char *copy = tg_str_dup(TG_STR("a\0b"));
    char *empty = tg_str_dup(TG_STR_NONE);

    cr_assert_arr_eq(copy, "a\0b", 4);
    cr_assert_str_eq(empty, "");
    free(copy);
    free(empty);
}

Test(str, well_formed_utf8_is_accepted)
{
    cr_assert(tg_str_is_utf8(TG_STR_NONE));
    cr_assert(tg_str_is_utf8(TG_STR("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80")));
    cr_assert(tg_str_is_utf8(TG_STR("\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF")));
}

Test(str, ill_formed_utf8_is_refused)
{
    static const char *const bad[] = {
        "\x80",
        "\xC3",
        "\xC3(",
        "\xC0\xAF",
        "\xE0\x80\xAF",
        "\xED\xA0\x80",
        "\xE2\x82",
        "\xF0\x9F\x98",
        "\xF0\x80\x80\xAF",
        "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80",
        "ok\xFF",
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_not(tg_str_is_utf8(tg_str_of(bad[i])), "case %zu", i);
    }
}

Test(str, unescapes_percent_escapes_and_a_query_s_plus)
{
    char out[32];
    bool is_whole = false;
    size_t n = tg_str_unescape(TG_STR("a%2Bb+c%2fd%"), true, out, &is_whole);

    cr_assert(tg_str_eq(tg_str_make(out, n), TG_STR("a+b c/d%")));
    cr_assert_not(is_whole);
    n = tg_str_unescape(TG_STR("a+%41"), false, out, &is_whole);
    cr_assert(tg_str_eq(tg_str_make(out, n), TG_STR("a+A")));
    cr_assert(is_whole);
}

Test(str, a_hex_digit_is_one_in_either_case)
{
    cr_assert_eq(tg_hex_digit('0'), 0);
    cr_assert_eq(tg_hex_digit('a'), 10);
    cr_assert_eq(tg_hex_digit('F'), 15);
    cr_assert_eq(tg_hex_digit('g'), -1);
    cr_assert_eq(tg_hex_digit('/'), -1);
}
