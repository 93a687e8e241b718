/* test_stream_random.c - readers that come, go, stall, resume, and change their topics at random,
 * while events flow: each is told every event of its topics once, in order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "realtime_stream/fixture.h"

enum { N_TOPICS = 4, N_READERS = 6, N_STEPS = 600, MAX_EVENTS = 2000, MAX_SEEN = 4000 };

static uint64_t seed;

static unsigned random_below(unsigned n)
{
    seed ^= seed << 13U;
    seed ^= seed >> 7U;
    seed ^= seed << 17U;
    return (unsigned)(seed % n);
}

/* All that was written, in order: number i on topic topics[i]. */
struct history {
    struct world *world;
    size_t n;
    char topics[MAX_EVENTS];
    struct tg_pos pos[MAX_EVENTS];
};

/* One device: over many streams it must see all from its beginning on. */
struct reader {
    struct history *history;
    struct client *client;
    size_t from; /* the first event it must see */
    bool topics[N_TOPICS];
    bool seen[MAX_EVENTS];
    char cursor[TG_CURSOR_MAX + 1]; /* empty: it has never been there */
};

static void write_one(struct history *h)
{
    char text[16];
    char topic = (char)('a' + random_below(N_TOPICS));

    cr_assert_lt(h->n, MAX_EVENTS);
    (void)snprintf(text, sizeof(text), "%zu", h->n);
    h->topics[h->n] = topic;
    h->pos[h->n] = append(h->world, topic, text);
    h->n++;
    /* Topics that no reader ever asked for are not delivered. */
    hand(h->world, topic, h->world->last, text);
    if (random_below(3) == 0) {
        deliver(h->world);
    }
}

/* Takes over what its client was told; each number once a stream and in order. */
static void read_words(struct reader *r)
{
    tg_str rest = tg_str_of(client_words(r->client));
    long before = -1;

    while (rest.n > 0) {
        tg_str word = tg_str_cut(&rest, ' ');
        uint64_t n = 0;

        if (tg_str_eq(word, TG_STR(":")) || tg_str_eq(word, TG_STR("id")) ||
            tg_str_has_prefix(word, TG_STR("bye"))) {
            continue;
        }
        cr_assert_eq(tg_str_to_u64(word, &n), TG_OK, "%.*s", (int)word.n, word.p);
        cr_assert_gt((long)n, before, "%ld after %ld", (long)n, before);
        cr_assert(r->topics[r->history->topics[n] - 'a'], "%ld was not asked for", (long)n);
        r->seen[n] = true;
        before = (long)n;
    }
}

static void leave(struct reader *r)
{
    if (r->client == NULL) {
        return;
    }
    read_words(r);
    if (r->client->is_started) {
        if (r->client->n_ids > 0) {
            memcpy(r->cursor, r->client->last_id, sizeof(r->cursor));
        } else {
            memcpy(r->cursor, r->client->cursor, sizeof(r->cursor));
        }
    }
    if (!r->client->is_ended && !r->client->is_refused) {
        /* What the gateway itself would resume from is as good. */
        if (r->client->is_started && random_below(2) == 0) {
            (void)tg_stream_cursor(r->client->stream, r->cursor);
        }
        tg_stream_close(r->client->stream);
    }
    settle(r->history->world);
    client_destroy(r->client);
    r->client = NULL;
}

static void come(struct reader *r)
{
    char topics[N_TOPICS + 1];
    size_t n = 0;

    for (int i = 0; i < N_TOPICS; i++) {
        if (r->topics[i]) {
            topics[n++] = (char)('a' + i);
        }
    }
    topics[n] = '\0';
    r->client = client_create(r->history->world);
    r->client->chunk = random_below(3) == 0 ? 1 + random_below(120) : WRITES_ALL;
    r->client->room = random_below(3) == 0 ? random_below(200) : SIZE_MAX;
    cr_assert_eq(client_open(r->client, topics, r->cursor[0] == '\0' ? NULL : r->cursor), TG_OK);
    if (r->cursor[0] == '\0') {
        wait_started(r->client);
        r->from = r->history->n;
        (void)memcpy(r->cursor, r->client->cursor, sizeof(r->cursor));
    }
}

static void step(struct history *h, struct reader *r)
{
    switch (random_below(8)) {
    case 0:
        leave(r);
        break;
    case 1:
    case 2:
        if (r->client == NULL) {
            come(r);
        }
        break;
    case 3:
        settle(h->world);
        break;
    case 4:
        if (r->client != NULL && r->client->is_started && !r->client->is_ended) {
            r->client->room = random_below(300);
            tg_stream_writable(r->client->stream);
        }
        break;
    default:
        write_one(h);
        break;
    }
}

static void finish(struct history *h, struct reader *r)
{
    if (r->client == NULL) {
        come(r);
    }
    wait_started(r->client);
    r->client->chunk = WRITES_ALL;
    client_reads(r->client);
    settle(h->world);
    /* Pages follow each other: until nothing is left. */
    for (int i = 0; i < 200 && tg_stream_is_behind(r->client->stream); i++) {
        settle(h->world);
    }
    cr_assert(!tg_stream_is_behind(r->client->stream));
    read_words(r);
    for (size_t i = r->from; i < h->n; i++) {
        cr_assert(!r->topics[h->topics[i] - 'a'] || r->seen[i], "%zu is missing (seed %llu)", i,
                  (unsigned long long)seed);
    }
    leave(r);
}

static void play(uint64_t with_seed)
{
    struct world *w = world_create();
    struct history *h = TG_NEW(struct history);
    struct reader *readers = tg_calloc(N_READERS, sizeof(*readers));

    seed = with_seed;
    w->opts.ring_frames = 1 + random_below(12);
    w->opts.page_entries = 1 + random_below(9);
    w->opts.max_pages = 1 + random_below(3);
    world_start(w);
    h->world = w;
    (void)live_client(w, "abcd");
    for (int i = 0; i < N_READERS; i++) {
        readers[i].history = h;
        for (int t = 0; t < N_TOPICS; t++) {
            readers[i].topics[t] = random_below(2) == 0 || t == i % N_TOPICS;
        }
    }
    for (int i = 0; i < N_STEPS; i++) {
        step(h, &readers[random_below(N_READERS)]);
    }
    deliver(w);
    for (int i = 0; i < N_READERS; i++) {
        finish(h, &readers[i]);
    }
    cr_assert_eq(tg_count_get(&w->counts->resets), 0);
    world_end(w);
    free(readers);
    free(h);
}

Test(stream_random, readers_miss_nothing_whatever_they_do)
{
    for (uint64_t i = 1; i <= 25; i++) {
        play(i * 0x9e3779b97f4a7c15U);
    }
}

/* ---- sockets: each topic comes and goes with a cursor of its own ---- */

struct socket {
    struct history *history;
    struct client *client;
    size_t n_read; /* words of the client */
    bool has[N_TOPICS];
    long last[N_TOPICS]; /* the newest event seen; -1: none */
    bool seen[MAX_EVENTS];
};

static void socket_reads(struct socket *s)
{
    tg_str rest = tg_str_of(client_words(s->client));

    for (size_t i = 0; rest.n > 0; i++) {
        tg_str word = tg_str_cut(&rest, ' ');
        uint64_t n = 0;
        int topic = 0;

        if (i < s->n_read) {
            continue;
        }
        s->n_read++;
        cr_assert_eq(tg_str_to_u64(word, &n), TG_OK, "%.*s", (int)word.n, word.p);
        topic = s->history->topics[n] - 'a';
        /* One that the socket had cut in two when its topic left may come again. */
        cr_assert_geq((long)n, s->last[topic], "%ld after %ld", (long)n, s->last[topic]);
        s->last[topic] = (long)n;
        s->seen[n] = true;
    }
}

static void socket_closes(struct socket *s)
{
    if (s->client == NULL) {
        return;
    }
    socket_reads(s);
    tg_stream_close(s->client->stream);
    settle(s->history->world);
    client_destroy(s->client);
    s->client = NULL;
}

static void socket_opens(struct socket *s)
{
    struct client *c = client_create(s->history->world);

    c->takes_topics = true;
    c->goes_back = true;
    c->chunk = random_below(2) == 0 ? 1 + random_below(150) : WRITES_ALL;
    cr_assert_eq(client_open(c, "", NULL), TG_OK);
    wait_started(c);
    s->client = c;
    s->n_read = 0;
    memset(s->has, 0, sizeof(s->has));
}

static void socket_toggles(struct socket *s, int topic)
{
    char cursor[TG_CURSOR_MAX + 1] = "earliest";

    socket_reads(s);
    s->client->answers[0] = '\0';
    if (s->has[topic]) {
        cr_assert_eq(client_remove(s->client, (char)('a' + topic)), TG_OK);
    } else {
        if (s->last[topic] >= 0) {
            (void)cursor_of(s->history->world, s->history->pos[s->last[topic]], cursor);
        }
        cr_assert_eq(client_add(s->client, (char)('a' + topic), cursor, 1), TG_OK);
    }
    s->has[topic] = !s->has[topic];
}

static void socket_steps(struct history *h, struct socket *s)
{
    switch (random_below(10)) {
    case 0:
        socket_closes(s);
        break;
    case 1:
    case 2:
    case 3:
        if (s->client == NULL) {
            socket_opens(s);
        }
        socket_toggles(s, (int)random_below(N_TOPICS));
        break;
    case 4:
        settle(h->world);
        break;
    case 5:
        if (s->client != NULL) {
            tg_stream_writable(s->client->stream);
        }
        break;
    case 6:
        if (s->client != NULL && random_below(2) == 0) {
            tg_stream_hold(s->client->stream, TG_HOLD_ROWS);
        } else if (s->client != NULL) {
            tg_stream_release(s->client->stream, TG_HOLD_ROWS);
        }
        break;
    default:
        write_one(h);
        break;
    }
}

static void socket_finishes(struct history *h, struct socket *s)
{
    if (s->client == NULL) {
        socket_opens(s);
    }
    for (int t = 0; t < N_TOPICS; t++) {
        if (!s->has[t]) {
            socket_toggles(s, t);
        }
    }
    s->client->chunk = WRITES_ALL;
    tg_stream_release(s->client->stream, TG_HOLD_ROWS);
    client_reads(s->client);
    for (int i = 0; i < 200; i++) {
        settle(h->world);
        socket_reads(s);
    }
    for (size_t i = 0; i < h->n; i++) {
        cr_assert(s->seen[i], "%zu of %c is missing", i, h->topics[i]);
    }
    socket_closes(s);
}

static void play_sockets(uint64_t with_seed)
{
    enum { N_SOCKETS = 4 };
    struct world *w = world_create();
    struct history *h = TG_NEW(struct history);
    struct socket *sockets = tg_calloc(N_SOCKETS, sizeof(*sockets));

    seed = with_seed;
    w->opts.ring_frames = 1 + random_below(12);
    w->opts.page_entries = 1 + random_below(9);
    w->opts.max_pages = 1 + random_below(3);
    world_start(w);
    h->world = w;
    (void)live_client(w, "abcd");
    for (int i = 0; i < N_SOCKETS; i++) {
        sockets[i].history = h;
        memset(sockets[i].last, 0xff, sizeof(sockets[i].last));
    }
    for (int i = 0; i < N_STEPS; i++) {
        socket_steps(h, &sockets[random_below(N_SOCKETS)]);
    }
    deliver(w);
    for (int i = 0; i < N_SOCKETS; i++) {
        socket_finishes(h, &sockets[i]);
    }
    cr_assert_eq(tg_count_get(&w->counts->resets), 0);
    world_end(w);
    free(sockets);
    free(h);
}

Test(stream_random, sockets_miss_nothing_whatever_topics_come_and_go)
{
    for (uint64_t i = 1; i <= 15; i++) {
        play_sockets(i * 0xd1342543de82ef95U);
    }
}
