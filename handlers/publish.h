/* publish.h - POST /sync/v1/publish: events of declared topics, from who holds the project's
 * service key or the publisher's secret. */
#ifndef TG_HANDLERS_PUBLISH_H
#define TG_HANDLERS_PUBLISH_H

#include "handlers/exchange.h"

void tg_publish_start(struct tg_exchange *x);

#endif
