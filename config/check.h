/* check.h - what no single key can say: values worked out from others, and rules between keys. */
#ifndef TG_CONFIG_CHECK_H
#define TG_CONFIG_CHECK_H

#include "config/config.h"

typedef void tg_check_error_fn(const char *key, const char *what, void *arg);

/* Fills what was left empty: the JWKS and Realtime addresses and the gateway's name. */
void tg_check_derive(struct tg_config *cfg);

/* Tells every broken rule, with the key that it is about. */
void tg_check_rules(const struct tg_config *cfg, tg_check_error_fn *on_error, void *arg);

#endif
