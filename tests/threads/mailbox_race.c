/* mailbox_race.c - many threads post to one reader: nothing is lost, doubled or out of a
 * sender's order. For ThreadSanitizer. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "loop/mailbox.h"

enum { SENDERS = 4, MAILS = 20000, BOX = 64, QUIET_RUN = 7 };

struct note {
    struct tg_mail mail;
    int sender;
    int number;
};

struct reader {
    int next[SENDERS];
    int total;
    bool broken;
};

static struct tg_mailbox *box;

static void on_note(struct tg_mail *mail, void *owner)
{
    struct note *n = TG_CONTAINER_OF(mail, struct note, mail);
    struct reader *r = owner;

    r->broken = r->broken || n->number != r->next[n->sender]++;
    r->total++;
    free(n);
}

static void drop_note(struct tg_mail *mail)
{
    free(TG_CONTAINER_OF(mail, struct note, mail));
}

/* Half of the senders wake the reader only now and then. */
static enum tg_rc post(int sender, struct tg_mail *mail)
{
    return sender % 2 == 0 ? tg_mailbox_post(box, mail) : tg_mailbox_post_quiet(box, mail);
}

static void *send_all(void *arg)
{
    int sender = (int)(intptr_t)arg;

    for (int i = 0; i < MAILS; i++) {
        struct note *n = TG_NEW(struct note);

        n->mail.run = on_note;
        n->mail.drop = drop_note;
        n->sender = sender;
        n->number = i;
        while (post(sender, &n->mail) == TG_EFULL) {
            tg_mailbox_wake(box);
            (void)sched_yield();
        }
        if (i % QUIET_RUN == 0) {
            tg_mailbox_wake(box);
        }
    }
    tg_mailbox_wake(box);
    return NULL;
}

int main(void)
{
    struct reader r = {0};
    pthread_t threads[SENDERS];
    struct pollfd p = {.events = POLLIN};

    TG_ASSERT(tg_mailbox_create(BOX, &box) == TG_OK);
    p.fd = tg_mailbox_fd(box);
    for (int i = 0; i < SENDERS; i++) {
        TG_ASSERT(pthread_create(&threads[i], NULL, send_all, (void *)(intptr_t)i) == 0);
    }
    while (r.total < SENDERS * MAILS) {
        if (poll(&p, 1, 10000) != 1) {
            (void)fprintf(stderr, "a wake-up was lost after %d mails\n", r.total);
            return 1;
        }
        (void)tg_mailbox_drain(box, &r);
    }
    for (int i = 0; i < SENDERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    tg_mailbox_close(box);
    tg_mailbox_destroy(box);
    if (r.broken) {
        (void)fputs("a sender's order was not kept\n", stderr);
        return 1;
    }
    return 0;
}
