/* Whose tokens are refused. */
#include <criterion/criterion.h>

#include "auth/token.h"
#include "handlers/deny.h"

#define USER "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"

enum { NOW = 1000, LATER = 2000 };

static struct tg_token token_of(const char *user, const char *session, int64_t iat_sec)
{
    struct tg_token t = {.session_id = tg_str_of(session), .iat_sec = iat_sec};

    memcpy(t.user_id, user, sizeof(t.user_id));
    return t;
}

static bool is_denied(const struct tg_deny *d, const char *user, const char *session,
                      int64_t iat_sec)
{
    const struct tg_token t = token_of(user, session, iat_sec);

    return tg_deny_has(d, &t, NOW);
}

Test(deny, a_session_means_that_session_of_that_user)
{
    struct tg_deny *d = tg_deny_create(8);

    cr_assert_not(is_denied(d, USER, "s1", 0));
    cr_assert(tg_deny_put(d, TG_STR("s:" USER ":s1"), LATER, NOW));
    cr_assert(is_denied(d, USER, "s1", INT64_MAX));
    cr_assert_not(is_denied(d, USER, "s2", 0));
    cr_assert_not(is_denied(d, USER, "", 0));
    cr_assert_not(is_denied(d, OTHER, "s1", 0));
    tg_deny_destroy(d);
    tg_deny_destroy(NULL);
}

Test(deny, a_user_means_tokens_from_before_but_the_spared_session)
{
    struct tg_deny *d = tg_deny_create(8);

    cr_assert(tg_deny_put(d, TG_STR("u:" USER ":900:kept"), LATER, NOW));
    cr_assert(is_denied(d, USER, "s1", 899));
    cr_assert(is_denied(d, USER, "", 899));
    cr_assert(is_denied(d, USER, "s1", INT64_MIN), "a token that does not say when");
    cr_assert_not(is_denied(d, USER, "s1", 900));
    cr_assert_not(is_denied(d, USER, "kept", 899));
    cr_assert_not(is_denied(d, OTHER, "s1", 0));
    /* And one more, without an exception. */
    cr_assert(tg_deny_put(d, TG_STR("u:" USER ":500:"), LATER, NOW));
    cr_assert(is_denied(d, USER, "kept", 499));
    cr_assert_not(is_denied(d, USER, "kept", 899));
    cr_assert(is_denied(d, USER, "s1", 899));
    tg_deny_destroy(d);
}

Test(deny, ends_in_its_time_and_the_later_of_two_ends_counts)
{
    struct tg_deny *d = tg_deny_create(8);
    const struct tg_token t = token_of(USER, "s1", 0);

    cr_assert_not(tg_deny_put(d, TG_STR("s:" USER ":s1"), NOW, NOW));
    cr_assert(tg_deny_put(d, TG_STR("s:" USER ":s1"), NOW + 5, NOW));
    cr_assert_not(tg_deny_put(d, TG_STR("s:" USER ":s1"), NOW + 9, NOW));
    cr_assert_not(tg_deny_put(d, TG_STR("s:" USER ":s1"), NOW + 7, NOW));
    cr_assert_eq(tg_deny_count(d), 1);
    cr_assert(tg_deny_has(d, &t, NOW + 8));
    cr_assert_not(tg_deny_has(d, &t, NOW + 9));
    tg_deny_destroy(d);
}

Test(deny, is_bounded_and_forgets_what_is_over_or_would_be_first)
{
    struct tg_deny *d = tg_deny_create(3);

    cr_assert(tg_deny_put(d, TG_STR("s:" USER ":over"), NOW + 1, NOW));
    cr_assert(tg_deny_put(d, TG_STR("u:" USER ":900:"), NOW + 90, NOW));
    cr_assert(tg_deny_put(d, TG_STR("u:" USER ":950:"), NOW + 20, NOW));
    cr_assert(tg_deny_put(d, TG_STR("s:" USER ":a"), NOW + 50, NOW + 1));
    cr_assert_eq(tg_deny_count(d), 3);
    cr_assert(is_denied(d, OTHER, "x", 0) == false && is_denied(d, USER, "x", 949));
    cr_assert(tg_deny_put(d, TG_STR("s:" USER ":b"), NOW + 60, NOW + 1));
    cr_assert_eq(tg_deny_count(d), 3);
    cr_assert_not(is_denied(d, USER, "x", 949));
    cr_assert(is_denied(d, USER, "x", 899));
    cr_assert(is_denied(d, USER, "a", 999) && is_denied(d, USER, "b", 999));
    tg_deny_destroy(d);
}

Test(deny, keys_are_read_as_they_are_written)
{
    static const struct tg_deny_rule rules[] = {
        {TG_STR_INIT("u1"), TG_STR_INIT("s:1"), false, 0},
        {TG_STR_INIT("u1"), TG_STR_INIT("s:1"), true, 1790000000},
        {TG_STR_INIT("u1"), TG_STR_INIT(""), true, 1},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(rules); i++) {
        TG_CLEANUP(tg_buf_fini) struct tg_buf key = {.max = TG_DENY_KEY_MAX};
        struct tg_deny_rule r = {0};

        tg_deny_key(&rules[i], &key);
        cr_assert_eq(tg_deny_key_parse(tg_buf_view(&key), &r), TG_OK);
        cr_assert(tg_str_eq(r.user, rules[i].user) && tg_str_eq(r.session, rules[i].session));
        cr_assert(r.is_user == rules[i].is_user && r.before_sec == rules[i].before_sec);
    }
}

Test(deny, what_is_no_key_changes_nothing)
{
    static const char *const bad[] = {
        "",           "s",
        "s:",         "s:u",
        "s:u:",       "s::x",
        "x:u:s",      "u:u",
        "u:u:",       "u:u:12",
        "u::1:s",     "u:u:-1:",
        "u:u:x:",     "u:u:99999999999999999999:",
        "u:u: 1:s",   "S:u:s",
        "u:u:1.5:s1",
    };
    struct tg_deny *d = tg_deny_create(3);
    char *big = tg_calloc(1, TG_DENY_KEY_MAX + 2);

    for (size_t i = 0; i < TG_ARRAY_LEN(bad); i++) {
        cr_assert_not(tg_deny_put(d, tg_str_of(bad[i]), LATER, NOW), "%s", bad[i]);
    }
    memset(big, 'x', TG_DENY_KEY_MAX + 1);
    memcpy(big, "s:u:", 4);
    cr_assert_not(tg_deny_put(d, tg_str_of(big), LATER, NOW));
    cr_assert_eq(tg_deny_count(d), 0);
    free(big);
    tg_deny_destroy(d);
}

Test(deny, a_session_that_is_no_identifier_is_none)
{
    char long_text[TG_SESSION_MAX_BYTES + 2];
    struct tg_token t = token_of(USER, "a b", 0);

    cr_assert_eq(tg_deny_session_of(&t).n, 0);
    memset(long_text, 'x', sizeof(long_text));
    long_text[sizeof(long_text) - 1] = '\0';
    t.session_id = tg_str_of(long_text);
    cr_assert_eq(tg_deny_session_of(&t).n, 0);
    t.session_id.n--;
    cr_assert_eq(tg_deny_session_of(&t).n, TG_SESSION_MAX_BYTES);
}
