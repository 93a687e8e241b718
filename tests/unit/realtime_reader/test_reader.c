/* test_reader.c - what is asked of PostgREST, and what becomes of its answers. The client is a
 * fake: it keeps the request, and the test answers. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "realtime/reader.h"
#include "realtime/table.h"
#include "upstream/client.h"
#include "util/buf.h"

static const tg_str id[] = {TG_STR_INIT("id")};
static const tg_str pair[] = {TG_STR_INIT("trip_id"), TG_STR_INIT("user_id")};
static const struct tg_table tasks = {
    TG_STR_INIT("public"), TG_STR_INIT("tasks"), id, 1, {NULL, 0}};
static const struct tg_table members = {
    TG_STR_INIT("public"), TG_STR_INIT("trip_members"), pair, 2, {NULL, 0}};
static const tg_str columns[] = {TG_STR_INIT("id"), TG_STR_INIT("state")};

/* ---- the fake client ---- */

static struct {
    struct tg_loop *loop;
    /* the request under way */
    tg_fetch_fn *done;
    void *arg;
    struct tg_buf target;
    struct tg_buf fields; /* "Name: value\n" */
    size_t max_bytes;
    enum tg_rc refuses;
    /* what was told */
    unsigned n_pages, n_rows, n_done;
    bool waits;
    enum tg_rc rc;
    unsigned status;
    char message[64];
    bool visible[16];
    size_t n_visible;
} t;

enum tg_rc tg_upstream_fetch(struct tg_upstream *up, const struct tg_call_request *req, tg_str body,
                             size_t max_bytes, tg_fetch_fn *done, void *arg)
{
    (void)up;
    cr_assert_null(t.done, "two at once");
    cr_assert_eq(body.n, 0);
    if (t.refuses != TG_OK) {
        return t.refuses;
    }
    t.done = done;
    t.arg = arg;
    t.max_bytes = max_bytes;
    tg_buf_clear(&t.target);
    tg_buf_clear(&t.fields);
    (void)tg_buf_str(&t.target, req->target);
    for (size_t i = 0; i < req->n_fields; i++) {
        (void)tg_buf_printf(&t.fields, "%.*s: %.*s\n", TG_STR_ARG(req->fields[i].name),
                            TG_STR_ARG(req->fields[i].value));
    }
    return TG_OK;
}

static void on_end(struct tg_timer *timer)
{
    (void)timer;
    tg_loop_stop(t.loop);
}

/* What was started before runs before. */
static void turn(void)
{
    struct tg_timer end;

    tg_timer_init(&end, on_end);
    tg_loop_timer_start(t.loop, &end, TG_MS(1));
    tg_loop_run(t.loop);
}

static void answer(enum tg_rc rc, unsigned status, const char *body)
{
    tg_fetch_fn *done = t.done;

    cr_assert_not_null(done, "nothing was asked");
    t.done = NULL;
    done(rc, status, tg_str_of(body), t.arg);
    turn();
}

static void asked(const char *target)
{
    cr_assert_not_null(t.done, "nothing was asked");
    cr_assert_str_eq(tg_buf_cstr(&t.target), target);
}

/* ---- what is told ---- */

static bool on_rows(tg_str rows, size_t n, void *arg)
{
    (void)arg;
    cr_assert_gt(rows.n, 2);
    t.n_pages++;
    t.n_rows += (unsigned)n;
    return !t.waits;
}

static void on_done(enum tg_rc rc, unsigned status, tg_str message, void *arg)
{
    (void)arg;
    t.n_done++;
    t.rc = rc;
    t.status = status;
    (void)snprintf(t.message, sizeof(t.message), "%.*s", TG_STR_ARG(message));
}

static void on_visible(enum tg_rc rc, unsigned status, const bool *is_visible, size_t n, void *arg)
{
    (void)arg;
    t.n_done++;
    t.rc = rc;
    t.status = status;
    t.n_visible = n;
    cr_assert_eq(is_visible != NULL, rc == TG_OK);
    if (rc == TG_OK) {
        memcpy(t.visible, is_visible, TG_MIN(n, sizeof(t.visible)));
    }
}

static const struct tg_reader_handler handler = {on_rows, on_done};

static struct tg_reader_opts opts(const struct tg_table *table)
{
    return (struct tg_reader_opts){.loop = t.loop,
                                   .authority = TG_STR("ref.supabase.co"),
                                   .apikey = TG_STR("anon"),
                                   .bearer = TG_STR("a.b.c"),
                                   .table = table,
                                   .columns = columns,
                                   .n_columns = 2,
                                   .page_rows = 4};
}

static struct tg_reader *begin(const struct tg_reader_opts *o)
{
    struct tg_reader *r = NULL;

    cr_assert_eq(tg_reader_start(o, &handler, NULL, &r), TG_OK);
    return r;
}

static struct tg_reader *begin_tasks(void)
{
    const struct tg_reader_opts o = opts(&tasks);

    return begin(&o);
}

static void start(void)
{
    memset(&t, 0, sizeof(t));
    t.target.max = 65536;
    t.fields.max = 65536;
    cr_assert_eq(tg_loop_create("test", 16, &t.loop), TG_OK);
    turn(); /* the loop is this thread's */
}

static void stop(void)
{
    tg_loop_destroy(t.loop);
    tg_buf_fini(&t.target);
    tg_buf_fini(&t.fields);
}

TestSuite(reader, .init = start, .fini = stop);

/* ---- pages ---- */

Test(reader, reads_pages_behind_the_last_row_until_one_is_empty)
{
    (void)begin_tasks();
    asked("/rest/v1/tasks?select=id,state&order=id.asc&limit=4");
    answer(TG_OK, 200, "[{\"id\":1}, \n {\"id\":9007199254740993}]");
    asked("/rest/v1/tasks?select=id,state&id=gt.9007199254740993&order=id.asc&limit=4");
    answer(TG_OK, 200, "[{\"id\":\"a+b \\\"c\\\"\"}]");
    asked("/rest/v1/tasks?select=id,state&id=gt.a%2Bb%20%22c%22&order=id.asc&limit=4");
    cr_assert_eq(t.n_done, 0);
    answer(TG_OK, 200, "[]");
    cr_assert_eq(t.n_pages, 2);
    cr_assert_eq(t.n_rows, 3);
    cr_assert_eq(t.n_done, 1);
    cr_assert_eq(t.rc, TG_OK);
}

Test(reader, compares_composite_keys_column_by_column)
{
    const struct tg_reader_opts o = opts(&members);

    (void)begin(&o);
    asked("/rest/v1/trip_members?select=trip_id,user_id,id,state&order=trip_id.asc,user_id.asc"
          "&limit=4");
    answer(TG_OK, 200, "[{\"user_id\":\"u,\\\"1\\\\\",\"trip_id\":7}]");
    asked("/rest/v1/trip_members?select=trip_id,user_id,id,state"
          "&or=(trip_id.gt.%227%22,and(trip_id.eq.%227%22,"
          "user_id.gt.%22u%2C%5C%221%5C%5C%22))"
          "&order=trip_id.asc,user_id.asc&limit=4");
    answer(TG_OK, 200, "[]");
    cr_assert_eq(t.n_done, 1);
}

Test(reader, adds_the_filter_and_quotes_odd_names)
{
    static const tg_str odd[] = {TG_STR_INIT("a b")};
    static const struct tg_table table = {
        TG_STR_INIT("other"), TG_STR_INIT("my table"), odd, 1, {NULL, 0}};
    struct tg_reader_opts o = opts(&table);

    o.filter = TG_STR("deleted_at=is.null");
    (void)begin(&o);
    asked("/rest/v1/my%20table?select=%22a%20b%22,id,state&deleted_at=is.null"
          "&order=%22a%20b%22.asc&limit=4");
    cr_assert_not_null(strstr(tg_buf_cstr(&t.fields), "Accept-Profile: other\n"));
    answer(TG_OK, 200, "[]");
}

Test(reader, does_not_take_a_column_for_a_parameter)
{
    static const tg_str order[] = {TG_STR_INIT("order")};
    static const struct tg_table table = {
        TG_STR_INIT("public"), TG_STR_INIT("t"), order, 1, {NULL, 0}};
    const struct tg_reader_opts o = opts(&table);
    const tg_str pks[] = {TG_STR("[1]"), TG_STR("[2]")};
    struct tg_reader_keys *k = NULL;

    (void)begin(&o);
    answer(TG_OK, 200, "[{\"order\":5}]");
    asked("/rest/v1/t?select=order,id,state&or=(order.gt.%225%22)&order=order.asc&limit=4");
    answer(TG_OK, 200, "[]");
    cr_assert_eq(tg_reader_keys(&o, pks, 2, on_visible, NULL, &k), TG_OK);
    asked("/rest/v1/t?select=order&or=(and(order.eq.%221%22),and(order.eq.%222%22))");
    answer(TG_OK, 200, "[]");
}

Test(reader, speaks_as_its_bearer)
{
    (void)begin_tasks();
    cr_assert_str_eq(tg_buf_cstr(&t.fields),
                     "Host: ref.supabase.co\nAccept: application/json\nUser-Agent: tidegate\n"
                     "apikey: anon\nAuthorization: Bearer a.b.c\nAccept-Profile: public\n");
    answer(TG_OK, 200, "[]");
}

Test(reader, sends_an_opaque_key_as_apikey_alone)
{
    struct tg_reader_opts o = opts(&tasks);

    o.bearer = TG_STR("sb_secret_x");
    (void)begin(&o);
    cr_assert_not_null(strstr(tg_buf_cstr(&t.fields), "apikey: sb_secret_x\n"));
    cr_assert_null(strstr(tg_buf_cstr(&t.fields), "Authorization"));
    answer(TG_OK, 200, "[]");
}

Test(reader, waits_until_it_is_told_to_go_on)
{
    struct tg_reader *r = begin_tasks();

    t.waits = true;
    answer(TG_OK, 200, "[{\"id\":1}]");
    turn();
    cr_assert_null(t.done);
    tg_reader_resume(r);
    cr_assert_null(t.done, "asked from inside the call");
    turn();
    asked("/rest/v1/tasks?select=id,state&id=gt.1&order=id.asc&limit=4");
    answer(TG_OK, 200, "[]");
    cr_assert_eq(t.n_done, 1);
}

Test(reader, asks_for_fewer_rows_when_a_page_is_too_large)
{
    (void)begin_tasks();
    answer(TG_ELIMIT, 200, NULL);
    asked("/rest/v1/tasks?select=id,state&order=id.asc&limit=2");
    answer(TG_ELIMIT, 200, NULL);
    asked("/rest/v1/tasks?select=id,state&order=id.asc&limit=1");
    answer(TG_ELIMIT, 200, NULL);
    cr_assert_eq(t.n_done, 1);
    cr_assert_eq(t.rc, TG_ELIMIT);
}

static void ends(enum tg_rc rc, unsigned status, const char *body, enum tg_rc expected)
{
    t.n_done = 0;
    (void)begin_tasks();
    answer(rc, status, body);
    cr_assert_eq(t.n_done, 1);
    cr_assert_eq(t.rc, expected, "%u is %s", status, tg_rc_name(t.rc));
    cr_assert_eq(t.status, status);
}

Test(reader, tells_why_it_ended)
{
    ends(TG_OK, 401, "{\"message\":\"JWT expired\"}", TG_EBADTOKEN);
    cr_assert_str_eq(t.message, "JWT expired");
    ends(TG_OK, 403, "{}", TG_EFORBIDDEN);
    ends(TG_OK, 404, "", TG_ENOTFOUND);
    ends(TG_OK, 400, "{\"message\":1}", TG_EBADPARAM);
    ends(TG_OK, 429, "", TG_ERATE);
    ends(TG_OK, 500, "oops", TG_EUPSTREAM);
    ends(TG_OK, 302, "", TG_EUPSTREAM);
    ends(TG_EREFUSED, 0, NULL, TG_EREFUSED);
    ends(TG_ECANCELED, 0, NULL, TG_ECANCELED);
    cr_assert_str_eq(t.message, "");
}

Test(reader, refuses_answers_that_are_no_rows)
{
    ends(TG_OK, 200, "", TG_EUPSTREAM);
    ends(TG_OK, 200, "{\"id\":1}", TG_EUPSTREAM);
    ends(TG_OK, 200, "[{\"id\":1},", TG_EUPSTREAM);
    ends(TG_OK, 200, "[{\"state\":1}]", TG_EUPSTREAM);
    ends(TG_OK, 200, "[{\"id\":null}]", TG_EUPSTREAM);
}

Test(reader, ends_when_it_does_not_get_on)
{
    (void)begin_tasks();
    answer(TG_OK, 200, "[{\"id\":1}]");
    answer(TG_OK, 200, "[{\"id\":1}]");
    cr_assert_eq(t.rc, TG_EUPSTREAM);
    cr_assert_eq(t.n_pages, 1);
}

Test(reader, ends_when_the_next_page_is_refused)
{
    (void)begin_tasks();
    t.refuses = TG_EOPEN;
    answer(TG_OK, 200, "[{\"id\":1}]");
    cr_assert_eq(t.n_done, 1);
    cr_assert_eq(t.rc, TG_EOPEN);
}

Test(reader, does_not_begin_when_refused)
{
    const struct tg_reader_opts o = opts(&tasks);
    struct tg_reader *r = NULL;

    t.refuses = TG_EBUSY;
    cr_assert_eq(tg_reader_start(&o, &handler, NULL, &r), TG_EBUSY);
    cr_assert_null(r);
}

Test(reader, is_silent_once_canceled)
{
    struct tg_reader *r = begin_tasks();

    tg_reader_cancel(r);
    answer(TG_OK, 200, "[{\"id\":1}]");
    t.waits = true;
    r = begin_tasks();
    answer(TG_OK, 200, "[{\"id\":1}]");
    tg_reader_cancel(r);
    turn();
    tg_reader_cancel(NULL);
    cr_assert_eq(t.n_pages, 1);
    cr_assert_eq(t.n_done, 0);
}

/* ---- which keys ---- */

static struct tg_reader_keys *ask_for(const struct tg_table *table, const tg_str *pks, size_t n)
{
    const struct tg_reader_opts o = opts(table);
    struct tg_reader_keys *k = NULL;

    cr_assert_eq(tg_reader_keys(&o, pks, n, on_visible, NULL, &k), TG_OK);
    return k;
}

Test(reader, tells_which_keys_are_visible)
{
    const tg_str pks[] = {TG_STR("[1]"), TG_STR("[\"a,\\\"b\"]"), TG_STR("[3]"), TG_STR("[1]")};

    (void)ask_for(&tasks, pks, 4);
    asked("/rest/v1/tasks?select=id&id=in.(%221%22,%22a%2C%5C%22b%22,%223%22,%221%22)");
    answer(TG_OK, 200, "[{\"id\":\"a,\\u0022b\"}, {\"id\":1}]");
    cr_assert_eq(t.rc, TG_OK);
    cr_assert_eq(t.n_visible, 4);
    cr_assert(t.visible[0] && t.visible[1] && !t.visible[2] && t.visible[3]);
}

Test(reader, asks_for_composite_keys)
{
    const tg_str pks[] = {TG_STR("[7,\"u\"]"), TG_STR("[8,\"v\"]")};

    (void)ask_for(&members, pks, 2);
    asked("/rest/v1/trip_members?select=trip_id,user_id&or=("
          "and(trip_id.eq.%227%22,user_id.eq.%22u%22),and(trip_id.eq.%228%22,user_id.eq.%22v%22))");
    answer(TG_OK, 200, "[{\"user_id\":\"v\",\"trip_id\":8}]");
    cr_assert(!t.visible[0] && t.visible[1]);
}

Test(reader, asks_for_many_keys_in_several_requests)
{
    static char text[256][80];
    tg_str pks[256];
    unsigned n = 0;

    for (size_t i = 0; i < 256; i++) {
        (void)snprintf(text[i], sizeof(text[i]), "[\"%064zu\"]", i);
        pks[i] = tg_str_of(text[i]);
    }
    (void)ask_for(&tasks, pks, 256);
    for (; t.done != NULL; n++) {
        cr_assert_leq(t.target.n, 8192);
        answer(TG_OK, 200,
               n == 0 ? "[{\"id\":\"0000000000000000000000000000000000000000000000000"
                        "000000000000003\"}]"
                      : "[]");
    }
    cr_assert_eq(n, 3);
    cr_assert_eq(t.rc, TG_OK);
    cr_assert_eq(t.n_visible, 256);
    cr_assert(t.visible[3] && !t.visible[4]);
}

Test(reader, refuses_what_is_no_key)
{
    const struct tg_reader_opts o = opts(&members);
    const tg_str one[] = {TG_STR("[1]")};
    const tg_str three[] = {TG_STR("[1,2,3]")};
    const tg_str none[] = {TG_STR("")};
    struct tg_reader_keys *k = NULL;

    cr_assert_eq(tg_reader_keys(&o, one, 0, on_visible, NULL, &k), TG_EBADPARAM);
    cr_assert_eq(tg_reader_keys(&o, one, TG_READER_KEYS_MAX + 1, on_visible, NULL, &k),
                 TG_EBADPARAM);
    cr_assert_eq(tg_reader_keys(&o, one, 1, on_visible, NULL, &k), TG_EBADPARAM);
    cr_assert_eq(tg_reader_keys(&o, three, 1, on_visible, NULL, &k), TG_EBADPARAM);
    cr_assert_eq(tg_reader_keys(&o, none, 1, on_visible, NULL, &k), TG_EBADPARAM);
}

Test(reader, tells_that_it_could_not_ask)
{
    const tg_str pks[] = {TG_STR("[1]")};
    struct tg_reader_keys *k = ask_for(&tasks, pks, 1);

    answer(TG_OK, 401, "{}");
    cr_assert_eq(t.rc, TG_EBADTOKEN);
    k = ask_for(&tasks, pks, 1);
    tg_reader_keys_cancel(k);
    answer(TG_OK, 200, "[]");
    tg_reader_keys_cancel(NULL);
    cr_assert_eq(t.n_done, 1);
}
