/* yaml.h - a YAML file as a list of dotted names with texts. The only door to libyaml.
 *
 *   server:
 *     listen: 127.0.0.1:8080          -> "server.listen", "127.0.0.1:8080", line 2
 *     trusted_proxies: [10.0.0.1]       -> "server.trusted_proxies", "10.0.0.1", line 3
 *
 * Anchors, aliases, tags, several documents and lists of anything but texts are refused. */
#ifndef TG_CONFIG_YAML_H
#define TG_CONFIG_YAML_H

#include "util/buf.h"

enum tg_yaml_kind {
    TG_YAML_TEXT,
    TG_YAML_LIST,    /* entries joined by commas */
    TG_YAML_EMPTY,   /* a name with nothing behind it */
    TG_YAML_SECTION, /* a name with a mapping behind it, before its members */
};

struct tg_yaml_item {
    tg_str name; /* [borrowed] for the call, as the text */
    tg_str text;
    unsigned line;
    enum tg_yaml_kind kind;
};

typedef void tg_yaml_item_fn(const struct tg_yaml_item *item, void *arg);
typedef void tg_yaml_error_fn(unsigned line, const char *what, void *arg);

/* Calls `on_item` in order. What cannot be read is told to `on_error`, and reading stops there:
 * TG_ESYNTAX. Depth, names and lists are bounded. */
enum tg_rc tg_yaml_read(tg_str text, tg_yaml_item_fn *on_item, tg_yaml_error_fn *on_error,
                        void *arg) TG_MUST_USE;

#endif
