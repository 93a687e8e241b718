/* test_access_use.c - streams that read by a verdict: asked about again, held, revoked. */
#include <criterion/criterion.h>
#include <string.h>

#include "auth/token.h"
#include "world.h"

/* A stream of u on worker 0 that has been let in to trip:1. */
static struct reader *let_in(void)
{
    struct ask *a = NULL;

    world_make(1);
    a = may_read(0, "u", "1", false);
    postgrest_says(200, YES_BODY);
    cr_assert_eq(answer_of(a), TG_OK);
    return reads(0, "u", "1");
}

/* ---- every recheck ---- */

Test(access_use, is_asked_again_before_recheck_but_not_a_tenth_before)
{
    (void)let_in();
    world_turn(89700);
    cr_assert_asked(1);
    world_turn(10300);
    cr_assert_asked(2);
    world_drop();
}

Test(access_use, that_began_together_parts)
{
    static const char *const keys[] = {"1", "2", "3", "4", "5", "6"};
    struct reader *r = let_in();
    tg_usec first = UINT64_MAX;
    tg_usec last = 0;

    for (size_t i = 1; i < TG_ARRAY_LEN(keys); i++) {
        (void)may_read(0, "u", keys[i], false);
        postgrest_says(200, YES_BODY);
        reads_also(r, "u", keys[i]);
    }
    world_turn(89000);
    world_pass(12000);
    cr_assert_asked(2 * TG_ARRAY_LEN(keys));
    for (size_t i = TG_ARRAY_LEN(keys); i < world.n_asked; i++) {
        first = TG_MIN(first, world.asked[i].at);
        last = TG_MAX(last, world.asked[i].at);
    }
    cr_assert_gt(last - first, TG_SEC(1));
    world_drop();
}

Test(access_use, is_asked_more_often_while_nobody_watches_the_rows_that_decide)
{
    world_make(1);
    world.is_watched = false;
    (void)may_read(0, "u", "1", false);
    postgrest_says(200, YES_BODY);
    (void)reads(0, "u", "1");
    world_turn(8700);
    cr_assert_asked(1);
    world_turn(1300);
    cr_assert_asked(2);
    world_drop();
}

Test(access_use, is_not_asked_about_with_a_token_that_has_expired)
{
    struct reader *r = let_in();
    struct tg_token *fresh = NULL;

    fake_now_sec += 3601;
    world_pass(110000);
    cr_assert_asked(1);
    fresh = token_of("u", 3600);
    tg_access_token(world.workers[0].access, &r->client, fresh);
    tg_token_unref(fresh);
    world_pass(30500);
    cr_assert_asked(2);
    world_drop();
}

Test(access_use, that_ended_is_not_asked_about)
{
    leaves(let_in());
    world_pass(110000);
    cr_assert_asked(1);
    world_drop();
}

/* ---- a change ---- */

Test(access_use, is_held_from_a_change_to_the_answer)
{
    struct reader *r = let_in();

    hear_all("1", "u");
    cr_assert(r->is_held, "at once");
    cr_assert_asked(2);
    cr_assert(r->is_held);
    postgrest_says(200, YES_BODY);
    cr_assert_not(r->is_held);
    cr_assert_eq(r->n_revoked, 0);
    world_drop();
}

Test(access_use, is_revoked_when_the_answer_is_no)
{
    struct reader *r = let_in();

    hear_all("1", "u");
    postgrest_says(200, NO_BODY);
    cr_assert_eq(r->n_revoked, 1);
    cr_assert_str_eq(r->revoked, "trip:1");
    cr_assert_not(r->is_held, "its other topics go on");
    world_pass(110000);
    cr_assert_asked(2);
    world_drop();
}

Test(access_use, of_others_goes_on)
{
    struct reader *r = let_in();

    hear_all("2", "u");
    hear_all("1", "v");
    cr_assert_asked(1);
    cr_assert_eq(r->n_holds, 0);
    world_drop();
}

Test(access_use, is_asked_about_but_not_held_for_a_suspicion)
{
    struct reader *r = let_in();

    hear_all("", "");
    cr_assert_asked(2);
    cr_assert_eq(r->n_holds, 0);
    postgrest_says(200, NO_BODY);
    cr_assert_eq(r->n_revoked, 1);
    world_drop();
}

Test(access_use, waits_for_an_answer_that_was_asked_after_the_change)
{
    struct reader *r = let_in();

    hear_all("1", "u");
    cr_assert_asked(2);
    hear_all("1", "u");
    postgrest_says(200, YES_BODY);
    cr_assert(r->is_held, "what it says may be of before");
    cr_assert_asked(3);
    postgrest_says(200, NO_BODY);
    cr_assert_eq(r->n_revoked, 1);
    world_drop();
}

Test(access_use, counts_an_answer_that_was_asked_when_the_word_was_told)
{
    struct reader *r = let_in();
    tg_usec told_at = fake_now;

    hear_all("1", "u");
    cr_assert_asked(2);
    postgrest_says(200, YES_BODY);
    hear(0, "1", "u", told_at); /* the same, once more */
    cr_assert_asked(2);
    cr_assert_eq(r->n_holds, 1);
    world_drop();
}

Test(access_use, asked_before_a_change_is_asked_again_for_who_comes)
{
    struct ask *a = NULL;

    world_make(1);
    a = may_read(0, "u", "1", false);
    world_turn(0);
    hear_all("1", "u");
    postgrest_says(200, YES_BODY);
    cr_assert_eq(a->n_done, 0);
    postgrest_says(200, NO_BODY);
    cr_assert_eq(answer_of(a), TG_EFORBIDDEN);
    world_drop();
}

Test(access_use, that_begins_behind_a_change_is_held)
{
    struct reader *r = NULL;

    world_make(1);
    (void)may_read(0, "u", "1", false);
    postgrest_says(200, YES_BODY);
    hear_all("1", "u");
    r = reads(0, "u", "1");
    cr_assert(r->is_held);
    postgrest_says(200, NO_BODY);
    cr_assert_eq(r->n_revoked, 1);
    world_drop();
}

Test(access_use, of_two_topics_is_held_until_both_are_answered)
{
    struct reader *r = let_in();

    (void)may_read(0, "u", "2", false);
    postgrest_says(200, YES_BODY);
    reads_also(r, "u", "2");
    hear_all("", "u");
    cr_assert_asked(4);
    postgrest_says(200, YES_BODY);
    cr_assert(r->is_held);
    postgrest_says(200, YES_BODY);
    cr_assert_not(r->is_held);
    world_drop();
}

/* ---- nobody knows ---- */

Test(access_use, goes_on_until_recheck_and_grace_are_over)
{
    struct reader *r = let_in();

    world.fetch_rc = TG_EOPEN;
    world_pass(149000);
    cr_assert_eq(r->n_holds, 0);
    world_pass(32000);
    cr_assert(r->is_held);
    cr_assert_not_null(strstr(r->told, "\"state\":\"unverified\""), "%s", r->told);
    world.fetch_rc = TG_OK;
    world_pass(31000);
    postgrest_says(200, YES_BODY);
    cr_assert_not(r->is_held);
    cr_assert_not_null(strstr(r->told, "\"state\":\"ready\""), "%s", r->told);
    world_drop();
}

Test(access_use, is_asked_about_again_ever_more_seldom)
{
    (void)let_in();
    hear_all("1", "u");
    cr_assert_asked(2);
    for (unsigned i = 0; i < 9; i++) {
        const tg_usec most = TG_MIN(TG_MS(1000) << TG_MIN(i, 6U), TG_SEC(30));

        postgrest_is_away();
        world_turn((unsigned)((most / 2 - TG_MS(200)) / 1000));
        cr_assert_asked(i + 2);
        world_turn((unsigned)((most / 2 + TG_MS(200)) / 1000));
        cr_assert_asked(i + 3);
    }
    world_drop();
}

Test(access_use, that_is_held_stays_so_while_nobody_knows)
{
    struct reader *r = let_in();
    struct ask *a = NULL;

    hear_all("1", "u");
    postgrest_is_away();
    cr_assert(r->is_held);
    a = may_read(0, "u", "1", false);
    cr_assert_eq(a->now, TG_EAGAIN, "nor is anybody let in by what was known before");
    postgrest_says(200, YES_BODY);
    cr_assert_eq(answer_of(a), TG_OK);
    cr_assert_not(r->is_held);
    world_drop();
}
