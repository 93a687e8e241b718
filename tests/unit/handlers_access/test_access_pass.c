/* test_access_pass.c - several workers and one question: who asks it, what counts, and what becomes
 * of it when one of them is full or goes. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

static unsigned owner;
static unsigned asker;
static unsigned third;

/* Three workers; u's questions belong to `owner`. */
static void make(void)
{
    world_make(3);
    owner = owner_of("u");
    asker = other_than(owner);
    third = other_than(asker);
}

static uint64_t passed(unsigned k)
{
    return tg_count_get(&world.workers[k].counts.access_passed);
}

/* ---- once for all ---- */

Test(access_pass, question_is_asked_by_the_owner_and_answered_to_who_asks)
{
    struct ask *a = NULL;

    make();
    a = may_read(asker, "u", "1", false);
    cr_assert_eq(a->now, TG_EAGAIN);
    cr_assert_asked(1);
    cr_assert_eq(world.asked[0].worker, owner);
    cr_assert_not_null(strstr(world.asked[0].target, "user=eq.u"));
    cr_assert_eq(strncmp(world.asked[0].bearer, "Bearer ey", 9), 0);
    postgrest_says(200, YES_BODY);
    cr_assert_eq(answer_of(a), TG_OK);
    world_drop();
}

Test(access_pass, equal_questions_of_all_workers_at_once_are_one)
{
    struct ask *a[6];

    make();
    for (unsigned i = 0; i < TG_ARRAY_LEN(a); i++) {
        a[i] = may_read(i % 3, "u", "1", i > 2);
    }
    cr_assert_asked(1);
    postgrest_says(200, NO_BODY);
    for (size_t i = 0; i < TG_ARRAY_LEN(a); i++) {
        cr_assert_eq(answer_of(a[i]), TG_EFORBIDDEN);
    }
    cr_assert_asked(1);
    cr_assert_eq(passed(asker) + passed(third), 2);
    cr_assert_eq(passed(owner), 0);
    world_drop();
}

Test(access_pass, verdict_is_remembered_by_the_owner_for_all)
{
    struct ask *a = NULL;

    make();
    (void)may_read(asker, "u", "1", false);
    postgrest_says(200, YES_BODY);
    a = may_read(third, "u", "1", false);
    world_turn(0);
    cr_assert_eq(answer_of(a), TG_OK);
    cr_assert_eq(may_read(asker, "u", "1", false)->now, TG_OK, "and by who asked");
    cr_assert_asked(1);
    world_drop();
}

Test(access_pass, verdict_that_would_soon_be_too_old_is_asked_for_again)
{
    make();
    (void)may_read(asker, "u", "1", false);
    postgrest_says(200, YES_BODY);
    world_turn(51000);
    (void)may_read(third, "u", "1", false);
    cr_assert_asked(2);
    world_drop();
}

Test(access_pass, who_must_have_a_fresh_one_gets_no_older_one_with_others)
{
    struct ask *a = NULL;
    struct ask *b = NULL;

    make();
    (void)may_read(asker, "u", "1", false);
    postgrest_says(200, YES_BODY);
    world_turn(10000);
    a = may_read(third, "u", "1", false);
    b = may_read(third, "u", "1", true);
    cr_assert_asked(2);
    cr_assert(a->n_done == 0 && b->n_done == 0);
    postgrest_says(200, YES_BODY);
    cr_assert_eq(answer_of(a), TG_OK);
    cr_assert_eq(answer_of(b), TG_OK);
    world_drop();
}

Test(access_pass, account_of_a_user_is_one_for_all_workers)
{
    struct ask *a[4];

    make();
    world.opts.access_per_user = 2;
    for (unsigned i = 0; i < TG_ARRAY_LEN(a); i++) {
        static const char *const keys[] = {"1", "2", "3", "4"};

        a[i] = may_read(i % 2 == 0 ? asker : third, "u", keys[i], false);
    }
    cr_assert_asked(2);
    postgrest_says_all(YES_BODY);
    for (size_t i = 0, n_ok = 0; i < TG_ARRAY_LEN(a); i++) {
        n_ok += answer_of(a[i]) == TG_OK ? 1 : 0;
        cr_assert(answer_of(a[i]) == TG_OK || answer_of(a[i]) == TG_ERATE);
        cr_assert(i < 3 || n_ok == 2);
    }
    world_drop();
}

Test(access_pass, error_is_nobody_s_verdict)
{
    struct ask *a = NULL;
    struct ask *b = NULL;

    make();
    a = may_read(asker, "u", "1", false);
    b = may_read(owner, "u", "1", false);
    postgrest_is_away();
    cr_assert_eq(answer_of(a), TG_EACCESS);
    cr_assert_eq(answer_of(b), TG_EACCESS);
    cr_assert_eq(tg_count_get(&world.workers[owner].counts.access_unknown) +
                     tg_count_get(&world.workers[asker].counts.access_unknown),
                 1);
    world_drop();
}

/* ---- a change ---- */

Test(access_pass, change_holds_the_streams_of_all_workers_and_is_one_question)
{
    struct reader *r[3];

    make();
    for (unsigned k = 0; k < 3; k++) {
        (void)may_read(k, "u", "1", false);
    }
    postgrest_says_all(YES_BODY);
    for (unsigned k = 0; k < 3; k++) {
        r[k] = reads(k, "u", "1");
    }
    hear_all("1", "u");
    cr_assert(r[0]->is_held && r[1]->is_held && r[2]->is_held);
    cr_assert_asked(2);
    postgrest_says(200, NO_BODY);
    for (unsigned k = 0; k < 3; k++) {
        cr_assert_eq(r[k]->n_revoked, 1);
    }
    cr_assert_asked(2);
    world_drop();
}

Test(access_pass, change_that_only_the_asker_has_heard_of_counts)
{
    struct reader *r = NULL;

    make();
    (void)may_read(asker, "u", "1", false);
    postgrest_says(200, YES_BODY);
    r = reads(asker, "u", "1");
    hear(asker, "1", "u", ++fake_now);
    cr_assert_asked(2);
    cr_assert(r->is_held);
    postgrest_says(200, YES_BODY);
    cr_assert_not(r->is_held);
    /* The owner hears of it: it has asked since. */
    hear(owner, "1", "u", fake_now - TG_SEC(1));
    cr_assert_eq(may_read(owner, "u", "1", false)->now, TG_OK);
    cr_assert_asked(2);
    world_drop();
}

Test(access_pass, change_that_the_asker_heard_of_before_it_knew_the_topic_counts)
{
    struct ask *a = NULL;

    make();
    (void)may_read(owner, "u", "1", false);
    postgrest_says(200, YES_BODY);
    hear(asker, "1", "u", ++fake_now);
    a = may_read(asker, "u", "1", false);
    cr_assert_asked(2);
    postgrest_says(200, NO_BODY);
    cr_assert_eq(answer_of(a), TG_EFORBIDDEN);
    world_drop();
}

Test(access_pass, change_while_the_owner_asks_is_asked_about_again)
{
    struct ask *a = NULL;

    make();
    a = may_read(asker, "u", "1", false);
    cr_assert_asked(1);
    hear_all("1", "u");
    postgrest_says(200, YES_BODY);
    cr_assert_eq(a->n_done, 0);
    postgrest_says(200, NO_BODY);
    cr_assert_eq(answer_of(a), TG_EFORBIDDEN);
    cr_assert_asked(2);
    world_drop();
}

Test(access_pass, change_while_the_answer_is_on_its_way_home_is_asked_about_again)
{
    struct ask *a = NULL;

    make();
    a = may_read(asker, "u", "1", false);
    cr_assert_asked(1);
    world.asked[0].is_answered = true;
    world.asked[0].done(TG_OK, 200, TG_STR(YES_BODY), world.asked[0].arg);
    hear_all("1", "u");
    cr_assert_asked(2);
    cr_assert_eq(a->n_done, 0, "the answer was of before");
    postgrest_says(200, NO_BODY);
    cr_assert_eq(answer_of(a), TG_EFORBIDDEN);
    world_drop();
}

/* ---- somebody is full, or goes ---- */

struct filler {
    struct tg_mail mail;
};

static void free_filler(struct tg_mail *mail)
{
    free(TG_CONTAINER_OF(mail, struct filler, mail));
}

static void run_filler(struct tg_mail *mail, void *arg)
{
    (void)arg;
    free_filler(mail);
}

static void fill(unsigned k)
{
    enum tg_rc rc = TG_OK;

    while (rc == TG_OK) {
        struct filler *f = TG_NEW(struct filler);

        f->mail.run = run_filler;
        f->mail.drop = free_filler;
        rc = tg_loop_post(world.workers[k].loop, &f->mail);
        if (rc != TG_OK) {
            free(f);
        }
    }
    cr_assert_eq(rc, TG_EFULL);
}

Test(access_pass, owner_that_is_full_is_not_waited_for)
{
    struct ask *a = NULL;

    make();
    fill(owner);
    a = may_read(asker, "u", "1", false);
    turn_full(world.workers[owner].loop);
    world_turn(0);
    cr_assert_eq(answer_of(a), TG_EBUSY);
    cr_assert_eq(tg_count_get(&world.workers[asker].counts.access_pass_full), 1);
    a = may_read(asker, "u", "1", false);
    postgrest_says(200, YES_BODY);
    cr_assert_eq(answer_of(a), TG_OK);
    world_drop();
}

Test(access_pass, stream_whose_owner_is_full_stays_held_and_is_asked_about_again)
{
    struct reader *r = NULL;

    make();
    (void)may_read(asker, "u", "1", false);
    postgrest_says(200, YES_BODY);
    r = reads(asker, "u", "1");
    fill(owner);
    hear(asker, "1", "u", ++fake_now);
    turn_full(world.workers[owner].loop);
    cr_assert_asked(1);
    cr_assert(r->is_held);
    world_pass(1200);
    postgrest_says(200, YES_BODY);
    cr_assert_not(r->is_held);
    world_drop();
}

Test(access_pass, answer_waits_for_an_asker_that_is_full)
{
    struct ask *a = NULL;

    make();
    a = may_read(asker, "u", "1", false);
    cr_assert_asked(1);
    fill(asker);
    world.asked[0].is_answered = true;
    world.asked[0].done(TG_OK, 200, TG_STR(YES_BODY), world.asked[0].arg);
    turn_full(world.workers[asker].loop);
    cr_assert_eq(a->n_done, 0);
    world_pass(100);
    cr_assert_eq(answer_of(a), TG_OK);
    world_drop();
}

Test(access_pass, asker_that_left_leaves_the_answer_to_others)
{
    struct ask *a = NULL;

    make();
    a = may_read(asker, "u", "1", false);
    cr_assert_asked(1);
    tg_access_cancel(a->wait);
    postgrest_says(200, YES_BODY);
    cr_assert_eq(a->n_done, 0);
    cr_assert_eq(may_read(asker, "u", "1", false)->now, TG_OK);
    cr_assert_eq(may_read(owner, "u", "1", false)->now, TG_OK);
    world_drop();
}

Test(access_pass, asker_that_ended_is_not_answered)
{
    make();
    (void)may_read(asker, "u", "1", false);
    (void)may_read(asker, "u", "2", false);
    cr_assert_asked(2);
    world_end_worker(asker);
    postgrest_says_all(YES_BODY);
    cr_assert_eq(may_read(owner, "u", "1", false)->now, TG_OK);
    world_drop();
}

Test(access_pass, owner_that_ends_leaves_its_questions_to_who_asked_them)
{
    struct ask *under_way = NULL;
    struct ask *in_its_mail = NULL;
    struct ask *later = NULL;

    make();
    under_way = may_read(asker, "u", "1", false);
    cr_assert_asked(1);
    in_its_mail = may_read(asker, "u", "2", false);
    world_end_worker(owner);
    later = may_read(asker, "u", "3", false);
    cr_assert_asked(4);
    for (size_t i = 1; i < 4; i++) {
        cr_assert_eq(world.asked[i].worker, asker);
    }
    postgrest_says_all(YES_BODY);
    cr_assert_eq(answer_of(under_way), TG_OK);
    cr_assert_eq(answer_of(in_its_mail), TG_OK);
    cr_assert_eq(answer_of(later), TG_OK);
    world_drop();
}

Test(access_pass, answer_that_never_comes_is_given_up)
{
    struct ask *a = NULL;

    make();
    a = may_read(asker, "u", "1", false);
    cr_assert_asked(1);
    world_turn(119000);
    cr_assert_eq(a->n_done, 0);
    world_turn(1500);
    cr_assert_eq(answer_of(a), TG_EBUSY);
    postgrest_says(200, YES_BODY);
    cr_assert_eq(a->n_done, 1);
    world_drop();
}
