/* report.h - what the process tells its operator: readiness, metrics, status. Reads counters
 * only, from the admin thread. */
#ifndef TG_SERVER_REPORT_H
#define TG_SERVER_REPORT_H

#include "server/admin.h"
#include "server/worker.h"
#include "util/count.h"

struct tg_report {
    const struct tg_hub *hub;
    struct tg_server_worker *const *workers;
    unsigned n_workers;
    tg_count draining; /* 1 or 0 */
    bool store_is_memory;
};

bool tg_report_is_ready(struct tg_buf *reason, void *report);
void tg_report_metrics(struct tg_buf *out, void *report);
void tg_report_status(struct tg_buf *out, void *report);

#endif
