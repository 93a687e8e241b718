/* mailbox.h - the only way to reach an object that lives on another loop.
 *
 * Many threads post, one loop drains. A mail carries everything the receiver
 * needs (ids and referenced frames, never a pointer to a live object of the
 * sender). Delivery is in order per sender, at most once, never blocking. */
#ifndef TG_LOOP_MAILBOX_H
#define TG_LOOP_MAILBOX_H

#include "util/base.h"
#include "util/rc.h"

struct tg_mailbox;

/* First member of every mail type. Zero it before use. */
struct tg_mail {
    struct tg_mail *next;                           /* mailbox only */
    void (*drop)(struct tg_mail *mail);             /* frees a mail that nobody received */
    void (*run)(struct tg_mail *mail, void *owner); /* what the receiver does; takes the mail */
};

/* `max` bounds the mails waiting. ret_mb: [owned]. */
enum tg_rc tg_mailbox_create(size_t max, struct tg_mailbox **ret_mb) TG_MUST_USE;

/* Any thread. TG_OK takes `mail`; on TG_EFULL or TG_ECLOSED it stays the caller's. */
enum tg_rc tg_mailbox_post(struct tg_mailbox *mb, struct tg_mail *mail) TG_MUST_USE;

/* The same without waking the owner: whoever posts several in a row ends it by one
 * tg_mailbox_wake() before it waits for anything, and the owner sees them together. */
enum tg_rc tg_mailbox_post_quiet(struct tg_mailbox *mb, struct tg_mail *mail) TG_MUST_USE;
void tg_mailbox_wake(struct tg_mailbox *mb);

/* Owner loop. Readable when there is mail. */
int tg_mailbox_fd(const struct tg_mailbox *mb);

/* Owner loop. Runs each waiting mail with `owner`. Returns how many. */
size_t tg_mailbox_drain(struct tg_mailbox *mb, void *owner);

/* Owner loop. From here on posts fail, and what was waiting is dropped. */
void tg_mailbox_close(struct tg_mailbox *mb);

/* After close, once no thread can post any more. NULL is fine. */
void tg_mailbox_destroy(struct tg_mailbox *mb);

#endif
