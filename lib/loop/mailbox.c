/* mailbox.c - bounded many-to-one queue that wakes its reader through an eventfd.
 *
 * Invariant: while the list is not empty, its wake-up has been written or the
 * post that must write it has not returned (a quiet one: its tg_mailbox_wake()). A sleeping
 * reader misses nothing. */
#include "loop/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAILBOX_MAGIC 0x6d61696cU

struct tg_mailbox {
    unsigned magic;
    int fd;
    pthread_mutex_t lock; /* guards what follows */
    struct tg_mail *head;
    struct tg_mail **tail;
    size_t count;
    size_t max;
    bool closed;
};

enum tg_rc tg_mailbox_create(size_t max, struct tg_mailbox **ret_mb)
{
    struct tg_mailbox *mb = NULL;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd == -1) {
        return TG_ELIMIT;
    }
    mb = TG_NEW(struct tg_mailbox);
    mb->magic = MAILBOX_MAGIC;
    mb->fd = fd;
    mb->max = max;
    mb->tail = &mb->head;
    TG_ASSERT(pthread_mutex_init(&mb->lock, NULL) == 0);
    *ret_mb = mb;
    return TG_OK;
}

static void wake_reader(struct tg_mailbox *mb)
{
    const uint64_t one = 1;

    /* EAGAIN would mean 2^64 - 2 unread wake-ups: it is awake. */
    while (write(mb->fd, &one, sizeof(one)) == -1 && errno == EINTR) {
    }
}

static struct tg_mail *take_all(struct tg_mailbox *mb, bool close)
{
    struct tg_mail *mail = NULL;

    TG_ASSERT(pthread_mutex_lock(&mb->lock) == 0);
    mail = mb->head;
    mb->head = NULL;
    mb->tail = &mb->head;
    mb->count = 0;
    mb->closed = mb->closed || close;
    TG_ASSERT(pthread_mutex_unlock(&mb->lock) == 0);
    return mail;
}

static enum tg_rc put(struct tg_mailbox *mb, struct tg_mail *mail, bool *ret_was_empty)
{
    enum tg_rc rc = TG_OK;

    TG_CHECK(mb, MAILBOX_MAGIC);
    TG_ASSERT(mail->next == NULL && mail->drop != NULL && mail->run != NULL);

    TG_ASSERT(pthread_mutex_lock(&mb->lock) == 0);
    if (mb->closed) {
        rc = TG_ECLOSED;
    } else if (mb->count == mb->max) {
        rc = TG_EFULL;
    } else {
        *ret_was_empty = mb->head == NULL;
        *mb->tail = mail;
        mb->tail = &mail->next;
        mb->count++;
    }
    TG_ASSERT(pthread_mutex_unlock(&mb->lock) == 0);
    return rc;
}

enum tg_rc tg_mailbox_post(struct tg_mailbox *mb, struct tg_mail *mail)
{
    bool was_empty = false;
    enum tg_rc rc = put(mb, mail, &was_empty);

    /* Only the post that ends the emptiness pays for a system call: the reader
     * takes the whole list at once, so a second wake-up would find nothing. */
    if (was_empty) {
        wake_reader(mb);
    }
    return rc;
}

enum tg_rc tg_mailbox_post_quiet(struct tg_mailbox *mb, struct tg_mail *mail)
{
    bool was_empty = false;

    return put(mb, mail, &was_empty);
}

void tg_mailbox_wake(struct tg_mailbox *mb)
{
    bool has_mail = false;

    TG_CHECK(mb, MAILBOX_MAGIC);
    TG_ASSERT(pthread_mutex_lock(&mb->lock) == 0);
    has_mail = mb->head != NULL;
    TG_ASSERT(pthread_mutex_unlock(&mb->lock) == 0);
    if (has_mail) {
        wake_reader(mb);
    }
}

int tg_mailbox_fd(const struct tg_mailbox *mb)
{
    TG_CHECK(mb, MAILBOX_MAGIC);
    return mb->fd;
}

size_t tg_mailbox_drain(struct tg_mailbox *mb, void *owner)
{
    struct tg_mail *mail = NULL;
    struct tg_mail *next = NULL;
    uint64_t wakeups = 0;
    size_t n = 0;

    TG_CHECK(mb, MAILBOX_MAGIC);
    /* Clear the signal before looking: a post after this line wakes us again.
     * The other order loses a mail posted between the look and the clear. */
    while (read(mb->fd, &wakeups, sizeof(wakeups)) == -1 && errno == EINTR) {
    }
    for (mail = take_all(mb, false); mail != NULL; mail = next) {
        next = mail->next;
        mail->next = NULL;
        mail->run(mail, owner);
        n++;
    }
    return n;
}

void tg_mailbox_close(struct tg_mailbox *mb)
{
    struct tg_mail *mail = NULL;
    struct tg_mail *next = NULL;

    TG_CHECK(mb, MAILBOX_MAGIC);
    for (mail = take_all(mb, true); mail != NULL; mail = next) {
        next = mail->next;
        mail->next = NULL;
        mail->drop(mail);
    }
}

void tg_mailbox_destroy(struct tg_mailbox *mb)
{
    if (mb == NULL) {
        return;
    }
    tg_mailbox_close(mb);
    TG_ASSERT(pthread_mutex_destroy(&mb->lock) == 0);
    (void)close(mb->fd);
    mb->magic = 0;
    free(mb);
}
