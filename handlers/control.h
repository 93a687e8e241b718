/* control.h - what gateways tell each other about devices and sessions (DESIGN.md 4.2).
 *
 * A word is a control entry of the common log: every gateway's hub meets it in its tail, in its
 * place among the events, and mails it to all of its workers. JSON with a version; kinds that are
 * not known are for newer gateways and ignored. */
#ifndef TG_HANDLERS_CONTROL_H
#define TG_HANDLERS_CONTROL_H

#include "handlers/worker.h"
#include "util/arena.h"

enum { TG_CONTROL_MAX_BYTES = 16 * 1024 };

enum tg_control_kind {
    TG_CONTROL_TOKEN,       /* a fresh token for a device's streams */
    TG_CONTROL_DEVICE_END,  /* a device was deleted */
    TG_CONTROL_SESSION_END, /* somebody signed out */
};

/* As Auth has them: this session, all of the user's, all but this one. */
enum tg_signout_scope { TG_SIGNOUT_LOCAL, TG_SIGNOUT_GLOBAL, TG_SIGNOUT_OTHERS };

/* Texts are borrowed. */
struct tg_control {
    enum tg_control_kind kind;
    tg_str user;                 /* a user's id, or "anon" */
    tg_str device;               /* token, device_end */
    tg_str token;                /* token: the JWT itself; it is sealed on its way */
    tg_str session;              /* session_end; empty: the user's tokens name none */
    enum tg_signout_scope scope; /* session_end */
    int64_t at_sec;              /* session_end: when */
    int64_t until_sec;           /* session_end: when the last of its tokens has expired */
};

/* The payload of a control entry. TG_ELIMIT. `now`: wall clock. */
enum tg_rc tg_control_build(const struct tg_handler_opts *o, const struct tg_control *c,
                            tg_usec now, struct tg_buf *out) TG_MUST_USE;
/* Texts live in the arena. TG_EUNSUPPORTED: another version, or a kind that is not known;
 * TG_EBADJSON; TG_EBADTOKEN, TG_EEXPIRED: its token is not of this group, or came late. */
enum tg_rc tg_control_parse(const struct tg_handler_opts *o, tg_str payload, tg_usec now,
                            struct tg_arena *arena, struct tg_control *ret_c) TG_MUST_USE;

/* Into the log, for all gateways and this one too. TG_OK: `done` follows. TG_ESTORE and what
 * tg_store_control() says: nothing has been written. */
enum tg_rc tg_control_send(struct tg_worker *w, const struct tg_control *c, tg_done_fn *done,
                           void *arg) TG_MUST_USE;

/* ---- between the hub and the workers of this process ---- */

struct tg_control_relay;

/* Main thread, before the workers' threads start and while their loops exist; gives each worker
 * its `relay`. [owned], to be destroyed after all threads have ended. */
struct tg_control_relay *tg_control_relay_create(struct tg_worker *const *workers, size_t n);
void tg_control_relay_destroy(struct tg_control_relay *r); /* NULL is fine */

/* The hub's thread (fits tg_hub_on_control): a payload for all workers, or word that some may have
 * been missed. What does not fit into a worker's mailbox is counted, which has that worker look for
 * itself (tg_control_missed). */
void tg_control_on_hub(tg_str payload, bool is_missed, void *relay);

/* How many workers this process has. */
size_t tg_control_n_peers(const struct tg_worker *w);
/* A worker of this process; NULL: there are not so many. */
struct tg_worker *tg_control_peer(const struct tg_worker *w, size_t index);

/* A worker: the same to all workers of this process, where the log cannot carry it. */
void tg_control_tell_here(struct tg_worker *w, tg_str payload);

/* How many words did not fit into this worker's mailbox. */
uint64_t tg_control_missed(const struct tg_worker *w);

/* A worker: before its loop's last turn. */
void tg_control_stop(struct tg_worker *w);

#endif
