/* clients.c - sockets that take what the test says, and what they were sent, read strictly. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "realtime_stream/fixture.h"

static void on_start(struct tg_stream *s, const struct tg_stream_start *start, void *arg)
{
    struct client *c = arg;

    cr_assert(!c->is_started && !c->is_refused);
    cr_assert(c->stream == s);
    c->is_started = true;
    c->is_resume = start->is_resume;
    c->is_recovered = start->is_recovered;
    c->n_topics = start->n_topics;
    for (size_t i = 0; i < start->n_topics; i++) {
        c->verdicts[i] = start->topics[i].verdict;
        c->states[i] = start->topics[i].state;
    }
    memcpy(c->cursor, start->cursor.p, start->cursor.n);
    if (c->closes_on_start) {
        tg_stream_close(s);
    }
}

static void on_refused(enum tg_rc rc, tg_str message, void *arg)
{
    struct client *c = arg;

    cr_assert(!c->is_started && !c->is_refused);
    c->is_refused = true;
    c->rc = rc;
    memcpy(c->message, message.p, TG_MIN(message.n, sizeof(c->message) - 1));
}

static tg_str bytes_of(const struct tg_frame *f, bool is_ready)
{
    return is_ready ? tg_frame_ready_sse(f) : tg_frame_sse(f);
}

static void take_time(tg_usec time)
{
    tg_usec until = tg_clock_mono_us() + time;

    while (tg_clock_mono_us() < until) {
    }
}

static enum tg_rc on_writev(void *arg, const struct iovec *iov, int n, size_t *ret_n)
{
    struct client *c = arg;
    size_t most = c->chunk == WRITES_ALL ? c->room : TG_MIN(c->chunk, c->room);
    size_t taken = 0;

    cr_assert(!c->is_ended, "written to after its end");
    c->n_writes++;
    take_time(c->takes);
    if (c->closes != NULL) {
        tg_stream_close(c->closes->stream);
        c->closes = NULL;
    }
    if (c->closes_on_write) {
        tg_stream_close(c->stream);
    }
    if (c->error != TG_OK) {
        return c->error;
    }
    if (most == 0) {
        return TG_EAGAIN;
    }
    for (int i = 0; i < n && taken < most; i++) {
        size_t part = TG_MIN(iov[i].iov_len, most - taken);

        cr_assert_eq(tg_buf_append(&c->out, iov[i].iov_base, part), TG_OK);
        taken += part;
    }
    c->room -= taken;
    *ret_n = taken;
    return TG_OK;
}

static void on_end(const char *why, void *arg)
{
    struct client *c = arg;

    cr_assert(c->is_started && !c->is_ended);
    c->is_ended = true;
    (void)snprintf(c->why, sizeof(c->why), "%s", why);
    if (c->closes_on_end) {
        tg_stream_close(c->stream);
    }
}

static void on_topic(struct tg_stream *s, const struct tg_stream_topic *t, enum tg_rc rc,
                     tg_str message, tg_id ref, void *arg)
{
    struct client *c = arg;
    size_t at = strlen(c->answers);

    cr_assert(c->is_started && !c->is_ended);
    cr_assert(s == c->stream);
    c->topic = *t;
    (void)snprintf(c->answers + at, sizeof(c->answers) - at, "%s%c%llu:%s", at == 0 ? "" : " ",
                   t->name.p[t->name.n - 1], (unsigned long long)ref,
                   rc == TG_OK ? "ok" : tg_rc_name(rc));
    memcpy(c->message, message.p, TG_MIN(message.n, sizeof(c->message) - 1));
    if (c->closes_on_topic) {
        tg_stream_close(s);
    }
}

static void on_beat(struct tg_stream *s, void *arg)
{
    struct client *c = arg;

    cr_assert(c->is_started && !c->is_ended);
    c->n_beats++;
    if (c->closes_on_beat) {
        tg_stream_close(s);
    }
}

static const struct tg_sink_ops topic_sink = {.on_start = on_start,
                                              .on_refused = on_refused,
                                              .bytes = bytes_of,
                                              .writev = on_writev,
                                              .on_end = on_end,
                                              .on_topic = on_topic,
                                              .on_beat = on_beat};
static const struct tg_sink_ops sink = {.on_start = on_start,
                                        .on_refused = on_refused,
                                        .bytes = bytes_of,
                                        .writev = on_writev,
                                        .on_end = on_end};

struct client *client_create(struct world *w)
{
    struct client *c = TG_NEW(struct client);

    c->world = w;
    c->next = w->clients;
    w->clients = c;
    c->room = SIZE_MAX;
    tg_buf_init(&c->out, 1 << 24);
    return c;
}

static const struct tg_stream_user test_user = {TG_STR_INIT(TEST_CLASS), TG_STR_INIT("user"),
                                                TG_STR_INIT("token"), 0};

int64_t seconds_from_now(int64_t n)
{
    return (int64_t)(tg_clock_wall_us() / TG_SEC(1)) + n;
}

static struct tg_stream_want want_of(char topic, const char *cursor, struct tg_topic_name *ret_name)
{
    struct tg_stream_want want = {.name = ret_name};

    parse_topic(topic, ret_name);
    if (cursor == NULL || strcmp(cursor, "now") == 0) {
        return want;
    }
    if (strcmp(cursor, "earliest") == 0) {
        want.from = TG_FROM_EARLIEST;
        return want;
    }
    want.from = TG_FROM_CURSOR;
    cr_assert_eq(tg_cursor_parse(tg_str_of(cursor), &want.epoch, &want.pos), TG_OK);
    return want;
}

/* Frees the names. */
static enum tg_rc open_wants(struct client *c, struct tg_stream_want *wants,
                             struct tg_topic_name *names, size_t n, int64_t exp_sec)
{
    struct tg_stream_opts opts = {.wants = wants,
                                  .n_wants = n,
                                  .user = test_user,
                                  .is_held = c->is_held,
                                  .ops = c->takes_topics ? &topic_sink : &sink,
                                  .arg = c};
    enum tg_rc rc = TG_OK;

    opts.user.exp_sec = exp_sec;
    rc = tg_stream_open(c->world->fanout, &opts, &c->stream);
    for (size_t i = 0; i < n; i++) {
        tg_topic_fini(&names[i]);
    }
    cr_assert(!c->is_started && !c->is_refused, "told from inside the open");
    return rc;
}

enum tg_rc client_open_until(struct client *c, const char *topics, const char *cursor,
                             int64_t exp_sec)
{
    struct tg_topic_name names[MAX_TOPICS];
    struct tg_stream_want wants[MAX_TOPICS];
    size_t n = strlen(topics);

    for (size_t i = 0; i < n; i++) {
        wants[i] = want_of(topics[i], cursor, &names[i]);
    }
    return open_wants(c, wants, names, n, exp_sec);
}

enum tg_rc client_open_wants(struct client *c, const char *wants)
{
    struct tg_topic_name names[MAX_TOPICS];
    struct tg_stream_want list[MAX_TOPICS];
    size_t n = 0;

    while (*wants != '\0') {
        char cursor[TG_CURSOR_MAX + 1] = "";

        (void)snprintf(cursor, sizeof(cursor), "%.*s", (int)strcspn(wants + 2, " "), wants + 2);
        list[n] = want_of(wants[0], cursor, &names[n]);
        n++;
        wants += 2 + strlen(cursor);
        wants += *wants == ' ';
    }
    return open_wants(c, list, names, n, seconds_from_now(3600));
}

enum tg_rc client_add(struct client *c, char topic, const char *cursor, tg_id ref)
{
    struct tg_stream_user user = test_user;
    struct tg_topic_name name;
    struct tg_stream_want want = want_of(topic, cursor, &name);
    size_t n = strlen(c->answers);
    enum tg_rc rc = TG_OK;

    user.exp_sec = seconds_from_now(3600);
    rc = tg_stream_add(c->stream, &user, &want, ref);
    tg_topic_fini(&name);
    cr_assert_eq(strlen(c->answers), n, "answered from inside");
    return rc;
}

enum tg_rc client_remove(struct client *c, char topic)
{
    char text[32];

    topic_text(topic, text);
    return tg_stream_remove(c->stream, tg_str_of(text));
}

enum tg_rc client_token(struct client *c, const char *class_id, int64_t exp_sec)
{
    const struct tg_stream_user user = {tg_str_of(class_id), TG_STR("user"), TG_STR("newer"),
                                        exp_sec};

    return tg_stream_token(c->stream, &user);
}

enum tg_rc client_open(struct client *c, const char *topics, const char *cursor)
{
    return client_open_until(c, topics, cursor, seconds_from_now(3600));
}

struct client *client_opened(struct world *w, const char *topics, const char *cursor)
{
    struct client *c = client_create(w);

    cr_assert_eq(client_open(c, topics, cursor), TG_OK);
    return c;
}

struct client *live_client(struct world *w, const char *topics)
{
    struct client *c = client_opened(w, topics, NULL);

    for (const char *t = topics; *t != '\0'; t++) {
        tell(w, *t, TG_TOPIC_READY);
    }
    wait_started(c);
    return c;
}

struct client *lagging_client(struct world *w, size_t room)
{
    struct client *c = NULL;

    w->opts.ring_frames = 2;
    world_start(w);
    c = live_client(w, "a");
    c->room = room;
    return c;
}

void client_destroy(struct client *c)
{
    struct client **at = &c->world->clients;

    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    tg_buf_fini(&c->out);
    free(c);
}

void client_reads(struct client *c)
{
    c->room = SIZE_MAX;
    tg_stream_writable(c->stream);
}

/* The JSON text behind `"<member>":"`. */
static tg_str text_of(tg_str json, const char *member)
{
    char what[32];
    const char *at = NULL;
    const char *end = NULL;

    (void)snprintf(what, sizeof(what), "\"%s\":\"", member);
    at = memmem(json.p, json.n, what, strlen(what));
    cr_assert_not_null(at, "no %s in %.*s", member, (int)json.n, json.p);
    at += strlen(what);
    end = memchr(at, '"', (size_t)(json.p + json.n - at));
    cr_assert_not_null(end);
    return tg_str_make(at, (size_t)(end - at));
}

static void take_id(struct client *c, tg_str text)
{
    struct tg_epoch epoch;
    struct tg_pos pos;

    cr_assert_eq(tg_cursor_parse(text, &epoch, &pos), TG_OK);
    cr_assert_lt(c->n_ids, MAX_WORDS);
    /* Only a reset may lead back: into another log. */
    cr_assert(c->goes_back || c->n_ids == 0 || tg_pos_cmp(pos, c->ids[c->n_ids - 1]) >= 0 ||
                  pos.ms == 0,
              "ids go back");
    c->ids[c->n_ids++] = pos;
    (void)snprintf(c->last_id, sizeof(c->last_id), "%.*s", (int)text.n, text.p);
}

static tg_str field_of(tg_str line, const char *name)
{
    size_t n = strlen(name);

    return line.n >= n && memcmp(line.p, name, n) == 0 ? tg_str_skip(line, n) : TG_STR_NONE;
}

/* One block without its empty line. */
static void take_block(struct client *c, tg_str block, struct tg_buf *words)
{
    tg_str event = TG_STR_NONE;
    tg_str data = TG_STR_NONE;
    const char *sep = words->n == 0 ? "" : " ";
    bool has_id = false;

    if (block.n == 1 && block.p[0] == ':') {
        (void)tg_buf_printf(words, "%s:", sep);
        return;
    }
    while (block.n > 0) {
        const char *end = memchr(block.p, '\n', block.n);
        tg_str line = tg_str_make(block.p, end == NULL ? block.n : (size_t)(end - block.p));

        if (field_of(line, "id: ").n > 0) {
            cr_assert(!has_id && data.n == 0);
            take_id(c, field_of(line, "id: "));
            has_id = true;
        } else if (field_of(line, "event: ").n > 0) {
            event = field_of(line, "event: ");
        } else if (field_of(line, "data: ").n > 0) {
            cr_assert_eq(data.n, 0);
            data = field_of(line, "data: ");
        } else {
            cr_assert_gt(field_of(line, "retry: ").n, 0, "a broken line: %.*s", (int)line.n,
                         line.p);
        }
        block = tg_str_skip(block, TG_MIN(line.n + 1, block.n));
    }
    if (data.n == 0) {
        cr_assert(has_id);
        (void)tg_buf_printf(words, "%sid", sep);
    } else if (event.n == 0) {
        tg_str text = text_of(data, "n");

        cr_assert(has_id);
        (void)tg_buf_printf(words, "%s%.*s", sep, (int)text.n, text.p);
    } else if (tg_str_eq(event, TG_STR("bye"))) {
        tg_str text = text_of(data, "reason");

        (void)tg_buf_printf(words, "%sbye:%.*s", sep, (int)text.n, text.p);
    } else if (tg_str_eq(event, TG_STR("expiring"))) {
        (void)tg_buf_printf(words, "%sexpiring", sep);
    } else {
        tg_str topic = text_of(data, "topic");
        tg_str text = text_of(data, tg_str_eq(event, TG_STR("reset")) ? "reason" : "state");

        (void)tg_buf_printf(words, "%s%.*s:%c:%.*s", sep, (int)event.n, event.p,
                            topic.p[topic.n - 1], (int)text.n, text.p);
    }
}

const char *client_words(struct client *c)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf words = {.max = sizeof(c->words) - 1};
    tg_str rest = tg_buf_view(&c->out);

    c->n_ids = 0;
    while (rest.n > 0) {
        const char *end = memmem(rest.p, rest.n, "\n\n", 2);

        if (end == NULL) {
            break; /* the rest is not written yet */
        }
        take_block(c, tg_str_make(rest.p, (size_t)(end - rest.p)), &words);
        rest = tg_str_skip(rest, (size_t)(end - rest.p) + 2);
    }
    memcpy(c->words, words.p != NULL ? words.p : "", words.n);
    c->words[words.n] = '\0';
    return c->words;
}

static bool is_started(void *arg)
{
    const struct client *c = arg;

    return c->is_started;
}

void wait_started(struct client *c)
{
    run_until(c->world, is_started, c);
}

static bool is_refused(void *arg)
{
    const struct client *c = arg;

    return c->is_refused;
}

void wait_refused(struct client *c)
{
    run_until(c->world, is_refused, c);
}

static bool is_ended(void *arg)
{
    const struct client *c = arg;

    return c->is_ended;
}

void wait_ended(struct client *c)
{
    run_until(c->world, is_ended, c);
}

struct wanted {
    struct client *client;
    const char *words;
};

static bool has_words(void *arg)
{
    const struct wanted *g = arg;

    return strlen(client_words(g->client)) >= strlen(g->words);
}

void wait_words(struct client *c, const char *words)
{
    struct wanted g = {c, words};

    run_until(c->world, has_words, &g);
    cr_assert_str_eq(client_words(c), words);
}

static bool has_answers(void *arg)
{
    const struct wanted *g = arg;

    return strlen(g->client->answers) >= strlen(g->words);
}

void wait_answers(struct client *c, const char *answers)
{
    struct wanted g = {c, answers};

    run_until(c->world, has_answers, &g);
    cr_assert_str_eq(c->answers, answers);
}

const char *cursor_of(struct world *w, struct tg_pos pos, char *out)
{
    (void)tg_cursor_format(&w->log_epoch, pos, out);
    return out;
}
