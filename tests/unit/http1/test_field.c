/* test_field.c - fields and the bytes they may hold. */
#include <criterion/criterion.h>

#include "http1/field.h"

static const struct tg_field list[] = {
    {TG_STR_INIT("Accept"), TG_STR_INIT("a")},
    {TG_STR_INIT("Connection"), TG_STR_INIT("keep-alive, X-One")},
    {TG_STR_INIT("accept"), TG_STR_INIT("b")},
    {TG_STR_INIT("CONNECTION"), TG_STR_INIT(" ,Upgrade\t")},
};
static const struct tg_fields fields = {.v = list, .n = TG_ARRAY_LEN(list)};

Test(field, the_first_of_a_name_is_found_in_any_case)
{
    cr_assert_eq(tg_fields_find(fields, TG_STR("ACCEPT")), &list[0]);
    cr_assert_null(tg_fields_find(fields, TG_STR("Accept-")));
    cr_assert_eq(tg_fields_count(fields, TG_STR("accept")), 2);
    cr_assert_eq(tg_fields_count(fields, TG_STR("host")), 0);
}

Test(field, a_token_is_found_in_all_fields_of_its_name)
{
    cr_assert(tg_fields_has_token(fields, TG_STR("connection"), TG_STR("upgrade")));
    cr_assert(tg_fields_has_token(fields, TG_STR("connection"), TG_STR("x-one")));
    cr_assert_not(tg_fields_has_token(fields, TG_STR("connection"), TG_STR("x")));
    cr_assert_not(tg_fields_has_token(fields, TG_STR("accept"), TG_STR("upgrade")));
    cr_assert_not(tg_field_list_has(TG_STR("close-not"), TG_STR("close")));
    cr_assert_not(tg_field_list_has(TG_STR_NONE, TG_STR("close")));
}

Test(field, a_token_has_the_characters_of_the_rfc_and_no_other)
{
    const char *chars = "!#$%&'*+-.^_`|~0123456789"
                        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char text[40];

    for (int c = 0; c < 256; c++) {
        bool expected = c != 0 && strchr(chars, c) != NULL;

        cr_assert_eq(tg_field_is_token_char((char)c), expected, "%d", c);
        for (size_t n = 1; n <= sizeof(text); n++) {
            for (size_t at = 0; at < n; at++) {
                memset(text, 'Z', sizeof(text));
                text[at] = (char)c;
                cr_assert_eq(tg_field_is_token(tg_str_make(text, n)), expected, "%d", c);
            }
        }
    }
    cr_assert_not(tg_field_is_token(TG_STR("")));
    cr_assert(tg_field_is_token(TG_STR("x-Y")));
    cr_assert_not(tg_field_is_token(TG_STR("x y")));
}

/* Each byte at each place of texts of every length: many at a time must see what one does. */
Test(field, a_value_has_no_control_but_tab_wherever_it_stands)
{
    char text[50];

    for (size_t n = 1; n <= sizeof(text); n++) {
        for (size_t at = 0; at < n; at++) {
            for (int c = 0; c < 256; c++) {
                bool expected = c == '\t' || (c >= 0x20 && c != 0x7f);

                memset(text, 0xff, sizeof(text));
                text[at] = (char)c;
                cr_assert_eq(tg_field_is_value(tg_str_make(text, n)), expected, "%d", c);
                memset(text, '~', sizeof(text));
                text[0] = '\t';
                text[at] = (char)c;
                cr_assert_eq(tg_field_is_value(tg_str_make(text, n)), expected, "%d", c);
            }
        }
    }
    cr_assert(tg_field_is_value(TG_STR("")));
}

Test(field, what_is_visible_has_no_blank_and_no_byte_of_another_alphabet)
{
    char text[40];

    for (size_t n = 1; n <= sizeof(text); n++) {
        for (size_t at = 0; at < n; at++) {
            for (int c = 0; c < 256; c++) {
                memset(text, 'x', sizeof(text));
                text[at] = (char)c;
                cr_assert_eq(tg_field_is_visible(tg_str_make(text, n)), c > 0x20 && c < 0x7f, "%d",
                             c);
            }
        }
    }
    cr_assert(tg_field_is_visible(TG_STR("")));
}
