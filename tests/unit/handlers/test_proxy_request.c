/* test_proxy_request.c - what of a request is altered on its way up, and what never is. */
#include <criterion/criterion.h>

#include "handlers/proxy_request.h"
#include "handlers/worker.h"

#define F(name, value)                                                                             \
    {                                                                                              \
        TG_STR_INIT(name), TG_STR_INIT(value)                                                      \
    }

static const struct tg_handler_opts opts = {
    .upstream_authority = TG_STR_INIT("ref.example"),
    .project_key = TG_STR_INIT("sb_publishable_p"),
    .keys = {.publishable = TG_STR_INIT("sb_publishable_p"), .secret = TG_STR_INIT("sb_secret_s")},
};

struct made {
    struct tg_arena arena;
    struct tg_head head;
    struct tg_proxy_in in;
    struct tg_proxy_out out;
    enum tg_rc rc;
};

static struct made make(enum tg_service service, const char *target, const struct tg_field *fields,
                        size_t n)
{
    struct made m = {.head = {.method = TG_GET, .fields = {fields, n}}};
    const struct tg_field *host = tg_fields_find(m.head.fields, TG_STR("Host"));

    m.head.host = host == NULL ? TG_STR_NONE : host->value;
    m.in = (struct tg_proxy_in){.opts = &opts,
                                .service = service,
                                .target = tg_str_of(target),
                                .query = tg_str_of(target),
                                .id = TG_STR("id-1"),
                                .peer = {TG_STR("192.0.2.1"), false}};
    m.in.path = tg_str_cut(&m.in.query, '?');
    return m;
}

static void run(struct made *m)
{
    m->in.head = &m->head;
    m->rc = tg_proxy_request(&m->arena, &m->in, &m->out);
}

static tg_str value(const struct made *m, const char *name)
{
    for (size_t i = 0; i < m->out.n; i++) {
        if (tg_str_ieq(m->out.fields[i].name, tg_str_of(name))) {
            return m->out.fields[i].value;
        }
    }
    return TG_STR_NONE;
}

#define MAKE(service, target, fields) make(service, target, fields, TG_ARRAY_LEN(fields))

Test(proxy_request, keeps_order_case_and_repetition)
{
    static const struct tg_field fields[] = {F("Host", "a"), F("X-b", "1"), F("x-A", ""),
                                             F("X-B", "2")};
    struct made m = MAKE(TG_SERVICE_REST, "/rest/v1/t", fields);

    run(&m);
    cr_assert_eq(m.rc, TG_OK);
    cr_assert_eq(m.out.n, 7);
    cr_assert(tg_str_eq(m.out.fields[0].value, TG_STR("ref.example")));
    for (size_t i = 1; i < TG_ARRAY_LEN(fields); i++) {
        cr_assert(tg_str_eq(m.out.fields[i].name, fields[i].name));
        cr_assert(tg_str_eq(m.out.fields[i].value, fields[i].value));
    }
    cr_assert(tg_str_eq(value(&m, "apikey"), TG_STR("sb_publishable_p")));
    cr_assert(tg_str_eq(value(&m, "X-Request-Id"), TG_STR("id-1")));
    tg_arena_drop(&m.arena);
}

Test(proxy_request, names_a_host_also_for_who_named_none)
{
    struct made m = make(TG_SERVICE_REST, "/rest/v1/t", NULL, 0);

    run(&m);
    cr_assert(tg_str_eq(value(&m, "Host"), TG_STR("ref.example")));
    tg_arena_drop(&m.arena);
}

Test(proxy_request, drops_what_connection_lists_but_not_what_matters)
{
    static const struct tg_field fields[] = {
        F("Host", "a"),
        F("Connection", "x-a, apikey, Authorization, host, content-type"),
        F("X-A", "1"),
        F("apikey", "k"),
        F("Authorization", "b"),
        F("Content-Type", "c"),
        F("Transfer-Encoding", "chunked")};
    struct made m = MAKE(TG_SERVICE_REST, "/rest/v1/t", fields);

    run(&m);
    cr_assert_null(value(&m, "X-A").p);
    cr_assert_null(value(&m, "Connection").p);
    cr_assert_null(value(&m, "Transfer-Encoding").p);
    cr_assert(tg_str_eq(value(&m, "apikey"), TG_STR("k")));
    cr_assert(tg_str_eq(value(&m, "Authorization"), TG_STR("b")));
    cr_assert(tg_str_eq(value(&m, "Content-Type"), TG_STR("c")));
    tg_arena_drop(&m.arena);
}

Test(proxy_request, refuses_what_stands_twice)
{
    static const struct tg_field fields[] = {F("Host", "a"), F("APIKEY", "k"), F("apikey", "k")};
    struct made m = MAKE(TG_SERVICE_REST, "/rest/v1/t", fields);

    run(&m);
    cr_assert_eq(m.rc, TG_EAMBIGUOUS);
    tg_arena_drop(&m.arena);
}

Test(proxy_request, an_upgrade_keeps_its_two_fields_and_its_query)
{
    static const struct tg_field fields[] = {F("Host", "a"), F("Connection", "keep-alive, Upgrade"),
                                             F("Upgrade", "websocket"), F("Keep-Alive", "5")};
    struct made m = MAKE(TG_SERVICE_REALTIME, "/realtime/v1/websocket?apikey=k&vsn=2", fields);

    m.in.is_upgrade = true;
    run(&m);
    cr_assert(tg_str_eq(value(&m, "Connection"), TG_STR("Upgrade")));
    cr_assert(tg_str_eq(value(&m, "Upgrade"), TG_STR("websocket")));
    cr_assert_null(value(&m, "Keep-Alive").p);
    cr_assert_null(value(&m, "apikey").p);
    cr_assert(tg_str_eq(m.out.target, m.in.target));
    tg_arena_drop(&m.arena);
}

Test(proxy_request, the_secret_key_replaces_the_clients_only_where_it_grants_nothing)
{
    static const struct tg_field fields[] = {F("Host", "a"), F("apikey", "sb_publishable_p"),
                                             F("Authorization", "Bearer sb_publishable_p")};
    static const char *const counted[] = {"/auth/v1/token?grant_type=password", "/auth/v1/signup"};
    static const char *const others[] = {"/auth/v1/admin/users", "/auth/v1/token/../admin",
                                         "/auth/v1/user", "/auth/v1/invite"};
    struct tg_handler_opts telling = opts;

    telling.forward_client_ip = true;
    for (size_t i = 0; i < TG_ARRAY_LEN(counted); i++) {
        struct made m = MAKE(TG_SERVICE_AUTH, counted[i], fields);

        m.in.opts = &telling;
        m.head.method = TG_POST;
        run(&m);
        cr_assert(tg_str_eq(value(&m, "apikey"), TG_STR("sb_secret_s")));
        cr_assert(tg_str_eq(value(&m, "Sb-Forwarded-For"), TG_STR("192.0.2.1")));
        cr_assert_null(value(&m, "Authorization").p);
        tg_arena_drop(&m.arena);
    }
    for (size_t i = 0; i < TG_ARRAY_LEN(others); i++) {
        struct made m = MAKE(TG_SERVICE_AUTH, others[i], fields);

        m.in.opts = &telling;
        m.head.method = TG_POST;
        run(&m);
        cr_assert(tg_str_eq(value(&m, "apikey"), TG_STR("sb_publishable_p")), "%s", others[i]);
        cr_assert_null(value(&m, "Sb-Forwarded-For").p);
        tg_arena_drop(&m.arena);
    }
}

struct taken {
    const char *target;
    const char *left;
    const char *value; /* NULL: none */
};

Test(proxy_request, takes_a_parameter_and_leaves_the_other_bytes)
{
    static const struct taken all[] = {
        {"/t", "/t", NULL},
        {"/t?", "/t?", NULL},
        {"/t?apikey=k", "/t", "k"},
        {"/t?apikey", "/t", ""},
        {"/t?a=%2B&apikey=k&b=+", "/t?a=%2B&b=+", "k"},
        {"/t?apikey=k&", "/t?", "k"},
        {"/t?&apikey=k", "/t?", "k"},
        {"/t?%61pike%79=%6B", "/t", "k"},
        {"/t?apikey=k&apikey=k&c", "/t?c", "k"},
        {"/t?apikeyx=1&xapikey=2&a=apikey=3", "/t?apikeyx=1&xapikey=2&a=apikey=3", NULL},
        {"/t?%&%zz=1&%6", "/t?%&%zz=1&%6", NULL},
    };
    struct tg_arena arena = {0};

    for (size_t i = 0; i < TG_ARRAY_LEN(all); i++) {
        tg_str left = TG_STR_NONE;
        tg_str got = TG_STR_NONE;

        cr_assert_eq(
            tg_proxy_take_param(&arena, tg_str_of(all[i].target), TG_STR("apikey"), &left, &got),
            TG_OK);
        cr_assert(tg_str_eq(left, tg_str_of(all[i].left)), "%s", all[i].target);
        cr_assert_eq(got.p == NULL, all[i].value == NULL, "%s", all[i].target);
        cr_assert(tg_str_eq(got, tg_str_of(all[i].value)), "%s", all[i].target);
    }
    tg_arena_drop(&arena);
}

Test(proxy_request, refuses_parameters_of_two_minds)
{
    struct tg_arena arena = {0};
    tg_str left = TG_STR_NONE;
    tg_str got = TG_STR_NONE;

    cr_assert_eq(tg_proxy_take_param(&arena, TG_STR("/t?k=a&k=b"), TG_STR("k"), &left, &got),
                 TG_EAMBIGUOUS);
    cr_assert_eq(tg_proxy_take_param(&arena, TG_STR("/t?k=%a"), TG_STR("k"), &left, &got),
                 TG_EBADPARAM);
    tg_arena_drop(&arena);
}

Test(proxy_request, knows_what_ends_at_each_hop)
{
    cr_assert(tg_proxy_is_hop_field(TG_STR("keep-ALIVE")));
    cr_assert(tg_proxy_is_hop_field(TG_STR("te")));
    cr_assert_not(tg_proxy_is_hop_field(TG_STR("Cookie")));
}
