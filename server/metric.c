/* metric.c - see metric.h. */
#include "server/metric.h"

void tg_metric_head(struct tg_buf *out, const char *name, const char *type, const char *help)
{
    tg_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void tg_metric_u64(struct tg_buf *out, const char *name, const char *labels, uint64_t value)
{
    tg_buf_str(out, tg_str_of(name));
    if (labels != NULL) {
        tg_buf_printf(out, "{%s}", labels);
    }
    tg_buf_char(out, ' ');
    tg_buf_u64(out, value);
    tg_buf_char(out, '\n');
}
