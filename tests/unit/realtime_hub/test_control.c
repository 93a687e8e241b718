/* test_control.c - words of gateways to each other pass the hub in their order. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "realtime_hub/world.h"

static char heard[256];

static void on_control(tg_str payload, bool is_missed, void *arg)
{
    size_t n = strlen(heard);

    cr_assert_eq(arg, heard);
    cr_assert_eq(is_missed, payload.n == 0);
    (void)snprintf(heard + n, sizeof(heard) - n, is_missed ? "missed\n" : "%.*s\n",
                   TG_STR_ARG(payload));
}

static void listen_on(void)
{
    start();
    heard[0] = '\0';
    tg_hub_on_control(world.hub, on_control, heard);
}

TestSuite(control, .init = listen_on, .fini = stop);

static void say(const char *word)
{
    const struct tg_ask ask = {
        .verb = TG_VERB_CONTROL, .epoch = *tg_memlog_epoch(world.log), .payload = tg_str_of(word)};
    const struct tg_memtime now = {.wall_ms = world.now / 1000, .mono = world.now};
    struct tg_pos pos = {0};

    cr_assert_eq(tg_memlog_append(world.log, &ask, now, &pos), TG_OK);
}

Test(control, is_told_once_and_to_no_topic)
{
    subscribe("notes:1", 7);
    forget();
    say("one");
    say("two");
    turn();
    turn();
    cr_assert_str_eq(heard, "one\ntwo\n");
    cr_assert_told("");
}

Test(control, may_have_been_missed_whenever_the_store_comes_back)
{
    store_down();
    store_up(false);
    turn();
    cr_assert_str_eq(heard, "missed\n");
    say("one");
    turn();
    cr_assert_str_eq(heard, "missed\none\n");
}

Test(control, may_have_been_missed_in_front_of_a_cut)
{
    store_down();
    for (int i = 0; i < 20000; i++) {
        say("old");
    }
    say("new");
    store_up(false);
    cr_assert_eq(strncmp(heard, "missed\nmissed\nold\n", 18), 0);
}

Test(control, without_a_listener_is_nothing)
{
    tg_hub_on_control(world.hub, NULL, NULL);
    say("one");
    turn();
    cr_assert_str_eq(heard, "");
}
