/* topic.h - the names of topics: parsed strictly, written in one canonical way.
 *
 *   table:<schema>.<table>[:<filter>]      a strict table topic (DESIGN.md 3)
 *
 * The filter is Supabase's grammar (reference/realtime-protocol.md 8.3): conditions
 * `column=[not.]op.value` joined by commas. Canonical: no blanks around conditions,
 * conditions in byte order, none twice. No wildcards. Pure. */
#ifndef TG_REALTIME_TOPIC_H
#define TG_REALTIME_TOPIC_H

#include "util/buf.h"

enum { TG_TOPIC_MAX_BYTES = 512, TG_TOPIC_MAX_CONDITIONS = 16, TG_TOPIC_MAX_IN = 100 };

struct tg_topic_name {
    char *text;  /* [owned] the canonical name; the others are slices of it */
    tg_str name; /* all of it */
    tg_str schema;
    tg_str table;
    tg_str filter; /* empty: none */
};

/* `text` is decoded already. TG_EBADTOPIC, with *ret_why a sentence ([borrowed] for ever). */
enum tg_rc tg_topic_parse(tg_str text, struct tg_topic_name *ret_topic,
                          const char **ret_why) TG_MUST_USE;
void tg_topic_fini(struct tg_topic_name *t);

/* The key under which a strict topic is kept everywhere: "<class>|<name>". Appends. */
void tg_topic_key(struct tg_buf *out, tg_str class_id, tg_str name);

#endif
