/* test_worker.c - the order in which a worker is made and taken down. */
#include <criterion/criterion.h>
#include <string.h>

#include "fakes.h"

#define MADE "http_create upstream_create fanout_create fanout_start listen "
#define DRAINED "http_drain fanout_drain tunnel_drain "
#define ENDED "control_stop sessions_stop fanout_stop http_destroy upstream_destroy "

/* Runs the worker's thread to its end. */
static void drain(struct tg_server_worker *w, tg_usec timeout, tg_usec spread)
{
    tg_server_worker_drain(w, timeout, spread);
    cr_assert_eq(tg_server_worker_start(w), TG_OK);
    tg_server_worker_join(w);
    tg_server_worker_join(w); /* nothing more to wait for */
}

Test(worker, listens_last)
{
    struct tg_server_worker *w = worker_make(0);

    cr_assert_str_eq(seen.order, MADE);
    tg_server_worker_destroy(w);
    tg_server_worker_destroy(NULL);
}

Test(worker, never_started_is_taken_down_whole)
{
    struct tg_server_worker *w = worker_make(0);

    seen.order[0] = '\0';
    tg_server_worker_join(w);
    tg_server_worker_destroy(w);
    cr_assert_str_eq(seen.order, "http_destroy upstream_destroy fanout_destroy ");
}

Test(worker, failed_start_takes_down_what_was_made)
{
    static const struct {
        const char *fails;
        const char *order;
    } table[] = {
        {"http_create", "http_create "},
        {"upstream_create", "http_create upstream_create http_destroy "},
        {"fanout_create",
         "http_create upstream_create fanout_create http_destroy upstream_destroy "},
        {"listen", MADE "http_destroy upstream_destroy fanout_destroy "},
    };

    for (size_t i = 0; i < TG_ARRAY_LEN(table); i++) {
        seen = (struct fake_seen){.fails = table[i].fails};
        cr_assert_null(worker_make(0));
        cr_assert_str_eq(seen.order, table[i].order, "%s: %s", table[i].fails, seen.order);
    }
}

Test(worker, idle_one_ends_at_once_when_drained)
{
    struct tg_server_worker *w = worker_make(0);

    drain(w, TG_SEC(30), TG_SEC(10));
    cr_assert_str_eq(seen.order, MADE DRAINED ENDED);
    cr_assert_eq(seen.spread, TG_SEC(10));
    cr_assert_eq(seen.tunnel_spread, TG_SEC(5), "half: the clients need the rest to come back");
    tg_server_worker_destroy(w);
    cr_assert_str_eq(seen.order, MADE DRAINED ENDED "fanout_destroy ", "nothing twice");
}

Test(worker, last_connection_ends_the_drain)
{
    struct tg_server_worker *w = worker_make(0);
    tg_usec began = fake_now;

    seen.n_open = 3;
    seen.open_looks_left = 4;
    drain(w, TG_SEC(30), TG_SEC(10));
    cr_assert_eq(seen.n_open, 0);
    cr_assert_lt(fake_now - began, TG_SEC(2), "long before its time is up");
    cr_assert_str_eq(seen.order, MADE DRAINED ENDED);
    tg_server_worker_destroy(w);
}

Test(worker, time_up_cuts_what_is_left)
{
    struct tg_server_worker *w = worker_make(0);
    tg_usec began = fake_now;

    seen.n_open = 3;
    drain(w, TG_MS(400), TG_MS(100));
    cr_assert_eq(seen.n_open, 3);
    cr_assert_geq(fake_now - began, TG_MS(400));
    cr_assert_str_eq(seen.order, MADE DRAINED ENDED);
    tg_server_worker_destroy(w);
}

Test(worker, keys_are_shared_by_all)
{
    struct tg_server_worker *workers[] = {worker_make(0), worker_make(1)};

    seen.order[0] = '\0';
    tg_server_workers_share_keys(workers, 2);
    cr_assert_str_eq(seen.order, "keys_setup keys_setup ");
    tg_server_worker_destroy(workers[0]);
    tg_server_worker_destroy(workers[1]);
}

Test(worker, words_of_other_gateways_reach_all)
{
    struct tg_server_worker *workers[] = {worker_make(0), worker_make(1)};

    seen.order[0] = '\0';
    cr_assert_not_null(tg_server_workers_relay(workers, 2));
    cr_assert_str_eq(seen.order, "relay relay ");
    tg_server_worker_destroy(workers[0]);
    tg_server_worker_destroy(workers[1]);
}

Test(worker, request_ids_tell_workers_apart)
{
    struct tg_server_worker *a = worker_make(0);
    struct tg_server_worker *b = worker_make(1);

    cr_assert_str_neq(tg_server_worker_inside(a)->id_prefix, tg_server_worker_inside(b)->id_prefix);
    cr_assert_not_null(strstr(tg_server_worker_inside(b)->id_prefix, "-1-"));
    tg_server_worker_destroy(a);
    tg_server_worker_destroy(b);
}
