/* fixture.c - the loop, the store and the hub that fanout and streams are tested with. */
#include "realtime_stream/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "realtime/hub.h"
#include "realtime/reader.h"

#define LIMIT TG_SEC(10)

/* ---- the clocks: the system's, and what tests add ---- */

static tg_usec skipped;

static tg_usec read_clock(clockid_t id)
{
    struct timespec ts = {0};

    (void)clock_gettime(id, &ts);
    return TG_SEC(ts.tv_sec) + (tg_usec)ts.tv_nsec / 1000U + skipped;
}

tg_usec tg_clock_mono_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

tg_usec tg_clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

/* ---- running ---- */

struct waiting {
    struct tg_task task;
    struct world *world;
    bool (*is_there)(void *arg);
    void *arg;
    tg_usec until;
};

static bool look(struct tg_task *task)
{
    struct waiting *g = TG_CONTAINER_OF(task, struct waiting, task);

    if (g->is_there(g->arg) || tg_clock_mono_us() > g->until) {
        tg_loop_stop(g->world->loop);
        return false;
    }
    return true;
}

void run_until(struct world *w, bool (*is_there)(void *arg), void *arg)
{
    struct waiting g = {
        .world = w, .is_there = is_there, .arg = arg, .until = tg_clock_mono_us() + LIMIT};

    tg_task_init(&g.task, look);
    tg_loop_task_start(w->loop, &g.task);
    tg_loop_run(w->loop);
    tg_loop_task_stop(w->loop, &g.task);
    cr_assert(is_there(arg), "nothing came");
}

static bool is_done(void *arg)
{
    const struct world *w = arg;

    return w->is_done;
}

struct marker {
    struct tg_mail mail;
    struct world *world;
};

static void drop_marker(struct tg_mail *mail)
{
    free(TG_CONTAINER_OF(mail, struct marker, mail));
}

static void run_marker(struct tg_mail *mail, void *owner)
{
    (void)owner;
    TG_CONTAINER_OF(mail, struct marker, mail)->world->is_done = true;
    drop_marker(mail);
}

static void on_page(enum tg_rc rc, const struct tg_page *page, void *arg)
{
    struct world *w = arg;

    (void)page;
    cr_assert_eq(rc, TG_OK);
    w->is_done = true;
}

/* What was posted before a mail has run when the mail runs; the store answers in order too. */
void settle(struct world *w)
{
    const struct tg_page_request req = {
        .topic = TG_STR("nobody|x"), .epoch = w->log_epoch, .up_to = w->last, .max_entries = 1};

    for (int round = 0; round < 4; round++) {
        struct marker *m = TG_NEW(struct marker);

        m->mail.run = run_marker;
        m->mail.drop = drop_marker;
        m->world = w;
        w->is_done = false;
        cr_assert_eq(tg_loop_post(w->loop, &m->mail), TG_OK);
        run_until(w, is_done, w);
        w->is_done = false;
        cr_assert_eq(tg_store_page(w->store, &req, on_page, w), TG_OK);
        run_until(w, is_done, w);
    }
}

struct due {
    struct tg_timer timer;
    bool *is_done;
};

static void on_due(struct tg_timer *timer)
{
    *TG_CONTAINER_OF(timer, struct due, timer)->is_done = true;
}

void skip_time(struct world *w, tg_usec time)
{
    struct due due = {.is_done = &w->is_done};

    /* The loop wakes by the system's clock: a timer of ours lets it look at the wheel. */
    skipped += time;
    w->is_done = false;
    tg_timer_init(&due.timer, on_due);
    settle(w);
    w->is_done = false;
    tg_loop_timer_start(w->loop, &due.timer, TG_WHEEL_TICK_US);
    run_until(w, is_done, w);
    settle(w);
}

/* ---- the hub ---- */

enum tg_rc tg_hub_subscribe(struct tg_hub *h, const struct tg_subscription *s)
{
    void *p = h;
    struct world *w = p;
    int i = s->name->name.p[s->name->name.n - 1] - 'a';

    if (w->hub_rc != TG_OK) {
        return w->hub_rc;
    }
    w->n_subscribes++;
    w->topics[i] = s->topic;
    return TG_OK;
}

enum tg_rc tg_hub_unsubscribe(struct tg_hub *h, unsigned worker, tg_id topic, tg_str class_id,
                              const struct tg_topic_name *t)
{
    void *p = h;
    struct world *w = p;
    tg_str name = t->name;

    (void)worker;
    (void)class_id;
    if (w->hub_rc != TG_OK) {
        return w->hub_rc;
    }
    cr_assert_eq(w->topics[name.p[name.n - 1] - 'a'], topic);
    w->topics[name.p[name.n - 1] - 'a'] = 0;
    w->n_unsubscribes++;
    return TG_OK;
}

struct tg_fanout *tg_hub_fanout(const struct tg_hub *h, unsigned worker)
{
    const void *p = h;
    const struct world *w = p;

    return worker == 0 ? w->fanout : worker == 1 ? w->second : NULL;
}

/* ---- PostgREST ---- */

struct tg_reader_keys {
    struct world *world;
    struct tg_timer timer;
    tg_reader_keys_fn *done;
    void *arg;
    size_t n;
    bool is_visible[];
};

static void on_answer(struct tg_timer *timer)
{
    struct tg_reader_keys *k = TG_CONTAINER_OF(timer, struct tg_reader_keys, timer);
    enum tg_rc rc = k->world->keys_rc;

    k->world->n_answers++;
    k->done(rc, 0, rc == TG_OK ? k->is_visible : NULL, k->n, k->arg);
    free(k);
}

enum tg_rc tg_reader_keys(const struct tg_reader_opts *o, const tg_str *pks, size_t n,
                          tg_reader_keys_fn *done, void *arg, struct tg_reader_keys **ret_keys)
{
    const void *upstream = o->upstream;
    struct tg_reader_keys *k = tg_calloc(1, sizeof(*k) + n * sizeof(bool));
    struct world *w = NULL;

    memcpy(&w, upstream, sizeof(w));
    k->world = w;
    k->done = done;
    k->arg = arg;
    k->n = n;
    for (size_t i = 0; i < n; i++) {
        char pk[32];

        (void)snprintf(pk, sizeof(pk), "%.*s", (int)pks[i].n, pks[i].p);
        k->is_visible[i] = w->hidden == NULL || strstr(w->hidden, pk) == NULL;
    }
    w->n_questions++;
    (void)snprintf(w->bearer, sizeof(w->bearer), "%.*s", (int)o->bearer.n, o->bearer.p);
    tg_timer_init(&k->timer, on_answer);
    if (!w->is_mute) {
        tg_loop_timer_start(w->loop, &k->timer, 0);
    }
    *ret_keys = k;
    return TG_OK;
}

void tg_reader_keys_cancel(struct tg_reader_keys *k)
{
    if (k != NULL) {
        tg_loop_timer_stop(k->world->loop, &k->timer);
        free(k);
    }
}

static tg_id topic_of(const struct world *w, char topic)
{
    cr_assert_neq(w->topics[topic - 'a'], 0, "nobody has asked for %c", topic);
    return w->topics[topic - 'a'];
}

static void tell_as(struct world *w, char topic, enum tg_topic_state state, bool is_new)
{
    const struct tg_topic_news news = {.topic = topic_of(w, topic),
                                       .state = state,
                                       .epoch = w->epoch,
                                       .whole_from = w->last,
                                       .ready_from = w->last,
                                       .is_new = is_new};

    cr_assert_eq(tg_fanout_tell(w->fanout, &news), TG_OK);
}

void tell(struct world *w, char topic, enum tg_topic_state state)
{
    tell_as(w, topic, state, false);
}

void tell_new(struct world *w, char topic, enum tg_topic_state state)
{
    tell_as(w, topic, state, true);
}

void tell_reason(struct world *w, char topic, const char *reason)
{
    const struct tg_topic_news news = {.topic = topic_of(w, topic),
                                       .state = TG_TOPIC_JOINING,
                                       .epoch = w->epoch,
                                       .whole_from = w->last,
                                       .message = tg_str_of(reason)};

    cr_assert_eq(tg_fanout_tell(w->fanout, &news), TG_OK);
}

void refuse(struct world *w, char topic, enum tg_rc rc, const char *message)
{
    const struct tg_topic_news news = {.topic = topic_of(w, topic),
                                       .state = TG_TOPIC_REFUSED,
                                       .epoch = w->epoch,
                                       .rc = rc,
                                       .message = tg_str_of(message)};

    cr_assert_eq(tg_fanout_tell(w->fanout, &news), TG_OK);
}

static void on_appended(enum tg_rc rc, struct tg_pos pos, void *arg)
{
    struct world *w = arg;

    cr_assert_eq(rc, TG_OK);
    w->pos = pos;
    w->is_done = true;
}

static bool is_room(char topic)
{
    return topic >= 'p';
}

void topic_text(char topic, char out[TOPIC_TEXT])
{
    (void)snprintf(out, TOPIC_TEXT, "%s%c", is_room(topic) ? "room:" : "table:public.", topic);
}

void parse_topic(char topic, struct tg_topic_name *ret_name)
{
    static const struct tg_declared room = {
        .name = TG_STR_INIT("room"), .key_type = TG_KEY_TEXT, .is_public = true};
    static const struct tg_declared_list list = {&room, 1};
    char text[TOPIC_TEXT];
    const char *why = NULL;

    topic_text(topic, text);
    cr_assert_eq(tg_topic_parse(&list, tg_str_of(text), ret_name, &why), TG_OK);
}

static tg_str key_of(struct world *w, char topic)
{
    char *key = w->keys[topic - 'a'];

    char text[TOPIC_TEXT];

    topic_text(topic, text);
    (void)snprintf(key, sizeof(w->keys[0]), "%s%s", is_room(topic) ? "" : TEST_CLASS "|", text);
    return tg_str_of(key);
}

static struct tg_pos append_json(struct world *w, char topic, const char *json)
{
    const struct tg_write write = {
        .epoch = &w->log_epoch, .topic = key_of(w, topic), .payload = tg_str_of(json)};

    w->is_done = false;
    cr_assert_eq(tg_store_append(w->store, &write, on_appended, w), TG_OK);
    run_until(w, is_done, w);
    w->last = w->pos;
    return w->pos;
}

struct tg_pos append(struct world *w, char topic, const char *text)
{
    char json[256];

    (void)snprintf(json, sizeof(json), "{\"n\":\"%s\"}", text);
    return append_json(w, topic, json);
}

struct tg_pos append_row(struct world *w, char topic, const char *text, int id)
{
    char json[256];

    (void)snprintf(json, sizeof(json), "{\"n\":\"%s\",\"record\":{\"id\":%d}}", text, id);
    return append_json(w, topic, json);
}

struct tg_pos append_keyless(struct world *w, char topic, const char *text)
{
    char json[256];

    (void)snprintf(json, sizeof(json), "{\"n\":\"%s\",\"record\":{}}", text);
    return append_json(w, topic, json);
}

struct tg_pos append_delete(struct world *w, char topic, const char *text, int id)
{
    char json[256];

    (void)snprintf(json, sizeof(json), "{\"n\":\"%s\",\"old_record\":{\"id\":%d}}", text, id);
    return append_json(w, topic, json);
}

struct tg_pos gap(struct world *w)
{
    const struct tg_write write = {.epoch = &w->log_epoch, .payload = TG_STR("join")};

    w->is_done = false;
    cr_assert_eq(tg_store_gap(w->store, &write, on_appended, w), TG_OK);
    run_until(w, is_done, w);
    w->last = w->pos;
    return w->pos;
}

static void hand_frame(struct world *w, char topic, struct tg_frame *frame)
{
    cr_assert_lt(w->n_handed, MAX_HANDED);
    w->handed[w->n_handed++] = (struct tg_delivered){topic_of(w, topic), frame};
}

void hand(struct world *w, char topic, struct tg_pos pos, const char *text)
{
    char json[256];

    (void)snprintf(json, sizeof(json), "{\"n\":\"%s\"}", text);
    hand_frame(w, topic,
               tg_frame_create(TG_FRAME_EVENT, &w->epoch, pos, TG_STR(""), tg_str_of(json)));
}

void hand_gap(struct world *w, char topic, struct tg_pos pos)
{
    char name[TOPIC_TEXT];

    topic_text(topic, name);
    hand_frame(w, topic, tg_frame_reset(&w->epoch, pos, tg_str_of(name), TG_STR("gap")));
}

void deliver(struct world *w)
{
    struct tg_delivery *d = tg_delivery_create(w->fanout, w->n_handed);

    d->is_cut = w->is_cut;
    d->epoch = w->epoch;
    d->horizon = w->last;
    d->n = w->n_handed;
    for (size_t i = 0; i < d->n; i++) {
        d->items[i] = w->handed[i];
    }
    w->n_handed = 0;
    w->is_cut = false;
    cr_assert_eq(tg_fanout_deliver(d), TG_OK);
}

struct tg_pos publish(struct world *w, char topic, const char *text)
{
    struct tg_pos pos = append(w, topic, text);

    hand(w, topic, pos, text);
    deliver(w);
    return pos;
}

/* ---- life ---- */

static void on_state(enum tg_store_state state, const struct tg_epoch *epoch, struct tg_pos last,
                     bool is_suspect, void *arg)
{
    struct world *w = arg;

    (void)is_suspect;
    if (state == TG_STORE_UP) {
        w->is_up = true;
        w->log_epoch = *epoch;
        w->epoch = *epoch;
        w->last = last;
    }
}

static bool is_up(void *arg)
{
    const struct world *w = arg;

    return w->is_up;
}

struct world *world_create(void)
{
    struct world *w = TG_NEW(struct world);
    void *hub = w;
    void *upstream = &w->self;

    w->store_opts = (struct tg_store_opts){.prefix = "t",
                                           .retain_for = TG_SEC(3600),
                                           .retain_events = 10000,
                                           .log_events = 100000,
                                           .max_event_bytes = 65536,
                                           .max_pending = 256,
                                           .timeout = TG_SEC(5),
                                           .holder = "me"};
    w->self = w;
    w->opts = (struct tg_fanout_opts){.hub = hub,
                                      .upstream = upstream,
                                      .ring_frames = 64,
                                      .ring_bytes = 1 << 20,
                                      .page_entries = 50,
                                      .max_pages = 16,
                                      .heartbeat = TG_SEC(600),
                                      .ready_wait = TG_SEC(60),
                                      .topic_linger = TG_SEC(60),
                                      .retain_events = 10000,
                                      .retain_for = TG_SEC(3600),
                                      .max_streams = 10000};
    return w;
}

void world_start(struct world *w)
{
    const struct tg_store_event_handler handler = {on_state, w};

    cr_assert_eq(tg_loop_create("test", 100000, &w->loop), TG_OK);
    cr_assert_eq(tg_store_group_create(&w->store_opts, &w->group), TG_OK);
    cr_assert_eq(tg_store_group_serve(w->group, w->loop), TG_OK);
    cr_assert_eq(tg_store_open(w->group, w->loop, &handler, &w->store), TG_OK);
    w->opts.store = w->group;
    cr_assert_eq(tg_fanout_create(w->loop, &w->opts, &w->fanout), TG_OK);
    cr_assert_eq(tg_fanout_loop(w->fanout), w->loop);
    w->counts = tg_fanout_counts(w->fanout);
    cr_assert_eq(tg_fanout_start(w->fanout), TG_OK);
    run_until(w, is_up, w);
    settle(w);
}

struct world *world_started(void)
{
    struct world *w = world_create();

    world_start(w);
    return w;
}

void world_end(struct world *w)
{
    tg_fanout_stop(w->fanout);
    settle(w);
    cr_assert_eq(tg_count_get(&w->counts->streams), 0);
    tg_store_close(w->store);
    tg_store_group_unserve(w->group);
    w->is_done = true;
    run_until(w, is_done, w);
    tg_fanout_destroy(w->fanout);
    tg_loop_destroy(w->loop);
    tg_store_group_destroy(w->group);
    while (w->clients != NULL) {
        client_destroy(w->clients);
    }
    free(w);
}
