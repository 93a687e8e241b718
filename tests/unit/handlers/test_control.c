/* The form of what gateways tell each other. */
#include <criterion/criterion.h>

#include "auth/seal.h"
#include "handlers/control.h"

#define SECRET TG_STR("0123456789abcdef0123456789abcdef")

enum { NOW = 5000000 };

/* Of the running test. */
static struct tg_seal *ticket_seal, *control_seal;

static struct tg_handler_opts opts(void)
{
    ticket_seal = tg_seal_create(SECRET, TG_STR("ticket"));
    control_seal = tg_seal_create(SECRET, TG_STR("control"));
    return (struct tg_handler_opts){
        .ticket_seal = ticket_seal, .control_seal = control_seal, .ticket_life = TG_SEC(30)};
}

static void opts_fini(void)
{
    tg_seal_destroy(ticket_seal);
    tg_seal_destroy(control_seal);
}

/* Built and read again. */
static enum tg_rc pass(const struct tg_handler_opts *o, const struct tg_control *c, tg_usec later,
                       struct tg_arena *arena, struct tg_control *ret_c)
{
    TG_CLEANUP(tg_buf_fini) struct tg_buf payload = {.max = TG_CONTROL_MAX_BYTES};

    cr_assert_eq(tg_control_build(o, c, NOW, &payload), TG_OK);
    return tg_control_parse(o, tg_buf_view(&payload), NOW + later, arena, ret_c);
}

Test(control, a_session_end_is_read_as_it_was_written)
{
    static const enum tg_signout_scope scopes[] = {TG_SIGNOUT_LOCAL, TG_SIGNOUT_GLOBAL,
                                                   TG_SIGNOUT_OTHERS};
    struct tg_handler_opts o = opts();

    for (size_t i = 0; i < TG_ARRAY_LEN(scopes); i++) {
        const struct tg_control c = {.kind = TG_CONTROL_SESSION_END,
                                     .user = TG_STR("u1"),
                                     .session = TG_STR("s \"1\""),
                                     .scope = scopes[i],
                                     .at_sec = 1790000000,
                                     .until_sec = 1790003600};
        struct tg_arena arena = {0};
        struct tg_control back = {0};

        cr_assert_eq(pass(&o, &c, 0, &arena, &back), TG_OK);
        cr_assert(back.kind == c.kind && back.scope == c.scope);
        cr_assert(tg_str_eq(back.user, c.user) && tg_str_eq(back.session, c.session));
        cr_assert(back.at_sec == c.at_sec && back.until_sec == c.until_sec);
        tg_arena_drop(&arena);
    }
    opts_fini();
}

Test(control, a_device_end_is_read_as_it_was_written)
{
    struct tg_handler_opts o = opts();
    const struct tg_control c = {
        .kind = TG_CONTROL_DEVICE_END, .user = TG_STR("anon"), .device = TG_STR("d~1")};
    struct tg_arena arena = {0};
    struct tg_control back = {0};

    cr_assert_eq(pass(&o, &c, 0, &arena, &back), TG_OK);
    cr_assert(back.kind == c.kind && tg_str_eq(back.device, c.device));
    cr_assert(tg_str_eq(back.user, c.user));
    tg_arena_drop(&arena);
    opts_fini();
}

Test(control, a_token_travels_sealed_and_not_for_long)
{
    struct tg_handler_opts o = opts();
    const struct tg_control c = {.kind = TG_CONTROL_TOKEN,
                                 .user = TG_STR("u1"),
                                 .device = TG_STR("d1"),
                                 .token = TG_STR("aaa.bbb.ccc")};
    TG_CLEANUP(tg_buf_fini) struct tg_buf payload = {.max = TG_CONTROL_MAX_BYTES};
    struct tg_arena arena = {0};
    struct tg_control back = {0};

    cr_assert_eq(tg_control_build(&o, &c, NOW, &payload), TG_OK);
    cr_assert_null(memmem(payload.p, payload.n, "aaa", 3));
    cr_assert_eq(pass(&o, &c, 0, &arena, &back), TG_OK);
    cr_assert(tg_str_eq(back.token, c.token) && tg_str_eq(back.device, c.device));
    cr_assert_eq(pass(&o, &c, TG_SEC(3600), &arena, &back), TG_EEXPIRED);
    tg_arena_drop(&arena);
    opts_fini();
}

Test(control, a_token_of_another_group_is_not_taken)
{
    struct tg_handler_opts o = opts();
    struct tg_seal *foreign =
        tg_seal_create(TG_STR("another secret of thirty-two byte"), TG_STR("control"));
    const struct tg_handler_opts other = {.control_seal = foreign};
    const struct tg_control c = {.kind = TG_CONTROL_TOKEN,
                                 .user = TG_STR("u1"),
                                 .device = TG_STR("d1"),
                                 .token = TG_STR("aaa.bbb.ccc")};
    TG_CLEANUP(tg_buf_fini) struct tg_buf payload = {.max = TG_CONTROL_MAX_BYTES};
    struct tg_arena arena = {0};
    struct tg_control back = {0};

    cr_assert_eq(tg_control_build(&other, &c, NOW, &payload), TG_OK);
    cr_assert_eq(tg_control_parse(&o, tg_buf_view(&payload), NOW, &arena, &back), TG_EBADTOKEN);
    tg_arena_drop(&arena);
    opts_fini();
    tg_seal_destroy(foreign);
}

Test(control, other_versions_and_kinds_are_for_newer_gateways)
{
    static const struct {
        const char *payload;
        enum tg_rc rc;
    } cases[] = {
        {"{\"v\":2,\"kind\":\"device_end\",\"user\":\"u\",\"device\":\"d\"}", TG_EUNSUPPORTED},
        {"{\"v\":1,\"kind\":\"dance\",\"user\":\"u\"}", TG_EUNSUPPORTED},
        {"{\"v\":1,\"kind\":\"session_end\",\"user\":\"u\",\"session\":\"s\",\"scope\":\"some\","
         "\"at\":1,\"until\":2}",
         TG_EUNSUPPORTED},
        {"{\"v\":1,\"kind\":\"device_end\",\"user\":\"u\",\"device\":\"d\",\"new\":1}", TG_OK},
        {"{\"v\":1,\"kind\":\"device_end\",\"user\":\"u\"}", TG_EBADJSON},
        {"{\"v\":1,\"kind\":\"device_end\",\"user\":1,\"device\":\"d\"}", TG_EBADJSON},
        {"{\"v\":1,\"kind\":\"session_end\",\"user\":\"u\",\"session\":\"s\",\"scope\":\"local\","
         "\"at\":-1,\"until\":2}",
         TG_EBADJSON},
        {"{\"kind\":\"device_end\"}", TG_EBADJSON},
        {"{\"v\":1}", TG_EBADJSON},
        {"[]", TG_EBADJSON},
        {"", TG_EBADJSON},
        {"{", TG_EBADJSON},
    };
    struct tg_handler_opts o = opts();

    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        struct tg_arena arena = {0};
        struct tg_control c = {0};

        cr_assert_eq(tg_control_parse(&o, tg_str_of(cases[i].payload), NOW, &arena, &c),
                     cases[i].rc, "%s", cases[i].payload);
        tg_arena_drop(&arena);
    }
    opts_fini();
}
