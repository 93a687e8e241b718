/* test_session.c - what a sign-out does here, in the group, and when the store is away. */
#include <criterion/criterion.h>
#include <string.h>

#include "auth/mint.h"
#include "auth/token.h"
#include "group.h"
#include "handlers/deny.h"

#define LOGOUT "/auth/v1/logout"

static bool is_denied(const struct group *g, unsigned k, const char *sub, const char *session,
                      int64_t iat_sec)
{
    struct tg_token *t = token_of(sub, session, iat_sec);
    bool has = tg_deny_has(g->workers[k].deny, t, fake_now_sec);

    tg_token_unref(t);
    return has;
}

Test(session, local_ends_this_session_on_all_workers_and_refuses_its_tokens)
{
    struct group g;
    struct client *here = NULL;
    struct client *away = NULL;
    struct client *other = NULL;
    struct client *stranger = NULL;

    group_make(&g);
    here = group_stream(&g, 0, "u", "s1", "d");
    away = group_stream(&g, 1, "u", "s1", "");
    other = group_stream(&g, 1, "u", "s2", "");
    stranger = group_stream(&g, 1, "v", "s1", "");
    group_signout(&g, 0, LOGOUT "?scope=local", "u", "s1", 204);
    /* Before anybody else knows: the client reads its answer after that. */
    cr_assert_str_eq(here->ended, "signed_out");
    cr_assert(is_denied(&g, 0, "u", "s1", NOW_SEC));
    cr_assert_str_empty(away->ended);
    answer_all(&g);
    cr_assert_str_eq(away->ended, "signed_out");
    cr_assert(is_denied(&g, 1, "u", "s1", NOW_SEC));
    cr_assert_str_empty(other->ended);
    cr_assert_str_empty(stranger->ended);
    cr_assert_not(is_denied(&g, 1, "u", "s2", 0));
    cr_assert_eq(tg_count_get(&g.workers[0].counts.signouts), 1);
    group_drop(&g);
}

Test(session, global_is_the_default_and_ends_all_of_the_user)
{
    struct group g;
    struct client *s1 = NULL;
    struct client *s2 = NULL;
    struct client *stranger = NULL;

    group_make(&g);
    s1 = group_stream(&g, 0, "u", "s1", "");
    s2 = group_stream(&g, 1, "u", "s2", "");
    stranger = group_stream(&g, 0, "v", "s3", "");
    group_signout(&g, 0, LOGOUT, "u", "s1", 204);
    cr_assert_str_eq(s1->ended, "signed_out");
    answer_all(&g);
    cr_assert_str_eq(s2->ended, "signed_out");
    cr_assert_str_empty(stranger->ended);
    cr_assert(is_denied(&g, 1, "u", "s2", NOW_SEC - 1));
    cr_assert(is_denied(&g, 1, "u", "s1", NOW_SEC + 1), "its own, whenever");
    cr_assert_not(is_denied(&g, 1, "u", "s9", NOW_SEC), "who signs in again");
    cr_assert_not(is_denied(&g, 1, "v", "s3", 0));
    group_drop(&g);
}

Test(session, others_spares_the_one_that_asked)
{
    struct group g;
    struct client *mine = NULL;
    struct client *other = NULL;

    group_make(&g);
    mine = group_stream(&g, 0, "u", "s1", "");
    other = group_stream(&g, 0, "u", "s2", "");
    group_signout(&g, 0, LOGOUT "?scope=others", "u", "s1", 204);
    cr_assert_str_empty(mine->ended);
    cr_assert_str_eq(other->ended, "signed_out");
    cr_assert_not(is_denied(&g, 0, "u", "s1", 0));
    cr_assert(is_denied(&g, 0, "u", "s2", 0));
    group_drop(&g);
}

Test(session, without_a_session_all_of_the_user_is_meant)
{
    struct group g;
    struct client *c = NULL;

    group_make(&g);
    c = group_stream(&g, 0, "u", "s1", "");
    group_signout(&g, 0, LOGOUT "?scope=local", "u", "", 204);
    cr_assert_str_eq(c->ended, "signed_out");
    cr_assert(is_denied(&g, 0, "u", "", NOW_SEC - 1));
    cr_assert_not(is_denied(&g, 0, "u", "", NOW_SEC));
    group_drop(&g);
}

Test(session, that_is_gone_already_ends_alone)
{
    static const unsigned gone[] = {401, 403, 404};

    for (size_t i = 0; i < TG_ARRAY_LEN(gone); i++) {
        struct group g;
        struct client *mine = NULL;
        struct client *other = NULL;

        group_make(&g);
        mine = group_stream(&g, 0, "u", "s1", "");
        other = group_stream(&g, 0, "u", "s2", "");
        group_signout(&g, 0, LOGOUT, "u", "s1", gone[i]);
        cr_assert_str_eq(mine->ended, "signed_out");
        cr_assert_str_empty(other->ended);
        group_drop(&g);
    }
}

Test(session, goes_on_where_auth_did_not_end_it)
{
    static const unsigned no[] = {400, 409, 429, 500, 502, 503, 0};
    struct group g;
    struct client *c = NULL;

    group_make(&g);
    c = group_stream(&g, 0, "u", "s1", "");
    for (size_t i = 0; i < TG_ARRAY_LEN(no); i++) {
        group_signout(&g, 0, LOGOUT, "u", "s1", no[i]);
    }
    group_signout(&g, 0, "/auth/v1/user", "u", "s1", 200);
    group_signout(&g, 0, "/auth/v1/logout/x", "u", "s1", 200);
    cr_assert_str_empty(c->ended);
    cr_assert_not(has_asked(ASKED_DENY));
    /* However the path is written that Auth understands. */
    group_signout(&g, 0, "/auth/v1/log%6Fut/?scope=local", "u", "s1", 204);
    cr_assert_str_eq(c->ended, "signed_out");
    group_drop(&g);
}

Test(session, is_on_the_list_before_the_word_goes_out)
{
    struct group g;
    struct asked *a = NULL;

    group_make(&g);
    group_signout(&g, 0, LOGOUT, "u", "s1", 204);
    cr_assert_not(has_asked(ASKED_CONTROL));
    a = next_asked(ASKED_DENY);
    cr_assert_eq(strncmp(a->text, "s:", 2), 0);
    cr_assert_geq(a->until_sec, (int64_t)NOW_SEC + 3600);
    a->done(TG_OK, a->arg);
    a = next_asked(ASKED_DENY);
    cr_assert_eq(strncmp(a->text, "u:", 2), 0);
    cr_assert_not(has_asked(ASKED_CONTROL));
    a->done(TG_EFULL, a->arg); /* those who can act on it are told anyway */
    a = next_asked(ASKED_CONTROL);
    cr_assert_not_null(strstr(a->text, "\"scope\":\"global\""));
    a->written(TG_OK, (struct tg_pos){1, 0}, a->arg);
    group_drop(&g);
}

Test(session, ends_on_this_gateway_at_once_and_elsewhere_when_the_store_is_back)
{
    struct group g;
    struct client *away = NULL;

    group_make(&g);
    away = group_stream(&g, 1, "u", "s1", "");
    is_store_down = true;
    group_signout(&g, 0, LOGOUT "?scope=local", "u", "s1", 204);
    group_turn(&g, 0);
    cr_assert_str_eq(away->ended, "signed_out");
    cr_assert(is_denied(&g, 1, "u", "s1", 0));
    group_turn(&g, 1100);
    cr_assert_not(has_asked(ASKED_DENY));
    is_store_down = false;
    group_turn(&g, 1100);
    cr_assert(has_asked(ASKED_DENY));
    answer_all(&g);
    group_turn(&g, 1100);
    cr_assert_not(has_asked(ASKED_CONTROL));
    cr_assert_geq(tg_count_get(&g.workers[0].counts.signout_retries), 2);
    group_drop(&g);
}

Test(session, that_cannot_be_told_is_given_up_when_its_tokens_have_expired)
{
    struct group g;

    group_make(&g);
    is_store_down = true;
    group_signout(&g, 0, LOGOUT "?scope=local", "u", "s1", 204);
    fake_now_sec += 8000;
    group_turn(&g, 1100);
    is_store_down = false;
    group_turn(&g, 1100);
    cr_assert_not(has_asked(ASKED_DENY));
    group_drop(&g);
}

Test(session, word_that_comes_twice_ends_nothing_twice)
{
    struct group g;
    struct client *fresh = NULL;
    struct asked *a = NULL;
    struct asked word;

    group_make(&g);
    group_signout(&g, 0, LOGOUT, "u", "s1", 204);
    a = next_asked(ASKED_DENY);
    a->done(TG_OK, a->arg);
    a = next_asked(ASKED_DENY);
    a->done(TG_OK, a->arg);
    word = *next_asked(ASKED_CONTROL);
    tg_control_on_hub(tg_str_of(word.text), false, g.relay);
    group_turn(&g, 0);
    fresh = group_stream(&g, 1, "u", "s2", "");
    tg_control_on_hub(tg_str_of(word.text), false, g.relay);
    group_turn(&g, 0);
    cr_assert_str_empty(fresh->ended);
    word.written(TG_OK, (struct tg_pos){1, 0}, word.arg);
    group_drop(&g);
}

/* ---- the list ---- */

static void answer_list(const struct tg_denied *list, size_t n)
{
    struct asked *a = next_asked(ASKED_LIST);

    a->list(TG_OK, list, n, a->arg);
}

Test(session, list_is_read_at_the_start_until_it_has_been)
{
    struct group g;
    char key[128];
    struct asked *a = NULL;

    group_make(&g);
    is_store_down = true;
    group_turn(&g, 0);
    cr_assert_not(has_asked(ASKED_LIST));
    is_store_down = false;
    group_turn(&g, 150);
    a = next_asked(ASKED_LIST); /* worker 1 */
    a->list(TG_ESTORE, NULL, 0, a->arg);
    (void)snprintf(key, sizeof(key), "s:%s:s1", user_of("u"));
    answer_list(&(struct tg_denied){tg_str_of(key), NOW_SEC + 9}, 1);
    cr_assert(is_denied(&g, 0, "u", "s1", 0));
    group_turn(&g, 150);
    answer_list(NULL, 0);
    group_turn(&g, 15000);
    cr_assert_not(has_asked(ASKED_LIST));
    group_drop(&g);
}

Test(session, list_after_something_was_missed_ends_what_it_means)
{
    struct group g;
    char keys[3][160];
    struct client *s1 = NULL;
    struct client *v = NULL;
    struct client *w1 = NULL;
    struct client *w2 = NULL;

    group_make(&g);
    group_turn(&g, 150);
    answer_all(&g);
    s1 = group_stream(&g, 0, "u", "s1", "");
    v = group_stream(&g, 0, "v", "s2", "");
    w1 = group_stream(&g, 0, "w", "s3", "");
    w2 = group_stream(&g, 0, "w", "s4", "");
    tg_control_on_hub(TG_STR_NONE, true, g.relay);
    group_turn(&g, 0);
    (void)next_asked(ASKED_LIST); /* worker 1, who will ask again */
    (void)snprintf(keys[0], sizeof(keys[0]), "s:%s:s1", user_of("u"));
    (void)snprintf(keys[1], sizeof(keys[1]), "u:%s:%u:", user_of("v"), NOW_SEC - 5U);
    (void)snprintf(keys[2], sizeof(keys[2]), "u:%s:%u:s3", user_of("w"), NOW_SEC - 5U);
    answer_list((struct tg_denied[]){{tg_str_of(keys[0]), NOW_SEC + 9},
                                     {tg_str_of(keys[1]), NOW_SEC + 9},
                                     {tg_str_of(keys[2]), NOW_SEC + 9}},
                3);
    cr_assert_str_eq(s1->ended, "signed_out");
    cr_assert_str_eq(v->ended, "recheck");
    cr_assert_str_empty(w1->ended);
    cr_assert_str_eq(w2->ended, "recheck");
    group_drop(&g);
}

Test(session, worker_whose_mailbox_was_full_reads_the_list)
{
    struct group g;

    group_make(&g);
    group_turn(&g, 150);
    answer_all(&g);
    for (int i = 0; i < MAX_MAILS + 1; i++) {
        tg_control_on_hub(TG_STR("{\"v\":9,\"kind\":\"x\"}"), false, g.relay);
    }
    cr_assert_eq(tg_control_missed(&g.workers[0]), 1);
    group_make_room(&g);
    group_turn(&g, 10500);
    group_turn(&g, 150);
    cr_assert(has_asked(ASKED_LIST));
    group_drop(&g);
}

/* ---- other words ---- */

static void send_and_tell(struct group *g, const struct tg_control *c)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf payload = {.max = TG_CONTROL_MAX_BYTES};

    cr_assert_eq(tg_control_build(&g->opts, c, tg_clock_wall_us(), &payload), TG_OK);
    tg_control_on_hub(tg_buf_view(&payload), false, g->relay);
    group_turn(g, 0);
}

Test(control, device_end_ends_the_streams_of_that_device)
{
    struct group g;
    struct client *d1 = NULL;
    struct client *d2 = NULL;
    struct client *same_name = NULL;
    struct tg_control c = {.kind = TG_CONTROL_DEVICE_END, .device = TG_STR("d1")};

    group_make(&g);
    d1 = group_stream(&g, 1, "u", "s1", "d1");
    d2 = group_stream(&g, 1, "u", "s1", "d2");
    same_name = group_stream(&g, 1, "v", "s1", "d1");
    c.user = tg_str_of(user_of("u"));
    send_and_tell(&g, &c);
    cr_assert_str_eq(d1->ended, "device_deleted");
    cr_assert_str_empty(d2->ended);
    cr_assert_str_empty(same_name->ended);
    group_drop(&g);
}

Test(control, token_reaches_the_devices_streams_and_moves_their_session)
{
    struct group g;
    struct client *d1 = NULL;
    struct client *d2 = NULL;
    struct client *socket = NULL;
    struct tg_token *t = token_of("u", "s2", NOW_SEC);
    const struct tg_control c = {.kind = TG_CONTROL_TOKEN,
                                 .user = tg_str_of(t->user_id),
                                 .device = TG_STR("d1"),
                                 .token = t->text};
    const struct tg_control foreign = {.kind = TG_CONTROL_TOKEN,
                                       .user = tg_str_of("somebody"),
                                       .device = TG_STR("d1"),
                                       .token = t->text};

    group_make(&g);
    d1 = group_stream(&g, 1, "u", "s1", "d1");
    d2 = group_stream(&g, 1, "u", "s1", "d2");
    socket = group_stream(&g, 1, "u", "s1", "d1");
    socket->c.is_socket = 1;
    send_and_tell(&g, &foreign);
    cr_assert_str_empty(d1->token);
    send_and_tell(&g, &c);
    cr_assert_str_not_empty(d1->token);
    cr_assert_str_empty(d2->token);
    cr_assert_eq(tg_clients_end_session(&g.workers[1], tg_str_of(t->user_id), TG_STR("s2"), "x"),
                 2);
    cr_assert_str_eq(d1->ended, "x");
    cr_assert(socket->is_kept && !d1->is_kept);
    tg_token_unref(t);
    group_drop(&g);
}

static void count_done(enum tg_rc rc, void *arg)
{
    *(int *)arg = rc == TG_OK ? 1 : 2;
}

Test(control, is_sent_through_the_store_or_not_at_all)
{
    struct group g;
    const struct tg_control c = {
        .kind = TG_CONTROL_DEVICE_END, .user = TG_STR("u"), .device = TG_STR("d")};
    struct asked *a = NULL;
    int told = 0;

    group_make(&g);
    cr_assert_eq(tg_control_send(&g.workers[0], &c, count_done, &told), TG_OK);
    a = next_asked(ASKED_CONTROL);
    cr_assert_eq(told, 0);
    a->written(TG_OK, (struct tg_pos){1, 0}, a->arg);
    cr_assert_eq(told, 1);
    is_store_down = true;
    cr_assert_eq(tg_control_send(&g.workers[0], &c, count_done, &told), TG_ESTORE);
    is_store_down = false;
    store_rc = TG_EBUSY;
    cr_assert_eq(tg_control_send(&g.workers[0], &c, count_done, &told), TG_EBUSY);
    store_rc = TG_OK;
    group_drop(&g);
}
