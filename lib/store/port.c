/* port.c - a counted mailbox. */
#include "store/port.h"

#include <stdlib.h>

enum tg_rc tg_port_create(size_t max, struct tg_port **ret_port)
{
    struct tg_port *p = TG_NEW(struct tg_port);
    enum tg_rc rc = tg_mailbox_create(max, &p->box);

    if (rc != TG_OK) {
        free(p);
        return rc;
    }
    tg_ref_init(&p->ref);
    *ret_port = p;
    return TG_OK;
}

struct tg_port *tg_port_ref(struct tg_port *p)
{
    tg_ref_take(&p->ref);
    return p;
}

void tg_port_unref(struct tg_port *p)
{
    if (p != NULL && tg_ref_drop(&p->ref)) {
        tg_mailbox_destroy(p->box);
        free(p);
    }
}

bool tg_port_post(struct tg_port *p, struct tg_mail *mail)
{
    if (tg_mailbox_post(p->box, mail) == TG_OK) {
        return true;
    }
    mail->drop(mail);
    return false;
}
