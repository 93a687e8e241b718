/* The promises of lib/upstream/line.h. */
#include <criterion/criterion.h>

#include "upstream/line.h"

static void status_is(const char *line, unsigned want, const char *reason)
{
    unsigned status = 0;
    tg_str got = TG_STR_NONE;

    cr_assert_eq(tg_line_status(tg_str_of(line), &status, &got), TG_OK, "%s", line);
    cr_assert_eq(status, want);
    cr_assert(tg_str_eq(got, tg_str_of(reason)));
}

Test(line, keeps_the_reason_as_sent)
{
    status_is("HTTP/1.1 200 OK", 200, "OK");
    status_is("HTTP/1.1 402 Pay  up: now ", 402, "Pay  up: now ");
    status_is("HTTP/1.0 999 \xc3\xa4", 999, "\xc3\xa4");
}

Test(line, takes_an_empty_or_missing_reason)
{
    status_is("HTTP/1.1 200 ", 200, "");
    status_is("HTTP/1.1 200", 200, "");
    status_is("HTTP/2 204 ", 204, "");
}

Test(line, refuses_what_is_no_status_line)
{
    const char *bad[] = {"",
                         "HTTP/1.1",
                         "HTTP/1.1 ",
                         "HTTP/1.1 20",
                         "HTTP/1.1 2000",
                         "HTTP/1.1 099 x",
                         "HTTP/1.1 -20 x",
                         "HTTP/1.1  200 OK",
                         "http/1.1 200 OK",
                         "ICY 200 OK"};
    unsigned status = 0;
    tg_str reason = TG_STR_NONE;

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_neq(tg_line_status(tg_str_of(bad[i]), &status, &reason), TG_OK, "%s", bad[i]);
    }
}

Test(line, cuts_a_field_and_the_blanks_around_its_value)
{
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;

    cr_assert_eq(tg_line_field(TG_STR("X-a:\t b: c \t"), &name, &value), TG_OK);
    cr_assert(tg_str_eq(name, TG_STR("X-a")));
    cr_assert(tg_str_eq(value, TG_STR("b: c")));
    cr_assert_eq(tg_line_field(TG_STR("X-Empty:"), &name, &value), TG_OK);
    cr_assert_eq(value.n, 0U);
}

Test(line, refuses_fields_that_read_in_two_ways)
{
    const tg_str bad[] = {TG_STR("no colon"),  TG_STR(": v"),      TG_STR("X : v"),
                          TG_STR("X\t: v"),    TG_STR(" fold: v"), TG_STR("X: a\0b"),
                          TG_STR("X: a\rY: b")};
    tg_str name = TG_STR_NONE;
    tg_str value = TG_STR_NONE;

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_neq(tg_line_field(bad[i], &name, &value), TG_OK, "%s", bad[i].p);
    }
}

Test(line, reads_lengths_of_digits_only)
{
    const char *bad[] = {"", "-1", "+1", "1 1", "1,1", "0x10", "9223372036854775808"};
    int64_t n = 0;

    cr_assert_eq(tg_line_length(TG_STR("9223372036854775807"), &n), TG_OK);
    cr_assert_eq(n, INT64_MAX);
    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_neq(tg_line_length(tg_str_of(bad[i]), &n), TG_OK, "%s", bad[i]);
    }
}

Test(line, chomps_one_line_end)
{
    cr_assert(tg_str_eq(tg_line_chomp(TG_STR("a\r\n")), TG_STR("a")));
    cr_assert(tg_str_eq(tg_line_chomp(TG_STR("a\n")), TG_STR("a")));
    cr_assert(tg_str_eq(tg_line_chomp(TG_STR("a\r")), TG_STR("a\r")));
    cr_assert_eq(tg_line_chomp(TG_STR("\r\n")).n, 0U);
}

Test(line, knows_what_may_stand_in_a_request)
{
    cr_assert(tg_line_is_token(TG_STR("X-a!#$%&'*+-.^_`|~9")));
    cr_assert_not(tg_line_is_token(TG_STR("")));
    cr_assert_not(tg_line_is_token(TG_STR("a b")));
    cr_assert_not(tg_line_is_token(TG_STR("a\0")));
    cr_assert_not(tg_line_is_token(TG_STR("a:")));
    cr_assert(tg_line_is_target(TG_STR("/a?b=[]|{}\"<>^`\\")));
    cr_assert_not(tg_line_is_target(TG_STR("")));
    cr_assert_not(tg_line_is_target(TG_STR("/a b")));
    cr_assert_not(tg_line_is_target(TG_STR("/\x80")));
    cr_assert(tg_line_is_text(TG_STR("a\tb \xc3\xa4")));
    cr_assert(tg_line_is_text(TG_STR("")));
    cr_assert_not(tg_line_is_text(TG_STR("a\nb")));
    cr_assert_not(tg_line_is_text(TG_STR("a\rb")));
    cr_assert_not(tg_line_is_text(TG_STR("a\x7f")));
}
