/* fanout_int.h - what fanout.c (topics, delivery, heartbeats) and stream.c (cursors,
 * writing) share. Everything here belongs to the worker's loop. */
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
    bool is_known; /* the hub has answered */
    struct tg_pos ready_from;
    struct tg_list cursors;
    struct tg_list *walk; /* next cursor of the walk under way; NULL: none */
    bool walk_again;      /* frames came meanwhile */
    struct tg_list dirty; /* fanout->dirty, while readers must be told */
    int64_t exp_sec;      /* of the best token that the hub was given */
    tg_usec unread_since; /* 0: has readers */
};

/* Frames read from the store for one cursor. */
struct page {
    uint32_t n;
    uint32_t at;
    bool has_more;
    struct tg_pos up_to;
    struct tg_frame *frames[];
};

struct cursor {
    struct tg_list node; /* wtopic->cursors */
    struct wtopic *topic;
    struct tg_stream *stream;
    struct tg_pos pos; /* everything at or below has been sent or skipped */
    struct page *page;
    enum tg_verdict verdict;
    bool is_fresh;   /* started while the topic was joining: its join's gap means `ready` */
    bool is_stale;   /* pos belongs to stream->epoch, which is not the log's any more */
    bool is_reading; /* a page read is under way or waits for its turn */
    bool is_offline; /* the client was told so */
};

enum stream_state { ST_WAITING, ST_READING, ST_LIVE, ST_DEAD };

struct control {
    struct control *next;
    struct tg_frame *frame;
};

struct tg_stream {
    unsigned magic;
    enum stream_state state;
    tg_id id;
    struct tg_fanout *fanout;
    const struct tg_sink_ops *ops;
    void *arg;
    struct tg_list bucket; /* heartbeat; fanout->dead when ended */
    struct tg_list queue;  /* fanout->starting, then ->readers while it waits for a page read */
    struct tg_timer timer; /* the wait for its topics, then the token's end */
    int64_t exp_sec;
    const char *why; /* it ended */
    struct tg_frame *partial;
    uint32_t partial_at;
    bool partial_is_ready;
    bool is_blocked;
    bool has_written; /* since the last heartbeat */
    bool is_resume;
    uint8_t beats;
    uint16_t n_controls;
    struct control *controls;
    struct tg_epoch epoch; /* of the positions */
    struct tg_pos start;
    uint32_t n_cursors;
    struct cursor cursors[];
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
    struct tg_ids stream_ids;
    struct tg_ids ask_ids; /* listeners.c's, as the next */
    struct tg_list asks;
    struct tg_list dirty;
    struct tg_task walker;
    struct tg_list buckets[N_BUCKETS];
    unsigned bucket; /* next to beat */
    unsigned fill;   /* next to put a stream in */
    struct tg_timer beat;
    struct tg_list dead;
    bool sweep_is_due;
    struct tg_list starting;
    struct tg_task starter;
    struct tg_list readers; /* streams that wait for a page read */
    unsigned n_reads;
    uint64_t random;
    struct tg_fanout_counts counts;
};

/* fanout.c */
enum tg_rc fanout_topic(struct tg_fanout *f, const struct tg_topic_name *name, tg_str class_id,
                        struct wtopic **ret_topic);
enum tg_rc fanout_subscribe(struct wtopic *t, tg_str user_id, tg_str token, int64_t exp_sec);
void fanout_attach(struct wtopic *t, struct cursor *c);
void fanout_detach(struct cursor *c);
void fanout_sweep_soon(struct tg_fanout *f);
uint64_t fanout_random(struct tg_fanout *f);

/* listeners.c */
/* Answers what is outstanding. */
void listeners_stop(struct tg_fanout *f);

/* stream.c */
/* Something it waits for has changed. */
void stream_poke(struct tg_stream *s);
/* fanout->starter: streams whose topics were ready when they came. */
bool stream_start_some(struct tg_task *task);
void stream_end(struct tg_stream *s, const char *why, enum tg_rc rc, tg_str message);
void stream_beat(struct tg_stream *s, struct tg_frame *comment, struct tg_frame *position);
void stream_new_epoch(struct tg_stream *s);
/* The hub has said something about the topic of `c`: tells the client what changed. */
void stream_on_news(struct cursor *c, bool was_ready);
void stream_free(struct tg_stream *s);

/* stream_page.c */
/* Reads, now or when there is room. */
void stream_want_page(struct tg_stream *s, struct cursor *c);
void stream_drop_page(struct cursor *c);
/* There is room for reads again. */
void stream_read_next(struct tg_fanout *f);

/* stream_write.c */
void stream_flush(struct tg_stream *s);
/* Only the rest of a cut frame and the controls: no events. */
void stream_flush_controls(struct tg_stream *s);
/* Puts a frame of this stream alone before what comes next. Takes the reference. */
void stream_tell(struct tg_stream *s, struct tg_frame *frame);
void stream_pop_control(struct tg_stream *s);

#endif
