/* reader.h - rows of a table through PostgREST, as whoever the bearer is (DESIGN.md 4.1).
 *
 * The whole table, in pages by primary key (composite ones too), or: which of these primary keys
 * can this bearer see. On the loop of the `upstream` client that is given; what it tells comes
 * from the loop, never from inside a call. A read that fails is over: trying again is the
 * caller's. */
#ifndef TG_REALTIME_READER_H
#define TG_REALTIME_READER_H

#include "loop/loop.h"
#include "util/str.h"

struct tg_reader;
struct tg_table;
struct tg_upstream;

/* Everything is copied but `upstream`. */
struct tg_reader_opts {
    struct tg_loop *loop;
    struct tg_upstream *upstream; /* outlives the reader */
    tg_str authority;             /* of the project: Host; empty: the client's own */
    tg_str apikey;                /* of the project */
    tg_str bearer; /* a user's token or the service key; an opaque key (sb_...) goes as apikey alone
                    */
    const struct tg_table *table;
    const tg_str *columns; /* read besides the primary key */
    size_t n_columns;
    tg_str filter;         /* in PostgREST's form, escaped: "deleted_at=is.null", or empty */
    unsigned page_rows;    /* 0: 500; fewer when a page has too many bytes */
    size_t max_page_bytes; /* 0: 4 MiB; a row over it ends the read with TG_ELIMIT */
};

struct tg_reader_handler {
    /* A page: a JSON array of `n` objects [borrowed], ascending by primary key. False: the next one
     * waits for tg_reader_resume(). */
    bool (*on_rows)(tg_str rows, size_t n, void *arg);
    /* Last call, exactly once. TG_OK: that was all. TG_EBADTOKEN (401), TG_EFORBIDDEN (403),
     * TG_ENOTFOUND (404), TG_EBADPARAM (other 4xx: a column, the filter), TG_ERATE (429),
     * TG_EUPSTREAM (5xx, or not what PostgREST says), TG_ELIMIT, or what the client says. `status`
     * is 0 without an answer; `message` is PostgREST's own [borrowed], for the log. */
    void (*on_done)(enum tg_rc rc, unsigned status, tg_str message, void *arg);
};

/* `h` [borrowed] until on_done. TG_EBADPARAM, TG_ELIMIT, or what the client says: not started. */
enum tg_rc tg_reader_start(const struct tg_reader_opts *o, const struct tg_reader_handler *h,
                           void *arg, struct tg_reader **ret_reader) TG_MUST_USE;
void tg_reader_resume(struct tg_reader *r);
/* Nothing is told any more. Not after on_done. NULL is fine. */
void tg_reader_cancel(struct tg_reader *r);

/* `pks` as tg_row_pk() writes them. is_visible[i]: the bearer can see the row pks[i] (and it meets
 * the filter); NULL unless TG_OK. */
typedef void tg_reader_keys_fn(enum tg_rc rc, unsigned status, const bool *is_visible, size_t n,
                               void *arg);
struct tg_reader_keys;
enum { TG_READER_KEYS_MAX = 1000 };
/* Asks in as many requests as 8 KiB of target need, one after the other; `columns` and
 * `page_rows` are not used. TG_EBADPARAM: none, over TG_READER_KEYS_MAX, or not primary keys. */
enum tg_rc tg_reader_keys(const struct tg_reader_opts *o, const tg_str *pks, size_t n,
                          tg_reader_keys_fn *done, void *arg,
                          struct tg_reader_keys **ret_keys) TG_MUST_USE;
void tg_reader_keys_cancel(struct tg_reader_keys *k);

#endif
