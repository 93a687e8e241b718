/* test_access_word.c - the word about access in the common log. */
#include <criterion/criterion.h>

#include "realtime/access_word.h"

static void cr_assert_word(struct tg_access_word w, const char *expected)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = TG_ACCESS_WORD_MAX};
    char scratch[TG_ACCESS_WORD_MAX];
    struct tg_access_word again = {0};

    tg_access_word_put(&out, &w);
    cr_assert_str_eq(tg_buf_cstr(&out), expected);
    cr_assert(tg_access_word_is(tg_buf_view(&out)));
    cr_assert_eq(tg_access_word_parse(tg_buf_view(&out), scratch, &again), TG_OK);
    cr_assert(tg_str_eq(again.declared, w.declared));
    cr_assert(tg_str_eq(again.key, w.key));
    cr_assert(tg_str_eq(again.user, w.user));
}

Test(access_word, comes_back_as_it_was)
{
    cr_assert_word((struct tg_access_word){TG_STR("trip"), TG_STR("42"), TG_STR("a-b"), 0},
                   "access trip 42 a-b");
}

Test(access_word, tells_all_from_a_star)
{
    cr_assert_word((struct tg_access_word){0}, "access * * *");
    cr_assert_word((struct tg_access_word){TG_STR("trip"), TG_STR("*"), TG_STR(""), 0},
                   "access trip %2A *");
}

Test(access_word, keeps_blanks_percents_and_bytes_in_one_word)
{
    cr_assert_word((struct tg_access_word){TG_STR("t"), TG_STR("a b%\xC3\xBC"), TG_STR("\""), 0},
                   "access t a%20b%25%C3%BC %22");
}

Test(access_word, that_is_another_text_is_refused)
{
    const char *const texts[] = {"",         "access",      "access a b", "access a b c d",
                                 "access a", "access a  b", "{\"v\":1}",  "access %zz b c"};
    char scratch[64];
    struct tg_access_word w = {0};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cr_assert_eq(tg_access_word_parse(tg_str_of(texts[i]), scratch, &w), TG_ESYNTAX, "%s",
                     texts[i]);
    }
}

Test(access_word, encodes_one_word_alone)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf out = {.max = 64};

    tg_access_word_encode(&out, TG_STR("a b"));
    tg_access_word_encode(&out, TG_STR(""));
    cr_assert_str_eq(tg_buf_cstr(&out), "a%20b*");
}
