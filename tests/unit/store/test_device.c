/* test_device.c - what device.h promises, asked of both backends. */
#include <stdio.h>

#define SUITE device
#include "store/both.h"
#include "store/devices.h"

static struct said said;
static struct asking a;

static void device_of(const char *user, const char *device)
{
    ask_for(&a, &f, &said, user, device);
}

static const char *text_of(struct tg_pos pos)
{
    static char text[TG_CURSOR_MAX + 1];

    (void)tg_cursor_format(&f.epoch, pos, text);
    return text;
}

static void holds(const char *topic, const char *cursor, enum tg_ack ack)
{
    const struct seen_topic *t = topic_of(&said, topic);

    cr_assert(t != NULL, "it does not have %s", topic);
    cr_assert_str_eq(t->cursor, cursor);
    cr_assert_eq(t->ack, ack);
}

/* ---- registering ---- */

BOTH(the_first_touch_makes_a_device)
{
    device_of("u1", "phone");
    a.want.label = TG_STR("my phone");
    with_topic(&a, "b:x=1");
    with_topic(&a, "a");
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert(said.device.is_new);
    cr_assert_str_eq(said.device.id, "phone");
    cr_assert_str_eq(said.device.label, "my phone");
    cr_assert_eq(said.device.n_topics, 2);
    cr_assert_str_eq(said.device.topics[0].name, "b:x=1");
    cr_assert_str_eq(said.device.topics[1].name, "a");
    holds("a", "", TG_ACK_NONE);
    cr_assert_gt(said.device.created_ms, 1600000000000);
    cr_assert_eq(said.device.seen_ms, said.device.created_ms);
    cr_assert_geq(said.device.expires_ms, said.device.seen_ms + 3599000);
}

BOTH(a_touch_adds_topics_and_keeps_the_rest)
{
    uint64_t created_ms = 0;

    device_of("u1", "phone");
    a.want.label = TG_STR("label");
    with_topic(&a, "a");
    cr_assert_eq(touch(&a), TG_OK);
    created_ms = said.device.created_ms;
    pass_time(&f, TG_MS(5));
    device_of("u1", "phone");
    with_topic(&a, "c");
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert_not(said.device.is_new);
    cr_assert_str_eq(said.device.label, "label");
    cr_assert_eq(said.device.created_ms, created_ms);
    cr_assert_gt(said.device.seen_ms, created_ms);
    cr_assert_eq(said.device.n_topics, 2);
    cr_assert_str_eq(said.device.topics[0].name, "c", "those that were asked for come first");
    device_of("u1", "phone");
    a.want.label = TG_STR("");
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert_str_eq(said.device.label, "");
    cr_assert_eq(said.device.n_topics, 2);
}

BOTH(a_device_id_of_two_users_is_two_devices)
{
    device_of("u1", "phone");
    with_topic(&a, "a");
    cr_assert_eq(touch(&a), TG_OK);
    device_of("u2", "phone");
    cr_assert_eq(get(&a), TG_ENOTFOUND);
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert(said.device.is_new);
    cr_assert_eq(said.device.n_topics, 0);
    cr_assert_eq(forget(&a), TG_OK);
    device_of("u1", "phone");
    cr_assert_eq(get(&a), TG_OK);
    cr_assert_eq(said.device.n_topics, 1);
}

BOTH(parts_of_names_do_not_run_together)
{
    device_of("u:1", "2");
    cr_assert_eq(touch(&a), TG_OK);
    device_of("u", "1:2");
    cr_assert_eq(get(&a), TG_ENOTFOUND);
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert_str_eq(said.device.id, "1:2");
    device_of("u", "{x}% \x01");
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert_eq(list(&a, 10), TG_OK);
    cr_assert_eq(said.n_listed, 2);
    cr_assert_eq(forget(&a), TG_OK);
    cr_assert_eq(get(&a), TG_ENOTFOUND);
}

BOTH(a_device_that_must_exist_is_not_made)
{
    device_of("u1", "phone");
    a.want.must_exist = true;
    cr_assert_eq(touch(&a), TG_ENOTFOUND);
    cr_assert_eq(get(&a), TG_ENOTFOUND);
    a.want.must_exist = false;
    cr_assert_eq(touch(&a), TG_OK);
    a.want.must_exist = true;
    cr_assert_eq(touch(&a), TG_OK);
}

BOTH(names_that_are_too_long_or_empty_are_refused)
{
    static char text[TG_NAME_MAX + 2];

    memset(text, 'x', sizeof(text) - 1);
    device_of("", "phone");
    cr_assert_eq(touch(&a), TG_EBADPARAM);
    cr_assert_eq(list(&a, 10), TG_EBADPARAM);
    device_of("u1", "");
    cr_assert_eq(touch(&a), TG_EBADPARAM);
    cr_assert_eq(ack(&a), TG_EBADPARAM);
    cr_assert_eq(get(&a), TG_EBADPARAM);
    cr_assert_eq(forget(&a), TG_EBADPARAM);
    device_of("u1", "phone");
    cr_assert_eq(list(&a, 0), TG_EBADPARAM);
    with_topic(&a, text);
    cr_assert_eq(touch(&a), TG_EBADPARAM);
    device_of("u1", "phone");
    a.want.label = tg_str_make(text, TG_LABEL_MAX + 1);
    cr_assert_eq(touch(&a), TG_EBADPARAM);
    device_of("u1", "phone");
    for (int i = 0; i <= TG_DEVICE_TOPICS_MAX; i++) {
        with_topic(&a, "a");
    }
    cr_assert_eq(touch(&a), TG_EBADPARAM);
}

/* ---- caps ---- */

BOTH(a_user_has_so_many_devices)
{
    char id[16];

    for (int i = 0; i < 3; i++) {
        (void)snprintf(id, sizeof(id), "d%d", i);
        device_of("u1", id);
        a.want.max_devices = 3;
        cr_assert_eq(touch(&a), TG_OK);
    }
    device_of("u1", "d3");
    a.want.max_devices = 3;
    cr_assert_eq(touch(&a), TG_ELIMIT);
    cr_assert_eq(said.device.limit, TG_DEVICE_LIMIT_DEVICES);
    cr_assert_eq(get(&a), TG_ENOTFOUND);
    /* Those that are there go on, and other users have their own. */
    device_of("u1", "d0");
    a.want.max_devices = 1;
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert_eq(forget(&a), TG_OK);
    device_of("u2", "d3");
    a.want.max_devices = 1;
    cr_assert_eq(touch(&a), TG_OK);
    device_of("u1", "d3");
    a.want.max_devices = 3;
    cr_assert_eq(touch(&a), TG_OK);
}

BOTH(devices_that_expired_do_not_count)
{
    device_of("u1", "d0");
    a.want.ttl = TG_MS(20);
    with_topic(&a, "a");
    cr_assert_eq(touch(&a), TG_OK);
    pass_time(&f, TG_MS(40));
    cr_assert_eq(get(&a), TG_ENOTFOUND);
    cr_assert_eq(ack(&a), TG_ENOTFOUND);
    cr_assert_eq(list(&a, 10), TG_OK);
    cr_assert_eq(said.n_listed, 0);
    cr_assert_eq(said.n_all, 0);
    device_of("u1", "d1");
    a.want.max_devices = 1;
    cr_assert_eq(touch(&a), TG_OK);
}

BOTH(a_touch_and_an_ack_lengthen_the_life)
{
    device_of("u1", "d0");
    a.want.ttl = TG_MS(100);
    cr_assert_eq(touch(&a), TG_OK);
    for (int i = 0; i < 4; i++) {
        pass_time(&f, TG_MS(60));
        cr_assert_eq(i % 2 == 0 ? ack(&a) : touch(&a), TG_OK);
    }
    /* A read does not. */
    pass_time(&f, TG_MS(60));
    cr_assert_eq(get(&a), TG_OK);
    pass_time(&f, TG_MS(60));
    cr_assert_eq(get(&a), TG_ENOTFOUND);
}

BOTH(a_device_has_so_many_topics)
{
    device_of("u1", "phone");
    a.want.max_topics = 2;
    with_topic(&a, "a");
    with_topic(&a, "b");
    with_topic(&a, "c");
    cr_assert_eq(touch(&a), TG_ELIMIT);
    cr_assert_eq(said.device.limit, TG_DEVICE_LIMIT_TOPICS);
    cr_assert_eq(get(&a), TG_ENOTFOUND);
    a.want.n_topics = 2;
    cr_assert_eq(touch(&a), TG_OK);
    device_of("u1", "phone");
    a.want.max_topics = 2;
    with_topic(&a, "c");
    cr_assert_eq(touch(&a), TG_ELIMIT);
    /* What it has it keeps, also under a cap that came down. */
    device_of("u1", "phone");
    a.want.max_topics = 1;
    with_topic(&a, "b");
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert_eq(said.device.n_topics, 2);
    /* One leaves, another one may come. */
    cr_assert_eq(ack(&a), TG_OK);
    cr_assert_eq(said.acks[0], TG_ACK_NONE);
    device_of("u1", "phone");
    a.want.max_topics = 2;
    with_topic(&a, "c");
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert_null(topic_of(&said, "b"));
}

BOTH(a_device_may_have_all_the_topics_there_can_be)
{
    static char names[TG_DEVICE_TOPICS_MAX][16];

    device_of("u1", "phone");
    a.want.max_topics = 1000; /* no more than TG_DEVICE_TOPICS_MAX all the same */
    for (int i = 0; i < TG_DEVICE_TOPICS_MAX; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "t%d", i);
        with_cursor(&a, names[i], f.last);
    }
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert_eq(said.device.n_topics, TG_DEVICE_TOPICS_MAX);
    cr_assert_eq(get(&a), TG_OK);
    cr_assert_eq(said.device.n_topics, TG_DEVICE_TOPICS_MAX);
    cr_assert_eq(ack(&a), TG_OK);
    cr_assert_eq(said.n_acks, TG_DEVICE_TOPICS_MAX);
    device_of("u1", "phone");
    a.want.max_topics = 1000;
    with_topic(&a, "more");
    cr_assert_eq(touch(&a), TG_ELIMIT);
}

/* ---- acknowledging ---- */

BOTH(acknowledged_cursors_only_move_forward)
{
    struct tg_pos first = {0};

    cr_assert_eq(append(&f, "a", "1"), TG_OK);
    first = f.pos;
    cr_assert_eq(append(&f, "a", "2"), TG_OK);
    device_of("u1", "phone");
    with_cursor(&a, "a", first);
    with_topic(&a, "b");
    cr_assert_eq(touch(&a), TG_OK);
    holds("a", text_of(first), TG_ACK_OK);
    holds("b", "", TG_ACK_NONE);
    device_of("u1", "phone");
    with_cursor(&a, "a", f.pos);
    cr_assert_eq(ack(&a), TG_OK);
    cr_assert_eq(said.n_acks, 1);
    cr_assert_eq(said.acks[0], TG_ACK_OK);
    device_of("u1", "phone");
    with_cursor(&a, "a", first);
    cr_assert_eq(ack(&a), TG_OK);
    cr_assert_eq(said.acks[0], TG_ACK_OK);
    cr_assert_eq(touch(&a), TG_OK);
    holds("a", text_of(f.pos), TG_ACK_OK);
    cr_assert_eq(get(&a), TG_OK);
    holds("a", text_of(f.pos), TG_ACK_NONE);
    holds("b", "", TG_ACK_NONE);
}

BOTH(a_cursor_beyond_the_log_is_not_taken)
{
    struct tg_pos ahead = {0};

    cr_assert_eq(append(&f, "a", "1"), TG_OK);
    ahead = (struct tg_pos){f.pos.ms, f.pos.seq + 1};
    device_of("u1", "phone");
    with_cursor(&a, "a", ahead);
    with_cursor(&a, "b", f.pos);
    cr_assert_eq(touch(&a), TG_OK);
    holds("a", "", TG_ACK_AHEAD);
    holds("b", text_of(f.pos), TG_ACK_OK);
    cr_assert_eq(ack(&a), TG_OK);
    cr_assert_eq(said.acks[0], TG_ACK_AHEAD);
    cr_assert_eq(said.acks[1], TG_ACK_OK);
    ahead = (struct tg_pos){UINT64_MAX, UINT64_MAX};
    device_of("u1", "phone");
    with_cursor(&a, "b", ahead);
    cr_assert_eq(ack(&a), TG_OK);
    cr_assert_eq(said.acks[0], TG_ACK_AHEAD);
    cr_assert_eq(get(&a), TG_OK);
    holds("b", text_of(f.pos), TG_ACK_NONE);
}

BOTH(a_cursor_of_another_log_is_not_taken)
{
    struct tg_epoch mine = f.epoch;

    device_of("u1", "phone");
    with_cursor(&a, "a", f.last);
    cr_assert_eq(touch(&a), TG_OK);
    f.epoch = (struct tg_epoch){.text = "another"};
    device_of("u1", "phone");
    with_cursor(&a, "a", f.last);
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert_eq(said.device.topics[0].ack, TG_ACK_EPOCH);
    cr_assert_eq(ack(&a), TG_OK);
    cr_assert_eq(said.acks[0], TG_ACK_EPOCH);
    f.epoch = mine;
    cr_assert_eq(get(&a), TG_OK);
    holds("a", text_of(f.last), TG_ACK_NONE);
}

BOTH(only_topics_of_the_device_are_acknowledged)
{
    device_of("u1", "phone");
    with_cursor(&a, "a", f.last);
    cr_assert_eq(ack(&a), TG_ENOTFOUND);
    cr_assert_eq(get(&a), TG_ENOTFOUND);
    cr_assert_eq(touch(&a), TG_OK);
    device_of("u1", "phone");
    with_cursor(&a, "b", f.last);
    with_cursor(&a, "a", f.last);
    with_topic(&a, "a");
    with_cursor(&a, "a", f.last);
    cr_assert_eq(ack(&a), TG_OK);
    cr_assert_eq(said.n_acks, 4);
    cr_assert_eq(said.acks[0], TG_ACK_UNKNOWN);
    cr_assert_eq(said.acks[1], TG_ACK_OK);
    cr_assert_eq(said.acks[2], TG_ACK_NONE);
    cr_assert_eq(said.acks[3], TG_ACK_UNKNOWN, "it has left the device");
    cr_assert_eq(get(&a), TG_OK);
    cr_assert_eq(said.device.n_topics, 0);
}

/* ---- listing and deleting ---- */

BOTH(devices_are_listed_by_when_they_were_seen)
{
    const char *ids[] = {"a", "b", "c", "d"};

    for (size_t i = 0; i < TG_ARRAY_LEN(ids); i++) {
        device_of("u1", ids[i]);
        a.want.label = tg_str_of(ids[i]);
        with_topic(&a, "x");
        with_topic(&a, "y");
        cr_assert_eq(touch(&a), TG_OK);
        pass_time(&f, TG_MS(3));
    }
    device_of("u1", "b");
    cr_assert_eq(ack(&a), TG_OK);
    cr_assert_eq(list(&a, 3), TG_OK);
    cr_assert_eq(said.n_all, 4);
    cr_assert_eq(said.n_listed, 3);
    cr_assert_str_eq(said.listed[0].id, "b");
    cr_assert_str_eq(said.listed[1].id, "d");
    cr_assert_str_eq(said.listed[2].id, "c");
    cr_assert_str_eq(said.listed[1].label, "d");
    cr_assert_eq(said.listed[1].n_topics, 2);
    cr_assert_gt(said.listed[0].seen_ms, said.listed[1].seen_ms);
    cr_assert_gt(said.listed[0].expires_ms, said.listed[0].seen_ms);
    device_of("u2", "b");
    cr_assert_eq(list(&a, 3), TG_OK);
    cr_assert_eq(said.n_listed, 0);
}

BOTH(a_deleted_device_is_gone_and_begins_anew)
{
    device_of("u1", "phone");
    with_cursor(&a, "a", f.last);
    cr_assert_eq(forget(&a), TG_ENOTFOUND);
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert_eq(forget(&a), TG_OK);
    cr_assert_eq(forget(&a), TG_ENOTFOUND);
    cr_assert_eq(get(&a), TG_ENOTFOUND);
    cr_assert_eq(list(&a, 3), TG_OK);
    cr_assert_eq(said.n_all, 0);
    a.want.n_topics = 0;
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert(said.device.is_new);
    cr_assert_eq(said.device.n_topics, 0);
}

/* ---- the log goes away ---- */

ON_REDIS(an_acknowledged_cursor_of_a_log_that_is_gone_is_replaced)
{
    struct tg_epoch old = f.epoch;
    char before[TG_CURSOR_MAX + 1];

    device_of("u1", "phone");
    with_cursor(&a, "a", f.last);
    cr_assert_eq(touch(&a), TG_OK);
    (void)tg_cursor_format(&f.epoch, f.last, before);
    (void)server(&f, "DEL {test}:1:log {test}:1:epoch");
    cr_assert_eq(append(&f, "a", "x"), TG_EEPOCH);
    /* Nobody has begun another one yet: no cursor can be of it. */
    wait_up(&f, 2);
    cr_assert_str_neq(f.epoch.text, old.text);
    cr_assert_eq(get(&a), TG_OK);
    holds("a", before, TG_ACK_NONE);
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert_eq(said.device.topics[0].ack, TG_ACK_EPOCH);
    device_of("u1", "phone");
    with_cursor(&a, "a", f.last);
    cr_assert_eq(ack(&a), TG_OK);
    cr_assert_eq(said.acks[0], TG_ACK_OK);
    cr_assert_eq(get(&a), TG_OK);
    holds("a", text_of(f.last), TG_ACK_NONE);
}

ON_REDIS(devices_end_with_the_server_and_register_anew)
{
    device_of("u1", "phone");
    with_cursor(&a, "a", f.last);
    cr_assert_eq(touch(&a), TG_OK);
    server_kill(&f);
    wait_down(&f, 1);
    cr_assert_eq(touch(&a), TG_ESTORE);
    cr_assert_eq(ack(&a), TG_ESTORE);
    cr_assert_eq(get(&a), TG_ESTORE);
    cr_assert_eq(list(&a, 1), TG_ESTORE);
    cr_assert_eq(forget(&a), TG_ESTORE);
    server_start(&f);
    wait_up(&f, 2);
    cr_assert_eq(ack(&a), TG_ENOTFOUND);
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert(said.device.is_new);
    cr_assert_eq(said.device.topics[0].ack, TG_ACK_EPOCH);
}

/* ---- the memory ends ---- */

ON_MEMORY(devices_end_with_the_memory)
{
    char id[16];
    int n = 0;

    f.opts.max_bytes = 100000;
    fixture_reopen(&f);
    for (enum tg_rc rc = TG_OK; rc == TG_OK; n++) {
        (void)snprintf(id, sizeof(id), "d%d", n);
        device_of("u1", id);
        a.want.max_devices = 1000;
        with_topic(&a, "a");
        rc = touch(&a);
        cr_assert(rc == TG_OK || rc == TG_ESTOREFULL);
    }
    cr_assert(n > 20 && n < 200, "%d", n);
    cr_assert_eq(get(&a), TG_ENOTFOUND);
    /* Those that are there go on, but have no more topics. */
    device_of("u1", "d0");
    with_cursor(&a, "a", f.last);
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert_eq(ack(&a), TG_OK);
    with_topic(&a, "b");
    cr_assert_eq(touch(&a), TG_ESTOREFULL);
    cr_assert_eq(forget(&a), TG_OK);
    cr_assert_eq(touch(&a), TG_OK);
}

/* ---- what Redis holds ---- */

ON_REDIS(every_key_of_a_device_expires)
{
    device_of("u1", "phone");
    with_topic(&a, "a");
    cr_assert_eq(touch(&a), TG_OK);
    a.want.ttl = TG_SEC(60);
    a.want.device = TG_STR("watch");
    cr_assert_eq(touch(&a), TG_OK);
    cr_assert_gt(server(&f, "PTTL {test}:1:d:u1:phone"), 3500000);
    cr_assert_leq(server(&f, "PTTL {test}:1:d:u1:watch"), 60000);
    cr_assert_gt(server(&f, "PTTL {test}:1:u:u1"), 3500000, "as long as the longest");
    cr_assert_eq(server(&f, "ZCARD {test}:1:u:u1"), 2);
}

ON_REDIS(without_memory_nothing_is_registered)
{
    device_of("u1", "phone");
    with_topic(&a, "a");
    cr_assert_eq(touch(&a), TG_OK);
    (void)server(&f, "CONFIG SET maxmemory 1");
    a.want.device = TG_STR("watch");
    cr_assert_eq(touch(&a), TG_ESTOREFULL);
    cr_assert_eq(get(&a), TG_ENOTFOUND);
    a.want.device = TG_STR("phone");
    cr_assert_eq(ack(&a), TG_ESTOREFULL);
    cr_assert_eq(list(&a, 10), TG_OK);
    cr_assert_eq(said.n_listed, 1);
    cr_assert_eq(get(&a), TG_OK);
    cr_assert_eq(said.device.n_topics, 1);
    cr_assert_eq(forget(&a), TG_OK);
}
