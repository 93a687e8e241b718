/* publish_events.h - what stands in a request to publish: from its body to events for the log.
 *
 *   {"events":[{"topic":"trip-notices:42","id":"..","type":"..","payload":..},...]}
 *   {"topic":"trip-notices:42",...}                     one event
 *   {"type":"INSERT","table":..,"schema":..,"record":..,"old_record":..}   Supabase's database
 *                                                       webhook; the query names the topic
 *
 * Values are slices of the text that came, so every digit stays; only blanks between tokens go.
 * Pure. */
#ifndef TG_HANDLERS_PUBLISH_EVENTS_H
#define TG_HANDLERS_PUBLISH_EVENTS_H

#include "realtime/topic.h"

enum { TG_PUBLISH_ID_MAX = 255, TG_PUBLISH_WHY_MAX = 512 };

struct tg_publish_rules {
    const struct tg_declared_list *declared;
    size_t max_events;
    size_t max_bytes; /* of one event */
};

struct tg_publish_from {
    tg_str body;
    tg_str topic; /* of the query; empty: the body names it */
    tg_str once;  /* Idempotency-Key; empty: the body's id, if there is one */
};

struct tg_publish_event {
    struct tg_topic_name topic;
    struct tg_buf once; /* empty: none */
    size_t at;          /* in the batch's json */
    size_t n;
};

struct tg_publish_batch {
    struct tg_publish_event *events;
    size_t n;
    struct tg_buf json;
};

/* TG_OK: every event of the body is good. Otherwise none is taken, and `why` (at least
 * TG_PUBLISH_WHY_MAX) says which is not and why: TG_EBADJSON, TG_EBADTOPIC, TG_EBADPARAM,
 * TG_EBODYSIZE. tg_publish_fini() in both cases. */
enum tg_rc tg_publish_read(const struct tg_publish_rules *rules, const struct tg_publish_from *from,
                           struct tg_publish_batch *ret_batch, struct tg_buf *why) TG_MUST_USE;
void tg_publish_fini(struct tg_publish_batch *b);

tg_str tg_publish_json(const struct tg_publish_batch *b, const struct tg_publish_event *e);

#endif
