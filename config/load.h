/* load.h - the configuration from its defaults, its file and the environment, in this order. */
#ifndef TG_CONFIG_LOAD_H
#define TG_CONFIG_LOAD_H

#include "config/config.h"
#include "util/buf.h"

enum { TG_CONFIG_FILE_MAX = 1024 * 1024, TG_CONFIG_ERRORS_MAX = 64 * 1024 };

/* Reads `path` (NULL: no file) and the TIDEGATE_* variables of `environment` (NULL-terminated,
 * as environ). Every mistake is appended to `errors` as one line that says where it is and what
 * is allowed; with any of them the answer is TG_EBADPARAM. Blocks on the file: before the
 * threads start, or on main. ret_cfg: [owned], tg_config_destroy(). */
enum tg_rc tg_config_load(const char *path, char *const *environment, struct tg_config **ret_cfg,
                          struct tg_buf *errors) TG_MUST_USE;

/* NULL is fine. */
void tg_config_destroy(struct tg_config *cfg);

#endif
