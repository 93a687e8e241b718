/* snapshot.h - the rows of a stream's tables, read as the user, before its changes.
 *
 * The stream is live and held (nothing of its topics is written, the log keeps it). Then the rows
 * are read through PostgREST in pages by their key, each a `snapshot` event of this stream alone;
 * the next page is read when the socket has taken the one before. Then the stream goes on with
 * the changes since it began: what is newer than a page comes after it.
 *
 *   {"topic":"table:public.tasks","rows":[..],"more":true} ... {"topic":..,"rows":[],"more":false}
 *
 * Only the last page has an id: who loses the connection before it must begin again, and not
 * resume at a position behind rows that it has not got. On the worker's loop. */
#ifndef TG_HANDLERS_SNAPSHOT_H
#define TG_HANDLERS_SNAPSHOT_H

#include "handlers/worker.h"

struct tg_snapshot;
struct tg_token;

struct tg_snapshot_ops {
    /* The rows can be read: now the transport may say that it begins. False: it could not, and has
     * dropped the snapshot by tg_snapshot_cancel(). */
    bool (*on_first)(void *arg);
    /* Last call. TG_OK: all is told, release the stream. Otherwise the stream must end: `has_begun`
     * tells whether on_first was called; `why` and `hint` are PostgREST's words, or empty. */
    void (*on_done)(enum tg_rc rc, tg_str why, tg_str hint, bool has_begun, void *arg);
};

struct tg_snapshot_opts {
    struct tg_worker *w;
    struct tg_stream *stream;                  /* [borrowed] until the end */
    struct tg_token *token;                    /* the user's; a reference is taken */
    const struct tg_topic_name *const *topics; /* [borrowed] for the call; of tables */
    size_t n_topics;
    tg_str key;                        /* the column that orders the rows: unique, not null */
    tg_str cursor;                     /* where the stream began; the id of the last page */
    const struct tg_snapshot_ops *ops; /* [borrowed] for ever */
    void *arg;
};

/* TG_EBADTOPIC: PostgREST cannot say a filter; *ret_why is a sentence ([borrowed] for ever). */
enum tg_rc tg_snapshot_start(const struct tg_snapshot_opts *opts, struct tg_snapshot **ret_snapshot,
                             const char **ret_why) TG_MUST_USE;
/* The stream's socket has taken bytes again (after tg_stream_writable()). */
void tg_snapshot_writable(struct tg_snapshot *s);
/* Nothing is called any more. NULL is fine. */
void tg_snapshot_cancel(struct tg_snapshot *s);

#endif
