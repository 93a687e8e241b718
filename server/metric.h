/* metric.h - lines of Prometheus' text format (version 0.0.4).
 *
 *   tg_metric_head(out, "tidegate_requests_total", "counter", "Requests read to the end.");
 *   tg_metric_u64(out, "tidegate_requests_total", "worker=\"0\"", n); */
#ifndef TG_SERVER_METRIC_H
#define TG_SERVER_METRIC_H

#include "util/buf.h"

/* Once per name, before its samples. `type`: counter or gauge. */
void tg_metric_head(struct tg_buf *out, const char *name, const char *type, const char *help);

/* `labels` as they stand between the braces, or NULL. Never from a peer: labels are bounded. */
void tg_metric_u64(struct tg_buf *out, const char *name, const char *labels, uint64_t value);

#endif
