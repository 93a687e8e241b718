/* fixture.h - a fanout on a loop of this thread with the memory store behind it. The test is
 * the hub (it defines tg_hub_subscribe itself: hub.o is not linked) and the sockets.
 *
 * Topics are letters: 'a' is table:public.a, from 'p' on room:p, which anybody may read. What a
 * client was sent is told as words: an event its text, "reset:a:gap", "status:a:ready",
 * "bye:drain", ":" a comment, "id" a position
 */
#ifndef TG_TESTS_REALTIME_STREAM_FIXTURE_H
#define TG_TESTS_REALTIME_STREAM_FIXTURE_H

#include <criterion/criterion.h>

#include "realtime/fanout.h"
#include "realtime/stream.h"

#define TEST_CLASS "class"

enum { MAX_TOPICS = 26, MAX_HANDED = 512, MAX_WORDS = 4096, WRITES_ALL = 0 };

struct world {
    struct world *self;              /* what stands for the client of PostgREST */
    struct tg_fanout_opts opts;      /* before world_start */
    struct tg_store_opts store_opts; /* before world_start */
    struct tg_loop *loop;
    struct tg_store_group *group;
    struct tg_store *store; /* the hub's handle */
    struct tg_fanout *fanout;
    struct tg_fanout *second; /* another worker's, on the same loop; NULL: there is none */
    const struct tg_fanout_counts *counts;
    bool is_up;
    struct tg_epoch log_epoch; /* the store's */
    struct tg_epoch epoch;     /* what the hub says */
    struct tg_pos last;        /* newest id: the horizon of the next delivery */
    enum tg_rc hub_rc;
    unsigned n_subscribes, n_unsubscribes;
    tg_id topics[MAX_TOPICS]; /* the worker's numbers; 0: not subscribed */
    char keys[MAX_TOPICS][64];
    struct tg_delivered handed[MAX_HANDED];
    size_t n_handed;
    bool is_cut; /* the next delivery */
    /* PostgREST: what it shows, what it answers (TG_OK), and the questions so far */
    const char *hidden; /* "[7] [9]"; NULL: nothing is */
    enum tg_rc keys_rc;
    bool is_mute; /* it does not answer */
    unsigned n_questions, n_answers;
    char bearer[64]; /* of the last one */
    bool is_done;
    struct tg_pos pos;
    struct client *clients;
};

struct client {
    struct client *next; /* of the world's */
    struct world *world;
    struct tg_stream *stream;
    struct tg_buf out;
    /* its socket */
    size_t chunk;          /* a write takes at most so many bytes; WRITES_ALL */
    size_t room;           /* bytes until EAGAIN */
    enum tg_rc error;      /* what the next write fails with */
    tg_usec takes;         /* what a write costs */
    struct client *closes; /* another one, inside the next write */
    bool closes_on_start, closes_on_write, closes_on_end, closes_on_topic, closes_on_beat;
    /* before client_open */
    bool is_held;
    bool takes_topics; /* as a WebSocket: has on_topic and on_beat */
    bool goes_back;    /* its ids may: topics are added with older cursors */
    unsigned n_writes, n_beats;
    /* what it was told */
    bool is_started, is_refused, is_ended;
    bool is_resume, is_recovered;
    size_t n_topics;
    enum tg_verdict verdicts[MAX_TOPICS];
    enum tg_topic_state states[MAX_TOPICS];
    char cursor[TG_CURSOR_MAX + 1];
    enum tg_rc rc;
    char message[64];
    char why[32];
    char answers[512];            /* of added topics: "b7:ok", "b7:TG_EBADTOPIC"; 7 is the ref */
    struct tg_stream_topic topic; /* the last of them; its texts are gone */
    /* of client_words() */
    char words[1 << 16];
    size_t n_ids;
    struct tg_pos ids[MAX_WORDS];
    char last_id[TG_CURSOR_MAX + 1]; /* where it would resume */
};

struct world *world_create(void);
void world_start(struct world *w);
/* Both, with nothing to be set in between. */
struct world *world_started(void);
/* Frees its clients too. */
void world_end(struct world *w);

/* Both clocks go on by so much at once, and what is due then has been done. */
void skip_time(struct world *w, tg_usec time);
/* Runs the loop until `is_there(arg)`, or fails the test after 10 s. */
void run_until(struct world *w, bool (*is_there)(void *arg), void *arg);
/* Until all that is on its way has arrived: mails, pages, frees. For what must not come. */
void settle(struct world *w);

/* ---- the hub ---- */

enum { TOPIC_TEXT = 32 };
void topic_text(char topic, char out[TOPIC_TEXT]);
void parse_topic(char topic, struct tg_topic_name *ret_name);
/* What it says about a topic; covered from the newest id on. */
void tell(struct world *w, char topic, enum tg_topic_state state);
void tell_new(struct world *w, char topic, enum tg_topic_state state);
/* Not covered, and what is in the way. */
void tell_reason(struct world *w, char topic, const char *reason);
void refuse(struct world *w, char topic, enum tg_rc rc, const char *message);
/* Into the log; nobody is told. */
struct tg_pos append(struct world *w, char topic, const char *text);
/* Changes of rows of public.<topic>, as Supabase's: with a record, with one that does not show its
 * primary key, and a delete. */
struct tg_pos append_row(struct world *w, char topic, const char *text, int id);
struct tg_pos append_keyless(struct world *w, char topic, const char *text);
struct tg_pos append_delete(struct world *w, char topic, const char *text, int id);
struct tg_pos gap(struct world *w);
/* Into the next delivery. */
void hand(struct world *w, char topic, struct tg_pos pos, const char *text);
void hand_gap(struct world *w, char topic, struct tg_pos pos);
void deliver(struct world *w);
/* All three. */
struct tg_pos publish(struct world *w, char topic, const char *text);

/* ---- clients ---- */

/* `topics`: letters. `cursor`: NULL starts now. The hub's answers are up to the test. */
struct client *client_create(struct world *w);
enum tg_rc client_open(struct client *c, const char *topics, const char *cursor);
/* Both. */
struct client *client_opened(struct world *w, const char *topics, const char *cursor);
enum tg_rc client_open_until(struct client *c, const char *topics, const char *cursor,
                             int64_t exp_sec);
/* Each topic its own cursor: "a=now b=earliest c=<cursor>". */
enum tg_rc client_open_wants(struct client *c, const char *wants);
/* As TEST_CLASS. */
enum tg_rc client_add(struct client *c, char topic, const char *cursor, tg_id ref);
enum tg_rc client_remove(struct client *c, char topic);
enum tg_rc client_token(struct client *c, const char *class_id, int64_t exp_sec);
/* Seconds from now, on the wall clock. */
int64_t seconds_from_now(int64_t n);
/* Open on topics that the hub has covered: started. */
struct client *live_client(struct world *w, const char *topics);
/* The same of topic `a` in a world that starts with rings of two frames; `room`: what its socket
 * takes. It soon lags. */
struct client *lagging_client(struct world *w, size_t room);
void client_destroy(struct client *c);
/* The socket takes all from now on. */
void client_reads(struct client *c);
/* What it has been sent, as words. Fails the test on a broken event or ids that go back. */
const char *client_words(struct client *c);
void wait_started(struct client *c);
void wait_refused(struct client *c);
void wait_ended(struct client *c);
void wait_words(struct client *c, const char *words);
void wait_answers(struct client *c, const char *answers);
/* The cursor text of a position in the store's log. */
const char *cursor_of(struct world *w, struct tg_pos pos, char *out);

#define POS_EQ(a, b) cr_assert(tg_pos_cmp((a), (b)) == 0)

#endif
