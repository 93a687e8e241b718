/* test_keys.c - what happens once, asked of both backends. */
#include <stdio.h>

#define SUITE keys
#include "store/both.h"

static size_t count(const char *topic)
{
    cr_assert_eq(page(&f, topic, "", begin, all, 100), TG_OK);
    return f.n;
}

/* ---- once ---- */

BOTH(a_key_is_used_once)
{
    cr_assert_eq(once(&f, "a", TG_SEC(60)), TG_OK);
    cr_assert_eq(once(&f, "a", TG_SEC(60)), TG_ECONFLICT);
    cr_assert_eq(once(&f, "b", TG_SEC(60)), TG_OK);
    cr_assert_eq(once(&f, "b", TG_MS(1)), TG_ECONFLICT);
}

BOTH(a_key_that_expired_may_be_used_again)
{
    cr_assert_eq(once(&f, "long", TG_SEC(60)), TG_OK);
    cr_assert_eq(once(&f, "short", TG_MS(10)), TG_OK);
    pass_time(&f, TG_MS(30));
    cr_assert_eq(once(&f, "short", TG_SEC(60)), TG_OK);
    cr_assert_eq(once(&f, "short", TG_SEC(60)), TG_ECONFLICT);
    cr_assert_eq(once(&f, "long", TG_SEC(60)), TG_ECONFLICT);
}

BOTH(keys_have_a_length_and_a_life)
{
    static char text[TG_ONCE_MAX + 2];

    memset(text, 'x', sizeof(text) - 1);
    cr_assert_eq(once(&f, "", TG_SEC(60)), TG_EBADPARAM);
    cr_assert_eq(once(&f, text, TG_SEC(60)), TG_EBADPARAM);
    cr_assert_eq(once(&f, "a", 0), TG_EBADPARAM);
    cr_assert_eq(once(&f, "a", TG_ONCE_TTL_MAX + 1), TG_EBADPARAM);
    cr_assert_eq(append_once(&f, "t", "x", text, TG_SEC(60)), TG_EBADPARAM);
    cr_assert_eq(append_once(&f, "t", "x", "a", 0), TG_EBADPARAM);
    text[TG_ONCE_MAX] = '\0';
    cr_assert_eq(once(&f, text, TG_ONCE_TTL_MAX), TG_OK);
}

/* ---- events that are written once ---- */

BOTH(an_event_with_a_used_key_is_not_written_again)
{
    struct tg_pos first = {0};

    cr_assert_eq(append_once(&f, "t", "one", "key", TG_SEC(60)), TG_OK);
    first = f.pos;
    cr_assert_eq(append(&f, "t", "two"), TG_OK);
    cr_assert_eq(append_once(&f, "t", "three", "key", TG_SEC(60)), TG_ECONFLICT);
    POS_EQ(f.pos, first);
    cr_assert_eq(count("t"), 2);
    cr_assert_str_eq(f.seen[0].payload, "one");
    cr_assert_str_eq(f.seen[1].payload, "two");
}

BOTH(a_key_belongs_to_its_topic)
{
    cr_assert_eq(append_once(&f, "t", "one", "key", TG_SEC(60)), TG_OK);
    cr_assert_eq(append_once(&f, "u", "one", "key", TG_SEC(60)), TG_OK);
    cr_assert_eq(append_once(&f, "a:b", "one", "c", TG_SEC(60)), TG_OK);
    cr_assert_eq(append_once(&f, "a", "one", "b:c", TG_SEC(60)), TG_OK);
    cr_assert_eq(once(&f, "key", TG_SEC(60)), TG_OK);
    cr_assert_eq(once(&f, "t:key", TG_SEC(60)), TG_OK);
    cr_assert_eq(count("t"), 1);
    cr_assert_eq(count("u"), 1);
}

BOTH(a_key_of_an_event_expires)
{
    cr_assert_eq(append_once(&f, "t", "one", "key", TG_MS(10)), TG_OK);
    pass_time(&f, TG_MS(30));
    cr_assert_eq(append_once(&f, "t", "two", "key", TG_SEC(60)), TG_OK);
    cr_assert_eq(append_once(&f, "t", "three", "key", TG_SEC(60)), TG_ECONFLICT);
    cr_assert_eq(count("t"), 2);
}

BOTH(an_event_that_was_refused_has_not_used_its_key)
{
    struct tg_epoch mine = f.epoch;

    f.epoch = (struct tg_epoch){.text = "another"};
    cr_assert_eq(append_once(&f, "t", "one", "key", TG_SEC(60)), TG_EEPOCH);
    f.epoch = mine;
    cr_assert_eq(append_once(&f, "t", "two", "key", TG_SEC(60)), TG_OK);
    cr_assert_eq(count("t"), 1);
}

/* ---- the deny list ---- */

static struct {
    size_t n;
    struct tg_denied list[8];
    char keys[8][32];
} denied;

static bool is_done(struct fixture *fixture)
{
    return fixture->is_done;
}

static void finish(enum tg_rc rc)
{
    f.rc = rc;
    f.is_done = true;
    tg_loop_stop(f.loop);
}

static void on_plain(enum tg_rc rc, void *arg)
{
    (void)arg;
    finish(rc);
}

static void on_denied(enum tg_rc rc, const struct tg_denied *list, size_t n, void *arg)
{
    (void)arg;
    denied.n = n;
    for (size_t i = 0; i < n && i < TG_ARRAY_LEN(denied.list); i++) {
        denied.list[i].until_sec = list[i].until_sec;
        (void)snprintf(denied.keys[i], sizeof(denied.keys[i]), "%.*s", TG_STR_ARG(list[i].key));
    }
    finish(rc);
}

static enum tg_rc deny(const char *key, int64_t until_sec)
{
    enum tg_rc rc = TG_OK;

    f.is_done = false;
    rc = tg_store_deny(f.store, tg_str_of(key), until_sec, on_plain, NULL);
    if (rc != TG_OK) {
        return rc;
    }
    run_until(&f, is_done);
    return f.rc;
}

static size_t n_denied(void)
{
    f.is_done = false;
    cr_assert_eq(tg_store_denied(f.store, on_denied, NULL), TG_OK);
    run_until(&f, is_done);
    cr_assert_eq(f.rc, TG_OK);
    return denied.n;
}

static int64_t now_sec(void)
{
    return (int64_t)(tg_clock_wall_us() / 1000000);
}

BOTH(what_is_denied_is_listed_until_then)
{
    int64_t now = now_sec();

    cr_assert_eq(n_denied(), 0);
    cr_assert_eq(deny("late", now + 1000), TG_OK);
    cr_assert_eq(deny("soon", now + 500), TG_OK);
    cr_assert_eq(deny("past", now - 1), TG_OK);
    cr_assert_eq(deny("at once", now + 1), TG_OK);
    pass_time(&f, TG_MS(1200));
    cr_assert_eq(n_denied(), 2);
    cr_assert_str_eq(denied.keys[0], "soon");
    cr_assert_str_eq(denied.keys[1], "late");
    cr_assert_eq(denied.list[1].until_sec, now + 1000);
}

BOTH(the_later_end_counts)
{
    int64_t now = now_sec();

    cr_assert_eq(deny("key", now + 500), TG_OK);
    cr_assert_eq(deny("key", now + 1000), TG_OK);
    cr_assert_eq(deny("key", now + 700), TG_OK);
    cr_assert_eq(n_denied(), 1);
    cr_assert_eq(denied.list[0].until_sec, now + 1000);
    cr_assert_eq(deny("", now + 700), TG_EBADPARAM);
    cr_assert_eq(deny("key", TG_DENY_UNTIL_MAX), TG_EBADPARAM);
    cr_assert_eq(deny("key", -1), TG_EBADPARAM);
}

BOTH(the_deny_list_has_an_end)
{
    int64_t until = now_sec() + 1000;
    char key[16];

    for (int i = 0; i < TG_DENIED_MAX; i++) {
        (void)snprintf(key, sizeof(key), "k%d", i);
        cr_assert_eq(deny(key, until), TG_OK);
    }
    cr_assert_eq(deny("more", until), TG_EFULL);
    cr_assert_eq(deny("k7", until + 1), TG_OK);
    cr_assert_eq(n_denied(), TG_DENIED_MAX);
}

ON_REDIS(the_deny_list_ends_with_its_last_entry)
{
    int64_t now = now_sec();

    cr_assert_eq(deny("a", now + 1000), TG_OK);
    cr_assert_eq(deny("b", now + 10), TG_OK);
    cr_assert_gt(server(&f, "TTL {test}:1:deny"), 900);
    cr_assert_leq(server(&f, "TTL {test}:1:deny"), 1000);
}

/* ---- the log goes away, the memory ends ---- */

ON_REDIS(a_key_of_a_log_that_is_gone_is_free)
{
    cr_assert_eq(append_once(&f, "t", "one", "key", TG_SEC(60)), TG_OK);
    cr_assert_gt(server(&f, "PTTL {test}:1:o:t:key"), 0);
    (void)server(&f, "DEL {test}:1:log {test}:1:epoch {test}:1:t:t");
    cr_assert_eq(append(&f, "t", "x"), TG_EEPOCH);
    wait_up(&f, 2);
    cr_assert_eq(append_once(&f, "t", "one", "key", TG_SEC(60)), TG_OK);
    cr_assert_eq(append_once(&f, "t", "one", "key", TG_SEC(60)), TG_ECONFLICT);
}

ON_MEMORY(keys_end_with_the_memory)
{
    char key[16];
    int n = 0;

    f.opts.max_bytes = 100000;
    fixture_reopen(&f);
    for (enum tg_rc rc = TG_OK; rc == TG_OK; n++) {
        (void)snprintf(key, sizeof(key), "k%d", n);
        rc = once(&f, key, TG_SEC(60));
        cr_assert(rc == TG_OK || rc == TG_ESTOREFULL);
    }
    cr_assert(n > 50 && n < 500, "%d", n);
    cr_assert_eq(append_once(&f, "t", "x", "key", TG_SEC(60)), TG_ESTOREFULL);
    cr_assert_eq(append(&f, "t", "x"), TG_OK);
    cr_assert_eq(once(&f, "k0", TG_SEC(60)), TG_ECONFLICT);
}

ON_REDIS(without_memory_no_key_is_used)
{
    (void)server(&f, "CONFIG SET maxmemory 1");
    cr_assert_eq(once(&f, "a", TG_SEC(60)), TG_ESTOREFULL);
    cr_assert_eq(append_once(&f, "t", "one", "key", TG_SEC(60)), TG_ESTOREFULL);
    (void)server(&f, "CONFIG SET maxmemory 0");
    cr_assert_eq(once(&f, "a", TG_SEC(60)), TG_OK);
    cr_assert_eq(append_once(&f, "t", "one", "key", TG_SEC(60)), TG_OK);
}
