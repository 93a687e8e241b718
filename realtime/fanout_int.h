/* fanout_int.h - what fanout*.c (topics, delivery, heartbeats) and stream*.c (cursors,
 * pages, writing) share. Everything here belongs to the worker's loop. */
#ifndef TG_REALTIME_FANOUT_INT_H
#define TG_REALTIME_FANOUT_INT_H

#include "realtime/fanout.h"
#include "realtime/hub.h"
#include "realtime/ring.h"
#include "realtime/stream.h"
#include "util/map.h"

#define TG_STREAM_MAGIC 0x7374726dU

enum { N_BUCKETS = 60 };

/* A topic on this worker. */
struct wtopic {
    tg_id id;
    struct tg_fanout *fanout;
    char *class_id;
    char *key; /* as the store has it: tg_topic_key() */
    struct tg_topic_name name;
    struct tg_ring ring;
    enum tg_topic_state state;
    bool is_known;      /* the hub has answered */
    enum tg_rc refused; /* TG_OK: not. Its readers are being told so, with these words */
    char *refusal;      /* [owned] or, while it is joining, one word: what is in the way */
    uint8_t n_reasons;  /* such words so far */
    bool is_repaired;   /* its guarantee */
    bool is_partial;    /* but for deletes */
    char *token;        /* [owned] strict: its class's newest, by which pages are checked */
    int64_t token_exp_sec;
    struct tg_pos ready_from;
    struct tg_list cursors;
    struct tg_list *walk; /* next cursor of the walk under way; NULL: none */
    bool walk_again;      /* frames came meanwhile */
    struct tg_list dirty; /* fanout->dirty, while readers must be told */
    int64_t exp_sec;      /* of the best token that the hub was given */
    tg_usec unread_since; /* 0: has readers */
};

enum { MAX_PAGE_KEY = 20 + 1 + TG_CURSOR_MAX + 1 };

enum page_state {
    PG_QUEUED,   /* waits for its turn to be read */
    PG_READING,  /* the store was asked */
    PG_CHECKING, /* of a strict topic: what its readers may see of it is being asked */
    PG_PAUSED,   /* that could not be told; it is queued again presently */
    PG_HERE,
};

/* A piece of a topic's log, read from the store. Whoever asks for the same one (topic, epoch,
 * position) while it is known shares the read and the frames. What it says stays true as long as
 * the log is the same: it holds all there was between `after` and `up_to`. */
struct page {
    enum page_state state;
    enum tg_verdict verdict;
    bool has_more;
    uint32_t n;
    unsigned n_users;       /* cursors that wait for it or hold it */
    struct tg_list node;    /* fanout->queue, ->strict_queue, ->checks, ->answered or ->idle */
    struct tg_list waiters; /* cursor->wait */
    struct tg_fanout *fanout;
    tg_id topic;
    struct tg_epoch asked; /* the cursors' epoch */
    struct tg_epoch epoch; /* the log's, when it is here */
    struct tg_pos after;
    struct tg_pos up_to; /* read up to here; a strict one with more: what it holds ends here */
    tg_usec idle_since;
    struct check *check; /* while CHECKING */
    tg_usec checked_at;  /* strict: when what it shows was asked */
    struct tg_timer pause;
    unsigned n_tries; /* that led nowhere */
    size_t bytes;
    struct tg_frame **frames;
    bool is_strict;
    bool is_earliest;       /* for those that ask for all that is held */
    char key[MAX_PAGE_KEY]; /* in fanout->pages; empty: of one cursor alone */
};

enum cursor_state {
    CUR_WAITING, /* for its topic */
    CUR_READING, /* its first page: the verdict */
    CUR_LIVE,
};

struct cursor {
    struct tg_list node; /* wtopic->cursors */
    struct tg_list wait; /* page->waiters, until the page is here */
    struct cursor *next; /* of the stream */
    struct wtopic *topic;
    struct tg_stream *stream;
    struct page *page;
    struct tg_pos pos; /* everything at or below has been sent or skipped */
    uint32_t page_at;
    uint8_t state;         /* enum cursor_state */
    uint8_t verdict;       /* enum tg_verdict */
    struct tg_epoch epoch; /* of pos */
    bool is_resume;
    bool is_earliest;
    bool is_fresh;     /* started while the topic was joining: its join's gap means `ready` */
    bool is_unchecked; /* strict: what lies before its present was told when others might read it:
                        * pages only, until one ends there */
    bool is_stale;     /* the log is another one than that of `epoch` */
    bool is_offline;   /* the client was told so */
    uint8_t n_reasons; /* of the topic's, that it was told */
    bool saw_ready;    /* what the topic was when its reader was last told */
    bool is_asked;     /* tg_stream_add() has not been answered */
    bool is_apart;     /* not in the stream's own memory */
    bool is_detached;  /* from its topic */
};

/* A cursor that came later (cursor.is_apart). */
struct apart {
    struct cursor cursor;
    struct tg_pos joined; /* the others had written up to here when it began */
};

enum stream_state { ST_WAITING, ST_READING, ST_LIVE, ST_DEAD };

struct control {
    struct control *next;
    struct tg_frame *frame;
};

/* A topic that was asked for on a running stream. */
struct adding {
    struct adding *next;
    struct cursor *cursor;
    tg_id ref;
    struct tg_timer timer; /* the wait for the topic, then for its page */
};

struct tg_stream {
    unsigned magic;
    enum stream_state state;
    struct tg_fanout *fanout;
    const struct tg_sink_ops *ops;
    void *arg;
    struct tg_list bucket; /* heartbeat; fanout->dead when ended */
    struct tg_list turn;   /* fanout->turns, while it has more to write */
    struct tg_timer timer; /* the wait for its topics, then token and age */
    int64_t exp_sec;
    tg_usec age_ends;    /* 0: never */
    uint64_t class_hash; /* whose it is */
    struct cursor *cursors;
    struct adding *addings;
    struct control *controls;
    struct tg_frame *partial;
    uint32_t partial_at;
    uint16_t n_cursors;
    uint8_t n_controls;
    uint8_t beats;
    bool partial_is_ready;
    bool partial_is_event; /* of a topic, not told to this stream alone */
    bool is_blocked;
    uint8_t holds;       /* of enum tg_hold */
    bool is_expired;     /* held for want of a token */
    bool is_warned;      /* `expiring` was told */
    bool has_written;    /* since the last heartbeat */
    struct tg_pos at;    /* of all topics, what lies up to here has been written */
    struct cursor own[]; /* those it was opened with */
};

struct tg_fanout {
    struct tg_loop *loop;
    struct tg_fanout_opts opts;
    struct tg_store *store;
    bool store_up;
    struct tg_epoch store_epoch; /* while it is up */
    bool is_draining;
    struct tg_epoch epoch;
    struct tg_pos horizon;
    struct tg_map topics; /* by key */
    struct tg_ids topic_ids;
    struct tg_ids ask_ids; /* listeners.c's, as the next */
    struct tg_list asks;
    struct tg_list dirty;
    struct tg_task walker;
    struct tg_task drainer;
    struct tg_list buckets[N_BUCKETS];
    unsigned bucket; /* next to beat */
    unsigned fill;   /* next to put a stream in */
    struct tg_timer beat;
    struct tg_list dead;
    bool sweep_is_due;
    struct tg_map pages;         /* by key */
    struct tg_list queue;        /* pages that wait to be read */
    struct tg_list strict_queue; /* those that are to be checked then */
    struct tg_list checks;       /* pages that are being checked */
    unsigned n_checks;           /* strict pages being read or checked */
    struct tg_list answered;     /* pages whose waiters are still to be told */
    struct tg_list idle;         /* pages that nobody holds, kept for a moment; oldest first */
    size_t idle_bytes;
    unsigned n_reads;
    struct tg_list turns;    /* streams that have more to write */
    bool is_turns_first;     /* what the walker begins its slices with */
    tg_access_fn *on_access; /* NULL: nobody listens */
    void *access_arg;
    struct tg_map watched; /* declared topics whose revoke_on feed has coverage */
    uint64_t random;
    struct tg_fanout_counts counts;
};

/* fanout_topics.c */
enum tg_rc fanout_topic(struct tg_fanout *f, const struct tg_topic_name *name, tg_str class_id,
                        struct wtopic **ret_topic);
enum tg_rc fanout_subscribe(struct wtopic *t, tg_str user_id, tg_str token, int64_t exp_sec);
/* Where the topic's coverage begins lies ahead of what has been seen, and perhaps a gap before it:
 * only who starts now may skip that. */
bool fanout_is_ahead(const struct wtopic *t);
/* Whether the ring holds all that the log would give behind this position: a reader there needs
 * no page, and nothing but a reset in the ring tells of a loss. */
bool fanout_ring_reaches(const struct wtopic *t, const struct tg_epoch *epoch, struct tg_pos pos);
void fanout_attach(struct wtopic *t, struct cursor *c);
void fanout_detach(struct cursor *c);
/* Lets the topics go that nobody has read for long. */
void fanout_close_unread(struct tg_fanout *f);

/* fanout.c */
void fanout_sweep_soon(struct tg_fanout *f);
/* The walker comes to this stream, or to what else waits for it. */
void fanout_turn(struct tg_stream *s);
void fanout_walk_soon(struct tg_fanout *f);
uint64_t fanout_random(struct tg_fanout *f);

/* listeners.c */
/* Answers what is outstanding. */
void listeners_stop(struct tg_fanout *f);

/* stream.c */
void stream_init_cursor(struct tg_stream *s, struct cursor *c, const struct tg_stream_want *w,
                        tg_str class_id);
enum tg_rc stream_subscribe(const struct cursor *c, const struct tg_stream_user *u);
/* It may begin: its topic is covered, and of a resume all is seen that came before that. */
bool stream_is_ready(const struct cursor *c);
/* The log position that the topics have reached. */
struct tg_pos stream_present(const struct tg_stream *s);
/* `now` is where one without a cursor begins. */
void stream_begin_cursor(struct cursor *c, struct tg_pos now);
/* `text` holds the cursor. */
struct tg_stream_topic stream_describe(const struct cursor *c, char text[TG_CURSOR_MAX + 1]);
/* The topic of `c` has news: frames, another state. */
void stream_visit(struct cursor *c);
/* A `status` for each topic that is covered, no longer, or cannot be for another reason, since its
 * reader was told. */
void stream_take_news(struct tg_stream *s);
/* The page that `c` waited for is here. */
void stream_on_page(struct cursor *c);
void stream_poke(struct tg_stream *s);
void stream_new_epoch(struct tg_stream *s);

/* stream_topics.c */
void stream_drop_cursor(struct cursor *c);
/* The topic cannot work: ends its cursor, or the stream. */
void stream_refuse(struct cursor *c, enum tg_rc rc, tg_str message);
/* A cursor that was asked for: begins it, answers it, when that can be. */
void stream_advance(struct cursor *c);
/* Those of its new topics that can have their answer now. */
void stream_advance_asked(struct tg_stream *s);

/* stream_life.c */
/* `bye` when it was live, else refused with rc and message. TG_ECLOSED: nobody listens. */
void stream_end(struct tg_stream *s, const char *why, enum tg_rc rc, tg_str message);
void stream_beat(struct tg_stream *s, struct tg_frame *comment, struct tg_frame *position);
/* Starts the clock of token and age. */
void stream_watch(struct tg_stream *s);
void stream_say_status(struct cursor *c, const char *state);
bool stream_is_caught_up(const struct tg_stream *s);
void stream_free(struct tg_stream *s);

/* stream_page.c */
/* Sets c->page: at once, or c waits for it and stream_on_page() follows. */
void stream_want_page(struct cursor *c);
/* What a cursor of another log is given: a reset, and then the present. */
void stream_lose_page(struct cursor *c);
bool stream_waits(const struct cursor *c);
void stream_drop_page(struct cursor *c);
/* Tells waiters of answered pages; false: one was told, and there may be more. */
bool stream_hand_page(struct tg_fanout *f);
/* There is room for reads again, or the store is back. */
void stream_read_next(struct tg_fanout *f);
/* Drops pages that nobody holds: those that are older than `age`. */
void stream_drop_idle(struct tg_fanout *f, tg_usec age);
void stream_forget_pages(struct tg_fanout *f);
/* The answer of stream_check(): entries to be shown, of a page or instead of one. */
void stream_fill_page(struct page *p, const struct tg_page *from);
/* What it shows cannot be told now: asked again later, and given up in the end. */
void stream_pause_page(struct page *p);
/* Its readers end: `why` is one word. */
void stream_fail_page(struct page *p, const char *why, enum tg_rc rc, tg_str message);
/* Nothing is checked any more. */
void stream_stop_pages(struct tg_fanout *f);

/* stream_check.c */
/* Only what the class can see now is left of a page: ends in one of the three above, at once or
 * later. `from` [borrowed] for the call. */
void stream_check(struct page *p, const struct wtopic *t, const struct tg_page *from);
void stream_drop_check(struct page *p);

/* stream_write.c */
void stream_flush(struct tg_stream *s);
/* Only the rest of a cut frame and the controls: no events, and no end when the socket fails. */
void stream_flush_controls(struct tg_stream *s);
/* Puts a frame of this stream alone before what comes next; the newest is dropped when too many
 * wait. Takes the reference. */
void stream_tell(struct tg_stream *s, struct tg_frame *frame);
/* For what must not be dropped: told once or twice in a stream's life. */
void stream_tell_surely(struct tg_stream *s, struct tg_frame *frame);
void stream_pop_control(struct tg_stream *s);

#endif
