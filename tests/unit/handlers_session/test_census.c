/* test_census.c - streams of a device counted over all workers, whatever becomes of the question.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "group.h"
#include "handlers/census.h"

struct told {
    unsigned times;
    size_t n;
    bool is_whole;
};

static void on_count(size_t n, bool is_whole, void *arg)
{
    struct told *t = arg;

    t->times++;
    t->n = n;
    t->is_whole = is_whole;
}

static void ask(struct group *g, const char *device, struct told *told)
{
    tg_census_take(&g->workers[0], tg_str_of(user_of("u")), tg_str_of(device), on_count, told);
}

Test(census, streams_of_all_workers_are_counted_and_no_strangers)
{
    struct group g;
    struct told told = {0};

    group_make(&g);
    (void)group_stream(&g, 0, "u", "s1", "d1");
    (void)group_stream(&g, 1, "u", "s1", "d1");
    (void)group_stream(&g, 1, "u", "s2", "d1");
    (void)group_stream(&g, 1, "u", "s1", "d2");
    (void)group_stream(&g, 1, "v", "s1", "d1");
    ask(&g, "d1", &told);
    cr_assert_eq(told.times, 0, "never from inside");
    group_turn(&g, 10);
    cr_assert_eq(told.times, 1);
    cr_assert_eq(told.n, 3);
    cr_assert(told.is_whole);
    group_turn(&g, 2000);
    cr_assert_eq(told.times, 1);
    tg_census_stop(&g.workers[0]);
    group_drop(&g);
}

Test(census, question_that_is_stopped_is_answered_with_what_is_known_here)
{
    struct group g;
    struct told told[2] = {{0}, {0}};

    group_make(&g);
    (void)group_stream(&g, 0, "u", "s1", "d1");
    ask(&g, "d1", &told[0]);
    ask(&g, "d2", &told[1]);
    tg_census_stop(&g.workers[0]);
    cr_assert_eq(told[0].times, 1);
    cr_assert_eq(told[0].n, 1);
    cr_assert_not(told[0].is_whole);
    cr_assert_eq(told[1].times, 1);
    cr_assert_eq(told[1].n, 0);
    group_turn(&g, 10); /* the mails come home and find nobody */
    cr_assert_eq(told[0].times, 1);
    tg_census_stop(&g.workers[0]);
    group_drop(&g);
}

/* Fills the mailbox of a worker. */
static void on_note(struct tg_mail *mail, void *owner)
{
    (void)owner;
    free(mail);
}

static void drop_note(struct tg_mail *mail)
{
    free(mail);
}

Test(census, worker_that_takes_no_mail_is_passed_over)
{
    struct group g;
    struct told told = {0};

    group_make(&g);
    (void)group_stream(&g, 0, "u", "s1", "d1");
    (void)group_stream(&g, 1, "u", "s1", "d1");
    for (;;) {
        struct tg_mail *note = TG_NEW(struct tg_mail);

        note->run = on_note;
        note->drop = drop_note;
        if (tg_loop_post(g.workers[1].loop, note) != TG_OK) {
            free(note);
            break;
        }
    }
    ask(&g, "d1", &told);
    group_make_room(&g);
    group_turn(&g, 10);
    cr_assert_eq(told.times, 1);
    cr_assert_eq(told.n, 1);
    cr_assert_not(told.is_whole);
    tg_census_stop(&g.workers[0]);
    group_drop(&g);
}
