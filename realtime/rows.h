/* rows.h - a table that is read, too: what feed.c's coverage means for it (DESIGN.md 3, 4.1).
 *
 *   upstream's changes -> route by the index -> the log          feed_declared.c
 *                      -> words about access -> the log          feed_revoke.c
 *   the table, read    -> compare with the index -> repairs      feed_fill.c, feed_verify.c
 *   as one class sees it: a strict topic's with `catchup`        feed_class.c
 *   a row, read again                                            feed_reread.c
 *   what waits for a read, for a row, for the store              feed_rows.c
 *
 * The index knows of every row which topic it is in and what of it has been told. It is filled
 * from the whole table after `Subscribed`; until that is done changes wait, bounded.
 *
 *   OUT -> LOADING -> READING -> WHOLE     OUT: no lease, no upstream, or to be tried again
 *    ^                   |         |       LOADING: what clients were told, from the store
 *    +-------------------+---------+
 *
 * Everything here belongs to the hub's thread. */
#ifndef TG_REALTIME_ROWS_H
#define TG_REALTIME_ROWS_H

#include "realtime/hub_int.h"
#include "realtime/index.h"
#include "realtime/reader.h"
#include "realtime/row.h"
#include "realtime/table.h"
#include "realtime/where.h"

enum { ROWS_PK_BYTES = 4 * TG_INDEX_PK_MAX }; /* one that is longer than the index takes, too */

enum fill_state { FILL_OUT, FILL_LOADING, FILL_READING, FILL_WHOLE };

struct rows_opts {
    const struct tg_table *table;
    const struct tg_declared *declared; /* NULL: it gives and takes access */
    bool is_strict;                     /* as the class of the feed's token sees it */
    const struct tg_declared **guarded; /* [takes] the topics whose access it decides */
    size_t n_guarded;
    void *own; /* [takes] NULL, or what `table` and `declared` are parts of */
};

/* A change that waits. */
struct change {
    struct change *next;
    size_t n;
    char text[];
};

struct out; /* a write that waits for its turn at the store */

struct rows {
    struct feed *feed;
    struct rows_opts opts;
    struct tg_buf filter; /* in PostgREST's form; empty: all rows */
    bool is_blind;        /* it needs more of a row than a DELETE shows */
    tg_str *columns;      /* [owned] those that are read besides the primary key */
    size_t n_columns;
    struct tg_index *index;
    size_t n_counted; /* of its rows */

    enum fill_state fill;
    bool is_loaded;      /* the index says what clients were told */
    bool is_first;       /* nothing was told yet: what is read is only noted */
    bool is_partial;     /* more rows than the index takes */
    bool is_again;       /* something was lost since the read under way began */
    bool is_lost;        /* something was lost that neither a gap nor a repair has told yet */
    bool is_gap_before;  /* a gap stands right before the changes that are applied */
    bool is_lost_behind; /* so was something behind changes that wait: read twice */
    bool has_noted;      /* the first time: the stored index has been begun */
    bool is_after;       /* changes that came during the read are applied */
    bool is_unsure;      /* it follows a loss: a row may have come and gone that nobody knows of */
    struct tg_reader *reader;
    bool is_verify;                 /* it only compares */
    struct tg_map touched;          /* primary keys that changed since the read began */
    struct tg_map suspects;         /* those that a verify found different */
    struct tg_map differing, asked; /* a class's: to be read whole, and under way */
    struct tg_timer timer;          /* the next fill, or verify */
    tg_usec retry;
    tg_usec filled_at;
    tg_usec burst_since; /* changes are counted from here */
    unsigned n_burst;
    bool is_burst;    /* a verify follows it */
    bool is_doubtful; /* something may have been lost since the one under way began */

    struct change *changes; /* oldest first */
    struct change **changes_end;
    size_t change_bytes;
    unsigned n_changes;
    struct tg_reader *one; /* a row is read again; the first change waits for it */
    struct tg_buf one_row;

    struct out *outs; /* oldest first */
    struct out **outs_end;
    size_t out_bytes;

    bool is_asked_early;  /* rows differ from those by which everybody was asked */
    bool owes_forgetting; /* the store still has an index that is of no use */
    bool owes_access;     /* everybody is to be asked again, which the log could not be told */
    bool is_watched;      /* as the workers were told */
};

/* ---- feed_rows.c: life, and what waits ---- */

struct rows *rows_create(struct feed *f, const struct rows_opts *opts);
void rows_destroy(struct rows *r); /* NULL is fine */
/* The lease is ours: others may have told clients meanwhile. */
void rows_leased(struct rows *r);
/* Changes from here on may follow something that was lost. */
void rows_lost(struct rows *r, const char *reason);
/* Upstream is gone. */
void rows_down(struct rows *r);
/* So is the lease. */
void rows_unleased(struct rows *r);
void rows_sweep(struct rows *r);
void rows_on_change(struct rows *r, tg_str payload);
bool rows_are_whole(const struct rows *r);
/* What a gap hides is found and told: the store knows what was told before. */
bool rows_are_stored(const struct rows *r);
/* And the index has room for it. */
bool rows_are_repaired(const struct rows *r);
/* Some deletes are gaps, or are not told by upstream. */
bool rows_are_partial(const struct rows *r);
/* There is a fresher token to read with. */
void rows_on_token(struct rows *r);
/* The index does not know all rows from here on: what the store has of it is of no use. */
void rows_overflow(struct rows *r);
/* It has n rows, as the metrics say. */
void rows_count(struct rows *r, size_t n);
/* Whose eyes it is read with, and how. */
void rows_reader_opts(const struct rows *r, struct tg_reader_opts *ret_opts);
/* The primary key of the row that a change is about. */
enum tg_rc rows_change_pk(const struct rows *r, tg_str payload, struct tg_buf *out);
/* true: the row had another one, `out`, before. */
bool rows_change_old_pk(const struct rows *r, tg_str payload, tg_str pk, struct tg_buf *out);
/* For completions, as feed_unpend(). NULL: the feed, or the rows, have gone. */
struct rows *rows_unpend(void *arg);
void rows_forget_keys(struct tg_map *m);
void rows_tell_watched(struct rows *r);

/* Changes that waited, as far as nothing holds them up. */
void rows_drain(struct rows *r);
/* An event; with `value` the stored index has the row so from then on, without one no longer. */
void rows_append(struct rows *r, tg_str topic, tg_str payload, tg_str pk, tg_str value);
void rows_index(struct rows *r, tg_str pk, tg_str key, uint64_t hash);
void rows_unindex(struct rows *r, tg_str pk);
/* What the stored index has for a row. */
void rows_put_value(struct tg_buf *out, tg_str key, uint64_t hash);
enum tg_rc rows_parse_value(tg_str value, tg_str *ret_key, uint64_t *ret_hash) TG_MUST_USE;

/* ---- feed_declared.c: changes of a declared topic's table ---- */

/* A row as the topics' readers are to be told of it. */
struct row_change {
    tg_str pk;
    tg_str key; /* empty: in no topic */
    tg_str cut;
    uint64_t hash;
    tg_str commit; /* JSON; empty: now */
    bool is_insert;
    bool is_repaired;
    bool is_foreign;   /* the class did not know it before */
    bool is_cut_short; /* upstream left columns out, and they could not be read */
};

/* Room for one. */
struct row_texts {
    struct tg_buf pk, key, cut;
};
struct row_texts row_texts(void);
void row_texts_fini(struct row_texts *t);

/* false: the first change waits until its row has been read. */
bool declared_take(struct rows *r, tg_str payload);
/* The row, read again; empty: it could not be. */
void declared_take_read(struct rows *r, tg_str payload, tg_str row);
/* The row is gone by now. */
void declared_take_none(struct rows *r, tg_str payload);
/* c->key, cut and hash. false: columns are missing. */
bool declared_read(const struct rows *r, tg_str record, struct row_texts *t, struct row_change *c);
void declared_route(struct rows *r, const struct row_change *c);
void declared_gone(struct rows *r, const struct row_change *c);

/* ---- feed_revoke.c: changes of a table that gives and takes access ---- */

void revoke_take(struct rows *r, tg_str payload);
void revoke_note(struct rows *r, tg_str pk, tg_str record);
/* Everybody is asked again. */
void revoke_all(struct rows *r);

/* ---- feed_fill.c: the table, read ---- */

void fill_begin(struct rows *r);
void fill_soon(struct rows *r, tg_usec after);
void fill_stop(struct rows *r);
/* The stored index goes. */
void fill_forget(struct rows *r);
/* All rows have been compared. */
void fill_end(struct rows *r);
void fill_say_unread(struct rows *r, enum tg_rc rc, unsigned status, tg_str message);
void fill_on_timer(struct tg_timer *t);

/* ---- feed_class.c: a table as one class sees it ---- */

/* NULL: what a gap hides from the topic's readers cannot be told. */
struct rows *class_create(struct feed *f);
/* It could not be read. `r` may be gone behind it: its feed goes on without. */
void class_give_up(struct rows *r, enum tg_rc rc);
void class_differs(struct rows *r, tg_str pk);
/* Rows that differ are read whole. false: there are none. */
bool class_read_details(struct rows *r);

/* ---- feed_verify.c: what changes meanwhile, and what was lost without a sign ---- */

void verify_change(struct rows *r, tg_str payload);
void verify_touch(struct rows *r, tg_str payload);
bool verify_is_touched(const struct rows *r, tg_str pk);
void verify_later(struct rows *r);
/* false: that cannot tell what was lost up to now. */
bool verify_soon(struct rows *r);
void verify_suspect(struct rows *r, tg_str pk);
void verify_end(struct rows *r);
void verify_judge(struct rows *r);

/* ---- feed_reread.c ---- */

/* false: that cannot be. Otherwise the first change waits for it. */
bool reread_row(struct rows *r, tg_str pk);

#endif
