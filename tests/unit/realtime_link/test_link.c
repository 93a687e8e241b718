/* test_link.c - joining, being told, and what a channel's end means. */
#include <criterion/criterion.h>

#include "realtime_link/upstream.h"

TestSuite(link, .init = start, .fini = stop);

/* ---- joining ---- */

Test(link, joins_a_channel_when_its_socket_opens)
{
    join(1);
    cr_assert_eq(world.n_sockets, 1);
    cr_assert_str_eq(world.sockets[0].address, "127.0.0.1");
    opened(0);
    cr_assert_told("online\n");
    cr_assert_eq(sent(0, "[\"1\",\"1\",\"realtime:tg:1\",\"phx_join\","), 1);
    cr_assert_eq(sent(0, "\"table\":\"places\""), 1);
    cr_assert_eq(sent(0, "\"access_token\":\"jwt-1\""), 1);
    cr_assert_eq(sent(0, "\"filter\""), 0);
    cr_assert_eq(tg_count_get(&tg_link_counts(world.link)->online), 1);
}

Test(link, is_up_at_subscribed_and_not_at_the_reply)
{
    join(1);
    opened(0);
    forget();
    reply(0, 1, 1, "ok", "{}");
    cr_assert_told("");
    subscribed(0, 1);
    cr_assert_told("up 1\n");
}

Test(link, joins_the_channels_of_a_socket_one_at_a_time)
{
    join(1);
    opened(0);
    pass(TG_SEC(1));
    join(2);
    cr_assert_eq(sent(0, "phx_join"), 1);
    reply(0, 1, 1, "ok", "{}");
    cr_assert_eq(sent(0, "phx_join"), 2);
    cr_assert_eq(sent(0, "[\"2\",\"2\",\"realtime:tg:2\",\"phx_join\""), 1);
}

Test(link, opens_another_socket_when_the_channels_of_one_are_taken)
{
    join(1);
    join(2);
    cr_assert_eq(world.n_sockets, 1);
    join(3);
    cr_assert_eq(world.n_sockets, 2);
    opened(0);
    opened(1);
    pass(TG_MS(200));
    cr_assert_eq(sent(0, "phx_join"), 1);
    cr_assert_eq(sent(1, "realtime:tg:3"), 1);
    cr_assert_eq(tg_count_get(&tg_link_counts(world.link)->sockets), 2);
}

Test(link, spreads_joins_of_all_sockets_over_the_second)
{
    join(1);
    join(2);
    opened(0);
    reply(0, 1, 1, "ok", "{}");
    cr_assert_eq(sent(0, "phx_join"), 1, "the second came at once");
    pass(TG_MS(90));
    cr_assert_eq(sent(0, "phx_join"), 1);
    pass(TG_MS(70)); /* at most half as long again: jitter */
    cr_assert_eq(sent(0, "phx_join"), 2);
}

Test(link, hands_on_changes_only_of_channels_that_are_up)
{
    join(1);
    opened(0);
    reply(0, 1, 1, "ok", "{}");
    forget();
    hear(0, "[null,null,\"realtime:tg:1\",\"postgres_changes\",{\"data\":1}]");
    cr_assert_told("");
    subscribed(0, 1);
    hear(0, "[null,null,\"realtime:tg:1\",\"postgres_changes\",{\"data\":2.50}]");
    cr_assert_told("up 1\nchange 1 {\"data\":2.50}\n");
}

Test(link, takes_a_reply_only_for_the_join_under_way)
{
    join(1);
    opened(0);
    reply(0, 1, 7, "error", "{\"reason\":\"Unauthorized\"}");
    forget();
    reply(0, 1, 1, "ok", "{}");
    reply(0, 1, 1, "error", "{\"reason\":\"Unauthorized\"}");
    subscribed(0, 1);
    cr_assert_told("up 1\n");
}

Test(link, ignores_frames_that_make_no_sense)
{
    bring_up(1);
    hear(0, "no json");
    hear(0, "{}");
    hear(0, "[]");
    hear(0, "[null,null,\"realtime:tg:1\"]");
    hear(0, "[null,null,\"realtime:tg:9\",\"postgres_changes\",{}]");
    hear(0, "[null,null,\"realtime:tg:1\",\"presence_state\",{}]");
    hear(0, "[null,null,\"realtime:tg:1\",\"system\",{}]");
    hear(0, "[null,null,\"realtime:tg:1\",\"system\",[]]");
    hear(0, "[\"1\",\"1\",\"realtime:tg:1\",\"phx_reply\",7]");
    hear(0, "[\"x\",null,\"realtime:tg:1\",\"phx_close\",{}]");
    cr_assert_told("");
    cr_assert(!world.sockets[0].is_closing);
}

/* ---- tokens ---- */

Test(link, sends_a_token_that_came_during_the_join_behind_its_reply)
{
    join(1);
    opened(0);
    push_token(1, "jwt-2");
    cr_assert_eq(sent(0, "jwt-2"), 0);
    reply(0, 1, 1, "ok", "{}");
    cr_assert_eq(sent(0, "\"access_token\",{\"access_token\":\"jwt-2\"}"), 1);
}

Test(link, joins_again_with_the_token_that_came_while_the_old_one_was_refused)
{
    join(1);
    opened(0);
    push_token(1, "jwt-2");
    forget();
    reply(0, 1, 1, "error", "{\"reason\":\"InvalidJWTToken: Token has expired\"}");
    cr_assert_told("");
    pass(TG_SEC(1));
    cr_assert_eq(sent(0, "phx_join"), 1);
    cr_assert_eq(sent(0, "jwt-2"), 1);
}

Test(link, keeps_its_next_try_when_a_late_subscribed_comes)
{
    bring_up(1);
    hear(0, "[\"1\",null,\"realtime:tg:1\",\"phx_error\",{}]");
    subscribed(0, 1);
    cr_assert_told("down 1 crashed\n");
    pass(TG_SEC(1));
    cr_assert_eq(sent(0, "phx_join"), 1);
}

Test(link, still_waits_for_the_reply_when_subscribed_comes_first)
{
    join(1);
    opened(0);
    subscribed(0, 1);
    cr_assert_told("online\n");
    pass(TG_SEC(31));
    cr_assert(world.sockets[0].is_closing);
}

/* ---- refusals ---- */

Test(link, refuses_for_good_what_no_retry_can_mend)
{
    join(1);
    opened(0);
    forget();
    reply(0, 1, 1, "error", "{\"reason\":\"Unauthorized: no\"}");
    cr_assert_told("refused 1 forbidden: Unauthorized: no\n");
    pass(TG_SEC(29));
    cr_assert_eq(sent(0, "phx_join"), 0);
    cr_assert_eq(tg_count_get(&tg_link_counts(world.link)->channels), 0);
    cr_assert_eq(tg_count_get(&tg_link_counts(world.link)->refused), 1);
}

Test(link, refuses_a_subscription_that_the_database_does_not_take)
{
    join(1);
    opened(0);
    reply(0, 1, 1, "ok", "{}");
    forget();
    system_says(0, 1, "error", "Unable to subscribe to changes with given parameters");
    cr_assert_told(
        "refused 1 subscription: Unable to subscribe to changes with given parameters\n");
    cr_assert_eq(sent(0, "phx_leave"), 1);
}

Test(link, waits_for_another_token_when_upstream_does_not_take_this_one)
{
    join(1);
    opened(0);
    forget();
    reply(0, 1, 1, "error", "{\"reason\":\"InvalidJWTToken: Token has expired\"}");
    cr_assert_told("down 1 token_expired token\n");
    pass(TG_SEC(20));
    cr_assert_eq(sent(0, "phx_join"), 0);
    push_token(1, "jwt-2");
    cr_assert_eq(sent(0, "phx_join"), 1);
    cr_assert_eq(sent(0, "jwt-2"), 1);
}

Test(link, parks_a_channel_whose_token_ended_and_ignores_the_close_behind_it)
{
    bring_up(1);
    system_says(0, 1, "error", "Token has expired 3 seconds ago");
    hear(0, "[\"1\",null,\"realtime:tg:1\",\"phx_close\",{}]");
    cr_assert_told("down 1 token_expired token\n");
    pass(TG_SEC(20));
    cr_assert_eq(sent(0, "phx_join"), 0);
    push_token(1, "jwt-2");
    cr_assert_eq(sent(0, "phx_join"), 1);
}

Test(link, tries_again_later_after_any_other_refusal)
{
    join(1);
    opened(0);
    forget();
    reply(0, 1, 1, "error", "{\"reason\":\"MusterJoinError: x\"}");
    cr_assert_told(""); /* it was not up, so it did not go down */
    pass(TG_MS(200));
    cr_assert_eq(sent(0, "phx_join"), 0);
    pass(TG_MS(400));
    cr_assert_eq(sent(0, "phx_join"), 1);
    cr_assert_eq(tg_count_get(&tg_link_counts(world.link)->join_errors), 1);
}

Test(link, lets_the_next_channel_join_after_a_refusal)
{
    join(1);
    join(2);
    opened(0);
    pass(TG_SEC(1));
    reply(0, 1, 1, "error", "{\"reason\":\"Unauthorized\"}");
    cr_assert_eq(sent(0, "realtime:tg:2"), 1);
}

Test(link, keeps_a_channel_that_upstream_only_complains_about)
{
    bring_up(1);
    system_says(0, 1, "error", "something went wrong");
    hear(0, "[null,null,\"realtime:tg:1\",\"postgres_changes\",{}]");
    cr_assert_told("change 1 {}\n");
}

/* ---- the end of a channel ---- */

Test(link, joins_again_after_upstream_closed_the_channel)
{
    bring_up(1);
    hear(0, "[\"1\",null,\"realtime:tg:1\",\"phx_close\",{}]");
    cr_assert_told("down 1 closed\n");
    pass(TG_SEC(1));
    cr_assert_eq(sent(0, "[\"2\",\"2\",\"realtime:tg:1\",\"phx_join\""), 1);
    reply(0, 1, 2, "ok", "{}");
    subscribed(0, 1);
    cr_assert_told("down 1 closed\nup 1\n");
}

Test(link, ignores_the_end_of_a_channel_of_before)
{
    bring_up(1);
    hear(0, "[\"9\",null,\"realtime:tg:1\",\"phx_close\",{}]");
    hear(0, "[\"9\",null,\"realtime:tg:1\",\"phx_error\",{}]");
    hear(0, "[null,null,\"realtime:tg:1\",\"phx_error\",{}]");
    cr_assert_told("");
}

static void leave(uint64_t id)
{
    cr_assert_eq(tg_link_leave(world.link, id), TG_OK);
    turn();
}

Test(link, leaves_upstream_and_hears_nothing_of_the_channel_any_more)
{
    bring_up(1);
    leave(1);
    cr_assert_eq(sent(0, "[\"1\",\"2\",\"realtime:tg:1\",\"phx_leave\",{}]"), 1);
    hear(0, "[null,null,\"realtime:tg:1\",\"postgres_changes\",{}]");
    hear(0, "[\"1\",\"2\",\"realtime:tg:1\",\"phx_reply\",{\"status\":\"ok\",\"response\":{}}]");
    cr_assert_told("");
    leave(1);
    push_token(1, "jwt-2");
    cr_assert_eq(sent(0, "jwt-2"), 0);
}

Test(link, lets_the_next_channel_join_when_one_leaves_while_joining)
{
    join(1);
    join(2);
    opened(0);
    pass(TG_SEC(1));
    leave(1);
    cr_assert_eq(sent(0, "phx_leave"), 1);
    cr_assert_eq(sent(0, "realtime:tg:2\",\"phx_join\""), 1);
    forget();
    reply(0, 1, 1, "ok", "{}");
    reply(0, 2, 3, "ok", "{}");
    subscribed(0, 2);
    cr_assert_told("up 2\n");
}

Test(link, sends_no_leave_for_what_was_not_joined)
{
    join(1);
    leave(1);
    cr_assert_eq(world.sockets[0].sent[0], '\0');
}
