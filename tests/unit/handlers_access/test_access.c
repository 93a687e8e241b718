/* test_access.c - one worker's verdicts: what is asked, what is remembered, and for how long. */
#include <criterion/criterion.h>
#include <string.h>

#include "world.h"

/* ---- asking ---- */

Test(access, question_names_the_key_and_the_user_and_bears_their_token)
{
    struct ask *a = NULL;

    world_make(1);
    a = may_read(0, "u 1", "4", false);
    cr_assert_asked(1);
    cr_assert_str_eq(world.asked[0].target,
                     "/rest/v1/members?select=id&trip=eq.4&user=eq.u%201&limit=1");
    cr_assert_eq(strncmp(world.asked[0].bearer, "Bearer ey", 9), 0);
    postgrest_says(200, YES_BODY);
    cr_assert_eq(answer_of(a), TG_OK);
    world_drop();
}

Test(access, equal_questions_at_once_are_one)
{
    struct ask *a[5];

    world_make(1);
    for (size_t i = 0; i < TG_ARRAY_LEN(a); i++) {
        a[i] = may_read(0, "u", "1", i % 2 == 0);
    }
    cr_assert_asked(1);
    postgrest_says(200, NO_BODY);
    for (size_t i = 0; i < TG_ARRAY_LEN(a); i++) {
        cr_assert_eq(answer_of(a[i]), TG_EFORBIDDEN);
    }
    cr_assert_asked(1);
    cr_assert_eq(tg_count_get(&world.workers[0].counts.access_shared), 4);
    world_drop();
}

Test(access, other_topics_and_other_users_are_other_questions)
{
    world_make(1);
    (void)may_read(0, "u", "1", false);
    (void)may_read(0, "u", "2", false);
    (void)may_read(0, "v", "1", false);
    cr_assert_asked(3);
    world_drop();
}

Test(access, of_another_sub_is_not_what_the_first_was_let_in_to)
{
    struct ask *a = NULL;

    world_make(1);
    (void)may_read(0, "u", "1", false);
    postgrest_says(200, YES_BODY);
    a = may_read(0, "v", "1", false);
    postgrest_says(200, NO_BODY);
    cr_assert_eq(answer_of(a), TG_EFORBIDDEN);
    cr_assert_not_null(strstr(world.asked[1].target, "user=eq.v"));
    world_drop();
}

Test(access, nobody_signed_in_is_asked_about_with_the_project_s_key)
{
    struct ask *a = NULL;

    world_make(1);
    a = may_read(0, NULL, "1", false);
    cr_assert_asked(1);
    cr_assert_str_eq(world.asked[0].target, "/rest/v1/trips?select=id&id=eq.1&limit=1");
    cr_assert_str_eq(world.asked[0].bearer, "");
    postgrest_says(200, YES_BODY);
    cr_assert_eq(answer_of(a), TG_OK);
    world_drop();
}

Test(access, who_leaves_is_not_told)
{
    struct ask *gone = NULL;
    struct ask *stays = NULL;

    world_make(1);
    gone = may_read(0, "u", "1", false);
    stays = may_read(0, "u", "1", false);
    tg_access_cancel(gone->wait);
    postgrest_says(200, YES_BODY);
    cr_assert_eq(gone->n_done, 0);
    cr_assert_eq(answer_of(stays), TG_OK);
    world_drop();
}

/* ---- what is remembered ---- */

Test(access, granted_is_remembered_until_recheck)
{
    world_make(1);
    (void)may_read(0, "u", "1", false);
    postgrest_says(200, YES_BODY);
    world_turn(99000);
    cr_assert_eq(may_read(0, "u", "1", false)->now, TG_OK);
    world_turn(2000);
    cr_assert_eq(may_read(0, "u", "1", false)->now, TG_EAGAIN);
    cr_assert_asked(2);
    world_drop();
}

Test(access, granted_is_remembered_for_5_s_where_it_must_be_fresh)
{
    world_make(1);
    (void)may_read(0, "u", "1", false);
    postgrest_says(200, YES_BODY);
    world_turn(4800);
    cr_assert_eq(may_read(0, "u", "1", true)->now, TG_OK);
    world_turn(200);
    cr_assert_eq(may_read(0, "u", "1", true)->now, TG_EAGAIN);
    world_drop();
}

Test(access, refused_is_remembered_for_5_s)
{
    world_make(1);
    (void)may_read(0, "u", "1", false);
    postgrest_says(200, NO_BODY);
    world_turn(4800);
    cr_assert_eq(may_read(0, "u", "1", false)->now, TG_EFORBIDDEN);
    world_turn(200);
    cr_assert_eq(may_read(0, "u", "1", false)->now, TG_EAGAIN);
    cr_assert_asked(2);
    world_drop();
}

Test(access, that_nobody_uses_is_forgotten_oldest_first)
{
    const char *const keys[] = {"1", "2", "3", "4"};

    world_make(1);
    world.opts.access_cache = 3;
    for (size_t i = 0; i < TG_ARRAY_LEN(keys); i++) {
        (void)may_read(0, "u", keys[i], false);
        postgrest_says(200, YES_BODY);
    }
    for (size_t i = 1; i < TG_ARRAY_LEN(keys); i++) {
        cr_assert_eq(may_read(0, "u", keys[i], false)->now, TG_OK);
    }
    cr_assert_eq(may_read(0, "u", keys[0], false)->now, TG_EAGAIN);
    world_drop();
}

Test(access, that_a_stream_uses_is_not_forgotten)
{
    world_make(1);
    world.opts.access_cache = 1;
    (void)may_read(0, "u", "1", false);
    postgrest_says(200, YES_BODY);
    (void)reads(0, "u", "1");
    for (unsigned i = 0; i < 3; i++) {
        (void)may_read(0, "v", "1", false);
        (void)may_read(0, "v", "2", false);
        postgrest_says_all(YES_BODY);
    }
    cr_assert_eq(may_read(0, "u", "1", false)->now, TG_OK);
    world_drop();
}

/* ---- budgets ---- */

Test(access, budget_of_a_user_is_the_user_s_alone)
{
    world_make(1);
    world.opts.access_per_user = 2;
    cr_assert_eq(may_read(0, "u", "1", false)->now, TG_EAGAIN);
    cr_assert_eq(may_read(0, "u", "2", false)->now, TG_EAGAIN);
    cr_assert_eq(may_read(0, "u", "3", false)->now, TG_ERATE);
    cr_assert_eq(may_read(0, "u", "2", false)->now, TG_EAGAIN, "it shares, and costs nothing");
    cr_assert_eq(may_read(0, "v", "3", false)->now, TG_EAGAIN);
    world_turn(600);
    cr_assert_eq(may_read(0, "u", "3", false)->now, TG_EAGAIN);
    world_drop();
}

Test(access, budget_of_a_worker_spreads_questions)
{
    static const char *const keys[] = {"1", "2", "3", "4", "5", "6", "7", "8"};

    world_make(1);
    world.opts.access_per_sec = 5;
    for (size_t i = 0; i < TG_ARRAY_LEN(keys); i++) {
        cr_assert_eq(may_read(0, "u", keys[i], false)->now, TG_EAGAIN);
    }
    cr_assert_asked(5);
    world_turn(250);
    cr_assert_asked(6);
    world_pass(1000);
    cr_assert_asked(8);
    world_drop();
}

Test(access, questions_that_wait_are_bounded)
{
    world_make(1);
    world.opts.access_waiting = 2;
    cr_assert_eq(may_read(0, "u", "1", false)->now, TG_EAGAIN);
    cr_assert_eq(may_read(0, "u", "2", false)->now, TG_EAGAIN);
    cr_assert_eq(may_read(0, "u", "3", false)->now, TG_EBUSY);
    cr_assert_eq(may_read(0, "u", "1", false)->now, TG_EAGAIN);
    cr_assert_asked(2);
    world_drop();
}

Test(access, streams_that_are_held_are_asked_about_first)
{
    world_make(1);
    (void)may_read(0, "u", "1", false);
    postgrest_says(200, YES_BODY);
    (void)reads(0, "u", "1");
    (void)may_read(0, "v", "1", false);
    hear(0, "1", "u", fake_now);
    cr_assert_asked(3);
    cr_assert_not_null(strstr(world.asked[1].target, "user=eq.u"));
    world_drop();
}

/* ---- no answer ---- */

Test(access, without_an_answer_is_unknown_and_asked_again)
{
    static const unsigned statuses[] = {500, 503, 429};
    struct ask *a = NULL;

    world_make(1);
    for (size_t i = 0; i < TG_ARRAY_LEN(statuses); i++) {
        a = may_read(0, "u", "1", false);
        postgrest_says(statuses[i], YES_BODY);
        cr_assert_eq(answer_of(a), TG_EACCESS);
    }
    a = may_read(0, "u", "1", false);
    postgrest_is_away();
    cr_assert_eq(answer_of(a), TG_EACCESS);
    world.fetch_rc = TG_EOPEN;
    a = may_read(0, "u", "1", false);
    world_turn(0);
    cr_assert_eq(answer_of(a), TG_EACCESS);
    world_drop();
}

Test(access, answered_with_an_error_is_refused)
{
    static const unsigned statuses[] = {400, 401, 403, 404};
    static const char *const keys[] = {"1", "2", "3", "4"};

    world_make(1);
    for (size_t i = 0; i < TG_ARRAY_LEN(statuses); i++) {
        struct ask *a = may_read(0, "u", keys[i], false);

        postgrest_says(statuses[i], YES_BODY);
        cr_assert_eq(answer_of(a), TG_EFORBIDDEN);
    }
    world_drop();
}

Test(access, of_a_token_that_expired_on_the_way_is_unknown)
{
    struct ask *a = NULL;
    struct ask *b = NULL;

    world_make(1);
    a = may_read(0, "u", "1", false);
    world_turn(0);
    fake_now_sec += 3601;
    b = may_read(0, "u", "1", false); /* with a fresh one, which was not asked with */
    postgrest_says(401, "");
    cr_assert_eq(answer_of(a), TG_EACCESS);
    cr_assert_eq(answer_of(b), TG_EACCESS);
    world_drop();
}
