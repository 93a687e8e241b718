/* test_mailbox.c - what a mailbox promises its senders and its reader. */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdlib.h>

#include "loop/mailbox.h"

struct note {
    struct tg_mail mail;
    int number;
};

static unsigned n_dropped;

static void drop_note(struct tg_mail *mail)
{
    n_dropped++;
    free(TG_CONTAINER_OF(mail, struct note, mail));
}

static void expect_next(struct tg_mail *mail, void *owner)
{
    struct note *n = TG_CONTAINER_OF(mail, struct note, mail);
    int *expected = owner;

    cr_assert_eq(n->number, (*expected)++);
    free(n);
}

static struct tg_mail *note(int number)
{
    struct note *n = TG_NEW(struct note);

    n->mail.run = expect_next;
    n->mail.drop = drop_note;
    n->number = number;
    return &n->mail;
}

static struct tg_mailbox *mailbox(size_t max)
{
    struct tg_mailbox *mb = NULL;

    cr_assert_eq(tg_mailbox_create(max, &mb), TG_OK);
    return mb;
}

static bool is_readable(const struct tg_mailbox *mb)
{
    struct pollfd p = {.fd = tg_mailbox_fd(mb), .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

Test(mailbox, delivers_in_the_order_of_posting)
{
    struct tg_mailbox *mb = mailbox(100);
    int expected = 0;

    for (int i = 0; i < 100; i++) {
        cr_assert_eq(tg_mailbox_post(mb, note(i)), TG_OK);
    }
    cr_assert_eq(tg_mailbox_drain(mb, &expected), 100);
    cr_assert_eq(expected, 100);
    tg_mailbox_close(mb);
    tg_mailbox_destroy(mb);
}

Test(mailbox, wakes_its_reader_once_for_what_was_posted_quietly)
{
    struct tg_mailbox *mb = mailbox(2);
    struct tg_mail *third = note(2);
    int expected = 0;

    tg_mailbox_wake(mb);
    cr_assert_not(is_readable(mb));
    cr_assert_eq(tg_mailbox_post_quiet(mb, note(0)), TG_OK);
    cr_assert_eq(tg_mailbox_post_quiet(mb, note(1)), TG_OK);
    cr_assert_eq(tg_mailbox_post_quiet(mb, third), TG_EFULL);
    cr_assert_not(is_readable(mb));
    tg_mailbox_wake(mb);
    cr_assert(is_readable(mb));
    cr_assert_eq(tg_mailbox_drain(mb, &expected), 2);
    cr_assert_not(is_readable(mb));
    third->drop(third);
    tg_mailbox_close(mb);
    tg_mailbox_destroy(mb);
}

Test(mailbox, full_leaves_the_mail_with_its_sender_until_drained)
{
    struct tg_mailbox *mb = mailbox(1);
    struct tg_mail *second = note(1);
    int expected = 0;

    cr_assert_eq(tg_mailbox_post(mb, note(0)), TG_OK);
    cr_assert_eq(tg_mailbox_post(mb, second), TG_EFULL);
    cr_assert_eq(tg_mailbox_drain(mb, &expected), 1);
    cr_assert_eq(tg_mailbox_post(mb, second), TG_OK);
    cr_assert_eq(tg_mailbox_drain(mb, &expected), 1);
    tg_mailbox_close(mb);
    tg_mailbox_destroy(mb);
}

Test(mailbox, is_readable_exactly_while_mail_waits)
{
    struct tg_mailbox *mb = mailbox(10);
    int expected = 0;

    cr_assert_not(is_readable(mb));
    cr_assert_eq(tg_mailbox_post(mb, note(0)), TG_OK);
    cr_assert(is_readable(mb));
    (void)tg_mailbox_drain(mb, &expected);
    cr_assert_not(is_readable(mb));
    tg_mailbox_close(mb);
    tg_mailbox_destroy(mb);
}

Test(mailbox, closing_drops_what_waits_and_refuses_what_comes)
{
    struct tg_mailbox *mb = mailbox(10);
    struct tg_mail *late = note(2);

    n_dropped = 0;
    cr_assert_eq(tg_mailbox_post(mb, note(0)), TG_OK);
    cr_assert_eq(tg_mailbox_post(mb, note(1)), TG_OK);
    tg_mailbox_close(mb);
    cr_assert_eq(n_dropped, 2);
    cr_assert_eq(tg_mailbox_post(mb, late), TG_ECLOSED);
    late->drop(late);
    tg_mailbox_destroy(mb);
}
