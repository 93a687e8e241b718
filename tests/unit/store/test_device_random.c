/* test_device_random.c - random device operations, asked of both backends step by step: what one
 * of them says the other one says too. TG_SEED repeats a run. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "store/devices.h"

enum { STEPS = 3000, MAX_EVENTS = 400, USERS = 3, DEVICES = 5, TOPICS = 6 };

enum { MEMORY, REDIS, BACKENDS };

static struct fixture f[BACKENDS];
static struct said said[BACKENDS];
static struct asking asking[BACKENDS];
static struct tg_pos events[BACKENDS][MAX_EVENTS];
static size_t n_events;
static uint64_t seed, state;
static unsigned step;

/* ---- chance ---- */

static void choose_seed(void)
{
    const char *given = getenv("TG_SEED");

    if (given != NULL) {
        cr_assert_eq(tg_str_to_u64(tg_str_of(given), &seed), TG_OK);
    } else {
        cr_assert_eq(getrandom(&seed, sizeof(seed), 0), (ssize_t)sizeof(seed));
    }
    seed |= 1;
    state = seed;
}

static unsigned chance(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 16) % n);
}

#define SAME(a, b, what)                                                                           \
    cr_assert_eq(a, b, "%s: memory %lld, redis %lld; step %u, TG_SEED=%llu", what, (long long)(a), \
                 (long long)(b), step, (unsigned long long)seed)
#define SAME_TEXT(a, b, what)                                                                      \
    cr_assert_str_eq(a, b, "%s: memory '%s', redis '%s'; step %u, TG_SEED=%llu", what, a, b, step, \
                     (unsigned long long)seed)

/* ---- the two logs: the same events under other ids ---- */

static void append_event(void)
{
    if (n_events < MAX_EVENTS) {
        for (int i = 0; i < BACKENDS; i++) {
            cr_assert_eq(append(&f[i], "t0", "x"), TG_OK);
            events[i][n_events] = f[i].pos;
        }
        n_events++;
    }
}

/* The number of the event that a cursor names; -1: none, -2: not one of them. */
static int event_of(int backend, const char *cursor)
{
    char text[TG_CURSOR_MAX + 1];

    if (cursor[0] == '\0') {
        return -1;
    }
    for (size_t n = 0; n < n_events; n++) {
        (void)tg_cursor_format(&f[backend].epoch, events[backend][n], text);
        if (strcmp(text, cursor) == 0) {
            return (int)n;
        }
    }
    return -2;
}

/* ---- questions ---- */

static void ask_both(void)
{
    static const char *const users[USERS] = {"u1", "u2", "anon"};
    static const char *const devices[DEVICES] = {"d1", "d2", "d:3", "d%4", "d5"};
    unsigned user = chance(USERS);
    unsigned device = chance(DEVICES);

    for (int i = 0; i < BACKENDS; i++) {
        ask_for(&asking[i], &f[i], &said[i], users[user], devices[device]);
        asking[i].want.max_devices = 3;
        asking[i].want.max_topics = 4;
    }
}

static void add_topic(void)
{
    static const char *const topics[TOPICS] = {"t0", "t1", "t:2", "{t}3", "t 4", "t5"};
    const char *topic = topics[chance(TOPICS)];
    unsigned kind = chance(8);
    unsigned event = chance((unsigned)n_events);

    for (int i = 0; i < BACKENDS; i++) {
        struct tg_pos pos = events[i][event];
        struct tg_device_want *want = &asking[i].want;

        if (kind == 0) {
            pos = (struct tg_pos){UINT64_MAX, 0};
        }
        if (kind <= 2) {
            with_topic(&asking[i], topic);
        } else {
            with_cursor(&asking[i], topic, pos);
        }
        if (kind == 3) {
            asking[i].topics[want->n_topics - 1].epoch = (struct tg_epoch){.text = "other"};
        }
    }
}

static void add_topics(void)
{
    for (unsigned n = chance(4); n > 0; n--) {
        add_topic();
    }
}

/* Now and then a life that ends at once. */
static void choose_life(void)
{
    tg_usec ttl = chance(60) == 0 ? TG_MS(4) : TG_SEC(3600);

    for (int i = 0; i < BACKENDS; i++) {
        asking[i].want.ttl = ttl;
    }
}

static void end_short_lives(void)
{
    if (asking[0].want.ttl < TG_SEC(1)) {
        pass_time(&f[MEMORY], TG_MS(10));
        pass_time(&f[REDIS], TG_MS(5));
    }
}

/* ---- comparing ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct seen_topic *)a)->name, ((const struct seen_topic *)b)->name);
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct seen_device *)a)->id, ((const struct seen_device *)b)->id);
}

static void same_rc(enum tg_rc a, enum tg_rc b)
{
    SAME_TEXT(tg_rc_name(a), tg_rc_name(b), "result");
}

/* Those that were asked for are in their order, the others in any. */
static void same_device(void)
{
    struct seen_device *a = &said[MEMORY].device;
    struct seen_device *b = &said[REDIS].device;
    size_t n_asked = TG_MIN(asking[0].want.n_topics, a->n_topics);

    SAME(a->limit, b->limit, "limit");
    SAME(a->is_new, b->is_new, "new");
    SAME_TEXT(a->id, b->id, "id");
    SAME_TEXT(a->label, b->label, "label");
    SAME(a->n_topics, b->n_topics, "topics");
    SAME(a->seen_ms < a->created_ms, b->seen_ms < b->created_ms, "seen before it was made");
    qsort(a->topics + n_asked, a->n_topics - n_asked, sizeof(a->topics[0]), by_name);
    qsort(b->topics + n_asked, b->n_topics - n_asked, sizeof(b->topics[0]), by_name);
    for (size_t i = 0; i < a->n_topics; i++) {
        SAME_TEXT(a->topics[i].name, b->topics[i].name, "topic");
        SAME(event_of(MEMORY, a->topics[i].cursor), event_of(REDIS, b->topics[i].cursor), "cursor");
        cr_assert_neq(event_of(MEMORY, a->topics[i].cursor), -2);
        SAME(a->topics[i].ack, b->topics[i].ack, "ack");
    }
}

static void same_acks(void)
{
    SAME(said[MEMORY].n_acks, said[REDIS].n_acks, "acks");
    for (size_t i = 0; i < said[MEMORY].n_acks; i++) {
        SAME(said[MEMORY].acks[i], said[REDIS].acks[i], "ack");
    }
}

static void same_list(void)
{
    SAME(said[MEMORY].n_listed, said[REDIS].n_listed, "listed");
    SAME(said[MEMORY].n_all, said[REDIS].n_all, "all");
    for (int i = 0; i < BACKENDS; i++) {
        qsort(said[i].listed, said[i].n_listed, sizeof(said[i].listed[0]), by_id);
    }
    for (size_t i = 0; i < said[MEMORY].n_listed; i++) {
        SAME_TEXT(said[MEMORY].listed[i].id, said[REDIS].listed[i].id, "listed id");
        SAME_TEXT(said[MEMORY].listed[i].label, said[REDIS].listed[i].label, "listed label");
        SAME(said[MEMORY].listed[i].n_topics, said[REDIS].listed[i].n_topics, "listed topics");
    }
}

/* ---- steps ---- */

static void touch_both(void)
{
    static const char *const labels[] = {"", "one", "two \" \n"};
    unsigned label = chance(6);
    bool must_exist = chance(5) == 0;
    enum tg_rc rc = TG_OK;

    add_topics();
    choose_life();
    for (int i = 0; i < BACKENDS; i++) {
        asking[i].want.label = label < 3 ? tg_str_of(labels[label]) : TG_STR_NONE;
        asking[i].want.must_exist = must_exist;
    }
    rc = touch(&asking[MEMORY]);
    same_rc(rc, touch(&asking[REDIS]));
    same_device();
    end_short_lives();
}

static void get_both(void)
{
    enum tg_rc rc = TG_OK;

    asking[MEMORY].want.n_topics = 0;
    asking[REDIS].want.n_topics = 0;
    rc = get(&asking[MEMORY]);
    same_rc(rc, get(&asking[REDIS]));
    same_device();
}

static void ack_both(void)
{
    enum tg_rc rc = TG_OK;

    add_topics();
    choose_life();
    rc = ack(&asking[MEMORY]);
    same_rc(rc, ack(&asking[REDIS]));
    same_acks();
    end_short_lives();
    get_both();
}

static void list_both(void)
{
    enum tg_rc rc = list(&asking[MEMORY], 10);

    same_rc(rc, list(&asking[REDIS], 10));
    same_list();
}

static void forget_both(void)
{
    enum tg_rc rc = forget(&asking[MEMORY]);

    same_rc(rc, forget(&asking[REDIS]));
    get_both();
}

static void take_step(void)
{
    unsigned what = chance(20);

    ask_both();
    if (what < 8) {
        touch_both();
    } else if (what < 14) {
        ack_both();
    } else if (what < 16) {
        list_both();
    } else if (what < 18) {
        append_event();
    } else if (what < 19) {
        get_both();
    } else {
        forget_both();
    }
}

Test(device_random, both_backends_say_the_same)
{
    choose_seed();
    for (int i = 0; i < BACKENDS; i++) {
        fixture_start(&f[i], i == REDIS);
        fixture_open(&f[i]);
    }
    append_event();
    for (step = 0; step < STEPS; step++) {
        take_step();
    }
    for (int i = 0; i < BACKENDS; i++) {
        fixture_stop(&f[i]);
    }
}
