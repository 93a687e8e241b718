/* test_redis.c - what only a server can do to us: be flushed, restored, restarted, cut off,
 * paused, full or set up wrongly. Each ends in an honest reset and never in a quiet hole. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/fixture.h"

static struct fixture f;
static const struct tg_pos all = {0, 0};

static void start(void)
{
    fixture_start(&f, true);
    fixture_open(&f);
}

static void stop(void)
{
    fixture_stop(&f);
}

TestSuite(outage, .init = start, .fini = stop);

static struct tg_pos put(const char *topic, const char *payload)
{
    cr_assert_eq(append(&f, topic, payload), TG_OK);
    return f.pos;
}

static enum tg_verdict verdict(const char *topic, const char *feed, struct tg_pos after)
{
    cr_assert_eq(page(&f, topic, feed, after, all, 100), TG_OK);
    return f.verdict;
}

/* ---- another log ---- */

Test(outage, a_flush_is_a_new_epoch_and_never_a_hole)
{
    struct tg_epoch before = f.epoch;
    struct tg_pos old = put("a", "1");

    tail(&f, old);
    (void)server(&f, "FLUSHALL");
    cr_assert_eq(append(&f, "a", "2"), TG_EEPOCH);
    wait_up(&f, 2);
    cr_assert_eq(f.n_down, 1);
    cr_assert_str_neq(f.epoch.text, before.text);
    cr_assert_eq(tg_count_get(&tg_store_counts(f.store)->epoch_changes), 1);
    tail(&f, f.last);
    (void)put("a", "3");
    wait_tail(&f, 1);
    cr_assert_str_eq(f.seen[0].payload, "3");
    f.epoch = before;
    cr_assert_eq(verdict("a", "", old), TG_RESET_EPOCH);
    cr_assert_eq(f.n_up, 2);
}

Test(outage, a_page_notices_a_flush_too)
{
    struct tg_pos old = put("a", "1");

    (void)server(&f, "FLUSHALL");
    cr_assert_eq(verdict("a", "", old), TG_RESET_EPOCH);
    wait_up(&f, 2);
    cr_assert_eq(verdict("a", "", f.last), TG_COMPLETE);
}

Test(outage, a_deleted_log_is_a_new_epoch)
{
    struct tg_epoch before = f.epoch;
    struct tg_pos old = put("a", "1");

    (void)server(&f, "DEL {test}:1:log");
    cr_assert_eq(append(&f, "a", "2"), TG_EEPOCH);
    wait_up(&f, 2);
    cr_assert_str_neq(f.epoch.text, before.text);
    /* The topic's stream is still there; what it holds is from before the log. */
    cr_assert_eq(verdict("a", "", old), TG_RESET_EXPIRED);
    cr_assert_eq(f.n, 0);
}

Test(outage, the_tail_learns_of_a_log_that_another_gateway_began)
{
    static struct fixture other;
    struct tg_epoch before = f.epoch;

    tail(&f, f.last);
    (void)server(&f, "FLUSHALL");
    /* The other gateway comes, finds nothing and begins. */
    fixture_start(&other, false);
    other.opts = f.opts;
    other.opts.holder = "gateway-2";
    fixture_open(&other);
    wait_up(&f, 2);
    cr_assert_str_neq(f.epoch.text, before.text);
    cr_assert_str_eq(f.epoch.text, other.epoch.text);
    fixture_stop(&other);
}

Test(outage, a_topic_left_over_with_larger_ids_is_begun_anew)
{
    struct tg_pos first = f.last;

    (void)server(&f, "XADD {test}:1:t:a 99999999999999-0 p old");
    (void)put("a", "1");
    cr_assert_eq(verdict("a", "", f.pos), TG_COMPLETE);
    cr_assert_eq(f.n, 0);
    cr_assert_eq(page(&f, "a", "", first, all, 10), TG_OK);
    cr_assert_eq(f.n, 1);
    cr_assert_str_eq(f.seen[0].payload, "1");
}

Test(outage, the_tail_walks_over_the_beginning_of_the_present_log)
{
    struct tg_pos old = put("a", "1");

    (void)server(&f, "HDEL {test}:1:epoch epoch");
    cr_assert_eq(append(&f, "a", "2"), TG_EEPOCH);
    wait_up(&f, 2);
    (void)put("a", "3");
    tail(&f, (struct tg_pos){old.ms - 1, 0});
    wait_tail(&f, 2);
    cr_assert_str_eq(f.seen[0].payload, "1");
    cr_assert_str_eq(f.seen[1].payload, "3");
    cr_assert_eq(f.n_up, 2);
}

/* ---- topics that expire ---- */

Test(outage, a_topic_that_expired_and_comes_back_does_not_look_complete)
{
    struct tg_pos first = put("a", "1");
    struct tg_pos second = put("a", "2");

    (void)put("b", "x");
    (void)server(&f, "DEL {test}:1:t:a"); /* as its expiry does */
    cr_assert_eq(verdict("a", "", first), TG_RESET_EXPIRED);
    cr_assert_eq(f.n, 0);
    cr_assert_eq(verdict("a", "", second), TG_COMPLETE);
    (void)put("a", "3");
    cr_assert_eq(verdict("a", "", first), TG_RESET_EXPIRED);
    cr_assert_eq(f.n, 1);
    POS_EQ(f.resume, second);
    cr_assert_eq(verdict("a", "", second), TG_COMPLETE);
    cr_assert_eq(f.n, 1);
}

Test(outage, a_topic_whose_floor_was_lost_does_not_look_complete)
{
    struct tg_pos first = put("a", "1");

    (void)put("a", "2");
    (void)server(&f, "DEL {test}:1:f");
    (void)put("b", "x");
    cr_assert_eq(verdict("a", "", first), TG_RESET_EXPIRED);
}

Test(outage, a_topic_lives_an_hour_longer_than_its_events)
{
    (void)put("a", "1");
    cr_assert_eq(server(&f, "TTL {test}:1:t:a"), 7200);
    cr_assert_eq(server(&f, "TTL {test}:1:log"), -1);
}

Test(outage, a_longer_retention_does_not_bring_back_what_a_shorter_one_dropped)
{
    struct tg_pos old = put("a", "1");

    (void)put("b", "1");
    (void)server(&f, "HSET {test}:1:epoch retain 0");
    fixture_reopen(&f);
    (void)put("b", "2");
    cr_assert_eq(verdict("a", "", old), TG_RESET_EXPIRED);
}

Test(outage, floors_are_forgotten_when_no_cursor_can_reach_them)
{
    struct tg_pos first = put("a", "1");

    (void)put("b", "1");
    (void)server(&f, "HSET {test}:1:f t:old %s", "1000-0 2000-0");
    fixture_reopen(&f);
    cr_assert_eq(server(&f, "HEXISTS {test}:1:f t:old"), 0);
    cr_assert_eq(server(&f, "HEXISTS {test}:1:f t:a"), 1);
    cr_assert_eq(verdict("a", "", first), TG_COMPLETE);
    cr_assert_eq(verdict("old", "", first), TG_COMPLETE);
}

/* ---- restarts ---- */

Test(outage, a_restart_with_all_data_loses_nothing)
{
    struct tg_epoch before = f.epoch;
    struct tg_pos first = put("a", "1");

    (void)put("a", "2");
    (void)server(&f, "SAVE");
    server_kill(&f);
    wait_down(&f, 1);
    cr_assert_eq(append(&f, "a", "x"), TG_ESTORE);
    server_start(&f);
    wait_up(&f, 2);
    cr_assert_str_eq(f.epoch.text, before.text);
    cr_assert_not(f.is_suspect);
    cr_assert_eq(verdict("a", "", first), TG_COMPLETE);
    cr_assert_eq(f.n, 1);
    (void)put("a", "3");
    cr_assert_eq(tg_count_get(&tg_store_counts(f.store)->reconnects), 1);
}

Test(outage, a_restart_from_an_old_copy_is_a_new_epoch)
{
    struct tg_epoch before = f.epoch;
    struct tg_pos first = put("a", "1");

    (void)server(&f, "SAVE");
    (void)put("a", "2"); /* told to clients, and gone after the restart */
    server_kill(&f);
    wait_down(&f, 1);
    server_start(&f);
    wait_up(&f, 2);
    cr_assert_str_neq(f.epoch.text, before.text);
    f.epoch = before;
    cr_assert_eq(verdict("a", "", first), TG_RESET_EPOCH);
}

Test(outage, a_restart_that_nobody_can_judge_is_a_gap_of_all_feeds)
{
    struct tg_epoch before = f.epoch;
    struct tg_pos first = put("a", "1");

    (void)server(&f, "SAVE");
    fixture_close(&f); /* the gateway restarts too, and remembers nothing */
    server_kill(&f);
    server_start(&f);
    fixture_open(&f);
    cr_assert(f.is_suspect);
    cr_assert_str_eq(f.epoch.text, before.text);
    cr_assert_eq(verdict("a", "", first), TG_RESET_GAP);
    POS_EQ(f.resume, f.last);
    cr_assert_eq(verdict("b", "feed", first), TG_RESET_GAP);
    cr_assert_eq(verdict("a", "", f.last), TG_COMPLETE);
    /* It is said once: the next one to connect finds it judged. */
    fixture_reopen(&f);
    cr_assert_not(f.is_suspect);
}

/* A promoted replica: the epoch is the same, another gateway wrote on, our last entry is not
 * among it. */
Test(outage, a_promoted_replica_without_our_last_entry_is_a_gap)
{
    struct tg_pos first = put("a", "1");
    struct tg_pos second = put("a", "2");
    char id[TG_POS_MAX + 1];

    (void)tg_pos_format(second, id);
    (void)server(&f, "XDEL {test}:1:log %s", id);
    (void)server(&f, "HSET {test}:1:epoch run another");
    (void)server(&f, "CLIENT KILL TYPE normal SKIPME yes");
    wait_up(&f, 2);
    cr_assert(f.is_suspect);
    cr_assert(tg_pos_cmp(f.last, second) > 0);
    cr_assert_eq(verdict("a", "", first), TG_RESET_GAP);
    cr_assert_eq(verdict("a", "", f.last), TG_COMPLETE);
}

Test(outage, the_gap_of_a_restart_reaches_the_tails)
{
    struct tg_pos last = put("a", "1");

    (void)server(&f, "XADD {test}:1:log * g %s p restart b %llu-%llu", "",
                 (unsigned long long)last.ms, (unsigned long long)last.seq);
    tail(&f, last);
    wait_tail(&f, 1);
    cr_assert_eq(f.seen[0].kind, TG_ENTRY_GAP);
    cr_assert_str_eq(f.seen[0].name, "");
    cr_assert_str_eq(f.seen[0].payload, "restart");
}

/* ---- the connection ---- */

Test(outage, a_name_is_resolved_on_the_way)
{
    fixture_close(&f);
    server_kill(&f);
    server_use_port(&f);
    server_start(&f);
    fixture_open(&f);
    (void)put("a", "1");
    tail(&f, f.last);
    wait_tail(&f, 1);
}

Test(outage, a_server_that_comes_later_is_found)
{
    fixture_close(&f);
    server_kill(&f);
    cr_assert_eq(tg_store_group_create(&f.opts, &f.group), TG_OK);
    tg_store_group_destroy(f.group);
    f.group = NULL;
    server_start(&f); /* not listening yet when the first connect is tried, or soon after */
    fixture_open(&f);
    (void)put("a", "1");
}

Test(outage, a_refused_connect_is_told_and_tried_again)
{
    server_kill(&f);
    wait_down(&f, 1);
    pass_time(&f, TG_MS(300)); /* several tries on a socket that refuses */
    cr_assert_eq(f.n_up, 1);
    server_start(&f);
    wait_up(&f, 2);
}

static bool has_some(struct fixture *fix)
{
    return fix->n_finished > 0;
}

Test(outage, what_is_under_way_when_the_connection_dies_completes_once)
{
    struct tg_pos after = f.last;
    size_t n = 0;

    cr_assert_eq(append_many(&f, "a", 4000), 4000);
    run_until(&f, has_some);
    (void)server(&f, "CLIENT KILL TYPE normal SKIPME yes");
    wait_many(&f);
    cr_assert_eq(f.n_by_rc[TG_OK] + f.n_by_rc[TG_ESTORE], 4000);
    wait_up(&f, 2);
    cr_assert_not(f.is_suspect);
    do {
        cr_assert_eq(verdict("a", "", after), TG_COMPLETE);
        for (size_t i = 0; i < f.n; i++) {
            cr_assert_eq((size_t)strtol(f.seen[i].payload, NULL, 10), n++);
        }
        after = f.n > 0 ? f.seen[f.n - 1].pos : after;
    } while (f.has_more);
    cr_assert_geq(n, f.n_by_rc[TG_OK]);
}

/* A tail that waits in the server for what comes next. */
static void wait_blocked(void)
{
    bool is_blocked = false;

    while (!is_blocked) {
        char *clients = server_text(&f, "INFO clients");

        is_blocked = strstr(clients, "blocked_clients:1") != NULL;
        free(clients);
        pass_time(&f, TG_MS(1));
    }
}

Test(outage, what_is_appended_at_once_is_told_at_once)
{
    tail(&f, f.last);
    wait_blocked();
    cr_assert_eq(append_many(&f, "a", 10), 10);
    wait_many(&f);
    wait_tail(&f, 10);
    cr_assert_eq(f.n_batches, 1);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(strtol(f.seen[i].payload, NULL, 10), i);
    }
    (void)put("a", "alone");
    wait_tail(&f, 11);
    cr_assert_eq(f.n_batches, 2);
    cr_assert_eq(f.n_cuts, 0);
}

static void on_refused(enum tg_rc rc, struct tg_pos pos, void *arg)
{
    enum tg_rc *ret = arg;

    (void)pos;
    *ret = rc;
}

Test(outage, what_is_told_waits_for_no_append_that_was_refused)
{
    const struct tg_epoch other = {"another"};
    const struct tg_write bad = {.epoch = &other, .topic = TG_STR("a"), .payload = TG_STR("bad")};
    enum tg_rc rc = TG_OK;

    tail(&f, f.last);
    wait_blocked();
    cr_assert_eq(append_many(&f, "a", 1), 1);
    cr_assert_eq(tg_store_append(f.store, &bad, on_refused, &rc), TG_OK);
    wait_tail(&f, 1);
    wait_many(&f);
    (void)put("a", "next");
    wait_tail(&f, 2);
    cr_assert_eq(rc, TG_EEPOCH);
    cr_assert_str_eq(f.seen[0].payload, "0");
    cr_assert_str_eq(f.seen[1].payload, "next");
}

Test(outage, a_dead_tail_is_the_loss_of_the_store)
{
    tail(&f, f.last);
    (void)put("a", "1");
    wait_tail(&f, 1);
    (void)server(&f, "CLIENT KILL TYPE normal SKIPME yes");
    wait_up(&f, 2);
    cr_assert_eq(f.n_down, 1);
    tail(&f, f.last);
    (void)put("a", "2");
    wait_tail(&f, 1);
    cr_assert_str_eq(f.seen[0].payload, "2");
    cr_assert_eq(f.n_cuts, 0);
}

Test(outage, a_server_that_hangs_times_out)
{
    f.opts.timeout = TG_MS(200);
    fixture_reopen(&f);
    cr_assert_eq(kill((pid_t)f.server, SIGSTOP), 0);
    cr_assert_eq(append_many(&f, "a", 3), 3);
    wait_many(&f);
    cr_assert_geq(f.n_by_rc[TG_ETIMEDOUT], 1);
    cr_assert_eq(f.n_by_rc[TG_ETIMEDOUT] + f.n_by_rc[TG_ESTORE], 3);
    wait_down(&f, 1);
    cr_assert_eq(kill((pid_t)f.server, SIGCONT), 0);
    wait_up(&f, 3);
    (void)put("a", "4");
}

/* ---- scripts, policies, memory ---- */

Test(outage, flushed_scripts_are_loaded_again_in_order)
{
    tail(&f, f.last);
    for (int round = 0; round < 3; round++) {
        (void)server(&f, "SCRIPT FLUSH");
        cr_assert_eq(append_many(&f, "a", 200), 200);
        wait_many(&f);
        cr_assert_eq(f.n_by_rc[TG_OK], 200);
    }
    wait_tail(&f, 600);
    for (int i = 0; i < 600; i++) {
        cr_assert_eq(strtol(f.seen[i].payload, NULL, 10), i % 200);
    }
    cr_assert_eq(f.n_down, 0);
}

/* How often a server was told a script, by all handles. */
static long n_loaded(void)
{
    char *stats = server_text(&f, "INFO commandstats");
    const char *at = strstr(stats, "cmdstat_script|load:calls=");
    long n = at == NULL ? 0 : strtol(at + strlen("cmdstat_script|load:calls="), NULL, 10);

    free(stats);
    return n;
}

Test(outage, only_scripts_that_are_missing_are_loaded)
{
    long before = n_loaded();

    cr_assert_gt(before, 0);
    (void)server(&f, "CLIENT KILL TYPE normal SKIPME yes");
    wait_up(&f, 2);
    (void)put("a", "1");
    cr_assert_eq(n_loaded(), before);
    (void)server(&f, "SCRIPT FLUSH");
    (void)server(&f, "CLIENT KILL TYPE normal SKIPME yes");
    wait_up(&f, 3);
    (void)put("a", "2");
    cr_assert_eq(n_loaded(), 2 * before);
}

Test(outage, a_server_that_may_evict_is_not_used)
{
    fixture_close(&f);
    (void)server(&f, "CONFIG SET maxmemory-policy allkeys-lru");
    cr_assert_eq(tg_store_group_create(&f.opts, &f.group), TG_OK);
    tg_store_group_destroy(f.group);
    f.group = NULL;
    (void)server(&f, "CONFIG SET maxmemory-policy noeviction");
    fixture_open(&f);
    (void)server(&f, "CONFIG SET maxmemory-policy allkeys-lru");
    (void)server(&f, "CLIENT KILL TYPE normal SKIPME yes");
    wait_down(&f, 1);
    pass_time(&f, TG_MS(300));
    cr_assert_eq(f.n_up, 2);
    cr_assert_eq(append(&f, "a", "x"), TG_ESTORE);
    (void)server(&f, "CONFIG SET maxmemory-policy noeviction");
    wait_up(&f, 3);
}

Test(outage, a_full_server_writes_nothing_and_reads_on)
{
    struct tg_pos first = f.last;

    (void)put("a", "1");
    (void)server(&f, "CONFIG SET maxmemory 1");
    cr_assert_eq(append(&f, "a", "2"), TG_ESTOREFULL);
    cr_assert_eq(verdict("a", "", first), TG_COMPLETE);
    cr_assert_eq(f.n, 1);
    (void)server(&f, "CONFIG SET maxmemory 0");
    (void)put("a", "3");
    cr_assert_eq(verdict("a", "", first), TG_COMPLETE);
    cr_assert_eq(f.n, 2);
}

Test(outage, a_lease_of_another_gateway_is_a_conflict)
{
    (void)server(&f, "SET {test}:1:lease:feed %s PX 60000", "5 gateway-2");
    cr_assert_eq(take(&f, "feed", TG_SEC(1)), TG_ECONFLICT);
    cr_assert_str_eq(f.holder, "gateway-2");
    cr_assert_eq(f.fence, 5);
    (void)server(&f, "DEL {test}:1:lease:feed");
    cr_assert_eq(take(&f, "feed", TG_SEC(1)), TG_OK);
    cr_assert_gt(f.fence, 5);
}

Test(outage, a_page_is_cut_at_a_mebibyte)
{
    static char text[65000];
    struct tg_pos after = f.last;
    size_t n = 0;

    memset(text, 'x', sizeof(text) - 1);
    for (int i = 0; i < 40; i++) {
        (void)put("a", text);
    }
    do {
        cr_assert_eq(page(&f, "a", "", after, all, 1000), TG_OK);
        cr_assert(f.n > 0 && f.n < 20);
        n += f.n;
        after = f.seen[f.n - 1].pos;
    } while (f.has_more);
    cr_assert_eq(n, 40);
}

Test(outage, is_none_when_the_memory_ends)
{
    (void)server(&f, "CONFIG SET maxmemory 1");
    cr_assert_eq(append(&f, "a", "x"), TG_ESTOREFULL);
    /* Longer than from one heartbeat to the next. */
    pass_time(&f, TG_MS(5300));
    cr_assert_eq(f.n_down, 0);
    cr_assert_eq(f.n_up, 1);
    (void)server(&f, "CONFIG SET maxmemory 0");
    cr_assert_eq(append(&f, "a", "x"), TG_OK);
}
