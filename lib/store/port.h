/* port.h - a handle's letter box: other threads hold a reference and post; the handle's loop
 * reads. Outlives the handle, so that a late answer finds a closed box and not freed memory. */
#ifndef TG_STORE_PORT_H
#define TG_STORE_PORT_H

#include "loop/mailbox.h"
#include "util/ref.h"

struct tg_port {
    tg_ref ref;
    struct tg_mailbox *box;
    void *peer; /* whoever answers through the port: its own note, untouched by others */
};

/* One reference, the caller's. */
enum tg_rc tg_port_create(size_t max, struct tg_port **ret_port) TG_MUST_USE;
struct tg_port *tg_port_ref(struct tg_port *p);
void tg_port_unref(struct tg_port *p);

/* Any thread with a reference. Takes the mail in any case; false: nobody will read it. */
bool tg_port_post(struct tg_port *p, struct tg_mail *mail);

#endif
