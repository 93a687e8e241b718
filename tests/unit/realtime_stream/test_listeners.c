/* test_listeners.c - a question goes round all workers and comes home once. */
#include "realtime/listeners.h"
#include "realtime_stream/fixture.h"

static const tg_str keys[] = {TG_STR_INIT(TEST_CLASS "|table:public.a"),
                              TG_STR_INIT(TEST_CLASS "|table:public.b"), TG_STR_INIT("notes:1")};

struct answer {
    unsigned n_calls;
    bool is_known;
    bool has[TG_ARRAY_LEN(keys)];
};

static void on_listened(const bool *has, size_t n, void *arg)
{
    struct answer *a = arg;

    cr_assert_eq(n, TG_ARRAY_LEN(keys));
    a->n_calls++;
    a->is_known = has != NULL;
    for (size_t i = 0; has != NULL && i < n; i++) {
        a->has[i] = has[i];
    }
}

static void ask(struct world *w, struct answer *a)
{
    *a = (struct answer){0};
    tg_listeners_ask(w->fanout, keys, TG_ARRAY_LEN(keys), on_listened, a);
    cr_assert_eq(a->n_calls, 0, "told from inside");
}

Test(listeners, are_the_readers_of_this_worker)
{
    struct world *w = world_started();
    struct client *c = live_client(w, "b");
    struct answer a = {0};

    ask(w, &a);
    settle(w);
    cr_assert_eq(a.n_calls, 1);
    cr_assert(a.is_known && !a.has[0] && a.has[1] && !a.has[2]);
    tg_stream_close(c->stream);
    client_destroy(c);
    settle(w);
    ask(w, &a);
    settle(w);
    cr_assert(a.is_known && !a.has[1], "a topic that lingers has no readers");
    world_end(w);
}

Test(listeners, are_the_readers_of_other_workers_too)
{
    struct world *w = world_started();
    struct tg_fanout *first = NULL;
    struct client *c = NULL;
    struct answer a = {0};

    cr_assert_eq(tg_fanout_create(w->loop, &w->opts, &w->second), TG_OK);
    first = w->fanout;
    w->fanout = w->second;
    c = client_opened(w, "a", NULL);
    w->fanout = first;
    ask(w, &a);
    settle(w);
    cr_assert_eq(a.n_calls, 1);
    cr_assert(a.is_known && a.has[0] && !a.has[1]);
    tg_stream_close(c->stream);
    client_destroy(c);
    settle(w);
    tg_fanout_destroy(w->second);
    w->second = NULL;
    world_end(w);
}

Test(listeners, are_not_known_to_a_worker_that_ends)
{
    struct world *w = world_started();
    struct answer a = {0};

    ask(w, &a);
    world_end(w);
    cr_assert_eq(a.n_calls, 1);
    cr_assert_not(a.is_known);
}
