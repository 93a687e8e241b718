/* test_link_error.c - what the link does about each class of upstream's errors, and what it says
 * of them. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "realtime_link/upstream.h"
#include "util/log.h"

TestSuite(link_error, .init = start, .fini = stop);

static unsigned long errors(enum tg_upstream_class class)
{
    return (unsigned long)tg_count_get(&tg_link_counts(world.link)->errors[class]);
}

static void refuse(unsigned socket, uint64_t id, unsigned ref, const char *reason)
{
    char response[256];

    (void)snprintf(response, sizeof(response), "{\"reason\":\"%s\"}", reason);
    reply(socket, id, ref, "error", response);
}

static unsigned channels_of(unsigned socket)
{
    const struct socket *s = world.sockets[socket].arg;

    return s->n_channels;
}

/* ---- retry ---- */

Test(link_error, that_may_pass_is_tried_again_on_the_same_socket)
{
    join(1);
    opened(0);
    forget();
    refuse(0, 1, 1, "InitializingProjectConnection: Connecting to the project database");
    cr_assert_told("");
    cr_assert_eq(errors(TG_UPSTREAM_RETRY), 1);
    pass(TG_MS(600));
    cr_assert_eq(sent(0, "phx_join"), 1);
    cr_assert_eq(world.n_sockets, 1);
}

Test(link_error, of_a_subscription_that_upstream_tries_again_is_waited_for)
{
    bring_up(1);
    system_says(0, 1, "error", "{:error, \\\"Too many database timeouts\\\"}");
    cr_assert_told("");
    cr_assert_eq(errors(TG_UPSTREAM_RETRY), 1);
    pass(TG_SEC(20));
    subscribed(0, 1);
    cr_assert_told("up 1\n");
    pass(TG_SEC(45));
    cr_assert(!world.sockets[0].is_closing);
}

Test(link_error, of_a_subscription_that_never_comes_closes_the_socket)
{
    bring_up(1);
    system_says(0, 1, "error", "{:error, \\\"Too many database timeouts\\\"}");
    for (unsigned i = 0; i < 6; i++) {
        cr_assert(!world.sockets[0].is_closing);
        hear(0, "[null,\"2\",\"phoenix\",\"phx_reply\",{\"status\":\"ok\",\"response\":{}}]");
        pass(TG_MS(10100));
    }
    cr_assert(world.sockets[0].is_closing);
}

Test(link_error, of_a_token_that_found_no_channel_joins_again)
{
    bring_up(1);
    push_token(1, "jwt-2");
    hear(0, "[null,\"2\",\"realtime:tg:1\",\"phx_reply\",{\"status\":\"error\",\"response\":"
            "{\"reason\":\"unmatched topic\"}}]");
    cr_assert_told("down 1 unmatched\n");
    pass(TG_SEC(1));
    cr_assert_eq(sent(0, "phx_join"), 1);
}

Test(link_error, before_a_close_is_why_it_was_closed)
{
    bring_up(1);
    hear(0, "[null,null,\"realtime:tg:1\",\"system\",{\"status\":\"error\",\"extension\":"
            "\"system\",\"message\":\"Query was cancelled, please try again\"}]");
    hear(0, "[\"1\",null,\"realtime:tg:1\",\"phx_close\",{}]");
    cr_assert_told("down 1 database\n");
}

/* ---- back off ---- */

Test(link_error, about_the_join_rate_holds_all_joins_of_the_socket)
{
    join(1);
    join(2);
    opened(0);
    pass(TG_SEC(1));
    refuse(0, 1, 1, "ClientJoinRateLimitReached: Too many joins per second");
    cr_assert_eq(errors(TG_UPSTREAM_BACK_OFF), 1);
    pass(TG_SEC(3));
    cr_assert_eq(sent(0, "phx_join"), 1, "nothing more for seconds");
    pass(TG_SEC(6));
    cr_assert_eq(sent(0, "phx_join"), 2);
}

Test(link_error, about_the_join_rate_does_not_hold_the_service)
{
    join(1);
    opened(0);
    refuse(0, 1, 1, "ClientJoinRateLimitReached: Too many joins per second");
    join_service(2);
    opened(1);
    pass(TG_MS(200));
    cr_assert_eq(sent(1, "phx_join"), 1);
}

Test(link_error, about_the_join_rate_holds_after_the_socket_was_closed_for_it)
{
    join(1);
    opened(0);
    refuse(0, 1, 1, "ClientJoinRateLimitReached: Too many joins per second");
    lose_with(0, 1001);
    cr_assert_eq(errors(TG_UPSTREAM_BACK_OFF), 2);
    pass(TG_SEC(3));
    cr_assert_eq(world.n_sockets, 1, "not even dialled");
    pass(TG_SEC(28));
    cr_assert_eq(world.n_sockets, 2);
}

Test(link_error, of_an_upgrade_over_the_limit_waits_for_seconds)
{
    join(1);
    lose_with(0, 429);
    cr_assert_told("");
    pass(TG_SEC(3));
    cr_assert_eq(world.n_sockets, 1);
    pass(TG_SEC(28));
    cr_assert_eq(world.n_sockets, 2);
    cr_assert_eq(errors(TG_UPSTREAM_BACK_OFF), 1);
}

Test(link_error, about_messages_holds_the_socket_and_is_told_as_the_reason)
{
    bring_up(1);
    hear(0, "[null,null,\"realtime:tg:1\",\"system\",{\"status\":\"error\",\"extension\":"
            "\"system\",\"message\":\"Too many messages per second\"}]");
    hear(0, "[\"1\",null,\"realtime:tg:1\",\"phx_close\",{}]");
    cr_assert_not_null(strstr(world.told, "down 1 message_rate\n"));
    pass(TG_SEC(3));
    cr_assert_eq(sent(0, "phx_join"), 0);
}

/* ---- another socket ---- */

Test(link_error, about_channels_moves_what_waits_to_another_socket)
{
    bring_up(1);
    join(2);
    pass(TG_MS(200));
    cr_assert_eq(sent(0, "realtime:tg:2"), 1);
    refuse(0, 2, 2, "ChannelRateLimitReached: Too many channels");
    cr_assert_eq(world.n_sockets, 2);
    cr_assert_eq(channels_of(0), 1);
    opened(1);
    pass(TG_MS(200));
    cr_assert_eq(sent(1, "realtime:tg:2\",\"phx_join\""), 1);
    reply(1, 2, 1, "ok", "{}");
    subscribed(1, 2);
    cr_assert_told("up 2\n");
    cr_assert_eq(errors(TG_UPSTREAM_MOVE), 1);
    join(3);
    cr_assert_eq(channels_of(0), 1, "it has no room for another one");
    cr_assert_eq(channels_of(1), 2);
}

Test(link_error, about_channels_on_a_socket_without_any_waits)
{
    join(1);
    opened(0);
    refuse(0, 1, 1, "ChannelRateLimitReached: Too many channels");
    cr_assert_eq(world.n_sockets, 1);
    pass(TG_SEC(3));
    cr_assert_eq(sent(0, "phx_join"), 1);
    pass(TG_SEC(6));
    cr_assert_eq(sent(0, "phx_join"), 2);
}

/* ---- another token ---- */

Test(link_error, about_the_services_token_opens_another_socket)
{
    join_service(1);
    opened(0);
    refuse(0, 1, 1, "InvalidJWTToken: Token has expired 3 seconds ago");
    cr_assert(world.sockets[0].is_closing);
    cr_assert_eq(sent(0, "phx_join"), 1);
    lose(0);
    pass(TG_SEC(1));
    cr_assert_eq(world.n_sockets, 2);
    opened(1);
    pass(TG_SEC(1));
    cr_assert_eq(sent(1, "phx_join"), 1);
    cr_assert_eq(errors(TG_UPSTREAM_TOKEN), 2, "the channel's, and the socket's for it");
}

Test(link_error, of_a_socket_that_is_closed_begins_no_join_on_it)
{
    join_service(1);
    join_service(2);
    opened(0);
    pass(TG_SEC(1));
    refuse(0, 1, 1, "InvalidJWTToken: Token has expired 3 seconds ago");
    pass(TG_SEC(1));
    cr_assert_eq(sent(0, "phx_join"), 1);
}

/* ---- given up ---- */

Test(link_error, of_the_project_is_told_to_every_channel_of_a_refused_upgrade)
{
    join(1);
    join(2);
    lose_with(0, 404);
    cr_assert_told("refused 1 tenant: 404 gone\nrefused 2 tenant: 404 gone\n");
    pass(TG_SEC(60));
    cr_assert_eq(world.n_sockets, 1, "not dialled again");
    cr_assert_eq(tg_count_get(&tg_link_counts(world.link)->sockets), 0);
    cr_assert_eq(tg_count_get(&tg_link_counts(world.link)->channels), 0);
    cr_assert_eq(errors(TG_UPSTREAM_GIVE_UP), 1);
}

Test(link_error, of_the_project_is_not_asked_for_again)
{
    static const char *const reasons[] = {"TenantNotFound: Tenant with the given ID",
                                          "RealtimeDisabledForTenant: Realtime disabled",
                                          "PrivateOnly: This project only allows"};

    for (unsigned i = 0; i < TG_ARRAY_LEN(reasons); i++) {
        join(1);
        opened(0);
        forget();
        refuse(0, 1, 1, reasons[i]);
        cr_assert_not_null(strstr(world.told, reasons[i]));
        pass(TG_SEC(20));
        cr_assert_eq(sent(0, "phx_join"), 0);
        stop();
        start();
    }
}

/* ---- the log ---- */

/* What was logged since begin_log(). */
static FILE *lines;

static void begin_log(void)
{
    lines = tmpfile();
    TG_ASSERT(lines != NULL);
    tg_log_init(fileno(lines), TG_LOG_INFO);
}

static unsigned logged(const char *what)
{
    char line[4096];
    unsigned n = 0;

    rewind(lines);
    while (fgets(line, sizeof(line), lines) != NULL) {
        n += strstr(line, what) != NULL;
    }
    return n;
}

Test(link_error, is_logged_once_and_when_it_is_over)
{
    join(1);
    join(2);
    opened(0);
    begin_log();
    for (unsigned ref = 1; ref < 6; ref++) {
        pass(TG_SEC(20));
        hear(0, "[null,\"9\",\"phoenix\",\"phx_reply\",{\"status\":\"ok\",\"response\":{}}]");
        refuse(0, ref % 2 == 1 ? 1 : 2, ref, "MissingPartition: x");
    }
    cr_assert_geq(errors(TG_UPSTREAM_RETRY), 2);
    cr_assert_eq(logged("event=upstream_error"), 1);
    cr_assert_eq(logged("cause=database class=retry message=MissingPartition"), 1);
    cr_assert_eq(logged("event=upstream_cleared"), 0);
}

Test(link_error, is_logged_again_when_it_came_back_or_changed)
{
    bring_up(1);
    begin_log();
    for (unsigned ref = 1; ref < 4; ref++) {
        hear(0, "[\"%u\",null,\"realtime:tg:1\",\"phx_error\",{}]", ref);
        pass(TG_SEC(1));
        reply(0, 1, ref + 1, "ok", "{}");
        subscribed(0, 1);
    }
    cr_assert_eq(logged("event=upstream_error"), 3);
    cr_assert_eq(logged("event=upstream_cleared"), 3);
    hear(0, "[\"4\",null,\"realtime:tg:1\",\"phx_error\",{}]");
    pass(TG_SEC(1));
    refuse(0, 1, 5, "MissingPartition: x");
    pass(TG_SEC(2));
    refuse(0, 1, 6, "MissingPartition: y");
    pass(TG_SEC(4));
    refuse(0, 1, 7, "QueryCanceled: y");
    cr_assert_eq(logged("event=upstream_error"), 6);
}

Test(link_error, is_logged_without_what_users_look_for)
{
    join(1);
    opened(0);
    begin_log();
    refuse(0, 1, 1, "UnknownErrorOnChannel: title=eq.secret");
    cr_assert_eq(logged("event=upstream_error"), 1);
    cr_assert_eq(logged("secret"), 0);
}
