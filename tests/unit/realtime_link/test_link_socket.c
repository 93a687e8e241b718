/* test_link_socket.c - sockets: losing them, heartbeats, names, and their end. */
#include <criterion/criterion.h>
#include <poll.h>

#include "realtime_link/upstream.h"

TestSuite(link_socket, .init = start, .fini = stop);

static void leave(uint64_t id)
{
    cr_assert_eq(tg_link_leave(world.link, id), TG_OK);
    turn();
}

Test(link_socket, whose_loss_takes_its_channels_down_and_brings_them_back)
{
    bring_up(1);
    join(2);
    pass(TG_MS(200));
    lose(0);
    cr_assert_told("offline\ndown 1 socket\n"); /* the second was not up yet */
    pass(TG_MS(600));
    cr_assert_eq(world.n_sockets, 2);
    opened(1);
    pass(TG_MS(200));
    cr_assert_eq(sent(1, "[\"1\",\"1\",\"realtime:tg:1\",\"phx_join\""), 1);
    reply(1, 1, 1, "ok", "{}");
    subscribed(1, 1);
    cr_assert_told("offline\ndown 1 socket\nonline\nup 1\n");
    cr_assert_eq(sent(1, "realtime:tg:2"), 1);
    cr_assert_eq(tg_count_get(&tg_link_counts(world.link)->reconnects), 1);
}

Test(link_socket, of_the_service_has_its_own_key_and_no_user_on_it)
{
    join(1);
    join_service(2);
    join(3);
    join_service(4);
    cr_assert_eq(world.n_sockets, 2);
    cr_assert_str_eq(world.sockets[0].key, "anon");
    cr_assert_str_eq(world.sockets[1].key, "service");
    opened(1);
    cr_assert_eq(sent(1, "realtime:tg:2"), 1);
    cr_assert_eq(sent(1, "access_token"), 0);
    cr_assert_eq(sent(0, "realtime:tg"), 0, "not open yet");
    opened(0);
    pass(TG_MS(200));
    cr_assert_eq(sent(0, "realtime:tg:1"), 1);
    cr_assert_eq(sent(0, "\"access_token\":\"jwt-1\""), 1);
}

Test(link_socket, waits_longer_after_each_loss_up_to_half_a_minute)
{
    cr_assert_geq(link_backoff(world.link, 1), TG_MS(250));
    cr_assert_leq(link_backoff(world.link, 1), TG_MS(500));
    cr_assert_geq(link_backoff(world.link, 3), TG_MS(1000));
    cr_assert_leq(link_backoff(world.link, 3), TG_MS(2000));
    for (unsigned failures = 8; failures < 100; failures++) {
        cr_assert_geq(link_backoff(world.link, failures), TG_SEC(15));
        cr_assert_leq(link_backoff(world.link, failures), TG_SEC(30));
    }
}

Test(link_socket, is_dialled_again_when_it_could_not_be_started)
{
    world.refuses_opens = true;
    join(1);
    cr_assert_eq(world.n_sockets, 0);
    world.refuses_opens = false;
    pass(TG_MS(100));
    cr_assert_eq(world.n_sockets, 0, "not at once");
    pass(TG_MS(500));
    cr_assert_eq(world.n_sockets, 1);
}

Test(link_socket, is_kept_alive_by_answered_heartbeats)
{
    bring_up(1);
    for (unsigned i = 0; i < 3; i++) {
        forget();
        pass(TG_SEC(26));
        cr_assert_eq(sent(0, "\"phoenix\",\"heartbeat\",{}]"), 1);
        hear(0, "[null,\"2\",\"phoenix\",\"phx_reply\",{\"status\":\"ok\",\"response\":{}}]");
    }
    cr_assert(!world.sockets[0].is_closing);
}

Test(link_socket, is_closed_when_a_heartbeat_stays_unanswered)
{
    bring_up(1);
    pass(TG_SEC(26));
    cr_assert(!world.sockets[0].is_closing);
    pass(TG_SEC(26));
    cr_assert(world.sockets[0].is_closing);
    cr_assert_eq(tg_count_get(&tg_link_counts(world.link)->heartbeats_missed), 1);
}

Test(link_socket, is_closed_when_a_join_has_no_answer)
{
    join(1);
    opened(0);
    pass(TG_SEC(20));
    cr_assert(!world.sockets[0].is_closing);
    pass(TG_SEC(11));
    cr_assert(world.sockets[0].is_closing);
}

Test(link_socket, is_closed_when_subscribed_does_not_come)
{
    join(1);
    opened(0);
    reply(0, 1, 1, "ok", "{}");
    for (unsigned i = 0; i < 6; i++) {
        cr_assert(!world.sockets[0].is_closing);
        hear(0, "[null,\"2\",\"phoenix\",\"phx_reply\",{\"status\":\"ok\",\"response\":{}}]");
        pass(TG_MS(10100));
    }
    cr_assert(world.sockets[0].is_closing);
    cr_assert_eq(tg_count_get(&tg_link_counts(world.link)->heartbeats_missed), 0);
}

Test(link_socket, is_closed_when_its_peer_does_not_read)
{
    join(1);
    world.refuses_sends = true;
    opened(0);
    cr_assert(world.sockets[0].is_closing);
}

Test(link_socket, without_channels_lingers_and_is_closed)
{
    bring_up(1);
    leave(1);
    pass(TG_SEC(20));
    cr_assert(!world.sockets[0].is_closing);
    pass(TG_SEC(11));
    cr_assert(world.sockets[0].is_closing);
    lose(0);
    cr_assert_eq(tg_count_get(&tg_link_counts(world.link)->sockets), 0);
    cr_assert_told("offline\n");
}

Test(link_socket, that_lingers_takes_a_new_channel)
{
    bring_up(1);
    leave(1);
    join(2);
    cr_assert_eq(world.n_sockets, 1);
    pass(TG_MS(200));
    cr_assert_eq(sent(0, "realtime:tg:2\",\"phx_join\""), 1);
    reply(0, 2, 3, "ok", "{}");
    subscribed(0, 2);
    pass(TG_SEC(31));
    cr_assert(!world.sockets[0].is_closing);
}

Test(link_socket, without_channels_is_not_dialled_again)
{
    bring_up(1);
    leave(1);
    lose(0);
    pass(TG_SEC(60));
    cr_assert_eq(world.n_sockets, 1);
    cr_assert_eq(tg_count_get(&tg_link_counts(world.link)->sockets), 0);
}

Test(link_socket, that_is_lost_at_the_end_keeps_its_channels_until_they_are_freed)
{
    bring_up(1);
    world.link->stopping = true;
    lose(0);
    pass(TG_SEC(60));
    cr_assert_eq(world.n_sockets, 1, "not dialled again");
}

/* ---- names ---- */

TestSuite(link_name);

static void wait_for_mail(void)
{
    struct pollfd p = {.fd = tg_mailbox_fd(world.link->mailbox), .events = POLLIN};

    cr_assert_eq(poll(&p, 1, 10000), 1);
    turn();
}

Test(link_name, is_looked_up_on_a_thread_of_its_own)
{
    start_with("ws://localhost:4000/socket", 10);
    join(1);
    cr_assert_eq(world.n_sockets, 0);
    wait_for_mail();
    cr_assert_eq(world.n_sockets, 1);
    cr_assert_eq(world.link->n_resolving, 0);
    stop();
}

Test(link_name, that_arrives_after_the_last_channel_left_opens_nothing)
{
    const struct tg_link_channel c = {
        .schema = TG_STR("a"), .table = TG_STR("b"), .token = TG_STR("jwt-1")};

    start_with("ws://localhost:4000/socket", 10);
    cr_assert_eq(tg_link_join(world.link, 1, &c), TG_OK);
    cr_assert_eq(tg_link_leave(world.link, 1), TG_OK);
    wait_for_mail();
    if (world.link->n_resolving > 0) {
        wait_for_mail();
    }
    cr_assert_eq(world.n_sockets, 0);
    cr_assert_eq(tg_count_get(&tg_link_counts(world.link)->sockets), 0);
    stop();
}

static enum tg_rc create(const char *url)
{
    const struct tg_link_handler none = {0};
    const struct tg_link_opts opts = {
        .url = url, .channels_per_socket = 1, .joins_per_second = 1, .heartbeat = TG_SEC(1)};
    enum tg_rc rc = tg_link_create(&opts, &none, NULL, &world.link);

    if (rc == TG_OK) {
        tg_link_destroy(world.link);
    }
    return rc;
}

Test(link_name, of_upstream_is_a_websocket_url)
{
    cr_assert_eq(create("wss://ref.supabase.co/realtime/v1/websocket"), TG_OK);
    cr_assert_eq(create("ws://[::1]:4000/socket"), TG_OK);
    cr_assert_eq(create("http://host"), TG_OK);
    cr_assert_eq(create("ftp://host/socket"), TG_ESYNTAX);
    cr_assert_eq(create("ws:///socket"), TG_ESYNTAX);
    cr_assert_eq(create("ws://host:0/socket"), TG_ESYNTAX);
    cr_assert_eq(create("ws://host:65536/socket"), TG_ESYNTAX);
    cr_assert_eq(create("ws://host:x/socket"), TG_ESYNTAX);
}

Test(link_name, and_port_are_taken_from_the_url)
{
    start_with("wss://[::1]:4000/socket/", 10);
    cr_assert_str_eq(world.link->host, "::1");
    cr_assert_str_eq(world.link->hostport, "[::1]:4000");
    cr_assert_str_eq(world.link->target, "/socket?vsn=2.0.0&apikey=anon");
    cr_assert_eq(world.link->port, 4000);
    cr_assert(world.link->tls);
    stop();
}

/* ---- the thread ---- */

Test(link_thread, ends_when_it_is_told_to)
{
    start();
    cr_assert_eq(tg_link_start(world.link), TG_OK);
    tg_link_stop(world.link);
    tg_link_stop(world.link);
    stop();
}
