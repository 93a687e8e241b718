/* test_access.c - what a worker hears of access: in its place among the deliveries. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "realtime_stream/fixture.h"

struct heard {
    const struct client *reader;
    char text[128];
    unsigned n_writes; /* of the reader, by then */
};

static void on_access(const struct tg_access_word *word, void *arg)
{
    struct heard *h = arg;

    (void)snprintf(h->text, sizeof(h->text), "%.*s|%.*s|%.*s|%llu", TG_STR_ARG(word->declared),
                   TG_STR_ARG(word->key), TG_STR_ARG(word->user), (unsigned long long)word->at);
    h->n_writes = (unsigned)h->reader->n_writes;
}

Test(access, is_heard_before_what_the_log_has_behind_it)
{
    const struct tg_access_word word = {TG_STR("chat"), TG_STR("42"), TG_STR("u"), 7};
    struct world *w = world_started();
    struct client *c = live_client(w, "a");
    struct heard h = {.reader = c, .n_writes = 99};
    unsigned before = 0;

    settle(w);
    before = (unsigned)c->n_writes;
    tg_fanout_on_access(w->fanout, on_access, &h);
    cr_assert_eq(tg_fanout_tell_access(w->fanout, &word), TG_OK);
    (void)publish(w, 'a', "1");
    wait_words(c, "1");
    cr_assert_str_eq(h.text, "chat|42|u|7");
    cr_assert_eq(h.n_writes, before);
    world_end(w);
}

Test(access, is_watched_from_when_the_hub_says_so_to_when_it_says_no)
{
    struct world *w = world_started();

    cr_assert_not(tg_fanout_is_watched(w->fanout, TG_STR("chat")));
    cr_assert_eq(tg_fanout_tell_watched(w->fanout, TG_STR("chat"), true), TG_OK);
    settle(w);
    cr_assert(tg_fanout_is_watched(w->fanout, TG_STR("chat")));
    cr_assert_not(tg_fanout_is_watched(w->fanout, TG_STR("other")));
    cr_assert_eq(tg_fanout_tell_watched(w->fanout, TG_STR("chat"), false), TG_OK);
    settle(w);
    cr_assert_not(tg_fanout_is_watched(w->fanout, TG_STR("chat")));
    world_end(w);
}
