/* device.h - the endpoints about devices: acknowledging, listing, looking at one, forgetting it,
 * a fresh token for its streams (DESIGN.md 4, 5). */
#ifndef TG_HANDLERS_DEVICE_H
#define TG_HANDLERS_DEVICE_H

#include "handlers/exchange.h"

void tg_device_ack_start(struct tg_exchange *x);    /* POST /sync/v1/ack */
void tg_device_list_start(struct tg_exchange *x);   /* GET /sync/v1/devices */
void tg_device_get_start(struct tg_exchange *x);    /* GET /sync/v1/devices/<id> */
void tg_device_delete_start(struct tg_exchange *x); /* DELETE /sync/v1/devices/<id> */
void tg_device_token_start(struct tg_exchange *x);  /* POST /sync/v1/token */

#endif
