/* test_link_again.c - a `Subscribed` of a channel that is up: the answer to a token, or a hole.
 * Upstream answers a token after one to three seconds (protocol page, 5), and subscribes all
 * channels anew when the publication changes (8.1), in the same words. */
#include <criterion/criterion.h>

#include "realtime_link/upstream.h"

TestSuite(link_again, .init = start, .fini = stop);

/* Channels 1 and 2 are up, on one socket. */
static void bring_up_two(void)
{
    bring_up(1);
    join(2);
    pass(TG_MS(200));
    reply(0, 2, 2, "ok", "{}");
    subscribed(0, 2);
    forget();
}

Test(link_again, is_told_when_nothing_explains_it)
{
    bring_up(1);
    subscribed(0, 1);
    cr_assert_told("up 1\n");
}

Test(link_again, is_the_answer_to_a_token_in_its_time)
{
    bring_up(1);
    push_token(1, "jwt-2");
    cr_assert_eq(sent(0, "\"access_token\",{\"access_token\":\"jwt-2\"}"), 1);
    pass(TG_SEC(2));
    subscribed(0, 1);
    cr_assert_told("");
    pass(TG_SEC(2));
    subscribed(0, 1);
    cr_assert_told("up 1\n");
}

Test(link_again, is_one_answer_to_all_tokens_before_it)
{
    bring_up(1);
    push_token(1, "jwt-2");
    pass(TG_MS(500));
    push_token(1, "jwt-3");
    pass(TG_SEC(2));
    subscribed(0, 1);
    cr_assert_told("");
    pass(TG_SEC(2));
    subscribed(0, 1);
    cr_assert_told("up 1\n");
}

Test(link_again, may_be_the_first_or_the_answer_to_a_token_before_it)
{
    join(1);
    opened(0);
    reply(0, 1, 1, "ok", "{}");
    push_token(1, "jwt-2");
    forget();
    pass(TG_SEC(2));
    subscribed(0, 1);
    subscribed(0, 1);
    cr_assert_told("up 1\nup 1\n");
}

Test(link_again, between_a_token_and_the_time_of_its_answer_is_a_hole)
{
    bring_up(1);
    push_token(1, "jwt-2");
    pass(TG_MS(900));
    subscribed(0, 1);
    cr_assert_told("up 1\n");
}

Test(link_again, long_after_a_token_that_was_not_answered_is_a_hole)
{
    bring_up(1);
    push_token(1, "jwt-2");
    pass(TG_SEC(31));
    subscribed(0, 1);
    cr_assert_told("up 1\n");
}

Test(link_again, after_a_token_that_upstream_knows_is_a_hole)
{
    bring_up(1);
    push_token(1, "jwt-1");
    cr_assert_eq(sent(0, "access_token"), 0);
    pass(TG_SEC(2));
    subscribed(0, 1);
    cr_assert_told("up 1\n");
}

Test(link_again, after_an_error_of_the_subscription_is_a_hole)
{
    bring_up(1);
    push_token(1, "jwt-2");
    pass(TG_SEC(2));
    system_says(0, 1, "error", "{:error, x}");
    pass(TG_SEC(7));
    subscribed(0, 1);
    cr_assert_told("up 1\n");
}

Test(link_again, in_the_time_of_a_token_is_a_hole_when_others_are_subscribed_anew)
{
    bring_up_two();
    push_token(1, "jwt-2");
    pass(TG_SEC(2));
    subscribed(0, 2);
    subscribed(0, 1);
    cr_assert_told("up 2\nup 1\n");
}

Test(link_again, that_was_taken_for_an_answer_is_a_hole_when_others_follow)
{
    bring_up_two();
    push_token(1, "jwt-2");
    pass(TG_SEC(2));
    subscribed(0, 1);
    cr_assert_told("");
    pass(TG_SEC(3));
    subscribed(0, 2);
    cr_assert_told("up 1\nup 2\n");
    subscribed(0, 1);
    cr_assert_told("up 1\nup 2\nup 1\n");
}

Test(link_again, is_the_answer_to_a_token_again_when_nothing_was_anew_for_long)
{
    bring_up_two();
    subscribed(0, 2);
    forget();
    pass(TG_SEC(20));
    hear(0, "[null,\"3\",\"phoenix\",\"phx_reply\",{\"status\":\"ok\",\"response\":{}}]");
    pass(TG_SEC(20));
    hear(0, "[null,\"3\",\"phoenix\",\"phx_reply\",{\"status\":\"ok\",\"response\":{}}]");
    push_token(1, "jwt-2");
    pass(TG_SEC(2));
    subscribed(0, 1);
    cr_assert_told("");
}

Test(link_again, of_two_channels_with_tokens_are_two_answers)
{
    bring_up_two();
    push_token(1, "jwt-2");
    push_token(2, "jwt-3");
    pass(TG_SEC(2));
    subscribed(0, 1);
    subscribed(0, 2);
    cr_assert_told("");
}
