/* access_word.h - the control entry that says whose access to a declared topic may have changed.
 *
 *   access <topic> <key> <user>      words percent-encoded; `*` alone: all of them
 *
 * The holder of a `revoke_on` feed writes it into the common log, in its place among the events;
 * every gateway tells its workers before what follows (DESIGN.md 3). Pure. */
#ifndef TG_REALTIME_ACCESS_WORD_H
#define TG_REALTIME_ACCESS_WORD_H

#include "util/buf.h"
#include "util/clock.h"

enum { TG_ACCESS_WORD_MAX = 4096 };

/* Empty: all of them. */
struct tg_access_word {
    tg_str declared; /* the topic's name without its key */
    tg_str key;
    tg_str user;
    tg_usec at; /* when this gateway's hub told it, by tg_clock_mono_us(): who was asked at that
                   time or later has answered with it in mind. Not in the log */
};

/* Appends the payload. */
void tg_access_word_put(struct tg_buf *out, const struct tg_access_word *w);
/* Whether a payload of a control entry is one. */
bool tg_access_word_is(tg_str payload);
/* `scratch` has payload.n bytes, which ret_w's texts are slices of. TG_ESYNTAX. */
enum tg_rc tg_access_word_parse(tg_str payload, char *scratch,
                                struct tg_access_word *ret_w) TG_MUST_USE;

/* One word of it, for what is kept in the same form. Appends; empty becomes `*`. */
void tg_access_word_encode(struct tg_buf *out, tg_str text);

#endif
