/* test_client.c - which open streams of a worker are meant by a device, a session, a user. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "auth/jwks.h"
#include "auth/mint.h"
#include "auth/token.h"
#include "fakes.h"
#include "handlers/admission.h"
#include "handlers/client.h"
#include "handlers/quota.h"

#define ANN "0000000000000000000000000000000a"
#define BOB "0000000000000000000000000000000b"

enum { MANY = 1000 };

struct given {
    struct fleet fleet;
    struct tg_worker *w;
    struct asked_request r;
    struct tg_exchange *x;
};

static void begin(struct given *g)
{
    struct tg_keys *keys = mint_keys(NULL, NULL, TG_ALG_NONE);

    *g = (struct given){0};
    fleet_make(&g->fleet, 1, keys);
    g->w = &g->fleet.workers[0];
    request_make(&g->r, TG_GET, "/sync/v1/stream");
    g->x = tg_exchange_create(g->w, &g->r.conn, &g->r.req);
    tg_keys_unref(keys);
}

static void finish(struct given *g)
{
    request_drop(&g->r);
    fleet_drop(&g->fleet); /* asserts that the tables are empty */
}

static struct tg_token token_of(const char *user, const char *session)
{
    struct tg_token t = {.session_id = tg_str_of(session), .text = TG_STR("jwt"), .has_user = true};

    memcpy(t.user_id, user, TG_CLASS_ID_CHARS);
    memcpy(t.class_id, user, TG_CLASS_ID_CHARS);
    return t;
}

/* `user` NULL: nobody. */
static void join(struct given *g, struct tg_client *c, const char *user, const char *session,
                 const char *device)
{
    static const struct tg_sink_ops ops = {0};
    struct tg_token token = token_of(user == NULL ? ANN : user, session);
    struct tg_admission a = {.x = g->x,
                             .token = user == NULL ? NULL : &token,
                             .user = tg_admission_stream_user(user == NULL ? NULL : &token),
                             .device = tg_str_of(device)};

    *c = (struct tg_client){0};
    cr_assert_eq(tg_client_open(c, &a, &ops, NULL, false), TG_OK);
}

static size_t of_device(struct given *g, const char *user, const char *device)
{
    return tg_clients_of_device(g->w, tg_str_of(user), tg_str_of(device));
}

Test(client, two_streams_of_one_device_are_both_found_and_ended)
{
    struct given g;
    struct tg_client c[3];

    begin(&g);
    join(&g, &c[0], ANN, "s1", "phone");
    join(&g, &c[1], ANN, "s1", "phone");
    join(&g, &c[2], ANN, "s1", "tablet");
    cr_assert_eq(of_device(&g, ANN, "phone"), 2);
    cr_assert_eq(tg_clients_end_device(g.w, TG_STR(ANN), TG_STR("phone"), "device_deleted"), 2);
    cr_assert_eq(stream_seen.n_ended, 2);
    cr_assert_str_eq(stream_seen.why, "device_deleted");
    tg_client_leave(g.w, &c[0]);
    tg_client_leave(g.w, &c[1]);
    cr_assert_eq(of_device(&g, ANN, "phone"), 0);
    cr_assert_eq(of_device(&g, ANN, "tablet"), 1);
    tg_client_leave(g.w, &c[2]);
    finish(&g);
}

Test(client, same_device_of_another_user_is_another_device)
{
    struct given g;
    struct tg_client c[3];

    begin(&g);
    join(&g, &c[0], ANN, "s1", "phone");
    join(&g, &c[1], BOB, "s1", "phone");
    join(&g, &c[2], NULL, "", "phone");
    cr_assert_eq(of_device(&g, ANN, "phone"), 1);
    cr_assert_eq(of_device(&g, BOB, "phone"), 1);
    cr_assert_eq(of_device(&g, "anon", "phone"), 1);
    cr_assert_eq(tg_clients_end_device(g.w, TG_STR("anon"), TG_STR("phone"), "x"), 1);
    for (size_t i = 0; i < TG_ARRAY_LEN(c); i++) {
        tg_client_leave(g.w, &c[i]);
    }
    finish(&g);
}

Test(client, key_that_collides_does_not_touch_a_stranger)
{
    struct given g;
    struct tg_client c;

    begin(&g);
    join(&g, &c, ANN, "s1", "phone");
    c.user_key ^= 1; /* as if the hash of (user, device) were the same by chance */
    cr_assert_eq(of_device(&g, ANN, "phone"), 0);
    cr_assert_eq(tg_clients_end_device(g.w, TG_STR(ANN), TG_STR("phone"), "x"), 0);
    cr_assert_eq(tg_clients_end_session(g.w, TG_STR(ANN), TG_STR("s1"), "x"), 0);
    cr_assert_eq(tg_clients_end_user(g.w, TG_STR(ANN), "x"), 0);
    cr_assert_eq(stream_seen.n_ended, 0);
    tg_client_leave(g.w, &c);
    finish(&g);
}

Test(client, signing_out_ends_a_session_the_others_or_all)
{
    struct given g;
    struct tg_client c[5];

    begin(&g);
    join(&g, &c[0], ANN, "s1", "phone");
    join(&g, &c[1], ANN, "s2", "");
    join(&g, &c[2], ANN, "", "tablet");
    join(&g, &c[3], BOB, "s1", "phone");
    join(&g, &c[4], NULL, "", "");
    cr_assert_eq(tg_clients_end_session(g.w, TG_STR(ANN), TG_STR("s1"), "signed_out"), 1);
    cr_assert_eq(tg_clients_end_session(g.w, TG_STR(ANN), TG_STR("s9"), "signed_out"), 0);
    cr_assert_eq(tg_clients_end_others(g.w, TG_STR(ANN), TG_STR("s2"), "signed_out"), 2);
    cr_assert_eq(tg_clients_end_user(g.w, TG_STR(ANN), "signed_out"), 3);
    cr_assert_eq(tg_clients_end_user(g.w, TG_STR("anon"), "signed_out"), 0);
    for (size_t i = 0; i < TG_ARRAY_LEN(c); i++) {
        tg_client_leave(g.w, &c[i]);
    }
    finish(&g);
}

Test(client, whose_stream_is_over_is_not_met_any_more)
{
    struct given g;
    struct tg_client c;

    begin(&g);
    join(&g, &c, ANN, "s1", "phone");
    c.stream = NULL;
    cr_assert_eq(of_device(&g, ANN, "phone"), 0);
    cr_assert_eq(tg_clients_end_user(g.w, TG_STR(ANN), "x"), 0);
    tg_client_leave(g.w, &c);
    tg_client_leave(g.w, &c); /* again is fine */
    finish(&g);
}

Test(client, fresh_token_moves_the_stream_to_its_session)
{
    struct given g;
    struct tg_client c;
    struct tg_token fresh = token_of(ANN, "s2");

    begin(&g);
    join(&g, &c, ANN, "s1", "phone");
    cr_assert_eq(tg_clients_token(g.w, TG_STR(BOB), TG_STR("phone"), &fresh), 0);
    cr_assert_eq(tg_clients_token(g.w, TG_STR(ANN), TG_STR("phone"), &fresh), 1);
    cr_assert_str_eq(stream_seen.fresh, "jwt");
    cr_assert_eq(tg_clients_end_session(g.w, TG_STR(ANN), TG_STR("s1"), "x"), 0);
    cr_assert_eq(tg_clients_end_session(g.w, TG_STR(ANN), TG_STR("s2"), "x"), 1);
    tg_client_leave(g.w, &c);
    finish(&g);
}

Test(client, token_that_the_stream_refuses_changes_no_session)
{
    struct given g;
    struct tg_client c;
    struct tg_token fresh = token_of(ANN, "s2");

    begin(&g);
    join(&g, &c, ANN, "s1", "phone");
    stream_seen.token_rc = TG_EFORBIDDEN;
    cr_assert_eq(tg_client_token(g.w, &c, &fresh), TG_EFORBIDDEN);
    cr_assert_eq(tg_clients_end_session(g.w, TG_STR(ANN), TG_STR("s2"), "x"), 0);
    tg_client_leave(g.w, &c);
    finish(&g);
}

Test(client, places_go_back_once)
{
    struct given g;
    struct tg_client c;
    struct tg_quota_place place = {0};
    struct tg_admission a = {0};
    static const struct tg_sink_ops ops = {0};

    begin(&g);
    tg_quota_destroy(g.fleet.opts.per_address);
    g.fleet.opts.per_address = tg_quota_create(1, 1);
    a = (struct tg_admission){.x = g.x, .user = tg_admission_stream_user(NULL)};
    cr_assert(tg_quota_take(g.fleet.opts.per_address, 0, ADDRESS, &a.address_place));
    c = (struct tg_client){0};
    cr_assert_eq(tg_client_open(&c, &a, &ops, NULL, false), TG_OK);
    tg_admission_fini(&a); /* holds none any more */
    cr_assert_not(tg_quota_take(g.fleet.opts.per_address, 0, ADDRESS, &place));
    tg_client_leave(g.w, &c);
    tg_client_leave(g.w, &c);
    cr_assert(tg_quota_take(g.fleet.opts.per_address, 0, ADDRESS, &place));
    finish(&g);
}

Test(client, full_gateway_has_its_own_answer)
{
    struct given g;
    struct tg_client c = {0};
    struct tg_admission a = {0};
    static const struct tg_sink_ops ops = {0};

    begin(&g);
    a.x = g.x;
    stream_seen.open_rc = TG_EBUSY;
    cr_assert_eq(tg_client_open(&c, &a, &ops, NULL, false), TG_EALLSTREAMS);
    tg_client_leave(g.w, &c);
    finish(&g);
}

Test(client, tables_grow_and_lose_nobody)
{
    static struct tg_client c[MANY];
    struct given g;
    char device[16];

    begin(&g);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(device, sizeof(device), "d%d", i);
        join(&g, &c[i], i % 2 == 0 ? ANN : BOB, device, device);
    }
    for (int i = 0; i < MANY; i += 3) {
        tg_client_leave(g.w, &c[i]);
    }
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(device, sizeof(device), "d%d", i);
        cr_assert_eq(of_device(&g, i % 2 == 0 ? ANN : BOB, device), i % 3 == 0 ? 0 : 1);
        cr_assert_eq(of_device(&g, i % 2 == 0 ? BOB : ANN, device), 0);
    }
    cr_assert_eq(tg_clients_end_user(g.w, TG_STR(ANN), "x"), 333);
    for (int i = 0; i < MANY; i++) {
        tg_client_leave(g.w, &c[i]);
    }
    finish(&g);
}
