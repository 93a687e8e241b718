/* options.h - what both the gateway and `--check --as` make of the configuration. Pure. */
#ifndef TG_SERVER_OPTIONS_H
#define TG_SERVER_OPTIONS_H

#include "realtime/link.h"
#include "upstream/client.h"

struct tg_config;

/* All borrow from `c`. */
struct tg_upstream_opts tg_options_upstream(const struct tg_config *c);
struct tg_link_opts tg_options_link(const struct tg_config *c);

#endif
