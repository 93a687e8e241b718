/* test_admission.c - from a request to "may open": the cursor that counts, the device's step, and
 * what is held while it is under way. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "auth/token.h"
#include "fakes.h"
#include "handlers/admission.h"
#include "handlers/device_touch.h"
#include "handlers/quota.h"

#define PATH "/sync/v1/stream"
#define TWO PATH "?topic=table:public.a&topic=table:public.b"

struct given {
    struct fleet fleet;
    struct asked_request r;
    char *value;
    struct tg_admission *a;
    unsigned n_done;
    enum tg_rc rc;
    char why[256];
};

static void begin(struct given *g, const char *target)
{
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);
    char *claims = mint_claims("");
    char *token = mint_hs(claims);

    *g = (struct given){.value = bearer(token)};
    fleet_make(&g->fleet, 1, keys);
    g->fleet.opts.device_ttl = TG_SEC(60);
    g->fleet.opts.max_devices = 3;
    g->fleet.opts.max_device_topics = 5;
    g->fleet.opts.max_anonymous = 7;
    request_make(&g->r, TG_GET, target);
    request_field(&g->r, "Authorization", g->value);
    tg_keys_unref(keys);
    free(claims);
    free(token);
}

static void on_done(enum tg_rc rc, tg_str why, struct tg_admission *a, void *arg)
{
    struct given *g = arg;

    cr_assert_eq(a, g->a, "known before it is told");
    g->n_done++;
    g->rc = rc;
    memcpy(g->why, why.p == NULL ? "" : why.p, why.n);
}

static void admit(struct given *g)
{
    static const struct tg_admit_opts opts = {
        .needs_topic = true, .takes_place = true, .takes_last_event_id = true};

    tg_admit(tg_exchange_create(&g->fleet.workers[0], &g->r.conn, &g->r.req), &opts, on_done, g,
             &g->a);
}

static void finish(struct given *g)
{
    tg_admission_fini(g->a);
    tg_admission_fini(g->a); /* once is enough, twice is fine */
    request_drop(&g->r);
    fleet_drop(&g->fleet);
    free(g->value);
}

/* The store answers: a device with these topics. */
static void touched(enum tg_rc rc, const struct tg_device_topic *topics, size_t n)
{
    const struct tg_device d = {.topics = topics, .n_topics = n};

    touch_seen.done(rc, rc == TG_OK ? &d : NULL, touch_seen.arg);
}

static void limited(enum tg_device_limit limit)
{
    const struct tg_device d = {.limit = limit};

    touch_seen.done(TG_ELIMIT, &d, touch_seen.arg);
}

static const struct tg_device_topic acknowledged[] = {
    {.name = TG_STR_INIT("table:public.a"),
     .has_cursor = true,
     .epoch = {"e1"},
     .pos = {1700000000000, 3}},
    {.name = TG_STR_INIT("table:public.b")},
};

Test(admission, without_a_device_the_store_is_not_asked)
{
    struct given g;

    begin(&g, TWO "&snapshot=1");
    admit(&g);
    cr_assert_eq(g.n_done, 1);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert_eq(touch_seen.n, 0);
    cr_assert_eq(g.a->n_wants, 2);
    cr_assert(g.a->is_snapshot);
    cr_assert_eq(g.a->device.n, 0);
    cr_assert_not_null(g.a->token);
    finish(&g);
}

Test(admission, known_device_begins_each_topic_where_it_acknowledged_it)
{
    struct given g;

    begin(&g, TWO "&device=phone&label=My%20phone");
    admit(&g);
    cr_assert_eq(g.n_done, 0);
    cr_assert_str_eq(touch_seen.device, "phone");
    cr_assert_str_eq(touch_seen.label, "My phone");
    cr_assert_str_eq(touch_seen.user, g.a->token->user_id);
    cr_assert_eq(touch_seen.want.max_devices, 3);
    cr_assert_eq(touch_seen.want.max_topics, 5);
    cr_assert_eq(touch_seen.want.ttl, TG_SEC(60));
    cr_assert_not(touch_seen.want.must_exist);
    cr_assert_not(touch_seen.topics[0].has_cursor);
    touched(TG_OK, acknowledged, 2);
    cr_assert_eq(g.n_done, 1);
    cr_assert_eq(g.rc, TG_OK);
    cr_assert_eq(g.a->wants[0].from, TG_FROM_CURSOR);
    cr_assert_eq(g.a->wants[0].pos.seq, 3);
    cr_assert_str_eq(g.a->wants[0].epoch.text, "e1");
    cr_assert_eq(g.a->wants[1].from, TG_FROM_NOW);
    finish(&g);
}

Test(admission, cursor_of_the_client_wins_and_acknowledges)
{
    struct given g;

    begin(&g, TWO "&device=phone&cursor=e1.1800000000000-0");
    admit(&g);
    cr_assert(touch_seen.topics[0].has_cursor);
    cr_assert(touch_seen.topics[1].has_cursor);
    cr_assert_eq(touch_seen.topics[1].pos.ms, 1800000000000);
    cr_assert_str_eq(touch_seen.topics[0].epoch.text, "e1");
    touched(TG_OK, acknowledged, 2);
    cr_assert_eq(g.a->wants[0].pos.ms, 1800000000000);
    cr_assert_eq(g.a->wants[1].pos.ms, 1800000000000);
    finish(&g);
}

Test(admission, words_for_a_cursor_win_and_acknowledge_nothing)
{
    static const struct {
        const char *target;
        enum tg_from from;
    } table[] = {{TWO "&device=phone&cursor=now", TG_FROM_NOW},
                 {TWO "&device=phone&cursor=earliest", TG_FROM_EARLIEST}};

    for (size_t i = 0; i < TG_ARRAY_LEN(table); i++) {
        struct given g;

        begin(&g, table[i].target);
        admit(&g);
        cr_assert_not(touch_seen.topics[0].has_cursor);
        touched(TG_OK, acknowledged, 2);
        cr_assert_eq(g.a->wants[0].from, table[i].from);
        finish(&g);
    }
}

Test(admission, each_cap_of_devices_has_its_own_answer)
{
    static const struct {
        enum tg_device_limit limit;
        enum tg_rc rc;
    } table[] = {{TG_DEVICE_LIMIT_DEVICES, TG_EDEVICES},
                 {TG_DEVICE_LIMIT_TOPICS, TG_EDEVICETOPICS}};

    for (size_t i = 0; i < TG_ARRAY_LEN(table); i++) {
        struct given g;

        begin(&g, TWO "&device=phone");
        admit(&g);
        limited(table[i].limit);
        cr_assert_eq(g.n_done, 1);
        cr_assert_eq(g.rc, table[i].rc);
        finish(&g);
    }
}

Test(admission, store_that_is_away_is_told_as_it_is)
{
    struct given g;

    begin(&g, TWO "&device=phone");
    is_store_down = true;
    admit(&g);
    cr_assert_eq(g.n_done, 1);
    cr_assert_eq(g.rc, TG_ESTORE);
    finish(&g);
}

Test(admission, new_device_is_issued_an_id_that_differs_each_time)
{
    struct given g;
    char before[160] = "";

    for (int i = 0; i < 2; i++) {
        begin(&g, TWO "&device=new");
        admit(&g);
        cr_assert_eq(strlen(touch_seen.device), TG_DEVICE_NEW_CHARS);
        cr_assert_str_neq(touch_seen.device, before);
        memcpy(before, touch_seen.device, sizeof(before));
        touched(TG_OK, NULL, 0);
        cr_assert(g.a->is_device_new);
        cr_assert(tg_str_eq(g.a->device, tg_str_of(before)));
        finish(&g);
    }
}

Test(admission, bad_device_or_label_is_refused_before_the_store_is_asked)
{
    static const char *const targets[] = {TWO "&device=", TWO "&device=a%20b", TWO "&device=a/b",
                                          TWO "&device=%C3%A4", TWO "&device=a&label=%ff"};

    for (size_t i = 0; i < TG_ARRAY_LEN(targets); i++) {
        struct given g;

        begin(&g, targets[i]);
        admit(&g);
        cr_assert_eq(g.rc, TG_EBADPARAM, "%s", targets[i]);
        cr_assert_neq(g.why[0], '\0');
        cr_assert_eq(touch_seen.n, 0);
        finish(&g);
    }
}

Test(admission, device_id_is_up_to_128_of_its_characters)
{
    char id[130];

    memset(id, 'x', sizeof(id));
    cr_assert(tg_device_is_id(tg_str_make(id, 128)));
    cr_assert_not(tg_device_is_id(tg_str_make(id, 129)));
    cr_assert_not(tg_device_is_id(TG_STR("")));
    cr_assert(tg_device_is_id(TG_STR("AZaz09._:~-")));
    cr_assert_not(tg_device_is_id(tg_str_make("a\0b", 3)));
}

Test(admission, who_leaves_while_the_store_thinks_is_not_told)
{
    struct given g;
    struct tg_quota_place place = {0};

    begin(&g, TWO "&device=phone");
    tg_quota_destroy(g.fleet.opts.per_address);
    g.fleet.opts.per_address = tg_quota_create(1, 1);
    admit(&g);
    cr_assert_not(tg_quota_take(g.fleet.opts.per_address, 0, ADDRESS, &place));
    tg_admission_fini(g.a);
    cr_assert(tg_quota_take(g.fleet.opts.per_address, 0, ADDRESS, &place));
    touched(TG_OK, acknowledged, 2);
    cr_assert_eq(g.n_done, 0);
    finish(&g);
}

/* One poll of a device: how often the store was told of it, and whether the caller waited. */
static void poll_once(struct given *g, const char *target, unsigned n_touches, bool waits)
{
    static const struct tg_admit_opts late = {.is_touch_late = true};
    struct tg_worker *w = &g->fleet.workers[0];

    if (g->value == NULL) {
        begin(g, target);
    } else {
        request_drop(&g->r);
        request_make(&g->r, TG_GET, target);
        request_field(&g->r, "Authorization", g->value);
    }
    turn(w->loop);
    touch_seen.n = 0;
    g->n_done = 0;
    tg_admit(tg_exchange_create(w, &g->r.conn, &g->r.req), &late, on_done, g, &g->a);
    cr_assert_eq(touch_seen.n, n_touches, "%s", target);
    cr_assert_eq(g->n_done, waits ? 0 : 1, "%s", target);
    if (n_touches > 0) {
        touched(TG_OK, acknowledged, 2);
    }
    cr_assert_eq(g->n_done, 1);
    cr_assert_eq(g->rc, TG_OK);
    tg_admission_fini(g->a);
}

Test(admission, a_device_that_polls_waits_for_the_store_once)
{
    struct given g = {0};

    poll_once(&g, TWO "&device=phone&cursor=e1.1800000000000-0", 1, true);
    poll_once(&g, TWO "&device=phone&cursor=e1.1800000000000-0", 0, false);
    poll_once(&g, TWO "&device=phone&cursor=e1.1800000000001-0", 1, false);
    poll_once(&g, TWO "&device=phone&cursor=e1.1800000000001-0", 0, false);
    fake_now += TG_SEC(60);
    poll_once(&g, TWO "&device=phone&cursor=e1.1800000000001-0", 1, false);
    poll_once(&g, TWO "&device=tablet&cursor=e1.1800000000001-0", 1, true);
    poll_once(&g, TWO "&device=phone", 1, true);
    fake_now += TG_SEC(600);
    poll_once(&g, TWO "&device=phone&cursor=e1.1800000000001-0", 1, true);
    finish(&g);
}

Test(admission, a_device_that_polls_is_served_while_the_store_is_away)
{
    struct given g = {0};

    poll_once(&g, TWO "&device=phone&cursor=e1.1800000000000-0", 1, true);
    is_store_down = true;
    poll_once(&g, TWO "&device=phone&cursor=e1.1800000000005-0", 0, false);
    finish(&g);
}

Test(admission, who_is_nobody_reads_public_topics_only)
{
    static const struct tg_declared items[] = {
        {.name = TG_STR_INIT("news"), .key_type = TG_KEY_TEXT, .is_public = true},
        {.name = TG_STR_INIT("club"), .key_type = TG_KEY_TEXT, .is_public = false}};
    static const struct tg_declared_list declared = {items, 2};
    const struct tg_handler_opts o = {.declared = &declared};
    const struct tg_token user = {.has_user = true};
    struct tg_topic_name name = {0};
    const char *why = NULL;

    cr_assert_eq(tg_admission_topic(&o, NULL, TG_STR("news:a"), &name, &why), TG_OK);
    tg_topic_fini(&name);
    cr_assert_eq(tg_admission_topic(&o, NULL, TG_STR("club:a"), &name, &why), TG_ENOTOKEN);
    cr_assert_eq(tg_admission_topic(&o, NULL, TG_STR("table:public.a"), &name, &why), TG_ENOTOKEN);
    cr_assert_eq(tg_admission_topic(&o, &user, TG_STR("club:a"), &name, &why), TG_OK);
    tg_topic_fini(&name);
}
