/* doc.h - the configuration written down: as it is, and as it can be. */
#ifndef TG_CONFIG_DOC_H
#define TG_CONFIG_DOC_H

#include "config/config.h"
#include "util/buf.h"

enum { TG_CONFIG_DOC_MAX = 1024 * 1024 };

/* Appends every key with its value, as YAML that tg_config_load() reads again, but that secrets
 * are starred. Behind each value stands where it came from. */
void tg_config_dump(const struct tg_config *cfg, struct tg_buf *out);

/* Appends docs/CONFIG.md. */
void tg_config_doc(struct tg_buf *out);

#endif
