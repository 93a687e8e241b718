/* topic.h - the names of topics: parsed strictly, written in one canonical way.
 *
 *   table:<schema>.<table>[:<filter>]      a strict table topic (DESIGN.md 3)
 *   <name>:<key>                           a declared one; without a table it is published
 *
 * The filter is Supabase's grammar (reference/realtime-protocol.md 8.3): conditions
 * `column=[not.]op.value` joined by commas. Canonical: no blanks around conditions,
 * conditions in byte order, none twice. No wildcards. Pure. */
#ifndef TG_REALTIME_TOPIC_H
#define TG_REALTIME_TOPIC_H

#include "realtime/declared.h"
#include "util/buf.h"

enum { TG_TOPIC_MAX_BYTES = 512, TG_TOPIC_MAX_CONDITIONS = 16, TG_TOPIC_MAX_IN = 100 };

enum tg_topic_kind {
    TG_TOPIC_STRICT,    /* schema, table, filter; the policies of Supabase decide */
    TG_TOPIC_DECLARED,  /* declared with a table, key; its feed is that of the declared name */
    TG_TOPIC_PUBLISHED, /* declared, key; no feed: events come from who may publish */
};

struct tg_topic_name {
    char *text;  /* [owned] the canonical name; the others are slices of it */
    tg_str name; /* all of it */
    enum tg_topic_kind kind;
    const struct tg_declared *declared; /* NULL: strict */
    tg_str schema;
    tg_str table;
    tg_str filter; /* empty: none */
    tg_str key;
};

/* `text` is decoded already; `declared` may be NULL and outlives the topic. TG_EBADTOPIC, with
 * *ret_why a sentence ([borrowed] for ever). */
enum tg_rc tg_topic_parse(const struct tg_declared_list *declared, tg_str text,
                          struct tg_topic_name *ret_topic, const char **ret_why) TG_MUST_USE;
/* One of its own, to be finished as well. */
void tg_topic_copy(const struct tg_topic_name *t, struct tg_topic_name *ret_topic);
void tg_topic_fini(struct tg_topic_name *t);

/* Cuts the first condition, "column=[not.]op.value", off a canonical filter that is not empty. */
tg_str tg_topic_next_condition(tg_str *filter);

/* The key under which a topic is kept everywhere. Appends. A strict one belongs to a class:
 * "<class>|<name>"; a declared or published one is the same for all: "<name>". */
void tg_topic_key(struct tg_buf *out, tg_str class_id, const struct tg_topic_name *t);

/* The key of the feed that a topic's events come from, whose gaps are the topic's: of a strict one
 * `key`, its own (tg_topic_key()), of a declared one the declared name. Empty: it has no feed.
 * [borrowed] from the arguments. */
tg_str tg_topic_feed(const struct tg_topic_name *t, tg_str key);

/* How long, and how many, its events are kept; 0: as the store does. */
static inline tg_usec tg_topic_retain_for(const struct tg_topic_name *t)
{
    return t->declared == NULL ? 0 : t->declared->retain_for;
}
static inline uint64_t tg_topic_retain_events(const struct tg_topic_name *t)
{
    return t->declared == NULL ? 0 : t->declared->retain_events;
}

#endif
